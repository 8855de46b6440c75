"""Builds the batches, the models and the trainer from Settings."""

import dataclasses
import itertools
import math
from pathlib import Path

import keras
import numpy as np
from keras import ops

from koch_siamese.backend import has_accelerator
from koch_siamese.data.characters import Characters
from koch_siamese.errors import InputError
from koch_siamese.images import CHANNELS, WHITE
from koch_siamese.models import (
    backbones,
    embeddings,
    loading,
    own_network,
    views,
)
from koch_siamese.models.heads import (
    EuclideanDistance,
    NonPositive,
    WeightedL1,
)
from koch_siamese.models.layers import KOCH_DENSE_STDDEV
from koch_siamese.models.photo_effects import PhotoEffects, change_photos
from koch_siamese.models.siamese import (
    build_fast_head,
    build_siamese,
    copy_folded_weights,
    copy_siamese,
    copy_weights,
    get_channels,
    get_embedding,
    get_head,
    get_image_size,
    set_crop,
    set_dataset,
)
from koch_siamese.models.warp import AffineWarp, Fill, warp
from koch_siamese.runs.settings import (
    APPLICATIONS,
    GIVEN,
    Settings,
    is_application,
    is_own_network,
    keeps_features,
)
from koch_siamese.sampling.distortions import DISTORTIONS
from koch_siamese.sampling.effects import EFFECTS
from koch_siamese.training import batches, chunks, features, losses
from koch_siamese.training.optimizers import (
    ConvolutionMuon,
    LayerwiseSGD,
    broadcast_to_layers,
)

NUM_MEASURED_PAIRS = 1024  # on which gradients are measured


def make_batches(
    settings: Settings,
    training: Characters,
    first_step: int = 0,
    kept: np.ndarray | None = None,
):
    """Makes the endless batches of a training.

    Groups are smaller than the settings if there are fewer characters, or fewer
    drawings of each.

    Args:
        settings: of the training.
        training: the characters to train on.
        first_step: the step to begin with.
        kept: the features of their images, if the model is trained on features;
            see `features.compute_features`.

    Returns:
        A tf.data.Dataset; with several steps per call, a generator of chunks,
        see `chunks.make_chunks`.
    """
    sampler = build_sampler(settings, training)
    name = NAMES[settings.sampling]
    if settings.steps_per_call > 1:
        return chunks.make_chunks(
            sampler, name, first_step, settings.steps_per_call
        )
    images = training.images
    if kept is not None:
        images, sampler = kept, features.without_distortion(sampler)
    return batches.make_dataset(images, sampler, name, first_step).prefetch(4)


NAMES = {"pairs": batches.name_pairs, "groups": batches.name_groups}


def sample_batches(settings: Settings, training: Characters):
    """Yields the endless batches of a training as NumPy arrays."""
    sampler = build_sampler(settings, training)
    for step in itertools.count():
        drawings, distortion, labels = sampler(step)
        images = training.images[drawings]
        yield NAMES[settings.sampling](images, distortion, labels)


def build_sampler(settings: Settings, training: Characters) -> batches.Sampler:
    """Builds the sampler of a training's batches."""
    arguments = {
        "seed": settings.seed,
        "ranges": DISTORTIONS[settings.distortion],
        "within_alphabet": settings.within_alphabet,
        "effects": _get_effects(settings),
    }
    if settings.sampling == "pairs":
        return batches.build_pair_sampler(
            training,
            batch_size=settings.batch_size,
            num_pairs=settings.num_pairs,
            num_copies=settings.num_copies,
            **arguments,
        )
    counts = np.unique(training.character, return_counts=True)[1]
    return batches.build_group_sampler(
        training,
        num_characters=min(settings.group_characters, len(counts)),
        num_drawings=min(settings.group_drawings, counts.min()),
        character_ranges=DISTORTIONS[settings.character_distortion],
        character_effects=EFFECTS[settings.character_effects],
        **arguments,
    )


def _get_effects(settings):
    """The effects on photos; None if there are none."""
    if settings.effects == settings.character_effects == "none":
        return None
    return EFFECTS[settings.effects]


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
    if not is_own_network(settings.network) or is_application(settings.network):
        return None
    if settings.network.startswith(GIVEN):
        raise InputError(
            f"--network={settings.network} was given as an object: train with "
            "koch_siamese.train_and_evaluate and the same embedding."
        )
    return own_network.import_builder(settings.network)(settings)


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
    kinds = {num: kind for kind, num in CHANNELS.items()}
    kind = kinds[get_channels(model)]
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


