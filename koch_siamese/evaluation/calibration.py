"""Fits a scorer's thresholds, and measures how good they are. NumPy only."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from koch_siamese.data.characters import Characters
from koch_siamese.evaluation.scoring import EmbeddedDrawings
from koch_siamese.models.thresholds import Thresholds, sigmoid
from koch_siamese.sampling.pairs import (
    CharacterIndex,
    Pairs,
    sample_verification_pairs,
)
from koch_siamese.sampling.trials import Trials, sample_trials

NUM_PAIRS = 10_000  # section 4.2
NUM_ABSENT_TRIALS = 5_000
FALSE_ACCEPTS = 0.05
MIN_WAYS = 20  # extrapolated if validation alphabets have fewer characters
FEW_CHARACTERS = 20  # with fewer, results are unreliable


@dataclasses.dataclass(frozen=True, eq=False)
class Calibration:
    """Thresholds, and the pairs that they were fitted to.

    Attributes:
        thresholds: the thresholds to store with the model.
        pairs: random pairs.
        scores: float64 `[NUM_PAIRS]`, their scores.
        report: the error rates at the thresholds, as in
            `results/thresholds.json`.
    """

    thresholds: Thresholds
    pairs: Pairs
    scores: np.ndarray
    report: dict[str, object]


def calibrate(
    drawings: EmbeddedDrawings, characters: Characters, *, ways: int, seed: int
) -> Calibration:
    """Fits thresholds on characters that took no part in training.

    No threshold of `none_of_these` is below that of `same`, so that a name is
    at least as probable as not.

    Args:
        drawings: the characters' drawings, with the scorer to calibrate.
        characters: their labels.
        ways: the largest number of candidates in trials without the query's
            character.
        seed: the random seed of pairs and trials.

    Raises:
        InputError: there are not enough characters or drawings.
    """
    pairs, trials = sample_calibration(characters, ways=ways, seed=seed)
    scores = drawings.score_pairs(pairs.first, pairs.second)
    absent, present = split_by_presence(
        drawings.score_trials(trials), trials.answer
    )
    threshold = compute_same_threshold(scores, pairs.same)
    refusals = compute_absence_thresholds(absent, FALSE_ACCEPTS, MIN_WAYS)
    thresholds = Thresholds(
        threshold,
        tuple(max(threshold, refusal) for refusal in refusals),
        compute_slope(scores, pairs.same, threshold, _count_distinct(pairs)),
    )
    report = {
        "same": measure_same(scores, pairs.same, thresholds),
        "none_of_these": measure_absence(absent, present, thresholds),
        "num_characters": characters.num_characters,
    }
    return Calibration(thresholds, pairs, scores, report)


def _count_distinct(pairs):
    """Counts distinct pairs, different and same; small sets repeat theirs."""
    drawings = np.sort([pairs.first, pairs.second], axis=0)
    _, rows = np.unique(drawings, axis=1, return_index=True)
    return np.bincount(pairs.same[rows].astype(int), minlength=2)


def sample_calibration(
    characters: Characters, *, ways: int, seed: int
) -> tuple[Pairs, Trials]:
    """Samples the pairs and the trials that thresholds are fitted to.

    Args:
        characters, ways, seed: see `calibrate`.

    Returns:
        The pairs, and trials with one candidate more than `ways` or, if there
        are fewer, all characters of an alphabet.

    Raises:
        InputError: there are not enough characters or drawings.
    """
    pairs = sample_verification_pairs(
        characters.character, characters.alphabet, NUM_PAIRS, seed
    )
    index = CharacterIndex.from_labels(
        characters.character, characters.alphabet
    )
    trials = sample_trials(
        characters.character,
        characters.alphabet,
        characters.drawer,
        num_trials=NUM_ABSENT_TRIALS,
        ways=min(ways + 1, index.num_characters.max()),
        shots=1,
        rng=np.random.default_rng(seed),
    )
    return pairs, trials


def split_by_presence(
    scores: np.ndarray, answer: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Makes trials without the query's character, and as many with it.

    Args:
        scores: float `[num_trials, ways + 1]`, of trials.
        answer: int `[num_trials]`, the columns of the query's character.

    Returns:
        absent: `[num_trials, ways]`, other characters of the alphabet.
        present: `[num_trials, ways]`, the query's own character in column 0,
            then the others except the last one.
    """
    is_own = np.arange(scores.shape[1]) == answer[:, np.newaxis]
    absent = scores[~is_own].reshape(len(scores), -1)
    return absent, np.c_[scores[is_own], absent[:, :-1]]


def measure_same(
    scores: np.ndarray, same: np.ndarray, thresholds: Thresholds
) -> dict[str, float]:
    """Measures the threshold of `same` on pairs; shares within 0..1."""
    accepted, same = scores >= thresholds.same, same.astype(bool)
    return {
        "logit": thresholds.same,
        "slope": thresholds.slope,
        "calibration_error": _measure_calibration(scores, same, thresholds),
        "accuracy": float((accepted == same).mean()),
        "false_accepts": float(accepted[~same].mean()),
        "false_rejects": float(1 - accepted[same].mean()),
        "num_pairs": len(scores),
    }


