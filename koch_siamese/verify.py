"""Says whether two drawings show the same character.

python -m koch_siamese.verify --model=FILE --first=A.png --second=B.png
"""

import json

from absl import flags

from koch_siamese import cli
from koch_siamese.backend import import_tensorflow
from koch_siamese.errors import InputError

FIRST = flags.DEFINE_string("first", None, "A drawing.")
SECOND = flags.DEFINE_string("second", None, "Another drawing.")
JSON = flags.DEFINE_bool("json", False, "Print a line of JSON.")
cli.define_model_flags()
cli.define_crop_flag()


def main():
    """Prints same or different, and how sure that is."""
    if not (FIRST.value and SECOND.value):
        raise InputError(
            "Two drawings are expected: give --first=FILE and --second=FILE."
        )
    model_path = cli.model_path(default="pretrained")
    first, second = map(cli.read_drawing, (FIRST.value, SECOND.value))
    import_tensorflow()
    import numpy as np

    from koch_siamese.models import loading
    from koch_siamese.models.scorer import SiameseScorer
    from koch_siamese.models.siamese import get_thresholds
    from koch_siamese.models.thresholds import compute_probability

    model = loading.load_model(model_path)
    thresholds = get_thresholds(model)
    scorer = SiameseScorer(model)
    embeddings = scorer.embed(np.stack([first, second]))
    score = float(scorer.score(embeddings[:1], embeddings[1:])[0])
    threshold = thresholds.same if thresholds else 0.0
    verdict = {
        "same": score >= threshold,
        "probability": compute_probability(score, thresholds),
        "score": score,
        "threshold": threshold,
    }
    if JSON.value:
        print(json.dumps(verdict))
        return
    from koch_siamese.reporting.text import format_verdict

    print(format_verdict(verdict))


if __name__ == "__main__":
    cli.run(main)
