"""Layers at the start of an embedding, and the paper's initial values."""

import math

import keras
from keras import ops

from koch_siamese.images import WHITE, fit_ink_to_square
from koch_siamese.models.warp import warp_in_all_ways

# Section 3.2: initial weights and biases of the paper's network.
KOCH_CONVOLUTION_STDDEV = 0.01
KOCH_DENSE_STDDEV = 0.2
KOCH_BIAS_MEAN, KOCH_BIAS_STDDEV = 0.5, 0.01

NO_SCALED_IMAGES = (
    f"An image has no value above 1: expected 0 = ink to {WHITE} = white. "
    f"Multiply images of 0..1 by {WHITE}."
)


def uniform(fan_in: int) -> keras.initializers.Initializer:
    """Uniform initial values within 1/sqrt(fan_in), PyTorch's default."""
    limit = 1 / math.sqrt(fan_in)
    return keras.initializers.RandomUniform(-limit, limit)


def normal(mean: float, stddev: float) -> keras.initializers.Initializer:
    """The paper's initial values: normal ones."""
    return keras.initializers.RandomNormal(mean, stddev)


@keras.saving.register_keras_serializable(package="koch_siamese")
class Preprocessing(keras.layers.Layer):
    """Fits grey images to a square, undistorted, and scales them to 0..1.

    Resizing is antialiased; images of the right size are only rescaled.

    Args:
        image_size: side of the square in pixels.
        ink_value: what ink becomes, 1 on paper of 0 or 0 on paper of 1.
        crop: whether images are to be cut to their ink before they come here;
            None in models of before 0.2. It is stored with a model, and has no
            effect on this layer; see `siamese.get_crop`.

    Input shape: `[batch, height, width, 1]`, 0 = ink, 255 = white.
    Output shape: `[batch, image_size, image_size, 1]`, in 0..1.

    Raises:
        ValueError: images have more than one channel; or one of them has no
            value above 1, as it was scaled to 0..1 (within a graph, such as in
            `predict`, TensorFlow's `InvalidArgumentError`; JAX cannot tell).
    """

    def __init__(
        self,
        image_size: int,
        ink_value: int = 1,
        crop: bool | None = None,
        **kwargs,
    ):
        """Makes the layer; it has no weights."""
        super().__init__(**kwargs)
        self.image_size, self.ink_value = image_size, ink_value
        self.crop = crop

    def call(self, images):
        """Fits and rescales the images."""
        images = _check_images(images)
        size = (self.image_size, self.image_size)
        ink = 1.0 - ops.cast(images, self.compute_dtype) / WHITE
        if images.shape[1:3] != size:
            ink = fit_ink_to_square(ink, self.image_size)
        return ink if self.ink_value else 1.0 - ink

    def compute_output_shape(self, input_shape):
        """Any size becomes the square."""
        return (input_shape[0], self.image_size, self.image_size, 1)

    def get_config(self):
        """What the layer is rebuilt from."""
        own = {
            "image_size": self.image_size,
            "ink_value": self.ink_value,
            "crop": self.crop,
        }
        return super().get_config() | own


def _check_images(images):
    """Refuses what cannot be right; see `Preprocessing`."""
    *_, width, channels = images.shape
    # One image without a batch dimension gets to here as many narrow ones.
    if channels not in (1, None) or width in (3, 4):
        raise ValueError(
            f"Images have the shape {tuple(images.shape)}: expected [batch, "
            f"height, width, 1], 0 = ink, {WHITE} = white. Convert colors to "
            "grey, or use koch_siamese.Recognizer, which takes any image."
        )
    if keras.backend.backend() != "tensorflow":
        return images
    import tensorflow as tf

    largest = tf.reduce_max(images, axis=(1, 2, 3))
    has_values = tf.reduce_all(largest > tf.cast(1, largest.dtype))
    if tf.executing_eagerly():
        if not has_values:
            raise ValueError(NO_SCALED_IMAGES)
        return images
    # What the graph does then fails; ONNX and LiteRT leave the assertion out.
    assertion = tf.debugging.Assert(has_values, [NO_SCALED_IMAGES])
    with tf.control_dependencies([assertion]):
        return tf.identity(images)


@keras.saving.register_keras_serializable(package="koch_siamese")
class Views(keras.layers.Layer):
    """Distorts each drawing in the same ways.

    Its one weight is not trained: `matrices`, `[num, 2, num_columns]`, see
    `distortions.sample_affine_matrices`.

    Args:
        num: how many views.
        num_columns: of a matrix.

    Input shape: `[batch, height, width, 1]`, a known height and width, ink in
    0..1.
    Output shape: `[batch * num, height, width, 1]`; those of a drawing are
    neighbors.
    """

    def __init__(self, num: int, num_columns: int = 3, **kwargs):
        """Makes the layer."""
        super().__init__(**kwargs)
        self.num, self.num_columns = num, num_columns

    def build(self, input_shape):
        """Creates the matrices, all 0."""
        self.matrices = self.add_weight(
            shape=(self.num, 2, self.num_columns),
            initializer="zeros",
            trainable=False,
            name="matrices",
        )

    def call(self, images):
        """Warps every drawing by every matrix."""
        return warp_in_all_ways(images, self.matrices, fill_value=0.0)

    def compute_output_shape(self, input_shape):
        """As many times the images, of the same shape."""
        return (None, *input_shape[1:])

    def get_config(self):
        """What the layer is rebuilt from."""
        own = {"num": self.num, "num_columns": self.num_columns}
        return super().get_config() | own
