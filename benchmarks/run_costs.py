"""What every run pays: starting the command, and checkpoints."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from benchmarks.rows import Case, Row
from oltr import checkpoint

ROOT = Path(__file__).parents[1]
TENSORS = 60
IMPORTING_FIRST = "import oltr.run\nfrom oltr.cli import main_run\nmain_run(['--help'])"


def help_text(folder: Path) -> Case:
    def printed(*words: str) -> str:
        return subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout

    return Case(ours=lambda: printed("main.py", "--help"), twin=lambda: printed("-c", IMPORTING_FIRST))


def content(parameters: int) -> dict[str, Any]:
    size = parameters // TENSORS
    return {"pair": {f"layer_{index}": torch.randn(size) for index in range(TENSORS)}}


def checkpoint_save(folder: Path, *, parameters: int) -> Case:
    state = content(parameters)

    def ours() -> Path:
        checkpoint.save(folder / "ours.pt", state)
        return folder / "ours.pt"

    def twin() -> Path:
        torch.save(state, folder / "twin.pt")
        return folder / "twin.pt"

    return Case(ours=ours, twin=twin, facts=lambda path: torch.load(path, weights_only=True))


def checkpoint_load(folder: Path, *, parameters: int) -> Case:
    path = folder / "state.pt"
    torch.save(content(parameters), path)
    return Case(ours=lambda: checkpoint.load(path, ("pair",)), twin=lambda: torch.load(path, weights_only=True))


PARAMETERS, FEW_PARAMETERS = {"parameters": 5_400_000}, {"parameters": 600}

ROWS = (
    Row(
        name="help",
        what="`python main.py --help`, the whole process",
        twin="the same after importing what a run imports",
        make=help_text,
        full={},
        tiny={},
    ),
    Row(
        name="checkpoint_save",
        what="a checkpoint of {parameters:,} parameters written, whole or not at all, and brought to the disk",
        twin="torch.save, which leaves both open",
        make=checkpoint_save,
        full=PARAMETERS,
        tiny=FEW_PARAMETERS,
    ),
    Row(
        name="checkpoint_load",
        what="a checkpoint of {parameters:,} parameters read and checked",
        twin="torch.load",
        make=checkpoint_load,
        full=PARAMETERS,
        tiny=FEW_PARAMETERS,
    ),
)
