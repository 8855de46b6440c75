"""A dense layer with gradients in bfloat16, for training."""

import keras
from keras import ops

# Measured with 17 and 38 million weights, in dense layers of the paper's
# network. Smaller ones, as in the fast network, keep gradients in float32.
MIN_WEIGHTS = 2**20


@keras.saving.register_keras_serializable(package="koch_siamese")
class BFloat16GradientDense(keras.layers.Dense):
    """A `Dense` layer whose two gradients are products in bfloat16.

    Weights, arguments and outputs are those of `keras.layers.Dense`. Outputs
    stay float32: at first, pre-activations of the paper's dense layer differ
    between images by no more than the rounding of bfloat16. Gradients have
    rounding errors below 0.4 %. They cannot be differentiated again.

    Input shape: `[batch, features]`.
    """

    def call(self, inputs, training=None):
        """Computes the outputs; see Keras."""
        # A copy: TensorFlow has other rules for gradients of variables.
        x = multiply(inputs, ops.copy(self.kernel))
        if self.use_bias:
            x = x + self.bias
        return self.activation(x)


def is_large_dense(layer: keras.layers.Layer) -> bool:
    """Whether a layer of a model is worth gradients in bfloat16."""
    return (
        isinstance(layer, keras.layers.Dense)
        and len(layer.input.shape) == 2
        and layer.input.shape[-1] * layer.units >= MIN_WEIGHTS
    )


@ops.custom_gradient
def multiply(inputs, kernel):
    """Multiplies float32 matrices; gradients are products in bfloat16.

    Args:
        inputs: `[batch, features]`.
        kernel: `[features, units]`.

    Returns:
        `[batch, units]`.
    """

    def differentiate(upstream):
        x, weights, gradient = (
            ops.cast(matrix, "bfloat16")
            for matrix in (inputs, kernel, upstream)
        )
        of_inputs = ops.matmul(gradient, ops.transpose(weights))
        of_kernel = ops.matmul(ops.transpose(x), gradient)
        return (
            ops.cast(of_inputs, inputs.dtype),
            ops.cast(of_kernel, kernel.dtype),
        )

    return ops.matmul(inputs, kernel), differentiate
