from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from oltr.contracts import OPEN
from oltr.metrics.open_set import f_against_threshold
from oltr.metrics.ranking import auroc, roc_curve
from oltr.report.curves import BINS, curves, histogram, plain

RANDOM = np.random.default_rng(0)
LABELS = np.append(RANDOM.integers(0, 4, 3000), np.full(2000, OPEN))
PREDICTIONS = RANDOM.integers(0, 4, 5000)
SCORES = RANDOM.normal(size=5000) + (LABELS == OPEN)
KINDS = {"known": LABELS != OPEN, "open": LABELS == OPEN}


def test_a_thinned_roc_curve_keeps_its_ends_its_points_and_its_area() -> None:
    drawn = curves(PREDICTIONS, LABELS, SCORES, num_classes=4, kinds=KINDS)["roc"]
    across, up = np.array(drawn["open_accepted"]), np.array(drawn["known_accepted"])
    full = roc_curve(SCORES[KINDS["known"]], SCORES[KINDS["open"]])
    assert full is not None
    assert 200 < len(across) <= 400
    assert (across[0], up[0], across[-1], up[-1]) == (0, 0, 1, 1)
    points = {(round(x, 6), round(y, 6)) for x, y in zip(*full[:2], strict=True)}
    assert {(round(x, 6), round(y, 6)) for x, y in zip(across, up, strict=True)} <= points
    area = np.sum(np.diff(across) * (up[1:] + up[:-1]) / 2)
    assert area == pytest.approx(auroc(SCORES[KINDS["known"]], SCORES[KINDS["open"]]), abs=1e-4)


def test_f_measures_are_those_of_the_metric() -> None:
    drawn = curves(PREDICTIONS, LABELS, SCORES, num_classes=4, kinds=KINDS)["f_measures"]
    expected = f_against_threshold(PREDICTIONS, LABELS, SCORES, num_classes=4)
    assert drawn.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(np.array(drawn[name], dtype=float), values, rtol=1e-5)


def test_a_histogram_holds_every_image_once() -> None:
    scores = np.append(SCORES, [1e6, -1e6])  # outliers do not stretch it
    mask = np.ones(len(scores), dtype=bool)
    drawn = histogram(scores, kinds={"all": mask, "first": np.arange(len(scores)) < 10, "none": ~mask})
    edges, shares = np.array(drawn["edges"]), drawn["shares"]
    assert (len(edges), len(shares["all"])) == (BINS + 1, BINS)
    assert edges[-1] - edges[0] < 20
    assert sum(shares["all"]) == pytest.approx(1, abs=1e-5)
    inner = [((scores >= low) & (scores < high)).mean() for low, high in pairwise(edges[1:-1])]
    np.testing.assert_allclose(shares["all"][1:-1], inner, atol=1 / 5000)  # an edge of six digits may move one image
    assert sum(shares["first"]) == pytest.approx(1, abs=1e-5)
    assert shares["none"] is None


def test_a_histogram_of_one_value() -> None:
    drawn = histogram(np.full(4, 2.0), kinds={"all": np.ones(4, dtype=bool)})
    assert max(drawn["shares"]["all"]) == 1
    assert drawn["edges"][0] < 2 < drawn["edges"][-1]


def test_plain_numbers() -> None:
    assert plain(np.array([1 / 3, np.nan, 0.0])) == [0.333333, None, 0.0]
