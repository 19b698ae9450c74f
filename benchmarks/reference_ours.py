"""Our contenders, each the counterpart of the original's of the same name, as a run with the default settings works."""

from __future__ import annotations

import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.frozen import measure_statistics
from benchmarks.long_tail import long_tailed_labels
from benchmarks.profile_groups import MarkedBatches
from benchmarks.reference_data import classes_drawn, fill, labels_of, norms, numbers
from benchmarks.reference_work import Work
from oltr import checkpoint
from oltr.allocator import keep_freed_memory
from oltr.background import Background
from oltr.cached_batches import CachedBatches
from oltr.contracts import Progress, Sampler, Transform
from oltr.data.batches import Batches
from oltr.data.cache import cached
from oltr.data.image_files import ImageFiles, Paths
from oltr.data.split import ImageSet, Splits
from oltr.division import Division
from oltr.inference import Inference
from oltr.loading import workers_for
from oltr.losses.cross_entropy import CrossEntropy
from oltr.losses.cyclical_focal import cyclical_focal_loss
from oltr.losses.disc_centroids import DiscCentroidsLoss, disc_centroids_loss
from oltr.metrics.closed import class_accuracies, closed_set, group_means
from oltr.metrics.shots import shot_rule
from oltr.networks.class_means import class_means as means_of
from oltr.networks.dot_product import DotProduct
from oltr.networks.meta_embedding import MetaEmbedding
from oltr.networks.pair import Memory, NetworkPair
from oltr.networks.resnet import resnet10, resnet152
from oltr.processes import ALONE
from oltr.samplers.class_aware import ClassAware
from oltr.samplers.shuffled import Shuffled
from oltr.state import snapshot
from oltr.training import Batch, WeightedLoss, fit
from oltr.transforms.imagenet import ImageNetTest, ImageNetTrain

Plan = Mapping[str, Any]
ROOT = Path(__file__).parents[1]
NOW = Progress(epoch=0, epochs=1)


def patch() -> None:
    """What `oltr run` does first."""
    keep_freed_memory()


def training(plan: Plan) -> Work:
    """An epoch of fit(), from files, from the image cache or, where ``memory`` says so, on one batch that is there."""
    files, labels = _image_set(plan), torch.from_numpy(_labels(plan["images"]))
    transform = ImageNetTrain()
    batches = _batches(plan, files, transform, plan["batch"])
    generator = torch.Generator().manual_seed(0)
    sampler: Sampler = (
        ClassAware(labels=labels, num_classes=int(labels.max()) + 1, generator=generator)
        if _second(plan)
        else Shuffled(labels=labels, generator=generator)
    )
    held: list[Batch] = []
    if plan.get("memory"):
        held = list(batches.epoch(torch.arange(plan["batch"]), epoch=0, drop_last=True)) * (
            plan["images"] // plan["batch"]
        )

    def drawn(progress: Progress) -> Iterable[Batch]:
        return held or batches.epoch(sampler.indices(progress), epoch=0, drop_last=True)

    return Work(epoch_of(plan, drawn))


def training_step(plan: Plan) -> Work:
    """One step on a batch in memory; where ``cached`` says so, of what the frozen backbone made of the images."""
    images = numbers(0, plan["batch"], 3, plan["side"], plan["side"])
    labels, order = classes_drawn(1, plan["batch"], 365), torch.arange(plan["batch"])
    if not plan.get("cached"):
        return Work(epoch_of(plan, lambda progress: [(images, labels, order)]))
    pair = pair_of(plan)
    division = Division(pair, plan["only"])
    with torch.no_grad():
        values = division.until(images)
    kept = CachedBatches(
        values=values, labels=labels, batch_size=plan["batch"], device=_device(plan), dtype=values.dtype
    )
    return Work(
        epoch_of(plan, lambda progress: kept.epoch(order, epoch=0, drop_last=True), pair=pair, forward=division.rest)
    )


def validation(plan: Plan) -> Work:
    """A pass over the validation set, from the files to the metrics."""
    files, labels, pair = _files(plan), _labels(plan["images"]), pair_of(plan)
    inference = Inference(pair=pair, device=_device(plan), processes=ALONE, widths=(512, _classes(plan)))
    batches = _batches(plan, files, ImageNetTest(), plan["batch"])
    groups = shot_rule().groups(np.bincount(labels, minlength=_classes(plan)))

    def validate() -> dict[str, float | None]:
        predictions = inference.predicted(batches, labels, "val")
        return group_means(class_accuracies(labels, predictions, _classes(plan)), groups)

    return Work(validate)


