r"""Evaluates a trained model, or a baseline, on one-shot trials.

    python -m koch_siamese.evaluate --workdir=runs/quickstart
    python -m koch_siamese.evaluate --model=hausdorff --protocol=lake

The result is printed, and written to the run's results/ if there is a run.
"""

from absl import flags

from koch_siamese import common_flags
from koch_siamese.errors import InputError
from koch_siamese.settings import PROTOCOLS, Settings

WORKDIR = flags.DEFINE_string("workdir", None, "The run's directory.")
MODEL = flags.DEFINE_string(
    "model",
    None,
    "A model file, or a baseline: pixels_cosine, pixels_euclidean, hausdorff. "
    "Default: model.keras of the run.",
)
PROTOCOL = flags.DEFINE_enum(
    "protocol",
    "within_alphabet",
    PROTOCOLS,
    "What to measure: the official 400 trials of Omniglot, or random trials "
    "within alphabets or across them.",
)
DATASET = flags.DEFINE_string(
    "dataset",
    None,
    "Characters to test on: glyphs or omniglot. Default: the run's.",
)
SPLIT = flags.DEFINE_enum(
    "split", "test", ["test", "validation"], "Which alphabets to test on."
)
NUM_TRIALS = flags.DEFINE_integer(
    "num_trials", 1000, "Random trials.", lower_bound=1
)
WAYS = flags.DEFINE_integer(
    "ways", 20, "Candidate characters in a trial.", lower_bound=1
)
SHOTS = flags.DEFINE_integer(
    "shots", 1, "Drawings of each candidate.", lower_bound=1
)
SEED = flags.DEFINE_integer("seed", 0, "Decides the trials.", lower_bound=0)


def _read_run():
    """The run's directory and settings, if one is given."""
    from koch_siamese.runs import RunDirectory

    if not WORKDIR.value:
        if not MODEL.value:
            raise InputError(
                "Nothing to evaluate: give --workdir of a training, or "
                "--model=FILE, or a baseline such as --model=pixels_cosine."
            )
        return None, Settings()
    run = RunDirectory(WORKDIR.value)
    return run, run.read_settings()


def _build_scorer(run):
    from koch_siamese.baselines import BASELINES
    from koch_siamese.networks import load_model
    from koch_siamese.scoring import SiameseScorer

    if MODEL.value in BASELINES:
        return BASELINES[MODEL.value]()
    return SiameseScorer(load_model(MODEL.value or run.model))


def main():
    """Measures, prints and writes one result."""
    run, settings = _read_run()
    common_flags.import_tensorflow()
    from koch_siamese.protocols import evaluate_with_baseline, format_results

    result = evaluate_with_baseline(
        _build_scorer(run),
        PROTOCOL.value,
        dataset=DATASET.value or settings.dataset,
        background=settings.background,
        split=SPLIT.value,
        num_trials=NUM_TRIALS.value,
        ways=WAYS.value,
        shots=SHOTS.value,
        seed=SEED.value,
        data_dir=common_flags.DATA_DIR.value,
        manual_dir=common_flags.MANUAL_DIR.value,
    )
    result["model"] = MODEL.value or str(run.model)
    result["flagfile"] = str(run.flags) if run else None
    print(format_results([result]))
    if run:
        name = PROTOCOL.value
        if MODEL.value:
            name += "_" + MODEL.value.replace("/", "_")
        print(f"Written to {run.write_result(name, result)}")


if __name__ == "__main__":
    common_flags.run(main)
