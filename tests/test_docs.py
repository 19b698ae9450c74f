"""What the documents say is held against the code: links, commands, configs, keys, parts, examples."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from oltr import config, plugins
from oltr.arguments import parse, parser
from oltr.options import declared
from oltr.plain_data import ConfigError, override, read, read_yaml
from oltr.plugins import Kind
from oltr.stage_config import StageConfig

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").rglob("*.md")])
SHIPPED = sorted((ROOT / "config").glob("*_LT/*.yaml"))
SUITES = sorted((ROOT / "config" / "suites").glob("*.yaml"))
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"(?:\.venv/bin/)?(?:oltr|python main\.py) ")
CHECKED = ("configs.md", "methods.md", "glyphs.md", "data.md")
"""Pages whose configs name our own parts only: laid over a shipped config, they must pass `oltr check`."""


def text_of(page: str | Path) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def section(page: str, title: str) -> str:
    return text_of(page).partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


def blocks(page: Path, language: str) -> list[str]:
    return [content for found, content in FENCE.findall(text_of(page)) if found == language]


def shells(page: Path) -> list[str]:
    """What is typed: blocks of no language or of a shell's, a line a command."""
    found = [block for language in ("", "sh", "bash", "shell", "console") for block in blocks(page, language)]
    return [block.replace("\\\n", " ") for block in found]


def prose(page: Path) -> str:
    """A page without its code."""
    return re.sub(r"`[^`\n]*`", "", FENCE.sub("", text_of(page)))


def anchors(page: Path) -> set[str]:
    """The names that a page's headings have on GitHub."""
    titles = re.findall(r"^#+ (.*)$", FENCE.sub("", text_of(page)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def commands() -> Iterator[Any]:
    """Every command of ours in a page or in a shipped config's header; one named in passing is asked for its help."""
    for page in PAGES:
        for line in (line.removeprefix("$ ") for block in shells(page) for line in block.splitlines()):
            if COMMAND.match(line):
                yield pytest.param(line, id=f"{shown(page)}: {line}")
        for span in re.findall(r"`([^`\n]+)`", FENCE.sub("", text_of(page))):
            if COMMAND.match(span):
                bare = len(span.split()) == 2
                yield pytest.param(f"{span} --help" if bare else span, id=f"{shown(page)}: {span}")
    for path in (*SHIPPED, *SUITES):
        for line in re.findall(r"^# Command: (.*)$", text_of(path), re.MULTILINE):
            assert f"{'bench' if path in SUITES else '--config'} {shown(path)}" in line
            yield pytest.param(line, id=line)


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        there = (page.parent / name).resolve() if name else page
        assert there.exists(), f"{shown(page)}: no {target}"
        assert not anchor or anchor in anchors(there), f"{shown(page)}: no heading {target}"


@pytest.mark.parametrize("line", list(commands()))
def test_commands_are_understood(line: str) -> None:
    words = shlex.split(line.replace("python main.py", "oltr run"), comments=True)[1:]
    if words[-1] == "--help":
        with pytest.raises(SystemExit) as end:
            parse(parser(), words)
        assert end.value.code == 0
        return
    chosen = parse(parser(), words)
    path = getattr(chosen, "config", None)
    if path is not None and path.parts[0] == "config":
        own, passed_on = config.split_overrides(chosen.overrides)
        stage = config.load(ROOT / path, own)
        before = config.predecessor(ROOT / path, stage)
        if before is not None:
            config.load(before, passed_on)


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_targets_of_make_are_there(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", text_of("Makefile"), re.MULTILINE))
    code = "\n".join([*shells(page), *re.findall(r"`([^`\n]+)`", FENCE.sub("", text_of(page)))])
    assert set(re.findall(r"^make (\w+)$", code, re.MULTILINE)) <= targets


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "yaml")], ids=shown)
def test_configs_are_right(page: Path) -> None:
    for block in blocks(page, "yaml"):
        plain = read_yaml(block, shown(page))
        if page.name in CHECKED:
            base = read(ROOT / "config/Glyphs_LT/stage_2_cfl_meta_embedding.yaml")
            config.check(config.parse({**base, **plain}, shown(page)), shown(page))


