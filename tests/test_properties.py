"""Properties that hold for any labels, scores, settings and bytes."""

import dataclasses
import json
import pathlib
import tempfile

import numpy as np
import pytest
from conftest import REPOSITORY
from drawing import draw, save
from hypothesis import given, settings
from hypothesis import strategies as st

from koch_siamese.data.image_files import read_drawing
from koch_siamese.errors import InputError
from koch_siamese.evaluation.metrics import compute_credit, wilson_interval
from koch_siamese.inference import storage
from koch_siamese.inference.gallery import Gallery
from koch_siamese.reporting.result_tables import load_results, load_tables
from koch_siamese.runs.flagfiles import format_flags, parse_flags
from koch_siamese.runs.settings import Settings
from koch_siamese.sampling.pairs import (
    CharacterIndex,
    Pairs,
    PairSet,
    sample_group,
    sample_pairs,
)
from koch_siamese.sampling.trials import sample_trials

# Without deadlines, which a busy machine would miss.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

seeds = st.integers(0, 2**32 - 1)
# The number of drawings of each character, in a list for each alphabet.
alphabets = st.lists(
    st.lists(st.integers(2, 5), min_size=1, max_size=6), min_size=1, max_size=5
).filter(lambda sizes: sum(map(len, sizes)) >= 2)


def make_labels(sizes, seed):
    """Makes the characters and alphabets of drawings, in random order."""
    character = np.concatenate(
        [np.repeat(i, n) for i, n in enumerate(x for a in sizes for x in a)]
    )
    home = np.repeat(np.arange(len(sizes)), [len(a) for a in sizes])
    order = np.random.default_rng(seed).permutation(len(character))
    return character[order], home[character][order]


@given(alphabets, st.integers(1, 40), st.floats(0, 1), seeds)
def test_pairs(sizes, num_pairs, within_alphabet, seed):
    character, alphabet = make_labels(sizes, seed)
    index = CharacterIndex.from_labels(character, alphabet)
    rng = np.random.default_rng(seed)
    first, second, same = sample_pairs(index, num_pairs, rng, within_alphabet)
    np.testing.assert_array_equal(same, np.arange(num_pairs) % 2 == 0)
    np.testing.assert_array_equal(character[first] == character[second], same)
    assert (first != second).all()
    # Alphabets have equal shares of the same pairs, up to one pair.
    shares = np.bincount(alphabet[first[same == 1]], minlength=len(sizes))
    assert np.ptp(shares) <= 1


@given(alphabets, st.integers(2, 6), seeds)
def test_different_pairs_stay_within_alphabets_of_several_characters(
    sizes, num_pairs, seed
):
    character, alphabet = make_labels(sizes, seed)
    index = CharacterIndex.from_labels(character, alphabet)
    first, second, _ = sample_pairs(
        index, num_pairs, np.random.default_rng(seed), 1.0
    )
    has_another = np.array([len(a) > 1 for a in sizes])[alphabet[first]]
    stays = alphabet[first] == alphabet[second]
    assert stays[has_another].all()


@given(st.integers(1, 9), st.integers(0, 3), st.integers(1, 6), seeds)
def test_an_epoch_takes_no_item_of_a_pair_set_twice(pairs, copies, batch, seed):
    nothing = np.zeros(pairs)
    pair_set = PairSet(Pairs(nothing, nothing, nothing), copies, seed)
    assert len(pair_set) == pairs * (1 + copies)
    batch = min(batch, len(pair_set))
    steps = len(pair_set) // batch
    for epoch in range(2):
        taken = [
            item
            for step in range(steps)
            for item in zip(
                *pair_set.take(epoch * steps + step, batch), strict=True
            )
        ]
        assert len(set(taken)) == len(taken) == steps * batch
        assert {0 <= p < pairs and 0 <= c <= copies for p, c in taken} == {True}


@given(alphabets, st.data(), st.floats(0, 1), seeds)
def test_groups(sizes, data, within_alphabet, seed):
    character, alphabet = make_labels(sizes, seed)
    index = CharacterIndex.from_labels(character, alphabet)
    num = data.draw(st.integers(1, len(set(character))))
    drawings, labels = sample_group(
        index, num, 2, np.random.default_rng(seed), within_alphabet
    )
    assert len(set(drawings)) == 2 * num
    assert len(set(labels)) == num
    for label in set(labels):
        assert len(set(character[drawings[labels == label]])) == 1


@given(st.data(), seeds)
def test_trials(data, seed):
    num_alphabets = data.draw(st.integers(1, 4))
    sizes = data.draw(
        st.lists(
            st.integers(1, 6),
            min_size=num_alphabets,
            max_size=num_alphabets,
        )
    )
    num_drawers = data.draw(st.integers(2, 4))
    ways = data.draw(st.integers(1, max(sizes)))
    shots = data.draw(st.integers(1, num_drawers - 1))
    character = np.repeat(np.arange(sum(sizes)), num_drawers)
    alphabet = np.repeat(np.arange(num_alphabets), sizes)[character]
    drawer = np.tile(np.arange(num_drawers), sum(sizes))
    trials = sample_trials(
        character,
        alphabet,
        drawer,
        num_trials=7,
        ways=ways,
        shots=shots,
        rng=np.random.default_rng(seed),
    )
    for query, support, answer in zip(
        trials.query, trials.support, trials.answer, strict=True
    ):
        assert (character[support[answer]] == character[query]).all()
        assert len(set(character[support[:, 0]])) == ways
        assert len(set(character[support].ravel())) == ways
        assert set(alphabet[support].ravel()) == {alphabet[query]}
        assert drawer[query] not in drawer[support]
        assert len(set(drawer[support].ravel())) == shots


