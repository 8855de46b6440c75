import keras
import numpy as np
import pytest
import tensorflow as tf

from koch_siamese.normalisation import GroupNormalization


def make_layers(groups, shape):
    """Ours and Keras' own, of the same weights, and something to normalise."""
    rng = np.random.default_rng(0)
    layers = [
        kind(groups)
        for kind in (GroupNormalization, keras.layers.GroupNormalization)
    ]
    weights = rng.normal(size=(2, shape[-1]))
    for layer in layers:
        layer.build(shape)
        layer.set_weights(weights)
    # Far from 0, where a variance of sums of squares would lose its digits.
    return layers, (30 + 3 * rng.normal(size=shape)).astype("float32")


def test_by_hand():
    layer = GroupNormalization(2, epsilon=0.0)
    images = tf.constant([0.0, 4, 1, 3, 2, 2, 1, 3], shape=(1, 2, 1, 4))
    # Groups {0, 4, 2, 2} and {1, 3, 1, 3}: means 2, variances 2 and 1.
    expected = [-(2**0.5), 2**0.5, -1, 1, 0, 0, -1, 1]
    np.testing.assert_allclose(
        np.ravel(layer(images, training=True)), expected, atol=1e-6
    )


@pytest.mark.parametrize(
    ("groups", "shape"),
    [(8, (3, 5, 4, 16)), (1, (2, 3, 3, 6)), (6, (2, 3, 3, 6))],
)
def test_it_is_keras_own_with_the_same_gradients(groups, shape):
    layers, images = make_layers(groups, shape)
    direction = np.random.default_rng(1).normal(size=shape).astype("float32")
    found = []
    for layer in layers:
        training = {"training": True} if layer is layers[0] else {}

        @tf.function
        def differentiate(images, layer=layer, training=training):
            with tf.GradientTape() as tape:
                tape.watch(images)
                outputs = layer(images, **training)
                loss = tf.reduce_sum(outputs * direction)
            weights = [layer.gamma.value, layer.beta.value]
            return outputs, *tape.gradient(loss, [images, *weights])

        found.append(differentiate(tf.constant(images)))
    for ours, expected in zip(*found, strict=True):
        scale = np.abs(expected).max()
        np.testing.assert_allclose(ours / scale, expected / scale, atol=1e-5)


def test_outside_of_training_it_is_bit_for_bit_keras_own():
    (ours, expected), images = make_layers(4, (2, 4, 4, 8))
    np.testing.assert_array_equal(ours(images), expected(images))


def test_bfloat16_features_are_normalised_in_float32():
    (ours, _), images = make_layers(4, (2, 4, 4, 8))
    short = tf.cast(images, "bfloat16")
    with tf.GradientTape() as tape:
        tape.watch(short)
        outputs = ours(short, training=True)
    assert outputs.dtype == "float32"
    np.testing.assert_allclose(
        outputs, ours(tf.cast(short, "float32"), training=True), atol=1e-5
    )
    assert tape.gradient(outputs, short).dtype == "bfloat16"


def test_it_is_saved_and_loaded(tmp_path):
    images = keras.Input((4, 4, 8))
    model = keras.Model(images, GroupNormalization(4)(images))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(loaded.layers[1], GroupNormalization)
    assert loaded.layers[1].groups == 4
