import numpy as np
import pytest

from koch_siamese.thresholds import (
    Thresholds,
    compute_absence_thresholds,
    compute_same_threshold,
)


def test_same_threshold_by_hand():
    scores = np.array([3.0, -1.0, 0.0, 1.0, 2.0])
    same = np.array([1, 0, 1, 0, 1])
    # -1 | 0 1 2 3: one mistake (1.0 is different), as between 1 and 2; the
    # lower one is taken.
    assert compute_same_threshold(scores, same) == -0.5
    # Told apart without mistakes between 1 and 2.
    assert compute_same_threshold(scores, scores > 1) == 1.5


def test_same_threshold_does_not_part_equal_scores():
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
def test_absence_thresholds_keep_their_promise(num_trials):
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


def test_absence_threshold_is_above_scores_that_tie():
    scores = np.array([[1.0], [2.0], [3.0], [3.0], [3.0], [4.0]])
    # Half may be accepted: three, were the 3.0 not alike.
    assert compute_absence_thresholds(scores, 0.5) == (3.5,)


def test_threshold_for_more_candidates_than_were_measured():
    thresholds = Thresholds(0.0, (1.0, 2.0, 3.0))
    assert [thresholds.for_ways(n) for n in (1, 2, 3, 4, 99)] == [1, 2, 3, 3, 3]
