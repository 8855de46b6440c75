"""Backbones: networks of keras.applications, and embeddings on top of them."""

import inspect
import warnings

import keras
from keras import layers

from koch_siamese.errors import InputError
from koch_siamese.images import CHANNELS, WHITE
from koch_siamese.models.embeddings import begin
from koch_siamese.models.siamese import get_embedding, list_layers
from koch_siamese.paths import expand_home

PROJECTION_UNITS = 256
SMALLEST_VARIANCE = 1e-30

# Names of layers in an embedding with a backbone.
RGB, BACKBONE, PROJECTION = "rgb", "backbone", "projection"

NUM_NAMED = 4  # layers that an error gives as examples


def list_backbones() -> list[str]:
    """Lists the functions of keras.applications that can be backbones.

    They are those whose networks scale RGB values themselves, as each was
    trained with other ones.
    """
    return [
        name
        for name, function in vars(keras.applications).items()
        if inspect.isfunction(function)
        and "include_preprocessing" in inspect.signature(function).parameters
    ]


def build_backbone(
    name: str, image_size: int, weights: str = "none"
) -> keras.Model:
    """Builds a network of keras.applications without its classifier.

    What it drops at random in training (branches of EfficientNetV2) is kept: a
    step is a function of its batch, so that a run can be resumed.

    Args:
        name: of `list_backbones`.
        image_size: side in pixels of what it sees, at least 32.
        weights: `none` for random ones; `imagenet`, which Keras downloads once;
            or a Keras weights file of this network, which may have its
            classifier too if it is a `.weights.h5`.

    Returns:
        `[batch, image_size, image_size, 3]` float32, RGB in 0..255, to means
        over the image, `[batch, dim]`.

    Raises:
        InputError: there is no such network, its weights cannot be
            downloaded, or the file has others.
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
    except Exception as error:  # urllib's, and Keras' own of plain Exception
        if weights != "imagenet":
            raise
        raise InputError(
            f"--backbone_weights=imagenet: Keras cannot download those of "
            f"{name} ({_shorten(error)}): download them elsewhere and give "
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
        with warnings.catch_warnings(action="ignore"):  # the error says it
            backbone.load_weights(path)
    except Exception as error:  # Keras and h5py have many, for other files
        raise InputError(
            f"--backbone_weights={file} has no weights of {name} "
            f"({_shorten(error)}): expected a Keras weights file of it, "
            ".weights.h5 or .h5."
        ) from error


def _shorten(error):
    """The beginning of an error's text, in one line."""
    return " ".join(str(error).split())[:120].rstrip(" .:")


def build_projection(dim: int, units: int = PROJECTION_UNITS) -> keras.Model:
    """Builds what makes features for a weighted L1 of a backbone's.

    Features of any scale are normalized. It ends as `build_fast_embedding`
    does: spread by batch normalization, and within 0..1.

    Args:
        dim: length of the backbone's features.
        units: length of an embedding.

    Returns:
        `[batch, dim] -> [batch, units]`.
    """
    features = keras.Input((dim,), name="features")
    # Those of random weights are as small as 1e-10.
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
        image_size: side in pixels of what the backbone sees.

    Returns:
        `[batch, height, width, 3] -> [batch, units]`, images in RGB, 0..255.
    """
    images, ink = begin(image_size, channels=CHANNELS["photo"])
    # What Preprocessing inverts and scales is turned back.
    rgb = layers.Rescaling(-float(WHITE), float(WHITE), name=RGB)(ink)
    return keras.Model(images, projection(backbone(rgb)), name="embedding")


def get_backbone(siamese: keras.Model) -> keras.Model | None:
    """The backbone of a siamese or training model, if it has one."""
    parts = _find_parts(get_embedding(siamese))
    return parts and parts[BACKBONE]


def get_projection(siamese: keras.Model) -> keras.Model:
    """What follows the backbone of a siamese model that has one."""
    return _find_parts(get_embedding(siamese))[PROJECTION]


def _find_parts(model):
    """The layers of `build_backbone_embedding` by name; None without them.

    With views they are in a model within the embedding.
    """
    parts = {layer.name: layer for layer in model.layers}
    if parts.keys() >= {RGB, BACKBONE, PROJECTION}:
        return parts
    models = (x for x in model.layers if isinstance(x, keras.Model))
    return next(filter(None, map(_find_parts, models)), None)


def set_trainable(backbone: keras.Model, start: str):
    """Freezes layers of a backbone, and lets the others train.

    A frozen batch normalization uses the statistics that it has. What is frozen
    is stored with a model.

    Args:
        backbone: of `build_backbone`.
        start: the name of the first layer to train, of those that have
            weights; `all` or `none`.

    Raises:
        InputError: there is no such layer.
    """
    # One by one: True of a model does not reach layers that were made frozen,
    # as those of a file are.
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
