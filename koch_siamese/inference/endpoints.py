"""What a trained model serves: its signatures, in TensorFlow's operations.

Images are uint8 `[batch, height, width, 1]`, 0 = ink, 255 = paper, one or more
of any size.
"""

import keras
import numpy as np
import tensorflow as tf

from koch_siamese.data.characters import PAPER
from koch_siamese.errors import InputError
from koch_siamese.evaluation.calibration import WITHOUT, Thresholds
from koch_siamese.inference import export_check
from koch_siamese.models.siamese import (
    get_embedding,
    get_head,
    get_image_size,
    get_thresholds,
)


def compute_probability(logit, thresholds: Thresholds | None):
    """The probability that pairs are the same, where half of all pairs are.

    Args:
        logit: a tensor of logits.
        thresholds: of the model, or None for one without: as if `same` was 0.

    Returns:
        Within 0..1, in the shape of `logit`; 0.5 at the threshold of `same`.
    """
    thresholds = thresholds or WITHOUT
    return keras.ops.sigmoid(thresholds.slope * (logit - thresholds.same))


class Endpoints:
    """The signatures of a siamese model.

    A model without thresholds takes 0 for the one of `same`, and its prediction
    is always the best support, however low it scores.
    """

    def __init__(self, model: keras.Model):
        """Takes embedding, head and thresholds out of a siamese model.

        Raises:
            InputError: Keras does not run on TensorFlow.
        """
        if keras.backend.backend() != "tensorflow":
            raise InputError(
                f"KERAS_BACKEND is {keras.backend.backend()}: exports are made "
                "by TensorFlow, of a model.keras of any backend. Unset it."
            )
        self._embedding = get_embedding(model)
        self._head = get_head(model)
        self._thresholds = get_thresholds(model)

    def signature(self, name: str) -> list[tf.TensorSpec]:
        """The specifications of an endpoint's arguments."""
        dim = self._embedding.output.shape[-1]
        return [
            tf.TensorSpec((None, dim), tf.float32, name=argument)
            if name == "match"
            else tf.TensorSpec((None, None, None, 1), tf.uint8, name=argument)
            for argument in export_check.SIGNATURES[name]
        ]

    def embed(self, images):
        """Images to `embedding` `[batch, dim]`."""
        return {"embedding": self._embed(images)}

    def verify(self, first, second):
        """Pairs of images to `logit`, `probability` and `same`, `[batch]`."""
        logit = self._head(self._embed(first), self._embed(second))
        return {
            "logit": logit,
            "probability": compute_probability(logit, self._thresholds),
            "same": logit >= (self._thresholds or WITHOUT).same,
        }

    def classify(self, query, support):
        """Images to what `match` returns of their embeddings."""
        return self.match(self._embed(query), self._embed(support))

    def match(self, query_embedding, support_embedding):
        """Every query against every support, each of them a candidate.

        Args:
            query_embedding: `[queries, dim]`, one or more.
            support_embedding: `[supports, dim]`; without any, no query is
                one of them.

        Returns:
            `score` `[queries, supports]`, and `prediction` int32 `[queries]`:
            the index of the best support, or -1 for none of these.
        """
        # A query at a time: memory grows with the supports alone.
        score = tf.map_fn(
            lambda query: self._head(query[tf.newaxis], support_embedding),
            query_embedding,
            parallel_iterations=1,
            fn_output_signature=tf.TensorSpec((None,), tf.float32),
        )
        return {"score": score, "prediction": self._predict(score)}

    def _embed(self, images):
        return self._embedding(images, training=False)

    def _predict(self, score):
        threshold = score.dtype.min
        if self._thresholds:
            table = self._thresholds.none_of_these
            ways = tf.clip_by_value(tf.shape(score)[1], 1, len(table))
            threshold = tf.constant(table, score.dtype)[ways - 1]
        # A column that never wins, for where there are no supports at all.
        score = tf.pad(score, [[0, 0], [0, 1]], constant_values=-np.inf)
        best = tf.argmax(score, axis=1, output_type=tf.int32)
        return tf.where(tf.reduce_max(score, axis=1) >= threshold, best, -1)


class PortableEndpoints(Endpoints):
    """Endpoints in operations that ONNX and LiteRT have too.

    They cannot resize antialiased; two products of matrices do the same.
    """

    def __init__(self, model: keras.Model):
        """Takes what it needs out of a siamese model."""
        super().__init__(model)
        self._image_size = get_image_size(model)

    def _embed(self, images):
        # Preprocessing leaves images of the right size as they are.
        return super()._embed(fit_images(images, self._image_size))


def fit_images(images, image_size: int):
    """Fits images to a square as `layers.Preprocessing` does.

    Args:
        images: `[batch, height, width, 1]`, 0 = ink, 255 = paper.
        image_size: side of the square in pixels.

    Returns:
        float32 `[batch, image_size, image_size, 1]`, as dark as `images`.
    """
    height, width = tf.shape(images)[1], tf.shape(images)[2]
    longest = tf.maximum(height, width)
    ink = PAPER - tf.cast(images[..., 0], tf.float32)
    ink = tf.matmul(_compute_weights(height, longest, image_size), ink)
    columns = _compute_weights(width, longest, image_size)
    ink = tf.matmul(ink, columns, transpose_b=True)
    return tf.reshape(PAPER - ink, (-1, image_size, image_size, 1))


def _compute_weights(num, longest, image_size):
    """What each of `num` pixels adds to each of `image_size`.

    A triangle around each place, as wide as the image shrinks.
    """
    margin = (longest - num) // 2
    padded = num + 2 * margin
    step = tf.cast(padded, tf.float32) / image_size
    centres = (tf.range(image_size, dtype=tf.float32) + 0.5) * step
    places = tf.cast(tf.range(padded), tf.float32) + 0.5
    distance = tf.abs(places - centres[:, tf.newaxis])
    weights = tf.nn.relu(1 - distance / tf.maximum(step, 1.0))
    weights /= tf.reduce_sum(weights, axis=1, keepdims=True)
    return weights[:, margin : margin + num]
