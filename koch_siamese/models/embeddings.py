"""Embeddings: the paper's convolutional base, and a fast one."""

import math
from collections.abc import Sequence

import keras
import numpy as np
from keras import layers
from keras.initializers import RandomNormal

from koch_siamese.errors import InputError
from koch_siamese.images import IMAGE_SIZE
from koch_siamese.models.layers import (
    KOCH_BIAS_MEAN,
    KOCH_BIAS_STDDEV,
    KOCH_CONVOLUTION_STDDEV,
    KOCH_DENSE_STDDEV,
    Preprocessing,
    uniform,
)
from koch_siamese.models.normalization import GroupNormalization

# Section 3.1, figure 4.
KOCH_FILTERS = (64, 128, 128, 256)
KOCH_KERNEL_SIZES = (10, 7, 4, 4)
KOCH_UNITS = (4096,)

DENSE_UNITS = (1024, 1024)  # not in the paper
FAST_FILTERS = (32, 64, 128, 128, 256)

NORMALIZATION_GROUPS = 8  # of filters; fewer if 8 does not divide their number


def build_paper_embedding(
    image_size: int = IMAGE_SIZE,
    filters: Sequence[int] = KOCH_FILTERS,
    kernel_sizes: Sequence[int] = KOCH_KERNEL_SIZES,
    units: Sequence[int] = KOCH_UNITS,
    batch_norm: bool = False,
    initial_values: str = "koch",
    stddevs: Sequence[float] = (),
    ink_value: int = 1,
    channels: int = 1,
) -> keras.Model:
    """Builds the paper's embedding (section 3.1, figure 4).

    It has 38,947,648 parameters at 105 pixels and 4096 sigmoid features. All
    convolutions but the last are followed by pooling. All dense layers but the
    last have a ReLU; the paper's best network has only one dense layer. Other
    arguments give other networks of the paper's search: reduced ones for small
    images or, without convolutions, the dense one of table 2.

    Args:
        image_size: the side in pixels at which the convolutions run.
        filters, kernel_sizes: of each convolution; there may be none.
        units: of each dense layer, at least one.
        batch_norm: whether to use batch normalization, with the initial
            weights of He et al. 2015 instead of the paper's (section 3.2).
            After training, `fold_batch_norm` gives the weights of the same
            embedding without it.
        initial_values: `koch` for the paper's normal weights and biases, or
            `uniform` for values within 1/sqrt(fan-in) of 0.
        stddevs: standard deviations of `koch` weights, one for each layer
            (more are ignored); the paper's by default.
        ink_value, channels: see `layers.Preprocessing`.

    Raises:
        InputError: not every convolution has filters and a kernel size, or
            the convolutions leave nothing of an image.
    """
    _check_convolutions(image_size, filters, kernel_sizes)
    stddevs = stddevs or [
        *len(filters) * [KOCH_CONVOLUTION_STDDEV],
        *len(units) * [KOCH_DENSE_STDDEV],
    ]

    def get_arguments(layer, fan_in, activation):
        if batch_norm:
            return {"use_bias": False, "kernel_initializer": "he_normal"}
        return {
            "activation": activation,
            **make_initializers(initial_values, fan_in, stddevs[layer]),
        }

    images, x = build_input(
        Preprocessing(image_size, ink_value, channels=channels)
    )
    for layer, (num_filters, kernel_size) in enumerate(
        zip(filters, kernel_sizes, strict=True), start=1
    ):
        x = layers.Conv2D(
            num_filters,
            kernel_size,
            **get_arguments(layer - 1, kernel_size**2 * x.shape[-1], "relu"),
        )(x)
        if layer < len(filters):
            x = layers.MaxPooling2D()(x)
        if batch_norm:
            x = _normalize_batch(x, "relu")
    x = layers.Flatten()(x)
    for layer, num_units in enumerate(units, start=1):
        activation = "relu" if layer < len(units) else "sigmoid"
        x = layers.Dense(
            num_units,
            **get_arguments(len(filters) + layer - 1, x.shape[-1], activation),
        )(x)
        if batch_norm:
            x = _normalize_batch(x, activation)
    return keras.Model(images, x, name="embedding")


def make_initializers(
    initial_values: str, fan_in: int, stddev: float
) -> dict[str, keras.initializers.Initializer]:
    """Makes the initializers of a layer, as its keyword arguments.

    Args:
        initial_values: `koch` or `uniform`, see `build_paper_embedding`.
        fan_in: number of inputs of a unit, for `uniform`.
        stddev: standard deviation of the weights, for `koch`.
    """
    if initial_values == "uniform":
        return {
            "kernel_initializer": uniform(fan_in),
            "bias_initializer": uniform(fan_in),
        }
    return {
        "kernel_initializer": RandomNormal(0.0, stddev),
        "bias_initializer": RandomNormal(KOCH_BIAS_MEAN, KOCH_BIAS_STDDEV),
    }


