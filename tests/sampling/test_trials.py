import numpy as np
import pytest
from conftest import make_characters

from koch_siamese.errors import InputError
from koch_siamese.evaluation.metrics import (
    compute_credit,
    compute_margins,
    wilson_interval,
)
from koch_siamese.sampling.trials import (
    TrialIndex,
    compute_drawing_table,
    number_drawers,
    sample_trials,
    sample_tutorial_trials,
)

CHARACTERS = make_characters((4, 6, 5), num_drawers=4)


def test_only_drawings_of_a_character_by_a_drawer_have_one_number():
    character, drawer = np.array([0, 0, 1, 1, 0]), np.array([-1, 0, -1, 0, 0])
    assert number_drawers(character, drawer).tolist() == [0, 1, 2, 3, 1]
    # Numbers may be larger than the type of the labels holds.
    many = np.array([0, 30_000], np.int16)
    assert number_drawers(many, np.array([7, 9])).tolist() == [0, 60_001]


def draw(characters=CHARACTERS, seed=0, across=False, **changes):
    arguments = {"num_trials": 300, "ways": 5, "shots": 1} | changes
    alphabet = 0 * characters.alphabet if across else characters.alphabet
    return sample_trials(
        characters.character,
        alphabet,
        characters.drawer,
        rng=np.random.default_rng(seed),
        **arguments,
    )


@pytest.mark.parametrize(("ways", "shots"), [(5, 1), (4, 3), (1, 1)])
def test_invariants_of_trials(ways, shots):
    trials = draw(ways=ways, shots=shots)
    assert (len(trials), trials.ways, trials.shots) == (300, ways, shots)
    character, drawer = CHARACTERS.character, CHARACTERS.drawer
    candidates = character[trials.support]
    assert (candidates == candidates[..., :1]).all()
    for row in candidates[..., 0]:
        assert len(set(row)) == ways
    answers = candidates[np.arange(300), trials.answer, 0]
    np.testing.assert_array_equal(answers, character[trials.query])
    # All are from one alphabet. All candidates have the same drawers, who are
    # never the query's drawer.
    alphabet = CHARACTERS.alphabet
    assert (
        alphabet[trials.support] == alphabet[trials.query, None, None]
    ).all()
    assert (drawer[trials.support] == drawer[trials.support[:, :1]]).all()
    assert (drawer[trials.support] != drawer[trials.query, None, None]).all()
    for row in drawer[trials.support[:, 0]]:
        assert len(set(row)) == shots


def test_answers_are_at_random_positions():
    counts = np.bincount(draw(num_trials=1000).answer, minlength=5)
    assert counts.min() > 150


def test_small_alphabets_are_skipped_and_others_alternate():
    trials = draw(ways=5)
    used = CHARACTERS.alphabet[trials.query]
    assert used[:4].tolist() == [1, 2, 1, 2]
    assert set(used) == {1, 2}


def test_limits_of_ways_and_shots():
    assert draw(ways=6).ways == 6
    with pytest.raises(InputError, match="at most 6 ways"):
        draw(ways=7)
    assert draw(ways=15, across=True).ways == 15
    assert draw(shots=3).shots == 3
    with pytest.raises(
        InputError,
        match=r"4 shots need 5 people .* 4: give at most 3 shots",
    ):
        draw(shots=4)
    # Without a drawer, the first alphabet is too small for three shots.
    is_missing = (CHARACTERS.alphabet == 0) & (CHARACTERS.drawer == 4)
    left = CHARACTERS.select(~is_missing)
    trials = draw(left, ways=4, shots=3)
    assert set(left.alphabet[trials.query]) == {1, 2}
    with pytest.raises(InputError, match="two characters to choose between"):
        draw(make_characters((1, 1)), ways=2)
    for bad in ({"ways": 0}, {"shots": 0}, {"num_trials": 0}):
        with pytest.raises(InputError, match="at least 1"):
            draw(**bad)


def test_drawers_who_missed_a_character_are_skipped():
    whole = make_characters((3,), num_drawers=3)
    incomplete = whole.select(np.arange(9) != 1)  # drawer 2 lacks character 0
    trials = draw(incomplete, ways=3)
    assert set(incomplete.drawer[trials.query]) == {1, 3}


def test_same_seed_same_trials():
    one, same, other = draw(seed=1), draw(seed=1), draw(seed=2)
    np.testing.assert_array_equal(one.support, same.support)
    np.testing.assert_array_equal(one.query, same.query)
    assert not np.array_equal(one.support, other.support)


def test_drawing_table():
    table = compute_drawing_table(np.array([5, 5, 2]), np.array([1, 4, 4]))
    assert table.tolist() == [[-1, 2], [0, 1]]


def test_all_drawings_of_a_drawer_occur():
    """Tests three characters in two sessions with two drawings each, or one."""
    character, drawer, _ = np.indices((3, 2, 2)).reshape(3, -1)[:, 1:]
    index = TrialIndex.from_labels(character, 0 * character, drawer, 3, 1)
    trials = index.sample(2000, np.random.default_rng(0))
    for drawings in (trials.query, trials.support):
        assert set(drawings.flat) == set(range(11))
    answers = trials.support[np.arange(2000), trials.answer, 0]
    np.testing.assert_array_equal(character[answers], character[trials.query])
    assert (drawer[answers] != drawer[trials.query]).all()
    shown = drawer[trials.support[..., 0]]
    np.testing.assert_array_equal(shown, shown[:, :1].repeat(3, axis=1))


