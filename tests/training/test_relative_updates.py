import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import SMALL_PAPER

from koch_siamese.data.sources import load_characters
from koch_siamese.errors import InputError
from koch_siamese.training import (
    batches,
    builders,
    losses,
    relative_updates,
    trainers,
)
from koch_siamese.training.relative_updates import convert_relative_updates

SETTINGS = dataclasses.replace(
    SMALL_PAPER,
    relative_updates=True,
    layer_learning_rates=(1e-3, 2e-3, 1e-5, 1e-4),
)


def test_learning_rates_give_the_relative_updates(glyphs_dir):
    training = load_characters(
        "glyphs/tiny", "training", data_dir=glyphs_dir
    ).resized(16)
    keras.utils.set_random_seed(0)
    siamese = builders.build_model(SETTINGS)
    before = siamese.get_weights()
    converted = convert_relative_updates(SETTINGS, siamese, training)
    for one, other in zip(before, siamese.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert not converted.relative_updates

    trainer = trainers.build_training_model(SETTINGS, siamese)
    measured = list(batches.make_batches(SETTINGS, training).take(2))
    inputs = {
        name: np.concatenate([batch[name] for batch, _ in measured])
        for name in measured[0][0]
    }
    same = np.concatenate([labels for _, labels in measured])
    with tf.GradientTape() as tape:
        loss = losses.PairLoss()(same, trainer(inputs, training=True))
    kernels = [
        weight.value
        for weight in siamese.trainable_weights
        if weight.path.endswith("kernel")
    ]
    for gradient, kernel, rate, update in zip(
        tape.gradient(loss, kernels),
        kernels,
        converted.layer_learning_rates,
        SETTINGS.layer_learning_rates,
        strict=True,
    ):
        ratio = np.sqrt(np.mean(gradient**2) / np.mean(kernel**2))
        assert rate * ratio == pytest.approx(update, rel=2e-3)


@pytest.mark.parametrize("ratio", [0.0, np.inf, np.nan])
def test_layers_without_a_finite_gradient_are_refused(ratio, monkeypatch):
    ratios = [0.5, ratio, 0.5, 0.5]
    monkeypatch.setattr(
        relative_updates, "measure_gradients", lambda *_: ratios
    )
    with pytest.raises(InputError, match="needs a gradient in each layer"):
        convert_relative_updates(SETTINGS, None, None)
