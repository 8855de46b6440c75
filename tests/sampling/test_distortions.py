import numpy as np
import pytest

from koch_siamese.models.warp import warp
from koch_siamese.sampling.distortions import (
    DISTORTIONS,
    WAVES,
    AffineRanges,
    compose,
    sample_affine_matrices,
)

IDENTITY = np.array([[[1, 0, 0], [0, 1, 0]]], np.float32)


class Given:
    """In place of a random generator: draws the given values in turn."""

    def __init__(self, *values):
        self.values = iter(values)

    def uniform(self, low, high, num):
        value = next(self.values)
        assert low <= value <= high
        return np.full(num, value)

    def random(self, num):
        return np.zeros(num)


def test_matrix_by_hand():
    # A turn by a right angle, two shears, two scales and two shifts. The matrix
    # is [[0, -1], [1, 0]] times [[1, 0.5], [0.25, 1]] times [[1/2, 0],
    # [0, 1/4]]. The last column is minus this, times (0.125, 0.25).
    values = (90.0, 0.5, 0.25, 2.0, 4.0, 0.125, 0.25)
    ranges = AffineRanges(90.0, 0.5, (1.0, 4.0), 0.25)
    np.testing.assert_allclose(
        sample_affine_matrices(ranges, 1, Given(*values))[0],
        [[-0.125, -0.25, 0.078125], [0.5, 0.125, -0.09375]],
        atol=1e-7,
    )


def test_matrices_stay_within_the_papers_ranges():
    paper = DISTORTIONS["paper"]
    assert paper == AffineRanges(10.0, 0.3, (0.8, 1.2), 2 / 105, 0.5)
    rotation = AffineRanges(rotation_degrees=10.0, probability=0.5)
    matrices = sample_affine_matrices(rotation, 4000, np.random.default_rng(0))
    angle = np.rad2deg(np.arctan2(matrices[:, 1, 0], matrices[:, 0, 0]))
    assert -10.0 <= angle.min() < -9.8
    assert 9.8 < angle.max() <= 10.0
    assert 0.46 < (angle == 0).mean() < 0.54
    scale = AffineRanges(scale=(0.8, 1.2))
    matrices = sample_affine_matrices(scale, 4000, np.random.default_rng(0))
    factors = 1 / matrices[:, [0, 1], [0, 1]]
    assert 0.8 <= factors.min() < 0.81
    assert 1.19 < factors.max() <= 1.2 + 1e-6
    shift = AffineRanges(translation=2 / 105)
    matrices = sample_affine_matrices(shift, 4000, np.random.default_rng(0))
    shifts = 105 * matrices[:, :, 2]
    assert 1.95 < np.abs(shifts).max() <= 2 + 1e-5
    shear = AffineRanges(shear=0.3)
    matrices = sample_affine_matrices(shear, 4000, np.random.default_rng(0))
    slopes = matrices[:, [0, 1], [1, 0]]
    assert 0.29 < np.abs(slopes).max() <= 0.3 + 1e-6
    # Horizontal and vertical values are sampled independently.
    for pairs in (factors, shifts, slopes):
        assert abs(np.corrcoef(pairs.T)[0, 1]) < 0.05


@pytest.mark.parametrize(
    ("name", "total"),
    [
        ("none", 600.00),
        ("paper", 600.66),
        ("strong", 642.55),
        ("elastic", 1586.50),
        ("metamorphic", 1602.23),
        ("rotation", 597.30),
        ("photo", 502.69),
        ("turned", 72.00),
    ],
)
def test_matrices_of_a_seed_are_those_of_published_runs(name, total):
    rng = np.random.default_rng(0)
    matrices = sample_affine_matrices(DISTORTIONS[name], 100, rng)
    entries = matrices.reshape(100, -1).sum(axis=0, dtype=float)
    found = entries @ np.arange(1, len(entries) + 1)
    assert found == pytest.approx(total, abs=0.01)


def test_waves_bend_images_with_the_given_probability():
    # Models with views store a column for each wave, in this order.
    known = [(0, 1), (0, 2), (0, 3), (1, 0), (1, 1)]
    known += [(1, 2), (2, 0), (2, 1), (2, 2), (3, 0)]
    assert list(WAVES) == known
    ranges = AffineRanges(probability=0.25, wave=0.03)
    matrices = sample_affine_matrices(ranges, 4000, np.random.default_rng(0))
    assert matrices.shape == (4000, 2, 3 + len(WAVES))
    np.testing.assert_array_equal(
        matrices[..., :3], np.repeat(IDENTITY, 4000, axis=0)
    )
    waves = matrices[..., 3:]
    bent = (waves != 0).all(axis=(1, 2))
    assert bent.mean() == pytest.approx(0.25, abs=0.03)
    assert not waves[~bent].any()
    # The longest waves, half a wave across or down, have the full strength.
    longest = waves[bent][:, :, WAVES.index((0, 1))]
    assert longest.std() == pytest.approx(0.03, rel=0.05)
    shorter = waves[bent][:, :, WAVES.index((2, 2))]
    assert shorter.std() == pytest.approx(0.03 / 8**0.5, rel=0.05)


def test_quarter_turns_and_mirrors_are_independent():
    def sample(**ranges):
        rng = np.random.default_rng(0)
        return sample_affine_matrices(AffineRanges(**ranges), 4000, rng)

    # Left and right are exchanged, in a quarter of the images.
    mirrored = sample(mirror=0.25)[:, :, :2]
    is_mirrored = mirrored[:, 0, 0] == -1
    assert is_mirrored.mean() == pytest.approx(0.25, abs=0.03)
    np.testing.assert_array_equal(mirrored[is_mirrored][0], [[-1, 0], [0, 1]])
    turned = sample(quarter_turns=True)[:, :, :2]
    assert len(np.unique(turned, axis=0)) == 4
    np.testing.assert_array_equal(np.linalg.det(turned), 1)


def test_composed_distortions_are_applied_in_order():
    # Turn by a right angle, then move to the right by two of eight pixels.
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
