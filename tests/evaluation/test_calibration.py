import numpy as np
import pytest

from koch_siamese.evaluation.calibration import (
    compute_absence_thresholds,
    compute_same_threshold,
    compute_slope,
)
from koch_siamese.models.thresholds import Thresholds, compute_probability


def test_same_threshold_by_hand():
    scores = np.array([3.0, -1.0, 0.0, 1.0, 2.0])
    same = np.array([1, 0, 1, 0, 1])
    # -1 | 0 1 2 3: one mistake (1.0 is different), as between 1 and 2; the
    # lower one is taken.
    assert compute_same_threshold(scores, same) == -0.5
    # Told apart without mistakes between 1 and 2.
    assert compute_same_threshold(scores, scores > 1) == 1.5


def test_same_threshold_does_not_separate_ties():
    scores, same = np.array([0.0, 0.0, 0.0, 4.0]), np.array([0, 0, 1, 1])
    assert compute_same_threshold(scores, same) == 2.0
    constant = np.zeros(4)
    threshold = compute_same_threshold(constant, same)
    assert (constant >= threshold).all() or (constant < threshold).all()


def test_same_threshold_of_a_useless_scorer_is_beyond_its_scores():
    # Reversed scores: calling all the same is right for half, more than any.
    scores, same = np.array([1.0, 2.0]), np.array([1, 0])
    threshold = compute_same_threshold(scores, same)
    assert ((scores >= threshold) == same).mean() == 0.5


@pytest.mark.parametrize("num_trials", [20, 99, 1000])
def test_absence_thresholds_accept_the_promised_rate(num_trials):
    scores = np.random.default_rng(0).normal(size=(num_trials, 7))
    thresholds = compute_absence_thresholds(scores, 0.05)
    assert len(thresholds) == 7
    assert list(thresholds) == sorted(thresholds)
    for ways, threshold in enumerate(thresholds, start=1):
        accepted = (scores[:, :ways].max(axis=1) >= threshold).sum()
        assert accepted == int(0.05 * num_trials + 1e-9)


def test_absence_threshold_by_hand():
    # Of 1 to 20 one may be accepted: the highest.
    scores = np.arange(1.0, 21.0)[::-1, np.newaxis]
    assert compute_absence_thresholds(scores, 0.05) == (19.5,)
    assert compute_absence_thresholds(scores, 0.0) == (20.5,)


def test_absence_thresholds_for_more_candidates_than_measured():
    scores = np.arange(1.0, 101.0)[:, np.newaxis]
    # Refused by each of n: the n-th root of 0.95, or 95, 97.5, 98.3, 98.7 %.
    expected = (95.5, 98.5, 99.5, 99.5)
    assert compute_absence_thresholds(scores, 0.05, 4) == expected
    # Measured on two candidates, it holds for eight that are as they are.
    rng = np.random.default_rng(0)
    strangers = rng.normal(size=(50_000, 8))
    *_, last = compute_absence_thresholds(strangers[:, :2], 0.05, 8)
    assert (strangers.max(axis=1) >= last).mean() == pytest.approx(
        0.05, abs=5e-3
    )


def test_absence_threshold_is_above_scores_that_tie():
    scores = np.array([[1.0], [2.0], [3.0], [3.0], [3.0], [4.0]])
    # Half may be accepted: three, were the 3.0 not alike.
    assert compute_absence_thresholds(scores, 0.5) == (3.5,)


def test_threshold_for_more_candidates_than_were_measured():
    thresholds = Thresholds(0.0, (1.0, 2.0, 3.0))
    assert [thresholds.for_ways(n) for n in (1, 2, 3, 4, 99)] == [1, 2, 3, 3, 3]


def test_slope_by_hand():
    # Three of four pairs at a distance of 1 are classified correctly: s = ln 3
    # makes the probability there 3/4.
    scores = np.array([1.0, 1.0, 1.0, -1.0, -1.0, -1.0, -1.0, 1.0]) + 5
    same = np.array([1, 1, 1, 1, 0, 0, 0, 0])
    slope = compute_slope(scores, same, 5.0)
    assert slope == pytest.approx(np.log(3))
    assert compute_slope(10 * scores, same, 50.0) == pytest.approx(slope / 10)
    thresholds = Thresholds(5.0, (0.0,), slope)
    np.testing.assert_allclose(
        compute_probability(np.array([6.0, 5.0, 4.0]), thresholds),
        [0.75, 0.5, 0.25],
    )


@pytest.mark.parametrize("turned", [1, -1])
def test_slope_is_finite_for_separable_pairs(turned):
    scores = turned * np.array([-2.0, -1.0, 1.0, 2.0])
    slope = compute_slope(scores, np.array([0, 0, 1, 1]), 0.0)
    assert (slope > 100) if turned == 1 else (0 < slope < 0.01)
    assert compute_slope(np.zeros(2), np.array([0, 1]), 0.0) > 0


def test_probabilities_are_calibrated():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=20_000)
    same = rng.random(20_000) < 1 / (1 + np.exp(-3 * (scores - 0.5)))
    assert compute_slope(scores, same, 0.5) == pytest.approx(3, rel=0.05)
