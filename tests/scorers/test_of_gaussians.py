"""The Mahalanobis family against its definitions class by class, by hand, and in the directions that carry nothing."""

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from training_sets import known, long_tail, scores

from oltr.contracts import UserError
from oltr.scorers import scatter
from oltr.scorers.mahalanobis import Mahalanobis
from oltr.scorers.relative_mahalanobis import RelativeMahalanobis
from oltr.scorers.shrinkage_mahalanobis import ShrinkageMahalanobis

COUNTS = [40, 12, 0, 5, 1]
DIMENSIONS = 6


def fitted(scorer, features, labels, **options):
    scorer.fit(known(features, labels, classes=len(COUNTS), **options))
    return scorer


def within(features, labels):
    """Sum of the outer products of the deviations from the class means."""
    parts = [features[labels == k] for k in np.unique(labels)]
    return sum((part - part.mean(0)).T @ (part - part.mean(0)) for part in parts)


def quadratic(points, mean, inverse):
    return np.einsum("id,de,ie->i", points - mean, inverse, points - mean)


def by_class(points, features, labels, covariance):
    inverse = np.linalg.pinv(covariance, rcond=1e-10, hermitian=True)
    return np.stack([quadratic(points, features[labels == k].mean(0), inverse) for k in np.unique(labels)], axis=1)


def queries(seed, features):
    generator = np.random.default_rng(seed)
    return np.concatenate([features[:5], features.mean(0) + 5 * generator.normal(size=(20, features.shape[1]))])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("offset", [0.0, 1e4])
