"""Ranking metrics against pair-by-pair and threshold-by-threshold definitions, with many ties, and scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_auc_score

from oltr.contracts import UserError
from oltr.metrics import ranking as module
from oltr.metrics.ranking import BY_GROUP, RANKING, by_group, ranking, roc_curve


@st.composite
def scores(draw):
    """Scores of known and open images with ties, and which known ones are classified rightly."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    levels = draw(st.integers(1, 12))
    known, open_ = (generator.integers(0, levels, draw(st.integers(1, 30))) / 4 for _ in range(2))
    return known, generator.random(len(known)) < 0.6, open_ + draw(st.sampled_from([0, 0.5, 3]))


def thresholds(known, open_):
    return [-np.inf, *sorted({*known, *open_})]


@settings(deadline=None)
@given(scores())
def test_areas_are_means_over_pairs(case):
    known, correct, open_ = case
    wins = (known[:, None] < open_) + 0.5 * (known[:, None] == open_)
    ours = ranking(known, correct, open_)
    assert ours["auroc"] == pytest.approx(wins.mean())
    assert ours["oscr"] == pytest.approx((wins * correct[:, None]).mean())
    assert ours["oscr"] <= correct.mean() + 1e-12
    assert ranking(known, np.ones_like(correct), open_)["oscr"] == ours["auroc"]


@settings(deadline=None)
@given(scores())
def test_areas_agree_with_scikit_learn(case):
    known, correct, open_ = case
    ours = ranking(known, correct, open_)
    values, is_open = np.append(known, open_), np.append(np.zeros(len(known)), np.ones(len(open_)))
    assert ours["auroc"] == pytest.approx(roc_auc_score(is_open, values))
    for name, positive, knownness in (("aupr_in", 1 - is_open, -values), ("aupr_out", is_open, values)):
        assert ours[name] == pytest.approx(average_precision_score(positive, knownness))
        precision, recall, _ = precision_recall_curve(positive, knownness)
        assert ours[f"{name}_trapezoid"] == pytest.approx(auc(recall, precision))


@settings(deadline=None)
@given(scores())
def test_rates_are_those_of_the_first_threshold_that_qualifies(case):
    known, correct, open_ = case
    ours = ranking(known, correct, open_)
    points = [(np.mean(known <= t), np.mean(open_ <= t)) for t in thresholds(known, open_)]
    assert ours["fpr_at_95_known"] == next(fpr for tpr, fpr in points if tpr >= 0.95)
    rejections = [(np.mean(open_ > t), np.mean(known > t)) for t in reversed(thresholds(known, open_))]
    assert ours["frr_at_95_open"] == next(frr for trr, frr in rejections if trr >= 0.95)
    assert ours["detection_accuracy"] == pytest.approx(max((1 + tpr - fpr) / 2 for tpr, fpr in points))
    curve = roc_curve(known, open_)
    assert [*zip(curve.true_positive_rate, curve.false_positive_rate, strict=True)] == points
    assert curve.thresholds.tolist() == thresholds(known, open_)


@settings(deadline=None, max_examples=30)
@given(scores(), st.randoms(use_true_random=False))
def test_neither_order_nor_a_rising_map_of_the_scores_matters(case, random):
    known, correct, open_ = case
    order = random.sample(range(len(known)), len(known))
    assert ranking(np.exp(known[order]), correct[order], np.exp(open_[::-1])) == ranking(known, correct, open_)


@settings(deadline=None, max_examples=30)
@given(scores())
def test_each_metric_alone_is_the_one_of_the_ranking(case):
    known, correct, open_ = case
    together = ranking(known, correct, open_)
    for name in RANKING:
        function = getattr(module, name.removesuffix("_trapezoid"))
        options = {"trapezoid": True} if name.endswith("_trapezoid") else {}
        arrays = (known, correct, open_) if name == "oscr" else (known, open_)
        assert function(*arrays, **options) == together[name], name


@settings(deadline=None, max_examples=50)
@given(scores())
def test_a_group_is_ranked_by_its_own_images_against_all_open_ones(case):
    known, _, open_ = case
    labels = np.arange(len(known)) * 7 % 3
    groups = {"many": np.array([1, 0, 0, 0], bool), "medium": np.array([0, 1, 1, 0], bool), "few": np.eye(4)[3] > 0}
    ours = by_group(known, labels, open_, groups)
    for name, mask in groups.items():
        own = known[mask[labels]]
        expected = ranking(own, np.ones(len(own), dtype=bool), open_)
        assert {metric: ours[metric][name] for metric in ours} == {metric: expected[metric] for metric in BY_GROUP}
    assert {ours[metric]["few"] for metric in BY_GROUP} == {None}


def test_tail_against_open_on_a_worked_example():
    groups = {"many": np.array([True, False]), "few": np.array([False, True])}
    ours = by_group(np.array([0.0, 1.0, 2.0, 9.0]), np.array([0, 0, 1, 1]), np.array([3.0, 4.0]), groups)
    assert ours["auroc"] == {"many": 1.0, "few": 0.5}
    assert ours["fpr_at_95_known"] == {"many": 0.0, "few": 1.0}
    assert ours["frr_at_95_open"] == {"many": 0.0, "few": 0.5}
    with pytest.raises(UserError, match="scores_known 1, labels 2"):
        by_group(np.ones(1), np.array([0, 1]), np.ones(1), groups)


def test_the_two_conventions_at_95_percent_on_a_worked_example():
    known, open_ = np.arange(20.0), np.append(17.5, np.full(19, 18.5))
    ours = ranking(known, np.ones(20, dtype=bool), open_)
    assert ours["fpr_at_95_known"] == 1 / 20  # a threshold of 18 accepts exactly 19 of 20 known images, and the 17.5
    assert ours["frr_at_95_open"] == 1 / 20  # and it rejects exactly 19 of 20 open images, and the known 19
    assert ours["detection_accuracy"] == pytest.approx((19 / 20 + 19 / 20) / 2)


@pytest.mark.parametrize(("known", "open_"), [([], [1.0]), ([1.0], []), ([], [])])
def test_without_known_or_open_images_nothing_is_defined(known, open_):
    known, open_ = np.array(known), np.array(open_)
    assert set(ranking(known, np.ones(len(known), dtype=bool), open_).values()) == {None}
    assert roc_curve(known, open_) is None


def test_infinite_scores_rank_and_integers_do_not_overflow():
    assert module.auroc(np.array([-np.inf, 0.0]), np.array([np.inf])) == 1.0
    generator = np.random.default_rng(0)
    known, open_ = (generator.normal(size=100_000).astype(np.float32) for _ in range(2))
    assert module.auroc(known, open_) == pytest.approx(0.5, abs=0.01)


def test_scores_that_cannot_be_ranked_are_refused():
    one = np.ones(1)
    with pytest.raises(UserError, match=r"scores_open\[1\] is not a number \(1 of 2 are NaN\)"):
        module.auroc(one, np.array([0.0, np.nan]))
    with pytest.raises(UserError, match="correct must be true or false"):
        module.oscr(one, np.ones(1), one)
    with pytest.raises(UserError, match="scores_known 1, correct 2"):
        module.oscr(one, np.ones(2, dtype=bool), one)
    with pytest.raises(UserError, match=r"must be numbers \[N\], not float64 of shape \(1, 1\)"):
        module.auroc(one[None], one)
