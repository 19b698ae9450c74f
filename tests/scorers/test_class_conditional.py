"""The score in relation to the predicted class: against counting one by one, and what it is made for."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp, softmax

from oltr.contracts import Known, Outputs, UserError
from oltr.scorers.class_conditional import ClassConditional
from oltr.scorers.smoothed_shares import SmoothedShares

BASES = {
    "msp": lambda logits: -softmax(logits, axis=1).max(axis=1),
    "max_logit": lambda logits: -logits.max(axis=1),
    "energy": lambda logits: -logsumexp(logits, axis=1),
}


def of(logits):
    return Outputs(torch.empty(len(logits), 0), torch.as_tensor(logits))


def fitted(logits, **options):
    scorer = ClassConditional(**options)
    blocks = torch.split(torch.as_tensor(logits), 5)
    scorer.fit(
        Known(train=lambda: iter(()), val=lambda: ((of(block), torch.zeros(len(block)).long()) for block in blocks))
    )
    return scorer


def shares(sample, value):
    """Of a sample, the shares below and above a value: straight lines between values, exponential beyond the ends."""
    values = np.unique(sample)
    steps = np.array([((sample < v).sum() + (sample == v).sum() / 2) / len(sample) for v in values])
    spread = sample.std() or 1.0
    if value < values[0]:
        below = steps[0] * np.exp(-(values[0] - value) / spread)
    elif value > values[-1]:
        below = 1 - (1 - steps[-1]) * np.exp(-(value - values[-1]) / spread)
    else:
        below = np.interp(value, values, steps)
    return below, 1 - below


def by_counting(val, queries, base, shrinkage):
    scores, predicted = BASES[base](val), val.argmax(axis=1)
    found = []
    for score, k in zip(BASES[base](queries), queries.argmax(axis=1), strict=True):
        own = scores[predicted == k]
        below, above = shares(scores, score)
        less = (own < score).sum() + (own == score).sum() / 2
        found.append(np.log(less + shrinkage * below) - np.log(len(own) - less + shrinkage * above))
    return np.array(found)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32), st.sampled_from(sorted(BASES)), st.sampled_from([0.5, 10]), st.integers(1, 40))
def test_the_score_is_what_counting_gives(seed, base, shrinkage, images):
    generator = np.random.default_rng(seed)
    val, queries = (generator.normal(scale=scale, size=(count, 4)) for scale, count in ((2, images), (3, 20)))
    val[:, 3] -= 9  # a class that is hardly ever predicted
    val, queries = val.round(1), queries.round(1)
    queries = np.concatenate([queries, val])  # equal scores too
    ours = fitted(val, base=base, shrinkage=shrinkage)(of(queries)).numpy()
    np.testing.assert_allclose(ours, by_counting(val, queries, base, shrinkage), rtol=1e-6, atol=1e-6)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32), st.sampled_from(sorted(BASES)))
def test_within_a_class_it_rises_with_the_base_score(seed, base):
    val = np.random.default_rng(seed).normal(scale=2, size=(30, 3))
    queries = np.stack([np.linspace(0.001, 30, 200), np.zeros(200), np.full(200, -1.0)], axis=1)  # all of class 0
    expected = BASES[base](queries)
    ours = fitted(val, base=base)(of(queries)).numpy()
    assert (np.diff(expected) < 0).all() or base == "msp"  # which rounds to 1
    strictly = np.diff(expected) < -1e-12
    assert (np.diff(ours)[strictly] < 0).all()
    assert np.isfinite(ours).all()


def test_each_class_is_held_to_its_own_standard():
    """Known images of the tail class have low logits; at the same one, an image of the head class is suspicious."""
    generator = np.random.default_rng(1)
    val = np.zeros((200, 2))
    val[:100, 0] = generator.normal(10, 1, size=100)
    val[100:, 1] = generator.normal(3, 1, size=100)
    as_head, as_tail = fitted(val, base="max_logit")(of(np.array([[4.0, 0], [0, 4.0]]))).tolist()
    assert as_head > 2
    assert as_tail < 0
    usual_head, usual_tail = fitted(val, base="max_logit")(of(np.array([[10.0, 0], [0, 3.0]]))).tolist()
    assert abs(usual_head - usual_tail) < 0.5


def test_shrinkage_goes_from_the_class_to_everyone():
    generator = np.random.default_rng(2)
    val = np.zeros((60, 2))
    val[:40, 0], val[40:, 1] = generator.normal(9, 1, size=40), generator.normal(3, 1, size=20)
    query = of(np.array([[0.0, 3.0]]))
    alone, together = fitted(val, base="max_logit", shrinkage=1e-6), fitted(val, base="max_logit", shrinkage=1e9)
    score = -3.0
    own, everyone = -val[40:, 1], -val.max(axis=1)
    assert alone(query).item() == pytest.approx(np.log((own < score).sum() / (own > score).sum()), abs=1e-4)
    below, above = shares(everyone, score)
    assert together(query).item() == pytest.approx(np.log(below / above), abs=1e-4)


def test_a_class_that_was_never_predicted_has_everyones_standard():
    val = np.array([[2.0, 0, -5], [0, 3.0, -5], [4.0, 0, -5]])
    score = fitted(val, base="max_logit")(of(np.array([[0.0, 0.0, 3.0]]))).item()
    assert score == pytest.approx(0.0)  # 3 is the median of 2, 3, 4


def test_far_beyond_the_sample_scores_still_differ():
    scorer = fitted(np.random.default_rng(3).normal(size=(50, 3)), base="max_logit")
    logits = -torch.tensor([[1e2], [1e3], [1e4], [1e5]]).repeat(1, 3)
    high = scorer(of(logits))
    low = scorer(of(-logits))
    assert (high.diff() > 0).all()
    assert (low.diff() < 0).all()
    assert high.isfinite().all()
    assert low.isfinite().all()


def test_the_shares_are_one_in_sum():
    sample = torch.randn(30, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    values = torch.linspace(-9, 9, 400, dtype=torch.float64)
    log_below, log_above = SmoothedShares(sample)(values)
    torch.testing.assert_close(log_below.exp() + log_above.exp(), torch.ones_like(values))
    assert (log_below.diff() > 0).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"base": "entropy"}, "class_conditional: the base is one of msp, max_logit, energy, not entropy"),
        ({"shrinkage": 0.0}, "class_conditional: the shrinkage must be above 0 and finite, not 0"),
        ({"shrinkage": float("inf")}, "class_conditional: the shrinkage must be above 0 and finite, not inf"),
    ],
)
def test_options_that_cannot_be_are_named(options, message):
    with pytest.raises(UserError, match=message):
        ClassConditional(**options)


def test_without_validation_images_there_is_no_fit():
    with pytest.raises(UserError, match="class_conditional is fitted on validation images, and there are none"):
        ClassConditional().fit(Known(train=lambda: iter(()), val=lambda: iter(())))
    with pytest.raises(UserError, match="class_conditional: fit it before it scores"):
        ClassConditional()(of(torch.zeros(2, 3)))
