"""Where a run lives on disk, and what state it is in."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oltr.atomic import write_bytes
from oltr.contracts import UserError
from oltr.plain_data import differences, read_yaml, write_yaml
from oltr.plain_data import read as _read
from oltr.report.markdown import CAPTIONS

try:
    import fcntl
except ImportError:  # not on Windows, where runs are not kept apart
    fcntl = None  # type: ignore[assignment]

IMPORTED = "imported from "
"""How the origin begins of a run that was made of files from elsewhere."""

RUNS = Path("runs")
"""Where runs are written if nothing else is said."""

WITHOUT_EFFECT = (
    *("workers", "compute.channels_last"),
    *("compute.compile", "compute.compile_losses", "compute.compile_transform"),
)
"""Keys of a config that change how fast a result comes, not what it is, but for rounding."""

WRITTEN = (
    *("report.json", "report.md", "report.html", *CAPTIONS, "predictions.h5", "logits_close.npz", "logits_open.npz"),
    *("last.pt", "best.pt", "log.jsonl", "origin.json", "config.yaml"),
)
"""Every file that a run writes, in the order in which a new run removes them."""


WRITTEN_BY_US_ALONE = tuple(name for name in WRITTEN if not name.endswith(".npz"))
"""Those of them that the published code does not write; its own are kept where no run of ours has been."""


class StaleRunError(UserError):
    """A run on disk that is not what is asked for now, or that did not end."""


@dataclass(frozen=True)
class RunFolder:
    """The files of one stage with one seed: `<out>/<config's folder>/<config>/seed_<n>/`.

    That of a ``published`` config is the one that it names for itself, where the checkpoint of the published code lies.
    """

    path: Path
    published: bool = False

    @classmethod
    def of(cls, config: Path, *, out: Path | None, seed: int, given: Path | None = None) -> RunFolder:
        """The folder of a config's run below ``out``; ``given`` is the one that a published config names for itself."""
        if given is None:
            return cls((out or RUNS) / config.resolve().parent.name / config.stem / f"seed_{seed}")
        return cls(given if out is None else out.joinpath(*given.parts[given.parts[:1] == ("logs",) :]), published=True)

    @property
    def name(self) -> str:
        return "/".join(self.path.parts[-3:])

    @property
    def config(self) -> Path:
        return self.path / "config.yaml"

    @property
    def origin(self) -> Path:
        """The run that this one started from, or null."""
        return self.path / "origin.json"

    @property
    def log(self) -> Path:
        return self.path / "log.jsonl"

    @property
    def last(self) -> Path:
        """The whole state after the last epoch that ended."""
        return self.path / "last.pt"

    @property
    def best(self) -> Path:
        """The weights that are evaluated and that the next stage starts from."""
        return self.path / "best.pt"

    @property
    def report(self) -> Path:
        return self.path / "report.json"

    @property
    def started(self) -> bool:
        return self.config.is_file()

    @property
    def kept(self) -> bool:
        """Whether an epoch has ended, so that there is something to lose."""
        return any(file.is_file() for file in (self.last, self.best, self.report)) or bool(self.history())

    @property
    def trained(self) -> bool:
        """Training has ended and its result was evaluated and reported."""
        return self.started and self.report.is_file() and self.best.is_file()

    def demand_writable(self) -> None:
        """Raise UserError where the folder cannot be made; nothing is made yet."""
        there = next(place for place in (self.path, *self.path.absolute().parents) if place.exists())
        if not there.is_dir():
            raise UserError(f"--out: {there} is a file, so no run can be written below it")
        if not os.access(there, os.W_OK | os.X_OK):
            raise UserError(f"--out: {there} cannot be written to")

    def demand_same(
        self,
        plain: Mapping[str, Any],
        *,
        besides: tuple[str, ...] = (),
        read: Callable[[Any], Any] = dict,
        remedy: str = "--fresh runs it anew and removes the old result, --out keeps both",
    ) -> None:
        """Raise StaleRunError, with the difference, where the folder was made with another config.

        ``read`` makes the stored config comparable: it adds the defaults of keys that are newer than the run.
        """
        kept = self._differences(plain, besides, read)
        if kept:
            raise StaleRunError(f"{self.path} was run with another config ({'; '.join(kept)}): {remedy}")

    def same(self, plain: Mapping[str, Any], *, read: Callable[[Any], Any] = dict) -> bool:
        """Whether the folder was made with this config, evaluation and all."""
        return not self._differences(plain, (), read)

    def _differences(self, plain: Mapping[str, Any], besides: tuple[str, ...], read: Callable[[Any], Any]) -> list[str]:
        stored = _through_yaml(read(_read(self.config)))
        return [
            line
            for line in differences(stored, _through_yaml(plain))
            if not any((line.partition(":")[0] + ".").startswith(f"{key}.") for key in WITHOUT_EFFECT + besides)
        ]

    def write_config(self, plain: Mapping[str, Any]) -> None:
        write_bytes(self.config, write_yaml(plain).encode())

    def told(self) -> dict[str, Any]:
        """What a stage that starts from this finished run should know of it: images seen up to it, and its choices."""
        try:
            report = json.loads(self.report.read_text(encoding="utf-8"))
            run, before = report["run"], report["provenance"].get("before") or {}
            seen = [run["images_seen"], before.get("images_seen", 0)]  # not known of what was imported
            total = None if None in seen else sum(seen)
            return {"run": self.name, "images_seen": total, "test_selected": run.get("test_selected", False)}
        except (OSError, ValueError, KeyError, TypeError):
            return {"run": self.name}

    def demand_source(self, data: str | None, origin: Mapping[str, str] | None) -> None:
        """Raise StaleRunError where the run saw other data or started from other weights."""
        self.demand_data(data)
        self.demand_origin(origin)

    def demand_origin(self, origin: Mapping[str, str] | None) -> None:
        """Raise StaleRunError where the run that this one started from has been run anew since."""
        if self._noted()["starts_from"] != origin:
            raise StaleRunError(
                f"{self.path} started from other weights of its first stage: --fresh runs it from the present ones"
            )

    def demand_data(self, data: str | None) -> None:
        """Raise StaleRunError where the run saw other data than those of checksum ``data``."""
        noted = self._noted()["data"]
        if noted != data:
            raise StaleRunError(
                f"{self.path} was run on other data (checksum {str(noted)[:12]}, now {str(data)[:12]}): "
                "--fresh runs it on the present ones, --out keeps both"
            )

    @property
    def imported(self) -> bool:
        """Whether the run was made of files from elsewhere, and so has no stage before it here."""
        start = self._noted()["starts_from"]
        return isinstance(start, dict) and str(start.get("run")).startswith(IMPORTED)

    def started_from(self) -> Any:
        """The run that this one started from, or None."""
        return self._noted()["starts_from"]

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep every other process out of the folder; UserError where one is in it."""
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / ".lock").open("w", encoding="utf-8") as file:
            if fcntl is not None:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise UserError(f"{self.path}: another process is running this stage; wait for it") from None
            yield

    def begin(self, plain: Mapping[str, Any], origin: Mapping[str, str] | None, data: str | None) -> None:
        """Remove what an earlier run wrote, and nothing else, and write the config.

        The old config goes last: a begin that is cut leaves a folder that still says which run it was.
        """
        for place in (self.path / "test", self.path / "test_open", self.path):
            for name in WRITTEN if self.started else WRITTEN_BY_US_ALONE:
                (place / name).unlink(missing_ok=True)
            if place != self.path and place.is_dir() and not any(place.iterdir()):
                place.rmdir()
        write_bytes(self.origin, json.dumps({"starts_from": origin, "data": data}).encode())
        self.write_config(plain)

    def _noted(self) -> dict[str, Any]:
        try:
            noted = json.loads(self.origin.read_text(encoding="utf-8"))
            return {"starts_from": noted["starts_from"], "data": noted["data"]}
        except (FileNotFoundError, ValueError, KeyError, TypeError) as error:
            raise StaleRunError(f"{self.origin} is missing or damaged: --fresh runs the stage anew") from error

    def history(self) -> list[dict[str, Any]]:
        """The epochs logged so far; a line cut short by a crash is left out."""
        if not self.log.is_file():
            return []
        text = self.log.read_text(encoding="utf-8")
        try:
            return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
        except ValueError as error:
            raise UserError(f"{self.log} is damaged: --fresh runs the stage anew") from error

    def keep_history(self, epochs: int) -> None:
        """Forget what was logged after epoch ``epochs``: it is about to be trained again."""
        kept = [record for record in self.history() if record["epoch"] < epochs]
        write_bytes(self.log, "".join(json.dumps(record) + "\n" for record in kept).encode())

    def append(self, record: Mapping[str, Any]) -> None:
        """One line an epoch, on the disk when this returns."""
        self.path.mkdir(parents=True, exist_ok=True)
        with self.log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record, allow_nan=False) + "\n")


def _through_yaml(plain: Mapping[str, Any]) -> Any:
    return read_yaml(write_yaml(plain), "config")
