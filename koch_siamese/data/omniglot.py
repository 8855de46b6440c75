"""Omniglot from TFDS, with recovered drawers and the known splits."""

import dataclasses
import os
import zipfile
from collections.abc import Callable

import numpy as np

from koch_siamese.data.characters import Characters
from koch_siamese.data.tfds_images import read_examples
from koch_siamese.errors import InputError, shorten
from koch_siamese.images import IMAGE_SIZE, WHITE
from koch_siamese.paths import expand_home
from koch_siamese.sampling.lake import list_lake_drawers

# A file of `pack_characters`, which --data_dir may have instead of TFDS files.
PACKED = "omniglot.npz"

# Lake et al. 2015: the alphabets of the official 20 runs.
OFFICIAL_TEST_ALPHABETS = (
    "Atlantean",
    "Ge_ez",
    "Glagolitic",
    "Gurmukhi",
    "Kannada",
    "Malayalam",
    "Manipuri",
    "Old_Church_Slavonic_(Cyrillic)",
    "Tengwar",
    "Tibetan",
)

# Koch et al. 2015, section 4.1: 12 drawers to train, 4 to validate, 4 to test.
KOCH_DRAWERS = {
    "training": range(1, 13),
    "validation": range(13, 17),
    "test": range(17, 21),
}

# The TFDS split of each background set.
BACKGROUNDS = {
    "original": "train",
    "small1": "small1",
    "small2": "small2",
    "koch": "train",
}


def recover_drawers(
    split: str,
    alphabet: np.ndarray,
    number: np.ndarray,
    label: np.ndarray,
) -> np.ndarray:
    """Recovers who drew each example of the official TFDS `omniglot`.

    TFDS drops the drawer, but writes examples in the order of a hash of their
    keys, `{alphabet}_{number - 1}_{label + 1:04d}_{drawer:02d}.png`. Sorting
    the keys by that hash recovers the drawers.

    Args:
        split: the name of the TFDS split, which salts the hash.
        alphabet: alphabet names `[num_examples]`, in file order.
        number: int `[num_examples]`, from 1 within the alphabet.
        label: int `[num_examples]`.

    Returns:
        int `[num_examples]`, from 1.

    Raises:
        InputError: an example is not where its key belongs, so the data are not
            from the official builder.
    """
    from tensorflow_datasets.core.hashing import Hasher

    hasher = Hasher(split)
    characters, first, counts = np.unique(
        label, return_index=True, return_counts=True
    )
    keys = []
    for character, count, example in zip(
        characters, counts, first, strict=True
    ):
        prefix = (
            f"{alphabet[example]}_{number[example] - 1}_{character + 1:04d}"
        )
        for drawer in range(1, count + 1):
            key = hasher.hash_key(f"{prefix}_{drawer:02d}.png")
            keys.append((key, character, drawer))
    keys.sort()
    _, expected, drawers = (
        np.array(column) for column in zip(*keys, strict=True)
    )
    wrong = np.count_nonzero(expected != label)
    if wrong:
        raise InputError(
            f"The drawers of Omniglot's {split!r} are not known: {wrong} of "
            f"{len(label)} examples are not in the official order. Delete the "
            "folder omniglot/ in --data_dir and let TFDS prepare it again."
        )
    return drawers


def read_characters(builder, split: str) -> Characters:
    """Reads one split of a prepared builder of Omniglot or of `glyphs`."""
    examples = read_examples(builder, split)
    names = tuple(builder.info.features["alphabet"].names)
    number = examples["alphabet_char_id"] + 1
    alphabet = examples["alphabet"]
    drawer = examples.get("drawer")  # glyphs have it
    if drawer is None:
        drawer = recover_drawers(
            split, np.array(names)[alphabet], number, examples["label"]
        )
    return Characters(
        images=examples["image"],
        character=examples["label"].astype(np.int32),
        number=number.astype(np.int32),
        alphabet=alphabet.astype(np.int32),
        drawer=drawer.astype(np.int32),
        alphabet_names=names,
    )


def select_lake_drawers(characters: Characters) -> Characters:
    """Selects the drawings of the official test by the drawers of its runs."""
    chosen = np.zeros(len(characters), bool)
    for name, drawers in list_lake_drawers().items():
        alphabet = characters.alphabet_names.index(name)
        chosen |= (characters.alphabet == alphabet) & np.isin(
            characters.drawer, drawers
        )
    return characters.select(chosen)


def pack_characters(characters: dict[str, Characters], path: str | os.PathLike):
    """Writes Omniglot to one file, which `read_packed` reads.

    Args:
        characters: the results of `read_characters`, by TFDS split.
        path: an `.npz` file.
    """
    arrays = {}
    for split, drawings in characters.items():
        for field in dataclasses.fields(drawings):
            arrays[f"{split}/{field.name}"] = getattr(drawings, field.name)
        is_white = drawings.images[..., 0] > 0
        arrays[f"{split}/images"] = np.packbits(is_white, axis=-1)
    np.savez_compressed(expand_home(path), **arrays)


def read_packed(path: str | os.PathLike, split: str) -> Characters:
    """Reads a split from a file of `pack_characters`, without TensorFlow.

    Raises:
        InputError: the file cannot be read, or does not have the split.
    """
    names = [field.name for field in dataclasses.fields(Characters)]
    try:
        with np.load(expand_home(path)) as arrays:
            labels = {name: arrays[f"{split}/{name}"] for name in names}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path} does not have Omniglot's {split!r} ({shorten(error)}): "
            "make it again by experiments/pack_omniglot.py."
        ) from error
    images = labels.pop("images")
    images = np.unpackbits(images, axis=-1, count=IMAGE_SIZE) * WHITE
    labels["alphabet_names"] = tuple(labels["alphabet_names"].tolist())
    return Characters(images.astype(np.uint8)[..., np.newaxis], **labels)


def load_split(
    read: Callable[[str], Characters], split: str, background: str = "original"
) -> Characters:
    """Loads the characters to train, to validate or to test on.

    Training uses background alphabets, testing the official ten, and validation
    the other ten evaluation alphabets (our reading: the paper names none).
    Alphabets are found by name.

    Args:
        read: reads a TFDS split, such as `read_characters` for a builder.
        split: `training`, `validation` or `test`; or `evaluation`, validation
            and test together.
        background: `original` (30 alphabets), `small1` or `small2` (five each)
            with all drawers, as in Lake et al.; `koch`, the 30 alphabets with
            12 drawers to train, four each to validate and test (section 4.1).

    Raises:
        InputError: the data are not the official ones.
    """
    if split == "training":
        characters = read(BACKGROUNDS[background])
    else:
        evaluation = read("test")
        names = {evaluation.alphabet_names[i] for i in evaluation.alphabet}
        missing = sorted(set(OFFICIAL_TEST_ALPHABETS) - names)
        if missing:
            raise InputError(
                f"Omniglot's evaluation set lacks the alphabets {missing}, so "
                "it is not the official one: delete omniglot in --data_dir to "
                "prepare it again."
            )
        chosen = names - set(OFFICIAL_TEST_ALPHABETS)
        if split == "test":
            chosen = OFFICIAL_TEST_ALPHABETS
        elif split == "evaluation":
            chosen = names
        characters = evaluation.of_alphabets(chosen)
    if background == "koch" and split != "evaluation":
        characters = characters.of_drawers(KOCH_DRAWERS[split])
    return characters