def _measure_calibration(scores, same, thresholds) -> float:
    """Computes the expected calibration error over ten bins."""
    probability = thresholds.probability(scores)
    bins = np.minimum((10 * probability).astype(int), 9)
    gaps = np.bincount(bins, probability - same, minlength=10)
    return float(np.abs(gaps).sum() / len(scores))


def measure_absence(
    absent: np.ndarray, present: np.ndarray, thresholds: Thresholds
) -> dict[str, float]:
    """Measures `none_of_these` on trials; shares within 0..1."""
    ways = absent.shape[1]
    threshold = thresholds.for_ways(ways)
    best = present.max(axis=1)
    correct = (present[:, 0] == best) & (best >= threshold)
    return {
        "ways": ways,
        "logit": threshold,
        "false_accepts": float((absent.max(axis=1) >= threshold).mean()),
        "right_where_present": float(correct.mean()),
        "num_trials": len(absent),
    }


def compute_same_threshold(scores: np.ndarray, same: np.ndarray) -> float:
    """Chooses the threshold that classifies most pairs correctly (section 4.2).

    Args:
        scores: float `[num_pairs]`.
        same: `[num_pairs]`, 1 = same, 0 = different; both occur.

    Returns:
        The threshold, midway between two scores; the lowest of equally good
        ones.
    """
    order = np.argsort(scores)
    ranked, same = scores[order], same[order].astype(bool)
    # Correct answers if the first k are called different, the rest same.
    correct = np.r_[0, np.cumsum(~same)] + np.r_[0, np.cumsum(same[::-1])][::-1]
    # Tied scores are on the same side of a threshold.
    possible = np.r_[True, ranked[1:] > ranked[:-1], True]
    cut = int(np.argmax(np.where(possible, correct, -1)))
    return _midway(ranked, cut)


def compute_slope(
    scores: np.ndarray,
    same: np.ndarray,
    threshold: float,
    num_distinct: Sequence[int],
) -> float:
    """Fits how steeply the probability of `same` rises with the score.

    A logistic curve through 1/2 at the threshold is fitted by maximum
    likelihood, to smoothed targets instead of 0 and 1 (Platt 1999, but with a
    fixed midpoint). The fewer pairs, the flatter it is, even if they are
    classified without mistakes.

    Args:
        scores: float `[num_pairs]`.
        same: `[num_pairs]`, 1 = same, 0 = different; both occur.
        threshold: the threshold of `same`.
        num_distinct: the numbers of distinct pairs, different and same ones.

    Returns:
        A positive number.
    """
    num_different, num_same = num_distinct
    targets = np.array(
        [1 / (num_different + 2), (num_same + 1) / (num_same + 2)]
    )
    target, margin = targets[same.astype(int)], scores - threshold
    spread = np.abs(margin).mean() or 1.0
    low, high = np.log(1e-3 / spread), np.log(1e3 / spread)
    for _ in range(60):  # the likelihood's derivative falls with the slope
        middle = (low + high) / 2
        probability = sigmoid(np.exp(middle) * margin)
        rises = (margin * (target - probability)).sum() > 0
        low, high = (middle, high) if rises else (low, middle)
    return float(np.exp((low + high) / 2))


def compute_absence_thresholds(
    scores: np.ndarray, false_accepts: float = 0.05, min_ways: int = 1
) -> tuple[float, ...]:
    """Computes thresholds of "none of these" by the number of candidates.

    Args:
        scores: float `[num_trials, ways]`, all of wrong candidates: the
            query's character is absent.
        false_accepts: the fraction of such queries, from 0 to below 1, whose
            best candidate may reach the threshold.
        min_ways: compute thresholds for at least this many candidates. Beyond
            `ways` they are extrapolated, as if each further batch of `ways`
            candidates had an independent best score.

    Returns:
        The thresholds for 1, 2, ... candidates, up to the larger of `ways` and
        `min_ways`; never decreasing.
    """
    best = np.sort(np.maximum.accumulate(scores, axis=1), axis=0)
    num_trials, measured = best.shape

    def compute_threshold(ways):
        column = best[:, min(ways, measured) - 1]
        refused = (1 - false_accepts) ** min(1, measured / ways)
        cut = int(np.ceil(refused * num_trials))
        # Above all scores that tie with the last refused one.
        return _midway(
            column, np.searchsorted(column, column[cut - 1], "right")
        )

    ways = range(1, max(measured, min_ways) + 1)
    # Ties can make the middle of a wider gap lower.
    thresholds = np.maximum.accumulate([compute_threshold(x) for x in ways])
    return tuple(thresholds.tolist())


def _midway(ranked, cut):
    """The middle of the values around `cut`; at an end, 1/2 beyond it."""
    low = ranked[cut - 1] if cut > 0 else ranked[0] - 1
    high = ranked[cut] if cut < len(ranked) else ranked[-1] + 1
    return float(low) + (float(high) - float(low)) / 2
