"""Friedman's and Nemenyi's tests on the worked example of Demšar (2006), against scipy, and as they are drawn."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from oltr.bench.critical_difference import BAR, diagram
from oltr.bench.ranks import Ranks, nemenyi, rank

C45 = ("C4.5", "C4.5+m", "C4.5+cf", "C4.5+m+cf")
RANKS = [
    *([4, 3, 2, 1], [1, 2, 3, 4], [4, 1, 2, 3], [4, 1, 3, 2], [4, 2, 3, 1], [1, 2.5, 4, 2.5], [3, 2, 4, 1]),
    *([2.5, 2.5, 4, 1], [4, 3, 2, 1], [2.5, 2.5, 2.5, 2.5], [4, 2.5, 1, 2.5], [3, 2, 4, 1], [4, 1, 2, 3], [3, 1, 4, 2]),
]
"""Ranks of four classifiers on fourteen data sets: Table 6 of Demšar (2006)."""


def found(values: NDArray[np.float64], names: tuple[str, ...] | None = None) -> Ranks:
    ranks = rank(names or [f"t{index}" for index in range(values.shape[1])], values)
    assert ranks is not None
    return ranks


def test_the_worked_example_comes_to_what_is_published() -> None:
    ranks = found(-np.array(RANKS), C45)
    assert ranks.average == pytest.approx([3.143, 2.000, 2.893, 1.964], abs=5e-4)
    assert ranks.chi_squared == pytest.approx(9.28, abs=5e-3)
    assert ranks.f == pytest.approx(3.69, abs=5e-3)
    assert ranks.critical_difference == pytest.approx(1.25, abs=5e-3)
    assert stats.f.isf(0.05, 3, 39) == pytest.approx(2.85, abs=0.01)  # the published critical value
    assert ranks.f_p == pytest.approx(stats.f.sf(ranks.f, 3, 39))
    assert 0.01 < ranks.f_p < 0.05


def test_the_critical_values_are_those_of_the_published_table() -> None:
    table = {2: 1.960, 3: 2.343, 4: 2.569, 5: 2.728, 6: 2.850, 7: 2.949, 8: 3.031, 9: 3.102, 10: 3.164}
    for treatments, q in table.items():
        assert nemenyi(treatments, 1) / math.sqrt(treatments * (treatments + 1) / 6) == pytest.approx(q, abs=1e-3)
    assert nemenyi(4, 1, level=0.1) / math.sqrt(20 / 6) == pytest.approx(2.291, abs=1e-3)
    assert nemenyi(5, 40) == pytest.approx(nemenyi(5, 10) / 2)


def test_without_ties_the_statistic_is_scipys() -> None:
    values = np.random.default_rng(1).normal(size=(9, 5))
    ranks = found(values)
    expected = stats.friedmanchisquare(*values.T)
    assert ranks.chi_squared == pytest.approx(expected.statistic)
    assert ranks.chi_squared_p == pytest.approx(expected.pvalue)


def test_more_is_better_and_ties_share_their_rank() -> None:
    ranks = found(np.array([[0.9, 0.5, 0.5], [0.8, 0.1, 0.3]]))
    assert ranks.average == (1.0, 2.75, 2.25)


def test_blocks_that_all_agree_leave_no_doubt_and_such_without_a_difference_all() -> None:
    ranks = found(np.tile([3.0, 2.0, 1.0], (4, 1)))
    assert ranks.chi_squared == pytest.approx(8.0)
    assert (ranks.f, ranks.f_p) == (math.inf, 0.0)
    same = found(np.ones((4, 3)))
    assert (same.chi_squared, same.chi_squared_p, same.f, same.f_p) == (0.0, 1.0, 0.0, 1.0)


@pytest.mark.parametrize("shape", [(1, 3), (3, 1)])
def test_one_block_or_one_treatment_is_nothing_to_rank(shape: tuple[int, int]) -> None:
    assert rank(["a"] * shape[1], np.zeros(shape)) is None


def ranks_of(average: tuple[float, ...], difference: float, names: tuple[str, ...] = ()) -> Ranks:
    return Ranks(
        names=names or tuple("abcdefgh"[: len(average)]),
        blocks=9,
        average=average,
        chi_squared=1.0,
        chi_squared_p=0.5,
        f=1.0,
        f_p=0.5,
        critical_difference=difference,
    )


@pytest.mark.parametrize(
    ("difference", "cliques"),
    [
        (0.5, ()),
        (1.0, ((0, 3),)),
        (1.6, ((2, 0), (0, 3), (3, 1))),
        (2.1, ((2, 0), (0, 3, 1))),
        (9.0, ((2, 0, 3, 1),)),
    ],
)
def test_cliques_are_the_largest_sets_within_the_difference(
    difference: float, cliques: tuple[tuple[int, ...], ...]
) -> None:
    """Mean ranks in order: c 1.0, a 2.5, d 3.25, b 4.5."""
    assert ranks_of((2.5, 4.5, 1.0, 3.25), difference).cliques == cliques


def test_the_worked_example_has_one_bar_over_all_that_are_near() -> None:
    """The published conclusion: nothing differs by more than 1.25 from the next, the ends by 1.18."""
    assert found(-np.array(RANKS), C45).cliques == ((3, 1, 2, 0),)


def lines(svg: str, colour: str) -> list[tuple[float, float]]:
    """The ends of each straight level line of a colour, in the picture's units."""
    paths = re.findall(r'<path d="([^"]*)"[^>]*style="[^"]*stroke: ([^;"]*)', svg)
    ends = [re.findall(r"[ML] ([-\d.]+) ([-\d.]+)", path) for path, stroke in paths if stroke == colour.lower()]
    return [
        (float(found[0][0]), float(found[-1][0])) for found in ends if len(found) == 2 and found[0][1] == found[1][1]
    ]


def test_the_bars_of_a_diagram_are_as_long_as_the_ranks_say() -> None:
    svg = diagram(ranks_of((2.5, 4.0, 1.0, 3.25), 1.6), "ranks")
    axis = lines(svg, "#333333")[0]
    scale = (axis[1] - axis[0]) / 3
    drawn = sorted([((left - axis[0]) / scale + 1, (right - axis[0]) / scale + 1) for left, right in lines(svg, BAR)])
    assert drawn == [pytest.approx((1.0, 2.5), abs=1e-3), pytest.approx((2.5, 4.0), abs=1e-3)]
    levels = [(right - left) / scale for left, right in lines(svg, "#333333")]
    assert any(level == pytest.approx(1.6, abs=1e-3) for level in levels)


def test_a_diagram_says_every_name_as_it_is_and_is_the_same_each_time() -> None:
    ranks = ranks_of((1.0, 2.0, 3.0), 0.4, names=("<plain> & $x_1$", "OLTR", "naïve"))
    svg = diagram(ranks, "Methods <by> AUROC")
    texts = ["".join(node.itertext()) for node in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]
    for text in ("<plain> & $x_1$  1.00", "OLTR  2.00", "3.00  naïve", "critical difference 0.40, 9 blocks"):
        assert text in texts
    assert diagram(ranks, "Methods <by> AUROC") == svg
