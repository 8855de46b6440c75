"""What is validated and kept of a training, beside the model that learns."""

import dataclasses

import keras
import numpy as np

from koch_siamese.models import views
from koch_siamese.models.distortions import DISTORTIONS
from koch_siamese.models.siamese import (
    copy_folded_weights,
    copy_siamese,
    copy_weights,
    get_head,
)
from koch_siamese.runs.settings import Settings
from koch_siamese.training import builders


def build_validated(settings: Settings, siamese: keras.Model) -> keras.Model:
    """The siamese model that validates and is stored, of the one that trains.

    It is float32, of one device, and without the batch normalisation that a
    paper's network is trained with: one of its own, to which `update_validated`
    brings the weights, unless the given one is all that.
    """
    if settings.batch_norm:
        plain = dataclasses.replace(
            settings, batch_norm=False, precision="float32"
        )
        return builders.build_model(plain)
    if settings.distribute != "none" or settings.precision != "float32":
        return copy_siamese(siamese)
    return siamese


def update_validated(
    settings: Settings, trained: keras.Model, siamese: keras.Model
):
    """Brings a model of `build_validated` up to date with the one that trains.

    Args:
        settings: of the training.
        trained: its siamese or training model.
        siamese: as `build_validated` made it.
    """
    if settings.batch_norm:
        copy_folded_weights(trained, siamese)
    elif get_head(siamese) is not get_head(trained):
        copy_weights(trained, siamese)


def build_kept(settings: Settings, siamese: keras.Model) -> keras.Model:
    """The model to keep of a training, with the views that it asks for.

    It shares its convolutions with the one that is given; see
    `views.update_head` for the rest.
    """
    if settings.views == 1:
        return siamese
    matrices = views.sample_views(
        DISTORTIONS[settings.distortion],
        settings.views,
        np.random.default_rng(settings.seed),
        turned=settings.turned_views and settings.quarter_turns,
        mirrored=settings.turned_views and settings.mirror_images,
    )
    return views.add_views(siamese, matrices)
