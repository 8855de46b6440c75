"""Scores drawings by the logits of a siamese model."""

import math

import keras
import numpy as np

from koch_siamese.models.heads import WeightedL1
from koch_siamese.models.siamese import (
    get_embedding,
    get_head,
    get_thresholds,
)
from koch_siamese.models.views import count_views


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
        """Embeds uint8 images, see `Characters`, as `[num, dim]`."""
        # Not `predict`, which reads by tf.data: its tuner, for which an end
        # has to wait, made some calls take twice their time.
        num = len(images)
        # Batches of one size, for which it is compiled once: the last image
        # fills the last of them.
        size = math.ceil(num / math.ceil(num / self._batch_size))
        embeddings = [
            self._embedding.predict_on_batch(
                images.take(range(start, start + size), axis=0, mode="clip")
            )
            for start in range(0, num, size)
        ]
        return np.concatenate(embeddings)[:num]

    def score(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Logits `[num]` of pairs of embeddings, `[num, dim]` or `[1, dim]`."""
        return keras.ops.convert_to_numpy(self._head(first, second))

    def score_all(self, embeddings: np.ndarray) -> np.ndarray:
        """Scores every pair of embeddings.

        Args:
            embeddings: float32 `[num, dim]`.

        Returns:
            float64 `[num * (num - 1) / 2]`, in the order of
            `numpy.triu_indices(num, 1)`.
        """
        if isinstance(self._head, WeightedL1):
            return self._score_all_by_scipy(embeddings)
        rows = [
            self.score(embeddings[i : i + 1], embeddings[i + 1 :])
            for i in range(len(embeddings) - 1)
        ]
        return np.concatenate([np.empty(0), *rows])

    def _score_all_by_scipy(self, embeddings):
        # In a third of the time of the head, which is called row by row.
        from scipy.spatial.distance import pdist

        kernel, bias = self._head.get_weights()
        scores = np.full(len(embeddings) * (len(embeddings) - 1) // 2, bias)
        for sign in (1, -1):
            chosen = sign * kernel > 0
            weighted = embeddings[:, chosen] * kernel[chosen]
            if len(embeddings) > 1 and chosen.any():
                scores = scores + sign * pdist(weighted, "cityblock")
        return scores
