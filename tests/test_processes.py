"""Several processes under torchrun, over gloo, against one process: both stages, resuming, a death, a mistake."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from oltr import checkpoint
from oltr.predictions import Predictions
from oltr.processes import Processes
from oltr.run import Request, run_stage

ROOT = Path(__file__).parent.parent
PLAIN = ("backbone.dropout=0", "init_from.backbone.dropout=0")  # each process would draw its own dropout
ODD = """
import os
from typing import Any

import torch
from torch import nn

from oltr.data.glyphs import Glyphs


class Odd(nn.Module):
    feature_dim = 8

    def __init__(self, *, image_size: int = 12) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.cumulative = nn.BatchNorm2d(8, momentum=None)
        self.forgetful = nn.BatchNorm2d(8, track_running_stats=False)
        self.flat = nn.BatchNorm1d(8)
        self.unused = nn.Linear(3, 3)

    def forward(self, images):
        return self.flat(self.forgetful(self.cumulative(self.conv(images))).relu().mean((2, 3)))


class Drawn:
    def __init__(self, *, labels: Any) -> None:
        self.images = len(labels)

    def indices(self, progress):
        return torch.randperm(self.images)

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


class Uneven(Glyphs):
    def splits(self):
        splits = super().splits()
        splits.manifest["sha256"] += os.environ.get("RANK", "0")
        return splits
"""
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def torchrun(configs: Path, tmp_path: Path) -> Iterator[Start]:
    """`torchrun --nproc-per-node N main.py …` on one of the tiny configs."""
    started: list[subprocess.Popen[str]] = []

    def start(
        count: int, name: str, *words: str, out: str = "runs", first_path: Path | None = None
    ) -> subprocess.Popen[str]:
        launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
        config = ["--config", str(configs / f"{name}.yaml"), "--out", str(tmp_path / out), "--device", "cpu"]
        process = subprocess.Popen(
            [*launcher, str(ROOT / "main.py"), *config, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", **({"PYTHONPATH": str(first_path)} if first_path else {})},
            cwd=tmp_path,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def finish(process: subprocess.Popen[str]) -> tuple[str, str]:
    stdout, stderr = process.communicate(timeout=180)
    assert process.returncode == 0, stderr
    return stdout, stderr


def folder_of(tmp_path: Path, name: str, out: str) -> Path:
    return tmp_path / out / "Tiny_LT" / name / "seed_0"


def history(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def assert_same_run(one: Path, other: Path, *, digits: float = 2e-4) -> None:
    """Losses, weights and predictions agree but for rounding, and everything that is counted is equal."""
    for left, right in zip(history(one), history(other), strict=True):
        assert left["loss"] == pytest.approx(right["loss"], rel=digits)
        assert left["val"]["accuracy"] == right["val"]["accuracy"]
        assert left["images"] == right["images"]
    weights, others = (checkpoint.load(folder / "best.pt", ("pair",))["pair"] for folder in (one, other))
    for key, value in weights.items():
        torch.testing.assert_close(
            others[key], value, rtol=10 * digits, atol=digits, msg=lambda text, key=key: f"{key}: {text}"
        )
    first, second = (Predictions.open(folder / "predictions.h5") for folder in (one, other))
    for name in ("val", "test", "open"):
        left, right = first.part(name), second.part(name)
        assert left is not None
        assert right is not None
        assert left.ids == right.ids
        assert np.array_equal(left.labels, right.labels)
        np.testing.assert_allclose(left.logits, right.logits, rtol=20 * digits, atol=20 * digits)
    if first.centroids is not None:
        assert second.centroids is not None
        np.testing.assert_allclose(first.centroids, second.centroids, rtol=10 * digits, atol=digits)


@pytest.mark.parametrize("count", [2, 3])
def test_processes_equal_one_in_both_stages(
    count: int, torchrun: Start, request_for: Callable[..., Request], tmp_path: Path
) -> None:
    stdout, stderr = finish(torchrun(count, "stage_2", *PLAIN, out="several"))
    run_stage(request_for("stage_2", *PLAIN, out="one"))
    for stage in ("stage_1", "stage_2"):
        assert_same_run(folder_of(tmp_path, stage, "one"), folder_of(tmp_path, stage, "several"))
    assert stdout.count("report: ") == 1, "one process speaks for all"
    assert stderr.count("epoch 1/2") == 1
    facts = Predictions.open(folder_of(tmp_path, "stage_2", "several") / "predictions.h5").provenance
    assert facts["computing"]["processes"] == count
    assert facts["computing"]["batch_statistics"] == "of each part"


def test_parts_and_processes_together_equal_one(
    torchrun: Start, request_for: Callable[..., Request], tmp_path: Path
) -> None:
    """Batch normalisation rests in this one: its statistics are those of each part; and images come from a cache."""
    frozen = [
        "backbone.only=[modulatedatt]",
        "compute.accumulate=2",
        "compute.channels_last=true",
        "cache.image_size=12",
    ]
    scorers = "evaluation={scorers: [msp, odin, mahalanobis], shots: {rule: oltr, many: 16, few: 6}}"
    finish(torchrun(2, "stage_2", *PLAIN, *frozen, scorers, out="several"))
    run_stage(request_for("stage_2", *PLAIN, frozen[0], frozen[3], scorers, out="one"))
    one, several = (folder_of(tmp_path, "stage_2", out) for out in ("one", "several"))
    assert_same_run(one, several)
    for name in ("fit", "test", "open"):
        left, right = (Predictions.open(folder / "predictions.h5").part(name) for folder in (one, several))
        assert left is not None
        assert right is not None
        assert left.ids == right.ids
        np.testing.assert_allclose(left.logits, right.logits, rtol=4e-3, atol=4e-3)
        for scored in [(left.network_scores("odin", {}), right.network_scores("odin", {}))] * (name != "fit"):
            np.testing.assert_allclose(*scored, rtol=1e-2)


def test_parts_of_others_work_as_in_one_process(
    torchrun: Start, request_for: Callable[..., Request], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unused layer, BatchNorms of other kinds, and a sampler that draws from the global generator."""
    (tmp_path / "odd_parts.py").write_text(ODD)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    words = ["backbone={name: 'odd_parts:Odd'}", "sampler={name: 'odd_parts:Drawn'}", "epochs=2"]
    _, stderr = finish(torchrun(2, "stage_1", *words, out="several"))
    assert "find_unused_parameters" not in stderr
    run_stage(request_for("stage_1", *words, out="one"))
    assert_same_run(folder_of(tmp_path, "stage_1", "one"), folder_of(tmp_path, "stage_1", "several"))
    parts = [*words, "compute.accumulate=2", "losses=[{name: cross_entropy, class_weights: balanced}]"]
    finish(torchrun(2, "stage_1", *parts, out="several_in_parts"))
    run_stage(request_for("stage_1", *parts, out="one_in_parts"))
    assert_same_run(*(folder_of(tmp_path, "stage_1", out) for out in ("one_in_parts", "several_in_parts")))


