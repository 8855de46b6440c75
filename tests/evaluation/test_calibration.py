import numpy as np
import pytest
from conftest import make_characters

from koch_siamese.errors import InputError
from koch_siamese.evaluation.calibration import (
    calibrate,
    compute_absence_thresholds,
    compute_same_threshold,
    compute_slope,
    measure_absence,
    measure_same,
    sample_calibration,
    split_by_presence,
)
from koch_siamese.evaluation.scoring import EmbeddedDrawings
from koch_siamese.models.thresholds import Thresholds


def test_trials_are_split_by_presence():
    scores = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    absent, present = split_by_presence(scores, np.array([1, 2]))
    assert absent.tolist() == [[1, 3], [4, 5]]
    assert present.tolist() == [[2, 1], [6, 4]]


def test_error_rates_by_hand():
    thresholds = Thresholds(0.0, (1.0, 2.0), slope=np.log(3))
    scores = np.array([0.0, 1.0, -1.0, 1.0, -1.0])
    same = np.array([1, 1, 1, 0, 0])
    # The probabilities are 1/2, 3/4, 1/4, 3/4 and 1/4. In three bins, their
    # sums are off by 1/2 each.
    assert measure_same(scores, same, thresholds) == pytest.approx(
        {
            "logit": 0.0,
            "slope": np.log(3),
            "calibration_error": 1.5 / 5,
            "accuracy": 3 / 5,
            "false_accepts": 1 / 2,
            "false_rejects": 1 / 3,
            "num_pairs": 5,
        }
    )
    absent = np.array([[2.0, 0.0], [1.0, 1.0], [3.0, 0.0], [0.0, 2.0]])
    # Too low, beaten by another candidate, and twice right.
    present = np.array([[1.0, 0.0], [2.0, 3.0], [2.0, 0.0], [3.0, 3.0]])
    assert measure_absence(absent, present, thresholds) == {
        "ways": 2,
        "logit": 2.0,
        "false_accepts": 3 / 4,
        "right_where_present": 1 / 2,
        "num_trials": 4,
    }


def test_same_threshold_by_hand():
    scores = np.array([3.0, -1.0, 0.0, 1.0, 2.0])
    same = np.array([1, 0, 1, 0, 1])
    # A threshold between -1 and 0 makes one mistake (the different pair at 1),
    # as does one between 1 and 2; the lower one is chosen.
    assert compute_same_threshold(scores, same) == -0.5
    # A threshold between 1 and 2 makes no mistake.
    assert compute_same_threshold(scores, scores > 1) == 1.5


def test_same_threshold_does_not_separate_ties():
    scores, same = np.array([0.0, 0.0, 0.0, 4.0]), np.array([0, 0, 1, 1])
    assert compute_same_threshold(scores, same) == 2.0
    # Below a constant or above it, half are right; the lower one is chosen.
    assert compute_same_threshold(np.zeros(4), same) == -0.5


def test_same_threshold_of_reversed_scores_is_right_for_half():
    # Scores are reversed, so no threshold classifies more than half correctly.
    scores, same = np.array([1.0, 2.0]), np.array([1, 0])
    threshold = compute_same_threshold(scores, same)
    assert threshold == 0.5
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
    # 5 % of 20 scores: only the highest, 20, may be accepted.
    scores = np.arange(1.0, 21.0)[::-1, np.newaxis]
    assert compute_absence_thresholds(scores, 0.05) == (19.5,)
    assert compute_absence_thresholds(scores, 0.0) == (20.5,)


def test_absence_thresholds_for_more_candidates_than_measured():
    scores = np.arange(1.0, 101.0)[:, np.newaxis]
    # Of n candidates, each must be refused at a rate of the n-th root of 0.95:
    # 95, 97.5, 98.3 and 98.7 %.
    expected = (95.5, 98.5, 99.5, 99.5)
    assert compute_absence_thresholds(scores, 0.05, 4) == expected
    # Measured with two candidates, it also holds for eight of the same kind.
    rng = np.random.default_rng(0)
    strangers = rng.normal(size=(50_000, 8))
    *_, last = compute_absence_thresholds(strangers[:, :2], 0.05, 8)
    assert (strangers.max(axis=1) >= last).mean() == pytest.approx(
        0.05, abs=5e-3
    )


def test_absence_threshold_is_above_tied_scores():
    scores = np.array([[1.0], [2.0], [3.0], [3.0], [3.0], [4.0]])
    # Half may be accepted, which would be three if the scores of 3 did not tie.
    assert compute_absence_thresholds(scores, 0.5) == (3.5,)


def test_absence_thresholds_never_decrease():
    # With one candidate, the middle is that of 1 and 5; with two, of 1 and 2.
    scores = np.array([[1.0, 1.0], [1.0, 1.0], [1.0, 2.0], [5.0, 5.0]])
    assert compute_absence_thresholds(scores, 0.5) == (3.0, 3.0)


def test_last_threshold_serves_more_candidates():
    thresholds = Thresholds(0.0, (1.0, 2.0, 3.0))
    assert [thresholds.for_ways(n) for n in (1, 2, 3, 4, 99)] == [1, 2, 3, 3, 3]
    with pytest.raises(ValueError, match="ways must be at least 1; got 0"):
        thresholds.for_ways(0)
    # The slope is 1 if it is not known: the probability of ln 3 is 3/4.
    assert thresholds.probability(np.log(3)) == pytest.approx(3 / 4)


