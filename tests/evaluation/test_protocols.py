import numpy as np
import pytest
from conftest import make_characters

from koch_siamese.errors import InputError
from koch_siamese.evaluation.protocols import (
    PROTOCOLS,
    Evaluator,
    evaluate_protocol,
)
from koch_siamese.sampling.trials import Trials

CHARACTERS = make_characters((5, 6, 7), num_drawers=4)


class Source:
    """Loads the same characters whatever is asked, and counts."""

    def __init__(self):
        self.loaded = []

    def load(self, split):
        self.loaded.append(split)
        return CHARACTERS


class Scorer:
    """Scores by the mean of the pixels; remembers what it has embedded."""

    same_threshold = None

    def __init__(self):
        self.embedded = []

    def embed(self, images):
        self.embedded += [image.tobytes() for image in images]
        return images.reshape(len(images), -1).mean(axis=1, keepdims=True)

    def score(self, first, second):
        return -np.abs(first - second)[:, 0]


@pytest.fixture
def source(monkeypatch):
    # The real one is a frozen dataclass, which `dataclasses.replace` copies.
    source = Source()
    monkeypatch.setattr(
        "koch_siamese.evaluation.protocols.dataclasses.replace",
        lambda source, **changes: source,
    )
    source.dataset, source.background = "glyphs", "original"
    return source


def test_each_split_is_loaded_and_each_drawing_embedded_once(source):
    scorer = Scorer()
    evaluator = Evaluator(scorer, source)
    options = {"num_trials": 50, "ways": 3, "seed": 1}
    for protocol in ("within_alphabet", "cross_alphabet", "verification"):
        result = evaluator.evaluate(protocol, **options)
        assert result["protocol"] == protocol
        assert result["num_trials"] == 50
    assert source.loaded == ["test", "validation"]
    counts = np.unique(scorer.embedded, return_counts=True)[1]
    # Twice at most: the test split and the validation split are the same here.
    assert counts.max() == 2


def test_the_same_seed_measures_the_same(source):
    def measure(seed):
        result = evaluate_protocol(
            Scorer(), "within_alphabet", source, ways=4, seed=seed
        )
        return result["accuracy"], result["nearest_neighbour"]

    assert measure(0) == measure(0)
    assert measure(0) != measure(1)


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


def test_more_ways_than_characters_of_an_alphabet():
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
