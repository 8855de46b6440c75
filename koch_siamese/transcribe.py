r"""Reads pages: finds their symbols, and recognizes each.

    python -m koch_siamese.transcribe --page=FILE_OR_DIR --support=DIR

--page is an image, a PDF, or a folder of them; --support is a folder with one
image of each character, named after it (ka.png), or with a folder of images for
each (ka/1.png). Each page is printed line by line: the name of each symbol, ?
for none of these, and a space at each wide gap between words.

With no example yet, --discover=DIR groups the symbols by likeness. Name the
folders of the groups, and give DIR as --support.

With --review=DIR, the symbols that the model is unsure of are written to
DIR/doubtful, in folders by best guess. Move those that you have checked to
DIR/confirmed, into the folder of the right name, and run the command again:
they are examples then, and the page has the names that you gave.
"""

import collections
import json
from pathlib import Path

from absl import flags

from koch_siamese import cli, model_flags
from koch_siamese.backend import import_tensorflow
from koch_siamese.errors import InputError
from koch_siamese.pages.reading import DIRECTIONS
from koch_siamese.runs.path_flags import define_path

PAGE = define_path(
    "page",
    None,
    "The page to read: an image or a PDF, or one of its pages "
    "(book.pdf#page=2); or a folder of them.",
)
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
    "Draw the page with boxes and names into this .png file, or each page into "
    "a file in this folder.",
)
XML = define_path(
    "xml",
    None,
    "Write PAGE XML for transcription tools into this .xml file, or each page "
    "into a file in this folder.",
)
SUFFIXES = ((FIGURE, ".png"), (XML, ".xml"))
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
    "With --discover, the lowest score allowed between two symbols of a group; "
    "a higher one makes more groups. Default: the one that separates groups "
    "best.",
)
cli.refuse_nan("cut")
SUPPORT, GALLERY = model_flags.define_example_flags()
model_flags.define_recognizer_flags()


def _check_flags():
    """Checks the flags before TensorFlow is imported."""
    if not PAGE.value:
        raise InputError("Nothing to read: give --page=FILE or a folder.")
    for flag, suffix in SUFFIXES:
        if flag.value and _is_other_file(flag.value, suffix):
            raise InputError(
                f"--{flag.name}={flag.value}: expected a file that ends in "
                f"{suffix}, or a folder."
            )
    if DISCOVER.value:
        _check_discover_flags()
    else:
        if CUT.value is not None:
            raise InputError(
                "--cut has no effect without --discover: remove it."
            )
        model_flags.require_examples()


def _is_file(path, suffix):
    """Whether a path that may not exist is a file's, not a folder's."""
    return path.lower().endswith(suffix) and not Path(path).is_dir()


def _is_other_file(path, suffix):
    """Whether a path seems to be that of a file of another format."""
    own = Path(path).suffix
    return (
        own[1:].isalpha()  # a folder may be named v1.2
        and own.lower() != suffix
        and not path.endswith("/")
        and not Path(path).is_dir()
    )


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
    for path in (Path(DISCOVER.value), _picture_path()):
        if path.exists() and not (path.is_dir() and not any(path.iterdir())):
            raise InputError(
                f"--discover={DISCOVER.value}: {path} exists already: give a "
                "new folder."
            )


def _picture_path():
    folder = Path(DISCOVER.value).resolve()
    return folder.with_name(f"{folder.name}.png")


def _list_pages():
    """Lists the pages, and checks the files of --support and those to write."""
    from koch_siamese.data.image_folder import check_files
    from koch_siamese.data.page_files import list_pages

    examples = check_files(SUPPORT.value) if SUPPORT.value else []
    pages = list_pages(PAGE.value)
    for flag, suffix in SUFFIXES:
        if len(pages) > 1 and flag.value and _is_file(flag.value, suffix):
            raise InputError(
                f"--{flag.name}={flag.value} is one file, and there are "
                f"{len(pages)} pages: give a folder."
            )
    given = [Path(x) for x in (PAGE.value, SUPPORT.value) if x]
    inputs = [*given, *examples, *(page.path for page in pages)]
    for name, images in _list_written_images(pages).items():
        cli.refuse_inputs(name, images, inputs)
    return pages


