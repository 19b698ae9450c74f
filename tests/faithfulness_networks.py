"""The published networks beside ours: outputs and gradients at the same weights, and the layout of those weights."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from oltr.networks.cosine import Cosine
from oltr.networks.distances import nearest_distance
from oltr.networks.dot_product import DotProduct
from oltr.networks.meta_embedding import MetaEmbedding
from oltr.networks.modulated_attention import ModulatedAttention
from oltr.networks.resnet import resnet10, resnet152
from tests.faithfulness_sheet import FOLDER, Piece, Sheet, beside, golden

MODULES, RESNET = golden("oltr_modules"), golden("oltr_resnet")
VARIANTS = [(attention, fc) for attention in (False, True) for fc in (False, True)]


def linear(sheet: Sheet) -> None:
    classifier = DotProduct(feature_dim=8, num_classes=4).double()
    classifier.inherit({key: MODULES[f"dot/{key}"] for key in ("fc.weight", "fc.bias")})
    features = MODULES["dot/x"].requires_grad_()
    logits = classifier(features, torch.zeros(4, 8))
    logits.backward(MODULES["dot/cotangent"])
    found = (logits, features.grad, classifier.fc.weight.grad, classifier.fc.bias.grad)
    for name, value in zip(("logits", "grad_x", "grad_weight", "grad_bias"), found, strict=True):
        sheet.hold(value, MODULES, f"dot/{name}")


def cosine(sheet: Sheet) -> None:
    def built(scale: float = 16.0) -> Cosine:
        classifier = Cosine(feature_dim=8, num_classes=4, scale=scale).double()
        classifier.inherit({"weight": MODULES["cosnorm/weight"]})
        return classifier

    for scale in (1, 16, 30):
        sheet.hold(built(float(scale))(MODULES["cosnorm/x"]), MODULES, f"cosnorm/logits_scale{scale}")
    for name, zero in (("cosnorm", False), ("cosnorm/zero_row", True)):
        classifier, features = built(), MODULES["cosnorm/x"]
        if zero:
            features[2] = 0
        logits = classifier(features.requires_grad_())
        logits.backward(MODULES["cosnorm/cotangent"])
        assert bool(logits.isfinite().all())
        sheet.hold(logits, MODULES, f"{name}/logits")
        sheet.hold(features.grad, MODULES, f"{name}/grad_x")
        if not zero:
            sheet.hold(classifier.weight.grad, MODULES, f"{name}/grad_weight")


def meta_embedding(sheet: Sheet) -> None:
    classifier = MetaEmbedding(feature_dim=8, num_classes=4).double()
    classifier.inherit({key: MODULES[f"meta/{key}"] for key in classifier.state_dict()})
    for of, name, function in (
        ("logits", "logits", classifier),
        ("infused", "infused_feature", classifier.infuse),
    ):
        classifier.zero_grad()
        features, centroids = (MODULES[f"meta/{key}"].requires_grad_() for key in ("x", "centroids"))
        value = function(features, centroids)
        sheet.hold(value, MODULES, f"meta/{name}")
        value.backward(MODULES[f"meta/cotangent_{of}"])
        gradients = {"x": features.grad, "centroids": centroids.grad}
        gradients |= {key: parameter.grad for key, parameter in classifier.named_parameters()}
        for key in MODULES.keys(f"meta/grad_{of}/*"):
            sheet.hold(gradients[key.rpartition("/")[2]], MODULES, key)
    distance = nearest_distance(MODULES["meta/x"], MODULES["meta/centroids"])
    sheet.hold(10 / distance, MODULES, "meta/reachability")
    logits = classifier(MODULES["meta/coincident/x"], MODULES["meta/centroids"])
    assert bool(logits.isfinite().all())
    sheet.hold(logits, MODULES, "meta/coincident/logits")
    classifier.float()
    inputs = MODULES["meta/x"].float(), MODULES["meta/centroids"].float()
    sheet.hold(classifier(*inputs), MODULES, "meta/f32/logits")
    sheet.hold(classifier.infuse(*inputs), MODULES, "meta/f32/infused_feature")


def attention(sheet: Sheet) -> None:
    layer = ModulatedAttention(channels=8, size=7).double()
    layer.load_state_dict({key: MODULES[f"att/{key}"].double() for key in layer.state_dict()})
    maps = MODULES["att/x"].double().requires_grad_()
    output, (spatial, mask) = layer(maps), layer.attend(maps)
    for name, value in (("output", output), ("map_spatial_att", spatial), ("map_mask", mask)):
        sheet.hold(value, MODULES, f"att/{name}")
    output.backward(MODULES["att/cotangent"].double())
    sheet.hold(maps.grad, MODULES, "att/grad_x")
    for key, parameter in layer.named_parameters():
        if key == "fc_spatial.weight":  # of which the file has every seventh column
            sheet.hold(parameter.grad[:, ::7], MODULES, f"att/grad/{key}[:, ::7]")
        else:
            sheet.hold(parameter.grad, MODULES, f"att/grad/{key}")


def hashed_resnets() -> list[tuple[str, Any, Tensor]]:
    """The four variants with the golden files' weights, made by their formula, and the golden image."""
    made = beside("networks/test_resnet.py")
    image = torch.as_tensor(1.5 * made.hashed(3 * 224 * 224, 1_000_000), dtype=torch.float32).reshape(1, 3, 224, 224)
    return [
        (f"resnet10_att{int(attention)}_fc{int(fc)}", made.filled(resnet10(attention=attention, fc=fc)), image)
        for attention, fc in VARIANTS
    ]


