"""What is compiled agrees with what is not; and what lies in the memory of CUDA graphs is copied before it is lost."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from oltr.computing import CompiledLoss, Computing
from oltr.contracts import Loss, Outputs, Progress, UserError
from oltr.losses.cross_entropy import CrossEntropy
from oltr.losses.cyclical_focal import CyclicalFocalLoss
from oltr.losses.disc_centroids import DiscCentroidsLoss
from oltr.networks.dot_product import DotProduct
from oltr.networks.pair import NetworkPair
from oltr.processes import ALONE
from oltr.run import Request, run_stage
from oltr.stage_config import COMPILE_MODES, GRAPH_MODES, ComputeConfig
from oltr.transforms.imagenet import ImageNetTrain
from oltr.transforms.plain import Plain

needs_compiler = pytest.mark.skipif(
    shutil.which("g++") is None and shutil.which("clang") is None, reason="needs a C++ compiler"
)
SPREAD = torch.Generator().manual_seed(0)
FEATURES, LOGITS, CENTROIDS = (torch.randn(*shape, generator=SPREAD) for shape in ((12, 6), (12, 9), (9, 6)))
TARGET = torch.arange(12) % 9


def graded(loss: Loss, progress: Progress) -> list[Tensor]:
    """The value, and the gradient in what the loss sees."""
    leaves = [values.clone().requires_grad_() for values in (FEATURES, LOGITS, CENTROIDS)]
    value = loss(Outputs(*(leaf * 1 for leaf in leaves)), TARGET, progress)  # a network's outputs are no leaves
    found = torch.autograd.grad(value, leaves, allow_unused=True)
    return [value.detach(), *(gradient for gradient in found if gradient is not None)]


@needs_compiler
@pytest.mark.parametrize(
    "loss",
    [
        CyclicalFocalLoss(gamma_pos=1.0, temperature=1.5),
        CrossEntropy(label_smoothing=0.1),
        CrossEntropy(class_weights=[1.0, 2, 3, 4, 5, 6, 7, 8, 9]),
        DiscCentroidsLoss(),
    ],
    ids=["cyclical_focal", "cross_entropy", "weighted", "disc_centroids"],
)
def test_a_compiled_loss_is_the_loss_in_every_epoch(loss: Loss) -> None:
    """The cycle's phase moves with the epoch, and must not be what it was when the loss was compiled."""
    compiled = CompiledLoss(loss)
    for epoch in (0, 2, 3, 5):
        progress = Progress(epoch=epoch, epochs=6)
        plain, found = graded(loss, progress), graded(compiled, progress)
        assert len(plain) >= 2
        torch.testing.assert_close(found, plain, rtol=1e-5, atol=1e-6)


def test_a_loss_is_compiled_where_that_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(torch, "compile", lambda call: seen.append(call) or call)
    loss, weighted = CyclicalFocalLoss(), CrossEntropy(class_weights=[1.0] * 9)
    assert computing().loss(loss) is loss
    assert computing(compile_losses=True).loss(loss).mean_over_images  # type: ignore[attr-defined]
    assert not computing(compile_losses=True).loss(weighted).mean_over_images  # type: ignore[attr-defined]
    assert seen == [loss.__call__, weighted.__call__]


@needs_compiler
def test_a_mistake_is_told_as_it_is_without_compilation() -> None:
    with pytest.raises(UserError, match="disc_centroids needs class centroids"):
        CompiledLoss(DiscCentroidsLoss())(Outputs(FEATURES, LOGITS), TARGET, Progress(epoch=0, epochs=1))