def _list_written_images(pages):
    """Lists the images, or folders of images, that each flag writes."""
    stems, written = _name_outputs(pages), {}
    if FIGURE.value:
        written[FIGURE.name] = [
            _choose_path(FIGURE.value, stem, ".png") for stem in stems.values()
        ]
    if XML.value:
        written[XML.name] = [
            _name_image(_choose_path(XML.value, stem, ".xml"))
            for page, stem in stems.items()
            if page.number
        ]
    if REVIEW.value:
        written[REVIEW.name] = [Path(REVIEW.value)]
    if DISCOVER.value:
        written[DISCOVER.name] = [Path(DISCOVER.value), _picture_path()]
    return written


def _find_symbols(files, errors):
    """Yields each page that can be read, and the symbols found on it.

    Args:
        files: the pages.
        errors: a dict, to which those of the others are added by page.
    """
    from koch_siamese.data.image_errors import ImageError
    from koch_siamese.data.image_folder import show_progress
    from koch_siamese.data.page_files import load_page
    from koch_siamese.inference.transcription import find_on_page

    for file in show_progress(files, "pages", num_silent=1):
        try:
            found = find_on_page(load_page(file), DIRECTION.value)
        except ImageError as error:
            errors[file] = error
            continue
        if not found.lines:
            errors[file] = ImageError(
                f"{str(file)!r}: no clean symbol found",
                "ink on paper that differs from it in brightness",
                "take the picture again"
                if DISCOVER.value
                else "--figure shows what was seen",
            )
        yield file, found


def _transcribe(files):
    """Prints each page as soon as it is read.

    Returns:
        The errors, by page.
    """
    recognizer, examples = model_flags.open_recognizer()
    recognizer.require_drawings()
    review = _open_review(recognizer)
    writer = _Writer(recognizer.names, examples, files)
    errors, num_doubtful = {}, 0
    for file, found in _find_symbols(files, errors):
        if review:
            found = review.confirm(found)
        read = recognizer.transcribe(found, threshold=flags.FLAGS.threshold)
        if review:
            num_doubtful += review.write_doubtful(
                found.page, read, recognizer.thresholds
            )
        writer.write(file, found.page, read)
        model_flags.note_few_names(
            [x.name for x in read.symbols],
            f"symbols of {file}",
            "is the page upright, and in the script of --support?",
        )
    if flags.FLAGS.json:
        for file, error in errors.items():
            line = {"page": str(file), "lines": [], "error": str(error)}
            print(json.dumps(line))
    if review:
        _note_review(num_doubtful)
    model_flags.note_missing_threshold(recognizer)
    return errors


def _open_review(recognizer):
    """Opens the folder of --review; adds its examples to the recognizer."""
    if not REVIEW.value:
        return None
    from koch_siamese.inference.review import ReviewFolder

    review = ReviewFolder(REVIEW.value)
    if review.examples:
        recognizer.add(review.examples)
        num = sum(map(len, review.examples.values()))
        cli.note(f"{num} confirmed symbols of {REVIEW.value} are examples.")
    return review


def _note_review(num_doubtful):
    folder = Path(REVIEW.value)
    cli.note(
        f"{num_doubtful} doubtful symbols are in {folder / 'doubtful'}: move "
        f"those that you have checked to {folder / 'confirmed'}/NAME, and run "
        "the command again."
        if num_doubtful
        else "no symbol is doubtful."
    )


