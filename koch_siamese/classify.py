r"""Recognizes images, given one or more images of each character.

    python -m koch_siamese.classify --support=known --query=new

--support is a folder with one image of each character, named after it
(ka.png), or with a folder of images for each (ka/1.png). Each query gets the
best character, or "none of these" if its score is below the threshold.
"""

import json
from pathlib import Path

from absl import flags

from koch_siamese import cli, model_flags
from koch_siamese.backend import import_tensorflow
from koch_siamese.errors import InputError
from koch_siamese.runs.path_flags import define_path

QUERY = define_path(
    "query", None, "The image to recognize, or a folder of images."
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
SUPPORT, GALLERY = model_flags.define_example_flags()
model_flags.define_recognizer_flags()

MAX_DRAWN = 24  # queries in the figure


def _check_flags():
    """Checks the flags before TensorFlow is imported."""
    if REMOVE.value and not GALLERY.value:
        raise InputError(
            "--remove needs the gallery to remove from: give --gallery too."
        )
    model_flags.require_examples()
    if not (QUERY.value or GALLERY.value):
        raise InputError("Nothing to recognize: give --query=FILE or a folder.")
    if FIGURE.value and not (SUPPORT.value and QUERY.value):
        raise InputError(
            "--figure shows queries beside known characters: give --query "
            "and --support too."
        )
    cli.check_figure(FIGURE.value)


def _list_files():
    """Lists the queries, and checks the files of --support and --figure."""
    from koch_siamese.data.image_folder import check_files
    from koch_siamese.data.image_paths import list_images

    examples = check_files(SUPPORT.value) if SUPPORT.value else []
    queries = list_images(QUERY.value) if QUERY.value else []
    if FIGURE.value:
        given = map(Path, (SUPPORT.value, QUERY.value))
        inputs = (*given, *examples, *queries)
        cli.refuse_inputs("figure", [Path(FIGURE.value)], inputs)
    return queries


def _classify(recognizer, paths, errors):
    """Classifies the queries that can be read; yields drawings and answers.

    Args:
        recognizer: the recognizer.
        paths: the queries.
        errors: a dict, to which those of the others are added by path.
    """
    import numpy as np

    from koch_siamese.data.image_errors import ImageError
    from koch_siamese.data.image_folder import show_progress
    from koch_siamese.evaluation.scoring import DRAWINGS_AT_ONCE

    for start in range(0, len(paths), DRAWINGS_AT_ONCE):
        read = {}
        for path in show_progress(paths[start : start + DRAWINGS_AT_ONCE]):
            try:
                read[path] = recognizer.read(path)
            except ImageError as error:
                errors[path] = error
        if read:
            drawings = np.stack(list(read.values()))
            answers = recognizer.classify_drawings(
                drawings, max(TOP_K.value, 2), flags.FLAGS.threshold
            )
            yield from zip(read, drawings, answers, strict=True)


def _to_json(path, answer):
    # At least two are asked for, so that there is a runner-up.
    found = {"query": str(path), **answer.to_json()}
    return found | {"candidates": found["candidates"][: TOP_K.value]}


def _print_gallery(num_characters, skipped):
    if not flags.FLAGS.json:
        print(f"{GALLERY.value}: {num_characters} characters")
        return
    line = {"gallery": GALLERY.value, "num_characters": num_characters}
    if skipped:
        line["skipped"] = dict(skipped)
    print(json.dumps(line))


def _print_answers(answers, errors, skipped):
    """Prints a line for each query: JSON, or a row of a table."""
    if not flags.FLAGS.json:
        from koch_siamese.reporting.text import format_answers

        if answers:
            print(format_answers(answers, TOP_K.value))
        return
    lines = [_to_json(path, answer) for path, answer in answers.items()]
    for path, error in errors.items():
        lines.append({"query": str(path), "error": str(error)})
    if skipped:
        lines.append({"skipped": dict(skipped)})
    for line in lines:
        print(json.dumps(line))


def _draw(drawings, examples, answers):
    from koch_siamese.reporting import figures

    picture = figures.draw_answers(
        drawings,
        list(examples.values()),
        list(examples),
        list(answers.values()),
        [path.name for path in answers],
        MAX_DRAWN,
    )
    figures.save_figure(picture, Path(FIGURE.value))


def main():
    """Prints an answer for each query that can be read."""
    from koch_siamese.data.image_errors import raise_image_errors

    _check_flags()
    with cli.counting_skipped_files() as skipped:
        paths = _list_files()
        import_tensorflow()
        recognizer, examples = model_flags.open_recognizer(REMOVE.value)
    if not paths:
        _print_gallery(len(recognizer.names), skipped)
        return
    answers, errors, drawings = {}, {}, []
    for path, drawing, answer in _classify(recognizer, paths, errors):
        answers[path] = answer
        if len(drawings) < MAX_DRAWN:
            drawings.append(drawing)
    _print_answers(answers, errors, skipped)
    if answers:
        model_flags.note_missing_threshold(recognizer)
        if len(answers) > 1:
            model_flags.note_few_names(
                [x.name for x in answers.values()],
                "images",
                "do they show known characters?",
            )
        if FIGURE.value:
            _draw(drawings, examples, answers)
    raise_image_errors(list(errors.values()), len(paths))


if __name__ == "__main__":
    cli.run(main, without=cli.DATA_FLAGS)
