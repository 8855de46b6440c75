"""Drawings in memory, with their characters, alphabets and drawers."""

import dataclasses
import hashlib
import itertools
import numbers
from collections.abc import Iterable

import numpy as np

from koch_siamese.data.image_arrays import CHUNK, allocate_images, join, take
from koch_siamese.data.image_errors import join_names
from koch_siamese.errors import InputError
from koch_siamese.images import fit_to_square

SPLITS = ("training", "validation", "test")  # to learn, to choose, to test once
SPLITS_BY = ("class", "group")  # what a folder is split by
# Data sets of only drawings, which have splits of their own.
SPLIT_DATASETS = ("omniglot", "glyphs")
# Options that have an effect on one data set only, and its name.
ONLY_ON = {"background": "omniglot", "crop": "folder", "split_by": "folder"}


@dataclasses.dataclass(frozen=True, eq=False)
class Characters:
    """Drawings of the characters of some alphabets.

    Attributes:
        images: uint8 `[num_drawings, height, width, channels]`. Drawings have 1
            channel, 0 = ink, 255 = white; photos have 3, RGB.
        character: int32 `[num_drawings]`, the class, unique over alphabets.
        number: int32 `[num_drawings]`, the character's number within its
            alphabet, counted from 1 as in Omniglot's folder names.
        alphabet: int32 `[num_drawings]`, an index into `alphabet_names`.
        drawer: int32 `[num_drawings]`, the person who drew, from 1. The same
            number in two alphabets need not be the same person.
        alphabet_names: the names of the alphabets, also of those without
            drawings: a part of a data set has the names of all of it.

    Raises:
        InputError: images or labels are no arrays, or do not match.
    """

    images: np.ndarray
    character: np.ndarray
    number: np.ndarray
    alphabet: np.ndarray
    drawer: np.ndarray
    alphabet_names: tuple[str, ...]

    def __post_init__(self):
        """Checks that images and labels match."""
        labels = ("character", "number", "alphabet", "drawer")
        for name in ("images", *labels):
            value = getattr(self, name)
            if not isinstance(value, np.ndarray):
                raise InputError(
                    f"{name} is a {type(value).__name__}: expected a NumPy "
                    "array; convert it by np.array."
                )
        if self.images.ndim != 4 or self.images.dtype != np.uint8:
            raise InputError(
                "images must be uint8 [num_drawings, height, width, channels]; "
                f"got {self.images.dtype} of shape {self.images.shape}."
            )
        for name in labels:
            value = getattr(self, name)
            if value.shape != (len(self),) or value.dtype.kind not in "iu":
                raise InputError(
                    f"{name} must have one integer for each of the {len(self)} "
                    f"drawings; got {value.dtype} of shape {value.shape}."
                )
        known = range(len(self.alphabet_names))
        for index in np.unique(self.alphabet):
            if index not in known:
                raise InputError(
                    f"alphabet has the value {index}: expected indices into "
                    f"the {len(known)} alphabet_names, from 0."
                )

    def __repr__(self) -> str:
        """Describes the drawings in a line, without their pixels."""
        shape = " x ".join(map(str, self.images.shape[1:]))
        return (
            f"Characters({len(self)} drawings of {self.num_characters} "
            f"characters in {len(np.unique(self.alphabet))} alphabets, {shape})"
        )

    def __len__(self) -> int:
        """Number of drawings."""
        return len(self.images)

    @property
    def num_characters(self) -> int:
        """Number of different characters."""
        return len(np.unique(self.character))

    def compute_fingerprint(self) -> str:
        """Computes a hash to distinguish sets of drawings.

        Returns:
            Twice 64 hexadecimal digits, joined by a hyphen: a hash of all
            images and labels; and one that earlier versions stored, of the
            first image of each character. See `are_same_images`.
        """
        _, first = np.unique(self.character, return_index=True)
        labels = self.character, self.alphabet
        chunks = (
            self.images[start : start + CHUNK]
            for start in range(0, len(self), CHUNK)
        )
        whole = self._hash(*labels, self.number, self.drawer, *chunks)
        return f"{whole}-{self._hash(*labels, take(self.images, first))}"

    def _hash(self, *arrays):
        """Hashes the names of the alphabets, and arrays."""
        digest = hashlib.sha256("\n".join(self.alphabet_names).encode())
        for array in arrays:
            digest.update(np.ascontiguousarray(array))
        return digest.hexdigest()

    def describe(self, drawing: int) -> str:
        """Names a drawing: alphabet/character/drawer, such as Tengwar/03/12."""
        return f"{self.describe_character(drawing)}/{self.drawer[drawing]:02}"

    def describe_character(self, drawing: int) -> str:
        """Names a drawing's character: alphabet/number, such as Tengwar/03."""
        alphabet = self.alphabet_names[self.alphabet[drawing]]
        return f"{alphabet}/{self.number[drawing]:02}"

    def select(self, which: np.ndarray) -> "Characters":
        """Selects drawings by indices or a mask; labels are kept."""
        return dataclasses.replace(
            self,
            images=take(self.images, which),
            character=self.character[which],
            number=self.number[which],
            alphabet=self.alphabet[which],
            drawer=self.drawer[which],
        )

    def of_alphabets(self, names: Iterable[str]) -> "Characters":
        """Selects the drawings of the named alphabets.

        Raises:
            InputError: there are no drawings of one of them.
        """
        names = tuple(names)
        present = [self.alphabet_names[i] for i in np.unique(self.alphabet)]
        _require_present("of the alphabet", names, present)
        indices = [self.alphabet_names.index(name) for name in names]
        return self.select(np.isin(self.alphabet, indices))

    def of_drawers(self, drawers: Iterable[int]) -> "Characters":
        """Selects the drawings by the given drawers.

        Raises:
            InputError: there are no drawings by one of them.
        """
        drawers = tuple(drawers)
        present = np.unique(self.drawer).tolist()
        _require_present("by the drawer", drawers, present)
        return self.select(np.isin(self.drawer, drawers))

    def with_quarter_turns(self) -> "Characters":
        """Turns every drawing by 0, 90, 180 and 270 degrees.

        Each turn of an alphabet is a new alphabet with new characters, so there
        are four times as many alphabets, characters and drawings (964
        characters become 3,856). A character `c` turned `t` times has the id
        `4 c + t`.
        """
        return self._with_variants(
            {
                f"{90 * turn}": np.rot90(self.images, turn, axes=(1, 2))
                for turn in range(4)
            }
        )

    def with_mirror_images(self) -> "Characters":
        """Adds a mirror image, left to right, of every drawing.

        They are new characters as in `with_quarter_turns`, with the ids `2 c`
        and `2 c + 1`.
        """
        mirrored = self.images[:, :, ::-1]
        return self._with_variants({"plain": self.images, "mirror": mirrored})

    def _with_variants(self, variants):
        """Makes new alphabets of variants: images by the ending of the name."""
        num, numbers = len(variants), range(len(variants))
        return Characters(
            images=join(list(variants.values())),
            character=np.concatenate(
                [num * self.character + variant for variant in numbers]
            ),
            number=np.tile(self.number, num),
            alphabet=np.concatenate(
                [num * self.alphabet + variant for variant in numbers]
            ),
            drawer=np.tile(self.drawer, num),
            alphabet_names=tuple(
                f"{name}/{ending}"
                for name in self.alphabet_names
                for ending in variants
            ),
        )

    def resized(self, image_size: int) -> "Characters":
        """Resizes the drawings to `image_size` x `image_size`, antialiased.

        The result is that of the network's own preprocessing, except for
        rounding to whole gray values. Resizing once saves time in every epoch.

        Raises:
            InputError: `image_size` is not a whole number from 1.
        """
        if not isinstance(image_size, numbers.Integral) or image_size < 1:
            raise InputError(
                f"image_size is {image_size!r}: expected the side of a square "
                "in pixels, such as 105."
            )
        num, *sides, channels = self.images.shape
        if sides == [image_size, image_size]:
            return self
        resized = allocate_images((num, image_size, image_size, channels))
        for target, image in zip(resized, self.images, strict=True):
            target[:] = fit_to_square(image, image_size)
        return dataclasses.replace(self, images=resized)


