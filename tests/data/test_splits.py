import dataclasses

import numpy as np
import pytest
from conftest import make_characters
from drawing import assert_names

from koch_siamese.data.characters import SPLITS
from koch_siamese.data.splits import (
    assign_groups,
    assign_splits,
    complete_splits,
    is_closed,
    keep_images_apart,
    require_pairs,
    take_first,
)
from koch_siamese.errors import DataWarning, InputError


def split_all(characters):
    parts = assign_splits(characters)
    return [characters.select(parts == place) for place in range(len(SPLITS))]


def test_split_is_complete_and_disjoint_with_fixed_proportions():
    characters = make_characters((10, 20, 5), num_drawers=2)
    parts = split_all(characters)
    ids = [set(part.character.tolist()) for part in parts]
    assert [len(part) for part in ids] == [21, 7, 7]
    assert set.union(*ids) == set(range(35))
    for part, share in zip(parts, (3, 1, 1), strict=True):
        counts = np.bincount(part.alphabet) // 2
        assert counts.tolist() == [2 * share, 4 * share, share]
    again = split_all(characters)
    np.testing.assert_array_equal(again[2].images, parts[2].images)


@pytest.mark.parametrize(
    ("alphabets", "expected"),
    [
        ((10,), [1, 0, 0, 1, 0, 0, 2, 0, 0, 2]),
        ((6,), [1, 1, 2, 2, 0, 0]),
        ((1, 6), [0, 1, 2, 2, 0, 0, 1]),  # pairs need the largest group
    ],
)
def test_splits_are_those_of_earlier_versions(alphabets, expected):
    # Otherwise, models would be tested on classes that they were trained on.
    parts = assign_splits(make_characters(alphabets, num_drawers=2))
    assert parts[::2].tolist() == expected


@pytest.mark.parametrize(
    ("num", "expected"), [(5, [6, 2, 2]), (10, [12, 4, 4])]
)
def test_small_alphabets_still_give_all_three_splits(num, expected):
    characters = make_characters((2,) * num, num_drawers=2)
    sizes = [part.num_characters for part in split_all(characters)]
    assert sizes == expected


def test_split_needs_characters_and_drawings():
    with pytest.raises(InputError, match="There are 3 characters") as error:
        assign_splits(make_characters((3,), num_drawers=9))
    assert_names(error, "at least 4", "train/NAME and test/NAME")
    characters = make_characters((10,), num_drawers=2)
    left = characters.select(~np.isin(np.arange(20), [7, 12]))
    with pytest.raises(
        InputError, match=r"2 of 10 characters have only 1 drawing \('d', 'g'\)"
    ):
        assign_splits(left, tuple("abcdefghij"))


@pytest.mark.parametrize(
    ("alphabets", "sizes"),
    [((6,), [2, 2, 2]), ((9,), [5, 2, 2]), ((3, 3, 3), [5, 2, 2])],
)
def test_few_classes_give_two_for_validation_and_two_for_test(alphabets, sizes):
    parts = split_all(make_characters(alphabets, num_drawers=2))
    assert [part.num_characters for part in parts] == sizes
    for part in parts[1:]:
        assert len(set(part.alphabet)) == 1


@pytest.mark.parametrize(
    ("alphabets", "sizes"), [((6, 6), [8, 2, 2]), ((6, 4), [6, 2, 2])]
)
def test_small_groups_leave_pairs_of_one_group(alphabets, sizes):
    parts = split_all(make_characters(alphabets, num_drawers=2))
    assert [part.num_characters for part in parts] == sizes
    for part in parts[1:]:
        assert len(set(part.alphabet)) == 1


@pytest.mark.parametrize("num", [4, 5])
def test_very_few_classes_are_validated_on_other_images(num):
    characters = make_characters((num,), num_drawers=4)
    with pytest.warns(DataWarning, match=f"only {num} classes"):
        training, validation, test = split_all(characters)
    assert (test.num_characters, len(test)) == (2, 8)
    assert set(training.character) == set(validation.character)
    assert not set(training.character) & set(test.character)
    assert len(training) == len(validation) == 2 * (num - 2)
    few = make_characters((num,), num_drawers=3)
    with (
        pytest.raises(InputError, match="'0' has only 3 training images"),
        pytest.warns(DataWarning),
    ):
        assign_splits(few)


def test_last_fifth_of_the_images_of_each_class_is_kept_apart():
    character = np.array([0] * 13 + [1] * 5)
    parts = np.zeros(18, np.int8)
    keep_images_apart(parts, character)
    # 13 / 5 is rounded to 3, and 2 is the least.
    assert np.flatnonzero(parts).tolist() == [10, 11, 12, 16, 17]


def test_pairs_need_two_characters_and_two_drawings_of_each():
    characters = make_characters((3,), num_drawers=2)
    require_pairs(characters)
    require_pairs(characters.select(np.arange(4)))
    left = characters.select(np.array([0, 1, 2, 4, 5]))
    with pytest.raises(
        InputError, match=r"1 of 3 characters have only 1 drawing \('q'\)"
    ):
        require_pairs(left, ("p", "q", "r"))
    with pytest.raises(InputError, match="only 1 character, '2': expected"):
        require_pairs(characters.select(np.array([4, 5])))


