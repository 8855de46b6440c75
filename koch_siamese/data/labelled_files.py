"""Labelled image files, as listed from a folder or a table (CSV)."""

import collections
import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path

from koch_siamese.data.image_errors import join_names, make_image_error
from koch_siamese.data.image_paths import list_folders, list_images
from koch_siamese.errors import warn

# Common names of the parts of a data set, and their splits.
PARTS = (
    dict.fromkeys(("train", "training"), "training")
    | dict.fromkeys(("val", "valid", "validation", "dev"), "validation")
    | dict.fromkeys(("test", "testing", "eval", "evaluation"), "test")
)

NUMBER = re.compile(r"([-_ ]\d+|\s*\(\d+\))$")  # as in `ka_2`, `ka (3)`


@dataclasses.dataclass(frozen=True)
class LabelledFiles:
    """Image files and their labels, in sequences of the same length.

    Attributes:
        files: the paths of the images.
        labels: the group (alphabet) and class of each image.
        has_groups: whether groups are given; if not, all images are in one.
        drawers: who drew each image, or None.
        splits: `training`, `validation` or `test` for each image, or None.
    """

    files: list[Path]
    labels: Sequence[tuple[str, str]]
    has_groups: bool
    drawers: Sequence[str] | None = None
    splits: Sequence[str] | None = None


def list_folder(root: Path, may_split: bool = False) -> LabelledFiles:
    """Lists the images of a folder, or a single image.

    Their depth decides the layout: `alphabet/character/*.png`,
    `character/*.png`, or `character.png` with one drawing of each.

    Args:
        root: an existing folder or file.
        may_split: whether folders named as parts, such as `train/` and `test/`,
            are splits of one data set. If not, they are alphabets, and are
            refused if they have names in common.

    Raises:
        InputError: there are no images, layouts are mixed, or folders are
            splits but must be alphabets.
    """
    files = list_images(root)
    if root.is_file():
        label = root.resolve().parent.name, root.stem
        return LabelledFiles(files, [label], has_groups=False)
    inner = [file.relative_to(root).parts for file in files]
    _check_depths(root, inner)
    folder, depth = root.resolve().name, len(inner[0])
    _warn_of_empty_folders(root, files, depth)
    if depth == 1:
        labels = [(folder, file.stem) for file in files]
        _warn_of_numbers(root, [file.stem for file in files])
    elif depth == 2:
        labels = [(folder, parts[0]) for parts in inner]
    else:
        labels = [parts[:2] for parts in inner]
        splits = [PARTS.get(name.casefold()) for name, _ in labels]
        if may_split and None not in splits and len(set(splits)) > 1:
            labels = [(folder, name) for _, name in labels]
            return LabelledFiles(files, labels, has_groups=False, splits=splits)
        _check_alphabets(root, set(labels))
    return LabelledFiles(files, labels, has_groups=depth == 3)


def _check_depths(root, inner):
    depths = {len(parts): parts for parts in reversed(inner)}
    if len(depths) > 1 or max(depths) > 3:
        found = ", ".join(repr(str(Path(*depths[d]))) for d in sorted(depths))
        raise make_image_error(
            root,
            f"has images at {found}",
            "one layout: character.png, character/*.png or "
            "alphabet/character/*.png",
            "move files to one such layout, or list them in a table (CSV) of "
            "path,label",
        )


def _warn_of_empty_folders(root, files, depth):
    """Warns if folders of characters or alphabets have no images."""
    used = {root} | {folder for file in files for folder in file.parents}
    empty = [
        str(folder.relative_to(root))
        for folder in list_folders(root)
        if folder not in used
        and folder.parent in used
        and len(folder.relative_to(root).parts) < max(depth, 2)
    ]
    if empty:
        listed = join_names(empty)
        warn(f"{str(root)!r} has folders without images: {listed}.")


def _warn_of_numbers(root, names):
    """Warns if names seem to number the images of each character."""
    numbered = collections.defaultdict(list)
    for name in names:
        numbered[NUMBER.sub("", name)].append(name)
    several = [alike for alike in numbered.values() if len(alike) > 1]
    # If all names are numbered alike, the numbers are those of characters.
    if several and len(numbered) > 1:
        warn(
            f"{str(root)!r} has {several[0][0]!r} and {several[0][1]!r}, which "
            "count as two characters: if they are one, put the images of each "
            "character into a folder of its own."
        )


def _check_alphabets(root, names):
    """Refuses alphabets that look like splits of one data set."""
    parts = {}
    for alphabet, name in sorted(names):
        if alphabet.casefold() in PARTS:
            parts.setdefault(alphabet, set()).add(name)
    if len(parts) < 2:
        return
    shared = set.intersection(*parts.values())
    if shared:
        found = ", ".join(map(repr, parts))
        raise make_image_error(
            root,
            f"has the folders {found} with {len(shared)} names in common, "
            f"such as {min(shared)!r}, which look like parts of one data set",
            "alphabets, whose characters differ",
            f"give one part, such as {str(root / min(parts))!r}, or rename "
            "the folders",
        )
