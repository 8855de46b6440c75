"""Converts relative updates of layers to their learning rates."""

import dataclasses
import math

import keras
import numpy as np
from keras import ops

from koch_siamese.data.characters import Characters
from koch_siamese.errors import InputError
from koch_siamese.runs.settings import Settings
from koch_siamese.training.batches import iterate_batches
from koch_siamese.training.optimizers import broadcast_to_layers
from koch_siamese.training.trainers import build_loss, build_training_model

NUM_MEASURED_PAIRS = 1024  # on which gradients are measured


def convert_relative_updates(
    settings: Settings, siamese: keras.Model, training: Characters
) -> Settings:
    """Converts relative updates to learning rates (see `Settings`).

    Gradients are measured on `NUM_MEASURED_PAIRS` pairs, or as many batches of
    groups, for the kernel of each layer.

    Args:
        settings: with `relative_updates`.
        siamese: the model, with its initial values.
        training: the characters to train on.

    Raises:
        InputError: a layer has no gradient at its initial values, or the number
            of rates is neither one nor that of the layers.
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
    trainer = build_training_model(settings, siamese)
    # At a rate of 1, the update is the gradient on all batches.
    accumulated = num_batches if num_batches > 1 else None
    trainer.compile(
        keras.optimizers.SGD(1.0, gradient_accumulation_steps=accumulated),
        build_loss(settings),
    )
    kernels = [
        variable
        for variable in trainer.trainable_variables
        if variable.path.endswith("kernel")
    ]
    weights = [ops.convert_to_numpy(kernel) for kernel in kernels]
    trainer.fit(
        iterate_batches(settings, training),
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
