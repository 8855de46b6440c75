import numpy as np
import pytest
import scipy.stats

from koch_siamese.errors import ScoreError
from koch_siamese.evaluation.metrics import (
    bootstrap_accuracy,
    compute_auc,
    compute_class_accuracies,
    compute_equal_error_rate,
    compute_roc,
    compute_tar_at_far,
    rank_pairs,
)


def test_roc_by_hand():
    # From the highest score: same, different, same, same, different.
    scores = np.array([1.0, 5.0, 3.0, 4.0, 2.0])
    same = np.array([0, 1, 1, 0, 1])
    false_accepts, true_accepts = compute_roc(scores, same)
    np.testing.assert_allclose(false_accepts, [0, 0, 0.5, 0.5, 0.5, 1])
    np.testing.assert_allclose(true_accepts, [0, 1 / 3, 1 / 3, 2 / 3, 1, 1])
    # 4 of the 6 combinations of a same and a different pair are ranked right.
    assert compute_auc(false_accepts, true_accepts) == pytest.approx(4 / 6)
    # From (0.5, 1/3) to (0.5, 2/3), the false reject rate falls from 2/3 to 1/3
    # and passes 1/2.
    rate = compute_equal_error_rate(false_accepts, true_accepts)
    assert rate == pytest.approx(0.5)


def test_constant_scorer_has_an_auc_of_one_half():
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
    with pytest.raises(ScoreError, match="1 of 2 pairs"):
        compute_roc(np.array([0.0, np.nan]), np.array([0, 1]))


def test_roc_with_ties_by_hand():
    # From the highest score: same; same and different; two different; same.
    scores = np.array([2.0, 3.0, 1.0, 1.0, 2.0, 0.0])
    same = np.array([0, 1, 0, 0, 1, 1])
    roc = compute_roc(scores, same)
    np.testing.assert_allclose(roc[0], [0, 0, 1 / 3, 1, 1])
    np.testing.assert_allclose(roc[1], [0, 1 / 3, 2 / 3, 2 / 3, 1])
    # Of the 9 combinations, 3 + 2.5 are ranked right; a tie counts 1/2.
    assert compute_auc(*roc) == pytest.approx(5.5 / 9)
    # At (1/3, 2/3), false accepts and false rejects are both 1/3.
    assert compute_equal_error_rate(*roc) == pytest.approx(1 / 3)
    assert compute_tar_at_far(*roc, 0.33) == pytest.approx(1 / 3)
    assert compute_tar_at_far(*roc, 1 / 3) == pytest.approx(2 / 3)
    assert compute_tar_at_far(*roc, 0.99) == pytest.approx(2 / 3)
    assert compute_tar_at_far(*roc, 1) == 1


@pytest.mark.parametrize(
    ("num_different", "rate", "expected"),
    [
        (100, 0.01, 0.5),  # exactly one of 100 may be accepted
        (99, 0.01, 0.25),  # one of 99 is more than 1 %, so none may
        (199, 0.01, 0.5),  # one may; two are more than 1 %
        (200, 0.01, 0.75),
        (1000, 0.001, 0.5),
        (999, 0.001, 0.25),
    ],
)
def test_tar_at_the_boundary_of_a_far(num_different, rate, expected):
    # Different pairs score -1, -2, ... One same pair is above all of these, two
    # are between the first three, and the last one ties with the third.
    scores = np.r_[-np.arange(1.0, num_different + 1), -0.5, -1.5, -2.5, -3.0]
    same = np.r_[np.zeros(num_different), np.ones(4)]
    assert compute_tar_at_far(*compute_roc(scores, same), rate) == expected
    just_below = np.nextafter(1 / num_different, 0)
    roc = compute_roc(scores, same)
    assert compute_tar_at_far(*roc, just_below) == 0.25
    assert compute_tar_at_far(*roc, 1 / num_different) == 0.5


@pytest.mark.parametrize("seed", range(20))
def test_weighted_pairs_equal_repeated_pairs(seed):
    rng = np.random.default_rng(seed)
    num = int(rng.integers(2, 60))
    # Few distinct scores, so that many tie.
    scores = rng.integers(1 + seed, size=num).astype(float)
    same = np.r_[0, 1, rng.integers(2, size=num - 2)]
    weights = np.r_[1, 1, rng.integers(4, size=num - 2)]
    repeated_roc = compute_roc(
        np.repeat(scores, weights), np.repeat(same, weights)
    )
    num_pairs = same @ weights * ((1 - same) @ weights)
    statistic = scipy.stats.mannwhitneyu(
        np.repeat(scores[same == 1], weights[same == 1]),
        np.repeat(scores[same == 0], weights[same == 0]),
    ).statistic
    ranked = rank_pairs(scores, same)
    for pairs in (ranked, ranked.drop_intermediate()):
        counts = pairs.count_accepted(weights[pairs.order])
        roc = [count / count[-1] for count in counts]
        assert compute_auc(*roc) == pytest.approx(statistic / num_pairs)
        assert compute_equal_error_rate(*roc) == pytest.approx(
            compute_equal_error_rate(*repeated_roc)
        )
        for rate in (0, 0.1, 0.25, 0.5, 1):
            assert compute_tar_at_far(*roc, rate) == (
                compute_tar_at_far(*repeated_roc, rate)
            )


def test_intermediate_thresholds_are_dropped():
    # same, same | same and different | different, different | same
    scores = np.array([5.0, 4.0, 3.0, 3.0, 2.0, 1.0, 0.0])
    pairs = rank_pairs(scores, np.array([1, 1, 1, 0, 0, 0, 1]))
    np.testing.assert_array_equal(pairs.last, [0, 1, 3, 4, 5, 6])
    np.testing.assert_array_equal(pairs.drop_intermediate().last, [1, 3, 5, 6])


def test_class_accuracies_by_hand():
    rows = compute_class_accuracies(
        np.array([7, 2, 7, 7, 7]), np.array([1, 0.5, 1, 0, 1])
    )
    # Wilson's interval for 3 of 4, with z^2 = 3.8415:
    # (0.75 + z^2 / 8 -+ z sqrt(0.1875 / 4 + z^2 / 64)) / (1 + z^2 / 4).
    assert [row["class"] for row in rows] == [2, 7]
    assert [row["num_trials"] for row in rows] == [1, 4]
    assert [row["accuracy"] for row in rows] == [0.5, 0.75]
    assert rows[1]["ci95_low"] == pytest.approx(0.3006, abs=1e-4)
    assert rows[1]["ci95_high"] == pytest.approx(0.9544, abs=1e-4)


@pytest.mark.parametrize("trials_of_a_class", [1, 100])
def test_bootstrap_counts_classes_and_not_their_trials(trials_of_a_class):
    classes = np.arange(10)
    credit = np.repeat(classes % 2, trials_of_a_class)
    interval = bootstrap_accuracy(credit, np.repeat(classes, trials_of_a_class))
    # Of ten fair coins, at most 1 is heads in 1.1 % and at most 2 in 5.5 %.
    assert interval == (0.2, 0.8)


def test_bootstrap_of_an_accuracy_needs_ten_classes():
    assert bootstrap_accuracy(np.ones(9), np.arange(9)) is None
    assert bootstrap_accuracy(np.ones(10), np.arange(10)) == (1.0, 1.0)


def test_bootstrap_of_an_accuracy_is_that_of_published_results():
    interval = bootstrap_accuracy(np.linspace(0, 1, 30), np.arange(30))
    # By the normal distribution: 0.5 -+ 1.96 sqrt(0.0891 / 30), 0.393 to 0.607.
    assert interval == pytest.approx((0.395374, 0.605747), abs=1e-6)
