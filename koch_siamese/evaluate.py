r"""Evaluates a trained model, or a baseline, on one-shot trials.

    python -m koch_siamese.evaluate --workdir=runs/quickstart
    python -m koch_siamese.evaluate --model=hausdorff --protocol=lake

Prints the result, and writes it to results/ of the run if there is one, and to
--output.
"""

from pathlib import Path

from absl import flags

from koch_siamese import cli
from koch_siamese.backend import import_tensorflow
from koch_siamese.data.omniglot import BACKGROUNDS
from koch_siamese.data.sources import DataSource
from koch_siamese.errors import InputError
from koch_siamese.evaluation.evaluator import Evaluator
from koch_siamese.evaluation.protocols import PROTOCOLS
from koch_siamese.images import CHANNELS, IMAGE_SIZE
from koch_siamese.runs.path_flags import define_path
from koch_siamese.runs.settings import Settings

cli.define_model_flags(
    "A model file, a baseline (pixels_cosine, pixels_euclidean, hausdorff)",
    without="",
)
PROTOCOL = flags.DEFINE_enum(
    "protocol",
    "within_alphabet",
    list(PROTOCOLS),
    "What to measure. "
    + "; ".join(f"{name}: {x.about}" for name, x in PROTOCOLS.items())
    + ".",
)
DATASET = flags.DEFINE_string(
    "dataset",
    None,
    "The data set to test on: glyphs, omniglot, folder (your own images in "
    "--data_dir), or any TFDS data set of images and labels, such as "
    "emnist/letters. Default: the one that the model was trained on.",
)
BACKGROUND = flags.DEFINE_enum(
    "background",
    None,
    list(BACKGROUNDS),
    "How Omniglot's drawers are split, see train: koch keeps four of 20 for "
    "testing. Default: the run's.",
)
SPLIT = flags.DEFINE_enum(
    "split",
    None,
    ["test", "validation", "evaluation", "all"],
    "Which alphabets to test on. evaluation: Omniglot's test and validation "
    "alphabets together; all: every class of a folder. Default: test; with "
    "--protocol=tutorial, evaluation.",
)
CROP = flags.DEFINE_bool(
    "crop",
    None,
    "Crop a folder's images to their ink. Default: as in the training.",
)
IMAGE_KIND = flags.DEFINE_enum(
    "image_kind",
    None,
    list(CHANNELS),
    "How images are read, see train. Default: as in the training; for a "
    "baseline, drawing.",
)
NUM_TRIALS = flags.DEFINE_integer(
    "num_trials",
    None,
    "Number of random trials or pairs. Default: the run's, or else 1000.",
    lower_bound=2,
)
WAYS = flags.DEFINE_integer(
    "ways",
    None,
    "Number of candidates in a trial. Default: the run's, or else 20; with "
    "--protocol=mnist, 10; never more than there are classes.",
    lower_bound=1,
)
SHOTS = flags.DEFINE_integer(
    "shots",
    None,
    "Number of images of each candidate. Default: the run's, or else 1.",
    lower_bound=1,
)
SEED = flags.DEFINE_integer(
    "seed",
    None,
    "Random seed of the trials. Default: the run's, or else 0.",
    lower_bound=0,
)
OUTPUT = define_path(
    "output",
    None,
    "A file for the result: JSON, or a table of one row if it ends in .csv.",
)
PREDICTIONS = define_path(
    "predictions",
    None,
    "A .csv file for the scores: of each candidate of each trial, or of each "
    "pair.",
)
PER_CLASS = define_path(
    "per_class",
    None,
    "A .csv file for the accuracy of each class: over the trials with a query "
    "of that class, or over its pairs.",
)

OPTION_NAMES = {
    "num_trials": "{}trials",
    "ways": "{}ways",
    "shots": "{}shots",
    "seed": "seed{}",
}


def _check_flags():
    """Refuses flags that the protocol does not use or sets itself."""
    protocol = PROTOCOLS[PROTOCOL.value]
    for name in set(OPTION_NAMES) - set(protocol.options) - set(protocol.fixed):
        if flags.FLAGS[name].value is not None:
            raise InputError(
                f"--{name}={flags.FLAGS[name].value} has no effect with "
                f"--protocol={protocol.name}: remove it."
            )
    for flag in (PREDICTIONS, PER_CLASS):
        if flag.value and not flag.value.endswith(".csv"):
            raise InputError(
                f"--{flag.name}={flag.value} must be a file that ends in .csv."
            )
    _require_different_files()
    for name, value in protocol.fixed.items():
        given = flags.FLAGS[name].value
        if given not in (None, value):
            raise InputError(
                f"--{name}={given} has no effect with "
                f"--protocol={PROTOCOL.value}, which always has {value}: "
                "remove it."
            )


def _require_different_files():
    """Refuses the same file for two flags, as one would overwrite the other."""
    names = {}
    for flag in (OUTPUT, PREDICTIONS, PER_CLASS):
        other = names.setdefault(flag.value, flag.name)
        if flag.value and other != flag.name:
            raise InputError(
                f"--{other} and --{flag.name} are both {flag.value}: give each "
                "a file of its own."
            )


def _read_run():
    """Returns the run and its settings, if --workdir is given."""
    from koch_siamese.runs.directory import Run

    if not flags.FLAGS.workdir:
        return None, Settings(num_trials=1000)
    run = Run(flags.FLAGS.workdir)
    return run, run.read_settings()


def _load(name):
    """Returns the model, or None for a baseline, and its scorer."""
    from koch_siamese.evaluation.baselines import BASELINES
    from koch_siamese.models.loading import load_model
    from koch_siamese.models.scorer import SiameseScorer

    if name in BASELINES:
        return None, BASELINES[name]()
    model = load_model(name)
    return model, SiameseScorer(model)


