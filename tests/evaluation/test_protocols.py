import numpy as np
import pytest
from conftest import make_characters

from koch_siamese.errors import InputError
from koch_siamese.evaluation.protocols import (
    PROTOCOLS,
)
from koch_siamese.sampling.trials import Trials

CHARACTERS = make_characters((5, 6, 7), num_drawers=4)


def test_different_pairs_from_anywhere():
    sample = PROTOCOLS["verification"].sample
    pairs = sample(CHARACTERS, num_trials=4000, different_pairs="anywhere")
    different = pairs.same == 0
    within = (
        CHARACTERS.alphabet[pairs.first[different]]
        == CHARACTERS.alphabet[pairs.second[different]]
    )
    # The first character is from an alphabet of 5, 6 or 7 in turn; of the other
    # 17 characters, 4, 5 or 6 are from the same alphabet.
    expected = (4 + 5 + 6) / 3 / 17
    assert abs(within.mean() - expected) < 0.03


def test_candidates_within_and_across_alphabets():
    options = {"num_trials": 100, "ways": 5, "seed": 0}
    alphabets = {}
    for name in ("within_alphabet", "cross_alphabet", "mnist"):
        trials = PROTOCOLS[name].sample(CHARACTERS, **options)
        assert isinstance(trials, Trials)
        of_support = CHARACTERS.alphabet[trials.support[:, :, 0]]
        alphabets[name] = max(len(np.unique(row)) for row in of_support)
    assert alphabets == {
        "within_alphabet": 1,
        "cross_alphabet": 3,
        "mnist": 3,
    }


def test_ways_beyond_the_largest_alphabet_are_refused():
    options = {"num_trials": 2, "ways": 8}
    PROTOCOLS["cross_alphabet"].sample(CHARACTERS, **options)
    with pytest.raises(InputError, match="at most 7 ways"):
        PROTOCOLS["within_alphabet"].sample(CHARACTERS, **options)


def test_pairs_are_half_the_same_and_stay_within_alphabets():
    pairs = PROTOCOLS["verification"].sample(CHARACTERS, num_trials=600, seed=3)
    assert pairs.same.sum() == 300
    alphabet = CHARACTERS.alphabet
    np.testing.assert_array_equal(alphabet[pairs.first], alphabet[pairs.second])
    character = CHARACTERS.character
    is_same = character[pairs.first] == character[pairs.second]
    np.testing.assert_array_equal(is_same, pairs.same == 1)
