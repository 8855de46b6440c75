r"""Reads pages: finds their symbols, and recognizes each.

    python -m koch_siamese.transcribe --page=FILE_OR_DIR --support=DIR

--page is an image, a PDF, or a folder of them; --support is a folder of images,
named by what they show (ka.png), or of a folder of images for each character.
Each page is printed line by line, one name a symbol, ? for none of these.

With no example yet, --discover=DIR groups the symbols by likeness. Name the
folders of the groups, and give DIR as --support.

With --review=DIR, the symbols that the model is unsure of are written to
DIR/doubtful, in folders by best guess. Move those that you have checked to
DIR/confirmed, into the folder of the right name, and run the command again:
they are examples then, and the page has the names that you gave.
"""

import json
from pathlib import Path

from absl import flags

from koch_siamese import cli
from koch_siamese.backend import import_tensorflow
from koch_siamese.errors import InputError
from koch_siamese.pages.reading import DIRECTIONS
from koch_siamese.runs.path_flags import define_path

PAGE = define_path(
    "page",
    None,
    "The page to read: an image or a PDF; or a folder of them.",
)
SUPPORT, GALLERY = cli.define_example_flags()
DIRECTION = flags.DEFINE_enum(
    "direction",
    "ltr",
    DIRECTIONS,
    "How pages are read: in lines from left to right or from right to left, or "
    "in columns from top to bottom, the right one first.",
)
FIGURE = define_path(
    "figure",
    None,
    "Draw the page with boxes and names into this PNG file; of several pages, "
    "one file each into this folder.",
)
XML = define_path(
    "xml",
    None,
    "Write PAGE XML for transcription tools to this file; of several pages, "
    "one file each into this folder.",
)
REVIEW = define_path(
    "review",
    None,
    "A folder for doubtful symbols, and for those that you have confirmed.",
)
DISCOVER = define_path(
    "discover",
    None,
    "A new folder for groups of symbols that are alike, to be named; no "
    "examples are needed. Beside it is a picture of the groups, DIR.png.",
)
CUT = flags.DEFINE_float(
    "cut",
    None,
    "With --discover, the mean score from which two groups are one; a higher "
    "one makes more groups. Default: by the model's thresholds.",
)
cli.define_recognizer_flags()


def _check_flags():
    """What is wrong with the flags is said before TensorFlow is imported."""
    if not PAGE.value:
        raise InputError("Nothing to read: give --page=FILE or a folder.")
    if DISCOVER.value:
        _check_discover_flags()
    else:
        if CUT.value is not None:
            raise InputError(
                "--cut has no effect without --discover: remove it."
            )
        cli.require_examples()


def _check_discover_flags():
    given = {
        "--support": SUPPORT.value,
        "--gallery": GALLERY.value,
        "--review": REVIEW.value,
        "--figure": FIGURE.value,
        "--xml": XML.value,
        "--threshold": flags.FLAGS.threshold is not None,
        "--json": flags.FLAGS.json,
    }
    for name, value in given.items():
        if value:
            raise InputError(
                f"{name} has no effect with --discover, which names nothing: "
                "remove it."
            )
    for path in (Path(DISCOVER.value), _sheet_path()):
        if path.exists() and not (path.is_dir() and not any(path.iterdir())):
            raise InputError(
                f"--discover={DISCOVER.value}: {path} exists already: give a "
                "new folder."
            )


def _sheet_path():
    folder = Path(DISCOVER.value)
    return folder.with_name(f"{folder.name}.png")


def _list_pages():
    """The pages; that there are examples is checked, too."""
    from koch_siamese.data.image_files import require_path
    from koch_siamese.data.page_files import list_pages

    if SUPPORT.value:
        require_path(SUPPORT.value)
    pages = list_pages(PAGE.value)
    for flag, suffix in ((FIGURE, ".png"), (XML, ".xml")):
        cli.check_outputs(flag.name, flag.value, suffix, len(pages))
    return pages


def _iterate(pages, complaints):
    """Yields pages as they are read, those that cannot be are collected.

    Args:
        pages: files.
        complaints: gets what is wrong with a page, by its name.
    """
    from tqdm import tqdm

    from koch_siamese.data.image_files import ImageError
    from koch_siamese.data.page_files import load_page

    # None: shown on a terminal alone.
    is_quiet = True if len(pages) == 1 else None
    for file in tqdm(pages, "Reading pages", disable=is_quiet):
        try:
            yield file, load_page(file)
        except ImageError as error:
            complaints[str(file)] = error


def _transcribe(pages):
    complaints = {}
    import_tensorflow()
    recognizer = cli.open_recognizer()
    review = _open_review(recognizer)
    outputs = _Outputs(recognizer, pages)
    num_doubtful = 0
    for file, page in _iterate(pages, complaints):
        read = recognizer.transcribe(
            page, DIRECTION.value, flags.FLAGS.threshold
        )
        if review:
            read = review.confirm(page, read)
            num_doubtful += review.write_doubtful(
                page, read, recognizer.thresholds
            )
        if not read.lines:
            complaints[str(file)] = no_symbol(file)
        outputs.write(file, page, read)
