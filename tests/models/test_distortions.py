import numpy as np
import pytest
import tensorflow as tf

from koch_siamese.data.omniglot import BACKGROUNDS
from koch_siamese.models.distortions import (
    DISTORTIONS,
    WAVES,
    AffineRanges,
    AffineWarp,
    compose,
    sample_affine_matrices,
    warp,
)
from koch_siamese.runs.settings import BACKGROUNDS as BACKGROUND_NAMES
from koch_siamese.runs.settings import Settings

IDENTITY = np.array([[[1, 0, 0], [0, 1, 0]]], np.float32)


def slow_warp(image, matrix, fill):
    """Pixel by pixel, in float64, from the definition."""
    height, width = image.shape
    result = np.full(image.shape, np.nan)

    def grey(row, column):
        inside = 0 <= row < height and 0 <= column < width
        return float(image[row, column]) if inside else fill

    for row in range(height):
        for column in range(width):
            place = np.array(
                [
                    (column - (width - 1) / 2) / width,
                    (row - (height - 1) / 2) / height,
                    1.0,
                ]
            )
            waves = [
                np.cos(np.pi * across * (column + 0.5) / width)
                * np.cos(np.pi * down * (row + 0.5) / height)
                for across, down in WAVES
            ]
            place = np.r_[place, waves][: matrix.shape[1]]
            x, y = matrix.astype(float) @ place
            x = x * width + (width - 1) / 2
            y = y * height + (height - 1) / 2
            left, top = int(np.floor(x)), int(np.floor(y))
            right_share, bottom_share = x - left, y - top
            result[row, column] = (
                (1 - right_share) * (1 - bottom_share) * grey(top, left)
                + right_share * (1 - bottom_share) * grey(top, left + 1)
                + (1 - right_share) * bottom_share * grey(top + 1, left)
                + right_share * bottom_share * grey(top + 1, left + 1)
            )
    return result


@pytest.fixture(scope="module", params=[0.0, 0.1], ids=["affine", "waves"])
def examples(request):
    rng = np.random.default_rng(0)
    images = rng.random((12, 21, 21, 1), dtype=np.float32)
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


def test_translation_by_whole_pixels_moves_and_fills_with_paper():
    image = np.zeros((1, 5, 5, 1), np.uint8)
    # Each pixel takes the grey of the one two to its left.
    right = IDENTITY + np.array([[0, 0, -2 / 5], [0, 0, 0]], np.float32)
    warped = np.array(warp(image, right))[0, ..., 0]
    np.testing.assert_allclose(warped[:, :2], 255, atol=1e-3)
    np.testing.assert_allclose(warped[:, 2:], 0, atol=1e-3)


def test_rotation_by_a_right_angle_is_exact():
    image = np.random.default_rng(0).random((1, 7, 7, 1), dtype=np.float32)
    # A place takes the grey of the one at (-y, x): its right is from below.
    turned = warp(image, np.array([[[0, -1, 0], [1, 0, 0]]], np.float32), 1.0)
    np.testing.assert_allclose(
        np.array(turned)[0, ..., 0], np.rot90(image[0, ..., 0]), atol=1e-5
    )


def test_matrices_stay_within_the_papers_ranges():
    paper = DISTORTIONS["paper"]
    assert paper == AffineRanges(10.0, 0.3, (0.8, 1.2), 2 / 105, 0.5)
    rotation = AffineRanges(rotation_degrees=10.0, probability=0.5)
    matrices = sample_affine_matrices(rotation, 4000, np.random.default_rng(0))
    angle = np.rad2deg(np.arctan2(matrices[:, 1, 0], matrices[:, 0, 0]))
    assert 9.8 < np.abs(angle).max() <= 10.0
    assert 0.46 < (angle == 0).mean() < 0.54
    scale = AffineRanges(scale=(0.8, 1.2))
    matrices = sample_affine_matrices(scale, 4000, np.random.default_rng(0))
    factors = 1 / matrices[:, [0, 1], [0, 1]]
    assert 0.8 <= factors.min() < 0.81
    assert 1.19 < factors.max() <= 1.2 + 1e-6
    # Horizontal and vertical scale are drawn on their own.
    assert abs(np.corrcoef(factors.T)[0, 1]) < 0.05
    shift = AffineRanges(translation=2 / 105)
    matrices = sample_affine_matrices(shift, 4000, np.random.default_rng(0))
    assert 1.95 < 105 * np.abs(matrices[:, :, 2]).max() <= 2 + 1e-5


def test_waves_bend_all_of_an_image_or_none():
    ranges = AffineRanges(probability=0.5, wave=0.03)
    matrices = sample_affine_matrices(ranges, 4000, np.random.default_rng(0))
    assert matrices.shape == (4000, 2, 3 + len(WAVES))
    np.testing.assert_array_equal(
        matrices[..., :3], np.repeat(IDENTITY, 4000, axis=0)
    )
    waves = matrices[..., 3:]
    bent = (waves != 0).all(axis=(1, 2))
    assert bent.mean() == pytest.approx(0.5, abs=0.03)
    assert not waves[~bent].any()
    # The longest waves, a half of one across or down, have the full strength.
    longest = waves[bent][:, :, WAVES.index((0, 1))]
    assert longest.std() == pytest.approx(0.03, rel=0.05)


def test_composed_distortion_is_one_after_the_other():
    # Turned by a right angle, then moved two pixels of eight to the right.
    turn = np.array([[[0, 1, 0], [-1, 0, 0]]], np.float32)
    move = np.array([[[1, 0, -2 / 8], [0, 1, 0]]], np.float32)
    image = np.random.default_rng(0).random((1, 8, 8, 1), np.float32)
    one_by_one = warp(warp(image, turn), move)
    np.testing.assert_array_equal(warp(image, compose(turn, move)), one_by_one)
    other_way = warp(warp(image, move), turn)
    assert not np.array_equal(one_by_one, other_way)
    np.testing.assert_array_equal(warp(image, compose(move, turn)), other_way)


def test_composed_waves_add_up():
    bend = np.zeros((1, 2, 5), np.float32)
    bend[0] = [[2, 0, 0, 0.5, 0], [0, 1, 0, 0, 0.25]]
    np.testing.assert_array_equal(compose(IDENTITY, bend), bend)
    np.testing.assert_array_equal(compose(bend, IDENTITY), bend)
    twice = [[4, 0, 0, 1.5, 0], [0, 1, 0, 0, 0.5]]
    np.testing.assert_array_equal(compose(bend, bend)[0], twice)


def test_same_seed_same_matrices():
    def draw(seed):
        rng = np.random.default_rng(seed)
        return sample_affine_matrices(DISTORTIONS["paper"], 5, rng)

    np.testing.assert_array_equal(draw(1), draw(1))
    assert not np.array_equal(draw(1), draw(2))


def test_settings_offer_all_distortions_and_backgrounds():
    assert tuple(BACKGROUNDS) == BACKGROUND_NAMES
    fields = Settings.__dataclass_fields__
    for name in ("distortion", "character_distortion"):
        assert set(fields[name].metadata["choices"]) == set(DISTORTIONS)
