"""Saves a Keras model with weights of half precision."""

import io
import zipfile
from pathlib import Path

import numpy as np

from koch_siamese.runs.results import replacing

WEIGHTS = "model.weights.h5"  # in the Keras file


def round_weights(model):
    """Rounds the weights to half precision."""
    model.set_weights(
        [weight.astype(np.float16) for weight in model.get_weights()]
    )


def save_in_half_precision(model, path: Path):
    """Saves a model as a Keras file with weights of half precision."""
    import h5py

    with replacing(path, suffix=".keras") as partial:
        model.save(partial)
        with zipfile.ZipFile(partial) as file:
            contents = {name: file.read(name) for name in file.namelist()}
        with (
            h5py.File(io.BytesIO(contents[WEIGHTS])) as weights,
            h5py.File(buffer := io.BytesIO(), "w") as halved,
        ):
            weights.visititems(lambda *item: _copy(halved, *item))
        contents[WEIGHTS] = buffer.getvalue()
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as file:
            for name, content in contents.items():
                file.writestr(name, content)


def _copy(file, name, item):
    """Copies a group or a data set of a file to another one."""
    if hasattr(item, "dtype"):
        file[name] = item[()].astype(np.float16)
    else:
        file.require_group(name)
    file[name].attrs.update(item.attrs)
