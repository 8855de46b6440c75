"""Group normalization that trains in fewer passes over its input."""

import keras
from keras import ops

from koch_siamese.backend import compile_with_xla


@keras.saving.register_keras_serializable(package="koch_siamese")
class GroupNormalization(keras.layers.GroupNormalization):
    """Keras' layer (Wu and He 2018) with a compiled custom gradient.

    With automatic differentiation, each sum and product is a separate pass over
    all features of a batch; together they take a tenth of a training step.
    Keras' code runs on JAX, outside of training, and in cases that the
    formulas do not cover (other axes, unknown sizes, no scale or center).

    The gradient cannot be differentiated again.

    Input shape: `[batch, height, width, filters]`.
    Output shape: the same.
    """

    def __init__(self, groups: int = 32, **kwargs):
        """Makes the layer; see Keras."""
        super().__init__(groups, **kwargs)
        self._normalize = compile_with_xla(_normalize)
        self._differentiate = compile_with_xla(_differentiate)

    def call(self, inputs, training=False):
        """Normalizes each drawing in groups of filters."""
        if not (training and self._is_written_out(inputs)):
            # Keras casts its result to the inputs' type, then to its own: with
            # bfloat16 inputs, that would lose digits.
            return super().call(_to_float32_or_wider(inputs))
        outputs = self._train(
            inputs,
            _to_float32_or_wider(self.gamma.value),
            _to_float32_or_wider(self.beta.value),
        )
        return ops.cast(outputs, self.compute_dtype)

    def _is_written_out(self, inputs):
        return (
            keras.backend.backend() == "tensorflow"
            and self.scale
            and self.center
            and self.axis in (-1, 3)
            and len(inputs.shape) == 4
            and None not in inputs.shape[1:]
        )

    def _train(self, inputs, gamma, beta):
        """Normalizes with a custom gradient for all three arguments."""
        import tensorflow as tf

        @tf.custom_gradient
        def normalize(inputs, gamma, beta):
            outputs, mean, inverse = self._normalize(
                inputs, gamma, beta, self.groups, self.epsilon
            )

            def differentiate(gradient):
                return once(inputs, gamma, mean, inverse, gradient)

            return outputs, differentiate

        @tf.custom_gradient
        def once(*arguments):
            return self._differentiate(*arguments, self.groups), _refuse

        return normalize(inputs, gamma, beta)


def _to_float32_or_wider(values):
    """Casts values to at least float32 for sums, as Keras does."""
    dtype = keras.backend.result_type(values.dtype, "float32")
    return ops.cast(values, dtype)


def _refuse(*_):
    raise NotImplementedError(
        "The gradients of koch_siamese's GroupNormalization cannot be "
        "differentiated again; use keras.layers.GroupNormalization."
    )


def _normalize(inputs, gamma, beta, groups, epsilon):
    """Outputs; means and inverse deviations, `[batch, 1, 1, filters]`."""
    inputs = _to_float32_or_wider(inputs)
    mean = _mean_of_groups(inputs, _sum_positions(inputs), groups)
    squares = _sum_positions(ops.square(inputs - mean))
    inverse = ops.rsqrt(_mean_of_groups(inputs, squares, groups) + epsilon)
    return (inputs - mean) * (inverse * gamma) + beta, mean, inverse


def _differentiate(inputs, gamma, mean, inverse, gradient, groups):
    """Gradients of inputs, gamma and beta, given that of the outputs."""
    normal = (_to_float32_or_wider(inputs) - mean) * inverse
    of_beta = _sum_positions(gradient)
    of_gamma = _sum_positions(gradient * normal)
    of_inputs = inverse * (
        gradient * gamma
        - _mean_of_groups(inputs, of_beta * gamma, groups)
        - normal * _mean_of_groups(inputs, of_gamma * gamma, groups)
    )
    return (
        ops.cast(of_inputs, inputs.dtype),
        ops.sum(of_gamma, axis=0),
        ops.sum(of_beta, axis=0),
    )


def _mean_of_groups(inputs, sums, groups):
    """Computes means of groups from sums of filters, `[batch, filters]`."""
    _, height, width, filters = inputs.shape
    size = filters // groups
    means = ops.sum(ops.reshape(sums, (-1, groups, size)), axis=-1)
    means = means / (height * width * size)
    return ops.repeat(means, size, axis=-1)[:, None, None]


def _sum_positions(features):
    """Sums of `[batch, height, width, filters]` over all positions.

    XLA joins a matrix product with more passes than it does a sum.
    """
    _, height, width, filters = features.shape
    flat = ops.reshape(features, (-1, height * width, filters))
    ones = ops.ones((ops.shape(flat)[0], 1, height * width), flat.dtype)
    return ops.matmul(ones, flat)[:, 0]
