"""The conformal threshold: its p-value image by image, and the share of known images that it promises."""

import json
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oltr.contracts import UserError
from oltr.metrics.thresholds import rejected
from oltr.thresholds.conformal import Conformal
from tests.thresholds.held_out import held_out


def p_values(calibration, scores):
    return [Fraction(1 + int(np.sum(calibration >= score)), len(calibration) + 1) for score in scores]


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.integers(-6, 6), min_size=1, max_size=70),
    st.sampled_from(["0.01", "0.05", "0.07", "0.1", "0.41", "0.5", "0.9"]),
)
def test_an_image_is_rejected_where_its_p_value_is_at_most_alpha(values, alpha):
    calibration = np.array(values, dtype=np.float32) / 4
    scores = np.arange(-8, 9, dtype=np.float32) / 4
    expected = [p <= Fraction(alpha) for p in p_values(calibration, scores)]
    assert rejected(scores, Conformal(alpha=float(alpha))(held_out(calibration))).tolist() == expected


@pytest.mark.parametrize(("images", "alpha"), [(19, 0.05), (50, 0.1), (99, 0.05), (10, 0.3)])
def test_a_new_known_image_is_rejected_as_often_as_promised(images, alpha):
    draws = 4000
    scores = np.random.default_rng(images).normal(size=(draws, images + 1))
    rule = Conformal(alpha=alpha)
    away = np.mean([row[0] > rule(held_out(row[1:])) for row in scores])
    exact = np.floor((images + 1) * alpha + 1e-9) / (images + 1)  # without ties it is a whole number of ranks
    assert exact <= alpha
    assert abs(away - exact) < 4 * np.sqrt(exact * (1 - exact) / draws)


def test_the_promise_holds_within_each_predicted_class():
    draws, rule = 1500, Conformal(alpha=0.2, by="class")
    generator = np.random.default_rng(1)
    away = np.empty((draws, 3))
    for row in away:
        predictions = np.repeat([0, 1, 2], [9, 24, 14])
        scores = generator.normal(size=len(predictions)) + predictions * 3
        row[:] = generator.normal(size=3) + np.arange(3) * 3 > rule(held_out(scores, predictions))
    for share, images in zip(away.mean(axis=0), (9, 24, 14), strict=True):
        exact = np.floor((images + 1) * 0.2 + 1e-9) / (images + 1)
        assert abs(share - exact) < 4 * np.sqrt(exact * (1 - exact) / draws)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_too_few_images_reject_nothing_and_the_threshold_can_be_written_down(dtype):
    most = np.finfo(dtype).max
    assert Conformal(alpha=0.05)(held_out(np.arange(19, dtype=dtype))) == 18
    threshold = Conformal(alpha=0.05)(held_out(np.arange(18, dtype=dtype)))
    assert threshold == most
    assert not rejected(np.array([1e30, most], dtype=dtype), json.loads(json.dumps(threshold, allow_nan=False))).any()


def test_classes_and_groups_have_thresholds_of_their_own_images():
    predictions = np.repeat([0, 1, 3], [19, 18, 2])
    given = held_out(np.arange(39.0), predictions, num_classes=4)
    most = np.finfo(np.float64).max
    assert Conformal(alpha=0.05, by="class")(given).tolist() == [18, most, most, most]
    # the first and the last class are one shot group: 21 images, of which the rank of 21 is asked
    assert Conformal(alpha=0.05, by="group")(given).tolist() == [38, most, most, 38]
    assert Conformal(alpha=0.05)(given) == 37


def test_labels_and_options():
    assert [Conformal(alpha=0.1, by=by).label for by in (None, "class", "group")] == [
        *("conformal_0.1", "conformal_0.1_by_class", "conformal_0.1_by_group")
    ]
    assert Conformal(by="group").rule.endswith("rejected, by conformal p-value, within each predicted shot group")
    with pytest.raises(UserError, match="by must be class, group or null, not 'shot'"):
        Conformal(by="shot")
