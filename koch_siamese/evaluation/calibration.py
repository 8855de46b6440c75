"""Where a score becomes an answer: same, or none of these. NumPy only."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Thresholds:
    """The logits from which on a model says yes.

    Attributes:
        same: a pair that scores at least this counts as the same character.
        none_of_these: by the number of candidates, from 1 upwards, what the
            best of them must score for the query to be one of them.
        slope: how steeply the probability of `same` rises with the score.
    """

    same: float
    none_of_these: tuple[float, ...]
    slope: float = 1.0

    def for_ways(self, ways: int) -> float:
        """The threshold of `none_of_these` for a number of candidates.

        The more candidates, the more chances for a stranger to be taken for
        one of them; beyond what was measured the last threshold holds, and
        more of them pass.
        """
        if ways < 1:
            raise ValueError(f"ways must be at least 1; got {ways}.")
        return self.none_of_these[min(ways, len(self.none_of_these)) - 1]


def compute_same_threshold(scores: np.ndarray, same: np.ndarray) -> float:
    """The threshold that tells most pairs rightly (Koch et al., section 4.2).

    Args:
        scores: float `[num_pairs]`.
        same: `[num_pairs]`, 1 = same, 0 = different; both occur.

    Returns:
        Midway between two scores; the lowest of several that are as good.
    """
    order = np.argsort(scores)
    ranked, same = scores[order], same[order].astype(bool)
    # Right answers where the first k are called different and the rest same.
    right = np.r_[0, np.cumsum(~same)] + np.r_[0, np.cumsum(same[::-1])][::-1]
    # Scores that tie stand on one side of a threshold.
    possible = np.r_[True, ranked[1:] > ranked[:-1], True]
    cut = int(np.argmax(np.where(possible, right, -1)))
    return _midway(ranked, cut)


def compute_slope(scores: np.ndarray, same: np.ndarray, start: float) -> float:
    """The slope at which probabilities fit best what pairs turn out to be.

    The likeliest one of a logistic curve through 1/2 at the threshold (Platt
    1999, but for its place).

    Args:
        scores: float `[num_pairs]`.
        same: `[num_pairs]`, 1 = same, 0 = different; both occur.
        start: the threshold.

    Returns:
        A positive number.
    """
    margin = np.where(same.astype(bool), 1, -1) * (scores - start)
    spread = np.abs(margin).mean() or 1.0
    low, high = np.log(1e-3 / spread), np.log(1e3 / spread)
    for _ in range(60):  # the likelihood's derivative falls with the slope
        middle = (low + high) / 2
        steps = np.clip(np.exp(middle) * margin, -700, 700)
        rises = (margin / (1 + np.exp(steps))).sum() > 0
        low, high = (middle, high) if rises else (low, middle)
    return float(np.exp((low + high) / 2))


def compute_absence_thresholds(
    scores: np.ndarray, false_accepts: float = 0.05, min_ways: int = 1
) -> tuple[float, ...]:
    """Thresholds for "none of these", by the number of candidates.

    Args:
        scores: float `[num_trials, ways]`, all of wrong candidates: the
            query's character is absent.
        false_accepts: the share of such queries, from 0 to below 1, of which
            the best candidate may reach the threshold.
        min_ways: candidates that there shall be thresholds for; beyond `ways`
            as if the best of so many was drawn anew for more of them.

    Returns:
        A threshold for 1, 2, ..., up to `ways` or `min_ways` candidates; never
        falling.
    """
    best = np.sort(np.maximum.accumulate(scores, axis=1), axis=0)
    num_trials, measured = best.shape

    def compute_threshold(ways):
        column = best[:, min(ways, measured) - 1]
        refused = (1 - false_accepts) ** min(1, measured / ways)
        cut = int(np.ceil(refused * num_trials))
        # Past the scores that tie with the last one that is refused.
        return _midway(
            column, np.searchsorted(column, column[cut - 1], "right")
        )

    return tuple(map(compute_threshold, range(1, max(measured, min_ways) + 1)))


def _midway(ranked, cut):
    """Between the values before and from `cut` on; at an end, just beyond."""
    low = ranked[cut - 1] if cut > 0 else ranked[0] - 1
    high = ranked[cut] if cut < len(ranked) else ranked[-1] + 1
    return float(low) + (float(high) - float(low)) / 2


def compute_probability(score, thresholds: Thresholds | None):
    """The probability that a pair is the same, where half of all pairs are.

    Args:
        score: a score, or an array of them.
        thresholds: of the model, or None for one without: as if `same` was 0.

    Returns:
        Within 0..1; 0.5 at the threshold of `same`.
    """
    thresholds = thresholds or WITHOUT
    steps = thresholds.slope * (score - thresholds.same)
    return 1 / (1 + np.exp(-np.clip(steps, -700, 700)))


WITHOUT = Thresholds(0.0, (-np.inf,))  # what a model is taken to have
