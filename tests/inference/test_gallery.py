import dataclasses

import numpy as np
import pytest

from koch_siamese.errors import InputError
from koch_siamese.inference.gallery import (
    Candidate,
    Gallery,
    answer_query,
    judge_pair,
    score_characters,
)
from koch_siamese.models.thresholds import NO_THRESHOLDS, Thresholds

GALLERY = Gallery(
    ("b", "a", "b"),
    np.array([[0.0, 0.0], [5.0, 5.0], [2.0, 0.0]], np.float32),
)


class Distance:
    """Scores by negative L1 distance."""

    def score(self, first, second):
        return -np.abs(first - second).sum(axis=1)


def test_scores_are_means_over_a_characters_drawings():
    queries = np.array([[0.0, 0.0], [5.0, 4.0]], np.float32)
    found = score_characters(Distance(), GALLERY, queries)
    names, scores = zip(*found, strict=True)
    assert names == (("a", "b"),) * 2
    # Distances of the first query: 10 to a, (0 + 2) / 2 to b. Of the second:
    # 1 to a, (9 + 7) / 2 to b.
    np.testing.assert_array_equal(scores, [[-10, -1], [-1, -8]])


def test_answers_follow_from_scores_and_thresholds():
    thresholds = Thresholds(same=1.0, none_of_these=(0.0, 2.0))
    scores = np.array([[1.0, 3.0], [1.9, 1.0], [2.0, 2.0]])
    first, second, third = (
        answer_query(("a", "b"), row, thresholds, 2.0, 5) for row in scores
    )
    probability = pytest.approx(1 / (1 + np.exp(-2.0)))
    assert first.name == "b"
    assert first.candidates == (
        Candidate("b", 3.0, probability),
        Candidate("a", 1.0, 0.5),
    )
    assert (first.best, first.runner_up) == first.candidates
    assert (second.name, second.best.name) == (None, "a")
    assert second.to_json() == {
        "character": None,
        "best": "a",
        "score": 1.9,
        "probability": pytest.approx(1 / (1 + np.exp(-0.9))),
        "runner_up": "b",
        "runner_up_score": 1.0,
        "threshold": 2.0,
        "candidates": [dataclasses.asdict(x) for x in second.candidates],
    }
    # A score equal to the threshold is accepted.
    assert (third.name, third.threshold) == ("a", 2.0)


def test_number_of_candidates_can_be_given():
    scores = np.array([1.0, 3.0, 2.0])
    answer = answer_query(("a", "b", "c"), scores, None, None, top_k=2)
    assert [x.name for x in answer.candidates] == ["b", "c"]


def test_without_thresholds_the_best_is_always_the_answer():
    answer = answer_query(("a",), np.array([-9.0]), None, None, 5)
    assert (answer.name, answer.threshold) == ("a", None)
    assert answer.candidates == (Candidate("a", -9.0, None),)
    assert answer.runner_up is None


def test_verdicts_follow_from_scores_and_thresholds():
    thresholds = Thresholds(1.0, (0.0,))
    assert judge_pair(1.0, thresholds).same is True
    verdict = judge_pair(0.9, thresholds)
    assert (verdict.same, verdict.threshold) == (False, 1.0)
    assert judge_pair(0.9, thresholds, threshold=0.9).same is True
    # A missing threshold does not count as 0.
    verdict = judge_pair(0.9, None)
    assert (verdict.same, verdict.probability, verdict.threshold) == (None,) * 3
    with pytest.raises(InputError, match="The model has no threshold"):
        bool(verdict)
    assert judge_pair(0.9, None, threshold=1.0).same is False
    assert judge_pair(1.0, None, threshold=np.float64(1)).same is True
    assert judge_pair(1.0, thresholds)
    assert not judge_pair(0.9, thresholds)


def test_probability_is_a_half_at_the_threshold_and_never_overflows():
    thresholds = Thresholds(1.5, (0.0,))
    assert thresholds.probability(1.5) == 0.5
    assert NO_THRESHOLDS.probability(0.0) == 0.5
    assert thresholds.probability(-1e9) == pytest.approx(0, abs=1e-300)
    assert thresholds.probability(1e9) == 1.0


def test_characters_are_added_replaced_and_removed():
    new = np.ones((2, 2), np.float32)
    larger = GALLERY.add(("c", "b"), new, replace=True)
    assert larger.names == ("a", "c", "b")
    assert larger.characters == ("a", "b", "c")
    np.testing.assert_array_equal(larger.embeddings[0], [5, 5])
    np.testing.assert_array_equal(larger.embeddings[1:], new)
    np.testing.assert_array_equal(
        GALLERY.add(("a",), new[:1], replace=False).embeddings[1::2],
        [[5, 5], [1, 1]],
    )
    smaller = larger.without(["a", "b"])
    assert smaller.names == ("c",)
    with pytest.raises(InputError, match="no character 'x'"):
        smaller.without(["x"])
    with pytest.raises(InputError, match="it is empty"):
        smaller.without(["c"]).without(["c"])
