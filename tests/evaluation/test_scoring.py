import sys

import keras
import numpy as np
import pytest
from conftest import build_fast_siamese, make_characters

from koch_siamese.data import image_arrays
from koch_siamese.errors import InputError
from koch_siamese.evaluation import scoring
from koch_siamese.evaluation.metrics import bootstrap_accuracy, compute_credit
from koch_siamese.evaluation.scoring import (
    EmbeddedDrawings,
    evaluate_pair_classes,
    evaluate_pairs,
    evaluate_trial_classes,
    evaluate_trials,
)
from koch_siamese.evaluation.verification import measure_verification
from koch_siamese.models.scorer import SiameseScorer
from koch_siamese.models.siamese import set_thresholds
from koch_siamese.models.thresholds import Thresholds
from koch_siamese.sampling.pairs import Pairs, sample_verification_pairs
from koch_siamese.sampling.trials import Trials, sample_trials

CHARACTERS = make_characters((20, 25), num_drawers=4, side=16)
TRIALS = sample_trials(
    CHARACTERS.character,
    CHARACTERS.alphabet,
    CHARACTERS.drawer,
    num_trials=700,
    ways=20,
    shots=2,
    rng=np.random.default_rng(0),
)


class Scorer:
    """Knows the answers, or gives one score; counts embedded images."""

    def __init__(self, answer=None):
        self.answer = answer
        self.embedded = 0

    def embed(self, images):
        self.embedded += len(images)
        codes = {
            image.tobytes(): character
            for image, character in zip(
                CHARACTERS.images, CHARACTERS.character, strict=True
            )
        }
        return np.array([[codes[image.tobytes()]] for image in images], float)

    def score(self, first, second):
        if self.answer is not None:
            return np.full(len(first), self.answer)
        return -np.abs(first - second)[:, 0]


class Gray(Scorer):
    def embed(self, images):
        return images.mean(axis=(1, 2), dtype=float)


def test_oracle_has_an_accuracy_of_one():
    result = evaluate_trials(
        EmbeddedDrawings(Scorer(), CHARACTERS.images), TRIALS
    )
    assert result["accuracy"] == 1.0
    assert result["ci95"][1] == 1.0
    assert (result["num_trials"], result["ways"], result["shots"]) == (
        700,
        20,
        2,
    )


@pytest.mark.parametrize("answer", [0.0, -3.5, 1e30])
def test_constant_scorer_gets_exactly_one_in_twenty(answer):
    result = evaluate_trials(
        EmbeddedDrawings(Scorer(answer), CHARACTERS.images), TRIALS
    )
    assert result["accuracy"] == 0.05


def test_interval_over_the_classes_of_queries():
    drawings = EmbeddedDrawings(Scorer(), CHARACTERS.images)
    result = evaluate_trials(drawings, TRIALS, CHARACTERS.character)
    assert result["classes_ci95"] == (1.0, 1.0)
    assert evaluate_trials(drawings, TRIALS)["classes_ci95"] is None
    drawings = EmbeddedDrawings(Gray(), CHARACTERS.images)
    result = evaluate_trials(drawings, TRIALS, CHARACTERS.character)
    credit = compute_credit(drawings.score_trials(TRIALS), TRIALS.answer)
    by_query = bootstrap_accuracy(credit, CHARACTERS.character[TRIALS.query])
    assert result["classes_ci95"] == by_query


def test_nan_is_an_error():
    with pytest.raises(ValueError, match="NaN"):
        evaluate_trials(
            EmbeddedDrawings(Scorer(np.nan), CHARACTERS.images), TRIALS
        )


def test_scores_must_be_a_number_for_each_pair():
    scorer = Scorer()
    scorer.score = lambda first, second: np.zeros((len(first), 1))
    with pytest.raises(InputError, match=r"\(2, 1\) for 2 pairs: .* \(2,\)\."):
        EmbeddedDrawings(scorer, CHARACTERS.images).score_pairs(
            np.array([0, 1]), np.array([2, 3])
        )


