"""Tests the index of a large gallery: its proposals, and answers with it."""

import sys

import keras
import numpy as np
import pytest
from conftest import TINY_MODEL

from koch_siamese import Recognizer
from koch_siamese.errors import DataWarning
from koch_siamese.inference import gallery as gallery_module
from koch_siamese.inference import index as index_module
from koch_siamese.inference import recognizer as recognizer_module
from koch_siamese.inference.gallery import Gallery, score_nearest_characters
from koch_siamese.inference.index import GalleryIndex
from koch_siamese.models.heads import EuclideanDistance, WeightedL1

pytest.importorskip("faiss", reason="It needs the extra 'index': faiss-cpu.")

NUM, DIM = 600, 16


@pytest.fixture(scope="module")
def embeddings():
    return np.random.default_rng(0).random((NUM, DIM), np.float32)


@pytest.fixture(scope="module")
def head(embeddings):
    """A head with three positive weights, which count as 0."""
    head = WeightedL1()
    head(embeddings[:1], embeddings[:1])
    weights = np.linspace(-3, 0, DIM, dtype=np.float32)
    weights[:3] = 0.5
    head.set_weights([weights, np.float32(1)])
    return head


def make_index(head, embeddings):
    index = GalleryIndex(head.distance_weights)
    index.update(embeddings)
    return index


def measure_recall(index, queries, expected):
    found = index.propose(queries, expected.shape[1])
    hits = map(np.isin, expected, found)
    return np.mean(list(hits))


def test_nearest_drawings_are_proposed(head, embeddings):
    queries = np.random.default_rng(1).random((50, DIM), np.float32)
    weights = np.minimum(np.array(head.kernel), 0)
    differences = np.abs(queries[:, np.newaxis] - embeddings)
    nearest = np.argsort(-(differences @ weights), axis=1)[:, :10]
    index = make_index(head, embeddings)
    assert measure_recall(index, queries, nearest) > 0.99
    # An equal drawing is proposed first.
    assert [x[0] for x in index.propose(embeddings[:20], 1)] == [*range(20)]


def test_nearest_by_euclidean_distance(embeddings):
    queries = np.random.default_rng(2).random((50, DIM), np.float32)
    distances = np.linalg.norm(queries[:, np.newaxis] - embeddings, axis=-1)
    nearest = np.argsort(distances, axis=1)[:, :10]
    index = make_index(EuclideanDistance(), embeddings)
    assert measure_recall(index, queries, nearest) > 0.99


def test_index_grows_without_being_rebuilt(head, embeddings):
    index = make_index(head, embeddings[:400])
    graph = index._graph
    index.update(embeddings.copy())
    assert index._graph is graph
    assert len(index) == NUM
    assert [x[0] for x in index.propose(embeddings[390:410], 1)] == [
        *range(390, 410)
    ]


def test_copies_share_the_graph_until_one_of_them_grows(head, embeddings):
    index = make_index(head, embeddings[:400])
    twin = index.copy()
    index.update(embeddings[1:400])  # a removal changes positions alone
    assert twin._graph is index._graph
    twin.update(np.r_[embeddings[:400], embeddings[500:]])
    index.update(embeddings[1:450])
    assert (len(index), len(twin)) == (450, 500)
    for each, rows in ((index, [399, 448]), (twin, [400, 499])):
        assert each._graph.ntotal == len(each)
        queries = each._embeddings[rows]
        assert [x[0] for x in each.propose(queries, 1)] == rows
    assert twin.propose(embeddings[:1], 1)[0] == 0
    # Each has its own now, which grows in place.
    graph = twin._graph
    twin.update(np.r_[embeddings[:400], embeddings[500:], embeddings[400:410]])
    assert twin._graph is graph


def test_interrupted_index_is_built_again(head, embeddings, monkeypatch):
    def interrupt(*_):
        yield slice(0, 100)
        raise KeyboardInterrupt

    index = make_index(head, embeddings[:200])
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(index_module, "iterate_chunks", interrupt)
        index.update(embeddings)
    index.update(embeddings)
    assert index._graph.ntotal == len(index) == NUM
    assert [x[0] for x in index.propose(embeddings[[9, 599]], 1)] == [9, 599]


