import itertools

import numpy as np
import pytest
from conftest import make_characters

from koch_siamese.errors import InputError
from koch_siamese.sampling.pairs import (
    CharacterIndex,
    sample_group,
    sample_pairs,
)

CHARACTERS = make_characters((3, 4, 5), num_drawers=3)
INDEX = CharacterIndex.from_labels(CHARACTERS.character, CHARACTERS.alphabet)


def draw_pairs(num_pairs=600, within_alphabet=1.0, seed=0):
    first, second, same = sample_pairs(
        INDEX, num_pairs, np.random.default_rng(seed), within_alphabet
    )
    return CHARACTERS.select(first), CHARACTERS.select(second), same


def test_half_of_the_pairs_are_same_and_labels_are_correct():
    first, second, same = draw_pairs()
    assert same.mean() == 0.5
    np.testing.assert_array_equal(first.character == second.character, same)


def test_same_pairs_have_two_distinct_drawings():
    first, second, same = draw_pairs()
    assert (first.drawer != second.drawer)[same == 1].all()


def test_every_ordered_pair_of_distinct_drawings_occurs_equally_often():
    first, second, same = draw_pairs(num_pairs=7200)
    of_one = (same == 1) & (first.character == 0)
    pairs = zip(first.drawer[of_one], second.drawer[of_one], strict=True)
    counts = dict.fromkeys(itertools.permutations((1, 2, 3), 2), 0)
    for pair in pairs:
        counts[tuple(map(int, pair))] += 1
    # 3600 same pairs / (3 alphabets x 3 characters x 6 ordered pairs) = 66.7.
    assert all(35 < count < 105 for count in counts.values()), counts


@pytest.mark.parametrize("num_pairs", [6, 128, 601])
def test_alphabets_are_equally_frequent_in_both_kinds_of_pairs(num_pairs):
    first, _, same = draw_pairs(num_pairs)
    for label in (0, 1):
        counts = np.bincount(first.alphabet[same == label], minlength=3)
        assert np.ptp(counts) <= 1


def test_different_pairs_are_within_alphabets_at_the_given_rate():
    def share(within):
        first, second, same = draw_pairs(4000, within)
        return (first.alphabet == second.alphabet)[same == 0].mean()

    assert share(1.0) == 1.0
    # 2, 3 or 4 of the 11 other characters are from the same alphabet: 27 %.
    assert 0.22 < share(0.0) < 0.32


def test_numbers_of_drawings_may_differ():
    kept = np.r_[0, 1, 3:36]  # without a drawing of the first character
    few = CHARACTERS.select(kept)
    index = CharacterIndex.from_labels(few.character, few.alphabet)
    first, second, same = sample_pairs(index, 500, np.random.default_rng(0))
    np.testing.assert_array_equal(
        few.character[first] == few.character[second], same
    )
    assert (first != second).all()
    np.testing.assert_array_equal(few.alphabet[first], few.alphabet[second])
    with pytest.raises(
        InputError, match=r"has 2 drawings: expected at least 3"
    ):
        index.require(12, 3)


def test_characters_of_an_alphabet_need_no_successive_numbers():
    character = np.repeat(np.arange(4), 2)
    index = CharacterIndex.from_labels(character, character % 2)
    assert index.drawings.tolist() == [0, 1, 4, 5, 2, 3, 6, 7]
    assert index.first_character.tolist() == [0, 2]
    assert index.num_characters.tolist() == [2, 2]


def test_group_has_distinct_drawings_of_distinct_characters():
    rng = np.random.default_rng(0)
    drawings, character = sample_group(INDEX, 5, 2, rng)
    assert len(set(drawings)) == 10
    assert character.tolist() == np.repeat(character[::2], 2).tolist()
    assert len(set(character)) == 5
    np.testing.assert_array_equal(CHARACTERS.character[drawings], character)


def test_groups_are_within_alphabets_at_the_given_rate():
    def alphabets(within, num_characters):
        rng = np.random.default_rng(1)
        for _ in range(200):
            drawings, _ = sample_group(INDEX, num_characters, 2, rng, within)
            yield len(set(CHARACTERS.alphabet[drawings]))

    assert set(alphabets(1.0, 3)) == {1}
    # Any two alphabets suffice for seven characters: they have 3 + 4 or more.
    assert set(alphabets(1.0, 7)) <= {2}
    assert 100 < sum(count == 3 for count in alphabets(0.0, 5)) <= 200


def test_limits_of_group_sizes():
    INDEX.require(12, 3)
    with pytest.raises(
        InputError, match=r"12 characters: expected at least 13"
    ):
        INDEX.require(13, 3)
    with pytest.raises(InputError, match=r"3 drawings: expected at least 4"):
        INDEX.require(12, 4)
    drawings, _ = sample_group(INDEX, 12, 3, np.random.default_rng(0))
    assert sorted(drawings) == list(range(36))


def test_groups_from_many_alphabets_agree_with_those_from_few(monkeypatch):
    few = make_characters((2, 3, 1, 4), num_drawers=2)
    index = CharacterIndex.from_labels(few.character, few.alphabet)

    def starts(seed):
        drawings, character = sample_group(
            index, 3, 2, np.random.default_rng(seed)
        )
        assert len(set(character)) == 3
        assert len(set(drawings)) == 6
        return few.alphabet[drawings[0]]

    for limit in (3, 4):  # with four alphabets, "many" or not
        monkeypatch.setattr("koch_siamese.sampling.pairs.MANY_ALPHABETS", limit)
        counts = np.bincount([starts(seed) for seed in range(400)])
        assert counts.min() > 70, counts
    # Ten characters need all four alphabets, even the one with one character.
    monkeypatch.setattr("koch_siamese.sampling.pairs.MANY_ALPHABETS", 3)
    drawings, _ = sample_group(index, 10, 2, np.random.default_rng(0))
    assert sorted(drawings) == list(range(20))


def test_group_from_few_alphabets_shuffles_all_of_them():
    drawings, character = sample_group(INDEX, 4, 2, np.random.default_rng(5))
    rng = np.random.default_rng(5)
    rng.random()
    first = rng.permutation(3)[0]
    assert (CHARACTERS.alphabet[drawings[:6]] == first).all()
    np.testing.assert_array_equal(
        character[:6:2],
        INDEX.first_character[first]
        + rng.permutation(INDEX.num_characters[first])[:3],
    )
