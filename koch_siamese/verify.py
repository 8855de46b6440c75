"""Decides whether two images show the same character.

    python -m koch_siamese.verify --first=a.jpg --second=b.jpg

Prints "same" or "different", the score, and the probability that they show the
same character.
"""

import json
from pathlib import Path

from absl import flags

from koch_siamese import cli, model_flags
from koch_siamese.backend import import_tensorflow
from koch_siamese.errors import InputError
from koch_siamese.runs.path_flags import define_path

FIRST = define_path("first", None, "The first image.")
SECOND = define_path("second", None, "The second image.")
FIGURE = define_path(
    "figure", None, "A PNG file that shows both images as they were read."
)
model_flags.define_recognizer_flags()


def _check_flags():
    from koch_siamese.data.image_paths import require_file

    if not (FIRST.value and SECOND.value):
        raise InputError(
            "Two images are expected: give --first=FILE and --second=FILE."
        )
    cli.check_figure(FIGURE.value)
    images = [require_file(x) for x in (FIRST.value, SECOND.value)]
    if FIGURE.value:
        cli.refuse_inputs("figure", [Path(FIGURE.value)], images)


def main():
    """Prints same or different, with the score and the probability."""
    _check_flags()
    import_tensorflow()
    recognizer = model_flags.load_recognizer()
    model_flags.note_reading(recognizer.crop, recognizer.model)
    first, second = map(recognizer.read, (FIRST.value, SECOND.value))
    (verdict,) = recognizer.verify_drawings(
        [first], [second], flags.FLAGS.threshold
    )
    if flags.FLAGS.json:
        print(json.dumps(verdict.to_json()))
    else:
        from koch_siamese.reporting.text import format_verdict

        print(format_verdict(verdict))
    model_flags.note_missing_threshold(recognizer, "there is only a score")
    if FIGURE.value:
        from koch_siamese.reporting import figures

        picture = figures.draw_verdict(first, second, verdict)
        figures.save_figure(picture, Path(FIGURE.value))


if __name__ == "__main__":
    cli.run(main, without=cli.DATA_FLAGS)
