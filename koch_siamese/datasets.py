"""Data sets by name: loads one as characters to train, choose and test on."""

import concurrent.futures
import dataclasses
import threading
import urllib.request
from pathlib import Path
from urllib.error import HTTPError

import numpy as np

from koch_siamese import folders, omniglot
from koch_siamese.characters import Characters, read_examples
from koch_siamese.errors import InputError

CONNECTION_SECONDS = 20  # TFDS itself would retry for minutes


@dataclasses.dataclass(frozen=True)
class DataSource:
    """Where characters are from.

    Attributes:
        dataset: `omniglot`, `glyphs`, `glyphs/tiny`, or `folder`.
        background: Omniglot's training set, see `omniglot.load_split`.
        data_dir: where TFDS keeps data sets, by default its own folder; of
            `folder`, the folder of images.
        manual_dir: a folder with Omniglot's four zips, where they cannot be
            downloaded.
        crop: whether a folder's images are cut to their ink.
        split_seed: divides a folder's characters.
    """

    dataset: str
    background: str = "original"
    data_dir: str | None = None
    manual_dir: str | None = None
    crop: bool = False
    split_seed: int = 0

    def load(self, split: str) -> Characters:
        """Loads a split, preparing the data set first if that is not done.

        Args:
            split: `training`, `validation` or `test`, which share no
                alphabet, or no character of a folder; `all` of a folder.

        Raises:
            InputError: the data are not there and cannot be had.
        """
        name, _, config = self.dataset.partition("/")
        if name == "folder":
            return self._load_folder(split)
        if split == "all":
            raise InputError(
                f"{self.dataset} has no split 'all': use training, validation "
                "or test."
            )
        if name == "omniglot":
            builder = prepare_omniglot(self.data_dir, self.manual_dir)
            return omniglot.load_split(builder, split, self.background)
        if name == "glyphs":
            builder = _prepare_glyphs(config or "default", self.data_dir)
            split = "train" if split == "training" else split
            return _read_glyphs(builder, split)
        raise InputError(
            f"Unknown data set {self.dataset!r}: use glyphs, omniglot or "
            "folder."
        )

    def _load_folder(self, split):
        if not self.data_dir:
            raise InputError(
                "--dataset=folder needs --data_dir, the folder of images: "
                "DIR/character/*.png or DIR/alphabet/character/*.png."
            )
        characters, _ = folders.load_folder(self.data_dir, self.crop)
        if split == "all":
            return characters
        return folders.split_characters(characters, split, self.split_seed)


def load_characters(dataset: str, split: str, **options) -> Characters:
    """Loads a split of a data set; options are the fields of `DataSource`."""
    return DataSource(dataset, **options).load(split)


def prepare_omniglot(data_dir: str | None, manual_dir: str | None = None):
    """The official TFDS builder of Omniglot, downloaded and prepared.

    Raises:
        InputError: it is not prepared, and neither are its zips in
            `manual_dir` nor can they be downloaded.
    """
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.download.download_manager import (
        NonMatchingChecksumError,
    )
    from tensorflow_datasets.image_classification import omniglot as official

    builder = tfds.builder("omniglot", data_dir=data_dir)
    if builder.is_prepared():
        return builder
    urls = official._DL_URLS.values()
    if manual_dir:
        _check_zips(manual_dir, urls)
    else:
        _check_connection(next(iter(urls)), builder.data_dir)
    config = tfds.download.DownloadConfig(manual_dir=manual_dir)
    try:
        builder.download_and_prepare(download_config=config)
    except (OSError, NonMatchingChecksumError) as error:
        raise InputError(
            f"Omniglot could not be prepared in {builder.data_dir}: {error}"
        ) from error
    return builder


def _check_zips(manual_dir, urls):
    names = [url.rsplit("/", 1)[1] for url in urls]
    missing = [name for name in names if not Path(manual_dir, name).is_file()]
    if missing:
        raise InputError(
            f"--manual_dir={manual_dir} lacks {', '.join(missing)}; Omniglot "
            f"needs its four zips there: {', '.join(names)}."
        )


def _check_connection(url, data_dir):
    """Asks for the first zip's header, so that offline is told at once."""
    answer = concurrent.futures.Future()

    def ask():
        request = urllib.request.Request(url, method="HEAD")
        try:
            urllib.request.urlopen(request, timeout=CONNECTION_SECONDS).close()
        except HTTPError:
            pass  # The server is there; TFDS will say what is wrong.
        except OSError as error:
            answer.set_exception(error)
            return
        answer.set_result(None)

    # A thread, as looking up a name heeds no timeout.
    threading.Thread(target=ask, daemon=True).start()
    try:
        answer.result(timeout=CONNECTION_SECONDS)
    except (OSError, concurrent.futures.TimeoutError) as error:
        raise InputError(
            f"Omniglot is not prepared in {data_dir} and cannot be downloaded "
            f"({error or 'no answer'}): give --data_dir a folder where it is "
            "prepared, or --manual_dir a folder with its four zips, or use "
            "--dataset=glyphs, which needs no network."
        ) from error


def _prepare_glyphs(config, data_dir):
    from koch_siamese.glyphs import Glyphs

    builder = Glyphs(config=config, data_dir=data_dir)
    try:
        builder.download_and_prepare()
    except OSError as error:
        raise InputError(
            f"Glyphs could not be written to {builder.data_dir}: {error}. "
            "Give --data_dir a folder that can be written to."
        ) from error
    return builder


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
