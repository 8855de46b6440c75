"""A dense layer whose gradients are computed in bfloat16."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from koch_siamese.models.dense import (
    BFloat16GradientDense,
    is_large_dense,
    multiply,
)
from koch_siamese.models.embeddings import build_paper_embedding
from koch_siamese.models.siamese import (
    build_siamese,
    copy_siamese,
    get_embedding,
)


def test_gradients_of_a_product_worked_out_by_hand():
    inputs = tf.constant([[1.0, 2.0]])
    kernel = tf.constant([[3.0, 5.0], [7.0, 11.0]])
    with tf.GradientTape() as tape:
        tape.watch([inputs, kernel])
        product = multiply(inputs, kernel)
    of_inputs, of_kernel = tape.gradient(
        product, [inputs, kernel], tf.constant([[1.0, -1.0]])
    )
    np.testing.assert_array_equal(product, [[17.0, 27.0]])
    np.testing.assert_array_equal(of_inputs, [[-2.0, -4.0]])
    np.testing.assert_array_equal(of_kernel, [[1.0, -1.0], [2.0, -2.0]])


def test_only_gradients_are_rounded():
    rng = np.random.default_rng(0)
    images = tf.constant(rng.normal(size=(8, 300)), tf.float32)
    arguments = {"units": 40, "activation": "sigmoid"}
    plain = keras.layers.Dense(**arguments)
    rounded = BFloat16GradientDense(**arguments)
    rounded.build(images.shape)
    plain.build(images.shape)
    rounded.set_weights(plain.get_weights())
    outputs, gradients = [], []
    for layer in (plain, rounded):
        with tf.GradientTape() as tape:
            tape.watch(images)
            outputs.append(layer(images))
        targets = [images, *(w.value for w in layer.trainable_weights)]
        gradients.append(tape.gradient(outputs[-1], targets, outputs[-1]))
    np.testing.assert_array_equal(*outputs)
    *products, biases = zip(*gradients, strict=True)
    np.testing.assert_allclose(*biases, rtol=1e-6)
    for expected, found in products:
        error = np.std(found.numpy() - expected) / np.std(expected)
        # Of two factors and of the result, each by 0.2 % at most.
        assert 1e-3 < error < 4e-3


@pytest.mark.parametrize(
    ("features", "units", "expected"),
    [(4096, 256, True), (4095, 256, False), (1024, 1023, False)],
)
def test_only_large_layers_are_worth_it(features, units, expected):
    layer = keras.layers.Dense(units)
    layer(keras.Input((features,)))
    assert is_large_dense(layer) == expected


def test_a_copy_for_training_rounds_gradients_and_is_stored_plain(tmp_path):
    keras.utils.set_random_seed(0)
    # 4 x 4 x 64 features for each of 1,024 units.
    siamese = build_siamese(build_paper_embedding(6, (64,), (3,), (1024,)))
    rounded = copy_siamese(siamese, "bfloat16")
    assert type(get_embedding(rounded).layers[-1]) is BFloat16GradientDense
    assert get_embedding(rounded).layers[-1].compute_dtype == "float32"
    rounded.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(get_embedding(loaded).layers[-1]) is BFloat16GradientDense
    plain = copy_siamese(loaded)
    assert type(get_embedding(plain).layers[-1]) is keras.layers.Dense
    pair = {
        name: np.random.default_rng(i).integers(0, 256, (2, 6, 6, 1))
        for i, name in enumerate(("first", "second"))
    }
    np.testing.assert_array_equal(plain(pair), siamese(pair))
