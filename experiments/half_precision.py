"""Saves a Keras model with weights of half precision."""

import io
import zipfile
from pathlib import Path

import numpy as np

WEIGHTS = "model.weights.h5"  # in the Keras file


def round_weights(model):
    """Rounds the weights to half precision."""
    model.set_weights(
        [weight.astype(np.float16) for weight in model.get_weights()]
    )


def save_in_half_precision(model, path: Path):
    """Saves a model as a Keras file with weights of half precision."""
    import h5py

    whole, partial = (path.with_suffix(x) for x in (".whole.keras", ".partial"))
    model.save(whole)
    with (
        zipfile.ZipFile(whole) as source,
        zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for name in source.namelist():
            content = source.read(name)
            if name == WEIGHTS:
                with (
                    h5py.File(io.BytesIO(content)) as weights,
                    h5py.File(buffer := io.BytesIO(), "w") as halved,
                ):
                    weights.visititems(lambda *item: _copy(halved, *item))
                content = buffer.getvalue()
            target.writestr(name, content)
    whole.unlink()
    partial.replace(path)


def _copy(file, name, item):
    """Copies a group or a data set of a file to another one."""
    if hasattr(item, "dtype"):
        file[name] = item[()].astype(np.float16)
    else:
        file.require_group(name)
    file[name].attrs.update(item.attrs)
