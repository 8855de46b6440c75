"""Convolution by spectra: equal to that of Keras, except for rounding."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from koch_siamese.models.convolutions import (
    SpectralConv2D,
    compute_saving,
    convolve,
    is_faster_by_spectra,
)
from koch_siamese.models.embeddings import build_paper_embedding
from koch_siamese.models.siamese import (
    build_siamese,
    copy_siamese,
    get_embedding,
)


def differentiate(function, images, kernel, upstream):
    """Computes the result, and the gradients of images and kernel."""
    images, kernel = tf.constant(images), tf.constant(kernel)
    with tf.GradientTape() as tape:
        tape.watch([images, kernel])
        result = function(images, kernel)
    gradients = tape.gradient(result, [images, kernel], upstream)
    return [x.numpy() for x in (result, *gradients)]


def round_gradients(images, kernel):
    layer = SpectralConv2D(16, 4, gradient_dtype="bfloat16")
    return layer.convolution_op(images, kernel)


def direct(images, kernel):
    return tf.nn.conv2d(images, kernel, 1, "VALID")


def make_arrays(batch, side, size, channels, filters, dtype="float32"):
    rng = np.random.default_rng(0)
    places = side - size + 1
    return (
        np.maximum(rng.normal(0.5, 0.3, (batch, side, side, channels)), 0),
        rng.normal(0, 0.01, (size, size, channels, filters)),
        rng.normal(size=(batch, places, places, filters)),
    )


def test_convolution_by_hand():
    images = np.arange(9, dtype=np.float32).reshape(1, 3, 3, 1)
    kernel = np.float32([[1, 0], [0, 10]]).reshape(2, 2, 1, 1)
    # A pixel plus ten times its lower right neighbor.
    np.testing.assert_allclose(
        np.squeeze(convolve(images, kernel)), [[40, 51], [73, 84]], rtol=1e-5
    )


@pytest.mark.parametrize(
    "sizes",
    [(2, 5, 1, 1, 2), (1, 6, 6, 2, 3), (3, 7, 2, 3, 1), (2, 8, 3, 2, 2)],
)
def test_result_and_gradients_equal_those_of_a_convolution(sizes):
    arrays = [x.astype(np.float32) for x in make_arrays(*sizes)]
    for ours, theirs in zip(
        differentiate(convolve, *arrays),
        differentiate(direct, *arrays),
        strict=True,
    ):
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_errors_are_below_those_of_the_direct_convolution():
    # The paper's third convolution, with a batch that takes only a second.
    arrays = make_arrays(16, 21, 4, 128, 128)
    exact = differentiate(direct, *arrays)
    arrays = [x.astype(np.float32) for x in arrays]
    errors = {
        function: [
            np.abs(result - truth).max() / truth.std()
            for result, truth in zip(
                differentiate(function, *arrays), exact, strict=True
            )
        ]
        for function in (convolve, direct)
    }
    assert np.all(np.array(errors[convolve]) < 1e-5)
    assert np.all(np.array(errors[convolve]) < errors[direct])


def test_gradients_in_bfloat16():
    arrays = [x.astype(np.float32) for x in make_arrays(4, 21, 4, 32, 16)]
    result, *gradients = differentiate(tf.function(round_gradients), *arrays)
    expected, *exact = differentiate(tf.function(convolve), *arrays)
    np.testing.assert_array_equal(result, expected)
    for found, truth in zip(gradients, exact, strict=True):
        assert found.dtype == np.float32
        # bfloat16 has 8 binary digits: a rounding changes 0.2 % at most. Five
        # in a row, of which the largest coefficient is a sum of all pixels.
        error = np.std(found - truth) / np.std(truth)
        assert 1e-3 < error < 2e-2


def test_layers_for_which_spectra_are_faster():
    # Directly: 64 x 128 kernels of 7^2 weights at 42^2 places. By spectra:
    # 48 x 25 complex products for each kernel, and transforms of 64 and 128
    # planes.
    assert compute_saving(48, 7, 64, 128) == pytest.approx(
        42**2 * 49 * 8192 / (4 * 48 * 25 * 8192 + 6 * 48**2 * 25 * 192)
    )
    # Faster: the paper's second to fourth convolution, and the second one of
    # mnist_35px.
    embedding = build_paper_embedding()
    assert [
        is_faster_by_spectra(layer)
        for layer in embedding.layers
        if isinstance(layer, keras.layers.Conv2D)
    ] == [False, True, True, True]
    reduced = build_paper_embedding(35, (64, 128, 256), (6, 4, 3), (64,))
    assert [
        is_faster_by_spectra(layer)
        for layer in reduced.layers
        if isinstance(layer, keras.layers.Conv2D)
    ] == [False, True, False]
    assert not is_faster_by_spectra(embedding.layers[-1])


@pytest.mark.parametrize(
    ("changes", "sides"),
    [
        ({"padding": "same"}, (48, 48)),
        ({"strides": 2}, (48, 48)),
        ({"dilation_rate": 2}, (48, 48)),
        ({"groups": 2}, (48, 48)),
        ({"kernel_size": (7, 9)}, (48, 48)),
        ({}, (48, 50)),
        ({}, (None, None)),
    ],
)
def test_layers_that_spectra_do_not_support(changes, sides):
    for kind, shape, expected in (
        ({}, (48, 48), True),
        (changes, sides, False),
    ):
        layer = keras.layers.Conv2D(**{"filters": 64, "kernel_size": 7} | kind)
        layer(keras.Input((*shape, 64)))
        assert is_faster_by_spectra(layer) == expected


def test_copies_with_and_without_spectra_agree(tmp_path):
    keras.utils.set_random_seed(0)
    embedding = build_paper_embedding(24, (32, 64), (4, 5), (16,))
    siamese = build_siamese(embedding)
    spectral = copy_siamese(siamese, "bfloat16", spectral=True)
    kinds = [
        (type(layer), layer.compute_dtype)
        for layer in get_embedding(spectral).layers
        if isinstance(layer, keras.layers.Conv2D)
    ]
    assert kinds == [
        (keras.layers.Conv2D, "bfloat16"),
        (SpectralConv2D, "float32"),
    ]
    assert get_embedding(spectral).layers[-3].gradient_dtype == "bfloat16"
    spectral.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert get_embedding(loaded).layers[-3].gradient_dtype == "bfloat16"
    spectral = copy_siamese(siamese, spectral=True)
    images = np.random.default_rng(0).integers(
        0, 256, (2, 24, 24, 1), dtype=np.uint8
    )
    pair = {"first": images[:1], "second": images[1:]}
    np.testing.assert_allclose(spectral(pair), siamese(pair), atol=1e-5)
    spectral.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(pair), spectral(pair))
    plain = copy_siamese(loaded)
    assert not any(
        isinstance(layer, SpectralConv2D)
        for layer in get_embedding(plain).layers
    )
    np.testing.assert_array_equal(plain(pair), siamese(pair))
