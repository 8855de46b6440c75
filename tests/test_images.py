import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from koch_siamese.images import (
    WHITE,
    fit_by_products,
    fit_in_pipeline,
    fit_ink_to_square,
    fit_to_square,
    limit_size,
    pad_to_square,
)


def test_padding_is_white_and_centers_the_image():
    padded = pad_to_square(np.zeros((1, 2), np.uint8), 4)
    expected = np.full((4, 4), 255)
    expected[1, 1:3] = 0
    np.testing.assert_array_equal(padded, expected)
    fitted = fit_to_square(np.zeros((1, 2, 1), np.uint8), 4, side=4)
    np.testing.assert_array_equal(fitted[..., 0], expected)


@pytest.mark.parametrize(
    ("size", "expected"),
    [((300, 100), (60, 20)), ((1, 500), (1, 60)), ((60, 20), (60, 20))],
)
def test_the_longer_side_is_limited(size, expected):
    assert limit_size(Image.new("L", size), 60).size == expected


def test_halving_takes_means_weighted_by_a_triangle():
    # The antialiasing filter is a triangle that reaches two pixels to each
    # side. Cut off at the edge, it weights the first three of four pixels by
    # 3/7, 3/7 and 1/7.
    image = np.zeros((4, 4), np.uint8)
    image[:, 2:] = WHITE
    expected = np.array([[36, 219], [36, 219]])  # 255 / 7, 255 * 6 / 7
    np.testing.assert_array_equal(fit_to_square(image, 2), expected)


# These shapes need an even number of pixels of padding. With an odd number,
# Keras and the matrix products pad both sides equally, and unlike Pillow do not
# get an exact square.
@pytest.mark.parametrize("shape", [(40, 40), (30, 60), (60, 18), (10, 12)])
def test_implementations_of_fitting_agree(shape):
    rng = np.random.default_rng(0)
    image = rng.integers(256, size=shape, dtype=np.uint8)
    batch = image[np.newaxis, ..., np.newaxis]
    pillow = fit_to_square(image, 16).astype(float)
    keras = WHITE - WHITE * np.array(
        fit_ink_to_square(1.0 - batch.astype("float32") / WHITE, 16)
    )
    products = np.array(fit_by_products(tf.constant(batch), 16))
    np.testing.assert_allclose(keras, products, atol=1e-3)
    # Pillow rounds twice.
    assert np.abs(products[0, ..., 0] - pillow).max() <= 1.01


@pytest.mark.parametrize("shape", [(40, 40), (30, 60)])
def test_channels_are_fitted_alike(shape):
    rng = np.random.default_rng(0)
    image = rng.integers(256, size=(*shape, 3), dtype=np.uint8)
    ink = 1.0 - image[np.newaxis].astype("float32") / WHITE
    constant = tf.constant(image)
    for fit in (
        lambda i: fit_to_square(image[..., i], 16),
        lambda i: fit_ink_to_square(ink[..., i], 16)[0],
        lambda i: fit_by_products(constant[tf.newaxis, ..., i], 16)[0],
        lambda i: fit_in_pipeline(constant[..., i], 16, 255.0),
    ):
        whole = np.array(fit(slice(None)))
        assert whole.shape == (16, 16, 3)
        for channel in range(3):
            one = np.array(fit(slice(channel, channel + 1)))
            np.testing.assert_allclose(whole[..., [channel]], one, atol=1e-6)


def test_pipelines_agree_and_pad_with_the_corner_value():
    rng = np.random.default_rng(0)
    image = rng.integers(256, size=(40, 40, 1), dtype=np.uint8)
    fitted = np.array(fit_in_pipeline(tf.constant(image), 16), float)
    pillow = fit_to_square(image[..., 0], 16).astype(float)
    assert np.abs(fitted[..., 0] - pillow).max() <= 1.01
    assert abs(np.mean(fitted[..., 0] - pillow)) < 0.1  # rounded, not cut off
    wide = np.full((10, 20, 1), 7, np.uint8)
    fitted = np.array(fit_in_pipeline(tf.constant(wide), 16))
    assert fitted.shape == (16, 16, 1)
    assert (fitted == 7).all()
