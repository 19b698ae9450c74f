"""Scorers that are fitted on training features, on every training set that a long tail may come with."""

import numpy as np
import pytest
import torch

from oltr.contracts import Head, Known, Outputs, UserError
from oltr.scorers.count_aware_knn import CountAwareNeighbours
from oltr.scorers.fdbd import BoundaryDistance
from oltr.scorers.knn import NearestNeighbours
from oltr.scorers.mahalanobis import Mahalanobis
from oltr.scorers.nci import NeuralCollapse
from oltr.scorers.nnguide import NearestNeighbourGuidance
from oltr.scorers.reachability import Reachability
from oltr.scorers.relative_mahalanobis import RelativeMahalanobis
from oltr.scorers.residual import Residual
from oltr.scorers.she import SimplifiedHopfield
from oltr.scorers.shrinkage_mahalanobis import ShrinkageMahalanobis
from oltr.scorers.vim import VirtualLogit

FITTED = [
    *(Mahalanobis, RelativeMahalanobis, ShrinkageMahalanobis, NearestNeighbours, CountAwareNeighbours),
    *(NearestNeighbourGuidance, VirtualLogit, Residual, SimplifiedHopfield, BoundaryDistance, NeuralCollapse),
]
WITH_HEAD = {VirtualLogit, Residual, BoundaryDistance, NeuralCollapse}
OF_DISTANCES = [part for part in FITTED if part not in (SimplifiedHopfield, BoundaryDistance, NeuralCollapse)]
"""The others take a long feature for a clear one."""
CASES = {
    "usual": ([20, 9, 4], 6),
    "one image in a class": ([20, 9, 1], 6),
    "one image in each class": ([1, 1, 1], 6),
    "one image in all": ([0, 1, 0], 6),
    "no correct image": ([20, 9, 4], 6),
    "fewer images than dimensions": ([3, 2, 1], 40),
    "constant features": ([20, 9, 4], 6),
    "one constant feature": ([20, 9, 4], 6),
    "features of zero": ([20, 9, 4], 6),
    "a single class": ([20], 6),
    "a single dimension": ([20, 9, 4], 1),
    "a single class and dimension": ([20], 1),
    "classes without images": ([20, 0, 4, 0], 6),
    "features of 1e4": ([20, 9, 4], 6),
    "features about 1e4": ([20, 9, 4], 6),
    "features of 1e-6": ([20, 9, 4], 6),
    "equal classes": ([20, 9, 4], 6),
    "weights of zero": ([20, 9, 4], 6),
}


def training_set(case):
    """Features, logits and labels of training images, the head, and features of others."""
    counts, dimensions = CASES[case]
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    labels = labels[torch.randperm(len(labels), generator=generator)]
    means = torch.randn(len(counts), dimensions, generator=generator)
    features = 3 * means[labels] + torch.randn(len(labels), dimensions, generator=generator)
    others = 3 * torch.randn(9, dimensions, generator=generator)
    weight, bias = means.clone(), torch.randn(len(counts), generator=generator)
    if case == "constant features":
        features, others = torch.full_like(features, 0.1), torch.cat([torch.full_like(others[:3], 0.1), others[3:]])
    if case == "one constant feature":
        features[:, 2] = 7.3
    if case == "features of zero":
        features, others = torch.zeros_like(features), torch.cat([torch.zeros_like(others[:3]), others[3:]])
    if case == "features about 1e4":
        features, others = features + 1e4, others + 1e4
    if case in ("features of 1e4", "features of 1e-6"):
        size = float(case.rpartition(" ")[2])
        features, others = size * features, size * others
    if case == "equal classes":
        weight, bias = torch.ones_like(weight), torch.ones_like(bias)
    if case == "weights of zero":
        weight, bias = torch.zeros_like(weight), torch.zeros_like(bias)
    logits = features @ weight.T + bias
    if case == "no correct image":
        logits = torch.nn.functional.one_hot((labels + 1) % 3, 3).float()
    return features, logits, labels, Head(weight, bias), others


