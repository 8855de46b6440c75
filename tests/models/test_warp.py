import numpy as np
import pytest
import tensorflow as tf

from koch_siamese.models.warp import AffineWarp, warp, warp_in_all_ways
from koch_siamese.sampling.distortions import (
    DISTORTIONS,
    WAVES,
    AffineRanges,
    sample_affine_matrices,
)

IDENTITY = np.array([[[1, 0, 0], [0, 1, 0]]], np.float32)


def slow_warp(image, matrix, fill):
    """Warps an image by the definition: pixel by pixel, in float64.

    Points are in pixels, shifts and waves in sides of the image.
    """
    height, width = image.shape
    sides = np.array([width, height])
    result = np.full(image.shape, np.nan)

    def gray(row, column):
        inside = 0 <= row < height and 0 <= column < width
        return float(image[row, column]) if inside else fill

    for row in range(height):
        for column in range(width):
            center = (sides - 1) / 2
            waves = [
                np.cos(np.pi * across * (column + 0.5) / width)
                * np.cos(np.pi * down * (row + 0.5) / height)
                for across, down in WAVES
            ]
            shapes = np.r_[1.0, waves][: matrix.shape[1] - 2]
            x, y = (
                matrix[:, :2] @ ([column, row] - center)
                + sides * (matrix[:, 2:] @ shapes)
                + center
            )
            left, top = int(np.floor(x)), int(np.floor(y))
            right_share, bottom_share = x - left, y - top
            result[row, column] = (
                (1 - right_share) * (1 - bottom_share) * gray(top, left)
                + right_share * (1 - bottom_share) * gray(top, left + 1)
                + (1 - right_share) * bottom_share * gray(top + 1, left)
                + right_share * bottom_share * gray(top + 1, left + 1)
            )
    return result


@pytest.fixture(scope="module", params=[0.0, 0.1], ids=["affine", "waves"])
def examples(request):
    rng = np.random.default_rng(0)
    images = rng.random((12, 19, 22, 1), dtype=np.float32)
    strong = AffineRanges(40.0, 0.4, (0.5, 1.6), 0.3, wave=request.param)
    return images, sample_affine_matrices(strong, 12, rng)


@pytest.mark.parametrize("compiled", [False, True])
def test_warp_agrees_with_the_definition(examples, compiled):
    images, matrices = examples
    function = tf.function(warp, jit_compile=True) if compiled else warp
    got = np.array(function(images, matrices, 1.0))[..., 0]
    for image, matrix, warped in zip(
        images[..., 0], matrices, got, strict=True
    ):
        np.testing.assert_allclose(
            warped, slow_warp(image, matrix, 1.0), atol=1e-4
        )


def test_layer_works_in_and_outside_of_a_compiled_step(examples):
    images, matrices = examples
    layer = AffineWarp(fill_value=1.0)
    plain = layer(images, matrices)
    inside = tf.function(layer)(images, matrices)
    fused = tf.function(layer, jit_compile=True)(images, matrices)
    np.testing.assert_allclose(plain, inside, atol=1e-5)
    np.testing.assert_allclose(plain, fused, atol=1e-5)


def test_identity_changes_nothing():
    images = np.random.default_rng(0).integers(
        256, size=(1, 105, 105, 1), dtype=np.uint8
    )
    warped = np.array(AffineWarp()(images, IDENTITY))
    np.testing.assert_array_equal(warped, images)
    none = sample_affine_matrices(
        DISTORTIONS["none"], 3, np.random.default_rng(0)
    )
    np.testing.assert_array_equal(none, np.repeat(IDENTITY, 3, axis=0))


def test_translation_by_whole_pixels_fills_with_white():
    image = np.zeros((1, 5, 5, 1), np.uint8)
    # Each pixel takes the value of the pixel two places to its left.
    right = IDENTITY + np.array([[0, 0, -2 / 5], [0, 0, 0]], np.float32)
    for function in (warp, warp_in_all_ways, AffineWarp()):
        warped = np.array(function(image, right))[0, ..., 0]
        np.testing.assert_allclose(warped[:, :2], 255, atol=1e-3)
        np.testing.assert_allclose(warped[:, 2:], 0, atol=1e-3)


def test_rotation_by_a_right_angle_is_exact():
    image = np.random.default_rng(0).random((1, 7, 7, 1), dtype=np.float32)
    # The pixel at (x, y) takes the value at (-y, x): the right is from below.
    turned = warp(image, np.array([[[0, -1, 0], [1, 0, 0]]], np.float32), 1.0)
    np.testing.assert_allclose(
        np.array(turned)[0, ..., 0], np.rot90(image[0, ..., 0]), atol=1e-5
    )


def test_channels_are_warped_alike(examples):
    images, matrices = examples
    colors = np.concatenate([images, images**2, 1 - images], axis=-1)
    warped = np.array(warp(colors, matrices, 1.0))
    in_all_ways = np.array(warp_in_all_ways(colors, matrices[:3], 1.0))
    for channel in range(3):
        one = colors[..., [channel]]
        np.testing.assert_array_equal(
            warped[..., [channel]], warp(one, matrices, 1.0)
        )
        np.testing.assert_array_equal(
            in_all_ways[..., [channel]],
            warp_in_all_ways(one, matrices[:3], 1.0),
        )


def test_without_a_fill_value_the_nearest_pixel_is_repeated():
    image = np.arange(35, dtype=np.uint8).reshape(1, 7, 5, 1)
    # By two places to the right, and by three upwards.
    moved = IDENTITY + np.array([[0, 0, -2 / 5], [0, 0, 3 / 7]], np.float32)
    layer = AffineWarp.from_config(AffineWarp(fill_value=None).get_config())
    warped = np.array(layer(image, moved))[0, ..., 0]
    rows, columns = [3, 4, 5, 6, 6, 6, 6], [0, 0, 0, 1, 2]
    expected = image[0, ..., 0][np.ix_(rows, columns)]
    np.testing.assert_allclose(warped, expected, atol=1e-3)


def test_symmetries_are_exact_and_all_eight_occur():
    image = np.random.default_rng(0).random((1, 7, 7, 1), dtype=np.float32)
    matrices = sample_affine_matrices(
        DISTORTIONS["turned"], 100, np.random.default_rng(0)
    )
    warped = np.array(warp_in_all_ways(image, matrices, 1.0))[..., 0]
    square = image[0, ..., 0]
    expected = [
        np.rot90(side, turns)
        for side in (square, square[:, ::-1])
        for turns in range(4)
    ]
    distances = np.abs(warped[:, np.newaxis] - expected).max(axis=(2, 3))
    assert distances.min(axis=1).max() < 1e-5
    assert set(distances.argmin(axis=1)) == set(range(8))