def test_processes_that_see_other_data_are_refused(torchrun: Start, tmp_path: Path) -> None:
    (tmp_path / "odd_parts.py").write_text(ODD)
    job = torchrun(2, "stage_1", "data.name=odd_parts:Uneven", first_path=tmp_path)
    _, stderr = job.communicate(timeout=120)
    assert stderr.count("stage_1.yaml: data: the processes see other data (checksums") == 1


def test_without_synchronised_statistics_the_report_says_so_and_they_differ(torchrun: Start, tmp_path: Path) -> None:
    finish(torchrun(2, "stage_1", *PLAIN[:1], "compute.sync_batchnorm=false", "epochs=1", out="own"))
    finish(torchrun(2, "stage_1", *PLAIN[:1], "epochs=1", out="synced"))
    own, synced = (folder_of(tmp_path, "stage_1", out) for out in ("own", "synced"))
    assert history(own)[0]["loss"]["total"] != pytest.approx(history(synced)[0]["loss"]["total"], rel=1e-4)
    facts = Predictions.open(own / "predictions.h5").provenance
    assert facts["computing"]["batch_statistics"] == "of each device's share of each part"


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds the process by /proc")
def test_a_dead_process_ends_the_run_and_another_number_goes_on(
    torchrun: Start, request_for: Callable[..., Request], tmp_path: Path
) -> None:
    many = ["epochs=12", *PLAIN[:1]]
    folder = folder_of(tmp_path, "stage_1", "runs")
    job = torchrun(2, "stage_1", *many)
    wait_for(lambda: len(history(folder)) >= 2 if (folder / "log.jsonl").exists() else False, job)
    os.kill(process_of_rank(1, job.pid), signal.SIGKILL)
    _, stderr = job.communicate(timeout=120)
    assert job.returncode != 0
    assert "what earlier epochs saved is kept, and --resume goes on from there" in stderr
    state = checkpoint.load(folder / "last.pt", ("pair", "epochs_done"))
    assert 2 <= state["epochs_done"] < 12
    before = state["epochs_done"]

    finish(torchrun(3, "stage_1", *many, "--resume"))
    assert len(history(folder)) == 12
    assert [line["epoch"] for line in history(folder)] == list(range(12))
    run_stage(request_for("stage_1", *many, out="one"))
    left, right = (history(place)[before]["loss"]["total"] for place in (folder, folder_of(tmp_path, "stage_1", "one")))
    assert left == pytest.approx(right, rel=1e-2)  # rounding grows over some epochs


