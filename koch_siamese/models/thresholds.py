"""Thresholds of scores, and the probabilities of scores. NumPy only."""

import dataclasses

import numpy as np

from koch_siamese.errors import InputError
from koch_siamese.fields import convert_fields


def sigmoid(values: np.ndarray) -> np.ndarray:
    """Computes 1 / (1 + exp(-values)) without overflow."""
    return 1 / (1 + np.exp(-np.clip(values, -700, 700)))


@dataclasses.dataclass(frozen=True)
class Thresholds:
    """The decision thresholds of a model.

    Attributes:
        same: a pair that scores at least this counts as the same character.
        none_of_these: for each number of candidates from 1 on, the score that
            the best one needs for the query to be one of them.
        slope: how steeply the probability of `same` rises with the score.
    """

    same: float
    none_of_these: tuple[float, ...]
    slope: float = 1.0

    def __post_init__(self):
        """Makes a tuple of the list in a file, and checks the slope."""
        convert_fields(self)
        if not self.slope > 0:
            raise InputError(
                f"slope is {self.slope}: expected a positive number."
            )

    def for_ways(self, ways: int) -> float:
        """Returns the threshold of `none_of_these` for `ways` candidates.

        The more candidates there are, the more likely an unknown character
        resembles one of them. Beyond the largest number measured, the last
        threshold is used, and more unknown characters are accepted.
        """
        if ways < 1:
            raise ValueError(f"ways must be at least 1; got {ways}.")
        return self.none_of_these[min(ways, len(self.none_of_these)) - 1]

    def probability(self, score, sigmoid=sigmoid):
        """Computes the probability that pairs are the same character.

        This assumes that half of all pairs are the same.

        Args:
            score: a score (logit), or an array or tensor of them.
            sigmoid: a function for tensors, such as `keras.ops.sigmoid`.

        Returns:
            Values in 0..1, in the shape of `score`; 0.5 at the threshold
            `same`.
        """
        return sigmoid(self.slope * (score - self.same))


# For a model without thresholds: every best candidate is accepted.
NO_THRESHOLDS = Thresholds(0.0, (-np.inf,))
