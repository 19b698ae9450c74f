"""The two-stage experiment in plain Python on the public API: read it first, fork it, change it.

Stage 1 learns features with cyclical focal loss; stage 2 adds a memory of class centroids and learns a meta-embedding
on class-balanced batches. What `main.py` adds: configs, checkpoints, resuming, provenance, DataParallel, selection of
the best epoch, pictures. Command: python run_networks.py [epochs of stage 1] [epochs of stage 2]
"""

import sys
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from oltr.contracts import Outputs, Sampler
from oltr.data.array_images import ArrayImages
from oltr.data.batches import Batches
from oltr.data.glyphs import Glyphs
from oltr.data.split import ImageSet
from oltr.losses.cyclical_focal import CyclicalFocalLoss
from oltr.losses.disc_centroids import DiscCentroidsLoss
from oltr.metrics.closed import closed_set
from oltr.metrics.ranking import ranking
from oltr.metrics.shots import shot_rule
from oltr.networks.class_means import class_means
from oltr.networks.dot_product import DotProduct
from oltr.networks.meta_embedding import MetaEmbedding
from oltr.networks.pair import Memory, NetworkPair
from oltr.networks.small_resnet import small_resnet10
from oltr.networks.weights import load_strict
from oltr.samplers.class_aware import ClassAware
from oltr.samplers.shuffled import Shuffled
from oltr.schedules import Cosine
from oltr.scorers.msp import MaximumSoftmax
from oltr.training import WeightedLoss, fit
from oltr.transforms.plain import Plain

Report = Callable[[str], None]


def experiment(
    data: Glyphs, *, epochs: tuple[int, int] = (12, 6), batch_size: int = 64, seed: int = 0, tell: Report = print
) -> NetworkPair:
    """Train both stages on ``data`` and tell how each does on the closed and on the open test set."""
    splits, counts = data.splits(), data.splits().train_counts
    train, test, unknown = (
        in_memory(images) for images in (splits.train, splits.test, splits.open) if images is not None
    )
    labels = torch.from_numpy(train.labels)
    focal = WeightedLoss(name="focal", loss=CyclicalFocalLoss(factor=4))
    memorise = WeightedLoss(name="memory", loss=DiscCentroidsLoss(), weight=0.01)

    torch.manual_seed(seed)
    backbone = small_resnet10(image_size=train.images.shape[-1])
    width = backbone.feature_dim
    first = NetworkPair(backbone, DotProduct(feature_dim=width, num_classes=len(counts)))
    first.compute_in(None, channels_last=True)  # float32, in the layout that is faster
    optimise(
        first,
        train,
        Shuffled(labels=labels, generator=torch.Generator().manual_seed(seed)),
        [focal],
        epochs[0],
        rates=(0.05, 0.05),
        batch_size=batch_size,
        seed=seed,
    )
    tell(f"stage 1: {scores(first, test, unknown, counts)}")

    torch.manual_seed(seed)
    attentive = small_resnet10(attention=True, image_size=train.images.shape[-1])
    load_strict(attentive, backbone.state_dict(), "stage 1", new=["modulatedatt"])
    memory = Memory(num_classes=len(counts), feature_dim=width)
    head = MetaEmbedding(feature_dim=width, num_classes=len(counts))
    second = NetworkPair(attentive, head, memory)
    second.compute_in(None, channels_last=True)
    head.inherit(first.classifier.state_dict())
    memory.centroids.data = class_means([(outputs(second, train).features, labels)], len(counts))
    balanced = ClassAware(labels=labels, num_classes=len(counts), generator=torch.Generator().manual_seed(seed))
    optimise(
        second, train, balanced, [focal, memorise], epochs[1], rates=(0.01, 0.1, 0.01), batch_size=batch_size, seed=seed
    )
    tell(f"stage 2: {scores(second, test, unknown, counts)}")
    return second


def optimise(
    pair: NetworkPair,
    images: ImageSet,
    sampler: Sampler,
    losses: list[WeightedLoss],
    epochs: int,
    *,
    rates: tuple[float, ...],
    batch_size: int,
    seed: int,
) -> None:
    """SGD with a cosine from a rate of its own for backbone, classifier and memory."""
    parts = [part for part in (pair.backbone, pair.classifier, pair.memory) if part is not None]
    groups = [{"params": list(part.parameters())} for part in parts]
    optimizer = torch.optim.SGD(groups, lr=0.1, momentum=0.9, weight_decay=5e-4, fused=True)
    cpu = torch.device("cpu")
    loader = Batches(image_set=images, transform=Plain(padding=2), batch_size=batch_size, seed=seed, device=cpu)
    for _ in fit(
        network=pair,
        forward=pair,
        losses=losses,
        optimizer=optimizer,
        settings=[{"lr": Cosine(value=rate)} for rate in rates],
        batches=lambda progress: loader.epoch(sampler.indices(progress), epoch=progress.epoch, drop_last=True),
        epochs=epochs,
    ):
        pass


@torch.no_grad()
def outputs(pair: NetworkPair, images: ArrayImages) -> Outputs:
    """What the network says of every image, in order."""
    pair.eval()
    said = [pair(Plain().batch(batch, torch.Generator())) for batch in torch.split(images.images, 256)]
    return Outputs(torch.cat([each.features for each in said]), torch.cat([each.logits for each in said]))


def scores(pair: NetworkPair, test: ArrayImages, unknown: ArrayImages, counts: NDArray[np.int64]) -> str:
    known, opened, score = outputs(pair, test), outputs(pair, unknown), MaximumSoftmax()
    closed = closed_set(known.logits.numpy(), test.labels, shot_rule().groups(counts))
    correct = known.logits.argmax(1).numpy() == test.labels
    ranked = ranking(score(known).numpy(), correct, score(opened).numpy())
    shots = " / ".join("-" if closed[name] is None else f"{closed[name]:.3f}" for name in ("many", "medium", "few"))
    return f"accuracy {closed['accuracy']:.3f} (many / medium / few {shots}), AUROC known / open {ranked['auroc']:.3f}"


def in_memory(images: ImageSet) -> ArrayImages:
    stacked: Tensor = torch.stack(images.read(range(len(images.labels))))
    return ArrayImages(images=stacked, labels=images.labels, ids=images.ids)


if __name__ == "__main__":
    first, second = (*map(int, sys.argv[1:]), *(12, 6)[len(sys.argv) - 1 :])
    experiment(Glyphs(), epochs=(first, second))
