"""Scorers of the last layer's geometry and of stored patterns, against their definitions image by image."""

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from training_sets import known, long_tail, scores

from oltr.contracts import Outputs, UserError
from oltr.scorers.centroid_distance import CentroidDistance
from oltr.scorers.fdbd import BoundaryDistance
from oltr.scorers.nci import NeuralCollapse
from oltr.scorers.reachability import Reachability
from oltr.scorers.residual import Residual
from oltr.scorers.she import SimplifiedHopfield
from oltr.scorers.subspace import usual_dimensions
from oltr.scorers.vim import VirtualLogit

COUNTS = [30, 10, 4, 1]


def example(seed, dimensions=6):
    generator = np.random.default_rng(seed)
    features, labels = long_tail(seed, COUNTS, dimensions, offset=1)
    head = generator.normal(size=(len(COUNTS), dimensions)), generator.normal(size=len(COUNTS))
    return features, labels, head, 1 + 4 * generator.normal(size=(9, dimensions))


def fitted(scorer, features, labels, head, **options):
    scorer.fit(known(features, labels, classes=len(COUNTS), head=head, **options))
    return scorer


def residuals(points, features, head, dimensions):
    """The definition, by a singular value decomposition of the centred features."""
    origin = -np.linalg.pinv(head[0]) @ head[1]
    axes = np.linalg.svd(features - origin)[2]
    return np.linalg.norm((points - origin) @ axes[dimensions:].T, axis=1)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("dimensions", [None, 1, 5])
def test_residual_and_vim_are_their_definitions(seed, dimensions):
    features, labels, head, points = example(seed)
    residual = residuals(points, features, head, dimensions or 3)
    ours = scores(fitted(Residual(dimensions=dimensions), features, labels, head), points, head=head)
    np.testing.assert_allclose(ours, residual, rtol=1e-8)
    largest = (features @ head[0].T + head[1]).max(axis=1).mean()
    scale = abs(largest) / residuals(features, features, head, dimensions or 3).mean()
    energy = logsumexp(points @ head[0].T + head[1], axis=1)
    ours = scores(fitted(VirtualLogit(dimensions=dimensions), features, labels, head), points, head=head)
    np.testing.assert_allclose(ours, scale * residual - energy, rtol=1e-8)


def test_vim_by_hand():
    """Features on a line but for +-1 across: the residual is the distance from it, a training image's is 1."""
    features = [[x, y] for x in (-8.0, 8.0) for y in (-1.0, 1.0)]
    head = np.array([[1.0, 0], [-1, 0]]), np.zeros(2)
    points = [[3.0, 0], [0, 5.0], [0, -5.0]]
    scorer, residual = VirtualLogit(dimensions=1), Residual(dimensions=1)
    for part in (scorer, residual):
        part.fit(known(features, [0, 0, 1, 1], classes=2, head=head))
    np.testing.assert_allclose(scores(residual, points, head=head), [0, 5, 5], atol=1e-12)
    energies = [np.logaddexp(3, -3), np.log(2), np.log(2)]
    np.testing.assert_allclose(scores(scorer, points, head=head), 8 * np.array([0, 5, 5]) - energies, rtol=1e-9)


def test_the_subspace_is_no_larger_than_what_training_images_span():
    """Two images in 6 dimensions: all that is not in their plane is residual, in whatever basis it comes."""
    features, _, head, points = example(0)
    head = head[0], np.zeros(len(COUNTS))
    pair, labels = features[:2], [0, 1]
    ours = scores(fitted(Residual(dimensions=4), pair, labels, head), points, head=head)
    np.testing.assert_allclose(ours, residuals(points, pair, head, 2), rtol=1e-8)
    np.testing.assert_allclose(scores(fitted(Residual(), pair, labels, head), pair, head=head), 0, atol=1e-7)


def test_the_origin_ignores_what_single_precision_cannot_tell_of_the_weights():
    """Weights that sum to 0 but for rounding: by exact inversion the origin would lie a million lengths away."""
    features, labels, (weight, bias), points = example(1)
    weight = weight - weight.mean(axis=0)
    rounded = weight.astype(np.float32).astype(np.float64)
    singular = np.linalg.svd(rounded, compute_uv=False)
    assert 0 < singular[-1] < 1e-6 * singular[0]
    ours = scores(fitted(Residual(), features, labels, (rounded, bias)), points, head=(weight, bias))
    origin = -np.linalg.pinv(weight, rcond=1e-5) @ bias
    axes = np.linalg.svd(features - origin)[2][3:]
    np.testing.assert_allclose(ours, np.linalg.norm((points - origin) @ axes.T, axis=1), rtol=1e-4)


@pytest.mark.parametrize(
    ("size", "dimensions"), [(2048, 1000), (1500, 1000), (1499, 512), (768, 512), (767, 383), (512, 256), (1, 0)]
)
def test_the_usual_dimensions(size, dimensions):
    assert usual_dimensions(size) == dimensions


def test_dimensions_leave_a_residual():
    features, labels, head, _ = example(0)
    for part in (VirtualLogit, Residual):
        with pytest.raises(UserError, match="dimensions must be below 6"):
            fitted(part(dimensions=6), features, labels, head)
        with pytest.raises(UserError, match="dimensions must be at least 1, not 0"):
            part(dimensions=0)


