"""The conformance kit: every part of ours passes, and each promise that a part breaks is found and named."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from oltr import testing
from oltr.contracts import Known, Outputs, Progress, UserError
from oltr.data.split import DataCheck, Splits
from oltr.plugins import KINDS, PluginError

CHECKS: dict[str, Callable[..., None]] = {
    kind.noun: getattr(testing, f"check_{kind.noun}") for kind in KINDS if hasattr(testing, f"check_{kind.noun}")
}
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "schedule constant": [{"value": 0.1}],
    "schedule step": [{"value": 0.1, "every": 2}],
    "schedule multistep": [{"value": 0.1, "milestones": [0.5, 4]}],
    "schedule linear": [{"start": 1, "end": 0}],
    "schedule cosine": [{"value": 0.1, "warmup": 3}],
    "schedule warmup": [{"epochs": 3, "after": {"name": "cosine", "value": 1}}],
    "schedule restarts": [{"value": 1, "period": 3, "growth": 2}],
    "schedule cyclical": [{"low": 0, "high": 1, "factor": 1}],
    "loss cross_entropy": [{}, {"class_weights": "balanced"}, {"label_smoothing": 0.1, "temperature": 2}],
    "loss cyclical_focal": [{}, {"gamma_pos": 0.5, "gamma_neg": 0.5, "factor": 1}, {"eta": 0, "label_smoothing": 0}],
    "loss disc_centroids": [{}, {"gradient": "autograd", "margin": 1}],
    "backbone resnet10": [{}, {"attention": True, "fc": True, "dropout": 0.5}],
    "backbone resnet32": [{"attention": True, "dropout": 0.5}],
    "sampler class_aware": [{"images_per_class": 4}, {"images_per_class": 3, "epoch_images": 7}],
    "transform imagenet_test": [{"size": 20, "resize": 24}],
    "transform imagenet_train": [{"size": 20}],
    "transform plain": [{}, {"size": 24, "padding": 2, "flip": True}],
    "dataset glyphs": [{"known_classes": 4, "open_classes": 2, "max_images": 9, "image_size": 12}],
}
NEED_FILES = (
    *("cifar10_lt", "cifar100_lt", "fashion_mnist_lt", "image_folder", "image_list", "imagenet_lt", "places_lt"),
    "listed",
)
OURS = [
    (kind.noun, plugin.name, options)
    for kind in KINDS
    for plugin in kind.plugins
    if kind.noun in CHECKS and plugin.distribution == "oltr" and plugin.name not in NEED_FILES
    if kind.noun not in ("scorer", "threshold")  # in tests/scorers/test_robust.py and tests/thresholds
    for options in OPTIONS.get(f"{kind.noun} {plugin.name}", [{}])
]


def caught(kind: str, part: Callable[..., Any], message: str, **options: Any) -> None:
    """The check finds fault with the part, in one line that starts with its name."""
    with pytest.raises(AssertionError) as error:
        CHECKS[kind](part, options=options)
    assert message in str(error.value)
    assert str(error.value).startswith(f"{kind} {part.__name__}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("noun", "name", "options"), OURS, ids=[f"{noun} {name}" for noun, name, _ in OURS])
def test_every_part_of_ours_conforms(noun: str, name: str, options: dict[str, Any]) -> None:
    CHECKS[noun](name, options=options)


def test_each_kind_but_two_has_a_check() -> None:
    assert {kind.noun for kind in KINDS} - CHECKS.keys() == {"stage", "optimizer"}
    assert len(OURS) > 30


def test_a_list_of_images_conforms(tmp_path: Path) -> None:
    from PIL import Image

    for split, count in (("train", 4), ("val", 2), ("test", 2), ("open", 2)):
        names = [f"{split}_{index}.png" for index in range(count)]
        for index, name in enumerate(names):
            Image.new("RGB", (9, 7), (index, 80, 200)).save(tmp_path / name)
        lines = [f"{name} {index % 2}" for index, name in enumerate(names)]
        (tmp_path / f"Few_{split}.txt").write_text("\n".join(lines))
    testing.check_dataset("image_list", options={"list_name": "Few"}, root=tmp_path)
    (tmp_path / "val_1.png").unlink()
    with pytest.raises(
        AssertionError, match=r"dataset image_list: check: .*1 of 2 images are missing, first val_1\.png"
    ):
        testing.check_dataset("image_list", options={"list_name": "Few"}, root=tmp_path)


def test_the_kit_does_not_need_pytest() -> None:
    code = "import sys, oltr.testing; assert not {'pytest', '_pytest'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


# What holds for every part.


def by_position(label_smoothing: float = 0.0) -> None: ...


def with_weight(*, weight: float = 1.0) -> None: ...


def greedy(**options: float) -> None: ...


def demanding(*, depth: int) -> None: ...


@pytest.mark.parametrize(
    ("part", "message", "options"),
    [
        (by_position, "takes 'label_smoothing' by position as well", {}),
        (with_weight, "declares an option 'weight', a name that configs keep for themselves", {}),
        (greedy, "a part takes keyword options only", {}),
        (demanding, "option 'depth' is required", {}),
        (demanding, "takes no option 'dept'; did you mean 'depth'?", {"dept": 1}),
        (demanding, "option 'depth' takes a whole number, not 'deep'", {"depth": "deep"}),
    ],
)
@pytest.mark.parametrize("kind", list(CHECKS))
def test_the_rules_for_every_part(kind: str, part: Any, message: str, options: dict[str, Any]) -> None:
    caught(kind, part, message, **options)


# Losses.


class Overflowing:
    def __call__(self, outputs: Outputs, target: Tensor, progress: Progress) -> Tensor:
        odds = outputs.logits.exp()
        return -(odds.gather(1, target[:, None])[:, 0] / odds.sum(1)).log().mean()


class InfiniteSlope:
    """The value is finite where two features are equal, but not the slope."""

    def __call__(self, outputs: Outputs, target: Tensor, progress: Progress) -> Tensor:
        return (outputs.features - outputs.features.detach().mean(0)).square().sum(1).sqrt().mean()


class WrongSlope:
    def __call__(self, outputs: Outputs, target: Tensor, progress: Progress) -> Tensor:
        loss = functional.cross_entropy(outputs.logits, target)
        return loss + (loss - loss.detach()) / 10


class WrongSlopeLate:
    """True in the first epochs only."""

    def __call__(self, outputs: Outputs, target: Tensor, progress: Progress) -> Tensor:
        loss = functional.cross_entropy(outputs.logits, target)
        return loss if progress.fraction < 1 else 2 * loss - loss.detach()


class Ordered:
    def __call__(self, outputs: Outputs, target: Tensor, progress: Progress) -> Tensor:
        losses = functional.cross_entropy(outputs.logits, target, reduction="none")
        return (losses * torch.arange(len(losses))).sum()


class PerSample:
    def __call__(self, outputs: Outputs, target: Tensor, progress: Progress) -> Tensor:
        return functional.cross_entropy(outputs.logits, target, reduction="none")


class CutOff:
    def __call__(self, outputs: Outputs, target: Tensor, progress: Progress) -> Tensor:
        return functional.cross_entropy(outputs.logits.detach(), target)


class Writing:
    def __call__(self, outputs: Outputs, target: Tensor, progress: Progress) -> Tensor:
        loss = functional.cross_entropy(outputs.logits, target)
        target.zero_()
        return loss


class Forgetful:
    """Another loss each time."""

    calls = 0

    def __call__(self, outputs: Outputs, target: Tensor, progress: Progress) -> Tensor:
        self.calls += len(target) > 1
        return functional.cross_entropy(outputs.logits, target) + self.calls


class Secretive:
    """Reads centroids without saying so."""

    def __call__(self, outputs: Outputs, target: Tensor, progress: Progress) -> Tensor:
        if outputs.centroids is None:
            raise UserError("where are my centroids?\nI need them")
        return (outputs.features - outputs.centroids[target]).square().mean()


class Flat:
    def __call__(self, outputs: Outputs, target: Tensor, progress: Progress) -> Tensor:
        return 0 * outputs.logits.sum()


class SinglePrecision:
    """Breaks where the network computes in float64."""

    def __call__(self, outputs: Outputs, target: Tensor, progress: Progress) -> Tensor:
        return functional.cross_entropy(outputs.logits @ torch.eye(outputs.logits.shape[1]), target)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (SinglePrecision, "float64, epoch 0 of 1: RuntimeError: expected"),
        (Overflowing, "logits of ±1e4, epoch 0 of 1: its value is not finite"),
        (InfiniteSlope, "constant features, epoch 0 of 1: its gradient is not finite"),
        (WrongSlope, "epoch 0 of 1: its gradient is not its derivative"),
        (WrongSlopeLate, "epoch 1 of 2: its gradient is not its derivative"),
        (Ordered, "random logits, epoch 0 of 1: it depends on the order of the batch"),
        (PerSample, "a loss is a scalar tensor"),
        (CutOff, "nothing to differentiate"),
        (Writing, "it writes to its input"),
        (Forgetful, "it depends on"),
        (Secretive, "random logits, epoch 0 of 1: UserError: where are my centroids?"),
        (Flat, "no gradient reaches features or logits"),
    ],
)
def test_a_broken_loss_is_caught(part: Any, message: str) -> None:
    caught("loss", part, message)


# Scorers.


class UpsideDown:
    def __call__(self, outputs: Outputs) -> Tensor:
        return outputs.logits.softmax(1).amax(1)


class Standardised:
    """Relative to the batch."""

    def __call__(self, outputs: Outputs) -> Tensor:
        scores = -outputs.logits.amax(1)
        return (scores - scores.mean()) / (scores.std(correction=0) + 1)


class Margin:
    """Second class against first: nothing to compare where there is one class."""

    def __call__(self, outputs: Outputs) -> Tensor:
        top = outputs.logits.topk(2, dim=1).values
        return top[:, 1] - top[:, 0]


class EntropyByHand:
    def __call__(self, outputs: Outputs) -> Tensor:
        p = outputs.logits.softmax(1)
        return -(p * p.log()).sum(1)


class Columns:
    def __call__(self, outputs: Outputs) -> Tensor:
        return -outputs.logits.amax(1, keepdim=True)


class Greedy:
    def __call__(self, outputs: Outputs) -> Tensor:
        return -outputs.logits.sub_(1).amax(1)


class NearestMean:
    """The distance to the nearest class mean, as it should be; the broken ones after it differ in one thing."""

    needs_train = True

    def fit(self, known: Known) -> None:
        self.means = self.sums(known.train())

    def sums(self, blocks: Iterable[tuple[Outputs, Tensor]]) -> Tensor:
        sums = counts = torch.zeros(())
        for outputs, labels in blocks:
            member = functional.one_hot(labels, outputs.logits.shape[1]).float()
            sums, counts = sums + member.T @ outputs.features, counts + member.sum(0)
        if not counts.any():
            raise UserError("it needs training images")
        return sums[counts > 0] / counts[counts > 0, None]

    def __call__(self, outputs: Outputs) -> Tensor:
        return (outputs.features[:, None] - self.means).norm(dim=2).amin(1)


class ReadsInSecret(NearestMean):
    needs_train = False


class ReadsTheOtherSet(NearestMean):
    def fit(self, known: Known) -> None:
        self.means = self.sums(known.val())


class TakesTheHead(NearestMean):
    def fit(self, known: Known) -> None:
        super().fit(known)
        assert known.head is not None
        self.means = known.head.weight


class CountsOn(NearestMean):
    """Forgets that it was fitted before."""

    fits = 0

    def fit(self, known: Known) -> None:
        super().fit(known)
        self.fits += 1
        self.means = self.means * self.fits


class DrawsLots(NearestMean):
    def __init__(self) -> None:
        self.shift = torch.rand(1)

    def __call__(self, outputs: Outputs) -> Tensor:
        return super().__call__(outputs) + self.shift


class LastBlockOnly(NearestMean):
    def fit(self, known: Known) -> None:
        self.means = self.sums(list(known.train())[-1:])


class WritesInFit(NearestMean):
    def fit(self, known: Known) -> None:
        for outputs, _ in known.train():
            outputs.features.add_(1)
        super().fit(known)


class MeanOfNothing(NearestMean):
    """Divides by the images of a class, of which there may be none."""

    def sums(self, blocks: Iterable[tuple[Outputs, Tensor]]) -> Tensor:
        found = list(blocks)
        if not found:
            raise UserError("it needs training images")
        labels, features = torch.cat([block[1] for block in found]), torch.cat([block[0].features for block in found])
        classes = found[0][0].logits.shape[1]
        return torch.stack([features[labels == k].mean(0) for k in range(classes)])


class Wordy(NearestMean):
    def sums(self, blocks: Iterable[tuple[Outputs, Tensor]]) -> Tensor:
        try:
            return super().sums(blocks)
        except UserError as error:
            raise UserError(f"{error}\nand would have liked more") from None


class Unwilling(NearestMean):
    def fit(self, known: Known) -> None:
        raise UserError("not today")


class Certainty:
    """Less certain is more unknown, as it should be; the broken ones after it differ in one thing."""

    needs_network = True

    def score(self, forward: Callable[[Tensor], Outputs], images: Tensor) -> Tensor:
        with torch.enable_grad():
            return self.of(forward, images.detach().requires_grad_()).detach()

    def of(self, forward: Callable[[Tensor], Outputs], images: Tensor) -> Tensor:
        shares = forward(images).logits.softmax(1).amax(1)
        (gradient,) = torch.autograd.grad(shares.sum(), images)
        return -shares + 0 * gradient.sum()


class Backwards(Certainty):
    """Leaves gradients in the network."""

    def of(self, forward: Callable[[Tensor], Outputs], images: Tensor) -> Tensor:
        shares = forward(images).logits.softmax(1).amax(1)
        shares.sum().backward()
        return -shares


class CountsOnGradients(Certainty):
    def score(self, forward: Callable[[Tensor], Outputs], images: Tensor) -> Tensor:
        return self.of(forward, images.detach().requires_grad_()).detach()


class MarksImages(Certainty):
    def score(self, forward: Callable[[Tensor], Outputs], images: Tensor) -> Tensor:
        with torch.enable_grad():
            return self.of(forward, images.requires_grad_()).detach()


class Confident(Certainty):
    def of(self, forward: Callable[[Tensor], Outputs], images: Tensor) -> Tensor:
        return -super().of(forward, images)


class BatchOfImages(Certainty):
    def of(self, forward: Callable[[Tensor], Outputs], images: Tensor) -> Tensor:
        return super().of(forward, images) + images.mean()


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (UpsideDown, "higher means more unknown: 0.99"),
        (Standardised, "usual images, known images: an image's score depends on the rest of the batch"),
        (Margin, "one class, known images: RuntimeError: "),
        (EntropyByHand, "usual images, logits of ±1e4: its scores are not finite"),
        (Columns, "usual images, known images: one number an image, [6], not (6, 1)"),
        (Greedy, "it writes to its input"),
        (ReadsInSecret, "fit: AssertionError: reads the train images without saying needs_train = True"),
        (ReadsTheOtherSet, "fit: AssertionError: reads the val images without saying needs_val = True"),
        (TakesTheHead, "usual images: fit: AssertionError"),
        (CountsOn, "fitted twice its scores differ"),
        (DrawsLots, "two of the same options, fitted on the same images, differ"),
        (LastBlockOnly, "its fit depends on the blocks that images come in"),
        (WritesInFit, "usual images: fit writes to what it is given"),
        (MeanOfNothing, "a class without training images, known images: its scores are not finite"),
        (Wordy, "no training image: a UserError is one line, not 2"),
        (Unwilling, "usual images: fit: UserError: not today"),
        (Backwards, "clear images, 5 classes: it writes to the images, the network or its gradients"),
        (CountsOnGradients, "clear images, 5 classes: RuntimeError: "),
        (MarksImages, "clear images, 5 classes: it leaves images or scores that ask for gradients"),
        (Confident, "higher means more unknown: 1 on average for clear images"),
        (BatchOfImages, "an image's score depends on the rest of the batch"),
    ],
)
def test_a_broken_scorer_is_caught(part: Any, message: str) -> None:
    caught("scorer", part, message)


@pytest.mark.parametrize("part", [NearestMean, Certainty])
def test_a_scorer_that_is_not_broken_passes(part: Any) -> None:
    testing.check_scorer(part)


# Schedules.


class DividesByZero:
    def __call__(self, progress: Progress) -> float:
        return progress.epoch / (progress.epochs - 1)


class Remembering:
    value = 1.0

    def __call__(self, progress: Progress) -> float:
        self.value *= 0.9
        return self.value


class Runaway:
    def __call__(self, progress: Progress) -> float:
        return 1e300 * 10.0**progress.epoch if progress.epoch < 9 else float("inf")


class Wordy:
    def __call__(self, progress: Progress) -> float:
        return "fast"  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (DividesByZero, "epoch 0 of 1: ZeroDivisionError"),
        (Remembering, "its value depends on what was asked before"),
        (Runaway, "epoch 9 of 10: inf is not finite"),
        (Wordy, "epoch 0 of 1: gives a str, not a number"),
    ],
)
def test_a_broken_schedule_is_caught(part: Any, message: str) -> None:
    caught("schedule", part, message)


# Backbones and classifiers.


class Backbone(nn.Module):
    """Good as it is; what is broken is in those that follow."""

    def __init__(self, *, tell: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        if tell:
            self.feature_dim = 4

    def forward(self, images: Tensor) -> Tensor:
        return self.conv(images).mean((2, 3))


class TellsWrong(Backbone):
    def __init__(self) -> None:
        super().__init__()
        self.feature_dim = 5


class BatchBound(Backbone):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images - images.mean(0))


class AlwaysCounting(Backbone):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(self.norm.train()(images))


class Hiding(Backbone):
    """A weight that is no parameter is lost with the process."""

    def __init__(self) -> None:
        super().__init__()
        self.offset = torch.zeros(4)

    def forward(self, images: Tensor) -> Tensor:
        if self.training:
            self.offset = self.offset + 1
        return super().forward(images) + self.offset


class HalfUsed(Backbone):
    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Linear(4, 4)


class Unseeded(Backbone):
    def __init__(self) -> None:
        super().__init__()
        nn.init.constant_(self.conv.weight, float(np.random.default_rng().random()))


class Undefined(Backbone):
    def forward(self, images: Tensor) -> Tensor:
        features = super().forward(images - images.mean((1, 2, 3), keepdim=True))
        return features / (images.std((1, 2, 3)) * 4)[:, None]


class Divisible(Backbone):
    """Can be cut before its last layer."""

    cuts: ClassVar[dict[str, tuple[str, ...]]] = {"maps": ("last",)}

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(4, 4)

    def until(self, cut: str, images: Tensor) -> Tensor:
        return self.conv(images)

    def beyond(self, cut: str, values: Tensor) -> Tensor:
        return self.last(values.mean((2, 3)))

    def forward(self, images: Tensor) -> Tensor:
        return self.beyond("maps", self.until("maps", images))


class Viewing(Backbone):
    """Takes for granted that a map's rows lie one after the other."""

    def forward(self, images: Tensor) -> Tensor:
        return self.conv(images).view(len(images), -1).reshape(len(images), 4, -1).mean(2)


