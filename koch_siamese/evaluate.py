r"""Evaluates a trained model, or a baseline, on one-shot trials.

    python -m koch_siamese.evaluate --workdir=runs/quickstart
    python -m koch_siamese.evaluate --model=hausdorff --protocol=lake

The result is printed, and written to the run's results/ if there is a run,
and to --output.
"""

import dataclasses
from pathlib import Path

from absl import flags

from koch_siamese import cli
from koch_siamese.errors import InputError
from koch_siamese.runs.settings import BACKGROUNDS, PROTOCOLS, Settings

cli.define_model_flags(
    "A model file, or a baseline: pixels_cosine, pixels_euclidean, hausdorff",
    without="",
)
PROTOCOL = flags.DEFINE_enum(
    "protocol",
    "within_alphabet",
    [*PROTOCOLS, "mnist"],
    "What to measure: the official 400 trials of Omniglot, random trials "
    "within alphabets or across them, random pairs, same or different, or "
    "trials over the labels of another data set, by default MNIST's digits.",
)
DATASET = flags.DEFINE_string(
    "dataset",
    None,
    "Characters to test on: glyphs, omniglot, folder, your own images in "
    "--data_dir, or any TFDS data set of images and labels, such as "
    "emnist/letters. Default: the run's.",
)
BACKGROUND = flags.DEFINE_enum(
    "background",
    None,
    BACKGROUNDS,
    "Omniglot's drawers, see train: koch leaves four of 20 to test on. "
    "Default: the run's.",
)
SPLIT = flags.DEFINE_enum(
    "split",
    "test",
    ["test", "validation", "evaluation", "all"],
    "Which alphabets to test on; evaluation: Omniglot's test and validation "
    "together; all: of a folder, all characters.",
)
CROP = flags.DEFINE_bool(
    "crop",
    None,
    "Cut a folder's images to their ink. Default: as the run; without one as "
    "classify, true.",
)
NUM_TRIALS = flags.DEFINE_integer(
    "num_trials",
    None,
    "Random trials, or pairs. Default: the run's; without one 1000.",
    lower_bound=2,
)
WAYS = flags.DEFINE_integer(
    "ways",
    None,
    "Candidate characters in a trial. Default: the run's; without one 20; of "
    "mnist 10.",
    lower_bound=1,
)
SHOTS = flags.DEFINE_integer(
    "shots",
    None,
    "Drawings of each candidate. Default: the run's; without one 1.",
    lower_bound=1,
)
SEED = flags.DEFINE_integer(
    "seed",
    None,
    "Decides the trials. Default: the run's; without one 0.",
    lower_bound=0,
)
OUTPUT = flags.DEFINE_string(
    "output", None, "A file for the result, as JSON; needs no run."
)


OPTION_NAMES = {
    "num_trials": "{}trials",
    "ways": "{}ways",
    "shots": "{}shots",
    "seed": "seed{}",
}
# What the official trials are, whatever flags say.
LAKE = {
    "dataset": "omniglot",
    "background": "original",
    "split": "test",
    "num_trials": 400,
    "ways": 20,
    "shots": 1,
}


def _check_lake():
    for name, value in LAKE.items():
        given = flags.FLAGS[name].value
        if PROTOCOL.value == "lake" and given not in (None, value):
            raise InputError(
                f"--{name}={given} is not of --protocol=lake, whose trials are "
                f"fixed ({name}: {value}): leave it out, or give another "
                "--protocol."
            )


def _read_run():
    """The run's directory and settings, if one is given."""
    from koch_siamese.runs.directory import Run

    if not flags.FLAGS.workdir:
        return None, Settings(num_trials=1000)
    run = Run(flags.FLAGS.workdir)
    return run, run.read_settings()


def _build_scorer(model):
    from koch_siamese.evaluation.baselines import BASELINES
    from koch_siamese.evaluation.scoring import SiameseScorer
    from koch_siamese.models.loading import load_model

    if model in BASELINES:
        return BASELINES[model]()
    return SiameseScorer(load_model(model))


def _crop(run, settings):
    """Whether to cut a folder's images: what the model is made for."""
    if CROP.value is not None:
        return CROP.value
    return settings.crop if run else True


def _default_dataset(settings):
    return "mnist" if PROTOCOL.value == "mnist" else settings.dataset


def _trial_options(settings):
    """What decides the trials: the flags, and for others the run."""
    given = {
        name: flags.FLAGS[name].value
        for name in ("num_trials", "ways", "shots", "seed")
    }
    ways = 10 if PROTOCOL.value == "mnist" else settings.ways
    own = {name: getattr(settings, name) for name in given} | {"ways": ways}
    return own | {k: x for k, x in given.items() if x is not None}


def _name(settings):
    """Names a result in a run by its protocol and what is not the run's own."""
    protocol = PROTOCOL.value
    parts = [protocol]
    if protocol != "lake":  # which is always the same
        expected = _default_dataset(settings)
        asked = (DATASET.value or expected, BACKGROUND.value, SPLIT.value)
        own = (expected, settings.background, "test")
        parts += [
            x for x, y in zip(asked, own, strict=True) if x not in (None, y)
        ]
        given, own = _trial_options(settings), dataclasses.asdict(settings)
        parts += [
            form.format(given[name])
            for name, form in OPTION_NAMES.items()
            if given[name] != own[name]
        ]
    if flags.FLAGS.model:
        parts.append(flags.FLAGS.model)
    return "_".join(parts).replace("/", "_")


def main():
    """Measures, prints and writes one result."""
    if OUTPUT.value and Path(OUTPUT.value).is_dir():
        raise InputError(
            f"--output={OUTPUT.value} is a folder: expected the file to write."
        )
    _check_lake()
    model = cli.model_path()
    run, settings = _read_run()
    cli.import_tensorflow()
    from koch_siamese.data.sources import DataSource
    from koch_siamese.evaluation.protocols import (
        evaluate_protocol,
        format_results,
    )
    from koch_siamese.runs.results import write_result

    result = evaluate_protocol(
        _build_scorer(model),
        PROTOCOL.value,
        DataSource(
            DATASET.value or _default_dataset(settings),
            BACKGROUND.value or settings.background,
            cli.DATA_DIR.value,
            cli.MANUAL_DIR.value,
            _crop(run, settings),
        ),
        split=SPLIT.value,
        **_trial_options(settings),
    )
    result["model"] = model
    is_runs_own = run and not flags.FLAGS.model
    result |= run.origin() if is_runs_own else {"flagfile": None}
    print(format_results([result]))
    if run:
        path = run.write_result(_name(settings), result)
        print(f"Written to {path}")
    if OUTPUT.value:
        write_result(Path(OUTPUT.value), result)
        print(f"Written to {OUTPUT.value}")


if __name__ == "__main__":
    cli.run(main)
