import dataclasses

import numpy as np
import pytest
from conftest import make_characters

from koch_siamese.data.characters import Characters, are_same_images
from koch_siamese.data.sources import load_characters
from koch_siamese.errors import InputError


def test_selections_keep_labels_with_their_images(characters):
    assert (len(characters), characters.num_characters) == (36, 12)
    second = characters.of_alphabets(["a1"]).of_drawers([2])
    assert second.character.tolist() == [3, 4, 5, 6]
    assert second.number.tolist() == [1, 2, 3, 4]
    where = np.flatnonzero(
        (characters.alphabet == 1) & (characters.drawer == 2)
    )
    np.testing.assert_array_equal(second.images, characters.images[where])


def test_alphabets_are_chosen_by_name_not_position(characters):
    names = ["a2", "a0"]
    chosen = characters.of_alphabets(names)
    assert sorted(set(chosen.alphabet)) == [0, 2]
    with pytest.raises(
        InputError, match=r"'Klingon': expected .* 'a0', 'a1', 'a2'\."
    ):
        characters.of_alphabets(["Klingon"])


def test_selections_without_drawings_are_refused(characters):
    first = characters.of_alphabets(["a0"])
    assert first.alphabet_names == ("a0", "a1", "a2")
    with pytest.raises(
        InputError, match=r"of the alphabet 'a1': expected some of 'a0'\."
    ):
        first.of_alphabets(["a0", "a1"])
    with pytest.raises(
        InputError, match=r"by the drawer 99: expected some of 1, 2, 3\."
    ):
        characters.of_drawers([1, 99])


def test_quarter_turns_are_new_characters_and_alphabets():
    before = make_characters((2, 3), num_drawers=2, side=4)
    after = before.with_quarter_turns()
    assert (len(after), after.num_characters) == (40, 20)
    assert after.alphabet_names[:3] == ("a0/0", "a0/90", "a0/180")
    for turn in range(4):
        turned = after.select(after.character % 4 == turn)
        np.testing.assert_array_equal(turned.character // 4, before.character)
        name = f"a1/{90 * turn}/03/02"  # the last drawing is a1/03/02
        assert (before.describe(9), turned.describe(9)) == ("a1/03/02", name)
        np.testing.assert_array_equal(
            turned.images, np.rot90(before.images, turn, axes=(1, 2))
        )


def test_mirror_images_are_new_characters_and_alphabets():
    before = make_characters((2, 3), num_drawers=2, side=4)
    after = before.with_mirror_images()
    assert (len(after), after.num_characters) == (20, 10)
    assert after.alphabet_names[:2] == ("a0/plain", "a0/mirror")
    mirrored = after.select(after.character % 2 == 1)
    np.testing.assert_array_equal(mirrored.character // 2, before.character)
    assert mirrored.describe(9) == "a1/mirror/03/02"
    np.testing.assert_array_equal(mirrored.images, before.images[:, :, ::-1])
    assert before.with_quarter_turns().with_mirror_images().num_characters == 40


@pytest.mark.parametrize("index", [-1, 2])
def test_alphabets_without_a_name_are_refused(index):
    characters = make_characters((2, 3), num_drawers=2, side=4)
    alphabet = np.full_like(characters.alphabet, index)
    with pytest.raises(InputError, match=f"value {index}: .* the 2 alphabet"):
        dataclasses.replace(characters, alphabet=alphabet)


def test_resizing_agrees_with_the_networks_preprocessing():
    from koch_siamese.models.layers import Preprocessing

    before = make_characters((2,), num_drawers=4, side=105)
    after = before.resized(35)
    ink = Preprocessing(35)(before.images)
    gray = 255 * (1 - np.array(ink))
    assert np.abs(after.images - gray).max() <= 1.5
    assert after.resized(35) is after
    for wrong in (0, 35.0, (35, 35)):
        with pytest.raises(InputError, match="expected the side of a square"):
            before.resized(wrong)


def test_non_square_images_are_centered_on_paper():
    image = np.zeros((1, 10, 4, 1), np.uint8)
    one = np.ones(1, int)
    characters = Characters(image, one, one, 0 * one, one, ("a",))
    resized = characters.resized(10).images[0]
    np.testing.assert_array_equal(resized[:, :3], 255)
    np.testing.assert_array_equal(resized[:, 3:7], 0)
    np.testing.assert_array_equal(resized[:, 7:], 255)


def test_labels_must_fit_the_images(characters):
    with pytest.raises(ValueError, match="36 drawings"):
        Characters(
            characters.images,
            characters.character[:-1],
            characters.number,
            characters.alphabet,
            characters.drawer,
            characters.alphabet_names,
        )
    with pytest.raises(ValueError, match="uint8"):
        Characters(characters.images / 255.0, *[characters.drawer] * 4, ())
    labels = characters.drawer
    for wrong, message in (
        (labels.tolist(), "drawer is a list: expected a NumPy array"),
        (labels / 2, "one integer for each of the 36 drawings; got float64"),
    ):
        with pytest.raises(InputError, match=message):
            dataclasses.replace(characters, drawer=wrong)


def test_fingerprint_is_of_all_images_and_labels(characters):
    fingerprint = characters.compute_fingerprint()
    changed = {
        "images": characters.images.copy(),
        "drawer": characters.drawer[::-1].copy(),
    }
    changed["images"][-1, -1, -1] ^= 1  # not the first drawing of a character
    for name, values in changed.items():
        other = dataclasses.replace(characters, **{name: values})
        assert not are_same_images([fingerprint, other.compute_fingerprint()])
    # As earlier versions stored it: of the first drawing of each character.
    older = "c21136c0d685ed45d4099cba89278cf666d0d82cca179e7e9c0082f61334b661"
    assert are_same_images([older, fingerprint, ""])
    assert not are_same_images([older, characters.drawer.tobytes().hex()])


def test_characters_are_described_in_a_line():
    characters = make_characters((3, 4), num_drawers=2)
    assert repr(characters) == (
        "Characters(14 drawings of 7 characters in 2 alphabets, 8 x 8 x 1)"
    )


def test_unknown_options_of_load_characters_are_refused():
    with pytest.raises(InputError, match="no option 'dir': expected one of"):
        load_characters("glyphs", "test", dir="x")
