"""Heads: the last layer of a siamese model, which scores two embeddings."""

import keras
import numpy as np
from keras import ops
from keras.initializers import RandomNormal

from koch_siamese.backend import compile_with_xla, has_accelerator
from koch_siamese.models.layers import (
    KOCH_BIAS_MEAN,
    KOCH_BIAS_STDDEV,
    KOCH_DENSE_STDDEV,
)


class Head(keras.layers.Layer):
    """Scores two embeddings: the last layer of a siamese model.

    Args:
        thresholds: the fields of the `Thresholds` of a finished model, stored
            with it; see `siamese.get_thresholds`.
        dataset: the name of the data set that the model was trained on, also
            stored with it.

    Call arguments:
        first, second: embeddings `[..., dim]`.

    Output shape: `[...]`; the higher, the more similar.
    """

    def __init__(
        self,
        thresholds: dict | None = None,
        dataset: str | None = None,
        **kwargs,
    ):
        """Makes the layer."""
        super().__init__(**kwargs)
        self.thresholds, self.dataset = thresholds, dataset

    @property
    def distance_weights(self) -> np.ndarray | None:
        """The weights of the L1 distance that lowers the score.

        float32 `[dim]`, at least 0; None for the Euclidean distance.
        """
        return None

    def get_config(self):
        """Returns the config of the layer."""
        own = {"thresholds": self.thresholds, "dataset": self.dataset}
        return super().get_config() | own


@keras.saving.register_keras_serializable(package="koch_siamese")
class EuclideanDistance(Head):
    """The negative Euclidean distance of two embeddings: -||h1 - h2||.

    This is the score for the contrastive loss (Hadsell et al. 2006), see
    `losses.ContrastiveLoss`. The layer has no weights.
    """

    def call(self, first, second):
        """The score of each pair, at most 0."""
        squares = ops.sum(ops.square(first - second), axis=-1)
        # The square root has no derivative at 0.
        return -ops.sqrt(ops.maximum(squares, keras.config.epsilon()))


@keras.saving.register_keras_serializable(package="koch_siamese")
class NonPositive(keras.constraints.Constraint):
    """Keeps weights at most 0: the opposite of `keras.constraints.NonNeg`."""

    def __call__(self, w):
        """Replaces positive weights by 0."""
        return ops.minimum(w, ops.cast(0, w.dtype))


@keras.saving.register_keras_serializable(package="koch_siamese")
class WeightedL1(Head):
    """The paper's similarity as a logit: sum_j alpha_j |h1_j - h2_j| + b.

    Koch et al. 2015, section 3.1, without the final sigmoid: logits still rank
    pairs whose probabilities round to 1. Leading dimensions broadcast, so
    `[queries, 1, dim]` and `[1, supports, dim]` give all pairs.

    Args:
        kernel_initializer: for alpha; the paper's dense N(0, 0.2) by default.
        bias_initializer: for b; the paper's N(0.5, 0.01) by default.
        kernel_constraint: of alpha in training; none by default.
    """

    def __init__(
        self,
        kernel_initializer=None,
        bias_initializer=None,
        kernel_constraint=None,
        **kwargs,
    ):
        """Makes the layer; weights are created with the first embeddings."""
        super().__init__(**kwargs)
        self.kernel_initializer = keras.initializers.get(
            kernel_initializer or RandomNormal(0.0, KOCH_DENSE_STDDEV)
        )
        self.bias_initializer = keras.initializers.get(
            bias_initializer or RandomNormal(KOCH_BIAS_MEAN, KOCH_BIAS_STDDEV)
        )
        self.kernel_constraint = keras.constraints.get(kernel_constraint)
        self._compute_many = compile_with_xla(_weighted_l1_of_many)

    def build(self, first_shape, second_shape):
        """Creates alpha `[dim]` and the bias `[]`."""
        self.kernel = self.add_weight(
            shape=(first_shape[-1],),
            initializer=self.kernel_initializer,
            constraint=self.kernel_constraint,
            name="kernel",
        )
        self.bias = self.add_weight(
            shape=(), initializer=self.bias_initializer, name="bias"
        )

    @property
    def distance_weights(self) -> np.ndarray:
        """The negated weights of the score; 0 for the few positive ones."""
        return np.maximum(-ops.convert_to_numpy(self.kernel), 0)

    def call(self, first, second, training=False):
        """The logit of each pair."""
        # Outside of training, each new number of pairs would be compiled again.
        compute = self._compute_many if training else _weighted_l1
        # A copy, because a compiled function would keep a distributed variable.
        return compute(first, second, ops.copy(self.kernel)) + self.bias

    def get_config(self):
        """Returns the config of the layer."""
        serialize = keras.initializers.serialize
        constraint = keras.constraints.serialize(self.kernel_constraint)
        return super().get_config() | {
            "kernel_initializer": serialize(self.kernel_initializer),
            "bias_initializer": serialize(self.bias_initializer),
            "kernel_constraint": self.kernel_constraint and constraint,
        }


def _weighted_l1(first, second, kernel):
    """sum_j kernel_j |first_j - second_j|, `[...]` of `[..., dim]`."""
    return ops.sum(ops.abs(first - second) * kernel, axis=-1)


def _weighted_l1_of_many(first, second, kernel):
    """Computes `_weighted_l1` with fewer passes, to be compiled.

    The distances of all pairs of a batch are a tensor of batch x batch x dim.
    Rounding depends on the number of pairs, so this is for training only.
    """
    if has_accelerator() or not _are_all_pairs(first, second):
        return _weigh(ops.abs(first - second), kernel)
    return _weighted_l1_of_all_pairs(first[:, 0], second[0], kernel)


def _are_all_pairs(first, second):
    """Whether these are `[rows, 1, dim]` and `[1, columns, dim]`."""
    return (
        len(first.shape) == len(second.shape) == 3
        and first.shape[1] == second.shape[0] == 1
    )


def _weigh(distances, kernel):
    """Weights distances by a matrix product."""
    flat = ops.reshape(distances, (-1, distances.shape[-1]))
    score = ops.matmul(flat, ops.expand_dims(kernel, -1))
    return ops.reshape(score, ops.shape(distances)[:-1])


@ops.custom_gradient
def _weighted_l1_of_all_pairs(first, second, kernel):
    """Computes `[rows, columns]` of `[rows, dim]` and `[columns, dim]`.

    The gradients need sums of signs. On a CPU a loop adds them in the cache, in
    a fifth of the time of passes over the signs of all pairs.
    """

    def differentiate(upstream):
        of_first = _sum_signs(first, second, ops.transpose(upstream))
        of_second = _sum_signs(second, first, upstream)
        # The gradient of the kernel is the sum of upstream x distance, and the
        # distance is the difference times its sign.
        of_kernel = ops.sum(first * of_first, axis=0) + ops.sum(
            second * of_second, axis=0
        )
        return of_first * kernel, of_second * kernel, of_kernel

    distances = ops.abs(first[:, None] - second[None])
    return _weigh(distances, kernel), differentiate


def _sum_signs(ours, others, weights):
    """Computes sum_j weights[j, i] sign(ours[i] - others[j]), `[rows, dim]`."""

    def add(index, sums):
        return sums + weights[index][:, None] * ops.sign(ours - others[index])

    return ops.fori_loop(0, ops.shape(others)[0], add, ops.zeros_like(ours))
