"""Precision, layout and compilation against plain float32; what the config leaves to the device."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import pytest
import torch

from oltr.computing import Computing
from oltr.contracts import Outputs, UserError
from oltr.division import Division
from oltr.networks.distances import nearest_distance
from oltr.networks.dot_product import DotProduct
from oltr.networks.meta_embedding import MetaEmbedding
from oltr.networks.pair import Memory, NetworkPair
from oltr.networks.resnet import resnet10
from oltr.networks.small_resnet import small_resnet10
from oltr.processes import Processes
from oltr.run import Request, run_stage
from oltr.stage_config import ComputeConfig

CPU = torch.device("cpu")


def computing(device: torch.device = CPU, processes: Processes | None = None, **wanted: Any) -> Computing:
    return Computing(wanted=ComputeConfig(**wanted), device=device, processes=processes or Processes())


def pair(**wanted: Any) -> NetworkPair:
    wanted = {"channels_last": False, **wanted}
    torch.manual_seed(0)
    made = NetworkPair(
        small_resnet10(width=8, attention=True, image_size=16),
        MetaEmbedding(feature_dim=64, num_classes=5),
        Memory(num_classes=5, feature_dim=64),
    )
    assert made.memory is not None
    torch.nn.init.uniform_(made.memory.centroids)
    computing(**wanted).apply(made)
    return made


IMAGES = torch.rand(32, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def trained(network: NetworkPair) -> tuple[Outputs, dict[str, torch.Tensor]]:
    outputs = network.train()(IMAGES)
    outputs.logits.logsumexp(1).mean().backward()  # type: ignore[no-untyped-call]
    outputs = Outputs(outputs.features.detach(), outputs.logits.detach())
    return outputs, {name: item.grad for name, item in network.backbone.named_parameters() if item.grad is not None}


@pytest.mark.parametrize(
    ("wanted", "tolerance"),
    [
        ({"channels_last": True}, 1e-4),
        ({"precision": "bfloat16"}, 5e-2),
        ({"precision": "bfloat16", "channels_last": True}, 5e-2),
    ],
)
def test_features_logits_and_gradients_agree_with_float32(wanted: dict[str, Any], tolerance: float) -> None:
    """bfloat16 has 8 bits: 1 in 256 an operation; the tolerance is of the largest value, over ten layers."""
    plain, gradients = trained(pair())
    outputs, found = trained(pair(**wanted))
    for name, left, right in (("features", plain.features, outputs.features), ("logits", plain.logits, outputs.logits)):
        assert right.dtype == torch.float32
        assert float((left - right).abs().max() / left.abs().max()) < tolerance, name
    assert found.keys() == gradients.keys()
    norm = torch.stack([value.norm() for value in gradients.values()]).norm()
    apart = torch.stack([(found[name] - value).norm() for name, value in gradients.items()]).norm()
    assert float(apart / norm) < 4 * tolerance
    if wanted.get("precision"):
        assert float((plain.features - outputs.features).abs().max()) > 0, "autocast did nothing"


def test_the_layout_is_channels_last_throughout() -> None:
    network = pair(channels_last=True)
    seen: list[bool] = []
    network.backbone.layer1.register_forward_pre_hook(  # type: ignore[union-attr]
        lambda _, inputs: seen.append(inputs[0].is_contiguous(memory_format=torch.channels_last))
    )
    network(IMAGES)
    assert seen == [True]


def test_a_backbone_that_cannot_do_with_the_layout_is_told_of() -> None:
    class Viewing(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.view(len(images), -1)[:, :4]

    network = NetworkPair(Viewing(), DotProduct(feature_dim=4, num_classes=2))
    computing(channels_last=False).apply(network)
    assert network(IMAGES).features.equal(IMAGES[:, 0, 0, :4])
    computing().apply(network)
    with pytest.raises(UserError, match=r"backbone: it calls view on maps .*; .* compute\.channels_last: false"):
        network(IMAGES)


def test_autocast_reaches_the_backbone_and_in_training_the_classifier() -> None:
    network = pair(precision="bfloat16")
    dtypes: dict[str, torch.dtype] = {}
    network.backbone.layer1.register_forward_hook(lambda _, __, out: dtypes.update(backbone=out.dtype))  # type: ignore[union-attr]
    network.classifier.fc_selector.register_forward_hook(lambda _, __, out: dtypes.update(classifier=out.dtype))  # type: ignore[union-attr]
    network.train()(IMAGES)
    assert dtypes == {"backbone": torch.bfloat16, "classifier": torch.bfloat16}
    network.eval()(IMAGES)
    assert dtypes == {"backbone": torch.bfloat16, "classifier": torch.float32}


def test_what_leaves_the_pair_is_float32_and_a_classifier_may_need_it_within() -> None:
    class Whole(DotProduct):
        needs_float32 = True

    seen: list[torch.dtype] = []
    for kind, within in ((DotProduct, torch.bfloat16), (Whole, torch.float32)):
        network = NetworkPair(torch.nn.Identity(), kind(feature_dim=4, num_classes=2))
        computing(precision="bfloat16", channels_last=False).apply(network)
        network.classifier.fc.register_forward_hook(lambda _, __, out: seen.append(out.dtype))  # type: ignore[union-attr]
        outputs = network.train()(torch.randn(3, 4))
        assert seen.pop() == within
        assert outputs.features.dtype == outputs.logits.dtype == torch.float32


def test_behind_a_cut_too_evaluation_is_in_float32() -> None:
    network = pair(precision="bfloat16").eval()
    division = Division(network, ())
    values = torch.randn(3, 64)
    assert network.memory is not None
    with torch.no_grad():
        assert division.rest(values).logits.equal(network.classifier(values, network.memory.centroids))


def test_what_is_evaluated_has_all_digits_of_the_features() -> None:
    network = pair(precision="bfloat16").eval()
    assert network.memory is not None
    with torch.no_grad():
        outputs = network(IMAGES)
        assert outputs.logits.equal(network.classifier(outputs.features, network.memory.centroids))
        assert not network.train()(IMAGES).logits.equal(outputs.logits)


@pytest.mark.parametrize("num_classes", [5, 365])
def test_a_classifier_in_bfloat16_agrees_and_finds_the_same_nearest_centroids(num_classes: int) -> None:
    """The tolerance is 4 in 256 of the largest value; the distances, whose argmin jumps, are float32's own."""
    torch.manual_seed(0)
    classifier = MetaEmbedding(feature_dim=64, num_classes=num_classes)
    memory = Memory(num_classes=num_classes, feature_dim=64)
    torch.nn.init.normal_(memory.centroids)
    network = NetworkPair(torch.nn.Identity(), classifier, memory)
    features = torch.randn(48, 64)
    found = []
    for precision in ("float32", "bfloat16"):
        computing(precision=precision, channels_last=False).apply(network)
        given = features.clone().requires_grad_()
        logits = network.train()(given).logits
        assert logits.dtype == torch.float32
        found.append([logits, *torch.autograd.grad(logits.logsumexp(1).sum(), (given, *classifier.parameters()))])
    for whole, half in zip(*found, strict=True):
        assert 0 < float((whole - half).detach().abs().max()) < 4 / 256 * float(whole.detach().abs().max())
    distances = nearest_distance(features, memory.centroids)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert nearest_distance(features, memory.centroids).equal(distances)


