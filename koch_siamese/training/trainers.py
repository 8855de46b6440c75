"""Builds the compiled model that trains, from Settings."""

from pathlib import Path

import keras
from keras import ops

from koch_siamese.data.characters import Characters
from koch_siamese.images import WHITE
from koch_siamese.models.photo_effects import PhotoEffects
from koch_siamese.models.siamese import get_channels, get_embedding, get_head
from koch_siamese.models.warp import AffineWarp, Fill
from koch_siamese.runs.settings import Settings, has_effects, keeps_features
from koch_siamese.training import chunks, features, losses
from koch_siamese.training.optimizers import ConvolutionMuon, LayerwiseSGD


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

    Returns:
        The model of `build_training_model`, with its optimizer and loss.
    """
    drawings = kind = None
    if settings.steps_per_call > 1:
        drawings = chunks.ResidentDrawings.of(training.images)
        kind = chunks.ChunkedModel
    elif settings.distribute == "multiworker":
        from koch_siamese.training.distribution import DistributedModel

        kind = DistributedModel
    trainer = build_training_model(settings, siamese, drawings)
    if kind:
        trainer = kind(trainer.input, trainer.output)
    trainer.compile(_build_optimizer(settings), loss or build_loss(settings))
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


def build_training_model(
    settings: Settings,
    siamese: keras.Model,
    drawings: keras.Layer | None = None,
) -> keras.Model:
    """Builds the model that trains on `make_batches`, without an optimizer.

    Args:
        settings: of the training.
        siamese: the model to train.
        drawings: a layer that maps indices to images, if inputs are indices.

    Returns:
        A model from the inputs of a batch to logits: see `build_pair_model`,
        `build_group_model` and `features.build_feature_model`.
    """
    if keeps_features(settings):
        return features.build_feature_model(siamese, settings.sampling)
    build = {"pairs": build_pair_model, "groups": build_group_model}
    return build[settings.sampling](
        siamese,
        settings.image_size,
        get_fill_value(settings),
        drawings,
        with_effects=has_effects(settings),
    )


def build_pair_model(
    siamese: keras.Model,
    image_size: int,
    fill_value: Fill = float(WHITE),
    drawings: keras.Layer | None = None,
    with_effects: bool = False,
) -> keras.Model:
    """Builds the model that trains on pairs: a warp before a siamese model.

    Both images of a pair pass through the embedding in one batch, with one set
    of convolutions and of batch statistics.

    Args:
        siamese: the model to train.
        image_size: side of the images in pixels.
        fill_value: of the warp, see `AffineWarp`.
        drawings: a layer that maps indices to images, if inputs are indices.
        with_effects: whether there are effects on photos, see `PhotoEffects`.

    Returns:
        A model from the inputs of `batches.to_pair_inputs` to logits `[batch]`.
    """
    inputs = {
        name: _make_input(name, image_size, get_channels(siamese), drawings)
        for name in ("first", "second")
    }
    twins = [
        _make_distortion_inputs(with_effects, f"{name}_") for name in inputs
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
    embedded = get_embedding(siamese)(_distort(images, distortion, fill_value))
    first, second = ops.split(embedded, 2)
    return keras.Model(inputs, get_head(siamese)(first, second))


def build_group_model(
    siamese: keras.Model,
    image_size: int,
    fill_value: Fill = float(WHITE),
    drawings: keras.Layer | None = None,
    with_effects: bool = False,
) -> keras.Model:
    """Builds the model that trains on groups: all pairs of warped drawings.

    Arguments are those of `build_pair_model`.

    Returns:
        A model from the inputs of `batches.to_group_inputs` to the logits of
        all pairs of the batch, `[batch, batch]`.
    """
    images = _make_input("images", image_size, get_channels(siamese), drawings)
    distortion = _make_distortion_inputs(with_effects)
    distorted = _distort(
        drawings(images) if drawings else images, distortion, fill_value
    )
    embedded = get_embedding(siamese)(distorted)
    logits = get_head(siamese)(
        ops.expand_dims(embedded, 1), ops.expand_dims(embedded, 0)
    )
    return keras.Model({"images": images, **distortion}, logits)


def _make_input(name, image_size, channels, drawings):
    """Makes an input of images, or of indices of drawings."""
    if drawings:
        return keras.Input((), dtype="int32", name=name)
    return keras.Input((image_size, image_size, channels), name=name)


def _make_distortion_inputs(with_effects, prefix=""):
    """Makes inputs for the distortion of a batch, by names without prefix."""
    shapes = {"matrices": (2, None)}
    if with_effects:
        shapes |= {"colors": (3, 4), "blurs": (), "boxes": (4,)}
    return {
        name: keras.Input(shape, name=f"{prefix}{name}")
        for name, shape in shapes.items()
    }


def _distort(images, distortion, fill_value):
    """Distorts symbolic images; see `samplers.Batch`."""
    warped = AffineWarp(fill_value)(images, distortion["matrices"])
    effects = {x: v for x, v in distortion.items() if x != "matrices"}
    return PhotoEffects()(warped, **effects) if effects else warped


def get_fill_value(settings: Settings) -> Fill:
    """The value outside of a distorted image; see `AffineWarp`."""
    return {"paper": float(WHITE), "ink": 0.0, "edge": None}[settings.fill]


def build_loss(settings: Settings) -> keras.losses.Loss:
    """Builds the loss of the settings."""
    if settings.sampling == "groups":
        return losses.AllPairsLoss(settings.ranking_weight)
    if settings.objective == "contrastive":
        return losses.ContrastiveLoss(settings.margin)
    return losses.PairLoss()


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