def build_trainer(
    settings: Settings,
    siamese: keras.Model,
    training: Characters | None = None,
    loss: keras.losses.Loss | None = None,
) -> keras.Model:
    """Builds the compiled model that trains on `make_batches`.

    Args:
        settings: of the training.
        siamese: the model to train.
        training: the characters to train on; only needed for several steps per
            call.
        loss: a loss in place of that of the settings.
    """
    if settings.steps_per_call > 1:
        if keras.backend.backend() != "jax":
            raise InputError(
                f"--steps_per_call={settings.steps_per_call} needs "
                f"KERAS_BACKEND=jax; it is {keras.backend.backend()}."
            )
        drawings = chunks.ResidentDrawings.of(training.images)
        trainer = _build_uncompiled_trainer(settings, siamese, drawings)
        trainer = chunks.ChunkedModel(trainer.input, trainer.output)
    else:
        trainer = _build_uncompiled_trainer(settings, siamese)
    if settings.distribute == "multiworker":
        from koch_siamese.training.distribution import DistributedModel

        trainer = DistributedModel(trainer.input, trainer.output)
    trainer.compile(_build_optimizer(settings), loss or _build_loss(settings))
    trainer.optimizer.build(trainer.trainable_variables)
    return trainer


def load_trainer(path: Path, training: Characters) -> keras.Model:
    """Loads the trainer of a checkpoint, with its optimizer.

    Args:
        path: of its `.keras` file.
        training: the characters to train on.
    """
    trainer = keras.models.load_model(path)
    for layer in trainer.layers:
        if isinstance(layer, chunks.ResidentDrawings):
            layer.place(training.images)
    return trainer


def _build_uncompiled_trainer(settings, siamese, drawings=None):
    if keeps_features(settings):
        return features.build_feature_model(siamese, settings.sampling)
    build = {"pairs": build_pair_model, "groups": build_group_model}
    return build[settings.sampling](
        siamese,
        settings.image_size,
        get_fill_value(settings),
        drawings,
        has_effects=_get_effects(settings) is not None,
    )


def _build_loss(settings):
    if settings.sampling == "groups":
        return losses.AllPairsLoss(settings.ranking_weight)
    if settings.objective == "contrastive":
        return losses.ContrastiveLoss(settings.margin)
    return losses.PairLoss()


def get_fill_value(settings: Settings) -> Fill:
    """The value outside of a distorted image; see `AffineWarp`."""
    return {"paper": float(WHITE), "ink": 0.0, "edge": None}[settings.fill]


def convert_relative_updates(
    settings: Settings, siamese: keras.Model, training: Characters
) -> Settings:
    """Converts relative updates to learning rates (see `Settings`).

    Gradients are measured on `NUM_MEASURED_PAIRS` pairs, for the kernel of each
    layer.

    Args:
        settings: with `relative_updates`.
        siamese: the model, with its initial values.
        training: the characters to train on.
    """
    ratios = measure_gradients(settings, siamese, training)
    if not all(math.isfinite(ratio) and ratio > 0 for ratio in ratios):
        raise InputError(
            "--relative_updates needs a gradient in each layer at the initial "
            f"values; relative to the weights they are {ratios}: give rates "
            "instead."
        )
    updates = broadcast_to_layers(
        "layer_learning_rates", settings.layer_learning_rates, len(ratios)
    )
    rates = (
        float(f"{u / r:.4g}") for u, r in zip(updates, ratios, strict=True)
    )
    return dataclasses.replace(
        settings, layer_learning_rates=tuple(rates), relative_updates=False
    )


