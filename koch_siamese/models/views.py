"""Test-time augmentation: siamese models that average scores over views.

A view is a fixed distortion, applied to both images of a pair. The errors of a
model differ between views, and differ more if views are also turned and
mirrored; that is for models that were trained with such drawings.
"""

import keras
import numpy as np
from keras import ops

from koch_siamese.errors import InputError
from koch_siamese.models.embeddings import build_input
from koch_siamese.models.heads import WeightedL1
from koch_siamese.models.layers import Preprocessing, Views, find_layer
from koch_siamese.models.siamese import (
    build_siamese,
    get_embedding,
    get_head,
)
from koch_siamese.models.warp import Fill
from koch_siamese.sampling.distortions import (
    QUARTER_TURNS,
    AffineRanges,
    compose,
    sample_affine_matrices,
)

IDENTITY = np.eye(2, 3, dtype=np.float32)


def sample_views(
    ranges: AffineRanges,
    num: int,
    rng: np.random.Generator,
    *,
    turned: bool = False,
    mirrored: bool = False,
) -> np.ndarray:
    """Samples the matrices of `num` views; the first is undistorted.

    Args:
        ranges: of the distortions.
        num: number of views.
        rng: the source of randomness.
        turned: whether views cycle through turns of 0, 90, 180 and 270 degrees.
        mirrored: whether every other view is mirrored, left to right; with
            `turned`, views cycle through all eight symmetries of a square.

    Returns:
        float32 `[num, 2, columns]`.
    """
    matrices = sample_affine_matrices(ranges, num, rng)
    matrices[0] = 0.0
    matrices[0, :, :3] = IDENTITY
    ways = _list_symmetries(turned, mirrored)
    return compose(ways[np.arange(num) % len(ways)], matrices)


def _list_symmetries(turned, mirrored):
    """Symmetries of a square as matrices, `[num, 2, 3]`, the identity first."""
    matrices = [
        turn @ np.diag([sign, 1])
        for sign in ([1, -1] if mirrored else [1])
        for turn in (QUARTER_TURNS if turned else QUARTER_TURNS[:1])
    ]
    return np.pad(np.float32(matrices), [(0, 0), (0, 0), (0, 1)])


def add_views(
    siamese: keras.Model, matrices: np.ndarray, fill_value: Fill = 0.0
) -> keras.Model:
    """Builds a siamese model whose score is the mean over views.

    An embedding is the concatenation of those of all views. Convolutions are
    shared with the given model; the weights of the head are copies.

    Args:
        siamese: a model without views, whose head is a `WeightedL1`.
        matrices: `[num, 2, columns]`, see `sample_views`.
        fill_value: see `layers.Views`.

    Raises:
        InputError: it has another head, already has views, or its ink is 0,
            the value that views are filled with.
    """
    head = get_head(siamese)
    if not isinstance(head, WeightedL1):
        raise InputError(
            "Only a model of weighted L1 distances can have views; this one "
            f"has {type(head).__name__}."
        )
    embedding = get_embedding(siamese)
    if find_layer(embedding, Views):
        raise InputError("This model has views: see remove_views.")
    preprocessing = find_layer(embedding, Preprocessing)
    if preprocessing.ink_value != 1:
        raise InputError(
            "A model that sees ink as 0 on paper as 1 cannot have views: give "
            "--views=1, or train it with --ink_value=1."
        )
    features = keras.Model(
        preprocessing.output,
        embedding.output,
        name="features",
    )
    images, ink = _build_input(siamese)
    num, _, num_columns = matrices.shape
    views = Views(num, num_columns, fill_value, name="views")
    output = features(views(ink))
    views.set_weights([matrices])
    joined = ops.reshape(output, (-1, num * output.shape[-1]))
    model = _build_siamese(images, joined, head)
    update_head(model, siamese)
    return model


def update_head(model: keras.Model, siamese: keras.Model):
    """Copies the head's weights again to a model made by `add_views`."""
    kernel, bias = get_head(siamese).get_weights()
    head = get_head(model)
    num = head.kernel.shape[0] // len(kernel)
    head.set_weights([np.tile(kernel, num) / num, bias])


def remove_views(siamese: keras.Model) -> keras.Model:
    """Builds the siamese model without views; undoes `add_views`."""
    embedding = get_embedding(siamese)
    views = find_layer(embedding, Views)
    if views is None:
        return siamese
    images, ink = _build_input(siamese)
    head = get_head(siamese)
    features = embedding.get_layer("features")
    model = _build_siamese(images, features(ink), head)
    kernel, bias = head.get_weights()
    kernel = kernel.reshape(views.num, -1).sum(axis=0)
    get_head(model).set_weights([kernel, bias])
    return model


def count_views(siamese: keras.Model) -> int:
    """Counts the views whose scores a model averages."""
    views = find_layer(get_embedding(siamese), Views)
    return 1 if views is None else views.num


def _build_input(siamese):
    preprocessing = find_layer(get_embedding(siamese), Preprocessing)
    return build_input(Preprocessing.from_config(preprocessing.get_config()))


def _build_siamese(images, output, head):
    """Builds a siamese model with a new head of the given one's config."""
    return build_siamese(
        keras.Model(images, output, name="embedding"),
        type(head).from_config(head.get_config()),
    )