def _normalize_batch(x, activation):
    # Folding swaps pooling and scaling, which requires a positive scale. Before
    # a ReLU no scale is needed, because the next layer scales.
    x = layers.BatchNormalization(scale=activation == "sigmoid")(x)
    return layers.Activation(activation)(x)


def fold_batch_norm(embedding: keras.Model) -> list[np.ndarray]:
    """Folds each batch normalization into the layer before it.

    Args:
        embedding: a trained `build_paper_embedding` with `batch_norm`.

    Returns:
        Weights of the same embedding without batch normalization: a kernel and
        a bias for each layer. Its features are those that the given embedding
        has outside of training.
    """
    weights = []
    for layer in embedding.layers:
        if isinstance(layer, layers.BatchNormalization):
            *gamma, beta, mean, variance = layer.get_weights()
            # Hidden layers have no gamma.
            deviation = np.sqrt(variance + layer.epsilon)
            scale = np.prod([1 / deviation, *gamma], axis=0)
            weights[-1] = weights[-1] * scale
            weights.append(beta - mean * scale)
        else:
            weights.extend(layer.get_weights())
    return weights


def _check_convolutions(image_size, filters, kernel_sizes):
    if len(filters) != len(kernel_sizes):
        raise InputError(
            f"Got filters {_listed(filters)} and kernel sizes "
            f"{_listed(kernel_sizes)}: give one kernel size for each "
            "convolution's filters."
        )
    side = image_size
    for layer, kernel_size in enumerate(kernel_sizes, start=1):
        side -= kernel_size - 1
        if layer < len(kernel_sizes):
            side //= 2
        if side < 1:
            raise InputError(
                f"Kernels of {_listed(kernel_sizes)} pixels, with pooling, "
                f"leave nothing of an image of {image_size}: use larger "
                "images (the paper's are 105), fewer or smaller kernels "
                "(experiments/mnist_35px.flags has some for 35), or "
                "--network=fast."
            )


def _listed(values):
    return ",".join(map(str, values))


def build_fast_embedding(
    image_size: int,
    filters: Sequence[int],
    depth: int = 1,
    ink_value: int = 1,
    channels: int = 1,
) -> keras.Model:
    """Builds an embedding of small images that trains on a CPU.

    Each block is a 3x3 convolution, 2x2 max pooling, normalization and ReLU,
    much as in the few-shot literature since Vinyals et al. 2016; the last one
    ends in a sigmoid instead, as the paper's features for a weighted L1 do.
    Blocks use group normalization (Wu and He 2018): a training batch has one or
    two alphabets, whose statistics differ from those of others, and batch
    normalization costs two percentage points. It is only used before the
    sigmoid, to spread the features.

    Args:
        image_size: the side in pixels at which the convolutions run.
        filters: filters of each block.
        depth: number of convolutions of each block but the last. Those after
            the first are residual (He et al. 2016), on the pooled image.
        ink_value, channels: see `layers.Preprocessing`.
    """
    if image_size >> len(filters) < 1:
        raise InputError(
            f"{len(filters)} blocks halve an image of {image_size} pixels to "
            f"nothing: use at least {1 << len(filters)} pixels or fewer blocks."
        )
    images, x = build_input(
        Preprocessing(image_size, ink_value, channels=channels)
    )
    for block, num_filters in enumerate(filters, start=1):
        x = layers.Conv2D(num_filters, 3, padding="same", use_bias=False)(x)
        # Pooling first leaves the rest a quarter of the work, and saves a
        # third of a step.
        x = layers.MaxPooling2D()(x)
        if block < len(filters):
            x = layers.ReLU()(_normalize(x))
            for _ in range(1, depth):
                x = _add_residual(x)
    x = layers.Flatten()(layers.BatchNormalization()(x))
    x = layers.Activation("sigmoid")(x)
    return keras.Model(images, x, name="embedding")


def _add_residual(x):
    """Adds a residual convolution."""
    y = layers.Conv2D(x.shape[-1], 3, padding="same", use_bias=False)(x)
    return layers.ReLU()(layers.Add()([x, _normalize(y)]))


def _normalize(x):
    groups = math.gcd(x.shape[-1], NORMALIZATION_GROUPS)
    return GroupNormalization(groups)(x)


def build_input(preprocessing: Preprocessing):
    """Builds the input of an embedding, and applies its first layer.

    Returns:
        The input, images of any size, and the preprocessed images, both
        symbolic.
    """
    shape = (None, None, preprocessing.channels)
    images = keras.Input(shape, name="images")
    return images, preprocessing(images)