def reading(plan: Plan) -> Work:
    """Training images from JPEG files, or from the image cache made of them, to a batch, in this process."""
    files, transform = _image_set(plan), ImageNetTrain()
    if plan.get("compiled"):
        transform.compile()
    batches = _batches(plan, files, transform, plan["images"])
    order = torch.arange(plan["images"])
    return Work(lambda: list(batches.epoch(order, epoch=0, drop_last=True)))


def head(plan: Plan) -> Work:
    """The meta-embedding classifier and both losses, forward and backward."""
    classes, width, batch = plan["classes"], plan["feature_dim"], plan["batch"]
    classifier = MetaEmbedding(feature_dim=width, num_classes=classes)
    fill(classifier, 10)
    features = numbers(0, batch, width, scale=0.05).requires_grad_()
    centroids = numbers(1, classes, width, scale=0.05).requires_grad_()
    labels = classes_drawn(2, batch, classes)
    wanted = (features, centroids, *(parameter for _, parameter in sorted(classifier.named_parameters())))
    pair = NetworkPair(nn.Identity(), classifier)
    pair.compute_in(torch.bfloat16 if plan.get("half") else None, channels_last=False)

    def both() -> list[Tensor]:
        loss = nn.functional.cross_entropy(pair.embed(features, centroids.detach())[1], labels)
        loss = loss + 0.01 * disc_centroids_loss(features, centroids, labels)
        return [loss.detach(), *torch.autograd.grad(loss, wanted)]

    return Work(both, facts=norms)


def bookkeeping(plan: Plan) -> Work:
    """Ready logits collected, then all closed-set metrics."""
    images, classes, batch = plan["images"], plan["classes"], plan["batch"]
    logits, labels = numbers(0, images, classes), classes_drawn(1, images, classes)
    logits[torch.arange(images), labels] += 3
    parts = torch.split(logits, batch)
    groups = shot_rule().groups(np.bincount(long_tailed_labels(images=images, classes=classes), minlength=classes))

    def evaluate() -> list[float]:
        found = np.empty((images, classes), dtype=np.float32)
        for step, part in enumerate(parts):
            found[step * batch : step * batch + len(part)] = part.numpy()
        metrics = closed_set(found, labels.numpy(), groups)
        return [metrics[name] or 0.0 for name in ("accuracy", "macro_f1", "many", "medium", "few")]

    return Work(evaluate, facts=lambda found: found)


def class_means(plan: Plan) -> Work:
    features = numbers(0, plan["images"], plan["feature_dim"])
    labels = torch.from_numpy(long_tailed_labels(images=plan["images"], classes=plan["classes"]))
    parts = list(zip(torch.split(features, plan["batch"]), torch.split(labels, plan["batch"]), strict=True))
    return Work(
        lambda: means_of(parts, plan["classes"]), facts=lambda found: found.flatten()[:: plan["classes"]].tolist()
    )


def class_aware(plan: Plan) -> Work:
    labels = long_tailed_labels(images=plan["images"], classes=plan["classes"])
    sampler = ClassAware(
        labels=torch.from_numpy(labels),
        num_classes=plan["classes"],
        generator=torch.Generator().manual_seed(0),
        images_per_class=plan["per_class"],
        epoch_images=plan["draws"],
    )
    return Work(
        lambda: sampler.indices(NOW),
        facts=lambda found: np.bincount(labels[found.numpy()], minlength=plan["classes"]).tolist(),
    )


def focal(plan: Plan) -> Work:
    logits = numbers(0, plan["batch"], plan["classes"], scale=3.0).requires_grad_()
    labels = classes_drawn(1, plan["batch"], plan["classes"])
    gammas = {"gamma_pos": 1.0, "gamma_neg": 4.0, "gamma_hc": 2.0}
    loss_of = cyclical_focal_loss
    if plan.get("compile"):
        loss_of = torch.compile(cyclical_focal_loss)

    def graded() -> list[Tensor]:
        loss = loss_of(logits, labels, eta=0.5, label_smoothing=0.1, **gammas).mean()
        return [loss.detach(), *torch.autograd.grad(loss, (logits,))]

    return Work(graded, facts=norms)


