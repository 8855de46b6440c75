"""Builds siamese models around an embedding, and accesses their parts."""

import dataclasses
import hashlib

import keras
import numpy as np
from keras import layers, ops

from koch_siamese.errors import InputError
from koch_siamese.images import CHANNELS
from koch_siamese.models.convolutions import (
    SpectralConv2D,
    is_faster_by_spectra,
)
from koch_siamese.models.dense import BFloat16GradientDense, is_large_dense
from koch_siamese.models.embeddings import fold_batch_norm
from koch_siamese.models.heads import Head, WeightedL1
from koch_siamese.models.layers import Preprocessing, find_layer, list_layers
from koch_siamese.models.normalization import GroupNormalization
from koch_siamese.models.own_network import wrap_network
from koch_siamese.models.thresholds import Thresholds

# Layers that a copy replaces. Older files have Keras' normalization, which
# trains more slowly than ours.
REPLACEMENTS = {
    SpectralConv2D: layers.Conv2D,
    BFloat16GradientDense: layers.Dense,
    layers.GroupNormalization: GroupNormalization,
}

# Keras' dtype policies for layers with float32 weights.
POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}


def build_siamese(embedding: keras.Model, head=None) -> keras.Model:
    """Builds a siamese model: one embedding for both inputs, one logit.

    Args:
        embedding: a network of your own, see `own_network.build_own_embedding`;
            or one of `models.embeddings`, which has a `Preprocessing` layer and
            is named `embedding`.
        head: a `heads.Head` named `logit`, such as `WeightedL1(name="logit")`,
            the paper's, which is the default.

    Returns:
        A model from `{"first": images, "second": images}`, each
        `[batch, height, width, channels]` with 0 = ink and 255 = white, to
        `logit`, `[batch]`: the higher, the more probable the same character.
        White on black, as MNIST is, must be inverted: `255 - images`. Compile
        the model with `BinaryCrossentropy(from_logits=True)` and
        `BinaryAccuracy(threshold=0)`; the string `"binary_crossentropy"` is for
        probabilities. `sigmoid(logit)` is not the calibrated probability, which
        is `get_thresholds(model).probability(logit)`; a model that was trained
        by Keras alone has no thresholds (None).

    Raises:
        InputError: the embedding or the head is not such a one.
    """
    head = head or WeightedL1(name="logit")
    if isinstance(embedding, keras.Model) and (
        find_layer(embedding, Preprocessing) is None
    ):
        embedding = wrap_network(embedding)
    _check_parts(embedding, head)
    shape = (None, None, embedding.input.shape[-1])
    first = keras.Input(shape, name="first")
    second = keras.Input(shape, name="second")
    logit = head(embedding(first), embedding(second))
    return keras.Model(
        {"first": first, "second": second}, logit, name="siamese"
    )


def _check_parts(embedding, head):
    """Refuses parts that `get_embedding` and others would not find."""
    is_named = isinstance(embedding, keras.Model) and (
        embedding.name == "embedding"
    )
    if not (is_named and find_layer(embedding, Preprocessing)):
        raise InputError(
            f"The embedding is {_describe(embedding)}: expected a keras.Model "
            "of your own, or one with a Preprocessing layer that is named "
            "'embedding'."
        )
    if not isinstance(head, Head) or head.name != "logit":
        raise InputError(
            f"The head is {_describe(head)}: expected a heads.Head named "
            "'logit', such as WeightedL1(name='logit')."
        )


def _describe(part):
    name = getattr(part, "name", None)
    return f"of type {type(part).__name__} and named {name!r}"


def build_fast_head(dim: int, constraint=None) -> WeightedL1:
    """Builds the weighted L1 for embeddings with normalized features.

    All weights are negative at first, and large enough together to span the
    logits that matter. With the paper's random signs, accuracy is six
    percentage points lower after three minutes.

    Args:
        dim: length of an embedding.
        constraint: of the weights, such as `heads.NonPositive`.
    """
    start = keras.initializers.Constant(-20.0 / dim)
    return WeightedL1(start, "zeros", constraint, name="logit")


def copy_siamese(
    siamese: keras.Model, precision: str = "float32", spectral: bool = False
) -> keras.Model:
    """Copies a siamese model; the copy has its own variables.

    Args:
        siamese: the model to copy.
        precision: float32 or bfloat16, in which convolutions, pooling and the
            gradients of large dense layers are computed. Weights and all else
            are float32.
        spectral: whether to compute convolutions by spectra where that is
            faster; of those, only gradients are computed in bfloat16. See
            `SpectralConv2D`.
    """

    def copy_layer(layer):
        config = layer.get_config()
        config.pop("gradient_dtype", None)  # of a spectral convolution
        if spectral and is_faster_by_spectra(layer):
            own = {"dtype": "float32", "gradient_dtype": precision}
            return SpectralConv2D.from_config(config | own)
        if isinstance(layer, layers.Conv2D | layers.MaxPooling2D):
            config["dtype"] = POLICIES[precision]
        if precision == "bfloat16" and is_large_dense(layer):
            return BFloat16GradientDense.from_config(config)
        kind = REPLACEMENTS.get(type(layer), type(layer))
        return kind.from_config(config)

    head = get_head(siamese)
    copy = build_siamese(
        keras.models.clone_model(
            get_embedding(siamese), clone_function=copy_layer, recursive=True
        ),
        type(head).from_config(head.get_config()),
    )
    copy_weights(siamese, copy)
    return copy