def _require_present(which, chosen, present):
    """Refuses to choose what has no drawings."""
    for one in chosen:
        if one not in present:
            raise InputError(
                f"There are no drawings {which} {one!r}: expected some of "
                f"{join_names(present)}."
            )


def are_same_images(fingerprints: Iterable[str]) -> bool:
    """Tells whether fingerprints may be of the same images.

    Args:
        fingerprints: see `DataSource.compute_fingerprint`. Those of earlier
            versions only have the second hash; an empty one is unknown.
    """
    longest_first = sorted(set(fingerprints), key=len, reverse=True)
    return all(
        longer.endswith(shorter)
        for longer, shorter in itertools.pairwise(longest_first)
    )


def needs_split(dataset: str) -> bool:
    """Tells whether a data set has to be split: a folder, or others of TFDS."""
    return dataset.partition("/")[0] not in SPLIT_DATASETS


def number_images(character: np.ndarray) -> np.ndarray:
    """Numbers the images of each class from 1, in order.

    Args:
        character: int `[num_images]`, the class of each.

    Returns:
        int32 `[num_images]`.
    """
    order = np.argsort(character, kind="stable")
    in_order = character[order]
    numbers = np.empty(len(order), np.int32)
    numbers[order] = (
        np.arange(len(order)) - np.searchsorted(in_order, in_order) + 1
    )
    return numbers
