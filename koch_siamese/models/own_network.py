"""Checks the networks and losses of users, and builds embeddings."""

import hashlib
import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
from keras import ops

from koch_siamese.errors import InputError, shorten, warn
from koch_siamese.images import CHANNELS
from koch_siamese.models.embeddings import build_input
from koch_siamese.models.layers import Preprocessing, list_layers

EXPECTED = (
    "a functional keras.Model from float32 [batch, {size}, {size}, "
    "{channels}] ({meaning}) to [batch, dim]"
)

# A first layer that scales by less is meant for gray values of 0 to 255.
SMALL_SCALE = 0.1

# Entries of configs that do not change what a network computes, or that follow
# from others.
NO_ARCHITECTURE = {
    "build_config",
    "dtype",
    "input_layers",
    "module",
    "name",
    "output_layers",
    "trainable",
}


def import_builder(name: str) -> Callable:
    """Imports the function that `--network=my_package.my_module:build` names.

    The current folder is searched for the module, too.

    Raises:
        InputError: there is no such module, or no such function in it.
    """
    module_name, _, function_name = name.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # whatever the module raises
        raise InputError(
            f"--network={name}: {module_name!r} cannot be imported ({error}): "
            "expected MODULE:FUNCTION, of a module that Python finds."
        ) from error
    function = getattr(module, function_name, None)
    if not callable(function):
        raise InputError(
            f"--network={name}: {module_name!r} has no function "
            f"{function_name!r}: expected build(settings), which returns "
            f"{_describe_expected('S', 1)}."
        )
    return function


def build_own_embedding(
    network: keras.Model,
    image_size: int,
    ink_value: int = 1,
    channels: int = 1,
) -> keras.Model:
    """Builds an embedding around a network.

    Args:
        network: a functional model from `[batch, image_size, image_size,
            channels]` float32, ink = 1 unless `ink_value` is 0, to `[batch,
            dim]`. Custom layers must be registered with Keras.
        image_size: side of its input images in pixels.
        ink_value, channels: see `Preprocessing`.

    Returns:
        `[batch, height, width, channels] -> [batch, dim]`, images with 0 = ink
        and 255 = white.

    Raises:
        InputError: the network is not such a model.
    """
    check_network(network, image_size, channels)
    images, ink = build_input(
        Preprocessing(image_size, ink_value, channels=channels)
    )
    return keras.Model(images, network(ink), name="embedding")


def wrap_network(network: keras.Model) -> keras.Model:
    """Builds an embedding around a network, with the size of its input.

    Raises:
        InputError: it does not name that size, or see `build_own_embedding`.
    """
    *_, side, channels = getattr(network, "input_shape", None) or (None, None)
    if not (isinstance(side, int) and channels in CHANNELS.values()):
        raise InputError(
            f"The network {network.name!r} does not name the size of its input "
            "images: begin with keras.Input((size, size, channels)), with 1 "
            "channel, or 3 for photos."
        )
    return build_own_embedding(network, side, channels=channels)


def check_network(network: keras.Model, size: int, channels: int):
    """Checks that a network can be an embedding; see `build_own_embedding`.

    Warns if it begins with a `Rescaling` such as by 1/255.

    Args:
        network: the network.
        size: side of its input images in pixels.
        channels: of its input images.

    Raises:
        InputError: it cannot.
    """
    expected = _describe_expected(size, channels)
    if not isinstance(network, keras.Model):
        raise InputError(
            f"The network is a value of type {type(network).__name__}: "
            f"expected {expected}."
        )
    inputs = getattr(network, "inputs", None) or []
    outputs = getattr(network, "outputs", None) or []
    if len(inputs) != 1 or len(outputs) != 1:
        raise InputError(
            f"The network {network.name!r} has {len(inputs)} inputs and "
            f"{len(outputs)} outputs: expected {expected}. Make it by "
            "keras.Model(inputs, outputs)."
        )
    shape, output = inputs[0].shape, outputs[0].shape
    fits = len(shape) == 4 and all(
        found in (None, wanted)
        for found, wanted in zip(shape[1:], (size, size, channels), strict=True)
    )
    if not fits:
        raise InputError(
            f"The network {network.name!r} takes {_format(shape)}: expected "
            f"{expected}. Begin with keras.Input(({size}, {size}, "
            f"{channels})), or give another --image_size or --image_kind."
        )
    if len(output) != 2 or output[-1] is None:
        raise InputError(
            f"The network {network.name!r} returns {_format(output)}: expected "
            f"{expected}. End it with GlobalAveragePooling2D or Flatten."
        )
    try:
        type(network).from_config(network.get_config())
    except Exception as error:  # Keras raises many, for unknown layers
        raise InputError(
            f"The network {network.name!r} cannot be stored "
            f"({shorten(error)}): register its own layers with "
            "@keras.saving.register_keras_serializable(), and use no Lambda."
        ) from error
    _warn_of_rescaling(network, channels)


