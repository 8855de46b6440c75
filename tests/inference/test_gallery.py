import dataclasses

import numpy as np
import pytest

from koch_siamese.errors import InputError
from koch_siamese.inference.gallery import (
    Gallery,
    answer_queries,
    score_characters,
)
from koch_siamese.models.thresholds import Thresholds, compute_probability

GALLERY = Gallery(
    ("b", "a", "b"),
    np.array([[0.0, 0.0], [5.0, 5.0], [2.0, 0.0]], np.float32),
    "model one",
)


class Distance:
    """Scores by negative L1 distance."""

    def score(self, first, second):
        return -np.abs(first - second).sum(axis=1)


def test_scores_are_means_over_a_characters_drawings():
    queries = np.array([[0.0, 0.0], [5.0, 4.0]], np.float32)
    scores = score_characters(Distance(), GALLERY, queries)
    # a: 10; b: (0 + 2) / 2. Then a: 1; b: (9 + 7) / 2.
    np.testing.assert_array_equal(scores, [[-10, -1], [-1, -8]])


def test_answers_by_hand():
    thresholds = Thresholds(same=1.0, none_of_these=(0.0, 2.0))
    scores = np.array([[1.0, 3.0], [1.9, 1.0], [2.0, 2.0]])
    first, second, third = answer_queries(scores, ("a", "b"), thresholds)
    assert (first.character, first.best, first.score) == ("b", "b", 3.0)
    assert (first.runner_up, first.runner_up_score) == ("a", 1.0)
    assert first.probability == pytest.approx(1 / (1 + np.exp(-2.0)))
    assert (second.character, second.best) == (None, "a")
    # At the threshold a character is one of these.
    assert (third.character, third.threshold) == ("a", 2.0)


def test_without_thresholds_the_best_is_always_the_answer():
    (answer,) = answer_queries(np.array([[-9.0]]), ("a",), None)
    assert (answer.character, answer.threshold) == ("a", None)
    assert (answer.runner_up, answer.runner_up_score) == (None, None)


def test_probability_is_a_half_at_the_threshold_and_never_overflows():
    thresholds = Thresholds(1.5, (0.0,))
    assert compute_probability(1.5, thresholds) == 0.5
    assert compute_probability(0.0, None) == 0.5
    assert compute_probability(-1e9, thresholds) == pytest.approx(0, abs=1e-300)
    assert compute_probability(1e9, thresholds) == 1.0


def test_characters_are_added_replaced_and_removed():
    new = np.ones((2, 2), np.float32)
    larger = GALLERY.add(("c", "b"), new)
    assert larger.names == ("a", "c", "b")
    assert larger.characters == ("a", "b", "c")
    np.testing.assert_array_equal(larger.embeddings[0], [5, 5])
    np.testing.assert_array_equal(larger.embeddings[1:], new)
    smaller = larger.without(["a", "b"])
    assert smaller.names == ("c",)
    with pytest.raises(InputError, match="no character 'x'"):
        smaller.without(["x"])


def test_gallery_is_the_same_after_saving_and_loading(tmp_path):
    names = ("かな", "two words", "line\nbreak")
    gallery = Gallery(names, GALLERY.embeddings, "m")
    path = tmp_path / "gallery.npz"
    gallery.save(path)
    loaded = Gallery.load(path, "m")
    assert loaded.names == names
    np.testing.assert_array_equal(loaded.embeddings, gallery.embeddings)
    assert [x.name for x in tmp_path.iterdir()] == ["gallery.npz"]
    with pytest.raises(InputError, match="another model"):
        Gallery.load(path, "n")


def test_queries_are_cut_as_the_gallery_was(tmp_path):
    path = tmp_path / "gallery.npz"
    for crop, message in (
        (True, "made with --crop; got --nocrop: give --crop,"),
        (False, "made with --nocrop; got --crop: give --nocrop,"),
    ):
        dataclasses.replace(GALLERY, crop=crop).save(path)
        assert Gallery.load(path, GALLERY.fingerprint, crop).crop == crop
        with pytest.raises(InputError, match=message):
            Gallery.load(path, GALLERY.fingerprint, not crop)


@pytest.mark.parametrize(
    "content",
    [b"", b"no zip", b"\x80\x04N.", b"PK\x03\x04" + b"\0" * 50],
    ids=["empty", "text", "pickle", "torn zip"],
)
def test_what_is_no_gallery_is_refused(tmp_path, content):
    path = tmp_path / "gallery.npz"
    path.write_bytes(content)
    with pytest.raises(InputError, match="not a gallery"):
        Gallery.load(path, "m")


def test_gallery_with_pickles_or_odd_arrays_is_refused(tmp_path):
    path = tmp_path / "gallery.npz"
    fields = {
        "names": np.array(["a"]),
        "embeddings": np.zeros((1, 2), np.float32),
        "fingerprint": np.array("m"),
        "crop": np.array(True),
    }
    for change in (
        {"names": np.array([["a"], {}], object)},
        {"embeddings": np.zeros((2, 2), np.float32)},
        {"embeddings": np.zeros((1, 2))},
        {"embeddings": np.full((1, 2), np.nan, np.float32)},
    ):
        np.savez(path, **fields | change)
        with pytest.raises(InputError, match="not a gallery"):
            Gallery.load(path, "m")
    np.savez(path, **fields)
    assert Gallery.load(path, "m").names == ("a",)


def test_a_place_that_is_no_folder_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file/a\.npz cannot be written: "):
        GALLERY.save(tmp_path / "file" / "a.npz")
