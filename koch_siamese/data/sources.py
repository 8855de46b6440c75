"""Data sets by name: loads one as characters to train, choose and test on."""

import dataclasses
import functools
from pathlib import Path

import numpy as np

from koch_siamese.data import downloads, image_folder, omniglot, tfds_images
from koch_siamese.data.characters import Characters, read_examples
from koch_siamese.data.image_files import find_images
from koch_siamese.errors import InputError

# Data sets of drawings alone.
DRAWINGS = ("omniglot", "glyphs")


@dataclasses.dataclass(frozen=True)
class DataSource:
    """Where characters are from.

    A folder is read once, at the first split that is loaded, and kept: what is
    added to it later another source sees.

    Attributes:
        dataset: `omniglot`, `glyphs`, `glyphs/tiny`, `folder`, or the name of
            any TFDS data set of images and labels, such as `mnist`.
        background: Omniglot's training set, see `omniglot.load_split`.
        data_dir: where TFDS keeps data sets, by default its own folder; of
            `folder`, the folder of images.
        manual_dir: a folder with Omniglot's four zips, where they cannot be
            downloaded.
        crop: whether a folder's images are cut to their ink.
        photo_size: side in pixels at which images are read as photos; 0: as
            drawings.
        split_by: whether a folder is split by `class`, or by whole `group`s;
            see `image_folder.split_characters` and `split_groups`.
        training_groups, validation_groups, test_groups: names of groups.
        may_prepare: whether a data set that is not there may be written into
            `data_dir`.
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

    def load(self, split: str) -> Characters:
        """Loads a split, preparing the data set first if that is not done.

        Args:
            split: `training`, `validation` or `test`, which share no
                alphabet, or no character of a folder; `all` of a folder;
                `evaluation` of Omniglot, see `omniglot.load_split`.

        Raises:
            InputError: the data are not there and cannot be had.
        """
        name, _, config = self.dataset.partition("/")
        if {"all": "folder", "evaluation": "omniglot"}.get(split, name) != name:
            own = {"omniglot": ", evaluation", "folder": ", all"}.get(name, "")
            raise InputError(
                f"{self.dataset} has no split {split!r}: it has validation, "
                f"test{own}, and what one trains on."
            )
        if name == "folder":
            return self._load_folder(split)
        if self.photo_size and name in DRAWINGS:
            raise InputError(
                f"{self.dataset} has drawings, and what is asked for takes "
                "photos: give --dataset=folder with photos, or a model of "
                "drawings."
            )
        self._refuse_images()
        if name == "omniglot":
            return omniglot.load_split(
                self._get_omniglot_reader(), split, self.background
            )
        if name == "glyphs":
            builder = downloads.prepare_glyphs(
                config or "default", self.data_dir, self.may_prepare
            )
            split = "train" if split == "training" else split
            return _read_glyphs(builder, split)
        builder = downloads.prepare_labelled(
            self.dataset, self.data_dir, self.may_prepare
        )
        return tfds_images.load_labelled(builder, split, self.photo_size)

    def load_names(self) -> tuple[str, ...] | None:
        """Loads the names of a folder's characters, indexed by `character`.

        Returns:
            None of other data sets, which number their characters.

        Raises:
            InputError: see `load`.
        """
        if self.dataset != "folder":
            return None
        self._require_folder()
        return self._folder[1]

    def _get_omniglot_reader(self):
        packed = Path(self.data_dir or ".", omniglot.PACKED)
        if self.data_dir and packed.exists():
            return functools.partial(omniglot.read_packed, packed)
        builder = downloads.prepare_omniglot(
            self.data_dir, self.manual_dir, self.may_prepare
        )
        return functools.partial(omniglot.read_characters, builder)

    def _refuse_images(self):
        """TFDS would write its files among them."""
        if not self.data_dir:
            return
        for file in find_images(self.data_dir):
            if "downloads" not in file.parts:  # where TFDS has its own
                raise InputError(
                    f"--data_dir={self.data_dir} has images, such as "
                    f"{file.name}: to use them give --dataset=folder; "
                    f"{self.dataset} needs a folder of its own."
                )

    def _require_folder(self):
        if not self.data_dir:
            raise InputError(
                "--dataset=folder needs --data_dir, the folder of images: "
                "DIR/character/*.png or DIR/alphabet/character/*.png."
            )

    def _load_folder(self, split):
        self._require_folder()
        if split == "all":
            return self._folder[0]
        characters, names = self._folder
        if self.split_by == "group":
            parts = {
                "training": self.training_groups,
                "validation": self.validation_groups,
                "test": self.test_groups,
            }
            return image_folder.split_groups(characters, split, parts)
        return image_folder.split_characters(characters, split, names)

    @functools.cached_property
    def _folder(self):
        """All of its characters, and their names."""
        return image_folder.load_folder(
            self.data_dir, self.crop, self.photo_size
        )


def load_characters(dataset: str, split: str, **options) -> Characters:
    """Loads a split of a data set; options are the fields of `DataSource`."""
    return DataSource(dataset, **options).load(split)


def _read_glyphs(builder, split) -> Characters:
    examples = read_examples(builder, split)
    return Characters(
        images=examples["image"],
        character=examples["label"].astype(np.int32),
        number=examples["alphabet_char_id"].astype(np.int32) + 1,
        alphabet=examples["alphabet"].astype(np.int32),
        drawer=examples["drawer"].astype(np.int32),
        alphabet_names=tuple(builder.info.features["alphabet"].names),
    )
