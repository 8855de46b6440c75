"""Effects on photos with given parameters."""

import keras
import numpy as np
import pytest
from scipy import ndimage

from koch_siamese.models.photo_effects import PhotoEffects, change_photos
from koch_siamese.sampling.effects import EFFECTS, sample_effects

NO_BLUR, NO_BOX = np.zeros(1, np.float32), np.zeros((1, 4), np.float32)
IDENTITY = np.eye(3, 4, dtype=np.float32)[np.newaxis]


def change(image, colors=IDENTITY, blurs=NO_BLUR, boxes=NO_BOX):
    arguments = (np.float32(x) for x in (image[np.newaxis], colors, blurs))
    return np.array(change_photos(*arguments, np.float32(boxes)))[0]


@pytest.fixture
def photo():
    return np.random.default_rng(0).integers(0, 256, (20, 16, 3))


def test_identity_effects_change_nothing(photo):
    np.testing.assert_allclose(change(photo), photo, atol=1e-3)


def test_colors_are_multiplied_by_the_matrix_and_clipped():
    photo = np.tile([[[255, 51, 0], [0, 0, 255]]], (4, 2, 1))
    # Red and blue are swapped, and 0.5 is added to green.
    colors = [[[0, 0, 1, 0], [0, 1, 0, 0.5], [1, 0, 0, 0]]]
    expected = [[0, 178.5, 255], [255, 127.5, 0]]
    changed = change(photo, colors)
    np.testing.assert_allclose(changed[0, :2], expected, atol=1e-3)
    colors = [[[1, 0, 0, 0.5], [0, 1, 0, -0.5], [0, 0, 1, 0]]]
    expected = [[255, 0, 0], [127.5, 0, 255]]
    changed = change(photo, colors)
    np.testing.assert_allclose(changed[0, :2], expected, atol=1e-3)


def test_blur_is_gaussian(photo):
    # A standard deviation of 0.05 sides is 1 of 20 rows and 0.8 of 16 columns.
    blurred = change(photo, blurs=[0.05])
    expected = ndimage.gaussian_filter(
        photo.astype(float), (1.0, 0.8, 0), mode="reflect", radius=(3, 3, 0)
    )
    np.testing.assert_allclose(blurred, expected, atol=1e-2)


def test_blur_of_a_large_photo_is_as_wide_as_asked():
    line = np.zeros((200, 16, 3))
    line[100] = 255
    # The largest blur of `photo`, 0.015 of 200 rows, is 3 rows.
    blurred = change(line, blurs=[EFFECTS["photo"].blur])[:, 8, 0]
    offsets = np.arange(200) - 100
    stddev = np.sqrt((blurred * offsets**2).sum() / blurred.sum())
    assert stddev == pytest.approx(3.0, rel=0.03)


def test_box_covers_only_its_pixels(photo):
    changed = change(photo, boxes=[[0.25, 0.5, 0.75, 0.6]])
    expected = photo.astype(float)
    expected[10:12, 4:12] = 127.5
    np.testing.assert_allclose(changed, expected, atol=1e-3)


def test_layer_is_saved_and_changes_each_photo_separately(tmp_path):
    rng = np.random.default_rng(0)
    photos = rng.integers(0, 256, (5, 16, 16, 3)).astype(np.float32)
    effects = sample_effects(EFFECTS["photo"], 5, rng)
    inputs = {
        "images": keras.Input((16, 16, 3), name="images"),
        "colors": keras.Input((3, 4), name="colors"),
        "blurs": keras.Input((), name="blurs"),
        "boxes": keras.Input((4,), name="boxes"),
    }
    model = keras.Model(inputs, PhotoEffects()(*inputs.values()))
    model.save(tmp_path / "model.keras")
    model = keras.models.load_model(tmp_path / "model.keras")
    changed = model.predict({"images": photos, **effects}, verbose=0)
    for index in range(5):
        one = {name: values[[index]] for name, values in effects.items()}
        np.testing.assert_allclose(
            changed[index], change(photos[index], **one), atol=1e-2
        )
