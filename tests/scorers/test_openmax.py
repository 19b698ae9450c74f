"""OpenMax against its definition image by image, its distribution against SciPy's, and its rules for rare classes."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp
from scipy.stats import weibull_min

from oltr.contracts import Known, Outputs, UserError
from oltr.scorers.openmax import OpenMax
from oltr.scorers.weibull import Weibull, fitted


def of(logits):
    return Outputs(torch.empty(len(logits), 0), torch.as_tensor(logits))


def trained(logits, labels, rows=7):
    logits, labels = torch.as_tensor(logits), torch.as_tensor(labels)

    def train():
        for start in range(0, len(logits), rows):
            yield of(logits[start : start + rows]), labels[start : start + rows]

    return Known(train=train, val=lambda: iter(()))


def images(seed, counts, spread=1.0):
    """Logits about 6 for the own class; some are misclassified."""
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(counts)), counts)
    return 6 * np.eye(len(counts))[labels] + generator.normal(scale=spread, size=(len(labels), len(counts))), labels


def weibull(distances):
    """The most likely distribution: of each shape the best scale is known, and SciPy looks for the shape."""
    distances = np.asarray(distances)

    def scale(log_shape):
        shape = np.exp(log_shape)
        return distances.max() * np.mean((distances / distances.max()) ** shape) ** (1 / shape)

    def cost(log_shape):
        return -weibull_min.logpdf(distances, np.exp(log_shape), scale=scale(log_shape)).sum()

    best = minimize_scalar(cost, bounds=np.log([0.1, 100]), method="bounded", options={"xatol": 1e-10}).x
    return lambda d: weibull_min.cdf(d, np.exp(best), scale=scale(best))


def by_definition(queries, logits, labels, *, alpha, tail, least=5):
    """The log-odds of the unknown class, one image and one class at a time."""
    classes = logits.shape[1]
    means, tails, correct_counts = {}, {}, {}
    for k in range(classes):
        correct = (labels == k) & (logits.argmax(axis=1) == k)
        members = logits[correct] if correct.any() else logits[labels == k]
        correct_counts[k] = correct.sum()
        if len(members):
            means[k] = members.mean(axis=0)
            tails[k] = sorted(np.linalg.norm(members - means[k], axis=1))[-tail:]
    own = [k for k in tails if correct_counts[k] >= least]
    shared = weibull(np.concatenate([tails[k] for k in own or tails]))
    laws = {k: weibull(tails[k]) if k in own else shared for k in tails}
    found = []
    for values in queries:
        revised, unknown = values.copy(), 0.0
        for rank, k in enumerate(np.argsort(-values)[:alpha], start=1):
            outlying = laws[k](np.linalg.norm(values - means[k])) if k in laws else 1.0
            share = (min(alpha, classes) + 1 - rank) / min(alpha, classes) * outlying
            revised[k] = values[k] * (1 - share)
            unknown += values[k] * share
        found.append(unknown - logsumexp(revised))
    return np.array(found)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32), st.sampled_from([1, 3, 10]), st.sampled_from([4, 20]))
def test_openmax_is_its_definition(seed, alpha, tail):
    logits, labels = images(seed, [40, 25, 12, 9, 3, 1, 0], spread=2)
    queries = np.random.default_rng(seed + 1).normal(scale=4, size=(15, 7))
    scorer = OpenMax(alpha=alpha, tail=tail)
    scorer.fit(trained(logits, labels))
    expected = by_definition(queries, logits, labels, alpha=alpha, tail=tail)
    np.testing.assert_allclose(scorer(of(queries)).numpy(), expected, rtol=1e-3, atol=1e-3)


def test_a_class_without_a_right_image_has_the_mean_of_all_of_its_images():
    logits, labels = images(3, [30, 20, 4])
    logits[labels == 2] = np.array([7.0, 0, 1]) + np.arange(4)[:, None] / 10
    scorer = OpenMax()
    scorer.fit(trained(logits, labels))
    np.testing.assert_allclose(scorer.means[2].numpy(), logits[labels == 2].mean(axis=0))
    queries = np.array([[1.0, 2, 5], [7, 0, 1], [0, 0, 9]])
    expected = by_definition(queries, logits, labels, alpha=10, tail=20)
    np.testing.assert_allclose(scorer(of(queries)).numpy(), expected, rtol=1e-3)


def test_where_no_image_is_right_all_are_taken():
    logits, labels = images(4, [20, 15, 10])
    labels = (labels + 1) % 3
    scorer = OpenMax()
    scorer.fit(trained(logits, labels))
    queries = np.random.default_rng(5).normal(scale=4, size=(9, 3))
    expected = by_definition(queries, logits, labels, alpha=10, tail=20)
    np.testing.assert_allclose(scorer(of(queries)).numpy(), expected, rtol=1e-3, atol=1e-3)


def test_a_class_never_trained_on_gives_its_logit_to_the_unknown_one():
    logits, labels = images(6, [30, 20, 0])
    scorer = OpenMax(alpha=1)
    scorer.fit(trained(logits, labels))
    score = scorer(of(np.array([[1.0, 2.0, 8.0]]))).item()
    assert score == pytest.approx(8 - logsumexp([1, 2, 0]))


def test_the_score_ranks_images_that_the_probability_of_the_unknown_class_cannot():
    """Above 37 its rounding is 1 in double precision; the log-odds still tell which is further out."""
    logits, labels = images(7, [30, 30])
    scorer = OpenMax(alpha=2)
    scorer.fit(trained(logits, labels))
    near, far = scorer(of(np.array([[60.0, 60], [90, 90]]))).tolist()
    assert 1 / (1 + np.exp(-near)) == 1 == 1 / (1 + np.exp(-far))
    assert far > near + 10


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32), st.integers(3, 30), st.sampled_from([0.7, 2, 15]), st.sampled_from([1e-3, 1, 1e4]))
def test_a_distribution_is_the_most_likely_one(seed, count, shape, scale):
    distances = scale * np.random.default_rng(seed).weibull(shape, size=count)
    distances = np.maximum(distances, distances.max() / 1e4)  # less than 1e-6 of it counts as that
    table = np.full((2, 30), np.nan)
    table[0, :count] = distances
    table[1, 30 - count :] = 2 * distances  # of the same shape, whatever the scale and the place of the gaps
    ours = fitted(torch.tensor(table))
    theirs, _, their_scale = weibull_min.fit(distances, floc=0)

    def likelihood(shape, scale):
        return weibull_min.logpdf(distances, shape, scale=scale).sum()

    assert likelihood(ours.shape[0].item(), ours.log_scale[0].exp().item()) >= likelihood(theirs, their_scale) - 1e-4
    assert ours.shape[1].item() == pytest.approx(ours.shape[0].item())
    assert ours.log_scale[1].item() == pytest.approx(ours.log_scale[0].item() + np.log(2), abs=1e-6)


def test_the_share_below_a_distance():
    law = Weibull(torch.tensor([2.0, 1.0]), torch.tensor([3.0, 1.0]).log())
    below = law.cumulative(torch.tensor([0.0, 3.0, 2.0, 1e30]), torch.tensor([0, 0, 1, 1]))
    np.testing.assert_allclose(below.numpy(), [0, 1 - np.exp(-1), 1 - np.exp(-2), 1], rtol=1e-6)


@pytest.mark.parametrize("distance", [0.0, 1e-9, 5.0])
def test_equal_distances_make_a_step(distance):
    law = fitted(torch.full((1, 6), distance, dtype=torch.float64))
    assert law.shape.item() == pytest.approx(100)
    at = torch.tensor([0.9 * distance, 1.1 * distance + 1e-8], dtype=torch.float64)
    np.testing.assert_allclose(law.cumulative(at, torch.zeros(2, dtype=torch.int64)).numpy(), [0, 1], atol=1e-4)


@pytest.mark.parametrize("option", [{"alpha": 0}, {"tail": 1}, {"least_images": 1}])
def test_options_have_a_least_value(option):
    name, value = next(iter(option.items()))
    with pytest.raises(UserError, match=f"openmax: {name} is at least {value + 1}, not {value}"):
        OpenMax(**option)


def test_without_training_images_there_is_no_fit():
    with pytest.raises(UserError, match="openmax is fitted on training images, and there are none"):
        OpenMax().fit(trained(np.empty((0, 3)), np.empty(0, dtype=np.int64)))
    with pytest.raises(UserError, match="openmax: fit it before it scores"):
        OpenMax()(of(torch.zeros(2, 3)))
