"""Downloads and prepares TFDS data sets; fails at once without a network."""

import concurrent.futures
import contextlib
import functools
import io
import threading
import urllib.request
from pathlib import Path
from urllib.error import HTTPError

from absl import logging

from koch_siamese.errors import InputError

CONNECTION_SECONDS = 20  # TFDS itself would retry for minutes


@contextlib.contextmanager
def _silencing_warnings():
    """Silences the log of TFDS, which names each folder without data."""
    before = logging.get_verbosity()
    logging.set_verbosity(min(before, logging.ERROR))
    try:
        yield
    finally:
        logging.set_verbosity(before)


@_silencing_warnings()
def prepare_omniglot(
    data_dir: str | None,
    manual_dir: str | None = None,
    may_prepare: bool = True,
):
    """Downloads and prepares Omniglot with the official TFDS builder.

    Raises:
        InputError: it is not prepared, and may not be; or its zips are not in
            `manual_dir` and cannot be downloaded.
    """
    import tensorflow_datasets as tfds

    make_builder = functools.partial(
        tfds.builder, "omniglot", data_dir=data_dir
    )
    builder = make_builder()
    if builder.is_prepared():
        return builder
    _check_folder("omniglot", data_dir, may_prepare)
    urls = _omniglot_urls()
    if manual_dir:
        _check_zips(manual_dir, urls)
    else:
        try:
            _check_connection(urls[:1])
        except OSError as error:
            raise InputError(
                f"Omniglot is not prepared in {builder.data_dir} and cannot be "
                f"downloaded ({error}): give --data_dir a folder where it is "
                "prepared, or --manual_dir a folder with its four zips, or use "
                "--dataset=glyphs, which needs no network."
            ) from error
    config = tfds.download.DownloadConfig(manual_dir=manual_dir)
    try:
        return _prepare(make_builder, download_config=config)
    except _get_download_errors() as error:
        raise InputError(
            f"Omniglot could not be prepared in {builder.data_dir}: {error}"
        ) from error


def _prepare(make_builder, **options):
    """Prepares a data set, unless another process has been faster."""
    builder = make_builder()
    try:
        builder.download_and_prepare(**options)
    except _get_download_errors():
        written = make_builder()
        if not written.is_prepared():
            raise
        return written
    return builder


def _get_download_errors():
    """Returns the exceptions that TFDS raises when a download fails."""
    from tensorflow_datasets.core.download import download_manager, util

    return (
        OSError,
        AssertionError,
        download_manager.NonMatchingChecksumError,
        util.DownloadError,
    )


def _check_zips(manual_dir, urls):
    names = [url.rsplit("/", 1)[1] for url in urls]
    missing = [name for name in names if not Path(manual_dir, name).is_file()]
    if missing:
        raise InputError(
            f"--manual_dir={manual_dir} lacks {', '.join(missing)}; Omniglot "
            f"needs its four zips there: {', '.join(names)}."
        )


def _omniglot_urls():
    from tensorflow_datasets.image_classification import omniglot as official

    return list(official._DL_URLS.values())


def _check_folder(dataset, data_dir, may_prepare):
    """Refuses to write a data set where nobody asked for it.

    Raises:
        InputError: it may not be prepared, or the folder is used for something
            other than TFDS.
    """
    if not data_dir:
        return
    if not may_prepare:
        raise InputError(
            f"{dataset} is not prepared in --data_dir={data_dir}: give the "
            f"folder where it is, or --dataset={dataset} to prepare it there."
        )
    folder = Path(data_dir)
    others = folder.iterdir() if folder.is_dir() else ()
    own = ("downloads", dataset.partition("/")[0])  # from an earlier attempt
    others = [x.name for x in others if not x.name.startswith(".")]
    is_of_tfds = any(folder.glob("*/*/dataset_info.json")) or any(
        folder.glob("*/*/*/dataset_info.json")
    )
    if set(others) - set(own) and not is_of_tfds:
        raise InputError(
            f"--data_dir={data_dir} has other files, such as {min(others)}, "
            f"and no data sets of TFDS: {dataset} needs a folder of its own."
        )


