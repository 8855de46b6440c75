"""Builds the models of a training from Settings: new, evaluated and final."""

import dataclasses

import keras
import numpy as np

from koch_siamese.backend import has_accelerator
from koch_siamese.errors import InputError
from koch_siamese.images import CHANNELS
from koch_siamese.models import (
    backbones,
    embeddings,
    loading,
    own_network,
    views,
)
from koch_siamese.models.heads import EuclideanDistance, NonPositive, WeightedL1
from koch_siamese.models.layers import KOCH_DENSE_STDDEV
from koch_siamese.models.siamese import (
    build_fast_head,
    build_siamese,
    copy_folded_weights,
    copy_siamese,
    copy_weights,
    get_head,
    get_image_kind,
    get_image_size,
    set_crop,
    set_dataset,
)
from koch_siamese.runs.settings import (
    APPLICATIONS,
    GIVEN,
    Settings,
    is_application,
    is_own_network,
)
from koch_siamese.sampling.distortions import DISTORTIONS
from koch_siamese.training.optimizers import broadcast_to_layers


def build_model(
    settings: Settings, network: keras.Model | None = None
) -> keras.Model:
    """Builds the siamese model of the settings, new or from `init`.

    It computes in the precision of the training and, where that is faster, by
    spectra.

    Args:
        settings: of the training.
        network: a custom network, in place of `settings.network`.

    Raises:
        InputError: `init` is not a siamese model, or does not fit the settings;
            or a network cannot be used.
    """
    if settings.init:
        siamese = _load_initial(settings)
    else:
        embedding = _build_embedding(settings, network)
        head = _build_head(settings, embedding)
        siamese = build_siamese(embedding, head)
    if settings.init or not _computes_plainly(settings):
        siamese = copy_siamese(
            siamese, settings.precision, _is_spectral(settings)
        )
    _freeze(settings, siamese)
    return siamese


def _freeze(settings, siamese):
    """Freezes the layers of a backbone that are not trained."""
    backbone = backbones.get_backbone(siamese)
    if backbone is not None:
        backbones.set_trainable(backbone, settings.trainable_from)
    elif settings.trainable_from != "all":
        raise InputError(
            f"--trainable_from={settings.trainable_from} has no effect with "
            f"--init={settings.init}, which has no network of "
            "keras.applications: remove it."
        )


def _is_spectral(settings):
    return (
        settings.convolution == "auto"
        and settings.network == "paper"
        and not has_accelerator()
    )


def _computes_plainly(settings):
    """Whether the model computes in training as it does when stored."""
    return settings.precision == "float32" and not _is_spectral(settings)