def copy_weights(source: keras.Model, target: keras.Model):
    """Copies weights from one siamese or training model to another."""
    for get_part in (get_embedding, get_head):
        get_part(target).set_weights(get_part(source).get_weights())


def copy_folded_weights(source: keras.Model, target: keras.Model):
    """Copies weights, and folds batch normalization into them."""
    weights = fold_batch_norm(get_embedding(source))
    get_embedding(target).set_weights(weights)
    get_head(target).set_weights(get_head(source).get_weights())


def get_embedding(model: keras.Model) -> keras.Model:
    """The shared embedding of a siamese or training model."""
    return model.get_layer("embedding")


def get_head(model: keras.Model) -> Head:
    """The layer of a siamese or training model that scores embeddings."""
    return model.get_layer("logit")


def is_siamese(model: keras.Model) -> bool:
    """Tells whether a model is a siamese model of this package."""
    if not isinstance(model, keras.Model):
        return False
    try:
        get_image_size(model)
        return isinstance(get_head(model), Head)
    except (AttributeError, ValueError):
        return False


def require_siamese(model: keras.Model):
    """Checks that a user's model is a siamese model.

    Raises:
        InputError: it is not.
    """
    if not is_siamese(model):
        name = getattr(model, "name", model)
        raise InputError(
            f"The model {name!r} is not a siamese model of this package: "
            "expected one of load_model, build_siamese or a training."
        )


def get_image_size(model: keras.Model) -> int:
    """The side in pixels to which a model resizes images."""
    return _get_preprocessing(model).image_size


def get_channels(model: keras.Model) -> int:
    """The number of channels of a model's images; see `images.CHANNELS`."""
    return _get_preprocessing(model).channels


def get_image_kind(model: keras.Model) -> str:
    """The kind of a model's images; see `images.CHANNELS`."""
    kinds = {num: kind for kind, num in CHANNELS.items()}
    return kinds[get_channels(model)]


def get_photo_size(model: keras.Model) -> int:
    """The side in pixels at which to read photos for a model; 0 if drawings."""
    return get_image_size(model) if get_image_kind(model) == "photo" else 0


def get_crop(model: keras.Model) -> bool:
    """Whether images for a model must be cropped to their ink.

    They must if its training images were; Omniglot's need not be. Models older
    than 0.2, and those that Keras alone has trained, do not store it: then
    drawings are cropped.
    """
    crop = _get_preprocessing(model).crop
    return get_image_kind(model) == "drawing" if crop is None else crop


def set_crop(model: keras.Model, crop: bool):
    """Stores with a siamese model how to read images; see `get_crop`."""
    _get_preprocessing(model).crop = crop


def _get_preprocessing(model):
    return find_layer(get_embedding(model), Preprocessing)


def compute_fingerprint(model: keras.Model) -> str:
    """Computes a hash of an embedding's weights: 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for weight in get_embedding(model).get_weights():
        digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()


def get_filters(model: keras.Model) -> np.ndarray | None:
    """The filters of the first convolution, if there is one (figure 7).

    Returns:
        `[height, width, channels, num]`.
    """
    for layer in list_layers(get_embedding(model)):
        if isinstance(layer, layers.Conv2D):
            return ops.convert_to_numpy(layer.kernel)
    return None


def get_thresholds(model: keras.Model) -> Thresholds | None:
    """The thresholds stored with a siamese model, if it has any.

    Raises:
        InputError: it is not a siamese model.
    """
    require_siamese(model)
    return read_thresholds(get_head(model))


def read_thresholds(head: Head) -> Thresholds | None:
    """The thresholds stored with a head, if it has any."""
    return head.thresholds and Thresholds(**head.thresholds)


def set_thresholds(model: keras.Model, thresholds: Thresholds | None):
    """Stores thresholds with a siamese model, to be saved with it."""
    get_head(model).thresholds = thresholds and dataclasses.asdict(thresholds)


def get_dataset(model: keras.Model) -> str | None:
    """The name of the data set that a model was trained on, if stored."""
    return get_head(model).dataset


def set_dataset(model: keras.Model, dataset: str):
    """Stores the name of its data set with a siamese model, to be saved."""
    get_head(model).dataset = dataset
