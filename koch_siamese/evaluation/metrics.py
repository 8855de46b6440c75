"""Metrics of scores: accuracy, intervals, ROC. NumPy only."""

from typing import NamedTuple

import numpy as np

from koch_siamese.errors import ScoreError

NUM_RESAMPLES = 1000
MIN_CLASSES = 10  # with fewer, resampling says little


def compute_credit(scores: np.ndarray, answer: np.ndarray) -> np.ndarray:
    """Computes the credit of each trial, from 0 to 1.

    An answer that ties with others at the top shares the credit with them, so a
    constant scorer earns exactly 1 / ways, wherever the answer is.

    Args:
        scores: float `[num_trials, ways]`, higher is more alike.
        answer: int `[num_trials]`.

    Returns:
        float64 `[num_trials]`.

    Raises:
        ScoreError: a score is NaN.
    """
    _refuse_nan(np.isnan(scores).any(axis=1), "trials")
    best = scores == scores.max(axis=1, keepdims=True)
    won = best[np.arange(len(scores)), answer]
    return won / best.sum(axis=1)


def _refuse_nan(is_nan, kind):
    if is_nan.any():
        raise ScoreError(
            f"{is_nan.sum()} of {len(is_nan)} {kind} have scores that are not "
            "numbers (NaN): the model is broken."
        )


def compute_margins(scores: np.ndarray, answer: np.ndarray) -> np.ndarray:
    """Computes the margin of each answer over the best other candidate.

    Args:
        scores: float `[num_trials, ways]`, two ways or more.
        answer: int `[num_trials]`.

    Returns:
        float `[num_trials]`, negative if the trial is lost.
    """
    is_answer = np.arange(scores.shape[1]) == answer[:, np.newaxis]
    rival = np.where(is_answer, -np.inf, scores).max(axis=1)
    return scores[is_answer] - rival


def wilson_interval(num_correct: float, num_trials: int) -> tuple[float, float]:
    """Computes Wilson's 95 % interval for a fraction of correct answers.

    Args:
        num_correct: the number of correct answers, shared credits included.
        num_trials: the number of all answers, at least 1.

    Returns:
        Lower and upper end, within 0..1.
    """
    z = 1.959964  # the normal quantile for 95 %
    share = num_correct / num_trials
    center = share + z**2 / (2 * num_trials)
    spread = z * np.sqrt(
        share * (1 - share) / num_trials + (z / (2 * num_trials)) ** 2
    )
    scale = 1 + z**2 / num_trials
    low, high = (center - spread) / scale, (center + spread) / scale
    # Rounding errors would blur the exact ends, 0 and 1.
    return (
        max(0.0, float(low)) if num_correct > 0 else 0.0,
        min(1.0, float(high)) if num_correct < num_trials else 1.0,
    )


def bootstrap_accuracy(
    credit: np.ndarray, classes: np.ndarray, seed: int = 0
) -> tuple[float, float] | None:
    """Computes the 95 % interval of an accuracy by a bootstrap over classes.

    Wilson's interval is for other trials of the same classes. Trials of one
    class are not independent, so this one, for other classes, is wider. Classes
    are drawn with replacement, as many as there are; its ends are the 2.5 % and
    97.5 % quantiles over the resamples.

    Args:
        credit: float `[num_trials]`, the credit of each trial, from 0 to 1.
        classes: int `[num_trials]`, the class of each trial's query.
        seed: the random seed.

    Returns:
        Lower and upper end, within 0..1; None with fewer than `MIN_CLASSES`
        classes.
    """
    known, index = np.unique(classes, return_inverse=True)
    num = len(known)
    if num < MIN_CLASSES:
        return None
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(num, np.full(num, 1 / num), size=NUM_RESAMPLES)
    accuracies = (drawn @ np.bincount(index, credit)) / (
        drawn @ np.bincount(index)
    )
    low, high = np.quantile(accuracies, (0.025, 0.975))
    return float(low), float(high)