def test_first_drawings_of_each_character_by_turns_of_drawers():
    characters = make_characters((2, 3), num_drawers=4)
    three = characters.of_drawers([1, 2, 3])
    np.testing.assert_array_equal(
        take_first(characters, 3).images, three.images
    )
    # Each drawer has two drawings of each character.
    sessions = dataclasses.replace(
        characters, drawer=np.array([2, 2, 1, 1] * 5)
    )
    for num, expected in ((2, [0, 2]), (3, [0, 2, 3])):
        found = take_first(sessions, num).images[:num]
        np.testing.assert_array_equal(found, characters.images[expected])


def complete(parts, characters):
    names = [f"c{number}" for number in range(characters.num_characters)]
    return complete_splits(np.array(parts, np.int8), characters, names)


def test_given_splits_use_a_fifth_of_training_classes_for_validation():
    characters = make_characters((2, 15), num_drawers=2)
    parts = complete([2] * 4 + [0] * 30, characters)
    of_training = [0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]
    expected = np.repeat([2, 2, *of_training], 2)  # as in earlier versions
    np.testing.assert_array_equal(parts, expected)
    for split in ("training", "validation", "test", "all"):
        assert not is_closed(parts, characters.character, split)


@pytest.mark.parametrize(
    ("num", "images", "expected"),
    [
        (9, [0, 0, 0, 0, 0], [0, 0, 0, 1, 1]),  # few classes
        (10, [0, 0, 0, 0, 2], [0, 0, 1, 1, 2]),  # a closed set
    ],
)
def test_given_splits_are_validated_on_other_images(num, images, expected):
    characters = make_characters((num,), num_drawers=5)
    parts = complete(images * num, characters)
    np.testing.assert_array_equal(parts, expected * num)
    assert is_closed(parts, characters.character, "all")


@pytest.mark.parametrize("groups", [(5, 5), (4, 4, 4), (2,) * 5])
def test_small_training_groups_are_validated_on_a_pair(groups):
    characters = make_characters((*groups, 2), num_drawers=1)
    num = sum(groups)
    parts = complete([0] * num + [2] * 2, characters)
    assert np.bincount(parts).tolist() == [num - 2, 2, 2]
    assert len(set(characters.alphabet[parts == 1])) == 1


def test_given_splits_must_not_share_test_classes():
    characters = make_characters((4,), num_drawers=4)
    shared = [0] * 8 + [1, 1, 2, 2] * 2
    with pytest.raises(InputError, match="2 classes are in the validation and"):
        complete(shared, characters)
    with pytest.raises(InputError, match="validation split has 1 classes that"):
        complete([0] * 10 + [1, 1] + [1] * 4, characters)
    closed = [0, 0, 1, 2] * 4
    np.testing.assert_array_equal(complete(closed, characters), closed)
    assert is_closed(np.array(closed), characters.character, "test")
    only_test = complete([2] * 16, characters)
    assert not is_closed(only_test, characters.character, "test")


def test_splits_have_whole_groups():
    characters = make_characters((3, 2, 4, 2, 2, 3))
    no_names = {"training": (), "validation": (), "test": ()}

    def split(**names):
        parts = assign_groups(characters, no_names | names)
        found = dict(zip(characters.alphabet, parts, strict=True))
        # Whole groups: each drawing is in the part of the last one.
        assert [found[x] for x in characters.alphabet] == parts.tolist()
        return {
            part: [f"a{x}" for x in found if found[x] == index]
            for index, part in enumerate(no_names)
        }

    # Without names, the parts are those of earlier versions.
    assert split() == {
        "training": ["a0", "a1", "a3"],
        "validation": ["a2", "a4"],
        "test": ["a5"],
    }
    # The groups that are not named are for training, or for testing if
    # training groups are named.
    assert split(validation=("a1",), test=("a4", "a2")) == {
        "training": ["a0", "a3", "a5"],
        "validation": ["a1"],
        "test": ["a2", "a4"],
    }
    assert split(training=("a3", "a0"), validation=("a1",)) == {
        "training": ["a0", "a3"],
        "validation": ["a1"],
        "test": ["a2", "a4", "a5"],
    }
    # If all parts are named, the other groups are in none.
    assert split(training=("a0",), test=("a1",)) == {
        "training": ["a0"],
        "validation": [],
        "test": ["a1"],
    }


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"test": ("b",)}, "no group 'b': expected some of 'a0', 'a1', 'a2'"),
        ({"test": ("a0",), "validation": ("a0",)}, "'a0' is named twice"),
    ],
)
def test_wrong_groups_are_refused(characters, names, message):
    parts = {"training": (), "validation": (), "test": ()} | names
    with pytest.raises(InputError, match=message):
        assign_groups(characters, parts)
