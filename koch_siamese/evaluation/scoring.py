"""Embed once, score many: what evaluation, classification and export share."""

import math
import time
from typing import Protocol

import keras
import numpy as np

from koch_siamese.data.image_arrays import take
from koch_siamese.models.siamese import get_embedding, get_head, get_thresholds
from koch_siamese.models.views import count_views
from koch_siamese.sampling.trials import Trials, compute_credit, wilson_interval

NUMBERS_AT_ONCE = 1 << 24  # bounds the memory for differences of embeddings


class Scorer(Protocol):
    """What can take part in trials: a trained model, or a baseline.

    Attributes:
        same_threshold: from which score a pair counts as the same, or None if
            that is still to be chosen on validation.
    """

    same_threshold: float | None

    def embed(self, images: np.ndarray) -> np.ndarray:
        """Embeds uint8 images `[num, height, width]` as `[num, dim]`."""

    def score(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Scores pairs of embeddings `[num, dim]`; higher is more alike."""


class SiameseScorer:
    """Scores by the logits of a siamese model."""

    def __init__(self, model: keras.Model, batch_size: int = 128):
        """Takes the embedding and head out of a siamese model.

        Args:
            model: a siamese model.
            batch_size: drawings in a batch, each view of one being one more.
        """
        self._embedding = get_embedding(model)
        self._head = get_head(model)
        self._batch_size = max(1, batch_size // count_views(model))
        thresholds = get_thresholds(model)
        self.same_threshold = thresholds and thresholds.same

    @property
    def dim(self) -> int:
        """Length of an embedding."""
        return self._embedding.output.shape[-1]

    def embed(self, images: np.ndarray) -> np.ndarray:
        """Embeds uint8 images `[num, height, width]` as `[num, dim]`."""
        # Not `predict`, which reads by tf.data: its tuner, for which an end
        # has to wait, made some calls take twice their time.
        size = self._batch_size
        embeddings = [
            self._embedding.predict_on_batch(
                images[start : start + size, ..., np.newaxis]
            )
            for start in range(0, len(images), size)
        ]
        return np.concatenate(embeddings)

    def score(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Logits `[num]` of pairs of embeddings, `[num, dim]` or `[1, dim]`."""
        return keras.ops.convert_to_numpy(self._head(first, second))


def score_pairs(
    scorer: Scorer, images: np.ndarray, first: np.ndarray, second: np.ndarray
) -> np.ndarray:
    """Scores pairs of drawings.

    Every drawing is embedded once, however many pairs it takes part in.

    Args:
        scorer: a model or baseline.
        images: uint8 `[num_drawings, height, width]`.
        first, second: int `[num_pairs]`, indices of drawings.

    Returns:
        float64 `[num_pairs]`.
    """
    used, places = np.unique(np.r_[first, second], return_inverse=True)
    first, second = np.split(places, 2)
    embeddings = scorer.embed(take(images, used))
    scores = np.empty(len(first))
    num = max(1, NUMBERS_AT_ONCE // embeddings[0].size)
    for start in range(0, len(first), num):
        chunk = slice(start, start + num)
        scores[chunk] = scorer.score(
            embeddings[first[chunk]], embeddings[second[chunk]]
        )
    return scores


def score_trials(
    scorer: Scorer, images: np.ndarray, trials: Trials
) -> np.ndarray:
    """Scores each candidate of each trial.

    Args:
        scorer: a model or baseline.
        images: uint8 `[num_drawings, height, width]`.
        trials: over these drawings.

    Returns:
        float64 `[num_trials, ways]`: mean score over a candidate's shots.
    """
    query = np.repeat(trials.query, trials.ways * trials.shots)
    scores = score_pairs(scorer, images, query, trials.support.ravel())
    return scores.reshape(trials.support.shape).mean(axis=-1)


def evaluate_trials(
    scorer: Scorer, images: np.ndarray, trials: Trials
) -> dict[str, object]:
    """Accuracy on trials, with its interval.

    Returns:
        `accuracy` and `ci95` (Wilson's interval) within 0..1, `num_trials`,
        `ways`, `shots`, and the `seconds` that it took.

    Raises:
        NanScoreError: a score is NaN.
    """
    start = time.perf_counter()
    credit = compute_credit(score_trials(scorer, images, trials), trials.answer)
    correct = math.fsum(credit)  # exact: shared credits are no binary numbers
    return {
        "accuracy": correct / len(trials),
        "ci95": wilson_interval(correct, len(trials)),
        "num_trials": len(trials),
        "ways": trials.ways,
        "shots": trials.shots,
        "seconds": round(time.perf_counter() - start, 3),
    }