def checkpoint_save(plan: Plan) -> Work:
    """The whole of the writing, or ``beside`` training what that waits for: the one before is done by then."""
    path, state = Path(plan["folder"]) / "state.pt", {"pair": pair_of(plan).state_dict()}
    if not plan.get("beside"):
        return Work(lambda: checkpoint.save(path, state))
    beside = Background()

    def asked() -> None:
        copied = snapshot(state)
        beside.run(lambda: checkpoint.save(path, copied))

    return Work(asked, before=beside.wait)


def checkpoint_load(plan: Plan) -> Work:
    path, pair = Path(plan["folder"]) / "state.pt", pair_of(plan)
    checkpoint.save(path, {"pair": pair.state_dict()})
    return Work(lambda: pair.load_state_dict(checkpoint.load(path, ("pair",))["pair"]))


def help_text(plan: Plan) -> Work:
    command = [sys.executable, "main.py", "--help"]
    return Work(lambda: subprocess.run(command, cwd=ROOT, capture_output=True, check=True))


def _second(plan: Plan) -> bool:
    return "stage_2" in str(plan["config"])


def _classes(plan: Plan) -> int:
    return 365 if str(plan["config"]).startswith("Places") else 1000


def pair_of(plan: Plan) -> NetworkPair:
    """The network of that published config, with fresh weights, in the plan's precision."""
    places, second = str(plan["config"]).startswith("Places"), _second(plan)
    make = resnet152 if plan["depth"] == 152 else resnet10
    backbone = make(attention=second, fc=places or second, image_size=plan["side"])
    given = {"feature_dim": backbone.feature_dim, "num_classes": _classes(plan)}
    pair = NetworkPair(
        backbone,
        MetaEmbedding(**given) if second else DotProduct(**given),
        Memory(**given) if second else None,
    )
    if pair.memory is not None:
        nn.init.normal_(pair.memory.centroids)
    pair = pair.to(_device(plan))
    if plan.get("only"):
        measure_statistics(backbone, numbers(5, 4, 3, plan["side"], plan["side"]))
        pair.train_only("backbone", plan["only"])
    pair.compute_in(torch.bfloat16 if plan.get("half") else None, channels_last=True)
    return pair


def epoch_of(
    plan: Plan,
    batches: Callable[[Progress], Iterable[Batch]],
    *,
    pair: NetworkPair | None = None,
    forward: NetworkPair | None = None,
) -> Callable[[], None]:
    """One epoch of fit() over these batches, with the published optimizer and losses."""
    pair = pair_of(plan) if pair is None else pair
    losses = [WeightedLoss(name="cross_entropy", loss=CrossEntropy())]
    if _second(plan):
        losses.append(WeightedLoss(name="disc_centroids", loss=DiscCentroidsLoss(), weight=0.01))
    parameters = [parameter for parameter in pair.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(parameters, lr=1e-4, momentum=0.9, weight_decay=5e-4, fused=True)  # as a run has it

    def epoch() -> None:
        deque(
            fit(
                network=pair,
                forward=pair if forward is None else forward,
                losses=losses,
                optimizer=optimizer,
                settings=[{}],
                batches=batches,
                epochs=1,
            ),
            maxlen=0,
        )

    return epoch


def _files(plan: Plan) -> ImageFiles:
    """The training list of the data that both sides read."""
    folder = Path(plan["folder"])
    (listed,) = (folder / "data").glob("*/*_train.txt")
    names = [line.rsplit(None, 1)[0] for line in listed.read_bytes().splitlines()]
    return ImageFiles(folder=folder / "images", ids=Paths(names), labels=_labels(plan["images"]))


def _image_set(plan: Plan) -> ImageSet:
    """These files, or the image cache made of them, which is read from its file as one larger than memory is."""
    files = _files(plan)
    if not plan.get("cache"):
        return files
    few = files.take(np.array([0]), np.array([0]))
    names = tuple(map(str, range(files.labels.max() + 1)))
    splits = Splits(train=files, val=few, test=few, open=None, class_names=names, manifest={"sha256": "0"})
    return cached(splits, folder=Path(plan["folder"]) / "cache", image_size=256, memory=0).train


def _labels(images: int) -> NDArray[np.int64]:
    return np.array(labels_of(images), dtype=np.int64)


def _batches(plan: Plan, images: ImageSet, transform: Transform, size: int) -> Batches:
    device = _device(plan)
    return MarkedBatches(
        image_set=images,
        transform=transform,
        batch_size=size,
        seed=0,
        device=device,
        workers=workers_for(images, device),
    )


def _device(plan: Plan) -> torch.device:
    return torch.device(plan.get("device", "cpu"))