def test_trials_of_one_drawing_by_each_drawer_are_those_published():
    trials = draw(num_trials=3, ways=3)
    assert trials.query.tolist() == [0, 25, 49]
    assert trials.support[..., 0].tolist() == [
        [11, 15, 3],
        [30, 26, 38],
        [47, 51, 59],
    ]
    assert trials.answer.tolist() == [2, 1, 1]


def test_constant_scores_get_exactly_one_in_ways():
    answer = np.random.default_rng(0).integers(20, size=400)
    credit = compute_credit(np.zeros((400, 20)), answer)
    assert credit.mean() == 0.05
    assert compute_credit(np.zeros((400, 20)), 0 * answer).mean() == 0.05


def test_ties_share_the_credit():
    scores = np.array([[1.0, 3, 3], [1, 3, 3], [9, 3, 3], [2, 2, 2]])
    credit = compute_credit(scores, np.array([1, 0, 0, 2]))
    np.testing.assert_allclose(credit, [1 / 2, 0, 1, 1 / 3])


def test_nan_is_an_error_and_infinite_is_not():
    scores = np.zeros((3, 4))
    scores[1, 2] = np.inf
    assert compute_credit(scores, np.array([0, 2, 0]))[1] == 1
    scores[1, :2] = np.nan
    with pytest.raises(ValueError, match="1 of 3 trials"):
        compute_credit(scores, np.array([0, 2, 0]))


def test_wilson_interval_against_known_values():
    # By hand: center (0.92 + 3.8415 / 800) / 1.0096 = 0.9160, spread 0.0268.
    assert wilson_interval(368, 400) == pytest.approx(
        (0.8892, 0.9428), abs=1e-4
    )
    assert wilson_interval(5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)
    assert wilson_interval(0, 10)[0] == 0
    for num in range(1, 200):  # without clipping, three give more or less
        assert wilson_interval(num, num)[1] == 1


def test_margins_by_hand():
    scores = np.array([[3.0, 1.0, 2.5], [3.0, 1.0, 2.5], [1.0, 1.0, 0.0]])
    answer = np.array([0, 1, 1])
    margins = compute_margins(scores, answer)
    np.testing.assert_array_equal(margins, [0.5, -2.0, 0.0])
    np.testing.assert_array_equal(compute_margins(scores - 9, answer), margins)


def test_index_agrees_with_a_search_of_each_alphabet():
    # Drawings are in random order, and five are missing.
    shuffled = CHARACTERS.select(np.random.default_rng(0).permutation(60)[:55])
    labels = (shuffled.character, shuffled.alphabet, shuffled.drawer)
    expected = []
    for name in np.unique(shuffled.alphabet):
        drawings = np.flatnonzero(shuffled.alphabet == name)
        table = compute_drawing_table(
            shuffled.character[drawings], shuffled.drawer[drawings]
        )
        expected.append(drawings[table[:, (table >= 0).all(axis=0)]])
    index = TrialIndex.from_labels(*labels, ways=2, shots=1)
    expected = [table for table in expected if table.shape[1] > 1]
    assert len(index.tables) == len(expected) > 1
    for table, other in zip(index.tables, expected, strict=True):
        np.testing.assert_array_equal(table, other)
    trials = index.sample(9, np.random.default_rng(3))
    again = sample_trials(
        *labels, num_trials=9, ways=2, shots=1, rng=np.random.default_rng(3)
    )
    np.testing.assert_array_equal(trials.support, again.support)
    np.testing.assert_array_equal(trials.query, again.query)


def test_trials_of_the_tutorial_may_show_the_query_itself():
    character = np.repeat(np.arange(5), 2)
    trials = sample_tutorial_trials(
        character, num_trials=4000, ways=3, rng=np.random.default_rng(0)
    )
    assert trials.support.shape == (4000, 3, 1)
    # Those of published results.
    assert trials.query[:5].tolist() == [8, 7, 4, 3, 2]
    assert trials.support[:2, :, 0].tolist() == [[2, 8, 5], [9, 6, 4]]
    shown = character[trials.support[..., 0]]
    own = character[trials.query][:, np.newaxis]
    is_answer = np.arange(3) == trials.answer[:, np.newaxis]
    np.testing.assert_array_equal(shown == own, is_answer)
    # Characters have two drawings, so half of the answers are the query itself.
    # There are four wrong characters, so the two wrong candidates are equal in
    # a quarter of the trials.
    answers = trials.support[..., 0][is_answer]
    assert abs((answers == trials.query).mean() - 1 / 2) < 0.03
    wrong = shown[~is_answer].reshape(-1, 2)
    assert abs((wrong[:, 0] == wrong[:, 1]).mean() - 1 / 4) < 0.03
    options = {"num_trials": 1, "ways": 2, "rng": np.random.default_rng(0)}
    assert len(sample_tutorial_trials(np.arange(2), **options)) == 1
    with pytest.raises(InputError, match="1 characters: expected at least 2"):
        sample_tutorial_trials(np.zeros(4, int), **options)
