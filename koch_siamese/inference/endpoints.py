"""The signatures of an exported model, in TensorFlow operations.

Images are uint8 `[batch, height, width, channels]`, one or more of any size.
Drawings have 1 channel, 0 = ink, 255 = white; photos have 3, RGB.
"""

import keras
import numpy as np
import tensorflow as tf

from koch_siamese.errors import InputError
from koch_siamese.images import WHITE, fit_by_products
from koch_siamese.inference import export_check
from koch_siamese.models.siamese import (
    get_channels,
    get_embedding,
    get_head,
    get_image_size,
    get_thresholds,
)
from koch_siamese.models.thresholds import NO_THRESHOLDS


class Endpoints:
    """The signatures of a siamese model.

    If the model has no thresholds, the threshold of `same` is 0, and the
    prediction is always the best support.
    """

    def __init__(self, model: keras.Model):
        """Takes the embedding, head and thresholds of a siamese model.

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
        self._channels = get_channels(model)
        self._thresholds = get_thresholds(model)
        # As a separate function, it is traced and stored once for all
        # signatures.
        self._embed = tf.function(
            self._compute_embedding, self.signature("embed"), autograph=False
        )

    def signature(self, name: str) -> list[tf.TensorSpec]:
        """Returns the specifications of an endpoint's arguments."""
        dim = self._embedding.output.shape[-1]
        images = (None, None, None, self._channels)
        return [
            tf.TensorSpec((None, dim), tf.float32, name=argument)
            if name == "match"
            else tf.TensorSpec(images, tf.uint8, name=argument)
            for argument in export_check.SIGNATURES[name]
        ]

    def embed(self, images):
        """Embeds images. Returns `embedding`, `[batch, dim]`."""
        return {"embedding": self._embed(images)}

    def verify(self, first, second):
        """Compares pairs. Returns `logit`, `probability`, `same`, `[batch]`."""
        logit = self._head(self._embed(first), self._embed(second))
        thresholds = self._thresholds or NO_THRESHOLDS
        return {
            "logit": logit,
            "probability": thresholds.probability(logit, keras.ops.sigmoid),
            "same": logit >= thresholds.same,
        }

    def classify(self, query, support):
        """Embeds images, and compares them as `match` does."""
        return self.match(self._embed(query), self._embed(support))

    def match(self, query_embedding, support_embedding):
        """Scores every query against every support; each is a candidate.

        Args:
            query_embedding: `[queries, dim]`, one or more.
            support_embedding: `[supports, dim]`, may be empty: then all
                predictions are -1.

        Returns:
            `score` `[queries, supports]`, and `prediction` int32 `[queries]`:
            the index of the best support, or -1 for none of these.
        """
        score = self._score(query_embedding, support_embedding)
        return {"score": score, "prediction": self._predict(score)}

    def _score(self, queries, supports):
        # One query at a time, so that memory grows only with the supports.
        return tf.map_fn(
            lambda query: self._head(query[tf.newaxis], supports),
            queries,
            parallel_iterations=1,
            fn_output_signature=tf.TensorSpec((None,), tf.float32),
        )

    def _compute_embedding(self, images):
        # TensorFlow's convolutions fail without any image: one is added.
        num = tf.shape(images)[0]
        paddings = [[0, 1 - tf.minimum(num, 1)], *[[0, 0]] * 3]
        images = tf.pad(images, paddings, constant_values=WHITE)
        return self._embedding(images, training=False)[:num]

    def _predict(self, score):
        threshold = score.dtype.min
        if self._thresholds:
            table = self._thresholds.none_of_these
            ways = tf.clip_by_value(tf.shape(score)[1], 1, len(table))
            threshold = tf.constant(table, score.dtype)[ways - 1]
        # A column that never wins, in case there are no supports.
        score = tf.pad(score, [[0, 0], [0, 1]], constant_values=-np.inf)
        best = tf.argmax(score, axis=1, output_type=tf.int32)
        return tf.where(tf.reduce_max(score, axis=1) >= threshold, best, -1)


class PortableEndpoints(Endpoints):
    """Endpoints in operations that ONNX and LiteRT support.

    These do not include antialiased resizing, which two matrix products
    replace, nor a loop over queries: `match` needs memory for the differences
    of all pairs, 4 * queries * supports * dim bytes.
    """

    def __init__(self, model: keras.Model):
        """Takes the parts of a siamese model; see `Endpoints`."""
        super().__init__(model)
        self._image_size = get_image_size(model)

    def _compute_embedding(self, images):
        # The model's preprocessing does not change images of the right size.
        images = fit_by_products(images, self._image_size)
        return self._embedding(images, training=False)

    def _score(self, queries, supports):
        return self._head(queries[:, tf.newaxis], supports[tf.newaxis])
