"""Where a score becomes an answer, and how probable it is. NumPy only."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Thresholds:
    """The scores from which a model says yes.

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
        """Returns the threshold of `none_of_these` for so many candidates.

        The more candidates there are, the more likely an unknown character
        resembles one of them. Beyond the largest number that was measured, the
        last threshold holds, and more unknown characters get a name.
        """
        if ways < 1:
            raise ValueError(f"ways must be at least 1; got {ways}.")
        return self.none_of_these[min(ways, len(self.none_of_these)) - 1]


# Those of a model that has none: every best candidate is an answer.
WITHOUT = Thresholds(0.0, (-np.inf,))


def _sigmoid(values):
    return 1 / (1 + np.exp(-np.clip(values, -700, 700)))


def compute_probability(score, thresholds: Thresholds | None, sigmoid=_sigmoid):
    """Computes the probability that pairs are the same character.

    It holds where half of all pairs are the same.

    Args:
        score: a score, or an array or tensor of them.
        thresholds: of the model, or None for one that has none.
        sigmoid: for tensors, such as `keras.ops.sigmoid`.

    Returns:
        Within 0..1, in the shape of `score`; 0.5 at the threshold of `same`.
    """
    thresholds = thresholds or WITHOUT
    return sigmoid(thresholds.slope * (score - thresholds.same))