def test_removed_examples_are_not_proposed(head, embeddings):
    index = make_index(head, embeddings)
    kept = np.r_[embeddings[100:], embeddings[:10] + 1]
    index.update(kept)
    assert len(index) == NUM + 10  # the 100 are still in the graph
    found = index.propose(embeddings[:50], 20)
    assert all((x >= 0).all() and (x < len(kept)).all() for x in found)
    assert [x[0] for x in index.propose(kept[-10:], 1)] == [*range(500, 510)]
    assert [x[0] for x in index.propose(kept[:10], 1)] == [*range(10)]
    # When more than half is removed, the graph is built again from the rest.
    index.update(kept[-200:])
    assert len(index) == 200
    assert [x[0] for x in index.propose(kept[-5:], 1)] == [*range(195, 200)]


def test_equal_drawings_are_not_indexed_again(head, embeddings):
    twice = np.concatenate([embeddings[:100], embeddings[:60]])
    index = make_index(head, twice)
    for num in (1, 2, 3):
        index.update(twice[num:])
        assert len(index) == 160
        assert sorted(x for x in index.positions if x >= 0) == [
            *range(160 - num)
        ]


class Exact:
    """Scores by a head and counts the pairs that it scores."""

    def __init__(self, head):
        self.head, self.num_scored = head, 0

    def score(self, first, second):
        self.num_scored += len(second)
        return keras.ops.convert_to_numpy(self.head(first, second))


def test_all_drawings_of_proposed_characters_are_scored(head, embeddings):
    # 200 characters with three nearly equal drawings each.
    noise = np.random.default_rng(4).normal(0, 0.01, (3, 200, DIM))
    drawings = np.float32(embeddings[:200] + noise)
    names = tuple(f"c{i}" for i in range(200)) * 3
    gallery = Gallery(names, drawings.reshape(NUM, DIM))
    scorer = Exact(head)
    index = make_index(head, gallery.embeddings)
    ((names, scores),) = score_nearest_characters(
        scorer, gallery, embeddings[7:8], index, 5
    )
    best = int(scores.argmax())
    assert names[best] == "c7"
    drawings = drawings[:, 7]
    expected = Exact(head).score(embeddings[7:8], drawings).mean()
    assert scores[best] == pytest.approx(expected)
    assert scorer.num_scored <= 3 * gallery_module.NUM_PROPOSED


def test_index_proposes_as_many_candidates_as_asked_for(head, embeddings):
    # The nearest drawings are all of one character.
    near = embeddings[:1] + np.linspace(0, 1e-3, 200, dtype=np.float32)[:, None]
    gallery = Gallery(
        ("near",) * 200 + tuple(f"far{i}" for i in range(50)),
        np.concatenate([near, 3 + embeddings[:50]]),
    )
    index = make_index(head, gallery.embeddings)
    for num_least, num in ((1, 1), (5, 5), (99, 51)):
        ((names, scores),) = score_nearest_characters(
            Exact(head), gallery, embeddings[:1], index, num_least
        )
        assert min(num_least, len(names)) == num
        assert names[int(scores.argmax())] == "near"


@pytest.fixture
def drawings():
    """Sixty drawings of random strokes."""
    rng = np.random.default_rng(3)
    images = np.full((60, 105, 105), 255, np.uint8)
    for image in images:
        for _ in range(4):
            row, column = rng.integers(5, 80, 2)
            image[row : row + rng.integers(4, 25), column : column + 8] = 0
    return images


@pytest.fixture
def large(monkeypatch):
    """Gives an index to galleries of more than 20 drawings."""
    monkeypatch.setattr(recognizer_module, "MIN_DRAWINGS", 20)


def list_index(folder):
    return sorted(path.name for path in folder.glob("index_*"))