def documented_keys() -> dict[str, str]:
    """The rows of configs.md about keys: each key path with its default."""
    rows = re.findall(r"^\| `([\w.]+)` \| (.*?) \| ", section("docs/configs.md", "Keys"), re.MULTILINE)
    return {key: default.strip("`") for key, default in rows}


def test_every_key_of_a_config_is_described_with_its_default() -> None:
    keys = documented_keys()
    inner = {
        f"{key}.{item.name}"
        for key, make in (
            ("evaluation", config.EvaluationConfig),
            ("cache", config.CacheConfig),
            ("feature_cache", config.FeatureCacheConfig),
        )
        for item in fields(make)
    }
    assert {item.name for item in fields(StageConfig)} | inner | {"memory.optim"} <= keys.keys()
    base = read(ROOT / "config/Glyphs_LT/stage_1.yaml")
    required = {key for key, default in keys.items() if default == "required"}
    small = {key: base[key] for key in base if key in required}
    small |= {key: {"name": base[key]} for key in small if isinstance(base[key], str)}
    for key, default in keys.items():
        if default == "required":
            without = {name: value for name, value in small.items() if name != key}
            with pytest.raises(ConfigError, match=key):
                config.parse(without, "here")
        else:
            sections = ("memory.", "cache.", "feature_cache.")
            top: dict[str, Any] = {key.partition(".")[0]: {}} if key.startswith(sections) else {}
            written_out = override({**small, **top}, [f"{key}={default}"])
            assert config.parse(written_out, key) == config.parse({**small, **top}, key)


def own(kind: Kind) -> list[tuple[str, list[str]]]:
    """Our parts of a kind, each with its options."""
    names = [plugin.name for plugin in kind.plugins if plugin.distribution == plugins.OWN]
    return [(name, [key for key in declared(kind.load(name), name) if key not in kind.given]) for name in names]


@pytest.mark.parametrize("kind", [plugins.LOSSES, plugins.CLASSIFIERS, plugins.STAGES], ids=lambda kind: kind.noun)
def test_parts_and_their_options_are_described(kind: Kind) -> None:
    headings = re.split(r"^### ", text_of("docs/methods.md"), flags=re.MULTILINE)
    for name, options in own(kind):
        told = [text for text in headings if text.startswith(f"`{name}`")]
        assert told, f"docs/methods.md has no section on {kind.noun} {name}"
        for option in options:
            assert any(re.search(rf"`{option}[`:]", text) for text in told), f"{name}.{option}"


def test_schedules_samplers_and_backbones_are_described() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", section("docs/configs.md", "Schedules"), re.MULTILINE))
    for name, options in own(plugins.SCHEDULES):
        assert re.findall(r"`(\w+)`", rows[name]) == options
    for name, _ in own(plugins.SAMPLERS) + own(plugins.BACKBONES):
        assert f"`{name}`" in text_of("docs/methods.md")


@pytest.mark.parametrize("page", ["docs/doors.md", "CONTRIBUTING.md"])
def test_examples_run(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    space: dict[str, Any] = {"__name__": "example"}
    for block in blocks(ROOT / page, "python"):
        exec(compile(block, page, "exec"), space)
    for name in [name for name in space if name.startswith("test_")]:
        space[name]()


def test_every_fast_path_names_a_test_that_there_is() -> None:
    rows = section("docs/performance.md", "Fast paths and their plain twins").splitlines()
    rows = [row for row in rows if row.startswith("| ") and not row.startswith("| Fast path")]
    assert len(rows) > 20
    for row in rows:
        (named,) = re.findall(r"`(\S+\.py)::(test_\w+)`", row)
        assert f"\ndef {named[1]}(" in (ROOT / "tests" / named[0]).read_text(encoding="utf-8"), row
