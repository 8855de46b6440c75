r"""Recognizes images, given one or more images of each character.

    python -m koch_siamese.classify --model=FILE --support=DIR --query=DIR

--support is a folder with one image of each character, named after it
(ka.png), or with a folder of images for each (ka/1.png). Each query gets the
best character, or "none of these" if its score is below the threshold.
"""

import json
import warnings
from pathlib import Path

from absl import flags

from koch_siamese import cli
from koch_siamese.backend import import_tensorflow
from koch_siamese.errors import InputError
from koch_siamese.runs.path_flags import define_path

SUPPORT = define_path(
    "support",
    None,
    "The known characters: a folder of their images, or a table of them, a "
    ".csv file with the columns path and label.",
)
QUERY = define_path(
    "query", None, "The image to recognize, or a folder of images."
)
GALLERY = define_path(
    "gallery",
    None,
    "Where the known characters are stored: a folder, which also has the model "
    "and its thresholds, or an .npz file, which does not. The characters of "
    "--support are added to it and replace those of the same name.",
)
REMOVE = flags.DEFINE_list(
    "remove", [], "Names of characters to remove from the gallery."
)
TOP_K = flags.DEFINE_integer(
    "top_k", 2, "Number of candidates to list per query.", lower_bound=1
)
FIGURE = define_path(
    "figure", None, "A PNG file that shows queries, candidates and scores."
)
cli.define_recognizer_flags()


def _check_flags():
    """Checks the flags before TensorFlow is imported."""
    if REMOVE.value and not GALLERY.value:
        raise InputError(
            "--remove needs the gallery to remove from: give --gallery too."
        )
    if not (SUPPORT.value or GALLERY.value or _has_own_characters()):
        raise InputError(
            "There are no known characters: give --support, a folder of "
            "images, or --gallery, which was made from one."
        )
    if not (QUERY.value or GALLERY.value):
        raise InputError("Nothing to recognize: give --query=FILE or a folder.")
    if FIGURE.value and not (SUPPORT.value and QUERY.value):
        raise InputError(
            "--figure shows queries beside known characters: give --query "
            "and --support too."
        )
    cli.check_figure(FIGURE.value)


def _has_own_characters():
    """Whether --model is the folder of a recognizer."""
    return flags.FLAGS.model and Path(flags.FLAGS.model).is_dir()


def _list_files():
    """Lists the queries, and checks that --support exists."""
    from koch_siamese.data.image_files import list_images, require_path

    if SUPPORT.value:
        require_path(SUPPORT.value)
    return list_images(QUERY.value) if QUERY.value else []


def _open_gallery():
    """Loads the recognizer that the flags name, before they change it.

    Returns:
        The recognizer, and the thresholds to use; a gallery in an .npz file
        has none of its own.
    """
    from koch_siamese.inference import storage
    from koch_siamese.inference.recognizer import Recognizer

    path = GALLERY.value and Path(GALLERY.value)
    # One to be made, which another process may make in the meantime.
    is_new = path and SUPPORT.value and not storage.is_stored(path)
    is_given = flags.FLAGS.model or flags.FLAGS.workdir
    if path and storage.is_folder(path) and not is_given:
        recognizer = Recognizer.load(path, crop=flags.FLAGS.crop)
        return recognizer, recognizer.thresholds
    own = cli.load_recognizer()
    if not path or is_new:
        return own, own.thresholds
    recognizer = Recognizer.load(path, own.model, crop=flags.FLAGS.crop)
    if storage.is_gallery(path):
        return recognizer, own.thresholds
    return recognizer, recognizer.thresholds


def _read_queries(recognizer, paths):
    """Reads queries: images by path, and the errors of unreadable ones.

    Raises:
        InputError: none of them can be read.
    """
    from koch_siamese.data.image_files import ImageError, raise_complaints

    queries, complaints = {}, {}
    for path in paths:
        try:
            queries[path] = recognizer.read(path)
        except ImageError as error:
            complaints[path] = error
    if not queries:
        raise_complaints(list(complaints.values()), len(paths))
    return queries, complaints


def _update(recognizer):
    """Adds and removes characters, and stores them if there is a gallery."""
    if REMOVE.value:
        recognizer.remove(REMOVE.value)
    if SUPPORT.value:
        recognizer.add(SUPPORT.value, replace=True)
    if GALLERY.value and (SUPPORT.value or REMOVE.value):
        recognizer.save(GALLERY.value, if_exists="merge")


def _to_json(path, answer):
    best, runner_up = answer.best, answer.runner_up
    return {
        "query": str(path),
        "character": answer.name,
        "best": best.name,
        "score": best.score,
        "probability": best.probability,
        "runner_up": runner_up and runner_up.name,
        "runner_up_score": runner_up and runner_up.score,
        "threshold": answer.threshold,
        "candidates": [vars(x) for x in answer.candidates[: TOP_K.value]],
    }


def _print_answers(answers, complaints, skipped):
    """Prints a line for each query: JSON, or a row of a table."""
    if not flags.FLAGS.json:
        from koch_siamese.reporting.text import format_answers

        print(format_answers(answers, TOP_K.value))
        return
    lines = [_to_json(path, answer) for path, answer in answers.items()]
    for path, error in complaints.items():
        lines.append({"query": str(path), "error": str(error)})
    if skipped:
        lines.append({"skipped": dict(skipped)})
    for line in lines:
        print(json.dumps(line))


def _draw(recognizer, drawings, answers, titles):
    from koch_siamese.data.image_folder import load_folder
    from koch_siamese.models.siamese import get_photo_size
    from koch_siamese.reporting import figures

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what has been said
        characters, names = load_folder(
            SUPPORT.value, recognizer.crop, get_photo_size(recognizer.model)
        )
    picture = figures.draw_answers(
        drawings,
        characters.images,
        [names[i] for i in characters.character],
        answers,
        titles,
    )
    figures.save_figure(picture, Path(FIGURE.value))


def main():
    """Answers each query in a line, except those that cannot be read."""
    _check_flags()
    with cli.counting_skipped_files() as skipped:
        paths = _list_files()
        import_tensorflow()
        recognizer, thresholds = _open_gallery()
        cli.note_reading(recognizer.crop, recognizer.model)
        _update(recognizer)
        recognizer.thresholds = thresholds
        queries, complaints = _read_queries(recognizer, paths)
    if not queries:
        print(f"{GALLERY.value}: {len(recognizer.names)} characters")
        return
    import numpy as np

    drawings = np.stack(list(queries.values()))
    with cli.counting_skipped_files():
        answers = recognizer.classify_drawings(
            drawings, max(TOP_K.value, 2), flags.FLAGS.threshold
        )
    by_path = dict(zip(queries, answers, strict=True))
    _print_answers(by_path, complaints, skipped)
    if answers[0].threshold is None:
        cli.note(
            "the model has no thresholds, so the best character is always "
            "the answer: give --threshold, or use Recognizer.calibrate."
        )
    if FIGURE.value:
        _draw(recognizer, drawings, answers, [path.name for path in queries])
    if complaints:
        from koch_siamese.data.image_files import raise_complaints

        raise_complaints(list(complaints.values()), len(paths))


if __name__ == "__main__":
    cli.run(main)
