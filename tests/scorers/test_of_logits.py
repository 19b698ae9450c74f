"""Scorers on logits: temperature scaling, generalised entropy, KL-matching, and those without the class frequencies."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, logsumexp, softmax
from scipy.stats import entropy as relative_entropy

from oltr.contracts import Known, Outputs, UserError
from oltr.scorers.gen import GeneralizedEntropy
from oltr.scorers.kl_matching import KLMatching
from oltr.scorers.msp import MaximumSoftmax
from oltr.scorers.prior_adjusted_energy import PriorAdjustedEnergy
from oltr.scorers.prior_adjusted_msp import PriorAdjustedSoftmax
from oltr.scorers.temperature_scaling import TemperatureScaling


def of(logits):
    return Outputs(torch.empty(len(logits), 0), torch.as_tensor(logits))


def validated(logits, labels, rows=5):
    """Validation images in blocks, and no training images."""
    logits, labels = torch.as_tensor(logits), torch.as_tensor(labels)

    def val():
        for start in range(0, len(logits), rows):
            yield of(logits[start : start + rows]), labels[start : start + rows]

    return Known(train=lambda: iter(()), val=val)


def drawn(seed, images, classes, scale=1.0):
    return np.random.default_rng(seed).normal(scale=scale, size=(images, classes))


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32), st.integers(2, 6), st.sampled_from([0.2, 1.0, 8.0]))
def test_the_temperature_is_that_of_the_least_loss(seed, classes, scale):
    logits = drawn(seed, 60, classes, scale)
    labels = (logits + drawn(seed + 1, 60, classes, scale)).argmax(axis=1)

    def loss(log_temperature):
        return -log_softmax(logits / np.exp(log_temperature), axis=1)[np.arange(60), labels].mean()

    scorer = TemperatureScaling()
    scorer.fit(validated(logits, labels))
    best = minimize_scalar(loss, bounds=(np.log(0.01), np.log(1000)), method="bounded", options={"xatol": 1e-9})
    assert loss(np.log(scorer.temperature)) <= best.fun + 1e-10
    expected = -softmax(logits / scorer.temperature, axis=1).max(axis=1)
    np.testing.assert_allclose(scorer(of(logits)).numpy(), expected, rtol=1e-10)


def test_the_temperature_of_two_classes_by_hand():
    """At logits (±a, 0), rightly signed three times of four, 3/4 = 1 / (1 + exp(-a / T))."""
    logits = np.array([[2.0, 0], [2, 0], [0, 2.0], [2.0, 0]])
    scorer = TemperatureScaling()
    scorer.fit(validated(logits, [0, 0, 1, 1]))
    assert scorer.temperature == pytest.approx(2 / np.log(3), rel=1e-6)
    np.testing.assert_allclose(scorer(of(logits)).numpy(), -0.75, rtol=1e-6)


@pytest.mark.parametrize(
    ("logits", "labels", "temperature"),
    [
        ([[3.0, 0], [0, 5]], [0, 1], 0.01),
        ([[3.0, 0], [0, 5]], [1, 0], 1000),
        ([[4.0, 4], [-7, -7]], [1, 0], 1),
        ([[4.0], [-7]], [0, 0], 1),
    ],
    ids=["all right", "all wrong", "equal logits", "one class"],
)
def test_the_temperature_has_ends_and_stays_1_where_none_is_better(logits, labels, temperature):
    scorer = TemperatureScaling()
    scorer.fit(validated(np.array(logits), labels))
    assert scorer.temperature == pytest.approx(temperature, rel=1e-4)


@settings(deadline=None, max_examples=30)
@given(
    st.integers(0, 2**32),
    st.integers(1, 9),
    st.integers(1, 12),
    st.sampled_from([0.1, 0.5, 1]),
    st.sampled_from([1, 9]),
)
def test_generalised_entropy_is_its_definition(seed, classes, largest, gamma, scale):
    logits = drawn(seed, 6, classes, scale)
    shares = -np.sort(-softmax(logits, axis=1), axis=1)[:, :largest]
    expected = (shares**gamma * (1 - shares) ** gamma).sum(axis=1)
    ours = GeneralizedEntropy(gamma=gamma, largest=largest)(of(logits))
    np.testing.assert_allclose(ours.numpy(), expected, rtol=1e-6, atol=1e-7 if classes > 1 else 0.03)


def test_generalised_entropy_tells_apart_what_is_almost_certain():
    """In single precision 1 - p is 0 for both; with p = 1 - e the score is e^gamma, and again for the other class."""
    logits = torch.tensor([[20.0, 0.0], [40.0, 0.0]])
    scores = GeneralizedEntropy(gamma=0.1)(of(logits))
    np.testing.assert_allclose(scores.numpy(), 2 * np.exp([-2.0, -4.0]), rtol=1e-4)


def test_divergence_is_to_the_nearest_template():
    logits, val = drawn(0, 20, 4, 3), drawn(1, 50, 4, 2)
    val[:, 3] -= 20  # never predicted: no template
    shares, predicted = softmax(val, axis=1), val.argmax(axis=1)
    templates = [shares[predicted == k].mean(axis=0) for k in range(3)]
    expected = np.min([relative_entropy(softmax(logits, axis=1), d[None], axis=1) for d in templates], axis=0)
    scorer = KLMatching()
    scorer.fit(validated(val, np.zeros(50, dtype=np.int64)))
    assert scorer.log_templates.shape == (3, 4)
    np.testing.assert_allclose(scorer(of(logits)).numpy(), expected, rtol=1e-8, atol=1e-10)


def test_divergence_from_a_template_of_zeros_is_large_and_finite():
    scorer = KLMatching()
    scorer.fit(validated(np.array([[1e4, 0.0, 0.0]]), [0]))
    same, other, undecided = scorer(of(torch.tensor([[1e4, 0, 0], [0, 1e4, 0], [0, 0, 0.0]]))).tolist()
    assert same == 0
    assert other == pytest.approx(-np.log(1e-30), rel=1e-5)
    assert undecided == pytest.approx(-np.log(3) - 2 / 3 * np.log(1e-30), rel=1e-5)


COUNTS = np.array([90, 9, 1, 0])


@pytest.mark.parametrize("tau", [0.0, 0.5, 1.0, 2.0])
def test_the_prior_is_taken_from_the_logits(tau):
    logits = drawn(2, 10, 4, 3)
    shifted = logits - tau * np.log(np.array([90, 9, 1, 1]) / 101)
    msp = PriorAdjustedSoftmax(train_counts=COUNTS, tau=tau)(of(logits))
    energy = PriorAdjustedEnergy(train_counts=COUNTS, tau=tau)(of(logits))
    np.testing.assert_allclose(msp.numpy(), -softmax(shifted, axis=1).max(axis=1), rtol=1e-10)
    np.testing.assert_allclose(energy.numpy(), -logsumexp(shifted, axis=1), rtol=1e-10)


def test_with_tau_1_a_posterior_of_the_prior_is_undecided():
    """Logits that only repeat the frequencies know nothing: msp calls them clear, without the prior they are 1 / C."""
    counts = np.array([97, 2, 1])
    logits = torch.tensor(np.log(counts / 100))[None]
    assert MaximumSoftmax()(of(logits)).item() == pytest.approx(-0.97)
    assert PriorAdjustedSoftmax(train_counts=counts)(of(logits)).item() == pytest.approx(-1 / 3)
    assert PriorAdjustedEnergy(train_counts=counts)(of(logits)).item() == pytest.approx(-np.log(3))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: GeneralizedEntropy(gamma=0), "gen: gamma must be above 0 and finite, not 0"),
        (lambda: GeneralizedEntropy(largest=0), "gen: the number of largest probabilities is at least 1, not 0"),
        (lambda: PriorAdjustedSoftmax(train_counts=COUNTS, tau=-1), "prior_adjusted_msp: tau must be at least 0"),
        (lambda: PriorAdjustedEnergy(train_counts=COUNTS, tau=np.inf), "prior_adjusted_energy: tau must be at least 0"),
    ],
)
def test_an_option_that_cannot_be_is_named(build, message):
    with pytest.raises(UserError, match=message):
        build()


@pytest.mark.parametrize("part", [TemperatureScaling, KLMatching])
def test_without_validation_images_there_is_no_fit(part):
    scorer = part()
    with pytest.raises(UserError, match=r"is fitted on validation images, and there are none; .* works without"):
        scorer.fit(validated(np.empty((0, 3)), np.empty(0, dtype=np.int64)))
    with pytest.raises(UserError, match="fit it before it scores"):
        scorer(of(torch.zeros(2, 3)))


def test_logits_of_other_classes_than_the_counts_are_refused():
    with pytest.raises(UserError, match="prior_adjusted_msp: logits of 3 classes, training counts of 4"):
        PriorAdjustedSoftmax(train_counts=COUNTS)(of(torch.zeros(2, 3)))
