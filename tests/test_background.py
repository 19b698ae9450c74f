"""Writing beside training: in order, of what was there when it was asked for, and its errors are not lost."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from oltr import checkpoint
from oltr.background import Background
from oltr.contracts import Progress, RunError
from oltr.folder import RunFolder
from oltr.networks.dot_product import DotProduct
from oltr.networks.pair import NetworkPair
from oltr.samplers.shuffled import Shuffled
from oltr.state import KEYS, TrainingState, snapshot
from oltr.training import EpochEnd


def test_pieces_are_done_one_after_the_other() -> None:
    beside, free, done = Background(), threading.Event(), list[int]()

    def first() -> None:
        assert free.wait(10)
        done.append(1)

    beside.run(first)
    assert not done  # the caller goes on meanwhile
    threading.Timer(0.05, free.set).start()
    beside.run(lambda: done.append(2))
    beside.wait()
    assert done == [1, 2]


def test_an_error_is_raised_once_in_the_next_call() -> None:
    beside = Background()

    def fails() -> None:
        raise RunError("no space left")

    for call in (beside.wait, beside.check, lambda: beside.run(lambda: None)):
        beside.run(fails)
        while beside._thread is not None and beside._thread.is_alive():
            beside._thread.join()
        with pytest.raises(RunError, match="no space left"):
            call()
        beside.wait()


def test_a_check_does_not_wait() -> None:
    beside, free = Background(), threading.Event()
    beside.run(lambda: None if free.wait(10) else pytest.fail("the check waited"))
    beside.check()
    free.set()
    beside.wait()


def test_leaving_waits_for_what_is_under_way_and_the_callers_own_error_wins(caplog: pytest.LogCaptureFixture) -> None:
    done = []

    def left(work: Callable[[], None]) -> None:
        with Background() as beside:
            beside.run(work)
            raise KeyboardInterrupt

    def fails() -> None:
        raise RunError("no space left")

    with pytest.raises(KeyboardInterrupt):
        left(lambda: done.append(threading.Event().wait(0.05)))
    assert len(done) == 1
    with caplog.at_level(logging.ERROR, logger="oltr"), pytest.raises(KeyboardInterrupt):
        left(fails)
    assert caplog.messages == ["no space left"]
    with pytest.raises(RunError, match="no space left"), Background() as beside:
        beside.run(fails)


def test_a_snapshot_shares_no_tensor_with_what_it_is_of() -> None:
    inner = torch.arange(3.0)
    content = {"state": {0: {"momentum_buffer": inner, "step": 2}}, "groups": [{"betas": (0.9, inner)}], "name": "sgd"}
    copied = snapshot(content)
    inner.zero_()
    assert copied["state"][0]["momentum_buffer"].tolist() == [0, 1, 2]
    assert copied["groups"][0]["betas"][1].tolist() == [0, 1, 2]
    assert (copied["state"][0]["step"], copied["name"], copied["groups"][0]["betas"][0]) == (2, "sgd", 0.9)


def test_what_is_written_is_the_state_at_the_epochs_end_whatever_training_does_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = NetworkPair(torch.nn.Linear(2, 3), DotProduct(feature_dim=3, num_classes=2))
    optimizer = torch.optim.SGD(pair.parameters(), lr=0.1, momentum=0.9)
    pair(torch.ones(4, 2)).logits.sum().backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    then, momentum = snapshot(pair.state_dict()), snapshot(optimizer.state_dict())["state"]
    real, free = checkpoint.save, threading.Event()
    monkeypatch.setattr(checkpoint, "save", lambda path, content: (free.wait(10), real(path, content)))
    with Background() as beside:
        state = TrainingState(folder=RunFolder(tmp_path), keep="best", facts={}, beside=beside)
        end = EpochEnd(progress=Progress(epoch=0, epochs=2), losses={}, settings=[], images=4, seconds=1.0)
        state.save(pair, optimizer, Shuffled(labels=torch.zeros(4), generator=torch.Generator()), end, 0.5)
        optimizer.step()  # weights and momentum change in place
        free.set()
    for name in ("best.pt", "last.pt"):
        kept = torch.load(tmp_path / name, weights_only=True)["pair"]
        assert all(torch.equal(kept[key], then[key]) for key in then)
    kept = checkpoint.load(tmp_path / "last.pt", KEYS)["optimizer"]["state"]
    assert all(torch.equal(kept[key]["momentum_buffer"], momentum[key]["momentum_buffer"]) for key in momentum)
    assert not torch.equal(pair.state_dict()["backbone.weight"], then["backbone.weight"])
