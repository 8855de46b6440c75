r"""Recognizes drawings, given one or more drawings of each character.

    python -m koch_siamese.classify --model=FILE --support=DIR --query=DIR

--support is a folder of images, named by what they show (ka.png), or of a
folder of images for each character. Each query gets the best character, or
"none of these" if even the best scores below the model's threshold.
"""

import dataclasses
import json
from pathlib import Path

from absl import flags

from koch_siamese import cli
from koch_siamese.backend import import_tensorflow
from koch_siamese.errors import InputError

SUPPORT = flags.DEFINE_string(
    "support", None, "A folder of drawings of the characters to choose among."
)
QUERY = flags.DEFINE_string(
    "query", None, "The drawing to recognize, or a folder of them."
)
GALLERY = flags.DEFINE_string(
    "gallery",
    None,
    "A file that keeps the embedded supports. With --support, the characters "
    "of that folder are added to it, in place of those of the same name.",
)
REMOVE = flags.DEFINE_list(
    "remove", [], "Characters to remove from the gallery."
)
JSON = flags.DEFINE_bool("json", False, "Print a line of JSON for each query.")
FIGURE = flags.DEFINE_string(
    "figure", None, "Draw queries, characters and scores into this PNG file."
)
cli.define_model_flags()
cli.define_crop_flag()


def _check_flags():
    """What is wrong with the flags is said before TensorFlow is imported."""
    if not (SUPPORT.value or GALLERY.value):
        raise InputError(
            "No characters to choose among: give --support, a folder of "
            "drawings, or --gallery, a file made from one."
        )
    if REMOVE.value and not GALLERY.value:
        raise InputError("--remove is for a gallery: give --gallery=FILE too.")
    if not (QUERY.value or GALLERY.value):
        raise InputError("Nothing to recognize: give --query=FILE or a folder.")
    if FIGURE.value and not (SUPPORT.value and QUERY.value):
        raise InputError(
            "--figure shows queries beside supports: give --query and "
            "--support too."
        )
    if FIGURE.value and not FIGURE.value.endswith(".png"):
        raise InputError(
            f"--figure={FIGURE.value} must be a file that ends in .png."
        )


def _read_support():
    """Supports and their names, if a folder is given."""
    from koch_siamese.data.image_folder import load_folder

    if not SUPPORT.value:
        return None, ()
    characters, names = load_folder(SUPPORT.value, flags.FLAGS.crop)
    return characters.images, [names[i] for i in characters.character]


def _read_queries():
    """Queries by path, and what is wrong with those that cannot be read.

    Raises:
        InputError: not one can be read.
    """
    from koch_siamese.data.image_files import list_images

    queries, complaints = {}, {}
    for path in list_images(QUERY.value) if QUERY.value else ():
        try:
            queries[path] = cli.read_drawing(path)
        except InputError as error:
            complaints[path] = error
    if complaints and not queries:
        raise next(iter(complaints.values()))
    return queries, complaints


def _build_gallery(scorer, fingerprint, images, names):
    """The gallery of the flags, stored if it has a file."""
    import numpy as np

    from koch_siamese.inference.gallery import Gallery

    path, crop = GALLERY.value, flags.FLAGS.crop
    if path and (Path(path).exists() or not names):
        gallery = Gallery.load(path, fingerprint, crop)
    else:
        empty = np.empty((0, scorer.dim), np.float32)
        gallery = Gallery((), empty, fingerprint, crop)
    gallery = gallery.without(REMOVE.value)
    if names:
        gallery = gallery.add(names, scorer.embed(images))
    if QUERY.value and not gallery.names:
        raise InputError(
            f"The gallery {path} has no characters to choose among: add some "
            "with --support."
        )
    if path and (names or REMOVE.value):
        gallery.save(path)
    return gallery


def _to_json(path, answer):
    fields = {"query": str(path)} | dataclasses.asdict(answer)
    return json.dumps(fields)


def _print_answers(answers, complaints):
    """A line for each query: JSON, or a row of a table."""
    if JSON.value:
        for path, answer in answers.items():
            print(_to_json(path, answer))
        for path, error in complaints.items():
            print(json.dumps({"query": str(path), "error": str(error)}))
    else:
        from koch_siamese.reporting.text import format_answers

        print(format_answers(answers))


def main():
    """Answers each query by a line.

    Those that cannot be read do not keep the others from being answered.
    """
    _check_flags()
    model_path = cli.model_path(default="pretrained")
    images, names = _read_support()
    queries, complaints = _read_queries()
    import_tensorflow()
    import numpy as np

    from koch_siamese.inference.gallery import answer_queries, score_characters
    from koch_siamese.models.loading import load_model
    from koch_siamese.models.scorer import SiameseScorer
    from koch_siamese.models.siamese import compute_fingerprint, get_thresholds

    model = load_model(model_path)
    scorer = SiameseScorer(model)
    fingerprint = compute_fingerprint(model)
    gallery = _build_gallery(scorer, fingerprint, images, names)
    if not queries:
        print(f"{GALLERY.value}: {len(gallery.characters)} characters")
        return
    drawings = np.stack(list(queries.values()))
    scores = score_characters(scorer, gallery, scorer.embed(drawings))
    thresholds = get_thresholds(model)
    answers = answer_queries(scores, gallery.characters, thresholds)
    _print_answers(dict(zip(queries, answers, strict=True)), complaints)
    if FIGURE.value:
        from koch_siamese.reporting import figures

        picture = figures.draw_answers(
            drawings, images, names, answers, [path.name for path in queries]
        )
        figures.save_figure(picture, Path(FIGURE.value))
    if complaints:
        num, first = len(complaints), next(iter(complaints.values()))
        others = "".join(f" Also {str(path)!r}." for path in [*complaints][1:])
        raise InputError(
            f"{num} of {num + len(queries)} queries have no answer; {first}"
            f"{others}"
        )


if __name__ == "__main__":
    cli.run(main)