class _Writer:
    """Prints pages, and writes the files that belong to them."""

    def __init__(self, names, examples, files):
        self._names = names
        self._examples = examples
        self._files = files
        self._stems = _name_outputs(files)

    def write(self, file, page, read):
        """Prints a page, and writes its picture and its PAGE XML."""
        if read.lines:
            self._print(file, read)
        if FIGURE.value:
            self._draw(file, page, read)
        if XML.value:
            self._write_xml(file, page, read)

    def _print(self, file, read):
        from koch_siamese.reporting.text import to_printable

        if flags.FLAGS.json:
            print(json.dumps(read.to_json()))
            return
        if len(self._files) > 1:
            print(f"{to_printable(str(file))}:")
        print("\n".join(map(to_printable, read.text.split("\n"))))
        if len(self._files) > 1:
            print()

    def _draw(self, file, page, read):
        from koch_siamese.reporting import page_figures

        picture = page_figures.draw_transcription(
            page, read, self._names, self._examples
        )
        path = _choose_path(FIGURE.value, self._stems[file], ".png")
        page_figures.save_picture(picture, path)

    def _write_xml(self, file, page, read):
        from PIL import Image

        from koch_siamese.reporting import page_figures, page_xml

        path = _choose_path(XML.value, self._stems[file], ".xml")
        image = file.path.name
        if file.number:  # tools need an image of that page
            picture = _name_image(path)
            # Of the stored size, in whose pixels the boxes are.
            whole = Image.fromarray(page.pixels).resize(page.size)
            page_figures.save_picture(whole, picture)
            image = picture.name
        page_xml.save_page_xml(read, image, DIRECTION.value, path)


def _choose_path(given, stem, suffix):
    """Chooses the output of a page: the given file, or one in the folder."""
    path = Path(given)
    return path if _is_file(given, suffix) else path / f"{stem}{suffix}"


def _name_image(path):
    """Names the image of a page of a PDF or TIFF, beside its PAGE XML."""
    return path.with_name(f"{path.stem}_page.png")


def _name_outputs(files):
    """Makes a unique file stem for the outputs of each page."""
    stems, taken = {}, set()
    numbers = collections.Counter()
    for file in files:
        stem = file.path.stem + (f"_{file.number}" if file.number else "")
        unique = stem
        while unique in taken:
            numbers[stem] += 1
            unique = f"{stem}_{numbers[stem] + 1}"
        taken.add(unique)
        stems[file] = unique
    return stems


def _discover(files):
    """Writes groups of the symbols of all pages.

    Returns:
        The errors, by page.
    """
    import numpy as np

    from koch_siamese.inference import grouping
    from koch_siamese.inference.transcription import name_symbol
    from koch_siamese.reporting import page_figures

    recognizer = model_flags.load_recognizer()
    recognizer.require_drawings()
    errors, names, drawings = {}, [], []
    for _, found in _find_symbols(files, errors):
        names += [
            name_symbol(found.page.name, i, j)
            for i, line in enumerate(found.lines, 1)
            for j in range(1, len(line) + 1)
        ]
        drawings.append(found.drawings)
    if not names:
        return errors
    drawings = np.concatenate(drawings)
    groups = grouping.write_groups(
        Path(DISCOVER.value),
        recognizer.group_drawings(drawings, CUT.value),
        drawings,
        names,
    )
    page_figures.save_picture(page_figures.draw_groups(groups), _picture_path())
    print(
        f"{len(names)} symbols in {len(groups)} groups: rename the folders "
        f"in {DISCOVER.value} to what they show, and give it as --support; "
        f"{_picture_path()} shows them"
    )
    return errors


def main():
    """Reads each page, or groups the symbols of all pages.

    Pages that cannot be read are skipped, and reported at the end.
    """
    from koch_siamese.data.image_errors import raise_image_errors

    _check_flags()
    files = _list_pages()
    import_tensorflow()
    errors = _discover(files) if DISCOVER.value else _transcribe(files)
    raise_image_errors(list(errors.values()), len(files))


if __name__ == "__main__":
    cli.run(main, without=cli.DATA_FLAGS)