def test_recognizer_answers_the_same_with_and_without_an_index(
    drawings, tmp_path, large
):
    names = [f"c{i % 20}" for i in range(60)]
    recognizer = Recognizer(TINY_MODEL).add_drawings(names[:50], drawings[:50])
    plain = Recognizer(TINY_MODEL).add_drawings(names[:50], drawings[:50])

    def assert_equal_answers(*recognizers):
        first, second = (
            [(x.name, x.best) for x in each.classify_drawings(drawings)]
            for each in recognizers
        )
        assert first == second

    def without_index(recognizer):
        recognizer._get_index = lambda _: None
        return recognizer

    without_index(plain)
    assert_equal_answers(recognizer, plain)
    twins = recognizer.copy(), plain.copy()
    assert twins[0]._index._graph is recognizer._index._graph
    for each in (recognizer, plain):
        each.remove("c3").add_drawings(names[50:], drawings[50:])
    assert_equal_answers(recognizer, plain)
    assert_equal_answers(*twins)

    place = tmp_path / "known"
    recognizer.save(place)
    stored = list_index(place)
    assert len(stored) == 2
    loaded, older = Recognizer.load(place), Recognizer.load(place)
    assert loaded._index.file == place / stored[0]
    assert_equal_answers(loaded, plain)
    # An index mapped from a file can be added to. Saving deletes the old file.
    for each in (loaded, plain):
        each.add_drawings(["new"] * 2, drawings[:2])
    assert_equal_answers(loaded, plain)
    loaded.save(place)
    assert len(list_index(place)) == 2
    assert not set(list_index(place)) & set(stored)
    assert_equal_answers(Recognizer.load(place), plain)
    # A recognizer that was opened before works without the deleted file.
    older.add_drawings(["new"] * 2, drawings[:2])
    assert_equal_answers(older, plain)


def test_saved_index_grows_after_a_removal(drawings, tmp_path, large):
    place = tmp_path / "known"
    names = [f"c{i % 20}" for i in range(60)]
    Recognizer(TINY_MODEL).add_drawings(names, drawings).save(place)
    loaded = Recognizer.load(place).remove("c3")
    loaded.save(place)
    assert loaded._index.file == place / list_index(place)[0]
    loaded.add_drawings(["new"] * 2, drawings[:2])
    loaded.classify_drawings(drawings[:1])
    # Two are added to the 60 of the graph, of which three are removed.
    assert len(loaded._index) == 62


@pytest.mark.parametrize("damage", ["cut", "gone", "other"])
def test_unreadable_index_is_rebuilt(drawings, tmp_path, large, damage):
    recognizer = Recognizer(TINY_MODEL)
    recognizer.add_drawings([f"c{i}" for i in range(30)], drawings[:30])
    recognizer.save(tmp_path / "known")
    graph, positions = (
        tmp_path / "known" / name
        for name in sorted(list_index(tmp_path / "known"))
    )
    if damage == "cut":
        graph.write_bytes(graph.read_bytes()[:50])
    elif damage == "gone":
        positions.unlink()
    else:
        np.save(positions, np.arange(31))
    with pytest.warns(DataWarning, match="is damaged .* built again"):
        loaded = Recognizer.load(tmp_path / "known")
    assert loaded._index is None
    before, after = (
        x.classify_drawings(drawings) for x in (recognizer, loaded)
    )
    assert [x.best for x in after] == [x.best for x in before]
    # Saving stores a valid index again.
    loaded.save(tmp_path / "known")
    assert Recognizer.load(tmp_path / "known")._index


def test_without_faiss_all_examples_are_compared_with_a_warning(
    drawings, tmp_path, large, monkeypatch
):
    monkeypatch.setitem(sys.modules, "faiss", None)
    recognizer = Recognizer(TINY_MODEL)
    recognizer.add_drawings([f"c{i}" for i in range(30)], drawings[:30])
    with pytest.warns(DataWarning, match="30 images .*koch-siamese.index"):
        answers = recognizer.classify_drawings(drawings)
    assert len(answers) == 60
    recognizer.save(tmp_path / "known")
    assert not list_index(tmp_path / "known")