class Striding(Backbone):
    """The same, without torch noticing."""

    def forward(self, images: Tensor) -> Tensor:
        maps = self.conv(images)
        size = maps[0].numel()
        return maps.as_strided((len(maps), 4, size // 4), (size, size // 4, 1)).mean(2)


class CutApart(Divisible):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) + 1


class CutTooEarly(Divisible):
    cuts: ClassVar[dict[str, tuple[str, ...]]] = {"maps": ("conv", "last")}


@pytest.mark.parametrize(
    ("part", "message", "options"),
    [
        (Viewing, "images that lie channels-last in memory", {}),
        (Striding, "of images that lie channels-last its features are others", {}),
        (CutApart, "cut at 'maps', its halves give other features", {}),
        (CutTooEarly, "what stands at the cut 'maps' depends on children that are said to stand beyond it", {}),
        (Backbone, "its feature_dim is a whole number, not None", {"tell": False}),
        (TellsWrong, "features are [images, feature_dim] = [3, 5], not [3, 4]", {}),
        (BatchBound, "at rest an image's features depend on the rest of the batch", {}),
        (AlwaysCounting, "at rest it still changes its state", {}),
        (Hiding, "something of it is not in there", {}),
        (HalfUsed, "no gradient reaches unused.weight", {}),
        (Unseeded, "its first weights do not follow from torch's seed", {}),
        (Undefined, "of black images its features are not finite", {}),
    ],
)
def test_a_broken_backbone_is_caught(part: Any, message: str, options: dict[str, Any]) -> None:
    caught("backbone", part, message, **options)


def test_a_good_backbone_passes() -> None:
    testing.check_backbone(Backbone)
    testing.check_backbone(Divisible)


class Head(nn.Module):
    def __init__(self, *, feature_dim: int, num_classes: int) -> None:
        super().__init__()
        self.fc = nn.Linear(feature_dim, num_classes)

    def forward(self, features: Tensor, centroids: Tensor | None = None) -> Tensor:
        return self.fc(features)


class Normalising(Head):
    def forward(self, features: Tensor, centroids: Tensor | None = None) -> Tensor:
        return super().forward(features / features.norm(dim=1, keepdim=True))


class NormalisingByRoot(Head):
    """The value is finite where a feature is 0, but not the slope."""

    def forward(self, features: Tensor, centroids: Tensor | None = None) -> Tensor:
        return super().forward(features / (1 + features.square().sum(1, keepdim=True).sqrt()))


class Reachable(Head):
    needs_memory = True

    def forward(self, features: Tensor, centroids: Tensor | None = None) -> Tensor:
        assert centroids is not None
        return super().forward(features) / torch.cdist(features, centroids).amin(1, keepdim=True)


class Silent(Reachable):
    needs_memory = False


class Extra(Head):
    def forward(self, features: Tensor, centroids: Tensor | None = None) -> Tensor:
        return functional.pad(super().forward(features), (0, 1))


class BatchSoftmax(Head):
    def forward(self, features: Tensor, centroids: Tensor | None = None) -> Tensor:
        return super().forward(features).softmax(0)


class Disowning(Head):
    def inherit(self, state: Mapping[str, Tensor]) -> None:
        self.fc.bias.data = state["fc.bias"]


class Filling(Head):
    def forward(self, features: Tensor, centroids: Tensor | None = None) -> Tensor:
        logits = features.new_zeros(len(features), self.fc.out_features)
        logits[torch.arange(len(features))] = super().forward(features)  # of another type under autocast
        return logits


class FillingInFloat32(Filling):
    needs_float32 = True


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (Filling, "training in bfloat16 (or say needs_float32 = True): RuntimeError: "),
        (Normalising, "features that are 0, 1 classes: its logits are not finite"),
        (NormalisingByRoot, "features that are 0, 1 classes: its gradient is not finite"),
        (Reachable, "features that are centroids, 1 classes: its "),
        (Silent, "random features, 1 classes: AssertionError: "),
        (Extra, "random features, 1 classes: logits are [6, 1], not [6, 2]"),
        (BatchSoftmax, "an image's logits depend on the rest of the batch"),
        (Disowning, "what inherits from it gives other logits"),
    ],
)
def test_a_broken_classifier_is_caught(part: Any, message: str) -> None:
    caught("classifier", part, message)


