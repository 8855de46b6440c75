"""Embedded supports to recognize drawings by, and the answers they give."""

import contextlib
import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from koch_siamese.errors import InputError
from koch_siamese.evaluation.scoring import Scorer
from koch_siamese.models.thresholds import Thresholds, compute_probability


@dataclasses.dataclass(frozen=True, eq=False)
class Gallery:
    """The known characters: an embedding for each of their drawings.

    Attributes:
        names: the character of each drawing, `[num_drawings]`.
        embeddings: float32 `[num_drawings, dim]`.
        fingerprint: of the model that made them, see
            `siamese.compute_fingerprint`.
        crop: whether the drawings were cut to their ink, as their queries
            must then be.
    """

    names: tuple[str, ...]
    embeddings: np.ndarray
    fingerprint: str
    crop: bool = True

    @property
    def characters(self) -> tuple[str, ...]:
        """The names of the known characters, sorted."""
        return tuple(sorted(set(self.names)))

    def add(self, names: Sequence[str], embeddings: np.ndarray) -> "Gallery":
        """With further characters; one of a known name takes its place."""
        kept = self.without(set(names) & set(self.names))
        return dataclasses.replace(
            self,
            names=(*kept.names, *names),
            embeddings=np.concatenate([kept.embeddings, embeddings]),
        )

    def without(self, characters: Sequence[str]) -> "Gallery":
        """Without some characters.

        Raises:
            InputError: one of them is not known.
        """
        unknown = sorted(set(characters) - set(self.names))
        if unknown:
            raise InputError(
                f"The gallery has no character {unknown[0]!r} to remove; it "
                f"has {len(self.characters)}: {_shorten(self.characters)}."
            )
        kept = [i for i, x in enumerate(self.names) if x not in characters]
        return dataclasses.replace(
            self,
            names=tuple(self.names[i] for i in kept),
            embeddings=self.embeddings[kept],
        )

    def save(self, path: str | os.PathLike):
        """Writes an npz file, beside its place and then renamed.

        Raises:
            InputError: it cannot be written.
        """
        path = Path(path)
        partial = path.with_name(path.name + ".partial")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                np.savez(
                    file,
                    names=np.array(self.names, str),
                    embeddings=self.embeddings,
                    fingerprint=np.array(self.fingerprint),
                    crop=np.array(self.crop),
                )
            partial.replace(path)
        except OSError as error:
            with contextlib.suppress(OSError):
                partial.unlink()
            raise InputError(
                f"The gallery {path} cannot be written: {error}."
            ) from error

    @classmethod
    def load(
        cls, path: str | os.PathLike, fingerprint: str, crop: bool = True
    ) -> "Gallery":
        """Reads what `save` wrote; nothing in the file is executed.

        Args:
            path: the npz file.
            fingerprint: of the model that is going to use it.
            crop: whether its queries are cut to their ink.

        Raises:
            InputError: it cannot be read, is no gallery, or one of another
                model or of drawings that were cut otherwise.
        """
        try:
            with (
                Path(path).open("rb") as stream,
                np.load(stream, allow_pickle=False) as file,
            ):
                gallery = cls(
                    tuple(file["names"].tolist()),
                    file["embeddings"],
                    str(file["fingerprint"]),
                    bool(file["crop"]),
                )
                gallery._check()
        except OSError as error:
            raise InputError(
                f"The gallery {path} cannot be read: {error.strerror}. Give "
                "a file that koch_siamese.classify wrote, or --support."
            ) from error
        except Exception as error:  # whatever NumPy makes of any bytes
            raise InputError(
                f"{path} is not a gallery of koch_siamese.classify: expected "
                "the npz file that it wrote. Give another --gallery, or make "
                "one with --support."
            ) from error
        if gallery.fingerprint != fingerprint:
            raise InputError(
                f"The gallery {path} was made by another model: use that "
                "model, or give a new --gallery with --support."
            )
        if gallery.crop != crop:
            made, got = "--crop", "--nocrop"
            if crop:
                made, got = got, made
            raise InputError(
                f"The gallery {path} was made with {made}; got {got}: give "
                f"{made}, or a new --gallery with --support."
            )
        return gallery

    def _check(self):
        shape, dtype = self.embeddings.shape, self.embeddings.dtype
        if len(shape) != 2 or shape[0] != len(self.names):
            raise ValueError(f"embeddings have the shape {shape}")
        if dtype != np.float32 or not np.isfinite(self.embeddings).all():
            raise ValueError("embeddings are no finite float32 numbers")


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a gallery says of one query.

    Attributes:
        character: the best character, or None for none of these.
        best, runner_up: the two characters that score highest; `runner_up` is
            None where the gallery has but one.
        score, runner_up_score: their scores (logits; a mean over drawings).
        probability: that query and `best` are the same character, where as
            many pairs are as are not; 0.5 at the threshold of `same`.
        threshold: what `score` must reach, or None if the model has none.
    """

    character: str | None
    best: str
    score: float
    probability: float
    runner_up: str | None
    runner_up_score: float | None
    threshold: float | None


def score_characters(
    scorer: Scorer, gallery: Gallery, queries: np.ndarray
) -> np.ndarray:
    """Scores queries against every character of a gallery.

    Args:
        scorer: the model that embedded both.
        gallery: with at least one drawing.
        queries: embeddings, float32 `[num_queries, dim]`.

    Returns:
        float64 `[num_queries, num_characters]`, in the order of
        `gallery.characters`: the mean over a character's drawings.
    """
    _, column, shots = np.unique(
        np.array(gallery.names), return_inverse=True, return_counts=True
    )
    # A query at a time: memory grows with the gallery alone.
    scores = [
        scorer.score(query[None], gallery.embeddings) for query in queries
    ]
    return np.array(
        [np.bincount(column, row, len(shots)) / shots for row in scores]
    )


def answer_queries(
    scores: np.ndarray,
    characters: Sequence[str],
    thresholds: Thresholds | None,
) -> list[Answer]:
    """Turns scores into answers.

    Args:
        scores: float `[num_queries, num_characters]`.
        characters: names of the columns.
        thresholds: of the model; without, the best character is always the
            answer.
    """
    return [_answer(row, characters, thresholds) for row in scores]


def _answer(scores, characters, thresholds):
    order = np.argsort(-scores, kind="stable")
    best, score = characters[order[0]], float(scores[order[0]])
    second = order[1] if len(order) > 1 else None
    threshold = thresholds and thresholds.for_ways(len(characters))
    known = threshold is None or score >= threshold
    return Answer(
        character=best if known else None,
        best=best,
        score=score,
        probability=compute_probability(score, thresholds),
        runner_up=None if second is None else characters[second],
        runner_up_score=None if second is None else float(scores[second]),
        threshold=threshold,
    )


def _shorten(names, num=5):
    shown = ", ".join(map(repr, names[:num]))
    return shown + (", ..." if len(names) > num else "")
