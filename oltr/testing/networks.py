"""Checks of the parts that have weights: backbones and classifiers."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from oltr.plugins import BACKBONES, CLASSIFIERS
from oltr.testing.subject import Subject, copied, unchanged


def check_backbone(
    part: str | Callable[..., Any], *, options: Mapping[str, Any] | None = None, image_size: int = 32
) -> None:
    """A backbone tells its ``feature_dim``, trains whole, and at rest treats each image alone.

    Its first weights follow from torch's seed, and all that it learns is in its state dict.
    """
    subject = Subject(BACKBONES, part, options)
    network, twin = _twins(subject, image_size=image_size)
    feature_dim = getattr(network, "feature_dim", None)
    subject.demand(isinstance(feature_dim, int), f"its feature_dim is a whole number, not {feature_dim!r}")
    images = torch.randn(3, 3, image_size, image_size, generator=torch.Generator().manual_seed(0))
    before = copied(images)
    _check_training(subject, network, images)
    network.eval()
    state = copied(*network.state_dict().values())
    with torch.no_grad():
        features = subject.call("at rest", network, images)
        subject.demand(
            tuple(features.shape) == (3, feature_dim),
            f"features are [images, feature_dim] = [3, {feature_dim}], not {list(features.shape)}",
        )
        subject.demand_finite(features, "its features are")
        subject.demand_finite(subject.call("black images", network, 0 * images), "of black images its features are")
        alone = torch.cat([subject.call("one image", network, image[None]) for image in images])
    subject.demand(unchanged(before, images), "it writes to its images")
    subject.demand(unchanged(state, *network.state_dict().values()), "at rest it still changes its state")
    _check_cuts(subject, network, images, features)
    last = copy.deepcopy(network).to(memory_format=torch.channels_last)
    with torch.no_grad():
        images_last = images.contiguous(memory_format=torch.channels_last)
        turned = subject.call("images that lie channels-last in memory", last, images_last)
    subject.demand_close(turned, features, "of images that lie channels-last its features are others", tolerance=1e-3)
    subject.demand_close(alone, features, "at rest an image's features depend on the rest of the batch", tolerance=1e-3)
    _check_state(subject, network, twin, images)


def check_classifier(
    part: str | Callable[..., Any],
    *,
    options: Mapping[str, Any] | None = None,
    feature_dim: int = 8,
    num_classes: int = 5,
) -> None:
    """A classifier gives each image finite logits and gradients, also where features are zero, huge or centroids.

    It reads centroids only if it says ``needs_memory = True``, and trains in bfloat16 too unless it says
    ``needs_float32 = True``. A state dict is all of it, and all that another of its kind takes over by ``inherit``,
    where it has that.
    """
    subject = Subject(CLASSIFIERS, part, options)
    for classes in (1, num_classes):
        classifier, twin = _twins(subject, feature_dim=feature_dim, num_classes=classes)
        needs_memory = bool(getattr(classifier, "needs_memory", False))
        for case, features, centroids in _features(classes, feature_dim):
            for memory in [centroids] if needs_memory else [None, centroids]:
                _check_logits(subject, classifier, features, memory, classes, case)
        case, features, centroids = next(_features(classes, feature_dim))
        if not getattr(classifier, "needs_float32", False):
            _check_autocast(subject, classifier, features, centroids)
        _check_state(subject, classifier, twin, features, centroids)
        if hasattr(twin, "inherit"):
            _, twin = _twins(subject, feature_dim=feature_dim, num_classes=classes)
            _disturb(twin)
            subject.call("inherit from its own kind", twin.inherit, classifier.state_dict())
            same = torch.equal(twin.eval()(features, centroids), classifier.eval()(features, centroids))
            subject.demand(same, "what inherits from it gives other logits")


@torch.no_grad()
def _check_cuts(subject: Subject, network: Any, images: Tensor, features: Tensor) -> None:
    """Where a backbone says that it can be cut, its halves are the whole, and are on the sides that it says."""
    for cut, beyond in getattr(network, "cuts", {}).items():
        values = subject.call(f"until the cut {cut!r}", network.until, cut, images)
        whole = subject.call(f"beyond the cut {cut!r}", network.beyond, cut, values.clone())
        subject.demand_close(whole, features, f"cut at {cut!r}, its halves give other features", tolerance=1e-3)
        other = copy.deepcopy(network)
        for name, child in other.named_children():
            if name in beyond:
                _disturb(child)
        same = torch.equal(other.until(cut, images), values)
        subject.demand(same, f"what stands at the cut {cut!r} depends on children that are said to stand beyond it")


def _twins(subject: Subject, **given: Any) -> tuple[Any, Any]:
    """Two networks from one seed."""
    with torch.random.fork_rng(devices=[]):
        made = []
        for _ in range(2):
            torch.manual_seed(0)
            made.append(subject.build(**given))
    one, two = made
    subject.demand(isinstance(one, nn.Module), f"is a torch.nn.Module, not a {type(one).__name__}")
    same = unchanged(copied(*one.state_dict().values()), *two.state_dict().values())
    subject.demand(same, "its first weights do not follow from torch's seed")
    return one, two


def _check_training(subject: Subject, network: nn.Module, *inputs: Tensor) -> None:
    network.train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        outputs = subject.call("in training", network, *inputs)
    subject.demand_finite(outputs, "in training its output is")
    outputs.square().sum().backward()
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            subject.demand(parameter.grad is not None, f"no gradient reaches {name}")
            subject.demand_finite(parameter if parameter.grad is None else parameter.grad, f"the gradient of {name} is")
    network.zero_grad()


def _check_autocast(subject: Subject, classifier: nn.Module, features: Tensor, centroids: Tensor) -> None:
    """As a run with ``compute.precision: bfloat16`` trains it."""
    case = "training in bfloat16 (or say needs_float32 = True)"
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = subject.call(case, classifier.train(), features.clone().requires_grad_(), centroids)
    subject.demand_finite(logits.float(), f"{case}: its logits are")
    logits.float().square().mean().backward()
    for gradient in (parameter.grad for parameter in classifier.parameters()):
        subject.demand_finite(torch.zeros(1) if gradient is None else gradient, f"{case}: its gradient is")
    classifier.zero_grad()


def _check_state(subject: Subject, network: nn.Module, twin: nn.Module, *inputs: Tensor) -> None:
    """A twin with other weights that loads the state says the same."""
    _disturb(twin)
    subject.call("loading its own state dict", twin.load_state_dict, network.state_dict())
    with torch.no_grad():
        same = torch.equal(twin.eval()(*inputs), network.eval()(*inputs))
    subject.demand(same, "what loads its state dict gives another output: something of it is not in there")


@torch.no_grad()
def _disturb(network: nn.Module) -> None:
    for value in network.state_dict().values():
        value.add_(1)


def _features(num_classes: int, feature_dim: int) -> Iterator[tuple[str, Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(6, feature_dim, generator=generator)
    centroids = torch.randn(num_classes, feature_dim, generator=generator)
    yield "random features", features, centroids
    yield "features that are 0", torch.zeros_like(features), centroids
    yield "features of ±1e4", 1e4 * features.sign(), centroids
    yield "features that are centroids", centroids[torch.arange(6) % num_classes], centroids
    yield "centroids that are all 0", features, torch.zeros_like(centroids)
    yield "features and centroids that are 0", torch.zeros_like(features), torch.zeros_like(centroids)


def _check_logits(
    subject: Subject, classifier: Any, features: Tensor, memory: Tensor | None, classes: int, case: str
) -> None:
    case = f"{case}, {classes} classes"
    leaf, shape = features.clone().requires_grad_(), (len(features), classes)
    classifier.train()
    logits = subject.call(case, classifier, leaf, memory)
    subject.demand(tuple(logits.shape) == shape, f"{case}: logits are {list(shape)}, not {list(logits.shape)}")
    subject.demand_finite(logits, f"{case}: its logits are")
    logits.square().mean().backward()
    for gradient in [leaf.grad, *(parameter.grad for parameter in classifier.parameters())]:
        subject.demand_finite(torch.zeros(1) if gradient is None else gradient, f"{case}: its gradient is")
    classifier.zero_grad()
    classifier.eval()
    with torch.no_grad():
        together = classifier(features, memory)
        alone = torch.cat([classifier(row[None], memory) for row in features])
    subject.demand_close(alone, together, f"{case}: an image's logits depend on the rest of the batch", tolerance=1e-3)