def test_a_mistake_is_told_once(torchrun: Start) -> None:
    job = torchrun(2, "stage_1", "losses.0.factor=0.5")
    _, stderr = job.communicate(timeout=120)
    assert job.returncode != 0
    assert stderr.count("a cycle's factor is at least 1") == 1


def test_a_batch_that_cannot_be_shared_is_refused(torchrun: Start) -> None:
    job = torchrun(2, "stage_1", "batch_size=1")
    _, stderr = job.communicate(timeout=120)
    assert "batch_size: 1 images cannot be split into 1 parts for 2 processes" in stderr


def wait_for(done: Callable[[], bool], job: subprocess.Popen[str]) -> None:
    limit = time.monotonic() + 120
    while not done():
        assert job.poll() is None, job.communicate()
        assert time.monotonic() < limit
        time.sleep(0.02)


def process_of_rank(rank: int, launcher: int) -> int:
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "environ").read_bytes().split(b"\0")
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if parent == launcher and f"RANK={rank}".encode() in words:
            return int(entry.name)
    raise AssertionError(f"no process of rank {rank}")


@given(size=st.integers(0, 40), parts=st.integers(1, 4), count=st.integers(1, 5))
def test_shares_are_a_partition_in_order(size: int, parts: int, count: int) -> None:
    shares: Sequence[list[range]] = [Processes(rank=rank, count=count).share(size, parts) for rank in range(count)]
    rows = [row for part in range(parts) for share in shares for row in share[part]]
    assert rows == list(range(size))
    sizes = [len(share[part]) for share in shares for part in range(parts)]
    assert max(sizes) - min(sizes) <= 1


def test_one_process_tells_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.distributed, "broadcast_object_list", lambda *_, **__: pytest.fail("spoke"))
    alone = Processes()
    assert alone.once(lambda: 3) == 3
    assert alone.one_first(lambda: 4) == 4
    rows = torch.arange(3)
    assert alone.gather(rows)[0] is rows


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_processes_share_a_feature_cache(
    precision: str, torchrun: Start, request_for: Callable[..., Request], tmp_path: Path
) -> None:
    """Made together and read in shares: the file and the run are those of one process."""
    words = [*PLAIN, "backbone.only=[modulatedatt]", f"feature_cache={{views: 2, precision: {precision}}}"]
    finish(torchrun(2, "stage_2", *words, out="several"))
    run_stage(request_for("stage_2", *words, out="one"))
    assert_same_run(*(folder_of(tmp_path, "stage_2", out) for out in ("one", "several")))
    made = {
        out: {path.name.split("-")[1]: path for path in (tmp_path / out / "cache").glob("features-*.h5")}
        for out in ("one", "several")
    }
    assert made["one"].keys() == made["several"].keys() == {"train", "val"}
    for name, path in made["one"].items():
        with h5py.File(path) as one, h5py.File(made["several"][name]) as several:
            left, right = (torch.from_numpy(file["values"][:]) for file in (one, several))
            if precision == "bfloat16":
                left, right = (values.view(torch.bfloat16).float() for values in (left, right))
            torch.testing.assert_close(right, left, rtol=1e-2, atol=1e-3)
