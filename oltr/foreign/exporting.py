"""The best weights of a run as a checkpoint of the published code."""

from __future__ import annotations

from pathlib import Path

from oltr import __version__, checkpoint
from oltr.contracts import UserError
from oltr.folder import RunFolder
from oltr.foreign.checkpoints import PUBLISHED, published_form
from oltr.foreign.pickles import unpickled
from oltr.plugins import nearest

MARK = "made_by"
"""A key that the published code does not read: it tells our own exports, which may be replaced, from other files."""


def export(run: Path, output: Path | None = None, *, force: bool = False) -> Path:
    """Write the run's best weights in the published form, by default as the run's own `final_model_checkpoint.pth`."""
    folder = RunFolder(run)
    if not folder.started:
        runs = sorted(str(found.parent) for found in run.rglob("config.yaml")) if run.is_dir() else []
        raise UserError(f"{run}: no run's folder: it has no config.yaml{nearest(str(run), runs)}")
    if not folder.best.is_file():
        raise UserError(f"{run}: nothing to export: no {folder.best.name} there; the stage has not been trained")
    target = folder.path / PUBLISHED if output is None else output
    if not force:
        _demand_own(target)
    form = published_form(checkpoint.load(folder.best, ("pair", "epoch", "facts")))
    history = folder.history()
    if history:
        form["epoch"] = history[-1]["epoch"] + 1  # also right for a run that has not ended
    checkpoint.save(target, {**form, MARK: f"oltr {__version__}"})
    return target


def _demand_own(target: Path) -> None:
    """Raise UserError where the file is not one of our exports."""
    if not target.exists():
        return
    try:
        content = unpickled(target)
    except UserError:
        content = None
    if not isinstance(content, dict) or MARK not in content:
        raise UserError(
            f"{target} is there and was not exported by this suite: --force replaces it, --output keeps both"
        )