def test_a_good_classifier_passes() -> None:
    testing.check_classifier(Head)
    testing.check_classifier(FillingInFloat32)


# Samplers.


class Sampler:
    """Good as it is: a permutation an epoch."""

    def __init__(self, *, labels: Tensor, generator: torch.Generator) -> None:
        self.labels, self.generator = labels, generator

    def indices(self, progress: Progress) -> Tensor:
        return torch.randperm(len(self.labels), generator=self.generator)

    def state_dict(self) -> dict[str, Any]:
        return {"generator": self.generator.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.generator.set_state(state["generator"])


class Beyond(Sampler):
    def indices(self, progress: Progress) -> Tensor:
        return super().indices(progress) + 1


class Stateless(Sampler):
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        pass


class HalfResumed(Sampler):
    """Forgets the images left over from the epoch before."""

    def __init__(self, *, labels: Tensor, generator: torch.Generator) -> None:
        super().__init__(labels=labels, generator=generator)
        self.left = torch.empty(0, dtype=torch.int64)

    def indices(self, progress: Progress) -> Tensor:
        drawn = torch.cat([self.left, super().indices(progress)])
        self.left = drawn[10:]
        return drawn[:10]


class Shared(Sampler):
    """Its state is the very tensor that it goes on to change."""

    def __init__(self, *, labels: Tensor, generator: torch.Generator) -> None:
        super().__init__(labels=labels, generator=generator)
        self.order = torch.randperm(len(labels), generator=generator)

    def indices(self, progress: Progress) -> Tensor:
        self.order.copy_(self.order.roll(1))
        return self.order.clone()

    def state_dict(self) -> dict[str, Any]:
        return {"order": self.order}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.order = state["order"].clone()


class Global(Sampler):
    def indices(self, progress: Progress) -> Tensor:
        return torch.randperm(len(self.labels))


class Objects(Sampler):
    def state_dict(self) -> dict[str, Any]:
        return {"generator": np.random.default_rng(0)}


class Listing(Sampler):
    def indices(self, progress: Progress) -> Tensor:
        return [0, 1]  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (Beyond, "epoch 0: indices of images are 0 to 16"),
        (Stateless, "resumed at epoch 0 it goes on otherwise"),
        (HalfResumed, "resumed at epoch 1 it goes on otherwise"),
        (Shared, "resumed at epoch 0 it goes on otherwise"),
        (Global, "it draws from torch's global generator"),
        (Objects, "a state of tensors and plain data: UnpicklingError"),
        (Listing, "epoch 0: indices are int64 [n]"),
    ],
)
def test_a_broken_sampler_is_caught(part: Any, message: str) -> None:
    caught("sampler", part, message)


