"""Loads siamese models from files."""

import os
import re
import zipfile
from pathlib import Path

import keras

from koch_siamese.errors import InputError, shorten
from koch_siamese.models.packaged import PACKAGED, PRETRAINED
from koch_siamese.models.siamese import is_siamese
from koch_siamese.paths import expand_home


def load_pretrained() -> keras.Model:
    """Loads the model `pretrained` of the package; see the README."""
    return load_model(PRETRAINED)


def load_model(path: str | os.PathLike) -> keras.Model:
    """Loads a siamese model, `model.keras` of a run, in Keras' safe mode.

    Args:
        path: a file, the directory of a run, or the name of a model in the
            package: `pretrained` or `pretrained_large`.

    Returns:
        A model as of `siamese.build_siamese`. Drawings are 0 = ink, 255 =
        white; white on black, as MNIST is, must be inverted: `255 - images`.

    Raises:
        InputError: there is no such file, or it is not a siamese model.
    """
    name = str(path)
    path = expand_home(path)
    if name in PACKAGED:
        path = Path(__file__).with_name(f"{name}.keras")
    if path.is_dir():
        path = path / "model.keras"
    if not path.is_file():
        raise InputError(
            f"There is no model {path}: expected a .keras file, the directory "
            f"of a training that has one, or {' or '.join(PACKAGED)}; load a "
            "saved recognizer with Recognizer.load."
        )
    try:
        if not zipfile.is_zipfile(path):
            raise ValueError("it is broken, or another kind of file")
        model = keras.models.load_model(path, safe_mode=True)
        if not is_siamese(model):
            raise ValueError("it has other layers")
    except Exception as error:  # Keras and zipfile raise many kinds
        reason = shorten(error)
        if "Could not locate" in str(error):
            reason = f"it has a layer that is not known: {_advise(path)}"
        raise InputError(
            f"{path} is not a siamese model of this package: {reason}."
        ) from error
    return model


def _advise(path):
    """Says how Keras gets to know the layers of a user's network."""
    flags = path.with_name("train.flags")
    if not flags.is_file():
        return (
            "in Python, import the module that defines it first; to a command, "
            "give --workdir, the directory of the training"
        )
    text = flags.read_text("utf-8", errors="replace")
    # Of a network that was given as an object, a hash is stored.
    named = re.search(r"^--network=(?!given:)([\w.]+):", text, re.MULTILINE)
    return f"import {named[1] if named else 'the module that defines it'} first"
