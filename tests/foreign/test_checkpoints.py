"""Checkpoints of others: what they say is what our networks compute, and what does not fit is said."""

from __future__ import annotations

import argparse
import json
import logging
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from oltr import checkpoint
from oltr.contracts import Start, UserError
from oltr.foreign.checkpoints import fill, pair_state, published_form, read_checkpoint, whole_backbone
from oltr.metrics.closed import closed_set
from oltr.metrics.shots import shot_rule
from oltr.networks.dot_product import DotProduct
from oltr.networks.meta_embedding import MetaEmbedding
from oltr.networks.modulated_attention import ModulatedAttention
from oltr.networks.pair import Memory, NetworkPair
from oltr.networks.small_resnet import small_resnet10
from oltr.stages import Feature

GOLDEN = Path(__file__).parents[1] / "golden"
EXPECTED = np.load(GOLDEN / "oltr_checkpoint.npz")
SHOTS = shot_rule().groups(np.array([21, 3, 3, 3, 3]))
"""The file does not tell its training counts; its shot accuracies have one medium class, the rest few, none many."""


class TinyFeatures(nn.Module):
    """The network that the golden checkpoints are of, after their description."""

    def __init__(self, *, attention: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(6)
        self.fc_add = nn.Linear(6, 8)
        self.modulatedatt = ModulatedAttention(channels=6, size=7) if attention else None

    def forward(self, images: Tensor) -> Tensor:
        maps = F.relu(self.bn1(self.conv1(images)))
        if self.modulatedatt is not None:
            maps = self.modulatedatt(maps)
        return F.relu(self.fc_add(F.avg_pool2d(maps, 7, stride=1).flatten(1)))


def golden_pair(stage: int) -> NetworkPair:
    backbone = TinyFeatures(attention=stage == 2)
    if stage == 1:
        return NetworkPair(backbone, DotProduct(feature_dim=8, num_classes=5))
    return NetworkPair(backbone, MetaEmbedding(feature_dim=8, num_classes=5), Memory(num_classes=5, feature_dim=8))


@pytest.mark.parametrize("stage", [1, 2])
def test_a_published_checkpoint_computes_what_it_did(stage: int, caplog: pytest.LogCaptureFixture) -> None:
    pair = golden_pair(stage)
    foreign = read_checkpoint(GOLDEN / f"oltr_checkpoint_stage{stage}.pth")
    with caplog.at_level(logging.INFO, logger="oltr"):
        fill(pair, foreign)
    assert f"{len(pair.state_dict())} tensors loaded" in caplog.text
    with torch.inference_mode():
        outputs = pair.eval()(torch.from_numpy(EXPECTED["images"]))
    for name in ("features", "logits"):
        expected = EXPECTED[f"stage{stage}/{name}"]
        np.testing.assert_allclose(getattr(outputs, name).numpy(), expected, rtol=1e-4, atol=1e-5)
    result = closed_set(outputs.logits.numpy(), EXPECTED["labels"], SHOTS)
    assert result["accuracy"] == pytest.approx(float(EXPECTED[f"stage{stage}/acc"]), rel=1e-9)
    assert result["macro_f1"] == pytest.approx(float(EXPECTED[f"stage{stage}/f_measure"]), rel=1e-9)
    shots = [np.nan if result[group] is None else result[group] for group in ("many", "medium", "few")]
    np.testing.assert_allclose(shots, EXPECTED[f"stage{stage}/shots"], rtol=1e-9)
    best, last = EXPECTED[f"stage{stage}/best_epoch_and_epoch"].tolist()
    assert foreign.facts == {"epoch": last, "best_epoch": best, "best_acc": [0.8, 1.0][stage - 1]}


def test_the_published_centroids_become_the_memory() -> None:
    foreign = read_checkpoint(GOLDEN / "oltr_checkpoint_stage2.pth")
    centroids = pair_state(foreign)["memory.centroids"]
    np.testing.assert_allclose(centroids.numpy(), EXPECTED["stage2/centroids"], rtol=1e-4, atol=1e-5)


def pair_of(*, classes: int = 5, attention: bool = False) -> NetworkPair:
    """A small pair with weights and statistics that no fresh one has."""
    backbone = small_resnet10(width=2, image_size=12, attention=attention)
    pair = NetworkPair(backbone, DotProduct(feature_dim=16, num_classes=classes))
    torch.manual_seed(5)
    for value in pair.state_dict().values():
        value.copy_(torch.rand(value.shape) + 0.5 if value.is_floating_point() else torch.tensor(7))
    return pair


def parallel(state: dict[str, Tensor]) -> OrderedDict[str, Tensor]:
    return OrderedDict((f"module.{key}", value) for key, value in state.items())


def published(pair: NetworkPair, **besides: Any) -> dict[str, Any]:
    networks = {"feat_model": pair.backbone.state_dict(), "classifier": pair.classifier.state_dict()}
    content = {"epoch": 9, "best_epoch": 4, "best_acc": 0.5, "centroids": None}
    return {**content, "state_dict_best": {name: parallel(state) for name, state in networks.items()}, **besides}


def whole_network(pair: NetworkPair) -> dict[str, Tensor]:
    """One network's state dict, as torchvision has it: the classifier is the child fc."""
    return {**pair.backbone.state_dict(), **pair.classifier.state_dict()}


def saved(path: Path, content: Any, **how: Any) -> Path:
    torch.save(content, path, **how)
    return path


def assert_equal(left: dict[str, Tensor], right: dict[str, Tensor]) -> None:
    assert left.keys() == right.keys()
    assert all(torch.equal(left[key], right[key]) for key in right)


def test_every_form_gives_the_same_pair(tmp_path: Path) -> None:
    pair = pair_of()
    state, network = pair.state_dict(), whole_network(pair)
    networks = published(pair)["state_dict_best"]
    facts = json.dumps({"config": {"epochs": 9}})
    forms: dict[str, Any] = {
        "published": published(pair),
        "decoupling_latest": {"epoch": 9, "state_dict": networks},
        "plain": network,
        "parameters": {
            key: nn.Parameter(value) if value.is_floating_point() else value for key, value in network.items()
        },
        "parallel": parallel(network),
        "wrapped": {"epoch": 9, "arch": "resnet10", "best_acc1": torch.tensor(50.0), "state_dict": parallel(network)},
        "model": {"model": network, "optimizer": {"lr": 0.1}},
        "pair": dict(state),
        "best": {"pair": dict(state), "epoch": 3, "accuracy": 0.5, "facts": facts},
        "last": {"pair": dict(state), "epochs_done": 9, "best": 0.5, "facts": facts, "sampler": {}},
    }
    for name, content in forms.items():
        for old in (False, True):
            path = saved(tmp_path / f"{name}_{old}.pth", content, _use_new_zipfile_serialization=not old)
            assert_equal(pair_state(read_checkpoint(path)), state)


def test_what_a_checkpoint_tells_of_its_run(tmp_path: Path) -> None:
    pair = pair_of()
    number = np.array([0.25])
    told = {
        "numpy": (published(pair, best_acc=number.sum()), (9, 4, 0.25)),
        "single": (published(pair, best_acc=number.astype(np.float32).sum(), epoch=np.int64(8)), (8, 4, 0.25)),
        "not_finite": (published(pair, best_acc=float("nan")), (9, 4, None)),
        "latest": ({"epoch": 9, "state_dict": published(pair)["state_dict_best"]}, (9, None, None)),
        "plain": (whole_network(pair), (None, None, None)),
        "best": (
            {"pair": pair.state_dict(), "epoch": 3, "accuracy": 0.5, "facts": '{"config": {"epochs": 9}}'},
            (9, 4, 0.5),
        ),
    }
    for name, (content, facts) in told.items():
        foreign = read_checkpoint(saved(tmp_path / f"{name}.pth", content))
        assert tuple(foreign.facts.values()) == facts, name
        assert not any(isinstance(value, np.generic) for value in foreign.facts.values())


def test_counts_of_batches_that_an_old_file_lacks_are_zero_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Caffe weights and files from before PyTorch 0.4.1 have none; a network that keeps none is not given any."""
    pair = pair_of()
    old = {key: value for key, value in whole_network(pair).items() if not key.endswith("num_batches_tracked")}
    path = saved(tmp_path / "caffe.pth", old)
    fresh = NetworkPair(small_resnet10(width=2, image_size=12), DotProduct(feature_dim=16, num_classes=5))
    fresh.state_dict()["backbone.bn1.num_batches_tracked"].fill_(3)
    with caplog.at_level(logging.INFO, logger="oltr"):
        fill(fresh, read_checkpoint(path))
    assert "12 num_batches_tracked set to 0" in caplog.text
    assert int(fresh.state_dict()["backbone.bn1.num_batches_tracked"]) == 0
    assert torch.equal(fresh.state_dict()["backbone.bn1.running_var"], old["bn1.running_var"])
    keys = [key for key in pair.state_dict() if not key.endswith("num_batches_tracked")]
    assert list(pair_state(read_checkpoint(path), keys)) == keys


def test_a_feature_stage_takes_the_backbone_of_any_form(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = pair_of()
    start = Start(state=None, class_means=lambda: torch.zeros(0))
    for name, content, unused in (
        ("published", published(source), []),
        ("torchvision", whole_network(source), ["fc"]),
        ("lws", with_scales(source), []),
    ):
        pair = NetworkPair(
            small_resnet10(width=2, image_size=12, attention=True), DotProduct(feature_dim=16, num_classes=3)
        )
        before = {key: value.clone() for key, value in pair.state_dict().items()}
        path = saved(tmp_path / f"{name}.pth", content)
        with caplog.at_level(logging.INFO, logger="oltr"):
            Feature(weights=str(path), new=["modulatedatt"], unused=unused).prepare(pair, start)
        assert "new: modulatedatt (9)" in caplog.messages[-1]
        assert ("not used: fc (2)" in caplog.messages[-1]) == bool(unused)
        for key, value in pair.state_dict().items():
            kept = key.startswith("classifier.") or ".modulatedatt." in key
            assert torch.equal(value, before[key] if kept else source.state_dict()[key]), key


def test_a_feature_stage_is_told_of_what_it_did_not_list(tmp_path: Path) -> None:
    path = saved(tmp_path / "torchvision.pth", whole_network(pair_of()))
    start = Start(state=None, class_means=lambda: torch.zeros(0))
    with pytest.raises(UserError, match=r"has besides 2 \(first: fc.weight\)"):
        Feature(weights=str(path)).prepare(pair_of(), start)
    attentive = pair_of(attention=True)
    with pytest.raises(
        UserError, match=r"lacks 9 \(first: modulatedatt.g.weight\); .* listed as new: \[modulatedatt\]"
    ):
        Feature(weights=str(path), unused=["fc"]).prepare(attentive, start)


def with_scales(pair: NetworkPair) -> dict[str, Any]:
    """Decoupling's learnable weight scaling."""
    content = published(pair)
    content["state_dict_best"]["classifier"]["module.scales"] = torch.ones(5)
    return content


class Own(nn.Module):
    """A wrapper as the legacy border has it: the user's network is the child ``module``."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *inputs: Any) -> Tensor:
        result: Tensor = self.module(*inputs)
        return result


def test_a_wrapped_network_comes_and_goes_by_its_own_keys(tmp_path: Path) -> None:
    source = pair_of()
    wrapped = NetworkPair(Own(source.backbone), Own(source.classifier))
    content = {"pair": wrapped.state_dict(), "epoch": 3, "accuracy": 0.5, "facts": '{"config": {"epochs": 9}}'}
    form = published_form(content)
    assert_equal(form["state_dict_best"]["feat_model"], parallel(source.backbone.state_dict()))
    fresh = NetworkPair(small_resnet10(width=2, image_size=12), DotProduct(feature_dim=16, num_classes=5))
    other = NetworkPair(Own(fresh.backbone), Own(fresh.classifier))
    foreign = read_checkpoint(saved(tmp_path / "own.pth", form))
    fill(other, foreign)
    assert_equal(other.state_dict(), wrapped.state_dict())
    assert set(whole_backbone(foreign, other.backbone.state_dict())) == set(other.backbone.state_dict())


def test_our_best_weights_in_the_published_form_and_back(tmp_path: Path) -> None:
    pair = golden_pair(2)
    fill(pair, read_checkpoint(GOLDEN / "oltr_checkpoint_stage2.pth"))
    content = {"pair": pair.state_dict(), "epoch": 4, "accuracy": 1.0, "facts": '{"config": {"epochs": 12}}'}
    form = published_form(content)
    checkpoint.save(tmp_path / "ours.pth", form)
    theirs = torch.load(GOLDEN / "oltr_checkpoint_stage2.pth", weights_only=True)
    ours = torch.load(tmp_path / "ours.pth", weights_only=True)
    assert list(ours) == list(theirs)
    assert {key: ours[key] for key in ("epoch", "best_epoch", "best_acc")} == {
        "epoch": 12,
        "best_epoch": 5,
        "best_acc": 1.0,
    }
    assert type(ours["best_acc"]) is float
    assert torch.equal(ours["centroids"], theirs["centroids"])
    for name, state in theirs["state_dict_best"].items():
        assert isinstance(ours["state_dict_best"][name], OrderedDict)
        assert_equal(ours["state_dict_best"][name], state)


def test_what_was_imported_keeps_its_epochs(tmp_path: Path) -> None:
    facts = json.dumps({"config": {"epochs": 1}, "imported": {"epoch": 90, "best_epoch": 77, "best_acc": 0.25}})
    form = published_form({"pair": pair_of().state_dict(), "epoch": 76, "accuracy": 0.25, "facts": facts})
    assert (form["epoch"], form["best_epoch"], form["best_acc"]) == (90, 77, 0.25)


def test_a_checkpoint_that_does_not_fill_the_pair_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    source = pair_of()
    backbone = {key: value for key, value in whole_network(source).items() if not key.startswith("fc.")}
    nearest = published(source)
    nearest["state_dict_best"]["classifier"] = OrderedDict()
    for name, content, reason in (
        ("backbone", backbone, "a backbone and no classifier: start a stage from it"),
        ("nearest", nearest, "a backbone and no classifier: start a stage from it"),
        ("scales", with_scales(source), "learnable scales .* no part here; its backbone can start a stage"),
        ("centroids", published(source, centroids=torch.zeros(5, 16)), "holds class centroids, and the config has no"),
        ("attention", published(pair_of(attention=True)), r"has besides 9 \(first: backbone.modulatedatt"),
        ("classes", published(pair_of(classes=4)), r"classifier.fc.weight is \[4, 16\] there and \[5, 16\] here"),
    ):
        pair = NetworkPair(small_resnet10(width=2, image_size=12), DotProduct(feature_dim=16, num_classes=5))
        before = {key: value.clone() for key, value in pair.state_dict().items()}
        with pytest.raises(UserError, match=reason) as told:
            fill(pair, read_checkpoint(saved(tmp_path / f"{name}.pth", content)))
        assert f"{name}.pth" in str(told.value)
        assert "\n" not in str(told.value)
        assert_equal(pair.state_dict(), before)
    with pytest.raises(UserError, match="holds no class centroids, and the config has a memory"):
        fill(golden_pair(2), read_checkpoint(GOLDEN / "oltr_checkpoint_stage1.pth"))


class Runs:
    """A pickle of this runs code."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return (exec, ("raise SystemExit",))


def test_a_file_that_is_no_checkpoint_is_refused_in_one_line(tmp_path: Path) -> None:
    pair = pair_of()
    whole = saved(tmp_path / "whole.pth", published(pair)).read_bytes()
    (tmp_path / "cut.pth").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.pth").write_bytes(b"")
    (tmp_path / "text.pth").write_text("conv1.weight 0.5\n")
    (tmp_path / "folder.pth").mkdir()
    contents: dict[str, Any] = {
        "arguments": {**published(pair), "args": argparse.Namespace(lr=0.1)},
        "code": {**published(pair), "best_acc": Runs()},
        "module": pair.backbone,
        "array": published(pair, best_acc=np.zeros(2)),
        "list": [torch.ones(1)],
        "scalars": {"lr": 0.1, "epochs": 3},
        "numbers_in_it": {**whole_network(pair), "epoch": 3},
        "third": {"state_dict_best": {**published(pair)["state_dict_best"], "selector": {}}},
        "no_tensors": {"state_dict_best": {"feat_model": {"conv1.weight": 3}}},
        "centroids": published(pair, centroids=[1.0]),
        "pair": {"pair": {"network.weight": torch.ones(1)}},
        "pair_of_words": {"pair": "words"},
        "facts": {"pair": pair.state_dict(), "facts": "{"},
    }
    for name, content in contents.items():
        saved(tmp_path / f"{name}.pth", content)
    for name, reason in {
        "missing": "no such file",
        "folder": "no such file .*: it is a folder",
        "cut": "not a whole file of weights",
        "empty": "not a whole file of weights",
        "text": "not a whole file of weights",
        "arguments": "its pickle asks for argparse.Namespace, and only tensors and plain numbers are read",
        "code": "its pickle asks for (builtins.)?exec",
        "module": r"its pickle asks for oltr\.networks\.residual\.ResidualNetwork",
        "array": r"its pickle asks for numpy\.?_?core\.multiarray\._reconstruct",
        "list": "no known form .it holds a list.; save the network's state dict alone",
        "scalars": "no known form .it holds 'lr', 'epochs'.",
        "numbers_in_it": "no known form .it holds 'conv1.weight'",
        "third": "an unknown network 'selector' beside feat_model and classifier",
        "no_tensors": "feat_model is not a state dict",
        "centroids": "its centroids are not a tensor of one row a class",
        "pair": "its pair is none of this suite's",
        "pair_of_words": "its pair is none of this suite's",
        "facts": "the facts of its run are damaged",
    }.items():
        with pytest.raises(UserError, match=reason) as told:
            read_checkpoint(tmp_path / f"{name}.pth")
        assert f"{name}.pth" in str(told.value)
        assert "\n" not in str(told.value)


def test_centroids_that_no_classifier_reads_may_be_missing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The published code stores none where its classifier is given none, whatever its losses train."""
    source, pair = pair_of(), pair_of()
    pair.memory = Memory(num_classes=5, feature_dim=16)
    with torch.no_grad():
        pair.memory.centroids.fill_(3.0)
    fill(pair, read_checkpoint(saved(tmp_path / "theirs.pth", published(source))))
    assert_equal(pair.backbone.state_dict(), source.backbone.state_dict())
    assert_equal(pair.classifier.state_dict(), source.classifier.state_dict())
    assert torch.equal(pair.memory.centroids, torch.full((5, 16), 3.0))
    assert "holds no class centroids, which the classifier does not read: they stay as built" in caplog.text