def test_a_good_sampler_passes() -> None:
    testing.check_sampler(Sampler)


# Transforms.


class Transform:
    """Good as it is."""

    def image(self, image: Tensor) -> Tensor:
        return image

    def batch(self, images: Tensor, generator: torch.Generator) -> Tensor:
        return images / 255


class NumpyCrop(Transform):
    def image(self, image: Tensor) -> Tensor:
        return image.roll(int(np.random.default_rng().integers(1, 40)), dims=1)


class FloatImage(Transform):
    def image(self, image: Tensor) -> Tensor:
        return image / 255


class GlobalJitter(Transform):
    def batch(self, images: Tensor, generator: torch.Generator) -> Tensor:
        return images * torch.rand(1)


class BatchMean(Transform):
    def batch(self, images: Tensor, generator: torch.Generator) -> Tensor:
        return images - images.float().mean()


class DoublePrecision(Transform):
    def batch(self, images: Tensor, generator: torch.Generator) -> Tensor:
        return images.double()


class InPlace(Transform):
    def batch(self, images: Tensor, generator: torch.Generator) -> Tensor:
        return images.clamp_(max=200).float()


class Lambda(Transform):
    def __init__(self) -> None:
        self.function = lambda image: image


class SquareRootOfNegatives(Transform):
    def batch(self, images: Tensor, generator: torch.Generator) -> Tensor:
        return (images / 255 - 0.5).sqrt()


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (NumpyCrop, "image: one seed gives two images"),
        (FloatImage, "image: it gives uint8 [3, H, W], all of one size"),
        (GlobalJitter, "batch: it draws from torch's global generator"),
        (BatchMean, "batch: it draws nothing, but an image depends on the rest of the batch"),
        (DoublePrecision, "batch: it gives float32 [5, 3, 40, 48], not float64 [5, 3, 40, 48]"),
        (InPlace, "batch: it writes to the stored images"),
        (Lambda, "sent to a worker: "),
        (SquareRootOfNegatives, "batch: its images are not finite"),
    ],
)
def test_a_broken_transform_is_caught(part: Any, message: str) -> None:
    caught("transform", part, message)


