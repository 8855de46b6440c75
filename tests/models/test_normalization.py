import keras
import numpy as np
import pytest
import tensorflow as tf

from koch_siamese.models.normalization import GroupNormalization


def make_layers(groups, shape):
    """Makes our layer and Keras' with equal weights, and images for them."""
    rng = np.random.default_rng(0)
    layers = [
        kind(groups)
        for kind in (GroupNormalization, keras.layers.GroupNormalization)
    ]
    weights = rng.normal(size=(2, shape[-1]))
    for layer in layers:
        layer.build(shape)
        layer.set_weights(weights)
    # Far from 0, where the mean square minus the squared mean loses digits.
    return layers, (30 + 3 * rng.normal(size=shape)).astype("float32")


def test_normalization_by_hand():
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
def test_normalization_and_gradients_equal_those_of_keras(groups, shape):
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


def test_inference_equals_that_of_keras_bit_for_bit():
    (ours, expected), images = make_layers(4, (2, 4, 4, 8))
    np.testing.assert_array_equal(ours(images), expected(images))


@pytest.mark.parametrize("policy", ["float32", "bfloat16", "mixed_bfloat16"])
@pytest.mark.parametrize("training", [True, False])
def test_sums_are_computed_in_float32(policy, training):
    images = np.random.default_rng(0).normal(size=(2, 4, 4, 8))
    images = tf.cast(images, "bfloat16")
    layer = GroupNormalization(4, dtype=policy)
    with tf.GradientTape() as tape:
        tape.watch(images)
        outputs = layer(images, training=training)
    assert outputs.dtype == layer.compute_dtype
    assert tape.gradient(outputs, images).dtype == "bfloat16"
    expected = keras.layers.GroupNormalization(4)(tf.cast(images, "float32"))
    tolerance = 1e-5 if policy == "float32" else 0.01
    np.testing.assert_allclose(
        tf.cast(outputs, "float32"), expected, atol=tolerance, rtol=tolerance
    )


@pytest.mark.parametrize(
    ("shape", "arguments"),
    [
        ((2, 4, 4, 8), {"scale": False}),
        ((2, 4, 4, 8), {"center": False}),
        ((2, 8, 5, 3), {"axis": 1}),
        ((2, 5, 8), {}),
    ],
)
def test_unsupported_cases_use_the_layer_of_keras(shape, arguments):
    images = np.random.default_rng(0).normal(size=shape).astype("float32")
    ours = GroupNormalization(4, **arguments)
    expected = keras.layers.GroupNormalization(4, **arguments)
    np.testing.assert_array_equal(ours(images, training=True), expected(images))


def test_unknown_sizes_use_the_layer_of_keras():
    layer = GroupNormalization(4)
    unknown = tf.TensorSpec((None, None, None, 8))
    normalize = tf.function(lambda x: layer(x, training=True), [unknown])
    images = np.random.default_rng(0).normal(size=(2, 3, 5, 8))
    np.testing.assert_allclose(
        normalize(images.astype("float32")),
        keras.layers.GroupNormalization(4)(images),
        atol=1e-5,
    )


def test_second_order_gradients_are_refused():
    layer = GroupNormalization(2)
    images = tf.random.stateless_normal((2, 3, 3, 4), (0, 0))
    with tf.GradientTape() as outer:
        outer.watch(images)
        with tf.GradientTape() as inner:
            inner.watch(images)
            loss = tf.reduce_sum(layer(images, training=True))
        gradient = inner.gradient(loss, images)
    with pytest.raises(NotImplementedError, match="differentiated again"):
        outer.gradient(gradient, images)


def test_layers_share_compiled_functions():
    one, other = GroupNormalization(2), GroupNormalization(4)
    assert one._normalize is other._normalize


def test_normalization_is_saved_and_loaded(tmp_path):
    images = keras.Input((4, 4, 8))
    model = keras.Model(images, GroupNormalization(4)(images))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(loaded.layers[1], GroupNormalization)
    assert loaded.layers[1].groups == 4
