import numpy as np

from koch_siamese.data.omniglot import (
    OFFICIAL_TEST_ALPHABETS,
    select_lake_drawers,
)
from koch_siamese.evaluation.protocols import PROTOCOLS
from koch_siamese.sampling.lake import list_lake_drawers, load_lake_runs


def test_there_are_twenty_lake_runs_of_twenty_characters():
    runs = load_lake_runs()
    assert len(runs) == 20
    alphabets = sorted({run["alphabet"] for run in runs})
    assert alphabets == sorted(OFFICIAL_TEST_ALPHABETS)
    for run in runs:
        assert len(set(run["support_characters"])) == 20
        assert sorted(run["query_characters"]) == sorted(
            run["support_characters"]
        )
        assert run["support_drawer"] != run["query_drawer"]


def test_lake_trials_are_the_official_ones(official_characters):
    test = official_characters
    trials = PROTOCOLS["lake"].sample(test)
    assert (len(trials), trials.ways, trials.shots) == (400, 20, 1)
    answers = trials.support[np.arange(400), trials.answer, 0]
    np.testing.assert_array_equal(
        test.character[answers], test.character[trials.query]
    )
    # In run 1, drawer 5 drew the supports and drawer 8 the queries; the first
    # query is character 9.
    assert set(test.drawer[trials.support[:20].ravel()]) == {5}
    assert set(test.drawer[trials.query[:20]]) == {8}
    assert test.number[trials.query[0]] == 9
    assert np.isin(test.drawer[trials.query], range(1, 9)).all()


def test_lake_drawers_are_four_of_each_alphabet(official_characters):
    drawers = list_lake_drawers()
    assert set(drawers) == set(OFFICIAL_TEST_ALPHABETS)
    assert all(len(found) == 4 for found in drawers.values())
    assert drawers["Atlantean"] == (2, 3, 5, 8)
    assert drawers["Ge_ez"] == (2, 3, 4, 7)
    chosen = select_lake_drawers(official_characters)
    assert len(chosen) == 4 * official_characters.num_characters
    atlantean = chosen.of_alphabets(["Atlantean"])
    assert set(atlantean.drawer) == {2, 3, 5, 8}