def measure_gradients(
    settings: Settings, siamese: keras.Model, training: Characters
) -> list[float]:
    """Measures the gradient of each layer relative to its weights.

    Both are root mean squares over the kernel. Arguments are those of
    `convert_relative_updates`.
    """
    num_batches = max(1, NUM_MEASURED_PAIRS // settings.batch_size)
    before = siamese.get_weights()
    trainer = _build_uncompiled_trainer(settings, siamese)
    # At a rate of 1, the update is the gradient on all batches.
    accumulation = {"gradient_accumulation_steps": num_batches}
    trainer.compile(
        keras.optimizers.SGD(1.0, **accumulation if num_batches > 1 else {}),
        _build_loss(settings),
    )
    kernels = [
        variable
        for variable in trainer.trainable_variables
        if variable.path.endswith("kernel")
    ]
    weights = [ops.convert_to_numpy(kernel) for kernel in kernels]
    trainer.fit(
        sample_batches(settings, training),
        steps_per_epoch=num_batches,
        shuffle=False,
        verbose=0,
    )
    ratios = [
        float(np.linalg.norm(weight - kernel) / np.linalg.norm(weight))
        for weight, kernel in zip(weights, kernels, strict=True)
    ]
    siamese.set_weights(before)
    return ratios


def _build_optimizer(settings):
    if settings.optimizer == "layerwise_sgd":
        return LayerwiseSGD(
            settings.layer_learning_rates,
            settings.layer_momentums,
            settings.layer_l2,
            settings.steps_per_epoch,
            settings.momentum_ramp_epochs,
            settings.momentum_ramp_steps,
        )
    learning_rate = settings.learning_rate
    if settings.schedule == "cosine":
        learning_rate = keras.optimizers.schedules.CosineDecay(
            learning_rate, settings.epochs * settings.steps_per_epoch
        )
    weight_decay = settings.weight_decay or None
    if settings.optimizer == "adam":
        return keras.optimizers.Adam(learning_rate, weight_decay=weight_decay)
    return ConvolutionMuon(
        learning_rate,
        adam_lr_ratio=settings.adam_lr_ratio,
        weight_decay=weight_decay,
    )


def build_pair_model(
    siamese: keras.Model,
    image_size: int,
    fill_value: Fill = float(WHITE),
    drawings: keras.Layer | None = None,
    has_effects: bool = False,
) -> keras.Model:
    """Builds the model that trains on pairs: a warp before a siamese model.

    Both images of a pair pass through the embedding in one batch, with one set
    of convolutions and of batch statistics.

    Args:
        siamese: the model to train.
        image_size: side of the images in pixels.
        fill_value: of the warp, see `AffineWarp`.
        drawings: a layer that maps indices to images, if inputs are indices.
        has_effects: whether there are effects on photos, see `PhotoEffects`.

    Returns:
        A model from the inputs of `batches.name_pairs` to logits `[batch]`.
    """
    inputs = {
        name: _make_input(name, image_size, get_channels(siamese), drawings)
        for name in ("first", "second")
    }
    twins = [
        _make_distortion_inputs(has_effects, f"{name}_") for name in inputs
    ]
    images = ops.concatenate(list(inputs.values()))
    if drawings:
        images = drawings(images)
    distortion = {
        name: ops.concatenate([twin[name] for twin in twins])
        for name in twins[0]
    }
    for name, twin in zip(("first", "second"), twins, strict=True):
        inputs |= {f"{name}_{key}": value for key, value in twin.items()}
    features = get_embedding(siamese)(_distort(images, distortion, fill_value))
    first, second = ops.split(features, 2)
    return keras.Model(inputs, get_head(siamese)(first, second))


def _make_input(name, image_size, channels, drawings):
    """Makes an input of images, or of indices of drawings."""
    if drawings:
        return keras.Input((), dtype="int32", name=name)
    return keras.Input((image_size, image_size, channels), name=name)


def _make_distortion_inputs(has_effects, prefix=""):
    """Makes inputs for `Batch.distortion`, by their names without prefix."""
    shapes = {"matrices": (2, None)}
    if has_effects:
        shapes |= {"colors": (3, 4), "blurs": (), "boxes": (4,)}
    return {
        name: keras.Input(shape, name=f"{prefix}{name}")
        for name, shape in shapes.items()
    }


def _distort(images, distortion, fill_value):
    """Distorts symbolic images; see `Batch`."""
    warped = AffineWarp(fill_value)(images, distortion["matrices"])
    effects = {x: v for x, v in distortion.items() if x != "matrices"}
    return PhotoEffects()(warped, **effects) if effects else warped


def build_group_model(
    siamese: keras.Model,
    image_size: int,
    fill_value: Fill = float(WHITE),
    drawings: keras.Layer | None = None,
    has_effects: bool = False,
) -> keras.Model:
    """Builds the model that trains on groups: all pairs of warped drawings.

    Arguments are those of `build_pair_model`.

    Returns:
        A model from the inputs of `batches.name_groups` to the logits of all
        pairs of the batch, `[batch, batch]`.
    """
    images = _make_input("images", image_size, get_channels(siamese), drawings)
    distortion = _make_distortion_inputs(has_effects)
    distorted = _distort(
        drawings(images) if drawings else images, distortion, fill_value
    )
    features = get_embedding(siamese)(distorted)
    logits = get_head(siamese)(
        ops.expand_dims(features, 1), ops.expand_dims(features, 0)
    )
    return keras.Model({"images": images, **distortion}, logits)


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
            settings,
            batch_norm=False,
            head_weights="any",
            precision="float32",
            convolution="direct",
        )
        head = get_head(siamese)
        return build_siamese(
            get_embedding(build_model(plain)),
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


def example_pairs(
    inputs: dict, labels, num_pairs: int = 24, fill_value: Fill = float(WHITE)
):
    """Distorts some pairs of a batch, as the network sees them.

    Args:
        inputs, labels: a batch of `make_batches`.
        num_pairs: largest number of pairs.
        fill_value: of the distortion, see `AffineWarp`.

    Returns:
        first, second: float32 `[num_pairs, height, width, channels]`.
        same: `[num_pairs]`, 1 = same character, 0 = different.
    """

    def distort(images, inputs, prefix=""):
        images = warp(images, inputs[f"{prefix}matrices"], fill_value)
        if f"{prefix}colors" not in inputs:
            return images
        names = ("colors", "blurs", "boxes")
        return change_photos(images, *(inputs[f"{prefix}{x}"] for x in names))

    if "images" in inputs:
        images = distort(inputs["images"], inputs)
        # Neighbors in a group: same pairs within a character, different ones
        # where it changes.
        first, second = images[:-1], images[1:]
        same = np.equal(labels[:-1], labels[1:])
        # As many of each kind, although different pairs are rarer.
        chosen = np.sort(
            np.r_[
                np.flatnonzero(~same)[: num_pairs // 2],
                np.flatnonzero(same)[: num_pairs // 2],
            ]
        )
    else:
        first, second = (
            distort(inputs[name], inputs, f"{name}_")
            for name in ("first", "second")
        )
        same = np.array(labels)
        chosen = np.arange(min(num_pairs, len(same)))
    return np.array(first)[chosen], np.array(second)[chosen], same[chosen]
