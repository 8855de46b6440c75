r"""Evaluates a trained model, or a baseline, on one-shot trials.

    python -m koch_siamese.evaluate --workdir=runs/quickstart
    python -m koch_siamese.evaluate --model=hausdorff --protocol=lake

The result is printed, and written to the run's results/ if there is a run,
and to --output.
"""

from pathlib import Path

from absl import flags

from koch_siamese import common_flags
from koch_siamese.errors import InputError
from koch_siamese.settings import BACKGROUNDS, PROTOCOLS, Settings

common_flags.define_model_flags(
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
    "num_trials", 1000, "Random trials, or pairs.", lower_bound=2
)
WAYS = flags.DEFINE_integer(
    "ways",
    None,
    "Candidate characters in a trial. Default: 20, and 10 of mnist.",
    lower_bound=1,
)
SHOTS = flags.DEFINE_integer(
    "shots", 1, "Drawings of each candidate.", lower_bound=1
)
SEED = flags.DEFINE_integer("seed", 0, "Decides the trials.", lower_bound=0)
OUTPUT = flags.DEFINE_string(
    "output", None, "A file for the result, as JSON; needs no run."
)


def _read_run():
    """The run's directory and settings, if one is given."""
    from koch_siamese.runs import RunDirectory

    if not flags.FLAGS.workdir:
        return None, Settings()
    run = RunDirectory(flags.FLAGS.workdir)
    return run, run.read_settings()


def _build_scorer(model):
    from koch_siamese.baselines import BASELINES
    from koch_siamese.model_files import load_model
    from koch_siamese.scoring import SiameseScorer

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


def _name(settings):
    """Names a result in a run by its protocol and what is not the run's own."""
    protocol = PROTOCOL.value
    parts = [protocol]
    if protocol != "lake":  # which has one data set
        expected = _default_dataset(settings)
        asked = (DATASET.value or expected, BACKGROUND.value, SPLIT.value)
        own = (expected, settings.background, "test")
        parts += [
            x for x, y in zip(asked, own, strict=True) if x not in (None, y)
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
    model = common_flags.model_path()
    run, settings = _read_run()
    common_flags.import_tensorflow()
    from koch_siamese.datasets import DataSource
    from koch_siamese.protocols import evaluate_with_baseline, format_results
    from koch_siamese.result_files import write_result

    result = evaluate_with_baseline(
        _build_scorer(model),
        PROTOCOL.value,
        DataSource(
            DATASET.value or _default_dataset(settings),
            BACKGROUND.value or settings.background,
            common_flags.DATA_DIR.value,
            common_flags.MANUAL_DIR.value,
            _crop(run, settings),
        ),
        split=SPLIT.value,
        num_trials=NUM_TRIALS.value,
        ways=WAYS.value or (10 if PROTOCOL.value == "mnist" else 20),
        shots=SHOTS.value,
        seed=SEED.value,
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
    common_flags.run(main)