def test_every_drawing_is_embedded_once():
    scorer = Scorer()
    EmbeddedDrawings(scorer, CHARACTERS.images).score_trials(TRIALS)
    assert scorer.embedded <= len(CHARACTERS)


def test_large_embeddings_are_kept_in_a_file():
    expected = EmbeddedDrawings(Scorer(), CHARACTERS.images)
    drawings = EmbeddedDrawings(Scorer(), CHARACTERS.images)
    image_arrays.limit_memory(0)
    try:
        for pairs in ((np.array([0]), np.array([40])), (TRIALS.query[:9],) * 2):
            np.testing.assert_array_equal(
                drawings.score_pairs(*pairs), expected.score_pairs(*pairs)
            )
        assert isinstance(drawings._embeddings, np.memmap)
    finally:
        image_arrays.limit_memory(1024)


def test_scores_are_right_after_an_interruption():
    class Interrupted(Scorer):
        interruptions = 1

        def embed(self, images):
            if self.interruptions:
                self.interruptions -= 1
                raise KeyboardInterrupt
            return super().embed(images)

    drawings = EmbeddedDrawings(Interrupted(), CHARACTERS.images)
    pairs = np.array([0, 20, 60]), np.array([40, 90, 160])
    with pytest.raises(KeyboardInterrupt):
        drawings.score_pairs(*pairs)
    # Four drawings of each character: 70 and 80 are of characters 17 and 20.
    another = np.array([70]), np.array([80])
    assert drawings.score_pairs(*another) == [-3]
    expected = EmbeddedDrawings(Scorer(), CHARACTERS.images).score_pairs(*pairs)
    np.testing.assert_array_equal(drawings.score_pairs(*pairs), expected)
    assert drawings.score_pairs(*another) == [-3]


def test_scores_are_the_mean_logit_over_shots():
    keras.utils.set_random_seed(0)
    model = build_fast_siamese(16, (4,))
    scores = EmbeddedDrawings(
        SiameseScorer(model), CHARACTERS.images
    ).score_trials(TRIALS)
    for trial in (0, 699):
        for way in (0, 19):
            support = CHARACTERS.images[TRIALS.support[trial, way]]
            query = CHARACTERS.images[TRIALS.query[[trial, trial]]]
            logits = model(
                {"first": query[..., None], "second": support[..., None]}
            )
            assert scores[trial, way] == pytest.approx(
                np.mean(logits), abs=1e-5
            )


def test_progress_bars_are_shown_and_chunks_change_nothing(monkeypatch, capsys):
    whole = EmbeddedDrawings(Scorer(), CHARACTERS.images).score_trials(TRIALS)
    monkeypatch.setattr(scoring, "DRAWINGS_AT_ONCE", 7)
    monkeypatch.setattr(scoring, "NUMBERS_AT_ONCE", 100)
    monkeypatch.setattr(scoring, "SECONDS_WITHOUT_BAR", 0)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    drawings = EmbeddedDrawings(Scorer(), CHARACTERS.images)
    np.testing.assert_array_equal(drawings.score_trials(TRIALS), whole)
    shown = capsys.readouterr().err
    assert "Embedding:   0%|          | 0/180 " in shown
    assert f"Scoring pairs:   0%|          | 0/{700 * 20 * 2} " in shown


@pytest.mark.parametrize(
    ("batch_size", "sizes"), [(1, [7, 7, 6]), (3, [6, 6, 6, 2]), (9, [9, 9, 2])]
)
def test_large_images_are_embedded_in_whole_batches(
    batch_size, sizes, monkeypatch
):
    class Recording(Scorer):
        def embed(self, images):
            embedded.append(len(images))
            return super().embed(images)

    scorer, embedded = Recording(), []
    scorer.batch_size = batch_size
    # An image has 256 bytes: there is room for seven.
    monkeypatch.setattr(scoring, "BYTES_AT_ONCE", 8 * 256 - 1)
    pairs = np.arange(10), np.arange(10, 20)
    EmbeddedDrawings(scorer, CHARACTERS.images).score_pairs(*pairs)
    assert embedded == sizes