def test_the_device_decides_what_is_left_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert computing().describe() == {
        "precision": "float32",
        "channels_last": True,
        "compile": False,
        "compile_losses": False,
        "compile_transform": False,
        "accumulate": 1,
        "processes": 1,
        "gpus_per_process": 0,
        "batch_statistics": "of each part",
    }
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: not including_emulation)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert computing(torch.device("cuda")).half_precision is None
    gpus = computing(torch.device("cuda"), precision="auto").describe()
    assert (gpus["precision"], gpus["channels_last"], gpus["gpus_per_process"]) == ("bfloat16", True, 2)
    assert gpus["batch_statistics"] == "of each device's share of each part"
    assert computing(torch.device("cuda", 0), precision="float32").half_precision is None
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    assert computing(torch.device("cuda", 0), precision="auto").half_precision is None, (
        "emulated bfloat16 is slower than float32"
    )


def test_compiling_under_data_parallel_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    network = NetworkPair(resnet10(), DotProduct(feature_dim=512, num_classes=2))
    with pytest.raises(UserError, match=r"compute\.compile: not under DataParallel; use torchrun, or one GPU"):
        computing(torch.device("cuda"), compile=True, channels_last=False).apply(network)


@pytest.mark.skipif(shutil.which("g++") is None and shutil.which("clang") is None, reason="needs a C++ compiler")
def test_a_compiled_run_agrees_and_its_weights_have_plain_names(request_for: Callable[..., Request]) -> None:
    words = ("epochs=1", "data.max_images=16", "data.min_images=8", "backbone.dropout=0", "losses=[cross_entropy]")
    compiled = run_stage(request_for("stage_1", *words, "compute.compile=true", out="compiled"))
    plain = run_stage(request_for("stage_1", *words, out="plain"))
    left, right = (torch.load(folder.best, weights_only=True)["pair"] for folder in (compiled, plain))
    assert left.keys() == right.keys()
    for name, value in right.items():
        torch.testing.assert_close(
            left[name], value, rtol=1e-3, atol=1e-4, msg=lambda text, name=name: f"{name}: {text}"
        )


@pytest.mark.parametrize(
    ("words", "tolerance"),
    [
        (("compute.accumulate=3",), 1e-4),
        (("compute.precision=bfloat16",), 1e-1),
        (("compute.channels_last=true",), 1e-4),
    ],
)
def test_a_run_agrees_with_a_plain_one(
    words: tuple[str, ...], tolerance: float, request_for: Callable[..., Request]
) -> None:
    """Stage 2 after the same stage 1; BatchNorm rests where a batch is in parts, since it would see each by itself."""
    shared = ["backbone.dropout=0", "init_from.backbone.dropout=0"]
    if "accumulate" in words[0]:
        shared += ["backbone.only=[modulatedatt]"]
    plain = run_stage(request_for("stage_2", *shared, out="plain"))
    other = run_stage(request_for("stage_2", *shared, *words, out="other"))
    for left, right in zip(plain.history(), other.history(), strict=True):
        assert left["loss"] == pytest.approx(right["loss"], rel=tolerance)
