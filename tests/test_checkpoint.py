"""Checkpoints: whole or not there, tensors only, located when broken."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from oltr import checkpoint
from oltr.contracts import RunError, UserError


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "a.pt", {"pair": {"w": torch.arange(3)}, "epoch": 2})
    loaded = checkpoint.load(tmp_path / "a.pt", ("pair", "epoch"))
    assert loaded["epoch"] == 2
    assert torch.equal(loaded["pair"]["w"], torch.arange(3))
    assert [path.name for path in tmp_path.iterdir()] == ["a.pt"]


@pytest.mark.parametrize("kept", [0, 1, 100, -1])
def test_a_truncated_file_is_refused_in_one_line(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "a.pt"
    checkpoint.save(path, {"pair": {"w": torch.arange(300)}})
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(UserError, match=r"a\.pt: not a readable checkpoint") as error:
        checkpoint.load(path, ("pair",))
    assert "\n" not in str(error.value)


def test_another_suites_checkpoint_is_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": {}}, tmp_path / "b.pt")
    with pytest.raises(UserError, match="not a checkpoint of this suite: it lacks 'pair'"):
        checkpoint.load(tmp_path / "b.pt", ("pair",))


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "sprung",)  # type: ignore[return-value]

    torch.save({"pair": Trap()}, tmp_path / "trap.pt")
    with pytest.raises(UserError, match="not a readable checkpoint"):
        checkpoint.load(tmp_path / "trap.pt", ("pair",))
    assert not (tmp_path / "sprung").exists()


def test_a_failed_write_leaves_the_old_file_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.pt"
    checkpoint.save(path, {"epoch": 1})

    def fails(content: object, file: object) -> None:
        file.write(b"half of it")  # type: ignore[attr-defined]
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", fails)
    with pytest.raises(RunError, match=r"no space left on the disk for .*a\.pt"):
        checkpoint.save(path, {"epoch": 2})
    assert checkpoint.load(path, ("epoch",))["epoch"] == 1
    assert [item.name for item in tmp_path.iterdir()] == ["a.pt"]


def test_random_state_resumes_the_sequence() -> None:
    state = checkpoint.random_state()
    first = torch.rand(5)
    checkpoint.set_random_state(state)
    assert torch.equal(torch.rand(5), first)
