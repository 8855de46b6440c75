"""What scores amount to: accuracy, intervals, ROC. NumPy only."""

import numpy as np

from koch_siamese.errors import NanScoreError


def compute_credit(scores: np.ndarray, answer: np.ndarray) -> np.ndarray:
    """What each trial counts, from 0 to 1.

    An answer that ties with others at the top shares the credit with them, so
    a constant score earns exactly 1 / ways, wherever the answer stands.

    Args:
        scores: float `[num_trials, ways]`, higher is more alike.
        answer: int `[num_trials]`.

    Returns:
        float64 `[num_trials]`.

    Raises:
        NanScoreError: a score is NaN.
    """
    if np.isnan(scores).any():
        raise NanScoreError(
            f"{np.isnan(scores).any(axis=1).sum()} of {len(scores)} trials "
            "have scores that are not numbers (NaN): the model is broken."
        )
    best = scores == scores.max(axis=1, keepdims=True)
    won = best[np.arange(len(scores)), answer]
    return won / best.sum(axis=1)


def compute_margins(scores: np.ndarray, answer: np.ndarray) -> np.ndarray:
    """By how much each trial's answer outscores the best other candidate.

    Args:
        scores: float `[num_trials, ways]`, two ways or more.
        answer: int `[num_trials]`.

    Returns:
        float `[num_trials]`, negative where the trial is lost.
    """
    is_answer = np.arange(scores.shape[1]) == answer[:, np.newaxis]
    rival = np.where(is_answer, -np.inf, scores).max(axis=1)
    return scores[is_answer] - rival


def wilson_interval(
    num_correct: float, num_trials: int, z: float = 1.959964
) -> tuple[float, float]:
    """Wilson's score interval for a share of correct answers.

    Args:
        num_correct: correct answers, shared credits included.
        num_trials: answers in all, at least 1.
        z: the normal quantile, by default for 95 %.

    Returns:
        Lower and upper end, within 0..1.
    """
    share = num_correct / num_trials
    center = share + z**2 / (2 * num_trials)
    spread = z * np.sqrt(
        share * (1 - share) / num_trials + (z / (2 * num_trials)) ** 2
    )
    scale = 1 + z**2 / num_trials
    return (
        max(0.0, float((center - spread) / scale)),
        min(1.0, float((center + spread) / scale)),
    )


def compute_roc(
    scores: np.ndarray, same: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The receiver operating characteristic, from strict to lenient.

    Args:
        scores: float `[num_pairs]`, higher is more alike.
        same: `[num_pairs]`, 1 = same, 0 = different; both occur.

    Returns:
        false_accepts, true_accepts: shares of the different and of the same
            pairs that score at least a threshold, for each that matters, from
            0, 0 to 1, 1.

    Raises:
        NanScoreError: a score is NaN.
    """
    if np.isnan(scores).any():
        raise NanScoreError(
            f"{np.isnan(scores).sum()} of {len(scores)} pairs have scores that "
            "are not numbers (NaN): the model is broken."
        )
    order = np.argsort(-scores, kind="stable")
    ranked, same = scores[order], same[order].astype(bool)
    # Scores that tie pass a threshold together.
    last = np.r_[np.flatnonzero(np.diff(ranked)), len(ranked) - 1]
    true_accepts = np.r_[0, np.cumsum(same)[last]] / same.sum()
    false_accepts = np.r_[0, np.cumsum(~same)[last]] / (~same).sum()
    return false_accepts, true_accepts


def compute_auc(false_accepts: np.ndarray, true_accepts: np.ndarray) -> float:
    """The area under a ROC: how often a same pair outscores a different one.

    Ties count a half, so a constant scorer has exactly 0.5.
    """
    return float(np.trapezoid(true_accepts, false_accepts))


def compute_equal_error_rate(
    false_accepts: np.ndarray, true_accepts: np.ndarray
) -> float:
    """The error where as many are wrongly accepted as wrongly refused.

    Where the ROC jumps over that point, on the line between its ends.
    """
    gap = false_accepts - (1 - true_accepts)  # rises from -1 to 1
    after = int(np.argmax(gap >= 0))
    share = -gap[after - 1] / (gap[after] - gap[after - 1])
    before, step = false_accepts[after - 1], np.diff(false_accepts)[after - 1]
    return float(before + share * step)