@_silencing_warnings()
def prepare_glyphs(config: str, data_dir: str | None, may_prepare: bool = True):
    """Draws and prepares the alphabets of this package.

    Raises:
        InputError: there is no such config, or the alphabets may not be
            prepared or cannot be written.
    """
    from koch_siamese.data.glyphs import Glyphs

    configs = [known.name for known in Glyphs.BUILDER_CONFIGS]
    if config not in configs:
        raise InputError(
            f"There are no glyphs/{config}: use one of {', '.join(configs)}."
        )
    make_builder = functools.partial(Glyphs, config=config, data_dir=data_dir)
    builder = make_builder()
    if not builder.is_prepared():
        name = "glyphs" if config == "default" else f"glyphs/{config}"
        _check_folder(name, data_dir, may_prepare)
    try:
        # TFDS would print that it downloads them.
        with contextlib.redirect_stdout(io.StringIO()):
            return _prepare(make_builder)
    except OSError as error:
        raise InputError(
            f"Glyphs could not be written to {builder.data_dir}: {error}. "
            "Give --data_dir a folder that can be written to."
        ) from error


@_silencing_warnings()
def prepare_labelled(name: str, data_dir: str | None, may_prepare: bool = True):
    """Downloads and prepares a TFDS data set of images and labels.

    Args:
        name: its name in TFDS, with a config if it has any: `mnist`,
            `emnist/letters`.
        data_dir: where TFDS keeps data sets, by default its own folder.
        may_prepare: whether it may be prepared in `data_dir`.

    Raises:
        InputError: there is no such data set, it has no images with one label
            each, or it is not prepared and may not be or cannot be downloaded.
    """
    import tensorflow_datasets as tfds

    make_builder = functools.partial(tfds.builder, name, data_dir=data_dir)
    try:
        builder = make_builder()
    except (
        tfds.core.DatasetNotFoundError,
        ValueError,
        TypeError,  # an unknown option
        AssertionError,  # an unknown version
    ) as error:
        raise InputError(
            f"TFDS has no data set {name!r}: expected one of images and "
            "labels, such as mnist, or glyphs, omniglot or folder."
        ) from error
    features = builder.info.features
    if not (
        {"image", "label"} <= set(features)
        and isinstance(features["image"], tfds.features.Image)
        and isinstance(features["label"], tfds.features.ClassLabel)
    ):
        raise InputError(
            f"TFDS' {name} has no image with one label: got the features "
            f"{', '.join(features)}; expected image and label, as in mnist."
        )
    try:
        if not builder.is_prepared():
            _check_folder(name, data_dir, may_prepare)
            # One server may be gone; if all are, there is no network.
            _check_connection([builder.info.homepage, *_omniglot_urls()])
        return _prepare(make_builder)
    except _get_download_errors() as error:
        raise InputError(
            f"{name} is not prepared in {builder.data_dir} and cannot be "
            f"downloaded ({error}): give --data_dir a folder "
            "where it is prepared, or images of your own by --dataset=folder."
        ) from error


def _check_connection(urls):
    """Requests the headers of each address until a server answers.

    Raises:
        OSError: none of the servers answers.
    """
    for url in urls:
        try:
            _ask(url)
            return
        except OSError as error:
            failure = error
    raise failure


def _ask(url):
    answer = concurrent.futures.Future()

    def ask():
        request = urllib.request.Request(url, method="HEAD")
        try:
            urllib.request.urlopen(request, timeout=CONNECTION_SECONDS).close()
        except HTTPError:
            pass  # The server answers; TFDS will report what is wrong.
        except Exception as error:  # also for an invalid address
            answer.set_exception(OSError(str(error)))
            return
        answer.set_result(None)

    # In a thread, because looking up a host name ignores the timeout.
    threading.Thread(target=ask, daemon=True).start()
    try:
        answer.result(timeout=CONNECTION_SECONDS)
    except concurrent.futures.TimeoutError as error:
        raise OSError("no answer") from error
