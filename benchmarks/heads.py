"""Stage 2 beyond the backbone: the meta-embedding classifier, the centroid loss, the class means."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.long_tail import long_tailed_labels
from benchmarks.rows import Case, Row
from oltr.losses.disc_centroids import disc_centroids_loss
from oltr.networks.class_means import class_means
from oltr.networks.meta_embedding import MetaEmbedding

LOSS_WEIGHT, MARGIN, REPEL_WEIGHT = 0.01, 10.0, 0.01


def inputs(classes: int, feature_dim: int, batch: int) -> tuple[Tensor, Tensor, Tensor]:
    """Features [B, D], centroids [C, D], labels [B]; close enough together that the repelling term acts."""
    features, centroids = (0.05 * torch.randn(count, feature_dim) for count in (batch, classes))
    return features.requires_grad_(), centroids.requires_grad_(), torch.randint(classes, (batch,))


def stage_2_head(folder: Path, *, classes: int, feature_dim: int, batch: int) -> Case:
    features, centroids, target = inputs(classes, feature_dim, batch)
    classifier = MetaEmbedding(feature_dim=feature_dim, num_classes=classes)
    wanted = (features, centroids, *classifier.parameters())

    def ours() -> list[Tensor]:
        centroid_loss = disc_centroids_loss(features, centroids, target, margin=MARGIN, repel_weight=REPEL_WEIGHT)
        loss = functional.cross_entropy(classifier(features, centroids.detach()), target) + LOSS_WEIGHT * centroid_loss
        return [loss.detach(), *torch.autograd.grad(loss, wanted)]

    def twin() -> list[Tensor]:
        logits = plain_meta_embedding(classifier, features, centroids.detach())
        loss = functional.cross_entropy(logits, target) + LOSS_WEIGHT * plain_centroid_loss(features, centroids, target)
        gradients = list(torch.autograd.grad(loss, wanted))
        gradients[1] = gradients[1] + published_pull(features.detach(), centroids.detach(), target)
        return [loss.detach(), *gradients]

    return Case(ours=ours, twin=twin, tolerance=1e-4, twin_bytes=16 * batch * classes * feature_dim)


def meta_embedding(folder: Path, *, classes: int, feature_dim: int, batch: int) -> Case:
    features, centroids, _ = inputs(classes, feature_dim, batch)
    classifier = MetaEmbedding(feature_dim=feature_dim, num_classes=classes)
    memory, upstream = centroids.detach(), torch.randn(batch, classes)
    wanted = (features, *classifier.parameters())

    def ours() -> list[Tensor]:
        logits = classifier(features, memory)
        return [logits.detach(), *torch.autograd.grad(logits, wanted, upstream)]

    def twin() -> list[Tensor]:
        logits = plain_meta_embedding(classifier, features, memory)
        return [logits.detach(), *torch.autograd.grad(logits, wanted, upstream)]

    return Case(ours=ours, twin=twin, tolerance=1e-4)


def disc_centroids(folder: Path, *, classes: int, feature_dim: int, batch: int) -> Case:
    features, centroids, target = inputs(classes, feature_dim, batch)

    def ours() -> list[Tensor]:
        loss = disc_centroids_loss(features, centroids, target, margin=MARGIN, repel_weight=REPEL_WEIGHT)
        return [loss.detach(), *torch.autograd.grad(loss, (features, centroids))]

    def twin() -> list[Tensor]:
        loss = plain_centroid_loss(features, centroids, target)
        pushed, repelled = torch.autograd.grad(loss, (features, centroids))
        return [loss.detach(), pushed, repelled + published_pull(features.detach(), centroids.detach(), target)]

    return Case(ours=ours, twin=twin, tolerance=1e-4)


def plain_meta_embedding(classifier: MetaEmbedding, features: Tensor, centroids: Tensor) -> Tensor:
    """The formula of Liu et al. (2019), with all differences between features and centroids as one tensor."""
    distances = (features[:, None] - centroids).norm(dim=2)  # [B, C, D] on the way
    reading = classifier.fc_hallucinator(features).softmax(dim=1) @ centroids
    enriched = features + classifier.fc_selector(features).tanh() * reading
    enriched = 10 / distances.min(dim=1, keepdim=True).values * enriched
    length = enriched.norm(dim=1, keepdim=True)
    weight = classifier.cosnorm_classifier.weight
    weight = weight / weight.norm(dim=1, keepdim=True)
    logits: Tensor = classifier.cosnorm_classifier.scale * (length / (1 + length)) * (enriched / length) @ weight.T
    return logits


def plain_centroid_loss(features: Tensor, centroids: Tensor, target: Tensor) -> Tensor:
    """The loss of Liu et al. (2019); the attracting term passes no gradient to the centroids (see `published_pull`)."""
    attracted = (features - centroids.detach()[target]).square().sum() / 2 / len(features)
    distances = features.square().sum(dim=1, keepdim=True) + centroids.square().sum(dim=1) - 2 * features @ centroids.T
    others = functional.one_hot(target, len(centroids)) == 0
    return attracted + REPEL_WEIGHT * (MARGIN - (distances * others).mean()).clamp_min(0)


def published_pull(features: Tensor, centroids: Tensor, target: Tensor) -> Tensor:
    """The published rule for the centroids: sum over the class of (c - f) / (1 + n) / B, whatever the loss weighs."""
    counts = torch.bincount(target, minlength=len(centroids))
    pull = (centroids[target] - features) / (1 + counts[target, None]) / len(features)
    return torch.zeros_like(centroids).index_add_(0, target, pull)


def means(folder: Path, *, images: int, classes: int, feature_dim: int, batch: int) -> Case:
    features = torch.randn(images, feature_dim)
    labels = torch.from_numpy(long_tailed_labels(images=images, classes=classes))

    def ours() -> Tensor:
        return class_means(zip(torch.split(features, batch), torch.split(labels, batch), strict=True), classes)

    def twin() -> Tensor:
        sums, counts = torch.zeros(classes, feature_dim), torch.zeros(classes)
        for feature, label in zip(features, labels, strict=True):
            sums[label] += feature
            counts[label] += 1
        return sums / counts[:, None]

    return Case(ours=ours, twin=twin, tolerance=1e-4)


BROADCAST = "all feature-centroid differences as one tensor [batch, classes, features]"
TINY = {"classes": 7, "feature_dim": 6, "batch": 5}

ROWS = (
    *(
        Row(
            name=f"stage_2_head_{classes}",
            what="meta-embedding classifier and centroid loss, forward and backward: {classes:,} classes, "
            "{feature_dim} features, batch {batch}",
            twin=BROADCAST,
            make=stage_2_head,
            full={"classes": classes, "feature_dim": 512, "batch": 128},
            tiny=TINY,
            memory=True,
            heavy=classes > 1000,
        )
        for classes in (365, 1000, 8142)
    ),
    Row(
        name="meta_embedding",
        what="of that the classifier: {classes:,} classes, {feature_dim} features, batch {batch}",
        twin=BROADCAST,
        make=meta_embedding,
        full={"classes": 1000, "feature_dim": 512, "batch": 128},
        tiny=TINY,
        memory=True,
    ),
    Row(
        name="disc_centroids",
        what="of that the centroid loss: {classes:,} classes, {feature_dim} features, batch {batch}",
        twin="all distances as a matrix [batch, classes]",
        make=disc_centroids,
        full={"classes": 1000, "feature_dim": 512, "batch": 128},
        tiny=TINY,
        memory=True,
    ),
    Row(
        name="class_means",
        what="mean feature of each class: {images:,} images, {classes:,} classes, {feature_dim} features",
        twin="a Python loop over the images",
        make=means,
        full={"images": 115_845, "classes": 1000, "feature_dim": 512, "batch": 256},
        tiny={"images": 50, "classes": 4, "feature_dim": 3, "batch": 8},
        per="images",
    ),
)