@torch.no_grad()
def resnet(sheet: Sheet) -> None:
    for case, network, image in hashed_resnets():
        np.testing.assert_array_equal(image.flatten()[:64], RESNET["input_first64"])
        np.testing.assert_allclose(image.double().sum(), RESNET["input_sum"], rtol=1e-9)
        drawn = np.concatenate([np.resize(value.flatten()[:2], 2) for value in network.state_dict().values()])
        sheet.hold(drawn, RESNET, f"{case}/weights_first2")
        seen = outputs_of(network, [key.rpartition("/")[2] for key in RESNET.keys(f"{case}/stat/*")])
        sheet.hold(network(image), RESNET, f"{case}/features_f32")
        if network.modulatedatt is not None:  # of whose maps the network itself takes no more than the mean
            network.avgpool(network.modulatedatt(seen["layer4"]))
        for child, value in seen.items():
            sheet.hold([value.mean(), value.std(), value.abs().max()], RESNET, f"{case}/stat/{child}")
        network = copy.deepcopy(network).double()
        maps = outputs_of(network, ["layer4"])
        sheet.hold(network(image.double()), RESNET, f"{case}/features_f64")
        if network.modulatedatt is not None:
            spatial, mask = network.modulatedatt.attend(maps["layer4"])
            sheet.hold(maps["layer4"].mean((2, 3)), RESNET, f"{case}/map_x_mean")
            sheet.hold(spatial, RESNET, f"{case}/map_spatial_att")
            sheet.hold(mask.mean((2, 3)), RESNET, f"{case}/map_mask_mean")


def outputs_of(network: nn.Module, children: list[str]) -> dict[str, Tensor]:
    """What the named children give, once the network has been called; what follows may overwrite it in place."""
    seen: dict[str, Tensor] = {}
    for child in children:
        network.get_submodule(child).register_forward_hook(
            lambda module, inputs, output, child=child: seen.__setitem__(child, output.clone())
        )
    return seen


def resnet_training(sheet: Sheet) -> None:
    _, _, image = hashed_resnets()[0]
    network = beside("networks/test_resnet.py").filled(resnet10(fc=True)).double().train()
    features = network(torch.cat([image, 0.7 * image.flip(3)]).double())
    sheet.hold(features, RESNET, "train_mode/features")
    cotangent = torch.sin(0.9 * torch.arange(features.numel(), dtype=torch.float64)).reshape(features.shape)
    (features * cotangent).sum().backward()
    sheet.hold([parameter.grad.norm() for parameter in network.parameters()], RESNET, "train_mode/grad_norms")
    sheet.hold(network.conv1.weight.grad.flatten()[:49], RESNET, "train_mode/conv1_grad_first")
    for name in ("running_mean", "running_var"):
        sheet.hold(getattr(network.bn1, name), RESNET, f"train_mode/bn1_{name}")


def layouts(sheet: Sheet) -> None:
    """Names, shapes and order of all entries by their digest, each entry a number; and the count of parameters."""
    known = json.loads((FOLDER / "oltr_layouts.json").read_text(encoding="utf-8"))
    built: dict[str, Callable[[], nn.Module]] = {
        f"{network.__name__}_att{int(attention)}_fc{int(fc)}": lambda n=network, a=attention, f=fc: n(attention=a, fc=f)
        for network in (resnet10, resnet152)
        for attention, fc in VARIANTS
    }
    built["dotproduct_512_10"] = lambda: DotProduct(feature_dim=512, num_classes=10)
    built["metaembedding_512_10"] = lambda: MetaEmbedding(feature_dim=512, num_classes=10)
    assert built.keys() == known.keys()
    for case, make in built.items():
        with torch.device("meta"):
            network = make()
        entries = [f"{key} {list(value.shape)}" for key, value in network.state_dict().items()]
        assert hashlib.sha256("\n".join(entries).encode()).hexdigest() == known[case]["sha256"], case
        assert len(entries) == known[case].get("entries", len(entries))
        sheet.numbers += len(entries)
        parameters = sum(parameter.numel() for parameter in network.parameters())
        sheet.compare(parameters, known[case]["parameters"], (0.0, 0.0), case)


_RESNET = "OLTR `models/ResNetFeature.py`"
PIECES = (
    Piece(
        name="Linear classifier, logits and gradients",
        published="OLTR `models/DotProductClassifier.py`",
        ours="`dot_product`",
        compare=linear,
    ),
    Piece(
        name="Cosine classifier, logits and gradients, at three scales",
        published="OLTR `models/CosNormClassifier.py`",
        ours="`cosine`",
        compare=cosine,
        departs=("zero features",),
    ),
    Piece(
        name="Meta-embedding: logits, infused feature, reachability, gradients",
        published="OLTR `models/MetaEmbeddingClassifier.py`",
        ours="`meta_embedding`",
        compare=meta_embedding,
        departs=("feature at a centroid",),
    ),
    Piece(
        name="Modulated attention: output, maps, gradients",
        published="OLTR `layers/ModulatedAttLayer.py`",
        ours="`attention: true` of a backbone",
        compare=attention,
        departs=("new attention",),
    ),
    Piece(
        name="ResNet-10 at rest: features and inner maps, with and without attention and `fc_add`",
        published=f"{_RESNET}, `models/ResNet10Feature.py`",
        ours="`resnet10`",
        compare=resnet,
        departs=("image size", "dropout"),
    ),
    Piece(
        name="ResNet-10 in training: features, gradients, BatchNorm statistics",
        published=f"{_RESNET}, `models/ResNet10Feature.py`",
        ours="`resnet10`",
        compare=resnet_training,
    ),
    Piece(
        name="Entries of the state dicts, names, shapes and order; counts of parameters",
        published=f"{_RESNET} (10 and 152 layers), both classifiers",
        ours="`resnet10`, `resnet152`, `dot_product`, `meta_embedding`",
        compare=layouts,
    ),
)
