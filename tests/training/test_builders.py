"""Models built from settings: their initial weights and layers."""

import dataclasses

import keras
import numpy as np
import pytest
from conftest import SMALL_PAPER

from koch_siamese.errors import InputError
from koch_siamese.models.dense import BFloat16GradientDense
from koch_siamese.models.heads import WeightedL1
from koch_siamese.models.layers import Views
from koch_siamese.models.siamese import (
    find_layer,
    get_crop,
    get_dataset,
    get_embedding,
    get_head,
)
from koch_siamese.models.views import sample_views
from koch_siamese.runs.settings import Settings
from koch_siamese.sampling.distortions import DISTORTIONS
from koch_siamese.training import builders


def build(**changes):
    keras.utils.set_random_seed(0)
    return builders.build_model(dataclasses.replace(SMALL_PAPER, **changes))


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
def test_initial_weights_are_normal_and_biases_one_half(changes, expected):
    for layer, stddev in zip(
        list_layers(build(**changes)), expected, strict=True
    ):
        assert np.std(layer.kernel) == pytest.approx(stddev, rel=0.15)
        assert abs(np.mean(layer.kernel)) < stddev / 5
        assert np.mean(layer.bias) == pytest.approx(0.5, abs=0.02)


def test_uniform_weights_are_bounded_by_one_over_root_fan_in():
    # Fan-in: 5 x 5 pixels; 3 x 3 x 8; 4 x 4 x 16 features; 400 distances.
    siamese = build(initial_values="uniform")
    for layer, fan_in in zip(
        list_layers(siamese), (25, 72, 256, 400), strict=True
    ):
        kernel = np.abs(layer.kernel)
        assert 0.95 < kernel.max() * np.sqrt(fan_in) <= 1
        assert kernel.mean() * np.sqrt(fan_in) == pytest.approx(1 / 2, abs=0.05)
        assert 0 < np.abs(layer.bias).max() * np.sqrt(fan_in) <= 1


def test_ink_value_may_be_zero():
    images = np.full((1, 16, 16, 1), 255, np.uint8)
    images[0, 0, 0] = 0
    for ink_value in (0, 1):
        embedding = get_embedding(build(ink_value=ink_value))
        seen = keras.Model(embedding.input, embedding.layers[1].output)(images)
        assert float(seen[0, 0, 0, 0]) == ink_value
        assert float(seen[0, 1, 0, 0]) == 1 - ink_value


def test_large_layers_of_the_dense_network_round_gradients():
    siamese = build(
        network="dense",
        image_size=32,
        filters=(),
        kernel_sizes=(),
        units=(1024, 8),
        precision="bfloat16",
    )
    kinds = [type(layer) for layer in list_layers(siamese)]
    assert kinds == [BFloat16GradientDense, keras.layers.Dense, WeightedL1]


def test_the_fast_network_has_the_depth_of_the_settings():
    settings = Settings(image_size=16, filters=(4, 8), depth=2)
    siamese = builders.build_model(settings)
    convolutions = [
        layer
        for layer in get_embedding(siamese).layers
        if isinstance(layer, keras.layers.Conv2D)
    ]
    assert len(convolutions) == 3


@pytest.mark.parametrize(
    ("turning", "fill", "value"),
    [
        ({"quarter_turns": True}, "paper", 0.0),
        ({"mirror_images": True}, "edge", None),
    ],
)
def test_final_model_has_the_views_of_the_settings(turning, fill, value):
    settings = Settings(
        image_size=16,
        filters=(4,),
        views=3,
        turned_views=True,
        seed=5,
        fill=fill,
        **turning,
    )
    siamese = builders.build_model(settings)
    model = builders.build_final_model(settings, siamese)
    layer = find_layer(get_embedding(model), Views)
    expected = sample_views(
        DISTORTIONS["paper"],
        3,
        np.random.default_rng(5),
        turned="quarter_turns" in turning,
        mirrored="mirror_images" in turning,
    )
    np.testing.assert_array_equal(layer.matrices, expected)
    assert layer.fill_value == value
    assert get_dataset(model) == "glyphs"


@pytest.mark.parametrize(
    ("changes", "crop"),
    [
        ({}, True),
        ({"dataset": "folder"}, False),
        ({"dataset": "folder", "crop": True}, True),
        ({"dataset": "cifar100", "image_kind": "photo"}, False),
    ],
)
def test_final_model_says_whether_to_crop(changes, crop):
    settings = Settings(image_size=16, filters=(4,), **changes)
    siamese = builders.build_model(settings)
    model = builders.build_final_model(settings, siamese)
    assert get_crop(model) is crop


def test_wrong_number_of_stddevs_is_refused():
    with pytest.raises(InputError, match=r"4 layers .* got 3 layer_stddevs"):
        build(layer_stddevs=(0.1, 0.2, 0.3))
