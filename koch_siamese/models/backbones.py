"""Backbones: networks of keras.applications, and embeddings on top of them."""

import inspect
import warnings

import keras
from keras import layers

from koch_siamese.errors import InputError, shorten
from koch_siamese.images import CHANNELS, WHITE
from koch_siamese.models.embeddings import build_input
from koch_siamese.models.layers import Preprocessing, list_layers
from koch_siamese.models.siamese import get_embedding
from koch_siamese.paths import expand_home

PROJECTION_UNITS = 256
SMALLEST_VARIANCE = 1e-30

# Names of layers in an embedding with a backbone.
RGB, BACKBONE, PROJECTION = "rgb", "backbone", "projection"

NUM_NAMED = 4  # example layers in an error message


def list_backbones() -> list[str]:
    """Lists the functions of keras.applications that can be backbones.

    Their networks scale RGB values themselves, because each was trained on
    another range.
    """
    return [
        name
        for name, function in vars(keras.applications).items()
        if inspect.isfunction(function)
        and "include_preprocessing" in inspect.signature(function).parameters
    ]


def build_backbone(name: str, image_size: int, weights: str) -> keras.Model:
    """Builds a network of keras.applications without its classifier.

    Dropout (stochastic depth in EfficientNetV2) is disabled: a step depends
    only on its batch, so that a run can be resumed.

    Args:
        name: one of `list_backbones`.
        image_size: side of its input images in pixels, at least 32.
        weights: `none` for random weights; `imagenet` for those that Keras
            downloads once; or a Keras weights file of this network. A
            `.weights.h5` may contain the classifier, too.

    Returns:
        A model from float32 `[batch, image_size, image_size, 3]`, RGB in
        0..255, to features averaged over the image, `[batch, dim]`.

    Raises:
        InputError: there is no such network, its weights cannot be
            downloaded, or the file has weights of another one.
    """
    names = list_backbones()
    if name not in names:
        raise InputError(
            f"--network=keras.applications:{name} cannot be used: expected one "
            f"that takes include_preprocessing: {', '.join(sorted(names))}."
        )
    backbone = _build(name, image_size, weights)
    if weights not in ("none", "imagenet"):
        _load_weights(backbone, name, weights)
    for layer in list_layers(backbone):
        if isinstance(layer, layers.Dropout):
            layer.rate = 0.0
    return keras.Model(backbone.input, backbone.output, name=BACKBONE)


def _build(name, image_size, weights):
    try:
        return getattr(keras.applications, name)(
            include_top=False,
            include_preprocessing=True,
            weights="imagenet" if weights == "imagenet" else None,
            input_shape=(image_size, image_size, CHANNELS["photo"]),
            pooling="avg",
        )
    except Exception as error:  # urllib's, or a plain Exception of Keras
        if weights != "imagenet":
            raise
        raise InputError(
            f"--backbone_weights=imagenet: Keras cannot download those of "
            f"{name} ({shorten(error)}): download them elsewhere and give "
            "--backbone_weights=FILE, or none."
        ) from error


def _load_weights(backbone, name, file):
    path = expand_home(file)
    if not path.is_file():
        raise InputError(
            f"--backbone_weights={file}: there is no such file; expected "
            "imagenet, none, or a Keras weights file."
        )
    try:
        with warnings.catch_warnings(action="ignore"):  # the error is enough
            backbone.load_weights(path)
    except Exception as error:  # Keras and h5py raise many kinds
        raise InputError(
            f"--backbone_weights={file} has no weights of {name} "
            f"({shorten(error)}): expected a Keras weights file of it, "
            ".weights.h5 or .h5."
        ) from error


def build_projection(dim: int, units: int) -> keras.Model:
    """Builds a layer that projects a backbone's features for a weighted L1.

    It normalizes features of any scale. It ends as `build_fast_embedding`
    does: batch normalization spreads the features, a sigmoid bounds them.

    Args:
        dim: length of the backbone's features.
        units: length of an embedding.

    Returns:
        `[batch, dim] -> [batch, units]`.
    """
    features = keras.Input((dim,), name="features")
    # Features of a backbone with random weights are as small as 1e-10.
    x = layers.LayerNormalization(
        center=False, scale=False, epsilon=SMALLEST_VARIANCE
    )(features)
    x = layers.Dense(units, use_bias=False)(x)
    x = layers.Activation("sigmoid")(layers.BatchNormalization()(x))
    return keras.Model(features, x, name=PROJECTION)


def build_backbone_embedding(
    backbone: keras.Model, projection: keras.Model, image_size: int
) -> keras.Model:
    """Builds an embedding of photos from a backbone and a projection.

    Args:
        backbone: see `build_backbone`.
        projection: see `build_projection`.
        image_size: side of the backbone's input images in pixels.

    Returns:
        `[batch, height, width, 3] -> [batch, units]`, images in RGB, 0..255.
    """
    images, ink = build_input(
        Preprocessing(image_size, channels=CHANNELS["photo"])
    )
    # Undoes the inversion and scaling of Preprocessing.
    rgb = layers.Rescaling(-float(WHITE), float(WHITE), name=RGB)(ink)
    return keras.Model(images, projection(backbone(rgb)), name="embedding")


def get_backbone(siamese: keras.Model) -> keras.Model | None:
    """The backbone of a siamese or training model, if it has one."""
    parts = _find_parts(get_embedding(siamese))
    return parts and parts[BACKBONE]


def get_projection(siamese: keras.Model) -> keras.Model:
    """The projection that follows the backbone of a siamese model."""
    return _find_parts(get_embedding(siamese))[PROJECTION]


def _find_parts(model):
    """Finds the layers of `build_backbone_embedding` by name, if any.

    If the model has views, they are inside a nested model.
    """
    parts = {layer.name: layer for layer in model.layers}
    if parts.keys() >= {RGB, BACKBONE, PROJECTION}:
        return parts
    models = (x for x in model.layers if isinstance(x, keras.Model))
    return next(filter(None, map(_find_parts, models)), None)


def set_trainable(backbone: keras.Model, start: str):
    """Freezes the layers of a backbone up to a given one.

    Frozen batch normalization keeps its statistics. Saved models remember
    which layers are frozen.

    Args:
        backbone: from `build_backbone`.
        start: name of the first layer to train, which must have weights; or
            `all` or `none`.

    Raises:
        InputError: there is no such layer.
    """
    # Layer by layer: setting it on a model does not reach layers that are
    # already frozen, such as those of a file.
    for layer in (backbone, *list_layers(backbone)):
        layer.trainable = start != "none"
    if start in ("all", "none"):
        return
    names = [layer.name for layer in backbone.layers if layer.weights]
    if start not in names:
        step = max(1, len(names) // NUM_NAMED)
        raise InputError(
            f"--trainable_from={start}: the backbone has no such layer with "
            f"weights; expected all, none, or one of its {len(names)}, such as "
            f"{', '.join(names[step - 1 :: step][:NUM_NAMED])}."
        )
    for layer in backbone.layers:
        if layer.name == start:
            return
        layer.trainable = False