@pytest.mark.parametrize("compile", [False, True, *COMPILE_MODES])
def test_the_backbone_is_compiled_in_the_mode_of_that_name(
    compile: bool | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes: list[str | None] = []
    monkeypatch.setattr(Overwriting, "compile", lambda self, mode: modes.append(mode))
    network = NetworkPair(Overwriting(), DotProduct(feature_dim=6, num_classes=9))
    computing(compile=compile).apply(network)
    assert modes == ([] if compile is False else [None if compile is True else compile])
    assert network.in_graphs == (compile in GRAPH_MODES)


class Overwriting(nn.Module):
    """Features in one piece of memory that each pass fills anew, as in CUDA graphs."""

    feature_dim = 6

    def __init__(self) -> None:
        super().__init__()
        self.place = torch.empty(12, 6)

    def forward(self, images: Tensor) -> Tensor:
        return self.place[: len(images)].copy_(images)


def test_what_a_pass_gave_outlives_the_next_and_each_begins_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[int] = []
    monkeypatch.setattr(torch.compiler, "cudagraph_mark_step_begin", lambda: steps.append(len(steps)))
    network = NetworkPair(Overwriting(), DotProduct(feature_dim=6, num_classes=9))
    network.in_graphs = True
    kept = [network(images).features for images in (FEATURES, FEATURES[:5] + 1)]
    torch.testing.assert_close(kept, [FEATURES, FEATURES[:5] + 1], rtol=0, atol=0)
    assert len(steps) == 2
    network.in_graphs = False
    first = network(FEATURES).features
    network(FEATURES + 1)
    assert not torch.equal(first, FEATURES), "this backbone would not show a missing copy"
    assert len(steps) == 2


@needs_compiler
def test_a_run_in_a_mode_with_graphs_and_compiled_losses_agrees(request_for: Callable[..., Request]) -> None:
    """On a CPU the mode is that of plain kernels, but each step is marked and copied; the last batches are smaller."""
    wanted = ("compute.compile=reduce-overhead", "compute.compile_losses=true")
    compiled, plain = (trained(request_for, out, *words) for out, words in (("compiled", wanted), ("plain", ())))
    torch.testing.assert_close(compiled, plain, rtol=1e-3, atol=1e-4)


@needs_compiler
def test_a_run_with_a_compiled_transform_agrees(
    request_for: Callable[..., Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[ImageNetTrain] = []
    compile = ImageNetTrain.compile
    monkeypatch.setattr(ImageNetTrain, "compile", lambda transform: told.append(transform) or compile(transform))
    shown = "train_transform={name: imagenet_train, size: 32}"
    plain = trained(request_for, "plain", shown)
    assert not told
    compiled = trained(request_for, "compiled", shown, "compute.compile_transform=true")
    assert told
    torch.testing.assert_close(compiled, plain, rtol=1e-4, atol=1e-5)


def trained(request_for: Callable[..., Request], out: str, *overrides: str) -> dict[str, Tensor]:
    """The weights after two epochs."""
    words = ("epochs=2", "data.max_images=16", "data.min_images=8", "backbone.dropout=0", "losses=[cyclical_focal]")
    folder = run_stage(request_for("stage_1", *words, *overrides, out=out))
    weights: dict[str, Tensor] = torch.load(folder.last, weights_only=True)["pair"]
    return weights


@pytest.mark.parametrize(
    ("key", "build"),
    [
        ("compile", lambda wants: wants.apply(NetworkPair(Overwriting(), DotProduct(feature_dim=6, num_classes=9)))),
        ("compile_losses", Computing.demand_compiler),
        ("compile_transform", Computing.demand_compiler),
    ],
)
def test_a_compiler_that_is_missing_is_told_before_anything_is_trained(
    key: str, build: Callable[[Computing], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    wanted = {key: True}
    with pytest.raises(UserError, match=rf"^compute\.{key}: .* there is no no-such-compiler; CXX names another$"):
        build(computing(**wanted))
    build(computing())  # nothing is compiled, nothing is missed
    build(Computing(wanted=ComputeConfig(**wanted), device=torch.device("meta"), processes=ALONE))
    monkeypatch.setenv("TORCHDYNAMO_DISABLE", "1")
    build(computing(**wanted))
    monkeypatch.delenv("TORCHDYNAMO_DISABLE")
    monkeypatch.setenv("CXX", f"'{sys.executable}' -O1")  # with words that are not its name
    build(computing(**wanted))


def test_a_transform_that_has_nothing_to_compile_is_named() -> None:
    with pytest.raises(UserError, match=r"compute\.compile_transform: 'plain' cannot be compiled: write false"):
        computing(compile_transform=True).compile_transform(Plain(), "plain")


def computing(**wanted: Any) -> Computing:
    return Computing(wanted=ComputeConfig(**wanted), device=torch.device("cpu"), processes=ALONE)