@pytest.mark.parametrize("seed", range(3))
def test_fdbd_is_its_definition(seed):
    features, labels, (weight, bias), points = example(seed)
    expected = []
    for point in points:
        logits = weight @ point + bias
        top = logits.argmax()
        boundaries = [
            (logits[top] - logits[c]) / np.linalg.norm(weight[top] - weight[c]) for c in range(len(bias)) if c != top
        ]
        expected.append(-np.mean(boundaries) / np.linalg.norm(point - features.mean(0)))
    ours = scores(fitted(BoundaryDistance(), features, labels, (weight, bias)), points, head=(weight, bias))
    np.testing.assert_allclose(ours, expected, rtol=1e-9)


def test_fdbd_by_hand():
    """Weights +-e1: the boundary is x = 0, so the score is |x| over the distance to the mean, here the origin."""
    head = np.array([[1.0, 0], [-1, 0]]), np.zeros(2)
    scorer = BoundaryDistance()
    scorer.fit(known([[2, 1], [-2, -1]], [0, 1], classes=2, head=head))
    np.testing.assert_allclose(scores(scorer, [[3.0, 4], [-1, 0], [0, 2]], head=head), [-0.6, -1, 0])


def test_fdbd_leaves_out_classes_of_equal_weights():
    features, labels, (weight, bias), points = example(0)
    points = np.vstack([points, 9 * weight])
    twice = np.vstack([weight, weight[:1]]), np.append(bias, bias[0] - 1)
    ours = BoundaryDistance()
    ours.fit(known(features, labels, classes=5, head=twice))
    alone = scores(fitted(BoundaryDistance(), features, labels, (weight, bias)), points, head=(weight, bias))
    found = scores(ours, points, head=twice)
    first = (points @ weight.T + bias).argmax(axis=1) == 0
    assert first.any()
    np.testing.assert_allclose(found[first], alone[first], rtol=1e-9)
    lone = BoundaryDistance()
    lone.fit(known(features, labels * 0, classes=1, head=(weight[:1], bias[:1])))
    assert not scores(lone, points, head=(weight[:1], bias[:1])).any()


@pytest.mark.parametrize("alpha", [0.0, 1e-4, 0.5])
def test_nci_is_its_definition(alpha):
    features, labels, (weight, bias), points = example(2)
    deviations = points - features.mean(0)
    own = weight[(points @ weight.T + bias).argmax(axis=1)]
    along = (deviations * own).sum(axis=1) / np.linalg.norm(deviations, axis=1)
    ours = scores(fitted(NeuralCollapse(alpha=alpha), features, labels, (weight, bias)), points, head=(weight, bias))
    np.testing.assert_allclose(ours, -along - alpha * np.abs(points).sum(axis=1), rtol=1e-9)


@pytest.mark.parametrize("alpha", [-1e-9, float("inf"), float("nan")])
def test_alpha_is_a_number_from_0(alpha):
    with pytest.raises(UserError, match="nci: alpha must be at least 0"):
        NeuralCollapse(alpha=alpha)


def test_she_has_the_mean_of_correct_images_or_of_the_class_or_of_all():
    """Class 0 has a correct image and a wrong one, class 1 wrong ones only, class 2 no image at all."""
    features = np.array([[1.0, 0], [7, 7], [0, 4], [0, 8]])
    logits = np.eye(3)[[0, 1, 0, 0]]
    scorer = SimplifiedHopfield()
    scorer.fit(known(features, [0, 0, 1, 1], classes=3, logits=logits, rows=3))
    points = [[2.0, 3.0]] * 3
    np.testing.assert_allclose(scores(scorer, points, logits=np.eye(3)), [-2, -18, -(2 * 2 + 3 * 4.75)])


@pytest.mark.parametrize("seed", range(3))
def test_she_is_its_definition(seed):
    features, labels, (weight, bias), points = example(seed, dimensions=8)
    logits = 5 * np.eye(4)[labels] + np.random.default_rng(seed).normal(scale=3, size=(len(labels), 4))
    logits[labels == 3] = np.eye(4)[3]
    correct = logits.argmax(axis=1) == labels
    assert 0 < correct.sum() < len(labels)
    own = points @ weight.T + bias
    patterns = np.stack([features[correct & (labels == c)].mean(0) for c in range(4)])
    ours = scores(fitted(SimplifiedHopfield(), features, labels, None, logits=logits), points, logits=own)
    np.testing.assert_allclose(ours, -(points * patterns[own.argmax(axis=1)]).sum(axis=1), rtol=1e-9)


def test_reachability_is_ten_over_the_distance_and_at_most_ten_thousand():
    centroids = torch.tensor([[0.0, 0.0], [10.0, 0.0]], dtype=torch.float64)
    features = torch.tensor([[3.0, 4.0], [10.0, 0.5], [10.0, 0.0], [10.0, 1e-4], [4.9, 0]], dtype=torch.float64)
    outputs = Outputs(features, torch.zeros(5, 2), centroids)
    np.testing.assert_allclose(Reachability()(outputs), [-2, -20, -10000, -10000, -10 / 4.9])


def test_reachability_ranks_as_centroid_distance():
    generator = torch.Generator().manual_seed(0)
    features, centroids = (torch.randn(size, 5, generator=generator) for size in (50, 4))
    outputs = Outputs(features, torch.zeros(50, 4), centroids)
    assert Reachability()(outputs).argsort().tolist() == CentroidDistance()(outputs).argsort().tolist()
    assert Reachability.needs_centroids
    with pytest.raises(UserError, match="reachability needs class centroids"):
        Reachability()(Outputs(features, torch.zeros(50, 4)))
