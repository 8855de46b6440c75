"""Builds the compiled model that trains, from Settings."""

from pathlib import Path

import keras
from keras import ops

from koch_siamese.data.characters import Characters
from koch_siamese.errors import InputError
from koch_siamese.images import WHITE
from koch_siamese.models.photo_effects import PhotoEffects
from koch_siamese.models.siamese import get_channels, get_embedding, get_head
from koch_siamese.models.warp import AffineWarp, Fill
from koch_siamese.runs.settings import (
    GIVEN,
    Settings,
    has_effects,
    keeps_features,
)
from koch_siamese.training import chunks, distribution, features, losses
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
        kind = distribution.DistributedModel
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

    It shares the layers of the siamese model. Both images of a pair pass
    through the embedding in one batch, with one set of convolutions and of
    batch statistics.

    Args:
        settings: of the training.
        siamese: the model to train.
        drawings: a layer that maps indices to images, if inputs are indices.

    Returns:
        A model from the inputs of `batches.to_pair_inputs` to logits `[batch]`,
        or from those of `to_group_inputs` to the logits of all pairs of the
        batch, `[batch, batch]`.
    """
    is_pairs = settings.sampling == "pairs"
    names = ("first", "second") if is_pairs else ("images",)
    if keeps_features(settings):
        embedding = features.build_feature_embedding(siamese)
        inputs = _make_inputs(names, embedding.input.shape[1:])
        joined = _join(inputs)
    else:
        embedding = get_embedding(siamese)
        inputs, joined = _make_distorted_images(
            settings, names, get_channels(siamese), drawings
        )
    embedded, head = embedding(joined), get_head(siamese)
    if is_pairs:
        logits = head(*ops.split(embedded, 2))
    else:
        logits = head(
            ops.expand_dims(embedded, 1), ops.expand_dims(embedded, 0)
        )
    return keras.Model(inputs, logits)


def _make_inputs(names, shape, dtype=None):
    return {name: keras.Input(shape, dtype=dtype, name=name) for name in names}


def _join(inputs):
    """Joins the inputs for both images of a pair in one batch."""
    tensors = list(inputs.values())
    return ops.concatenate(tensors) if len(tensors) > 1 else tensors[0]


def _make_distorted_images(settings, names, channels, drawings):
    """Makes the inputs of a batch, and its images, distorted.

    The parameters of the distortion are inputs, too; see `samplers.Batch`.
    """
    if drawings:
        inputs = _make_inputs(names, (), "int32")
        images = drawings(_join(inputs))
    else:
        side = settings.image_size
        inputs = _make_inputs(names, (side, side, channels))
        images = _join(inputs)
    shapes = {"matrices": (2, None)}
    if has_effects(settings):
        shapes |= {"colors": (3, 4), "blurs": (), "boxes": (4,)}
    prefixes = [f"{name}_" for name in names] if len(names) > 1 else [""]
    distortion = {}
    for name, shape in shapes.items():
        own = _make_inputs([f"{prefix}{name}" for prefix in prefixes], shape)
        distortion[name] = _join(own)
        inputs |= own
    fill_value = get_fill_value(settings)
    images = AffineWarp(fill_value)(images, distortion.pop("matrices"))
    if distortion:
        images = PhotoEffects()(images, **distortion)
    return inputs, images


def get_fill_value(settings: Settings) -> Fill:
    """The value outside of a distorted image; see `AffineWarp`."""
    return {"paper": float(WHITE), "ink": 0.0, "edge": None}[settings.fill]


def build_loss(settings: Settings) -> keras.losses.Loss:
    """Builds the loss of the settings.

    Raises:
        InputError: a loss of the user's own was given to the training.
    """
    if settings.objective.startswith(GIVEN):
        raise InputError(
            f"--objective={settings.objective} was given as an object: train "
            "with koch_siamese.train_and_evaluate and the same loss."
        )
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
