"""A gallery of known characters as embeddings, and the answers to queries."""

import dataclasses
import functools
from collections.abc import Collection, Iterable, Iterator, Sequence

import numpy as np

from koch_siamese.data.image_errors import join_names
from koch_siamese.errors import InputError
from koch_siamese.evaluation.scoring import Scorer
from koch_siamese.inference.index import GalleryIndex
from koch_siamese.models.thresholds import Thresholds

NUMBERS_AT_ONCE = 1 << 21
NUM_PROPOSED = 64  # drawings that an index proposes at first


@dataclasses.dataclass(frozen=True, eq=False)
class Gallery:
    """The known characters: an embedding for each of their drawings.

    Attributes:
        names: the character of each drawing, `[num_drawings]`.
        embeddings: float32 `[num_drawings, dim]`.
    """

    names: tuple[str, ...]
    embeddings: np.ndarray

    @functools.cached_property
    def characters(self) -> tuple[str, ...]:
        """The names of the known characters, sorted."""
        return tuple(sorted(set(self.names)))

    @functools.cached_property
    def column(self) -> np.ndarray:
        """The index in `characters` of each drawing's character, int64."""
        return self.find_characters(self.names)

    @functools.cached_property
    def shots(self) -> np.ndarray:
        """The number of drawings of each of the `characters`, int64."""
        return np.bincount(self.column, minlength=len(self.characters))

    def find_characters(self, names: Iterable[str | None]) -> np.ndarray:
        """Finds characters by name: int64, their indices, -1 if unknown."""
        index = {name: i for i, name in enumerate(self.characters)}
        return np.array([index.get(name, -1) for name in names], np.int64)

    def find_drawings(self, characters: Iterable[int]) -> list[np.ndarray]:
        """Finds the drawings of characters, given as indices."""
        order, ends = self._by_character
        return [order[ends[i] - self.shots[i] : ends[i]] for i in characters]

    @functools.cached_property
    def _by_character(self):
        order = np.argsort(self.column, kind="stable")
        return order, np.cumsum(self.shots)

    def add(
        self,
        names: Sequence[str],
        embeddings: np.ndarray,
        replace: bool,
    ) -> "Gallery":
        """Adds drawings.

        Args:
            names: the character of each drawing.
            embeddings: float32 `[num, dim]`.
            replace: whether these drawings replace those of a known character,
                or are added to them.
        """
        replaced = set(names) & set(self.names) if replace else ()
        kept = self.without(replaced)
        return Gallery(
            (*kept.names, *names),
            np.concatenate([kept.embeddings, embeddings]),
        )

    def without(self, characters: Collection[str]) -> "Gallery":
        """Removes some characters.

        Raises:
            InputError: one of them is not known.
        """
        unknown = sorted(set(characters) - set(self.names))
        if unknown:
            known = "it is empty"
            if self.names:
                known = f"it has {join_names(self.characters, 5)}"
            raise InputError(
                f"The gallery has no character {unknown[0]!r} to remove: "
                f"{known}."
            )
        if not characters:
            return self
        kept = [i for i, x in enumerate(self.names) if x not in characters]
        return Gallery(
            tuple(self.names[i] for i in kept), self.embeddings[kept]
        )


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A known character as a possible answer to a query.

    Attributes:
        name: the name of the character.
        score: a logit; the mean over its drawings and, on a page, over the
            symbols that look like the query.
        probability: the estimated probability that the query shows this
            character, if same and different pairs were equally likely; 0.5 at
            the threshold of `same`. None without thresholds.
    """

    name: str
    score: float
    probability: float | None


@dataclasses.dataclass(frozen=True)
class Answer:
    """The answer to a query.

    In a condition it is always true, as it has candidates: test its `name`.

    Attributes:
        name: the name of the best candidate, or None for "none of these".
        candidates: the characters that score highest, best first. Of a symbol
            of a page, the first one may score less than the second, which suits
            other symbols of the page better.
        threshold: the score from which the best candidate is named, or None
            if it always is.
    """

    name: str | None
    candidates: tuple[Candidate, ...]
    threshold: float | None

    @property
    def best(self) -> Candidate:
        """The best candidate, whether it is named or not."""
        return self.candidates[0]

    @property
    def runner_up(self) -> Candidate | None:
        """The second candidate; None if there is only one."""
        return self.candidates[1] if len(self.candidates) > 1 else None

    def to_json(self) -> dict:
        """The answer as `classify --json` prints it, without `query`."""
        best, runner_up = self.best, self.runner_up
        return {
            "character": self.name,
            "best": best.name,
            "score": best.score,
            "probability": best.probability,
            "runner_up": runner_up and runner_up.name,
            "runner_up_score": runner_up and runner_up.score,
            "threshold": self.threshold,
            "candidates": [dataclasses.asdict(x) for x in self.candidates],
        }


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Whether two images show the same character.

    In a condition it is `same`; without a threshold, it raises an `InputError`.

    Attributes:
        same: whether `score` reaches `threshold`; None without a threshold.
        score: a logit; higher is more alike.
        probability: see `Candidate`.
        threshold: the score from which a pair counts as the same, or None if
            neither the model nor the caller has one.
    """

    same: bool | None
    score: float
    probability: float | None
    threshold: float | None

    def __bool__(self) -> bool:
        """Returns `same`."""
        if self.same is None:
            raise InputError(
                "The model has no threshold: pass `threshold` to verify, or "
                "use Recognizer.calibrate."
            )
        return self.same

    def to_json(self) -> dict:
        """The verdict as `verify --json` prints it."""
        return dataclasses.asdict(self)


