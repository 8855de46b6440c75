"""Embeddings: the paper's convolutional base, and a fast one."""

import math
from collections.abc import Sequence

import keras
import numpy as np
from keras import layers

from koch_siamese.errors import InputError
from koch_siamese.images import IMAGE_SIZE
from koch_siamese.models.layers import (
    KOCH_BIAS_MEAN,
    KOCH_BIAS_STDDEV,
    KOCH_CONVOLUTION_STDDEV,
    KOCH_DENSE_STDDEV,
    Preprocessing,
    normal,
    uniform,
)
from koch_siamese.models.normalization import GroupNormalization

# Section 3.1, figure 4.
KOCH_FILTERS = (64, 128, 128, 256)
KOCH_KERNEL_SIZES = (10, 7, 4, 4)
KOCH_UNITS = (4096,)

DENSE_UNITS = (1024, 1024)  # not in the paper
FAST_FILTERS = (32, 64, 128, 128, 256)

NORMALIZATION_GROUPS = 8  # of a block's filters, or fewer if they do not part


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
    """The paper's embedding (section 3.1, figure 4).

    38,947,648 parameters at 105 pixels; 4096 sigmoid features. Convolutions
    are followed by pooling, but for the last one; dense layers before the last
    one, of which the paper's best network has none, are ReLU. Other arguments
    make the kin of it among which the paper searched: reduced networks for
    small images, or without convolutions the dense one of table 2.

    Args:
        image_size: the side in pixels at which the convolutions run.
        filters, kernel_sizes: of each convolution; there may be none.
        units: of each dense layer, at least one.
        batch_norm: whether layers are normalized by the statistics of a batch,
            and weights are He's (He et al. 2015) instead of the paper's
            (section 3.2). After training, `fold_batch_norm` gives the weights
            of the same embedding without it.
        initial_values: `koch`, the paper's normal weights and biases, or
            `uniform`, all within 1/sqrt(fan-in).
        stddevs: of `koch`'s weights, one for each layer (more are not used);
            by default the paper's.
        ink_value, channels: see `layers.Preprocessing`.

    Raises:
        InputError: these do not go together, or leave nothing of an image.
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

    images, x = begin(image_size, ink_value, channels)
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
    """Initial weights and biases of a layer, as its arguments.

    Args:
        initial_values: `koch` or `uniform`, see `build_paper_embedding`.
        fan_in: inputs of a unit, for `uniform`.
        stddev: of the weights, for `koch`.
    """
    if initial_values == "uniform":
        return {
            "kernel_initializer": uniform(fan_in),
            "bias_initializer": uniform(fan_in),
        }
    return {
        "kernel_initializer": normal(0.0, stddev),
        "bias_initializer": normal(KOCH_BIAS_MEAN, KOCH_BIAS_STDDEV),
    }


def _normalize_batch(x, activation):
    # Pooling and a scale can only trade places, as folding has them do, if the
    # scale is positive. Before a ReLU none is missed: the next layer scales.
    x = layers.BatchNormalization(scale=activation == "sigmoid")(x)
    return layers.Activation(activation)(x)


def fold_batch_norm(embedding: keras.Model) -> list[np.ndarray]:
    """Folds each batch normalization into the layer before it.

    Args:
        embedding: of `build_paper_embedding` with `batch_norm`, trained.

    Returns:
        Weights of the same embedding without it, a kernel and a bias for each
        layer. It then does what the given one does outside of training.
    """
    weights = []
    for layer in embedding.layers:
        if isinstance(layer, layers.BatchNormalization):
            *gamma, beta, mean, variance = layer.get_weights()
            # Of hidden layers there is no gamma.
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
    """A few convolution blocks on small images, for training on a CPU.

    Each block is a 3x3 convolution, 2x2 max pooling, normalization and ReLU,
    much as in the few-shot literature since Vinyals et al. 2016; the last one
    ends in a sigmoid instead, the paper's features for a weighted L1. Blocks
    normalize each drawing in groups of filters (Wu and He 2018): a training
    batch is of one alphabet or two, whose statistics are not those of others,
    and with batch normalization the network is two points behind. Only before
    the sigmoid it serves, to spread the features.

    Args:
        image_size: the side in pixels at which the convolutions run.
        filters: filters of each block.
        depth: convolutions of each block but the last one. Those after the
            first are on the pooled image, and add to it (He et al. 2016).
        ink_value, channels: see `layers.Preprocessing`.
    """
    if image_size >> len(filters) < 1:
        raise InputError(
            f"{len(filters)} blocks halve an image of {image_size} pixels to "
            f"nothing: use at least {1 << len(filters)} pixels or fewer blocks."
        )
    images, x = begin(image_size, ink_value, channels)
    for block, num_filters in enumerate(filters, start=1):
        x = layers.Conv2D(num_filters, 3, padding="same", use_bias=False)(x)
        # Pooled first, the rest has a quarter to do: a third off a step.
        x = layers.MaxPooling2D()(x)
        if block < len(filters):
            x = layers.ReLU()(_normalize(x))
            for _ in range(1, depth):
                x = _add_residual(x)
    x = layers.Flatten()(layers.BatchNormalization()(x))
    x = layers.Activation("sigmoid")(x)
    return keras.Model(images, x, name="embedding")


def _add_residual(x):
    """A convolution that adds to what it is given."""
    y = layers.Conv2D(x.shape[-1], 3, padding="same", use_bias=False)(x)
    return layers.ReLU()(layers.Add()([x, _normalize(y)]))


def _normalize(x):
    groups = math.gcd(x.shape[-1], NORMALIZATION_GROUPS)
    return GroupNormalization(groups)(x)


def begin(image_size: int, ink_value: int = 1, channels: int = 1):
    """Where an embedding begins: images of any size, and their ink.

    Arguments are those of `layers.Preprocessing`.

    Returns:
        The input, and what the convolutions see, both symbolic.
    """
    images = keras.Input((None, None, channels), name="images")
    preprocess = Preprocessing(image_size, ink_value, channels=channels)
    return images, preprocess(images)
