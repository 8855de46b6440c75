"""Makes models smaller: fewer views, and weights of half precision."""

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from koch_siamese.errors import InputError
from koch_siamese.models.layers import Views, find_layer
from koch_siamese.models.siamese import get_embedding
from koch_siamese.models.views import add_views, remove_views
from koch_siamese.runs.results import replacing

WEIGHTS = "model.weights.h5"  # in the Keras file


def keep_views(siamese: keras.Model, chosen: Sequence[int]) -> keras.Model:
    """Builds the siamese model with only some of its views.

    Each view takes as long as the others. The thresholds stay, although scores
    are now means of fewer views: fit them again.

    Args:
        siamese: a model with views, see `views.add_views`.
        chosen: the views to keep, from 0 on.

    Raises:
        InputError: the model has no views.
    """
    views = find_layer(get_embedding(siamese), Views)
    if views is None:
        raise InputError("This model has no views: see views.add_views.")
    matrices = views.get_weights()[0][list(chosen)]
    return add_views(remove_views(siamese), matrices, views.fill_value)


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