def test_a_good_transform_passes() -> None:
    testing.check_transform(Transform)


# Data sets.


class Images:
    def __init__(self, labels: list[int], ids: list[str], pixels: int | None = 0) -> None:
        self.labels, self.ids, self.pixels = np.array(labels, dtype=np.int64), ids, pixels

    def read(self, indices: list[int]) -> list[Tensor]:
        pixels = np.random.default_rng().integers(256) if self.pixels is None else self.pixels
        return [torch.full((3, 4, 4), (int(pixels) + index) % 256, dtype=torch.uint8) for index in indices]


class Data:
    """Good by its defaults."""

    def __init__(
        self, *, ids: str = "ab", open_label: int = -1, pixels: int | None = 0, sha256: str = "x", ok: bool = True
    ) -> None:
        self.ids, self.open_label, self.pixels, self.sha256, self.ok = list(ids), open_label, pixels, sha256, ok

    def splits(self) -> Splits:
        known, strangers = Images([0, 1], self.ids, self.pixels), Images([self.open_label], ["c"])
        manifest = {"sha256": self.sha256}
        return Splits(train=known, val=known, test=known, open=strangers, class_names=("a", "b"), manifest=manifest)

    def check(self) -> DataCheck:
        return DataCheck(lines=("two classes",), ok=self.ok)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ids": "aa"}, "train: ids are unique, one an image"),
        ({"open_label": 1}, "open: labels are -1"),
        ({"pixels": None}, "train: image 1 is not the same each time it is read"),
        ({"sha256": ""}, "its manifest has no sha256"),
        ({"ok": False}, "check: two classes"),
    ],
)
def test_a_broken_data_set_is_caught(options: dict[str, Any], message: str) -> None:
    class Loosened(Data):  # None and words for numbers, which a config could not give
        __init__ = Data.__init__

    testing.check_dataset(Data)
    with pytest.raises(AssertionError, match=message.replace("[", r"\[")):
        testing.check_dataset(Loosened, options=options)


def test_by_name_the_entry_point_is_checked_too() -> None:
    with pytest.raises(PluginError, match="no loss 'cross_entrpy'; did you mean 'cross_entropy'"):
        testing.check_loss("cross_entrpy")
