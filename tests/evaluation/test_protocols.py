import numpy as np
import pytest
from conftest import make_characters

from koch_siamese.errors import InputError
from koch_siamese.evaluation.protocols import PROTOCOLS
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


@pytest.mark.parametrize(
    "name", ["within_alphabet", "cross_alphabet", "verification", "tutorial"]
)
def test_samples_depend_on_the_seed(name):
    def sample(**seed):
        options = {"num_trials": 20, "ways": 3} | seed
        found = PROTOCOLS[name].sample(CHARACTERS, **options)
        return found.first if name == "verification" else found.query

    np.testing.assert_array_equal(sample(), sample(seed=0))
    assert not np.array_equal(sample(seed=0), sample(seed=1))


@pytest.mark.parametrize(
    ("sizes", "num_drawers", "message"),
    [
        ((1,), 4, "There are 1 characters: expected at least 2"),
        ((2,), 1, "A character has 1 drawings: expected at least 2"),
    ],
)
def test_pairs_need_two_characters_and_two_drawings(
    sizes, num_drawers, message
):
    with pytest.raises(InputError, match=message):
        PROTOCOLS["verification"].sample(make_characters(sizes, num_drawers))


def test_candidates_within_and_across_alphabets():
    options = {"num_trials": 100, "ways": 5, "shots": 2, "seed": 0}
    alphabets = {}
    for name in ("within_alphabet", "cross_alphabet", "mnist"):
        trials = PROTOCOLS[name].sample(CHARACTERS, **options)
        assert isinstance(trials, Trials)
        assert trials.shots == 2
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


@pytest.mark.parametrize(
    ("protocol", "sizes", "ways", "expected"),
    [
        ("within_alphabet", (5, 7), 20, 7),
        ("within_alphabet", (5, 7), 3, 3),
        ("within_alphabet", (1, 1), 20, 2),
        ("cross_alphabet", (5, 7), 20, 12),
        ("tutorial", (5, 7), 25, 25),
    ],
)
def test_ways_are_limited_to_candidates(protocol, sizes, ways, expected):
    characters = make_characters(sizes)
    assert PROTOCOLS[protocol].limit_ways(ways, characters) == expected


def test_only_the_fixed_options_of_lake_are_accepted():
    lake = PROTOCOLS["lake"]
    lake.refuse_unused({"ways": 20, "background": "original", "seed": None})
    for name, value in (("ways", 5), ("background", "koch"), ("seed", 0)):
        with pytest.raises(InputError, match=f"^--{name}={value} has no eff"):
            lake.refuse_unused({name: value}, "--")


def test_pairs_are_half_the_same_and_stay_within_alphabets():
    pairs = PROTOCOLS["verification"].sample(CHARACTERS, num_trials=600, seed=3)
    assert pairs.same.sum() == 300
    alphabet = CHARACTERS.alphabet
    np.testing.assert_array_equal(alphabet[pairs.first], alphabet[pairs.second])
    character = CHARACTERS.character
    is_same = character[pairs.first] == character[pairs.second]
    np.testing.assert_array_equal(is_same, pairs.same == 1)
