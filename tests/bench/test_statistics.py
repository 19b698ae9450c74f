"""Statistics held against enumeration, scipy and published examples."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from oltr.bench.statistics import bootstrap_interval, holm, paired, spread

SLEEP = (
    [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4],
    [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0],
)
"""Extra hours of sleep under two drugs, ten patients (Student, 1908): t 4.0621, p 0.002833."""


def test_a_spread_is_of_the_sample() -> None:
    found = spread([1.0, 2.0, 6.0])
    assert found is not None
    assert (found.count, found.mean) == (3, 3.0)
    assert found.deviation == pytest.approx(7**0.5)  # (4 + 1 + 9) / 2


def test_a_single_value_has_no_deviation_and_no_value_no_spread() -> None:
    found = spread([0.25])
    assert found is not None
    assert (found.mean, found.deviation, found.interval) == (0.25, None, None)
    assert spread([]) is None


def test_the_interval_is_that_of_every_resample() -> None:
    """All 6^6 resamples of six values, instead of ten thousand drawn ones."""
    values = [0.1, 0.4, 0.45, 0.7, 0.72, 1.3]
    means = np.array([np.mean(drawn) for drawn in itertools.product(values, repeat=6)])
    low, high = np.quantile(means, [0.025, 0.975])
    assert bootstrap_interval(values) == pytest.approx((low, high), abs=0.02)
    low, high = np.quantile(means, [0.1, 0.9])
    assert bootstrap_interval(values, level=0.8) == pytest.approx((low, high), abs=0.02)


@pytest.mark.parametrize("values", [[0.3, 0.1], [0.2, 0.9, 0.4]])
def test_of_two_or_three_values_the_interval_is_their_range(values: list[float]) -> None:
    """A resample is all of the smallest with probability 1/4 or 1/27, which is more than 2.5 %."""
    assert bootstrap_interval(values) == pytest.approx((min(values), max(values)))


def test_the_interval_is_the_same_each_time_and_moves_with_the_values() -> None:
    values = [0.1, 0.4, 0.45, 0.7, 0.72]
    first = bootstrap_interval(values)
    assert first is not None
    assert bootstrap_interval(values) == first
    assert bootstrap_interval([2 * value + 1 for value in values]) == pytest.approx([2 * end + 1 for end in first])


def test_the_paired_t_test_is_students_own() -> None:
    found = paired(*SLEEP)
    assert found is not None
    assert found.count == 10
    assert found.difference == pytest.approx(1.58)
    assert found.t_p == pytest.approx(0.002833, abs=1e-6)
    assert found.t_p == pytest.approx(stats.ttest_rel(*SLEEP).pvalue)


def test_wilcoxons_test_is_exact_and_waits_for_six_pairs() -> None:
    """Six differences of one sign: 2 of the 64 ways of signs are as far out."""
    values = [0.11, 0.22, 0.33, 0.44, 0.55, 0.66]
    found, fewer = paired(values, [0.0] * 6), paired(values[:5], [0.0] * 5)
    assert found is not None
    assert fewer is not None
    assert found.wilcoxon_p == pytest.approx(2 / 64)
    assert fewer.wilcoxon_p is None
    mixed = paired([*values, -0.7], [0.0] * 7)
    assert mixed is not None
    signs = [
        sum(rank for rank, sign in zip(range(1, 8), ways, strict=True) if sign)
        for ways in itertools.product((0, 1), repeat=7)
    ]
    below = sum(total <= 7 for total in signs) / len(signs)  # the one negative difference has rank 7
    assert mixed.wilcoxon_p == pytest.approx(2 * below)


def test_pairs_without_a_difference_do_not_count_among_the_six() -> None:
    found = paired([0.1, 0.2, 0.3, 0.4, 0.5, 0.0], [0.0] * 6)
    assert found is not None
    assert found.wilcoxon_p is None


@pytest.mark.parametrize(("values", "base"), [([0.5], [0.4]), ([0.6, 0.7, 0.8], [0.5, 0.6, 0.7]), ([1, 1], [1, 1])])
def test_where_differences_do_not_differ_there_is_no_t_test(values: list[float], base: list[float]) -> None:
    found = paired(values, base)
    assert found is not None
    assert found.t_p is None
    assert found.difference == pytest.approx(values[0] - base[0])


def test_no_pairs_are_no_result() -> None:
    assert paired([], []) is None


def test_holms_correction_is_step_down() -> None:
    """As R's p.adjust has it for these four."""
    found = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})
    assert found == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02})


def test_holms_correction_ends_at_one_and_leaves_out_what_was_not_tested() -> None:
    assert holm({"a": 0.4, "b": None, "c": 0.6}) == {"a": 0.8, "b": None, "c": 0.8}
    assert holm({"a": 0.7, "b": 0.9}) == {"a": 1.0, "b": 1.0}
    assert holm({}) == {}
