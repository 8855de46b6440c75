"""The drawings and trials that all sides of the benchmark use."""

from pathlib import Path

import numpy as np

from experiments.benchmark.options import Options
from koch_siamese.data.characters import Characters
from koch_siamese.data.sources import DataSource
from koch_siamese.evaluation.protocols import make_trials


def prepare(options: Options):
    """Writes `data.npz`: training drawings, test drawings and trials."""

    def measure():
        source = DataSource(options.dataset, data_dir=options.data_dir)
        training, test = source.load("training"), source.load("test")
        is_omniglot = options.dataset == "omniglot"
        trials = make_trials(
            "lake" if is_omniglot else "within_alphabet",
            test,
            num_trials=options.num_trials,
        )
        np.savez(
            Path(options.folder, "data.npz"),
            images=training.images,
            character=training.character,
            alphabet=training.alphabet,
            test_images=test.images,
            query=trials.query[: options.num_trials],
            support=trials.support[: options.num_trials],
            answer=trials.answer[: options.num_trials],
        )
        return {"drawings": len(training)}

    return (measure,)


def to_characters(data: dict[str, np.ndarray]) -> Characters:
    """The training drawings as the package has them."""
    return Characters(
        images=data["images"],
        character=data["character"],
        number=np.ones_like(data["character"]),
        alphabet=data["alphabet"],
        drawer=np.ones_like(data["character"]),
        alphabet_names=tuple(map(str, range(data["alphabet"].max() + 1))),
    )
