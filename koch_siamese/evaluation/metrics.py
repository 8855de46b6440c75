"""How well scores tell same from different pairs. NumPy only."""

import numpy as np

from koch_siamese.errors import NanScoreError


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