def test_scores_of_the_same_pairs_are_computed_once():
    class Counting(Scorer):
        num_scored = 0

        def score(self, first, second):
            self.num_scored += len(first)
            return super().score(first, second)

    scorer = Counting()
    drawings = EmbeddedDrawings(scorer, CHARACTERS.images)
    once = drawings.score_trials(TRIALS)
    expected_scores = once.copy()
    once[:] = 0  # the result belongs to the caller
    np.testing.assert_array_equal(
        drawings.score_trials(TRIALS), expected_scores
    )
    assert scorer.num_scored == TRIALS.support.size
    for second, score in ((1, 0), (8, -2)):
        pair = np.array([0]), np.array([second])
        drawings.score_pairs(*pair)[:] = 9
        assert drawings.score_pairs(*pair) == score
    assert scorer.num_scored == TRIALS.support.size + 2


def test_class_accuracies_of_pairs_by_hand():
    # Drawings 0 to 3 are of character 0, 4 to 7 of 1, 8 and 9 of 2. Scores are
    # minus the difference of the numbers. At a threshold of -1, a pair of 0 and
    # 1 counts as the same.
    first, second = np.array([[0, 0, 1, 4, 8], [1, 4, 8, 5, 9]])
    pairs = Pairs(first, second, np.array([1, 0, 0, 1, 1], np.float32))
    drawings = EmbeddedDrawings(Scorer(), CHARACTERS.images)
    rows = evaluate_pair_classes(drawings, pairs, -1.0, CHARACTERS.character)
    assert [
        (row["class"], row["num_trials"], row["accuracy"]) for row in rows
    ] == [(0, 3, 2 / 3), (1, 2, 0.5), (2, 2, 1.0)]
    result = evaluate_pairs(drawings, pairs, -1.0, CHARACTERS.character)
    assert (result["accuracy"], result["roc_auc"]) == (0.8, 1.0)
    assert result["num_different_pairs"] == 2
    assert (result["threshold"], result["num_trials"]) == (-1.0, 5)


def test_intervals_of_pairs_are_over_the_classes_of_both_drawings():
    labels = CHARACTERS.character, CHARACTERS.alphabet
    pairs = sample_verification_pairs(*labels, num_pairs=100, seed=0)
    drawings = EmbeddedDrawings(Gray(), CHARACTERS.images)
    result = evaluate_pairs(drawings, pairs, -1.0, CHARACTERS.character)
    expected = measure_verification(
        drawings.score_pairs(pairs.first, pairs.second),
        pairs.same,
        CHARACTERS.character[[pairs.first, pairs.second]],
    )
    assert result["roc_auc_ci95"] == expected["roc_auc_ci95"] != [1.0, 1.0]


def test_class_accuracies_of_trials_by_hand():
    # Drawings 0 to 3 are of character 0, 4 to 7 of 1. The last answer is wrong.
    support = np.array([[[1], [5]], [[1], [6]], [[1], [6]]])
    trials = Trials(np.array([0, 4, 5]), support, np.array([0, 1, 0]))
    drawings = EmbeddedDrawings(Scorer(), CHARACTERS.images)
    rows = evaluate_trial_classes(drawings, trials, CHARACTERS.character)
    assert [
        (row["class"], row["num_trials"], row["accuracy"]) for row in rows
    ] == [(0, 1, 1.0), (1, 2, 0.5)]


def test_threshold_of_a_scorer_is_that_of_its_model():
    model = build_fast_siamese(16, (4,))
    assert SiameseScorer(model).same_threshold is None
    set_thresholds(model, Thresholds(-2.0, (0.5,), slope=3.0))
    assert SiameseScorer(model).same_threshold == -2.0
