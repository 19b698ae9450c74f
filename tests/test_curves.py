from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from oltr.contracts import OPEN
from oltr.curves import BINS, curves, histogram, plain
from oltr.metrics.open_set import f_against_threshold
from oltr.metrics.ranking import auroc, roc_curve

RANDOM = np.random.default_rng(0)
LABELS = np.append(RANDOM.integers(0, 4, 3000), np.full(2000, OPEN))
PREDICTIONS = RANDOM.integers(0, 4, 5000)
SCORES = RANDOM.normal(size=5000) + (LABELS == OPEN)
KNOWN = {"known": LABELS != OPEN, "few": LABELS == 3}


def test_a_thinned_roc_curve_keeps_its_ends_its_points_and_its_area() -> None:
    drawn = curves(PREDICTIONS, LABELS, SCORES, num_classes=4, known=KNOWN)["roc"]
    across, up = np.array(drawn["open_accepted"]), np.array(drawn["known_accepted"])
    full = roc_curve(SCORES[LABELS != OPEN], SCORES[LABELS == OPEN])
    assert full is not None
    assert 200 < len(across) <= 400
    assert (across[0], up[0], across[-1], up[-1]) == (0, 0, 1, 1)
    points = {(round(x, 6), round(y, 6)) for x, y in zip(*full[:2], strict=True)}
    assert {(round(x, 6), round(y, 6)) for x, y in zip(across, up, strict=True)} <= points
    area = np.sum(np.diff(across) * (up[1:] + up[:-1]) / 2)
    assert area == pytest.approx(auroc(SCORES[LABELS != OPEN], SCORES[LABELS == OPEN]), abs=1e-4)


def test_f_measures_are_those_of_the_metric() -> None:
    drawn = curves(PREDICTIONS, LABELS, SCORES, num_classes=4, known=KNOWN)["f_measures"]
    expected = f_against_threshold(PREDICTIONS, LABELS, SCORES, num_classes=4)
    assert drawn.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(np.array(drawn[name], dtype=float), values, rtol=1e-5)


def test_a_histogram_holds_every_image_once() -> None:
    scores = np.append(SCORES, [1e6, -1e6])  # outliers do not stretch it
    drawn = histogram({"all": scores, "first": scores[:10], "none": scores[:0]})
    edges, shares = np.array(drawn["edges"]), drawn["shares"]
    assert (len(edges), len(shares["all"])) == (BINS + 1, BINS)
    assert edges[-1] - edges[0] < 20
    assert sum(shares["all"]) == pytest.approx(1, abs=1e-5)
    inner = [((scores >= low) & (scores < high)).mean() for low, high in pairwise(edges[1:-1])]
    np.testing.assert_allclose(shares["all"][1:-1], inner, atol=1 / 5000)  # an edge of six digits may move one image
    assert sum(shares["first"]) == pytest.approx(1, abs=1e-5)
    assert shares["none"] is None


def test_a_histogram_of_one_value() -> None:
    drawn = histogram({"all": np.full(4, 2.0)})
    assert max(drawn["shares"]["all"]) == 1
    assert drawn["edges"][0] < 2 < drawn["edges"][-1]


def test_plain_numbers() -> None:
    assert plain(np.array([1 / 3, np.nan, 0.0])) == [0.333333, None, 0.0]


def test_shares_rejected_are_counted_at_the_thresholds_of_the_f_measures() -> None:
    far = np.array([-100.0, 0.0, 100.0])
    drawn = curves(PREDICTIONS, LABELS, SCORES, num_classes=4, known={**KNOWN, "many": LABELS == 7}, far=far)
    grid = np.array(drawn["f_measures"]["threshold"])
    for name, scores in {
        "known": SCORES[LABELS != OPEN],
        "few": SCORES[LABELS == 3],
        "open": SCORES[LABELS < 0],
    }.items():
        share = [(scores > threshold).mean() for threshold in grid]
        np.testing.assert_allclose(drawn["rejection"][name], share, atol=1 / 700)  # six digits may move one image
    assert drawn["rejection"]["many"] is None
    assert drawn["rejection"]["far"][0] == pytest.approx(2 / 3)
    assert drawn["rejection"]["far"][-1] == pytest.approx(1 / 3)
    assert sum(drawn["histogram"]["shares"]["far"]) == pytest.approx(1, abs=1e-5)