def score_characters(
    scorer: Scorer, gallery: Gallery, queries: np.ndarray
) -> Iterator[tuple[Sequence[str], np.ndarray]]:
    """Scores each query against every character of a gallery.

    Args:
        scorer: the model that embedded both.
        gallery: with at least one drawing.
        queries: embeddings, float32 `[num_queries, dim]`.

    Yields:
        For each query, the names of the characters, and their scores, float64
        `[num_characters]`: the mean over a character's drawings.
    """
    column, shots = gallery.column, gallery.shots
    # A small gallery scores many queries at once, such as the symbols of a
    # page; a large one scores one, so that memory grows only with the gallery.
    num = max(1, NUMBERS_AT_ONCE // gallery.embeddings.size)
    for start in range(0, len(queries), num):
        chunk = queries[start : start + num]
        for row in _score_table(scorer, chunk, gallery.embeddings):
            scores = np.bincount(column, row, len(shots)) / shots
            yield gallery.characters, scores


def _score_table(scorer, queries, embeddings):
    """Scores each query with each drawing, `[num_queries, num_drawings]`.

    Not by `score_table`, which rounds differently: a query has the same score
    alone and among others.
    """
    if len(queries) == 1:
        return scorer.score(queries, embeddings)[None]
    first = np.repeat(queries, len(embeddings), axis=0)
    second = np.tile(embeddings, (len(queries), 1))
    return scorer.score(first, second).reshape(len(queries), -1)


def score_nearest_characters(
    scorer: Scorer,
    gallery: Gallery,
    queries: np.ndarray,
    index: GalleryIndex,
    num_least: int,
) -> Iterator[tuple[Sequence[str], np.ndarray]]:
    """Scores each query against only a few of many characters.

    These are the characters of the drawings that the index proposes. All of
    their drawings are scored.

    Args:
        scorer, gallery, queries: as in `score_characters`.
        index: the index of this gallery.
        num_least: the least number of characters, if there are as many.

    Yields:
        As `score_characters`.
    """
    for query in queries:
        characters = _propose_characters(gallery, index, query, num_least)
        drawings = gallery.find_drawings(characters)
        shots = gallery.shots[characters]
        scores = scorer.score(
            query[None], gallery.embeddings[np.concatenate(drawings)]
        )
        owners = np.repeat(np.arange(len(characters)), shots)
        names = [gallery.characters[i] for i in characters]
        yield names, np.bincount(owners, scores) / shots


def _propose_characters(gallery, index, query, num_least):
    """Indices of at least `num_least` characters of the nearest drawings."""
    num_least = min(num_least, len(gallery.characters))
    num = NUM_PROPOSED
    while True:
        num = min(num, len(index))
        (drawings,) = index.propose(query[None], num)
        characters = np.unique(gallery.column[drawings])
        if len(characters) >= num_least or num == len(index):
            return characters
        num *= 4


def answer_query(
    names: Sequence[str],
    scores: np.ndarray,
    thresholds: Thresholds | None,
    threshold: float | None,
    top_k: int,
    best: int | None = None,
) -> Answer:
    """Turns the scores of characters into an answer.

    Args:
        names: the names of the characters.
        scores: float `[num_characters]`.
        thresholds: of the model, or None if it has none.
        threshold: the score from which the best candidate is named; None if it
            always is.
        top_k: the largest number of candidates in the answer.
        best: the index of the first candidate, by default the character that
            scores highest.
    """
    order = np.argsort(-scores, kind="stable")
    if best is not None:
        order = np.r_[best, order[order != best]]
    candidates = tuple(
        Candidate(
            names[i],
            float(scores[i]),
            _compute_probability(float(scores[i]), thresholds),
        )
        for i in order[:top_k]
    )
    is_known = threshold is None or candidates[0].score >= threshold
    name = candidates[0].name if is_known else None
    return Answer(name, candidates, threshold)


def judge_pair(
    score: float,
    thresholds: Thresholds | None,
    threshold: float | None = None,
) -> Verdict:
    """Turns the score of a pair into a verdict.

    Args:
        score: the score of the pair.
        thresholds: of the model, or None if it has none.
        threshold: the score from which it counts as the same, instead of the
            model's threshold.
    """
    if threshold is None and thresholds:
        threshold = thresholds.same
    return Verdict(
        None if threshold is None else bool(score >= threshold),
        score,
        _compute_probability(score, thresholds),
        threshold,
    )


def _compute_probability(score, thresholds):
    return float(thresholds.probability(score)) if thresholds else None
