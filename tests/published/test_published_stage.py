"""How a published stage starts: what is loaded from where, and what may be missing or left over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from oltr import plugins
from oltr.contracts import Start, UserError
from oltr.networks.pair import Memory, NetworkPair
from oltr.published.networks import Backbone
from oltr.published.stage import PublishedStage

MEANS = torch.arange(3 * 512.0).reshape(3, 512)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def pair(*, stage: int, fc: bool = False, memory: bool = True) -> NetworkPair:
    backbone = plugins.BACKBONES.build("resnet10", {"attention": stage == 2, "fc": fc}, image_size=32)
    name = "meta_embedding" if stage == 2 else "dot_product"
    classifier = plugins.CLASSIFIERS.build(name, {}, feature_dim=512, num_classes=3)
    return NetworkPair(backbone, classifier, Memory(num_classes=3, feature_dim=512) if memory else None)


def stored(first: NetworkPair, path: str = "first.pth", **changes: Any) -> str:
    """A checkpoint of stage 1 as the published code stores it."""
    networks = {
        name: {f"module.{key}": value for key, value in getattr(first, part).state_dict().items()}
        for name, part in (("feat_model", "backbone"), ("classifier", "classifier"))
    }
    for name, extra in changes.items():
        networks[name] |= extra
    content = {"epoch": 2, "best_epoch": 1, "state_dict_best": networks, "best_acc": 0.5, "centroids": None}
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path)
    return path


def start(state: dict[str, Tensor] | None = None) -> Start:
    return Start(state=state, class_means=lambda: MEANS)


def refused(second: NetworkPair, **options: Any) -> str:
    before = {key: value.clone() for key, value in second.state_dict().items()}
    with pytest.raises(UserError) as caught:
        PublishedStage(**options).prepare(second, start())
    assert all(torch.equal(before[key], value) for key, value in second.state_dict().items())
    return str(caught.value)


def test_stage_2_takes_backbone_and_head_and_the_class_means(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="oltr")
    first, second = pair(stage=1), pair(stage=2, fc=True)
    fresh = {key: value.clone() for key, value in second.state_dict().items()}
    path = stored(first)
    PublishedStage(backbone_weights=path, classifier_weights=path, init_centroids=True).prepare(second, start())
    own = second.state_dict()
    for key, value in first.backbone.state_dict().items():
        assert torch.equal(own[f"backbone.{key}"], value), key
    for key in ("weight", "bias"):
        assert torch.equal(own[f"classifier.fc_hallucinator.{key}"], first.classifier.state_dict()[f"fc.{key}"])
    assert torch.equal(own["memory.centroids"], MEANS)
    new = [key for key in own if ".modulatedatt." in key or ".fc_add." in key or "selector" in key or "cosnorm" in key]
    assert all(torch.equal(own[key], fresh[key]) for key in new)
    assert len(new) == 9 + 2 + 2 + 1
    assert "new: fc_add (2), modulatedatt (9)" in caplog.text
    assert "classifier: first.pth" in caplog.text


def test_a_linear_head_goes_into_a_linear_classifier() -> None:
    first, second = pair(stage=1, memory=False), pair(stage=1, memory=False)
    PublishedStage(classifier_weights=stored(first)).prepare(second, start())
    assert torch.equal(second.classifier.state_dict()["fc.weight"], first.classifier.state_dict()["fc.weight"])


def test_a_run_of_this_suite_stands_where_its_checkpoint_would() -> None:
    first, second = pair(stage=1, memory=False), pair(stage=1, memory=False)
    Path("logs").mkdir()
    torch.save({"pair": first.state_dict(), "epoch": 0, "facts": "{}"}, "logs/best.pt")
    PublishedStage(backbone_weights="logs/final_model_checkpoint.pth").prepare(second, start())
    assert torch.equal(second.backbone.state_dict()["conv1.weight"], first.backbone.state_dict()["conv1.weight"])


def test_caffe_weights_are_a_plain_state_dict_whose_head_is_not_used() -> None:
    first, second = pair(stage=1), pair(stage=1, fc=True, memory=False)
    plain = {key: value for key, value in first.backbone.state_dict().items() if "num_batches_tracked" not in key}
    torch.save({**plain, "fc.weight": torch.rand(7, 512), "fc.bias": torch.rand(7)}, "caffe.pth")
    PublishedStage(backbone_weights="caffe.pth", caffe=True).prepare(second, start())
    own = second.backbone.state_dict()
    assert all(torch.equal(own[key], value) for key, value in plain.items())
    assert "a plain state dict, where a checkpoint of stage 1 is wanted" in refused(
        second, backbone_weights="caffe.pth"
    )
    path = stored(first)
    assert "published checkpoint, where a plain state dict is wanted" in refused(
        second, backbone_weights=path, caffe=True
    )


def test_a_child_may_be_missing_whole_but_not_in_part() -> None:
    first, second = pair(stage=1), pair(stage=2)
    half = {"modulatedatt.g.weight": second.backbone.state_dict()["modulatedatt.g.weight"]}
    path = stored(first, feat_model={f"module.{key}": value for key, value in half.items()})
    assert "lacks 8 (first: modulatedatt.g.bias)" in refused(second, backbone_weights=path)
    small = {key: value for key, value in first.backbone.state_dict().items() if not key.startswith("layer4")}
    torch.save(small, "small.pth")
    assert "lacks" in refused(second, backbone_weights="small.pth", caffe=True)


def test_nothing_but_a_head_may_be_left_over() -> None:
    path = stored(pair(stage=1), feat_model={"module.extra.weight": torch.rand(1)})
    assert "has besides 1 (first: extra.weight)" in refused(pair(stage=1), backbone_weights=path)
    assert "has besides 2 (first: fc_add.weight)" in refused(
        pair(stage=1), backbone_weights=stored(pair(stage=1, fc=True))
    )


def test_a_head_of_another_kind_or_size_is_refused() -> None:
    second = pair(stage=2)
    path = stored(pair(stage=2))
    assert "no linear classifier, which stage 1 has: fc_hallucinator.weight" in refused(second, classifier_weights=path)
    first = pair(stage=1)
    first.classifier = plugins.CLASSIFIERS.build("dot_product", {}, feature_dim=512, num_classes=4)
    assert "[3, 512] here, [4, 512] before" in refused(second, classifier_weights=stored(first))


def test_a_missing_file_says_which_config_writes_it() -> None:
    message = refused(pair(stage=2), backbone_weights="./logs/X_LT/stage1/final_model_checkpoint.pth")
    assert message.startswith(
        "there is no logs/X_LT/stage1/final_model_checkpoint.pth: first run the config whose log_"
    )


@pytest.mark.parametrize("with_head", [True, False])
def test_a_stage_before_stands_in_for_the_files(with_head: bool, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="oltr")
    first, second = pair(stage=1), pair(stage=2, fc=True)
    fresh = second.classifier.state_dict()["fc_hallucinator.weight"].clone()
    nowhere = "nowhere/final_model_checkpoint.pth"
    stage = PublishedStage(backbone_weights=nowhere, classifier_weights=nowhere if with_head else None)
    stage.prepare(second, Start(state=first.state_dict(), class_means=lambda: MEANS, source="theirs.pth"))
    for key, value in first.backbone.state_dict().items():
        assert torch.equal(second.backbone.state_dict()[key], value), key
    head = first.classifier.state_dict()["fc.weight"] if with_head else fresh
    assert torch.equal(second.classifier.state_dict()["fc_hallucinator.weight"], head)
    assert second.memory is not None
    assert torch.equal(second.memory.centroids, MEANS)
    assert "the backbone from theirs.pth: 72 tensors loaded; new: fc_add (2), modulatedatt (9)" in caplog.text
    left = "memory (1)" if with_head else "classifier (2), memory (1)"
    assert f"not taken over from theirs.pth: {left}\n" in caplog.text
    with pytest.raises(UserError, match=r"^theirs.pth: no linear classifier, which stage 1 has: fc_hallucinator"):
        PublishedStage(classifier_weights=nowhere).prepare(
            second, Start(state=second.state_dict(), class_means=lambda: MEANS, source="theirs.pth")
        )


def test_a_stage_before_stands_in_for_what_a_network_of_one_s_own_loads() -> None:
    Path("mine.py").write_text(
        "import torch\nfrom torch import nn\ndef create_model(test):\n    net = nn.Linear(2, 2)\n"
        "    if not test:\n        nn.init.ones_(net.weight)\n    return net\n"
    )
    networks = [Backbone(file="mine.py", feature_dim=2) for _ in range(2)]
    heads = [plugins.CLASSIFIERS.build("dot_product", {}, feature_dim=2, num_classes=3) for _ in range(2)]
    first, second = (NetworkPair(*parts) for parts in zip(networks, heads, strict=True))
    PublishedStage().prepare(second, start(first.state_dict()))
    assert torch.equal(networks[1].module.weight, networks[0].module.weight)
    PublishedStage().prepare(second, start())
    assert torch.equal(networks[1].module.weight, torch.ones(2, 2))


def test_centroids_that_do_not_start_as_means() -> None:
    second = pair(stage=2)
    PublishedStage(init_centroids=False).prepare(second, start())
    assert second.memory is not None
    drawn = second.memory.centroids
    assert drawn.mean().item() == pytest.approx(0, abs=0.1)
    assert drawn.std().item() == pytest.approx(1, rel=0.1)
    Path("mine.py").write_text(
        "import torch\nfrom torch import nn\ndef create_loss(value):\n    loss = nn.Module()\n"
        "    loss.centroids = nn.Parameter(torch.full((3, 512), value))\n    return loss\n"
    )
    stage = PublishedStage(init_centroids=False, feature_loss="mine.py", arguments=[2.5])
    stage.prepare(second, start())
    assert torch.equal(second.memory.centroids, torch.full((3, 512), 2.5))
