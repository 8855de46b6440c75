import numpy as np
import pytest

from koch_siamese.errors import NanScoreError
from koch_siamese.evaluation.metrics import (
    compute_auc,
    compute_equal_error_rate,
    compute_roc,
)


def test_roc_by_hand():
    # From the top: same, different, same, same, different.
    scores = np.array([1.0, 5.0, 3.0, 4.0, 2.0])
    same = np.array([0, 1, 1, 0, 1])
    false_accepts, true_accepts = compute_roc(scores, same)
    np.testing.assert_allclose(false_accepts, [0, 0, 0.5, 0.5, 0.5, 1])
    np.testing.assert_allclose(true_accepts, [0, 1 / 3, 1 / 3, 2 / 3, 1, 1])
    # Of 6 pairs of a same and a different one, 4 are in the right order.
    assert compute_auc(false_accepts, true_accepts) == pytest.approx(4 / 6)
    # From (0.5, 1/3) to (0.5, 2/3) refusals fall from 2/3 to 1/3 past 1/2.
    rate = compute_equal_error_rate(false_accepts, true_accepts)
    assert rate == pytest.approx(0.5)


def test_constant_scorer_is_worth_nothing():
    roc = compute_roc(np.zeros(6), np.array([0, 1, 0, 1, 1, 1]))
    assert compute_auc(*roc) == 0.5
    assert compute_equal_error_rate(*roc) == 0.5


def test_perfect_and_reversed_scorers():
    same = np.array([0, 0, 1, 1])
    for sign, auc, error in ((1, 1.0, 0.0), (-1, 0.0, 1.0)):
        roc = compute_roc(sign * np.arange(4.0), same)
        assert compute_auc(*roc) == auc
        assert compute_equal_error_rate(*roc) == error


def test_nan_is_an_error():
    with pytest.raises(NanScoreError, match="1 of 2 pairs"):
        compute_roc(np.array([0.0, np.nan]), np.array([0, 1]))
