"""The share of a training's time that was spent waiting for data: logged, told, reported."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable

import pytest

from oltr.results import wait_share
from oltr.run import Request, run_stage

EPOCH = {"seconds": 4.0, "wait_seconds": 1.0}


def test_the_share_is_that_of_all_epochs() -> None:
    assert wait_share([EPOCH, {"seconds": 12.0, "wait_seconds": 0.0}]) == 0.0625
    assert wait_share([]) is None


def test_it_stands_in_the_report_and_in_each_epochs_line(
    request_for: Callable[..., Request], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="oltr"):
        folder = run_stage(request_for("stage_1", "epochs=2"))
    told = json.loads(folder.report.read_text(encoding="utf-8"))["run"]["wait_share"]
    assert told == wait_share(folder.history())
    assert 0 < told < 1
    lines = [line for line in caplog.messages if line.startswith("epoch ")]
    for line, epoch in zip(lines, folder.history(), strict=True):
        found = re.search(r"images/s, (\d+)% of the time waiting for data$", line)
        assert found
        waited, seconds, rounded = epoch["wait_seconds"], epoch["seconds"], 0.0005  # an epoch takes hundredths here
        least, most = (waited - rounded) / (seconds + rounded), (waited + rounded) / (seconds - rounded)
        assert 100 * least - 0.5 <= int(found[1]) <= 100 * most + 0.5
