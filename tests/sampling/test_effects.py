"""Random effects on photos: their ranges, and what they must not change."""

import numpy as np
import pytest

from koch_siamese.sampling.effects import (
    EFFECTS,
    EffectRanges,
    compose_colors,
    sample_effects,
)

RED, GREEN = [1.0, 0, 0], [0, 1.0, 0]
GRAY, WHITE = [0.5, 0.5, 0.5], [1.0, 1, 1]


def sample(ranges, num=200):
    return sample_effects(ranges, num, np.random.default_rng(0))


def recolor(colors, color):
    return colors @ [*color, 1.0]


def test_same_seed_gives_the_same_effects_of_known_shapes():
    first, second = sample(EFFECTS["photo"], 7), sample(EFFECTS["photo"], 7)
    shapes = {"colors": (7, 3, 4), "blurs": (7,), "boxes": (7, 4)}
    for name, shape in shapes.items():
        assert (first[name].shape, first[name].dtype) == (shape, np.float32)
        np.testing.assert_array_equal(first[name], second[name])


@pytest.mark.parametrize(
    ("name", "total"),
    [("light", 64368.4), ("photo", 64737.9), ("recolor", 62776.7)],
)
def test_effects_of_a_seed_are_those_of_published_runs(name, total):
    effects = sample(EFFECTS[name], 100).values()
    entries = np.hstack([x.reshape(100, -1) for x in effects]).sum(axis=0)
    found = entries.astype(float) @ np.arange(1, 18) ** 2
    assert found == pytest.approx(total, abs=0.1)


def test_no_effects_change_nothing():
    effects = sample(EFFECTS["none"])
    identity = np.tile(np.eye(3, 4, dtype=np.float32), (200, 1, 1))
    np.testing.assert_allclose(effects["colors"], identity, atol=1e-7)
    assert not effects["blurs"].any()
    left, top, right, bottom = effects["boxes"].T
    assert ((left == right) & (top == bottom)).all()


def test_saturation_and_hue_leave_gray_as_it_is():
    colors = sample(EFFECTS["recolor"])["colors"]
    for gray in (GRAY, WHITE):
        np.testing.assert_allclose(
            recolor(colors, gray), np.tile(gray, (200, 1)), atol=1e-6
        )
    # At a random hue, red becomes mostly green or blue in two of three cases.
    strongest = recolor(colors, RED).argmax(axis=1)
    assert np.bincount(strongest, minlength=3).min() > 40


def test_zero_saturation_gives_the_gray_value():
    colors = sample(EffectRanges(saturation=(0.0, 0.0)), 1)["colors"]
    np.testing.assert_allclose(recolor(colors, RED)[0], 3 * [0.299], 1e-6)
    np.testing.assert_allclose(recolor(colors, GREEN)[0], 3 * [0.587], 1e-6)


def test_hue_rotation_by_a_third_turns_red_into_green_or_blue():
    colors = sample(EffectRanges(hue_degrees=120.0), 2000)["colors"]
    moved = recolor(colors, RED)
    # At any angle, the sum and the length of a color stay the same.
    np.testing.assert_allclose(moved.sum(axis=1), 1.0, atol=1e-6)
    np.testing.assert_allclose((moved**2).sum(axis=1), 1.0, atol=1e-6)
    assert moved[:, 1].max() == pytest.approx(1.0, abs=1e-3)
    assert moved[:, 2].max() == pytest.approx(1.0, abs=1e-3)
    # At 60 degrees, the share of red is (1 + 2 cos 60) / 3.
    colors = sample(EffectRanges(hue_degrees=60.0), 2000)["colors"]
    least = recolor(colors, RED)[:, 0].min()
    assert least == pytest.approx(2 / 3, abs=1e-3)


def test_contrast_keeps_middle_gray_and_brightness_shifts_it():
    colors = sample(EffectRanges(contrast=(0.5, 0.5)), 1)["colors"]
    np.testing.assert_allclose(recolor(colors, WHITE)[0], 3 * [0.75])
    np.testing.assert_allclose(recolor(colors, GRAY)[0], GRAY)
    both = EffectRanges(brightness=0.2, contrast=(0.5, 0.5))
    colors = sample(both)["colors"]
    moved = recolor(colors, GRAY)[:, 0] - 0.5
    assert -0.2 <= moved.min() < -0.18
    assert 0.18 < moved.max() <= 0.2


def test_boxes_lie_within_the_image():
    boxes = sample(EffectRanges(erasing=0.4))["boxes"]
    assert boxes.min() >= 0
    assert boxes.max() <= 1 + 1e-6
    sides = boxes[:, 2:] - boxes[:, :2]
    assert 0.38 < sides.max() <= 0.4 + 1e-6
    assert abs(np.corrcoef(sides.T)[0, 1]) < 0.2


def test_effects_are_applied_with_the_given_probability():
    ranges = EffectRanges(
        brightness=0.2,
        saturation=(0.5, 0.5),
        blur=0.1,
        erasing=0.4,
        probability=0.25,
    )
    effects = sample(ranges, 4000)
    colors, blurs, boxes = effects.values()
    sides = boxes[:, 2:] - boxes[:, :2]
    for applied in (
        colors[:, 0, 3] != 0,
        np.abs(colors[:, 0, 1]) > 0.1,  # where colors are mixed
        blurs > 0,
        (sides > 1e-6).all(axis=1),
    ):
        assert applied.mean() == pytest.approx(0.25, abs=0.03)
    assert blurs.max() <= 0.1
    assert blurs[blurs > 0].mean() == pytest.approx(0.05, abs=0.005)


def test_composed_effects_are_applied_in_order():
    first, second = (
        sample_effects(EFFECTS["photo"], 50, np.random.default_rng(seed))
        for seed in (1, 2)
    )
    composed = compose_colors(first["colors"], second["colors"])
    for one, other, both in zip(
        first["colors"], second["colors"], composed, strict=True
    ):
        np.testing.assert_allclose(
            recolor(both, RED), recolor(other, recolor(one, RED)), atol=1e-5
        )