def _warn_of_rescaling(network, channels):
    """Warns of a network that expects gray values of 0 to 255."""
    for layer in list_layers(network):
        if isinstance(layer, keras.layers.Rescaling):
            scale = np.abs(layer.scale).max()
            if scale < SMALL_SCALE:
                warn(
                    f"The network {network.name!r} scales its input by "
                    f"{scale:.2g}, but its input is already 0 to 1 "
                    f"({_describe_values(channels)}), so that its output "
                    "hardly depends on the image: remove the layer "
                    f"{layer.name!r}."
                )
            return
        if layer.weights:
            return


def _describe_expected(size, channels):
    return EXPECTED.format(
        size=size, channels=channels, meaning=_describe_values(channels)
    )


def _describe_values(channels):
    return "ink = 1, paper = 0" if channels == 1 else "black = 1, white = 0"


def _format(shape):
    return f"[{', '.join('batch' if x is None else str(x) for x in shape)}]"


def compute_architecture(network: keras.Model) -> str:
    """Computes a hash of a network, whatever the values of its weights.

    It covers the layers, their arguments and how they are connected. Names of
    layers are left out, because Keras numbers them.

    Returns:
        12 hexadecimal digits.
    """
    return _hash([_simplify(network.get_config()), _list_kinds(network)])


def compute_kinds(network: keras.Model) -> str:
    """Computes the hash that older runs store: of kinds and sizes of layers.

    Returns:
        12 hexadecimal digits.
    """
    return _hash(_list_kinds(network))


def _list_kinds(network):
    """Lists the class and the shapes of the weights of each layer."""
    return [
        (type(layer).__name__, [list(weight.shape) for weight in layer.weights])
        for layer in list_layers(network)
        if not isinstance(layer, keras.layers.InputLayer)
    ]


def _simplify(config, indices=None):
    """Removes from a config what does not change the computation.

    Values of None too, as a newer Keras may have more arguments.

    Args:
        config: of a model or a layer, or a part of it.
        indices: the index of each layer in the model that has them, by name.
    """
    if isinstance(config, list | tuple):
        return [_simplify(item, indices) for item in config]
    if not isinstance(config, dict):
        return config
    if "input_layers" in config:  # a functional model
        layers = config["layers"]
        indices = {layer["name"]: i for i, layer in enumerate(layers)}
    kept = {
        key: _simplify(value, indices)
        for key, value in config.items()
        if key not in NO_ARCHITECTURE and value is not None
    }
    if "keras_history" in kept:  # the layer that an input comes from
        name, *outputs = kept["keras_history"]
        kept["keras_history"] = [indices[name], *outputs]
    return kept


def _hash(value):
    text = json.dumps(value, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def name_loss(loss: keras.losses.Loss) -> str:
    """Names a loss by its class, and by a hash of its arguments."""
    config = keras.saving.serialize_keras_object(loss)
    del config["module"]
    config["config"] = {
        key: value
        for key, value in config["config"].items()
        if key != "name" and value is not None  # Keras numbers the names
    }
    return f"{type(loss).__name__}:{_hash(config)}"


def list_older_names(loss: keras.losses.Loss) -> list[str]:
    """Lists the names that older runs store, which depend on its module.

    That was None for a class in a notebook, which may be imported by now.
    """
    config = keras.saving.serialize_keras_object(loss)
    config["config"].pop("name", None)  # Keras numbers it
    return [
        f"{type(loss).__name__}:{_hash(config | {'module': module})}"
        for module in (config["module"], None)
    ]


def check_loss(loss: keras.losses.Loss, sampling: str):
    """Checks that a custom loss can be trained with and stored.

    Args:
        loss: called with `y_true` and `y_pred`. For pairs, these are float
            `[batch]`, 1 = same, and logits `[batch]`; for groups, int
            `[batch]`, the character of each drawing, and logits `[batch,
            batch]` of all pairs.
        sampling: `pairs` or `groups`.

    Raises:
        InputError: it is not a Keras loss, cannot be stored, or does not
            return a number for such arguments.
    """
    if not isinstance(loss, keras.losses.Loss):
        raise InputError(
            f"The loss is a value of type {type(loss).__name__}: expected a "
            "keras.losses.Loss."
        )
    name = type(loss).__name__
    examples = {
        "pairs": ("y_true [batch], y_pred [batch]", [0.0, 1.0], [0.5, -0.5]),
        "groups": (
            "y_true [batch], y_pred [batch, batch]",
            [0, 0, 1, 1],
            4 * [[0.5, -0.5, 1.0, 0.0]],
        ),
    }
    arguments, y_true, y_pred = examples[sampling]
    try:
        value = loss(
            ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
        )
        if ops.shape(value) != () or not bool(ops.isfinite(value)):
            raise ValueError(f"it returns {value}")
    except Exception as error:  # whatever its code raises
        raise InputError(
            f"The loss {name} fails with --sampling={sampling} "
            f"({shorten(error)}): it is called with {arguments} logits, and "
            "must return numbers."
        ) from error
    try:
        keras.saving.deserialize_keras_object(
            keras.saving.serialize_keras_object(loss)
        )
    except Exception as error:
        raise InputError(
            f"The loss {name} cannot be stored: register it with "
            "@keras.saving.register_keras_serializable(), and give it a "
            "get_config."
        ) from error
