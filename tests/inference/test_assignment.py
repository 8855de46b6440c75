"""Characters that are assigned to the symbols of a page together."""

import contextlib
import itertools
import types

import numpy as np
import pytest

from koch_siamese.errors import DataWarning
from koch_siamese.inference import assignment
from koch_siamese.inference.assignment import (
    FEW_SYMBOLS,
    assign_characters,
    can_score_together,
    score_together,
)
from koch_siamese.models.thresholds import Thresholds

# Two groups: 0, 2, 3 and 1, 4. Pairs in the order of triu_indices(5, 1).
GROUP = np.array([0, 1, 0, 0, 1])
IS_SAME = np.equal.outer(GROUP, GROUP)[np.triu_indices(5, 1)]
THRESHOLDS = Thresholds(0.0, (1.0, 2.0))


def test_a_character_for_two_groups_has_its_cost():
    # Both are nearest to the first character: 5 + 6 less the cost, or 4 + 6.
    scores = np.array([[5.0, 4.0], [6.0, 1.0]])
    assert assign_characters(scores, 0.0).tolist() == [0, 0]
    assert assign_characters(scores, 0.9).tolist() == [0, 0]
    assert assign_characters(scores, 1.1).tolist() == [1, 0]


def test_there_may_be_more_groups_than_characters():
    assert assign_characters(np.zeros((7, 1)), 1.0).tolist() == [0] * 7
    scores = np.array([[3.0, 0.0], [2.0, 0.0], [1.0, 0.0]])
    assert assign_characters(scores, 100.0).tolist().count(1) == 1


def test_a_character_may_have_many_groups():
    scores = np.tile([9.0, -5.0], (10, 1))
    assert assign_characters(scores, 2.0).tolist() == [0] * 10


def test_a_low_threshold_does_not_merge_the_page():
    alone = np.arange(10.0).reshape(5, 2)
    thresholds = Thresholds(2.0, (-100.0,))
    scores, _ = score_together(alone, np.full(10, 1.9), thresholds)
    np.testing.assert_array_equal(scores, alone)


def test_a_confirmed_character_changes_those_of_others():
    scores = np.array([[5.0, 4.0], [6.0, 4.9]])
    for confirmed, expected in (
        ([-1, -1], [1, 0]),
        ([0, -1], [0, 1]),
        ([1, 1], [1, 1]),
    ):
        assigned = assign_characters(scores, 1.5, np.array(confirmed))
        assert assigned.tolist() == expected
    # A character that is confirmed may be shared at the cost, as any other.
    assigned = assign_characters(scores, 1.0, np.array([0, -1]))
    assert assigned.tolist() == [0, 0]


@pytest.mark.parametrize("seed", range(5))
def test_the_sum_of_the_scores_is_the_highest_possible(seed):
    scores = np.random.default_rng(seed).normal(0, 3, (4, 3))
    cost = 1.5

    def total(chosen):
        repeats = len(chosen) - len(set(chosen))
        return scores[range(4), chosen].sum() - cost * repeats

    best = max(map(total, itertools.product(range(3), repeat=4)))
    assert total(assign_characters(scores, cost)) == pytest.approx(best)


def test_scores_of_a_group_are_means_and_others_get_what_is_left():
    # Both groups are nearest to character 0, the first one by more.
    alone = np.array([[8.0, 1], [5, 3], [7, 1], [9, 1], [4, 3]])
    pair_scores = np.where(IS_SAME, 2.0, 1.9)  # the score that names a symbol
    scores, assigned = score_together(alone, pair_scores, THRESHOLDS)
    expected = np.array([[8.0, 1], [4.5, 3]])[GROUP]
    np.testing.assert_array_equal(scores, expected)
    assert assigned.tolist() == [0, 1, 0, 0, 1]


def test_the_group_of_a_confirmed_symbol_gets_its_character():
    alone = np.array([[8.0, 1], [5, 3], [7, 1], [9, 1], [4, 3]])
    pair_scores = np.where(IS_SAME, 2.0, 1.9)
    scores, assigned = score_together(
        alone, pair_scores, THRESHOLDS, np.array([-1, -1, -1, -1, 0])
    )
    expected = np.array([[8.0, 1], [4.5, 3]])[GROUP]
    np.testing.assert_array_equal(scores, expected)
    assert assigned.tolist() == [0, 0, 0, 0, 0]