@pytest.mark.parametrize("block", [1, 30, 1 << 22])
def test_mahalanobis_is_its_definition(monkeypatch, seed, offset, block):
    monkeypatch.setattr(scatter, "BLOCK", block)
    features, labels = long_tail(seed, COUNTS, DIMENSIONS, offset=offset)
    points = queries(seed, features)
    expected = by_class(points, features, labels, within(features, labels) / len(labels)).min(axis=1)
    ours = scores(fitted(Mahalanobis(), features, labels), points, classes=len(COUNTS))
    np.testing.assert_allclose(ours, expected, rtol=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_relative_mahalanobis_is_its_definition(seed):
    features, labels = long_tail(seed, COUNTS, DIMENSIONS)
    points = queries(seed, features)
    classes = by_class(points, features, labels, within(features, labels) / len(labels))
    total = np.cov(features.T, bias=True)
    background = quadratic(points, features.mean(0), np.linalg.inv(total))
    ours = scores(fitted(RelativeMahalanobis(), features, labels), points, classes=len(COUNTS))
    np.testing.assert_allclose(ours, (classes - background[:, None]).min(axis=1), rtol=1e-8, atol=1e-8)


def test_mahalanobis_by_hand():
    """Classes about 0 and 10 on a line, with the variances 1 and 4: of four images each, the shared one is 2.5."""
    features = [[-1], [1], [-1], [1], [8], [12], [8], [12]]
    labels = [0, 0, 0, 0, 1, 1, 1, 1]
    fit = known(features, labels, classes=2)
    scorer, relative = Mahalanobis(), RelativeMahalanobis()
    scorer.fit(fit)
    relative.fit(fit)
    points = [[0.0], [5.0], [10.0], [-5.0]]
    np.testing.assert_allclose(scores(scorer, points), [0, 10, 0, 10])
    np.testing.assert_allclose(scores(relative, points), [-25 / 27.5, 10, -25 / 27.5, 10 - 100 / 27.5])


def test_total_scatter_is_the_covariance_of_all_images():
    features, labels = long_tail(0, COUNTS, DIMENSIONS, offset=5)
    found = scatter.Scatter.of(known(features, labels, classes=5), "any")
    np.testing.assert_allclose(found.total.numpy(), np.cov(features.T, bias=True), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(found.within.numpy(), within(features, labels) / len(labels), rtol=1e-10, atol=1e-12)
    assert found.classes.tolist() == [0, 1, 3, 4]
    assert found.counts.tolist() == [40, 12, 5, 1]


@pytest.mark.parametrize("scorer", [Mahalanobis, RelativeMahalanobis])
def test_distances_do_not_depend_on_the_features_axes_and_units(scorer):
    features, labels = long_tail(1, COUNTS, DIMENSIONS)
    points = queries(1, features)
    linear = np.random.default_rng(5).normal(size=(DIMENSIONS, DIMENSIONS))
    ours = scores(fitted(scorer(), features, labels), points, classes=5)
    turned = scores(fitted(scorer(), features @ linear + 7, labels), points @ linear + 7, classes=5)
    np.testing.assert_allclose(turned, ours, rtol=1e-6, atol=1e-8)


def test_directions_without_any_variation_do_not_count():
    features, labels = long_tail(2, COUNTS, 3)
    points = queries(2, features)
    ours = scores(fitted(Mahalanobis(), features, labels), points, classes=5)
    wide, wide_points = (np.hstack([x, np.full((len(x), 1), 7.0), x[:, :1]]) for x in (features, points))
    wide_points[:, 3] += 1
    for dtype, tolerance in ((torch.float64, 1e-7), (torch.float32, 1e-4)):
        scorer = fitted(Mahalanobis(), wide, labels, dtype=dtype)
        np.testing.assert_allclose(scores(scorer, wide_points, classes=5, dtype=dtype), ours, rtol=tolerance)


def test_classes_of_one_image_each_have_no_scatter():
    features = np.random.default_rng(0).normal(size=(5, 4))
    assert not scores(fitted(Mahalanobis(), features, range(5)), features + 3, classes=5).any()


def densities(points, features, labels, tau):
    """Minus twice the log-density of each class, one class at a time, with SciPy."""
    classes, images = np.unique(labels), len(labels)
    pooled = within(features, labels) / (images - len(classes))
    variances, axes = np.linalg.eigh(pooled)
    whiten = axes / np.sqrt(variances)
    found = []
    for k in classes:
        own = (features[labels == k]) @ whiten
        n = len(own)
        spread = (((own - own.mean(0)) ** 2).sum(0) + tau) / (n - 1 + tau) * (1 + 1 / n)
        density = multivariate_normal(own.mean(0), np.diag(spread))
        found.append((density, -2 * density.logpdf(points @ whiten), np.log(spread).sum()))
    return found


@pytest.mark.parametrize("tau", [0.5, 20.0, 1e3])
@pytest.mark.parametrize("log_determinant", [True, False])
@pytest.mark.parametrize("block", [1, 1 << 22])
def test_shrinkage_mahalanobis_is_a_density(monkeypatch, tau, log_determinant, block):
    monkeypatch.setattr("oltr.scorers.shrinkage_mahalanobis.BLOCK", block)
    features, labels = long_tail(3, COUNTS, DIMENSIONS)
    points = queries(3, features)
    constant = DIMENSIONS * np.log(2 * np.pi)
    found = densities(points, features, labels, tau)
    costs = [cost - constant - (0 if log_determinant else determinant) for _, cost, determinant in found]
    scorer = ShrinkageMahalanobis(tau=tau, log_determinant=log_determinant)
    ours = scores(fitted(scorer, features, labels), points, classes=5)
    np.testing.assert_allclose(ours, np.min(costs, axis=0), rtol=1e-8, atol=1e-8)


def test_with_a_strong_prior_all_classes_share_the_covariance_but_for_the_mean():
    """Then the distance is Mahalanobis's, over 1 + 1 / n."""
    features, labels = long_tail(4, [30, 30], DIMENSIONS)
    points = queries(4, features)
    strong = ShrinkageMahalanobis(tau=1e12, log_determinant=False)
    ours = scores(fitted(strong, features, labels), points, classes=5)
    shared = scores(fitted(Mahalanobis(), features, labels), points, classes=5)
    np.testing.assert_allclose(ours, shared * (58 / 60) / (1 + 1 / 30), rtol=1e-6)


def test_a_new_image_of_a_rare_class_is_as_far_as_one_of_a_frequent_class():
    """Of the same spread; plain Mahalanobis sees that of the class of one image twice as far: its mean is off too."""
    generator = np.random.default_rng(0)
    classes, dimensions = 60, 20
    counts = np.array([200, 1] * (classes // 2))
    means = 30 * generator.normal(size=(classes, dimensions))
    labels = np.repeat(np.arange(classes), counts)
    features = means[labels] + generator.normal(size=(len(labels), dimensions))
    truth = np.arange(classes).repeat(50)
    points = means[truth] + generator.normal(size=(len(truth), dimensions))
    rare = counts[truth] == 1
    fit = known(features, labels, classes=classes)
    ratios = []
    for scorer in (Mahalanobis(), ShrinkageMahalanobis(log_determinant=False)):
        scorer.fit(fit)
        found = scores(scorer, points, classes=classes)
        ratios.append(found[rare].mean() / found[~rare].mean())
    assert ratios[0] == pytest.approx(2, rel=0.15)
    assert ratios[1] == pytest.approx(1, rel=0.1)


@pytest.mark.parametrize("tau", [0.0, -1.0, float("inf"), float("nan")])
def test_tau_must_be_above_0(tau):
    with pytest.raises(UserError, match="shrinkage_mahalanobis: tau must be above 0"):
        ShrinkageMahalanobis(tau=tau)