def _crop(run, settings, model):
    """Whether to crop a folder's images: by default, as in the training."""
    from koch_siamese.models.siamese import get_crop

    if run and settings.dataset == "folder":  # also for models before 0.2
        trained = settings.crop
    else:
        trained = get_crop(model) if model else True
    if CROP.value is None:
        return trained
    if model:
        cli.note_reading(CROP.value, model)
    return CROP.value


def _find_photo_size(model):
    """Returns the side of photos as read, in pixels; 0 for drawings.

    Raises:
        InputError: the model was trained on another kind of images.
    """
    from koch_siamese.models.siamese import get_photo_size

    kind = IMAGE_KIND.value
    if not model:
        return IMAGE_SIZE if kind == "photo" else 0
    size = get_photo_size(model)
    trained = "photo" if size else "drawing"
    if kind not in (None, trained):
        raise InputError(
            f"--image_kind={kind}, but the model was trained on {trained}s: "
            "remove it, or give another model."
        )
    return size


def _defaults(settings):
    """Returns the options of the evaluation that flags may change."""
    own = {
        name: getattr(settings, name)
        for name in ("dataset", "background", *OPTION_NAMES)
    }
    return own | {"split": "test"} | PROTOCOLS[PROTOCOL.value].defaults


def _choose(settings):
    """Returns the options of the evaluation, from flags or by default."""
    given = {name: flags.FLAGS[name].value for name in _defaults(settings)}
    return _defaults(settings) | {
        name: value for name, value in given.items() if value is not None
    }


def _get_groups(settings):
    """Returns how the run splits its folder into groups."""
    names = ("split_by", "training_groups", "validation_groups", "test_groups")
    return {name: getattr(settings, name) for name in names}


def _is_named():
    """Whether the flags name the data set, which may then be prepared."""
    protocol = PROTOCOLS[PROTOCOL.value]
    is_own = "dataset" in {**protocol.fixed, **protocol.defaults}
    return is_own or DATASET.value is not None


def _find_dataset(siamese):
    """Finds the data set that a model was trained on.

    Raises:
        InputError: the model does not record it.
    """
    from koch_siamese.models.siamese import get_dataset

    dataset = siamese and get_dataset(siamese)
    if not dataset:
        raise InputError(
            f"--model={flags.FLAGS.model} does not record its training data: "
            "give --dataset, such as --dataset=omniglot, or --dataset=folder "
            "with --data_dir."
        )
    return dataset


def _get_trained(run, settings, siamese):
    """Returns the data set that the scorer was trained on, if known."""
    from koch_siamese.models.siamese import get_dataset

    if run and not flags.FLAGS.model:
        return settings.dataset
    return get_dataset(siamese) if siamese else None


def _name(settings, chosen):
    """Names a result by its protocol and options that differ from the run's."""
    protocol = PROTOCOLS[PROTOCOL.value]
    parts = [protocol.name]
    if not protocol.fixed:
        defaults = _defaults(settings)
        parts += [
            chosen[name]
            for name in ("dataset", "background", "split")
            if chosen[name] != defaults[name]
        ]
        parts += [
            form.format(chosen[name])
            for name, form in OPTION_NAMES.items()
            if chosen[name] != getattr(settings, name)
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
    _check_flags()
    model = cli.model_path()
    run, settings = _read_run()
    import_tensorflow()
    from koch_siamese.reporting.text import format_results, format_worst_classes
    from koch_siamese.runs.provenance import describe_origin
    from koch_siamese.runs.results import flatten, write_csv, write_result

    cli.import_own_network()
    siamese, scorer = _load(model)
    chosen = _choose(settings)
    if not (run or _is_named()):
        chosen["dataset"] = _find_dataset(siamese)
    named = dict(chosen)
    trained = _get_trained(run, settings, siamese)
    source = DataSource(
        chosen.pop("dataset"),
        chosen.pop("background"),
        cli.DATA_DIR.value,
        cli.MANUAL_DIR.value,
        _crop(run, settings, siamese),
        _find_photo_size(siamese),
        may_prepare=_is_named(),
        # Another data set than the run's has other groups.
        **({} if _is_named() else _get_groups(settings)),
        split_labels=trained == named["dataset"],
    )
    evaluator = Evaluator(
        scorer,
        source,
        may_know_classes=bool(siamese) and trained in (None, source.dataset),
    )
    if WAYS.value is None:
        ways = evaluator.limit_ways(PROTOCOL.value, **chosen)
        chosen["ways"] = named["ways"] = ways
    result = evaluator.evaluate(PROTOCOL.value, **chosen)
    result["model"] = model
    is_runs_own = run and not flags.FLAGS.model
    result |= run.describe_training() if is_runs_own else {"flagfile": None}
    print(format_results([result]))
    classes = evaluator.list_classes(PROTOCOL.value, **chosen)
    worst = format_worst_classes(classes)
    if worst:
        print(worst)
    if run:
        path = run.write_result(_name(settings, named), result)
        print(f"Written to {path}")
    if OUTPUT.value:
        if OUTPUT.value.endswith(".csv"):
            result |= describe_origin()
            write_csv(Path(OUTPUT.value), [flatten(result)])
        else:
            write_result(Path(OUTPUT.value), result)
        print(f"Written to {OUTPUT.value}")
    if PREDICTIONS.value:
        rows = evaluator.list_predictions(PROTOCOL.value, **chosen)
        write_csv(Path(PREDICTIONS.value), rows)
        print(f"Written to {PREDICTIONS.value}")
    if PER_CLASS.value:
        write_csv(Path(PER_CLASS.value), classes)
        print(f"Written to {PER_CLASS.value}")


if __name__ == "__main__":
    cli.run(main)
