"""The runs of a suite: what each is, where it lies, which come first, and which are done."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from oltr import config
from oltr.bench.suite import Method, Suite
from oltr.contracts import UserError
from oltr.folder import WITHOUT_EFFECT, RunFolder
from oltr.plain_data import ConfigError, differences, read
from oltr.stage_config import StageConfig


@dataclass(frozen=True, kw_only=True)
class Link:
    """One stage of a chain, as a job runs it."""

    path: Path
    """Of its config."""
    stage: StageConfig
    folder: RunFolder


@dataclass(frozen=True, kw_only=True, eq=False)
class Job:
    """One method with one seed."""

    method: str
    seed: int
    config: Path
    overrides: tuple[str, ...]
    out: Path
    log: Path
    chain: tuple[Link, ...]
    """Its stages, the first of them first; the last is its own."""

    @property
    def name(self) -> str:
        return f"{self.method}, seed {self.seed}"

    @property
    def folder(self) -> RunFolder:
        return self.chain[-1].folder

    @property
    def paths(self) -> frozenset[Path]:
        """The folders that it may write to."""
        return frozenset(link.folder.path for link in self.chain)

    @property
    def pretraining(self) -> str | None:
        """The weights that the chain began with, where they were not drawn at random."""
        first = self.chain[0].stage
        return first.initial_weights or first.init_from

    def words(self, data_root: Path | None = None, device: str = "auto") -> list[str]:
        """What `oltr` is given to run it, going on where it was cut."""
        words = ["run", "--config", str(self.config), *self.overrides, "--out", str(self.out)]
        words += ["--seed", str(self.seed), "--device", device, "--resume"]
        return words if data_root is None else [*words, "--data-root", str(data_root)]


def plan(suite: Suite, out: Path) -> list[Job]:
    """The jobs of a suite, in the order in which to begin them: first stages before what may start from them.

    A method with overrides of its own has a folder of its own below ``out``, named after it; the others share ``out``,
    and with it the stages that they have in common.
    """
    _demand_free(suite)
    jobs = [_job(suite, method, seed, out) for seed in suite.seeds for method in suite.methods]
    _demand_agreement(suite, jobs)
    return sorted(jobs, key=lambda job: len(job.chain))


def check(jobs: Sequence[Job]) -> None:
    """Import every part that the jobs name and hold its options against it: a mistake shows before anything runs."""
    for job in {job.method: job for job in jobs}.values():
        for link in job.chain:
            config.check(link.stage, f"{job.method}: {link.path}")


def is_done(job: Job, schema: int) -> bool:
    """Whether the files say so: a report of this ``schema``, made with this config, later than what it starts from.

    Where they do not, `oltr run` has the last word: it sees the data and the weights as well.
    """
    if not all(link.folder.trained for link in job.chain):
        return False
    try:
        report = json.loads(job.folder.report.read_text(encoding="utf-8"))
        if report["schema"] != schema or differ(report["run"]["config"], job.chain[-1].stage, job.folder.report):
            return False
        if differ(read(job.folder.config), job.chain[-1].stage, job.folder.config):
            return False
    except (OSError, ValueError, KeyError, TypeError, ConfigError):
        return False  # damaged, or of another age
    changed = [link.folder.best.stat().st_mtime_ns for link in job.chain]
    return changed == sorted(changed)


def differ(stored: Mapping[str, Any], stage: StageConfig, place: Path) -> list[str]:
    """The key paths at which a stored config is not ``stage``; keys without effect on the result are let be."""
    before = json.loads(json.dumps(config.plain(config.parse(stored, str(place)))))
    now = json.loads(json.dumps(config.plain(stage)))
    return [
        line
        for line in differences(before, now)
        if not any((line.partition(":")[0] + ".").startswith(f"{key}.") for key in WITHOUT_EFFECT)
    ]


def _job(suite: Suite, method: Method, seed: int, out: Path) -> Job:
    own_out = out / method.slug if method.overrides else out
    overrides = _overrides(suite, method)
    return Job(
        method=method.name,
        seed=seed,
        config=method.config,
        overrides=overrides,
        out=own_out,
        log=out / "logs" / f"{method.slug}_seed_{seed}.log",
        chain=tuple(
            Link(path=path, stage=stage, folder=RunFolder.of(path, out=own_out, seed=seed))
            for path, stage in _chain(method.config, overrides, seed)
        ),
    )


def _chain(path: Path, overrides: Sequence[str], seed: int) -> list[tuple[Path, StageConfig]]:
    """The stages that the one at ``path`` needs, the first of them first, and itself."""
    stage = replace(config.load(path, overrides), seed=seed)
    before = config.predecessor(path, stage)
    if before is None:
        return [(path, stage)]
    return [*_chain(before, config.split_overrides(overrides)[1], seed), (path, stage)]


def _overrides(suite: Suite, method: Method) -> tuple[str, ...]:
    """What the suite sets in every stage of the method's chain, what the method sets, and how it is evaluated.

    The stages before it are there for their weights: how they are evaluated is no matter.
    """
    stages = len(_chain(method.config, (*suite.overrides, *method.overrides), 0))
    reaching = set(config.split_overrides(suite.overrides)[1])  # what a chain shares gets to its first stage by itself
    set_by_suite = [
        "init_from." * depth + text
        for depth in range(stages)
        for text in suite.overrides
        if depth == 0 or text not in reaching
    ]
    return (*suite.evaluated, *set_by_suite, *method.overrides)


def _demand_free(suite: Suite) -> None:
    """A method's own folder is none of those that the suite has anyhow."""
    taken = {method.config.resolve().parent.name.lower() for method in suite.methods} | {"cache", "logs"}
    for method in suite.methods:
        if method.overrides and method.slug in taken:
            raise UserError(f"{suite.path}: methods.{method.name}: the folder {method.slug!r} is taken: rename it")


def _demand_agreement(suite: Suite, jobs: Sequence[Job]) -> None:
    """No two methods are the same run, and none has another config in a folder that it shares."""
    ends: dict[Path, str] = {}
    for job in jobs:
        other = ends.setdefault(job.folder.path, job.method)
        if other != job.method:
            raise UserError(f"{suite.path}: methods {other!r} and {job.method!r} are the same run of {job.config}")
    seen: dict[Path, tuple[str, StageConfig]] = {}
    for job in jobs:
        for link in job.chain:
            other, stage = seen.setdefault(link.folder.path, (job.method, link.stage))
            changed = list(differences(_trained(stage), _trained(link.stage)))
            if changed:
                raise UserError(
                    f"{suite.path}: methods {other!r} and {job.method!r} share {link.folder.name} and want it "
                    f"otherwise ({'; '.join(changed)}): give one of them overrides, and it has a folder of its own"
                )


def _trained(stage: StageConfig) -> dict[str, Any]:
    """What a stage's weights depend on."""
    return {key: value for key, value in config.plain(stage).items() if key != "evaluation"}