def test_symbols_with_other_confirmed_characters_are_not_alike():
    alone = np.array([[8.0, 1], [7.0, 1], [6.0, 3]])
    # The first two are alike, and so are the first and the third one.
    pair_scores = np.array([9.0, 9.0, 1.0])
    scores, assigned = score_together(
        alone, pair_scores, THRESHOLDS, np.array([1, 0, -1])
    )
    np.testing.assert_array_equal(scores, [[7, 2], [7, 1], [7, 2]])
    assert assigned.tolist() == [1, 0, 1]


def test_symbols_that_are_less_alike_are_groups_of_their_own():
    alone = np.arange(10.0).reshape(5, 2)
    scores, _ = score_together(alone, np.full(10, 1.9), THRESHOLDS)
    np.testing.assert_array_equal(scores, alone)


def test_the_groups_of_many_symbols_are_chosen_by_their_silhouettes():
    pytest.importorskip("sklearn", reason="Groups need the extra 'pages'.")
    group = np.arange(FEW_SYMBOLS) % 4
    # Those of groups 0 and 1 also reach the threshold, but are less alike.
    table = np.where(np.equal.outer(group, group), 20.0, 0.0)
    table[np.ix_(group == 0, group == 1)] = 6.0
    table[np.ix_(group == 1, group == 0)] = 6.0
    alone = np.eye(4)[group] * 10
    alone[0] = 0.0
    scores, assigned = score_together(
        alone,
        table[np.triu_indices(FEW_SYMBOLS, 1)],
        Thresholds(0.0, (5.0,)),
    )
    assert assigned.tolist() == group.tolist()
    # The mean of 0 and four tens; five of twenty symbols are of each group.
    assert scores[0].tolist() == [8.0, 0.0, 0.0, 0.0]


def test_the_groups_of_few_symbols_are_cut_at_the_threshold():
    group = np.arange(8) % 4
    table = np.where(np.equal.outer(group, group), 20.0, 0.0)
    table[np.ix_(group < 2, group < 2)] += 6.0
    scores, _ = score_together(
        np.eye(4)[group] * 10,
        table[np.triu_indices(8, 1)],
        Thresholds(0.0, (5.0,)),
    )
    assert scores[:2].tolist() == [[5.0, 5.0, 0.0, 0.0]] * 2


@pytest.mark.parametrize(
    ("num_symbols", "score", "limits", "expected"),
    [
        (1, 2.0, {}, False),
        (2, 2.0, {}, True),
        (2, 1.9, {}, False),  # a name among three characters needs 2
        (7, 2.0, {"MAX_SYMBOLS": 7, "MAX_SCORES": 21}, True),
        (7, 2.0, {"MAX_SYMBOLS": 6}, False),
        (7, 2.0, {"MAX_SCORES": 20}, False),
    ],
)
def test_which_symbols_are_scored_together(
    num_symbols, score, limits, expected, monkeypatch
):
    for name, limit in limits.items():
        monkeypatch.setattr(assignment, name, limit)
    scorer = types.SimpleNamespace(score=lambda *_: np.array([score]))
    embeddings = np.zeros((num_symbols, 2), np.float32)
    is_too_many = num_symbols == 7 and not expected
    with (
        pytest.warns(DataWarning, match="7 symbols and 3 known characters")
        if is_too_many
        else contextlib.nullcontext()
    ):
        found = can_score_together(scorer, embeddings, 3, THRESHOLDS)
    assert found is expected
    assert not can_score_together(scorer, embeddings, 3, None)


def test_the_cost_of_a_repeat_is_in_log_odds():
    # Different symbols, nearest to the same character by 1 or more.
    alone = np.array([[5.0, 4.0], [6.0, 4.9]])
    for slope, expected in ((1.0, [1, 0]), (2.0, [0, 0])):
        _, assigned = score_together(
            alone, np.zeros(1), Thresholds(0.0, (1.0,), slope)
        )
        assert assigned.tolist() == expected