def fitted(part, case, dtype):
    features, logits, labels, head, others = training_set(case)
    features, logits = features.to(dtype), logits.to(dtype)

    def train():
        for block in torch.arange(len(labels)).split(5):
            yield Outputs(features[block], logits[block]), labels[block]

    scorer = part()
    scorer.fit(Known(train=train, val=lambda: iter(()), head=head if part in WITH_HEAD else None))
    shown = torch.cat([features[:4].float(), others])
    return scorer, Outputs(shown.to(dtype), (shown @ head.weight.T + head.bias).to(dtype))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("part", FITTED)
def test_scores_are_finite_and_of_the_image_alone(part, case, dtype):
    with torch.inference_mode():
        scorer, outputs = fitted(part, case, dtype)
        before = outputs.features.clone(), outputs.logits.clone()
        found = scorer(outputs)
        assert found.shape == (len(outputs.logits),)
        assert found.isfinite().all()
        assert found.dtype in (torch.float32, torch.float64)
        assert torch.equal(before[0], outputs.features)
        assert torch.equal(before[1], outputs.logits)
        alone = [scorer(Outputs(outputs.features[[row]], outputs.logits[[row]])) for row in range(len(found))]
        torch.testing.assert_close(torch.cat(alone), found, rtol=1e-4, atol=1e-4)
        assert scorer(Outputs(outputs.features[:0], outputs.logits[:0])).shape == (0,)


@pytest.mark.parametrize("case", ["usual", "one image in a class", "features of 1e4", "classes without images"])
@pytest.mark.parametrize("part", OF_DISTANCES)
def test_what_was_trained_on_is_less_unknown_than_what_is_far_off(part, case):
    """Far off: turned round, at many times the length."""
    scorer, outputs = fitted(part, case, torch.float32)
    features = outputs.features[:4]
    head = training_set(case)[3]
    opposite = Outputs(-20 * features, -features @ head.weight.T + head.bias)
    near = scorer(Outputs(features, outputs.logits[:4])).mean()
    assert near < scorer(opposite).mean()


@pytest.mark.parametrize("part", FITTED)
def test_without_training_images_there_is_one_line(part):
    head = Head(torch.ones(2, 3), torch.zeros(2))
    with pytest.raises(UserError, match=r"is fitted on training images, and there are none"):
        part().fit(Known(train=lambda: iter(()), val=lambda: iter(()), head=head))


@pytest.mark.parametrize("part", FITTED)
def test_a_scorer_is_fitted_first(part):
    with pytest.raises(UserError, match="fit it before it scores"):
        part()(Outputs(torch.zeros(1, 3), torch.zeros(1, 2)))


@pytest.mark.parametrize("part", FITTED)
def test_each_says_what_it_needs(part):
    assert part.needs_train
    assert getattr(part, "needs_head", False) == (part in WITH_HEAD)
    if part in WITH_HEAD:
        with pytest.raises(UserError, match="needs the network's last layer"):
            part().fit(Known(train=lambda: iter(()), val=lambda: iter(())))


@pytest.mark.parametrize("part", FITTED)
def test_a_second_fit_leaves_nothing_of_the_first(part):
    first, outputs = fitted(part, "usual", torch.float32)
    scorer, _ = fitted(part, "one image in a class", torch.float32)
    features, logits, labels, head, _ = training_set("usual")
    train = lambda: iter([(Outputs(features, logits), labels)])  # noqa: E731 - as short as what it stands for
    scorer.fit(Known(train=train, val=lambda: iter(()), head=head if part in WITH_HEAD else None))
    np.testing.assert_allclose(scorer(outputs), first(outputs), rtol=1e-5, atol=1e-6)


def test_reachability_is_finite_on_any_centroids():
    for size in (0.0, 1.0, 1e4):
        centroids = size * torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
        found = Reachability()(Outputs(torch.cat([centroids, -centroids]), torch.zeros(8, 4), centroids))
        assert found.isfinite().all()
        np.testing.assert_allclose(found[:4], -10000, rtol=1e-6)
