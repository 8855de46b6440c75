"""Data sets by name: loads one as characters to train, choose and test on."""

import concurrent.futures
import threading
import urllib.request
from pathlib import Path
from urllib.error import HTTPError

import numpy as np

from koch_siamese import omniglot
from koch_siamese.characters import Characters, read_examples
from koch_siamese.errors import InputError

CONNECTION_SECONDS = 20  # TFDS itself would retry for minutes


def load_characters(
    dataset: str,
    split: str,
    *,
    background: str = "original",
    data_dir: str | None = None,
    manual_dir: str | None = None,
) -> Characters:
    """Loads a split of a data set, preparing it first if that is not done.

    Args:
        dataset: `omniglot`, `glyphs`, or `glyphs/tiny`.
        split: `training`, `validation` or `test`, which share no alphabet.
        background: Omniglot's training set, see `omniglot.load_split`.
        data_dir: where TFDS keeps data sets; by default its own folder.
        manual_dir: a folder with Omniglot's four zips, where they cannot be
            downloaded.

    Raises:
        InputError: the data are not there and cannot be had.
    """
    name, _, config = dataset.partition("/")
    if name == "omniglot":
        builder = prepare_omniglot(data_dir, manual_dir)
        return omniglot.load_split(builder, split, background)
    if name == "glyphs":
        builder = _prepare_glyphs(config or "default", data_dir)
        return _read_glyphs(builder, "train" if split == "training" else split)
    raise InputError(f"Unknown data set {dataset!r}: use glyphs or omniglot.")


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