def get_layer_sizes(
    settings: Settings,
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Filters, kernel sizes and units; by default those of the network."""
    if settings.network == "fast":
        return settings.filters or embeddings.FAST_FILTERS, (), ()
    if settings.network == "dense":
        return (), (), settings.units or embeddings.DENSE_UNITS
    return (
        settings.filters or embeddings.KOCH_FILTERS,
        settings.kernel_sizes or embeddings.KOCH_KERNEL_SIZES,
        settings.units or embeddings.KOCH_UNITS,
    )


def build_own_network(settings: Settings) -> keras.Model | None:
    """Builds the custom network that the settings name, if any."""
    if settings.network.startswith(GIVEN):
        raise InputError(
            f"--network={settings.network} was given as an object: train with "
            "koch_siamese.train_and_evaluate and the same embedding."
        )
    if is_own_network(settings.network):
        return own_network.import_builder(settings.network)(settings)
    return None


def _build_embedding(settings, network):
    channels = CHANNELS[settings.image_kind]
    if network is not None:
        return own_network.build_own_embedding(
            network, settings.image_size, settings.ink_value, channels
        )
    if is_application(settings.network):
        return _build_application(settings)
    sizes = get_layer_sizes(settings)
    if settings.network == "fast":
        return embeddings.build_fast_embedding(
            settings.image_size,
            sizes[0],
            settings.depth,
            settings.ink_value,
            channels,
        )
    return embeddings.build_paper_embedding(
        settings.image_size,
        *sizes,
        batch_norm=settings.batch_norm,
        initial_values=settings.initial_values,
        stddevs=_get_stddevs(settings),
        ink_value=settings.ink_value,
        channels=channels,
    )


def _build_application(settings):
    """Builds the embedding of a network of keras.applications."""
    backbone = backbones.build_backbone(
        settings.network.removeprefix(APPLICATIONS),
        settings.image_size,
        settings.backbone_weights,
    )
    (units,) = settings.units or (backbones.PROJECTION_UNITS,)
    projection = backbones.build_projection(backbone.output.shape[-1], units)
    return backbones.build_backbone_embedding(
        backbone, projection, settings.image_size
    )


def count_layers(settings: Settings) -> int:
    """Counts the layers that have weights, with the head if it has any."""
    filters, _, units = get_layer_sizes(settings)
    has_weights = settings.objective != "contrastive"
    return len(filters) + len(units) + has_weights


def _build_head(settings, embedding):
    if settings.objective == "contrastive":
        return EuclideanDistance(name="logit")
    if settings.network not in ("paper", "dense") or settings.batch_norm:
        is_limited = settings.head_weights == "nonpositive"
        constraint = NonPositive() if is_limited else None
        return build_fast_head(embedding.output.shape[-1], constraint)
    stddevs = _get_stddevs(settings)
    initializers = embeddings.make_initializers(
        settings.initial_values,
        embedding.output.shape[-1],
        stddevs[-1] if stddevs else KOCH_DENSE_STDDEV,
    )
    return WeightedL1(**initializers, name="logit")


def _get_stddevs(settings):
    """Standard deviations of each layer's initial weights; () by default."""
    if not settings.layer_stddevs:
        return ()
    return broadcast_to_layers(
        "layer_stddevs", settings.layer_stddevs, count_layers(settings)
    )


def _load_initial(settings):
    model = views.remove_views(loading.load_model(settings.init))
    image_size = get_image_size(model)
    if image_size != settings.image_size:
        raise InputError(
            f"--init={settings.init} sees drawings at {image_size} pixels; got "
            f"--image_size={settings.image_size}: give "
            f"--image_size={image_size}."
        )
    kind = get_image_kind(model)
    if kind != settings.image_kind:
        raise InputError(
            f"--init={settings.init} sees {kind}s; got "
            f"--image_kind={settings.image_kind}: give --image_kind={kind}."
        )
    is_distance = isinstance(get_head(model), EuclideanDistance)
    if is_distance != (settings.objective == "contrastive"):
        objective = "contrastive" if is_distance else "cross_entropy"
        raise InputError(
            f"--init={settings.init} was trained with --objective={objective}; "
            f"got --objective={settings.objective}: give the same."
        )
    get_head(model).thresholds = None  # those of the other training
    return model


def build_evaluation_model(
    settings: Settings, siamese: keras.Model
) -> keras.Model:
    """Builds the evaluation model from the model that is trained.

    It is float32, on one device, and without the batch normalization with which
    the paper's network may be trained. If the given model is so already, it is
    returned; else a copy, whose weights `update_evaluation_model` sets.
    """
    if settings.batch_norm:
        plain = dataclasses.replace(
            settings, batch_norm=False, head_weights="any"
        )
        head = get_head(siamese)
        return build_siamese(
            _build_embedding(plain, network=None),
            type(head).from_config(head.get_config()),
        )
    if settings.distribute != "none" or not _computes_plainly(settings):
        return copy_siamese(siamese)
    return siamese


def update_evaluation_model(
    settings: Settings, trained: keras.Model, siamese: keras.Model
):
    """Copies the trained weights to the evaluation model.

    Args:
        settings: of the training.
        trained: its siamese or training model.
        siamese: the model from `build_evaluation_model`.
    """
    if settings.batch_norm:
        copy_folded_weights(trained, siamese)
    elif get_head(siamese) is not get_head(trained):
        copy_weights(trained, siamese)


def build_final_model(settings: Settings, siamese: keras.Model) -> keras.Model:
    """Builds the final model of a training, with the views of the settings.

    It shares its convolutions with the evaluation model; `views.update_head`
    copies the other weights.
    """
    model = siamese
    if settings.views > 1:
        model = _add_views(settings, siamese)
    # Drawings of Omniglot and similar data sets need no cropping, but a user's
    # drawings must be cropped to resemble them.
    if settings.dataset == "folder":
        set_crop(model, settings.crop)
    else:
        set_crop(model, settings.image_kind == "drawing")
    set_dataset(model, settings.dataset)
    return model


def _add_views(settings, siamese):
    matrices = views.sample_views(
        DISTORTIONS[settings.distortion],
        settings.views,
        np.random.default_rng(settings.seed),
        turned=settings.turned_views and settings.quarter_turns,
        mirrored=settings.turned_views and settings.mirror_images,
    )
    fill_value = None if settings.fill == "edge" else 0.0
    return views.add_views(siamese, matrices, fill_value)
