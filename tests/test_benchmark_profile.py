"""Operators land in their groups, shares are of the whole, and every case of the profile runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from time import sleep

import pytest
import torch
from torch import Tensor

from benchmarks import profile
from benchmarks.profile_groups import GROUPS, PATTERNS, READING, REST, group_of, marked, shares

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("operator", "group"),
    [
        ("aten::convolution_backward", "convolution, backward"),
        ("autograd::engine::evaluate_function: ConvolutionBackward0", "convolution, backward"),
        ("aten::mkldnn_convolution", "convolution"),
        ("aten::cudnn_convolution", "convolution"),
        ("aten::native_batch_norm_backward", "batch norm"),
        ("aten::max_pool2d_with_indices", "relu, pooling, sums"),
        ("aten::clamp_min_", "relu, pooling, sums"),
        ("aten::add_", "relu, pooling, sums"),
        ("aten::addmm", "products, softmax"),
        ("aten::_log_softmax_backward_data", "products, softmax"),
        ("aten::_fused_sgd_", "optimizer"),
        ("aten::copy_", "copies, casts"),
        ("aten::some_new_operator", REST),
        ("aten::addcmul", REST),
    ],
)
def test_an_operator_has_its_group_and_an_unknown_one_is_of_the_rest(operator: str, group: str) -> None:
    assert group_of(operator) == group


def test_shares_are_of_the_whole_and_what_is_done_while_reading_is_reading() -> None:
    kernel, images = torch.randn(16, 16, 3, 3), torch.randn(8, 16, 32, 32)

    def read() -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        for _ in range(2):
            sleep(0.05)
            torch.randn(400, 400) @ torch.randn(400, 400)
            yield images, images, images

    def work() -> None:
        for inputs, _, _ in marked(read()):
            torch.nn.functional.conv2d(inputs, kernel)
            sleep(0.05)

    found = shares(work, CPU)
    assert list(found) == list(GROUPS)
    assert sum(found.values()) == pytest.approx(1)
    assert all(share >= 0 for share in found.values())
    assert found["convolution"] > 0
    assert found["products, softmax"] == 0, "that product was part of reading"
    assert min(found[READING], found[REST]) > 0.05


def test_every_case_is_profiled_and_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert profile.main(["--tiny", "--out", str(tmp_path)]) == 0
    stored, page = json.loads((tmp_path / "profile.json").read_text()), (tmp_path / "profile.md").read_text()
    rows = {row["name"]: row for row in stored["rows"]}
    assert list(rows) == list(profile.CASES)
    for name, row in rows.items():
        assert sum(row["shares"].values()) == pytest.approx(1), name
        assert row["gflop_per_second"] > 0
        assert page.count(f"| {name} |") == 1
    assert stored["hardware"]["cpu"] in page
    trained = rows["stage 1, float32"]["shares"]
    assert all(trained[group] > 0 for group in (*PATTERNS, READING))
    assert rows["validation, bfloat16"]["shares"]["convolution, backward"] == 0
    assert rows["validation, bfloat16"]["shares"]["optimizer"] == 0
    cached = rows["stage 2 from cached maps, float32"]
    assert cached["gflop_per_second"] * cached["seconds"] < 0.2 * (
        rows["stage 1, float32"]["gflop_per_second"] * rows["stage 1, float32"]["seconds"]
    )
