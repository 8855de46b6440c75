"""Loads data sets by name, as characters to train, validate and test on."""

import dataclasses
import functools
import hashlib
import os
from pathlib import Path

import numpy as np

from koch_siamese.data import (
    downloads,
    image_folder,
    omniglot,
    splits,
    tfds_images,
)
from koch_siamese.data.characters import (
    ONLY_ON,
    SPLIT_DATASETS,
    SPLITS,
    SPLITS_BY,
    Characters,
    needs_split,
    number_images,
)
from koch_siamese.data.image_files import is_colorful
from koch_siamese.data.image_paths import find_images
from koch_siamese.errors import InputError
from koch_siamese.fields import convert_fields
from koch_siamese.paths import expand_home_in

NUM_LOOKED_AT = 20  # images of a folder that are checked for colors
MANY = 1 / 3  # of them


@dataclasses.dataclass(frozen=True)
class DataSource:
    """A data set, and how it is read and split.

    A folder is read once, when its first split is loaded. To see files that are
    added later, make another source.

    Attributes:
        dataset: `omniglot`, `glyphs`, `glyphs/tiny`, `folder`, or the name of
            any TFDS data set of images and labels, such as `mnist`.
        background: Omniglot's training set, see `omniglot.load_split`.
        data_dir: where TFDS keeps data sets, by default its own folder; for
            `folder`, the folder of images, or a table (CSV) of them.
        manual_dir: a folder with Omniglot's four zips, if they cannot be
            downloaded.
        crop: whether a folder's images are cropped to their ink.
        photo_size: the side of photos in pixels, or 0 to read drawings.
        split_by: whether a folder is split by `class`, or by whole `group`s;
            see `splits.assign_splits` and `assign_groups`. With `class`, splits
            of the folder or table itself are kept.
        training_groups, validation_groups, test_groups: names of groups.
        split_labels: whether the splits of a TFDS data set are joined and split
            by class like a folder, to train on it; if not, its own splits are
            used, each with all labels.
        may_prepare: whether a missing data set may be written to `data_dir`.

    A leading `~` of `data_dir` and `manual_dir` is expanded.

    Raises:
        InputError: a value has another type or is unknown, or has no effect on
            the data set.
    """

    dataset: str
    background: str = "original"
    data_dir: str | None = None
    manual_dir: str | None = None
    crop: bool = False
    photo_size: int = 0
    split_by: str = "class"
    training_groups: tuple[str, ...] = ()
    validation_groups: tuple[str, ...] = ()
    test_groups: tuple[str, ...] = ()
    may_prepare: bool = True
    split_labels: bool = False

    def __post_init__(self):
        """Expands paths and checks values, except the names of groups."""
        convert_fields(self)
        for name in ("data_dir", "manual_dir"):
            path = getattr(self, name)
            object.__setattr__(self, name, path and expand_home_in(path))
        _require_choice("split_by", self.split_by, SPLITS_BY)
        _require_choice("background", self.background, omniglot.BACKGROUNDS)
        for name, dataset in ONLY_ON.items():
            value = getattr(self, name)
            if value != getattr(type(self), name) and self.dataset != dataset:
                raise InputError(
                    f"{name}={value!r} has no effect on {self.dataset}, only "
                    f"on {dataset}: remove it."
                )
        for split in SPLITS:
            groups = getattr(self, f"{split}_groups")
            if groups and self.split_by != "group":
                raise InputError(
                    f"{split}_groups={groups} has no effect with "
                    f"split_by={self.split_by!r}: give split_by='group'."
                )
        if self.crop and self.photo_size:
            raise InputError(
                "crop=True has no effect on photos, only on drawings: remove "
                "it."
            )

    def load(self, split: str) -> Characters:
        """Loads a split, and prepares the data set first if necessary.

        Args:
            split: `training`, `validation` or `test`. Those of Omniglot and
                glyphs share no alphabet. Data that are split here (a folder, or
                a TFDS data set with `split_labels`) share no character, unless
                they are closed (see `is_closed`). Other TFDS data sets have
                their own splits, each with all labels. Also `all` for a folder,
                and `evaluation` for Omniglot, see `omniglot.load_split`.

        Raises:
            InputError: the data are missing and cannot be prepared.
        """
        self._require_split(split)
        if self._is_split_here:
            return self._load_part(split)
        name, _, config = self.dataset.partition("/")
        if self.photo_size and name in SPLIT_DATASETS:
            raise InputError(
                f"{self.dataset} has drawings, but photos are expected: give "
                "--dataset=folder with photos, or a model of drawings."
            )
        self._refuse_images()
        if name == "omniglot":
            return omniglot.load_split(
                self._get_omniglot_reader(), split, self.background
            )
        split = "train" if split == "training" else split  # as TFDS names it
        if name == "glyphs":
            builder = downloads.prepare_glyphs(
                config or "default", self.data_dir, self.may_prepare
            )
            return omniglot.read_characters(builder, split)
        return tfds_images.load_labelled(
            self._prepare_labelled(), split, self.photo_size
        )

    def is_closed(self, split: str) -> bool | None:
        """Tells whether a split shows training classes (a closed set).

        Its results are then for new images, not for new classes. Only a folder,
        a table, or a TFDS data set that is split here can be closed.

        Args:
            split: see `load`.

        Returns:
            None if it is not known, as of a user's own `Characters`.

        Raises:
            InputError: see `load`.
        """
        if not self._is_split_here:
            return False
        if split == "all" and self._images.splits is None:
            return False
        return splits.is_closed(
            self._parts, self._images.characters.character, split
        )

    def compute_fingerprint(self) -> str:
        """Computes a hash of a folder's images, labels and own splits.

        Returns:
            See `Characters.compute_fingerprint`.

        Raises:
            InputError: see `load`.
        """
        return self._fingerprint

    def load_names(self) -> tuple[str, ...] | None:
        """Loads the names of a folder's characters, indexed by `character`.

        Returns:
            None for other data sets, which number their characters.

        Raises:
            InputError: see `load`.
        """
        return self._images.names if self.dataset == "folder" else None

    def load_files(self, split: str) -> list[str] | None:
        """Loads the names of the files of a folder's split.

        Args:
            split: see `load`.

        Returns:
            A name for each image that `load` returns: its path below the
            folder or the folder of the table, or else the whole path. None for
            other data sets.

        Raises:
            InputError: see `load`.
        """
        if self.dataset != "folder":
            return None
        files = self._images.files
        if split != "all":
            chosen = np.flatnonzero(self._parts == SPLITS.index(split))
            files = [files[i] for i in chosen]
        root = Path(self.data_dir)
        folder = os.path.abspath(root.parent if root.is_file() else root)  # noqa: PTH100
        return [_shorten(file, folder) for file in files]

    @property
    def _is_split_here(self):
        """Whether the data set has no one-shot splits of its own."""
        return self.dataset == "folder" or (
            self.split_labels and needs_split(self.dataset)
        )

    @property
    def has_own_splits(self) -> bool:
        """Whether a folder or a table has splits of its own.

        Raises:
            InputError: see `load`.
        """
        if self.dataset != "folder":
            return False
        _require_data_dir(self.data_dir)
        return image_folder.has_splits(self.data_dir)

    def _require_split(self, split):
        name = self.dataset.partition("/")[0]
        own = {"omniglot": ("evaluation",), "folder": ("all",)}.get(name, ())
        # A TFDS data set that is not split here has its own names of splits.
        has_own_names = needs_split(name) and not self._is_split_here
        if split not in (*SPLITS, *own) and not has_own_names:
            raise InputError(
                f"{self.dataset} has no split {split!r}: expected one of "
                f"{', '.join((*SPLITS, *own))}."
            )

    def _get_omniglot_reader(self):
        packed = Path(self.data_dir or ".", omniglot.PACKED)
        if self.data_dir and packed.exists():
            return functools.partial(omniglot.read_packed, packed)
        builder = downloads.prepare_omniglot(
            self.data_dir, self.manual_dir, self.may_prepare
        )
        return functools.partial(omniglot.read_characters, builder)

    def _refuse_images(self):
        """Refuses a folder of images, as TFDS would write files among them."""
        if not self.data_dir:
            return
        if Path(self.data_dir).is_file():
            raise InputError(
                f"--data_dir={self.data_dir} is a file: to use the images that "
                f"it lists give --dataset=folder; {self.dataset} needs a "
                "folder."
            )
        for file in find_images(self.data_dir):
            folders = file.relative_to(self.data_dir).parts
            if "downloads" not in folders:  # there, TFDS has images
                raise InputError(
                    f"--data_dir={self.data_dir} has images, such as "
                    f"{file.name}: to use them give --dataset=folder; "
                    f"{self.dataset} needs a folder of its own."
                )

    def _prepare_labelled(self):
        return downloads.prepare_labelled(
            self.dataset, self.data_dir, self.may_prepare
        )

    def _load_part(self, split):
        images = self._images
        if split == "all":
            return images.characters
        chosen = images.characters.select(self._parts == SPLITS.index(split))
        if not len(chosen) and self.split_by == "group":
            groups = images.characters.alphabet_names
            raise splits.MissingGroupError(
                f"No group is left for the {split} split: there are "
                f"{', '.join(map(repr, groups))}. Name some as "
                f"--{split}_groups, add folders, or train with "
                "--split_by=class."
            )
        if not len(chosen):
            raise InputError(
                f"{self.data_dir} has no images for the {split} split: give "
                "some, in a folder beside the other splits or in the column "
                "split."
            )
        if images.has_drawers:
            return chosen
        # Numbered again, as images of a class may be in another split.
        drawer = number_images(chosen.character)
        return dataclasses.replace(chosen, drawer=drawer)

    @functools.cached_property
    def _images(self) -> image_folder.ImageSet:
        """All images, with the names of their classes."""
        if self.dataset != "folder":
            self._refuse_images()
            return image_folder.ImageSet(
                *tfds_images.load_all(self._prepare_labelled(), self.photo_size)
            )
        _require_data_dir(self.data_dir)
        return image_folder.load_images(
            self.data_dir, self.crop, self.photo_size
        )

    @functools.cached_property
    def _fingerprint(self):
        """The fingerprint of the images, as hashing them takes a while."""
        images = self._images
        fingerprint = images.characters.compute_fingerprint()
        if images.splits is None:
            return fingerprint
        texts = (
            part.encode() + images.splits.tobytes()
            for part in fingerprint.split("-")
        )
        return "-".join(hashlib.sha256(text).hexdigest() for text in texts)

    @functools.cached_property
    def _parts(self):
        """The index in `SPLITS` of each image."""
        images = self._images
        if self.split_by == "group":
            if images.splits is not None:
                raise InputError(
                    f"--split_by=group has no effect, as {self.data_dir} has "
                    "splits of its own: remove the flag, or the splits."
                )
            groups = {x: getattr(self, f"{x}_groups") for x in SPLITS}
            return splits.assign_groups(images.characters, groups)
        if images.splits is None:
            return splits.assign_splits(images.characters, images.names)
        return splits.complete_splits(
            images.splits, images.characters, images.names
        )


