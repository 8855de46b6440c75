"""Scores drawings by the logits of a siamese model."""

import keras
import numpy as np

from koch_siamese.backend import compiles, trace_prediction
from koch_siamese.errors import ScoreError
from koch_siamese.models.heads import EuclideanDistance, WeightedL1
from koch_siamese.models.siamese import get_embedding, get_head, read_thresholds
from koch_siamese.models.views import count_views

BATCH_SIZE = 128  # drawings; each view counts as a drawing


class SiameseScorer:
    """Embeds images, and scores embeddings by a siamese model's logits."""

    def __init__(self, model: keras.Model):
        """Takes the embedding and head out of a siamese model."""
        self._embedding = get_embedding(model)
        self._head = get_head(model)
        self.batch_size = max(1, BATCH_SIZE // count_views(model))
        thresholds = read_thresholds(self._head)
        self.same_threshold = thresholds and thresholds.same

    @property
    def dim(self) -> int:
        """Length of an embedding."""
        return self._embedding.output.shape[-1]

    def embed(self, images: np.ndarray) -> np.ndarray:
        """Embeds uint8 images (see `Characters`) as `[num, dim]`."""
        # Not `predict`, whose tf.data pipeline waits for its autotuner at the
        # end: some calls took twice as long.
        num = len(images)
        size = min(num, self.batch_size)
        trace_prediction(self._embedding, images.shape[1:], images.dtype)
        starts = range(0, num, size)
        # Where the model is compiled for each size of a batch, the last batch
        # is filled up with the last image.
        last = starts[-1] + size if compiles(self._embedding) else num
        embeddings = [
            self._embedding.predict_on_batch(
                images.take(
                    range(start, min(start + size, last)), axis=0, mode="clip"
                )
            )
            for start in starts
        ]
        return np.concatenate(embeddings)[:num]

    def score(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Logits `[num]` of pairs of embeddings, `[num, dim]` or `[1, dim]`.

        Raises:
            ScoreError: a score is not finite.
        """
        # Not `self._head(...)`: for few pairs, the arithmetic takes a fifth of
        # the time of a layer's `__call__`.
        scores = self._head.call(first, second)
        return _require_finite(keras.ops.convert_to_numpy(scores))

    def score_table(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Scores every embedding of `first` against every one of `second`.

        Args:
            first, second: float32 `[num_first, dim]` and `[num_second, dim]`.

        Returns:
            Logits, float32 or float64 `[num_first, num_second]`.

        Raises:
            ScoreError: a score is not finite.
        """
        # Takes a third of the time of calling the head row by row.
        from scipy.spatial.distance import cdist

        if isinstance(self._head, EuclideanDistance):
            squares = cdist(first, second, "sqeuclidean")
            squares = np.maximum(squares, keras.config.epsilon())
            return _require_finite(-np.sqrt(squares))
        if not isinstance(self._head, WeightedL1):
            return np.array([self.score(row[None], second) for row in first])
        kernel, bias = self._head.get_weights()
        scores = np.full((len(first), len(second)), float(bias))
        for sign in (1, -1):
            chosen = ~(sign * kernel <= 0)  # NaN too
            if chosen.any():
                weights = kernel[chosen]
                scores += sign * cdist(
                    first[:, chosen] * weights,
                    second[:, chosen] * weights,
                    "cityblock",
                )
        return _require_finite(scores)


def _require_finite(scores):
    if not np.isfinite(scores).all():
        raise ScoreError(
            "The model's scores are not finite: its weights are broken; give "
            "another model, or train it again."
        )
    return scores