class RankedPairs(NamedTuple):
    """Pairs sorted from the highest score down, for a ROC with any weights.

    Attributes:
        order: int `[num_pairs]`, indices of the pairs.
        is_same: bool `[num_pairs]`, in that order.
        last: int `[num_thresholds]`, the last position of each run of tied
            pairs, which pass a threshold together.
    """

    order: np.ndarray
    is_same: np.ndarray
    last: np.ndarray

    def count_accepted(
        self, weights: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Counts the pairs that pass each threshold, from none to all.

        Args:
            weights: int `[num_pairs]`, how often a pair counts, in the order
                of `order`.

        Returns:
            The numbers of different and of same pairs, both int `[1 +
            num_thresholds]`.
        """
        same = np.cumsum(weights * self.is_same).take(self.last)
        different = np.cumsum(weights).take(self.last) - same
        return np.r_[0, different], np.r_[0, same]

    def compute_roc(
        self, weights: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """Computes the ROC of weighted pairs; see `metrics.compute_roc`.

        Args:
            weights: see `count_accepted`.

        Returns:
            None if no same pair or no different pair has a weight.
        """
        different, same = self.count_accepted(weights)
        if not (different[-1] and same[-1]):
            return None
        return different / different[-1], same / same[-1]

    def drop_intermediate(self) -> "RankedPairs":
        """Drops thresholds at which the ROC is straight for any weights.

        If the runs of pairs before and after a threshold are all same, or all
        different, the ROC does not turn there, and no metric needs the point.
        """
        num_same = np.diff(np.cumsum(self.is_same)[self.last], prepend=0)
        num = np.diff(self.last, prepend=-1)
        share = num_same / num
        goes_on = (share[1:] == share[:-1]) & np.isin(share[1:], (0, 1))
        return self._replace(last=self.last[np.r_[~goes_on, True]])


def rank_pairs(scores: np.ndarray, same: np.ndarray) -> RankedPairs:
    """Ranks pairs by their scores, the highest first.

    Args:
        scores: float `[num_pairs]`, higher is more alike.
        same: `[num_pairs]`, 1 = same, 0 = different.

    Raises:
        ScoreError: a score is NaN.
    """
    _refuse_nan(np.isnan(scores), "pairs")
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    last = np.r_[np.flatnonzero(ranked[1:] != ranked[:-1]), len(ranked) - 1]
    return RankedPairs(order, same[order].astype(bool), last)


def compute_roc(
    scores: np.ndarray, same: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Computes the receiver operating characteristic, from strict to lenient.

    Args:
        scores: float `[num_pairs]`, higher is more alike.
        same: `[num_pairs]`, 1 = same, 0 = different; both occur.

    Returns:
        false_accepts, true_accepts: the shares of different and of same pairs
            that score at least each threshold, from 0, 0 to 1, 1.

    Raises:
        ScoreError: a score is NaN.
    """
    return rank_pairs(scores, same).compute_roc(np.ones(len(scores), int))


def compute_auc(false_accepts: np.ndarray, true_accepts: np.ndarray) -> float:
    """Computes the area under the ROC curve (ROC AUC).

    It is the probability that a same pair scores higher than a different one.
    Ties count one half, so a constant scorer has exactly 0.5.
    """
    return float(np.trapezoid(true_accepts, false_accepts))


def compute_equal_error_rate(
    false_accepts: np.ndarray, true_accepts: np.ndarray
) -> float:
    """Computes the rate at which false accepts and false rejects are equal.

    If the ROC jumps over that point, it is interpolated linearly.
    """
    gap = false_accepts - (1 - true_accepts)  # rises from -1 to 1
    after = int(np.argmax(gap >= 0))
    share = -gap[after - 1] / (gap[after] - gap[after - 1])
    before = false_accepts[after - 1]
    return float(before + share * (false_accepts[after] - before))


def compute_tar_at_far(
    false_accepts: np.ndarray,
    true_accepts: np.ndarray,
    false_accept_rate: float,
) -> float:
    """Computes the true accept rate at a false accept rate (TAR at FAR).

    It is that of the most lenient threshold whose false accept rate is at most
    the given one, without interpolation.

    Args:
        false_accepts, true_accepts: see `compute_roc`.
        false_accept_rate: within 0..1.

    Returns:
        A fraction of the same pairs, within 0..1.
    """
    index = np.searchsorted(false_accepts, false_accept_rate, side="right")
    return float(true_accepts[index - 1])


def compute_class_accuracies(
    classes: np.ndarray, credit: np.ndarray
) -> list[dict[str, object]]:
    """Computes the accuracy of each class.

    Args:
        classes: int `[num_trials]`, the class that a trial counts for.
        credit: float `[num_trials]`, the credit of the trial, from 0 to 1.

    Returns:
        A dict for each class that occurs, in ascending order: `class`,
        `num_trials`, `accuracy`, and `ci95_low` and `ci95_high`, Wilson's
        interval.
    """
    known, index = np.unique(classes, return_inverse=True)
    counts = np.bincount(index)
    sums = np.bincount(index, credit)
    rows = []
    for name, correct, num in zip(known, sums, counts, strict=True):
        low, high = wilson_interval(correct, int(num))
        rows.append(
            {
                "class": int(name),
                "num_trials": int(num),
                "accuracy": float(correct / num),
                "ci95_low": low,
                "ci95_high": high,
            }
        )
    return rows
