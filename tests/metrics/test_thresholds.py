"""What a threshold rejects: the exact edge, in the precision of the scores, and a threshold for each class."""

import numpy as np
import pytest
import torch

from oltr.contracts import UserError
from oltr.metrics.thresholds import rejected


@pytest.mark.parametrize("confidence", [0.0, 0.1, 0.3, 0.7, 1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_confidence_is_rejected_exactly_where_torch_finds_it_below(confidence, dtype):
    exact = torch.tensor([confidence], dtype=dtype)
    near = torch.cat([exact, torch.nextafter(exact, exact + 1), torch.nextafter(exact, exact - 1)])
    expected = (near < confidence).numpy()
    np.testing.assert_array_equal(rejected(-near.numpy(), -confidence), expected)
    np.testing.assert_array_equal(rejected(-near.numpy(), np.array([-confidence]), np.zeros(3, int)), expected)
    assert expected.tolist() == [False, False, True]


def test_each_image_meets_the_threshold_of_its_predicted_class():
    scores, predictions = np.array([0.0, 1.0, 2.0, 0.0, 1.0, 2.0]), np.array([0, 0, 0, 2, 2, 2])
    away = rejected(scores, np.array([1.0, -5.0, 0.5]), predictions)
    assert away.tolist() == [False, False, True, False, True, True]
    np.testing.assert_array_equal(rejected(scores, np.full(3, 1.0), predictions), rejected(scores, 1.0))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_largest_number_of_any_precision_accepts_all(dtype):
    scores = np.array([-1, 0, np.finfo(dtype).max], dtype=dtype)
    assert not rejected(scores, np.finfo(np.float64).max).any()
    assert not rejected(scores, float(np.finfo(dtype).max)).any()


def test_what_is_no_threshold_is_refused():
    for threshold in (float("nan"), np.array([0.0, np.nan])):
        with pytest.raises(UserError, match="threshold is not a number"):
            rejected(np.ones(1), threshold)
    with pytest.raises(UserError, match="need the predicted classes"):
        rejected(np.ones(1), np.ones(2))
    with pytest.raises(UserError, match=r"predictions\[0\] is 2"):
        rejected(np.ones(1), np.ones(2), np.array([2]))
    with pytest.raises(UserError, match="scores 1, predictions 2"):
        rejected(np.ones(1), np.ones(2), np.array([0, 1]))