def _require_choice(name, value, known):
    if value not in known:
        raise InputError(
            f"{name} is {value!r}: expected one of {', '.join(known)}."
        )


def _shorten(file, folder):
    """Returns a path relative to a folder that it is in, with `/`."""
    file = Path(os.path.abspath(file))  # noqa: PTH100 - links are kept
    below = file.relative_to(folder) if file.is_relative_to(folder) else file
    return below.as_posix()


def select_effective(dataset: str, **options) -> dict[str, object]:
    """Selects the options that have an effect on a data set.

    Args:
        dataset: see `DataSource`.
        **options: its attributes of `ONLY_ON`.
    """
    return {
        name: value
        for name, value in options.items()
        if ONLY_ON[name] == dataset
    }


def check_folder(dataset: str, data_dir: str | None):
    """Checks the files of a folder of images, but reads no image.

    Args:
        dataset, data_dir: see `DataSource`; only `folder` is checked.

    Raises:
        InputError: there is no folder, or no images in a valid layout.
    """
    if dataset == "folder":
        _require_data_dir(data_dir)
        image_folder.check_files(data_dir, may_split=True)


def has_color_pictures(data_dir: str) -> bool:
    """Tells whether many images of a folder seem to be color pictures.

    Args:
        data_dir: see `DataSource`; `check_folder` has checked it.
    """
    files = image_folder.check_files(data_dir, may_split=True)
    sample = files[:: -(-len(files) // NUM_LOOKED_AT)]
    return sum(map(is_colorful, sample)) > MANY * len(sample)


def _require_data_dir(data_dir):
    if not data_dir:
        raise InputError(
            "--dataset=folder needs --data_dir, the folder of images: "
            "DIR/character/*.png or DIR/alphabet/character/*.png; or a table "
            "of them, FILE.csv with the columns path,label."
        )


def load_characters(dataset: str, split: str, **options) -> Characters:
    """Loads a split of a data set.

    ```python
    characters = koch_siamese.load_characters("glyphs", "test")
    print(characters.images.shape, characters.num_characters)
    ```

    Args:
        dataset: `omniglot`, `glyphs`, `glyphs/tiny`, `folder` for your own
            images, or any TFDS data set of images and labels, such as `mnist`.
        split: `training`, `validation` or `test`; also `evaluation` (validation
            and test) for Omniglot, and `all` for a folder.
        **options: `data_dir`, where TFDS keeps its data sets, or the folder of
            images; `crop=True` to crop a folder's images to their ink;
            `photo_size`, the side in pixels at which to read photos; and the
            other attributes of `koch_siamese.data.sources.DataSource`.

    Raises:
        InputError: the data are missing and cannot be prepared, or an option is
            unknown or has a wrong value.
    """
    known = [field.name for field in dataclasses.fields(DataSource)][1:]
    for name in options:
        if name not in known:
            raise InputError(
                f"load_characters has no option {name!r}: expected one of "
                f"{', '.join(known)}."
            )
    return DataSource(dataset, **options).load(split)
