"""What settings are built into: initial values, and rates of layers."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from koch_siamese.data.sources import load_characters
from koch_siamese.errors import InputError
from koch_siamese.models.siamese import get_embedding, get_head
from koch_siamese.runs.settings import Settings
from koch_siamese.training import builders, losses

PAPER = Settings(
    dataset="glyphs/tiny",
    network="paper",
    image_size=16,
    filters=(8, 16),
    kernel_sizes=(5, 3),
    units=(400,),
    sampling="pairs",
    batch_size=512,
    distortion="none",
    optimizer="layerwise_sgd",
)


def build(**changes):
    keras.utils.set_random_seed(0)
    return builders.build_model(dataclasses.replace(PAPER, **changes))


def list_layers(siamese):
    layers = get_embedding(siamese).layers
    return [x for x in layers if x.weights] + [get_head(siamese)]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, (0.01, 0.01, 0.2, 0.2)),
        ({"layer_stddevs": (0.1, 0.2, 0.3, 0.4)}, (0.1, 0.2, 0.3, 0.4)),
    ],
)
def test_weights_are_normal_and_biases_half(changes, expected):
    for layer, stddev in zip(
        list_layers(build(**changes)), expected, strict=True
    ):
        assert np.std(layer.kernel) == pytest.approx(stddev, rel=0.15)
        assert abs(np.mean(layer.kernel)) < stddev / 5
        assert np.mean(layer.bias) == pytest.approx(0.5, abs=0.02)


def test_uniform_values_are_within_one_by_the_root_of_the_fan_in():
    # 5 x 5 pixels; 3 x 3 of 8 channels; 16 x 4 x 4 features; 400 distances.
    siamese = build(initial_values="uniform")
    for layer, fan_in in zip(
        list_layers(siamese), (25, 72, 256, 400), strict=True
    ):
        kernel = np.abs(layer.kernel)
        assert 0.95 < kernel.max() * np.sqrt(fan_in) <= 1
        assert kernel.mean() * np.sqrt(fan_in) == pytest.approx(1 / 2, abs=0.05)
        assert np.abs(layer.bias).max() * np.sqrt(fan_in) <= 1


def test_ink_may_be_nothing_on_paper_of_one():
    images = np.full((1, 16, 16, 1), 255, np.uint8)
    images[0, 0, 0] = 0
    for ink_value in (0, 1):
        embedding = get_embedding(build(ink_value=ink_value))
        seen = keras.Model(embedding.input, embedding.layers[1].output)(images)
        assert float(seen[0, 0, 0, 0]) == ink_value
        assert float(seen[0, 1, 0, 0]) == 1 - ink_value


def test_rates_by_relative_updates(glyphs_dir):
    settings = dataclasses.replace(
        PAPER,
        relative_updates=True,
        layer_learning_rates=(1e-3, 2e-3, 1e-5, 1e-4),
    )
    training = load_characters(
        "glyphs/tiny", "training", data_dir=glyphs_dir
    ).resized(16)
    siamese = build()
    before = siamese.get_weights()
    converted = builders.convert_relative_updates(settings, siamese, training)
    for one, other in zip(before, siamese.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert not converted.relative_updates

    trainer = builders.build_pair_model(siamese, 16)
    batches = list(builders.make_batches(settings, training).take(2))
    inputs = {
        name: np.concatenate([batch[name] for batch, _ in batches])
        for name in batches[0][0]
    }
    same = np.concatenate([labels for _, labels in batches])
    with tf.GradientTape() as tape:
        loss = losses.PairLoss()(same, trainer(inputs, training=True))
    kernels = [layer.kernel.value for layer in list_layers(siamese)]
    for gradient, kernel, rate, update in zip(
        tape.gradient(loss, kernels),
        kernels,
        converted.layer_learning_rates,
        settings.layer_learning_rates,
        strict=True,
    ):
        ratio = np.sqrt(np.mean(gradient**2) / np.mean(kernel**2))
        assert rate * ratio == pytest.approx(update, rel=2e-3)


def test_wrong_numbers_of_deviations_are_refused():
    with pytest.raises(InputError, match=r"4 layers .* got 3 layer_stddevs"):
        build(layer_stddevs=(0.1, 0.2, 0.3))


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"network": "fast"}, "--network=fast"),
        ({"network": "paper", "batch_norm": True}, "--batch_norm"),
        ({"init": "pretrained"}, "--init"),
    ],
)
def test_initial_values_where_there_are_none(changes, part):
    with pytest.raises(
        InputError, match=f"--initial_values=uniform has no effect with {part}"
    ):
        Settings(initial_values="uniform", **changes)


def test_settings_of_the_papers_optimizer_have_no_effect_with_others():
    for changes, text in (
        ({"relative_updates": True}, "--relative_updates"),
        ({"momentum_ramp_steps": 9}, "--momentum_ramp_steps=9"),
    ):
        with pytest.raises(InputError, match=f"{text} has no effect with"):
            Settings(**changes)
    with pytest.raises(InputError, match="with --initial_values=uniform"):
        dataclasses.replace(
            PAPER, initial_values="uniform", layer_stddevs=(1.0,)
        )


@pytest.mark.parametrize("optimizer", ["adam", "muon"])
def test_weights_of_distances_stay_at_most_zero(optimizer, tmp_path):
    settings = Settings(
        dataset="glyphs/tiny",
        image_size=16,
        filters=(4, 4),
        optimizer=optimizer,
        # So high that some weights of the distances would change their sign.
        learning_rate=5.0,
        schedule="constant",
    )
    rng = np.random.default_rng(0)
    inputs = {
        "images": rng.integers(0, 256, (6, 16, 16, 1), dtype="uint8"),
        "matrices": np.float32([np.eye(2, 3)] * 6),
    }
    largest = {}
    for kind in ("any", "nonpositive"):
        keras.utils.set_random_seed(0)
        limited = dataclasses.replace(settings, head_weights=kind)
        siamese = builders.build_model(limited)
        trainer = builders.build_trainer(limited, siamese)
        for _ in range(3):
            trainer.train_on_batch(inputs, np.int32([0, 0, 1, 1, 2, 2]))
        largest[kind] = np.max(get_head(siamese).kernel)
        # As a training is resumed.
        trainer.save(tmp_path / "trainer.keras")
        loaded = builders.load_trainer(tmp_path / "trainer.keras", None)
        constraint = get_head(loaded).kernel_constraint
        assert (constraint is None) == (kind == "any")
    assert largest["any"] > 0
    assert largest["nonpositive"] == 0
