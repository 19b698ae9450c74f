"""Who may import whom, read from the source; and what stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from oltr.plugins import KINDS

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "oltr"
PART_FOLDERS = ("data", "losses", "networks", "samplers", "scorers", "thresholds", "transforms")
PART_MODULES = {
    plugin.value.partition(":")[0] for kind in KINDS for plugin in kind.plugins if plugin.distribution == "oltr"
}
TYPES = {"oltr.contracts", "oltr.networks.pair", "oltr.data.split"}
INFRASTRUCTURE = {"oltr.atomic", "oltr.hdf5", "oltr.pixels"}
"""Files written whole and read safely, images resized and laid out: no part of a run, so parts may use them too."""
FRAME = {"oltr.options", "oltr.plugins", "oltr.contracts"}
BORDER = (
    *("cfl", "config_file", "error_line", "loss_keys"),
    *("named_file", "network_keys", "originals", "positional", "schedules"),
)
"""The modules of oltr/published that a published config is read with: they need the standard library only."""
STANDARD_LIBRARY_ONLY = {
    "plugins": {"oltr.options"},
    "options": set(),
    "contracts": set(),
    **dict.fromkeys(
        ["legacy", *(f"published/{name}" for name in BORDER)],
        FRAME | {f"oltr.published.{name}" for name in BORDER} | {"oltr.published"},
    ),
}
OTHER_WORDS = {"known_acceptance", "fixed"}
"""Names of parts that mean something else in core as well: a metric, and a key that configs had before."""
SPEAKS_OF_PARTS = (
    "legacy",
    *(f"published.{name}" for name in ("convert", "network_keys", "loss_keys", "named_file", "summary")),
)
"""What names of published files mean in ours: to say so is what they are for."""


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def imports(path: Path, *, at_run_time: bool = False) -> set[str]:
    """Every module that a file imports; with ``at_run_time`` those under TYPE_CHECKING are left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped: set[int] = set()
    if at_run_time:
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
                skipped |= {id(inner) for child in node.body for inner in ast.walk(child)}
    found: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            module = node.module or ""
            inner = {f"{module}.{alias.name}" for alias in node.names}
            known = {name for name, _ in MODULES}
            found |= {name for name in inner if name in known} or {module}
    return found


MODULES: list[tuple[str, Path]] = list(modules())
NAMES = [name for name, _ in MODULES]
OURS = {name: {found for found in imports(path) if found.partition(".")[0] == "oltr"} for name, path in MODULES}


def test_the_tree_was_read() -> None:
    assert {"oltr.plugins", "oltr.run", "oltr.losses.cyclical_focal"} <= set(NAMES)
    assert PART_MODULES - {"torch.optim"} <= set(NAMES)
    assert "oltr.plugins" in OURS["oltr.config"]


@pytest.mark.parametrize(
    "name", [name for name in NAMES if name.split(".")[1:2] and name.split(".")[1] in PART_FOLDERS]
)
def test_parts_see_contracts_and_types_and_their_own_folder(name: str) -> None:
    folder = ".".join(name.split(".")[:2])
    allowed = TYPES | INFRASTRUCTURE
    wrong = {found for found in OURS[name] if found not in allowed and not found.startswith(f"{folder}.")}
    assert not wrong, f"{name} imports {sorted(wrong)}"


@pytest.mark.parametrize("name", NAMES)
def test_nobody_imports_a_part_by_name(name: str) -> None:
    """Within a part's own folder a variant may build on it, as places_lt does on image_list."""
    folder = ".".join(name.split(".")[:2])
    wrong = {found for found in OURS[name] & PART_MODULES if not found.startswith(f"{folder}.")}
    assert not wrong, f"{name} imports the parts {sorted(wrong)}"


@pytest.mark.parametrize("name", sorted(STANDARD_LIBRARY_ONLY))
def test_the_frame_needs_the_standard_library_only(name: str) -> None:
    path = PACKAGE / f"{name}.py"
    for found in imports(path, at_run_time=True) - STANDARD_LIBRARY_ONLY[name]:
        assert found.partition(".")[0] in sys.stdlib_module_names, f"{path.name} imports {found}"


def test_part_names_stand_in_their_own_files_only() -> None:
    """Core knows kinds, never names: no string in core names one of our parts; the border to published configs does."""
    names = {plugin.name for kind in KINDS for plugin in kind.plugins if plugin.distribution == "oltr"}
    exempt = {f"oltr.{name}" for name in SPEAKS_OF_PARTS}
    core = [
        path
        for name, path in MODULES
        if name.split(".")[1:2] and name.split(".")[1] not in PART_FOLDERS and name not in exempt
    ]
    found = [
        (path.name, node.lineno, node.value)
        for path in core
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant)
        and node.value in names - OTHER_WORDS
        and f"oltr.{path.stem}" not in PART_MODULES
    ]
    assert not found


@pytest.mark.parametrize(
    "words", [["--help"], ["plugins"], ["run", "--help"], ["show", "--config", "config/Glyphs_LT/stage_1.yaml"]]
)
def test_light_commands_import_neither_torch_nor_numpy(words: list[str]) -> None:
    code = (
        "import sys\nfrom oltr.cli import main\n"
        f"try: main({words!r})\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'matplotlib', 'h5py', 'sklearn'} & set(sys.modules)\nassert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
