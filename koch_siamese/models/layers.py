"""Layers of embeddings, the paper's initial values, and lists of layers."""

import math
from collections.abc import Iterator

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


@keras.saving.register_keras_serializable(package="koch_siamese")
class Preprocessing(keras.layers.Layer):
    """Fits images to a square without distortion, and scales them to 0..1.

    Resizing is antialiased; images of the right size are only rescaled.

    Args:
        image_size: side of the square in pixels.
        ink_value: the value of ink, or of black in photos: 1, with white 0, or
            0, with white 1.
        crop: whether images must be cropped to their ink before this layer;
            None in models older than 0.2. It is stored with a model and has no
            effect on this layer; see `siamese.get_crop`.
        channels: of the images: 1 for drawings, 3 for photos.

    Input shape: `[batch, height, width, channels]`, 0 = ink, 255 = white.
    Output shape: `[batch, image_size, image_size, channels]`, in 0..1.

    Raises:
        ValueError: images have other channels; or a drawing has no value above
            1, because it was scaled to 0..1. Within a graph, as in `predict`,
            the latter is TensorFlow's `InvalidArgumentError`; on JAX it is not
            checked.
    """

    def __init__(
        self,
        image_size: int,
        ink_value: int = 1,
        crop: bool | None = None,
        channels: int = 1,
        **kwargs,
    ):
        """Makes the layer; it has no weights."""
        super().__init__(**kwargs)
        self.image_size, self.ink_value = image_size, ink_value
        self.crop, self.channels = crop, channels

    def call(self, images):
        """Fits and rescales the images."""
        images = _check_images(images, self.channels)
        size = (self.image_size, self.image_size)
        ink = 1.0 - ops.cast(images, self.compute_dtype) / WHITE
        if images.shape[1:3] != size:
            ink = fit_ink_to_square(ink, self.image_size)
        return ink if self.ink_value else 1.0 - ink

    def compute_output_shape(self, input_shape):
        """Returns the shape of the squares, whatever the size of the images."""
        size = self.image_size
        return (input_shape[0], size, size, self.channels)

    def get_config(self):
        """Returns the config of the layer."""
        own = {
            "image_size": self.image_size,
            "ink_value": self.ink_value,
            "crop": self.crop,
        }
        # Files of models of drawings stay as they were before photos.
        if self.channels != 1:
            own["channels"] = self.channels
        return super().get_config() | own


def _check_images(images, channels):
    """Raises an error for wrong images; see `Preprocessing`."""
    *_, width, found = images.shape
    # One image without a batch dimension arrives here as many narrow ones.
    if found not in (channels, None) or (channels == 1 and width in (1, 3, 4)):
        meaning = (
            f"0 = ink, {WHITE} = white. Convert colors to gray, give one image "
            "as image[None]"
        )
        if channels == 3:
            meaning = "in RGB. Repeat gray values in three channels"
        raise ValueError(
            f"Images have the shape {tuple(images.shape)}: expected [batch, "
            f"height, width, {channels}], {meaning}, or use "
            "koch_siamese.Recognizer, which takes any image."
        )
    # A photo may be all black, but a drawing has paper.
    if keras.backend.backend() != "tensorflow" or channels != 1:
        return images
    import tensorflow as tf

    largest = tf.reduce_max(images, axis=(1, 2, 3))
    has_values = tf.reduce_all(largest > tf.cast(1, largest.dtype))
    if tf.executing_eagerly():
        if not has_values:
            raise ValueError(NO_SCALED_IMAGES)
        return images
    # The graph fails when it runs; ONNX and LiteRT drop the assertion.
    assertion = tf.debugging.Assert(has_values, [NO_SCALED_IMAGES])
    with tf.control_dependencies([assertion]):
        return tf.identity(images)


@keras.saving.register_keras_serializable(package="koch_siamese")
class Views(keras.layers.Layer):
    """Distorts each drawing in the same ways, for test-time augmentation.

    Its only weight is not trained: `matrices`, `[num, 2, num_columns]`, see
    `distortions.sample_affine_matrices`.

    Args:
        num: number of views.
        num_columns: columns of a matrix.
        fill_value: see `AffineWarp`; 0 (white) by default.

    Input shape: `[batch, height, width, channels]`, with a known height and
    width, ink in 0..1.
    Output shape: `[batch * num, height, width, channels]`; the views of a
    drawing are adjacent.
    """

    def __init__(
        self,
        num: int,
        num_columns: int = 3,
        fill_value: float | None = 0.0,
        **kwargs,
    ):
        """Makes the layer."""
        super().__init__(**kwargs)
        self.num, self.num_columns = num, num_columns
        self.fill_value = fill_value

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
        return warp_in_all_ways(images, self.matrices, self.fill_value)

    def compute_output_shape(self, input_shape):
        """Returns the shape of all views."""
        return (None, *input_shape[1:])

    def get_config(self):
        """Returns the config of the layer."""
        own = {"num": self.num, "num_columns": self.num_columns}
        if self.fill_value != 0.0:  # older files stay the same
            own["fill_value"] = self.fill_value
        return super().get_config() | own


def list_layers(model: keras.Model) -> Iterator[keras.Layer]:
    """Lists the layers of a model, and those of models within it."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from list_layers(layer)
        else:
            yield layer


def find_layer(embedding: keras.Model, kind: type) -> keras.Layer | None:
    """Finds the first layer of a kind in an embedding, if there is one."""
    found = (layer for layer in embedding.layers if isinstance(layer, kind))
    return next(found, None)