@given(st.integers(1, 30), st.integers(1, 9), st.floats(-1e9, 1e9), seeds)
def test_constant_scorer_has_chance_accuracy(ways, num_trials, score, seed):
    answer = np.random.default_rng(seed).integers(ways, size=num_trials)
    credit = compute_credit(np.full((num_trials, ways), score), answer)
    np.testing.assert_array_equal(credit, 1 / ways)


@given(st.integers(1, 10_000), st.data())
def test_interval_contains_the_accuracy_and_narrows(num_trials, data):
    num_correct = data.draw(st.floats(0, num_trials))
    low, high = wilson_interval(num_correct, num_trials)
    share = num_correct / num_trials
    assert 0 <= low <= share + 1e-12 <= high + 2e-12 <= 1 + 3e-12
    low_of_more, high_of_more = wilson_interval(
        10 * num_correct, 10 * num_trials
    )
    assert high_of_more - low_of_more < high - low


def make_setting(field):
    """Makes values of a setting, some of which are out of range."""
    kind = type(field.default)
    if field.metadata["choices"]:
        choice = st.sampled_from([*field.metadata["choices"], "other"])
        return st.lists(choice).map(tuple) if kind is tuple else choice
    if kind is tuple:
        number = st.integers(-2, 300)
        if isinstance((field.default or (0,))[0], float):
            number = st.floats(-1, 2)
        return st.lists(number, max_size=4).map(tuple)
    return {
        bool: st.booleans(),
        int: st.integers(-2, 10**6),
        float: st.floats(-1, 10**6) | st.just(float("nan")),
        str: st.text(st.characters(exclude_categories=("C", "Z"))),
    }[kind]


fields = st.sampled_from(dataclasses.fields(Settings))


@given(st.data(), st.lists(fields, max_size=6, unique_by=lambda f: f.name))
def test_settings_are_refused_in_one_line_or_survive_a_round_trip(data, chosen):
    values = {field.name: data.draw(make_setting(field)) for field in chosen}
    try:
        made = Settings(**values)
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert parse_flags(format_flags(made)) == made


TABLES = load_tables(REPOSITORY / "experiments" / "tables.json")

json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["protocol", "accuracy", "seed", "x"]),
            inner | st.just("lake") | st.just(0.5),
        )
    ),
    max_leaves=6,
)


@settings(max_examples=50)
@given(st.binary(max_size=40) | json_values.map(json.dumps))
def test_edited_result_files_are_read_or_refused_in_one_line(content):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "x.json")
        if isinstance(content, str):
            content = content.encode()
        path.write_bytes(content)
        try:
            results = load_results(path.parent)
        except InputError as error:
            assert "\n" not in str(error)
        else:
            for table in TABLES.values():
                table.to_markdown(results)


def make_gallery(path):
    gallery = Gallery(("a", "b"), np.ones((2, 3), np.float32))
    storage.write(path, storage.Stored(gallery, "model", True), None)
    return path


def mutate(whole, rng):
    """Changes, deletes, inserts or repeats bytes, often near the start."""
    broken = bytearray(whole)
    for _ in range(rng.integers(1, 5)):
        end = len(broken) if rng.random() < 0.5 else min(len(broken), 100)
        place = int(rng.integers(end)) if end else 0
        kind = rng.integers(4)
        if kind == 0 and end:
            broken[place] = rng.integers(256)
        elif kind == 1:
            del broken[place : place + int(rng.integers(1, 50))]
        elif kind == 2:
            broken[place:place] = rng.bytes(int(rng.integers(1, 9)))
        else:
            broken[place:place] = broken[place : place + 30]
    return bytes(broken)


def read_any(path):
    """Reads a file by its suffix; returns whether it is readable."""
    try:
        if path.suffix == ".npz":
            storage.read(path)
        else:
            assert read_drawing(path, crop=True).shape == (105, 105)
        return True
    except InputError as error:
        assert "\n" not in str(error)
        return False


def fuzz(folder, num_inputs, seed):
    """Reads mutated files of all kinds; counts those that are readable."""
    image = draw(40, (5, 5, 30, 35))
    kinds = [
        save(image, folder / f"a.{suffix}")
        for suffix in ("png", "jpg", "gif", "bmp", "webp", "tif", "pgm")
    ]
    kinds.append(make_gallery(folder / "a.npz"))
    originals = {path: path.read_bytes() for path in kinds}
    rng = np.random.default_rng(seed)
    readable = 0
    for number in range(num_inputs):
        path = kinds[number % len(kinds)]
        path.write_bytes(mutate(originals[path], rng))
        readable += read_any(path)
    return readable


@pytest.mark.filterwarnings("error")
def test_mutated_files_are_read_or_refused_in_one_line(tmp_path):
    assert 0 < fuzz(tmp_path, 300, seed=0) < 300


@pytest.mark.fuzz
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("seed", range(1, 11))
def test_many_mutated_files(tmp_path, seed):
    assert 0 < fuzz(tmp_path, 2000, seed) < 2000
