"""How many processes read images where the config leaves it open."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from oltr import loading
from oltr.contracts import UserError
from oltr.loading import workers_for
from oltr.plain_data import ConfigError
from oltr.run import Request, experiment_of, open_stage

GPU = torch.device("cuda")


class Blank:
    """Images of one size without content."""

    def __init__(self, side: int, count: int = 3) -> None:
        self.labels, self.ids, self.side = np.zeros(count, dtype=np.int64), ["a"] * count, side

    def read(self, indices: list[int]) -> list[torch.Tensor]:
        return [torch.zeros(3, self.side, self.side, dtype=torch.uint8) for _ in indices]


@pytest.mark.parametrize(
    ("cores", "processes", "expected"), [(1, 1, 1), (2, 1, 1), (8, 1, 7), (64, 1, 15), (16, 4, 3), (2, 4, 1)]
)
def test_beside_a_gpu_every_core_reads_but_one(
    monkeypatch: pytest.MonkeyPatch, cores: int, processes: int, expected: int
) -> None:
    monkeypatch.setattr(loading, "usable_cores", lambda: cores)
    assert workers_for(Blank(224), GPU, {"LOCAL_WORLD_SIZE": str(processes)}) == expected


def test_none_on_a_cpu_nor_for_small_or_no_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "usable_cores", lambda: 8)
    assert workers_for(Blank(224), torch.device("cpu"), {}) == 0
    assert workers_for(Blank(64), GPU, {}) == 0
    assert workers_for(Blank(65), GPU, {}) == 7
    assert workers_for(Blank(224, count=0), GPU, {}) == 0


def test_a_config_leaves_it_open_or_says_a_number(request_for, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    def told(*overrides: str) -> int:
        request: Request = request_for("stage_1", *overrides)
        stage, _ = open_stage(request)
        monkeypatch.setattr("oltr.experiment.workers_for", lambda images, device: 5)
        return experiment_of(request, stage).workers(Blank(8))

    assert (told(), told("workers=null"), told("workers=0"), told("workers=2")) == (5, 5, 0, 2)
    with pytest.raises((ConfigError, UserError), match="workers: a whole number from 0 on, or null, not -1"):
        told("workers=-1")