def test_slope_by_hand():
    # At a distance of 1 from the threshold, three of four pairs are classified
    # correctly. With many pairs, the probability there is 3/4 and the slope
    # ln 3.
    scores = np.array([1.0, 1.0, 1.0, -1.0, -1.0, -1.0, -1.0, 1.0]) + 5
    same = np.array([1, 1, 1, 1, 0, 0, 0, 0])
    many, labels = np.tile(scores, 10_000), np.tile(same, 10_000)
    num = (40_000, 40_000)
    slope = compute_slope(many, labels, 5.0, num)
    assert slope == pytest.approx(np.log(3), rel=1e-4)
    flat = compute_slope(10 * many, labels, 50.0, num)
    assert flat == pytest.approx(slope / 10)
    # With four pairs of each kind, the targets are 5/6 and 1/6. Their mean at
    # a distance of 1 is (3 x 5 + 1) / 24 = 2/3, so the slope is ln 2.
    for these_scores, these_labels in ((scores, same), (many, labels)):
        slope = compute_slope(these_scores, these_labels, 5.0, (4, 4))
        assert slope == pytest.approx(np.log(2))
    thresholds = Thresholds(5.0, (0.0,), slope)
    np.testing.assert_allclose(
        thresholds.probability(np.array([6.0, 5.0, 4.0])),
        [2 / 3, 0.5, 1 / 3],
    )


def test_slope_of_separable_pairs_grows_with_their_number():
    scores, same = np.array([-1.0, -1.0, 1.0, 1.0]), np.array([0, 0, 1, 1])
    # The targets are 3/4 and 1/4.
    assert compute_slope(scores, same, 0.0, (2, 2)) == pytest.approx(np.log(3))
    slope = compute_slope(scores, same, 0.0, (98, 98))
    assert slope == pytest.approx(np.log(99))
    assert 0 < compute_slope(-scores, same, 0.0, (2, 2)) < 0.01
    assert compute_slope(np.zeros(2), np.array([0, 1]), 0.0, (1, 1)) > 0


def test_probabilities_are_calibrated():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=20_000)
    same = rng.random(20_000) < 1 / (1 + np.exp(-3 * (scores - 0.5)))
    slope = compute_slope(scores, same, 0.5, np.bincount(same))
    assert slope == pytest.approx(3, rel=0.05)


class Distance:
    """Scores a pair by the difference of their mean gray values."""

    def embed(self, images):
        return images.mean(axis=(1, 2), dtype=np.float32)

    def score(self, first, second):
        return -np.abs(first - second)[:, 0].astype(float)


def test_pairs_and_trials_of_a_calibration(monkeypatch):
    monkeypatch.setattr(
        "koch_siamese.evaluation.calibration.NUM_ABSENT_TRIALS", 500
    )
    characters = make_characters((3, 6), num_drawers=4)
    found = calibrate(
        EmbeddedDrawings(Distance(), characters.images),
        characters,
        ways=4,
        seed=0,
    )
    pairs, alphabet = found.pairs, characters.alphabet
    np.testing.assert_array_equal(alphabet[pairs.first], alphabet[pairs.second])
    assert found.report["same"]["num_pairs"] == 10_000
    assert found.report["num_characters"] == 9
    refusals = found.report["none_of_these"]
    assert (refusals["ways"], refusals["num_trials"]) == (4, 500)
    assert 0.03 < refusals["false_accepts"] <= 0.05
    # One candidate more than the ways, if there are as many.
    for ways, expected in ((2, 3), (4, 5), (9, 6)):
        other, trials = sample_calibration(characters, ways=ways, seed=1)
        assert trials.ways == expected
    assert not np.array_equal(other.first, pairs.first)
    _, other = sample_calibration(characters, ways=9, seed=2)
    assert not np.array_equal(other.query, trials.query)


def test_calibration_on_few_separable_drawings_is_not_overconfident():
    characters = make_characters((6,), num_drawers=3, side=1)
    gray = 40 * characters.character + characters.drawer
    images = gray.astype(np.uint8)[:, np.newaxis, np.newaxis, np.newaxis]
    found = calibrate(
        EmbeddedDrawings(Distance(), images), characters, ways=5, seed=0
    )
    # Same pairs score -1 or -2, different ones -38 or less.
    thresholds = found.thresholds
    assert thresholds.same == -20
    # There are 18 distinct same pairs and no mistakes: the target is 19/20.
    probability = thresholds.probability(np.array([-1.0, -2.0]))
    assert 0.93 < probability.min() < probability.max() <= 0.95
    # Unknown characters score -38 or less, but no threshold is below `same`.
    assert thresholds.none_of_these == (-20,) * 20
    absence = found.report["none_of_these"]
    assert (absence["false_accepts"], absence["right_where_present"]) == (0, 1)


@pytest.mark.parametrize("slope", [0.0, -1.0, np.nan])
def test_a_slope_must_be_positive(slope):
    with pytest.raises(InputError, match=f"slope is {slope}: expected a pos"):
        Thresholds(0.0, (1.0,), slope)
