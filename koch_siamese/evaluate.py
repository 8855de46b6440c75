r"""Evaluates a trained model, or a baseline, on one-shot trials.

    python -m koch_siamese.evaluate --workdir=runs/quickstart
    python -m koch_siamese.evaluate --model=hausdorff --protocol=lake

Prints the result, and writes it to results/ of the run if there is one, and to
--output.
"""

from pathlib import Path

from absl import flags

from koch_siamese import cli, model_flags
from koch_siamese.backend import import_tensorflow
from koch_siamese.data.characters import are_same_images
from koch_siamese.data.omniglot import BACKGROUNDS
from koch_siamese.data.sources import check_folder
from koch_siamese.data.splits import MissingGroupError
from koch_siamese.errors import InputError
from koch_siamese.evaluation.evaluator import Evaluator
from koch_siamese.evaluation.loading import (
    is_trained_on,
    load_scorer,
    make_test_source,
)
from koch_siamese.evaluation.protocols import DEFAULTS, LOWEST, PROTOCOLS
from koch_siamese.images import CHANNELS, IMAGE_SIZE
from koch_siamese.reporting.text import format_results, format_worst_classes
from koch_siamese.runs.directory import Run
from koch_siamese.runs.path_flags import define_path
from koch_siamese.runs.provenance import describe_origin
from koch_siamese.runs.results import (
    flatten,
    read_json,
    write_csv,
    write_result,
)
from koch_siamese.runs.settings import Settings

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
    "testing. Default: that of the model's run, or of --workdir.",
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
    lower_bound=LOWEST["num_trials"],
)
WAYS = flags.DEFINE_integer(
    "ways",
    None,
    "Number of candidates in a trial. Default: the run's, or else 20; with "
    "--protocol=mnist, 10; never more than there are classes.",
    lower_bound=LOWEST["ways"],
)
SHOTS = flags.DEFINE_integer(
    "shots",
    None,
    "Number of images of each candidate. Default: the run's, or else 1.",
    lower_bound=LOWEST["shots"],
)
SEED = flags.DEFINE_integer(
    "seed",
    None,
    "Random seed of the trials. Default: the run's, or else 0.",
    lower_bound=LOWEST["seed"],
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
model_flags.define_model_flags(
    f"{model_flags.SAVED_MODEL}, a baseline (pixels_cosine, pixels_euclidean, "
    "hausdorff)",
    without="",
)

# How the name of a result shows options that differ from the run's.
OPTION_NAMES = {
    "num_trials": "{}trials",
    "ways": "{}ways",
    "shots": "{}shots",
    "seed": "seed{}",
}


def _check_flags():
    """Refuses flags without effect, and names of files that do not fit."""
    names = ("dataset", "background", *DEFAULTS)
    given = {name: flags.FLAGS[name].value for name in names}
    PROTOCOLS[PROTOCOL.value].refuse_unused(given, "--")
    if OUTPUT.value and Path(OUTPUT.value).is_dir():
        raise InputError(
            f"--output={OUTPUT.value} is a folder: expected the file to write."
        )
    read = map(Path, filter(None, (cli.DATA_DIR.value, flags.FLAGS.model)))
    inputs = [path for path in read if path.is_file()]
    written = {}
    for flag in _list_files():
        if flag is not OUTPUT and not flag.value.endswith(".csv"):
            raise InputError(
                f"--{flag.name}={flag.value} must be a file that ends in .csv."
            )
        other = written.setdefault(Path(flag.value).resolve(), flag.name)
        if other != flag.name:
            raise InputError(
                f"--{other} and --{flag.name} are both {flag.value}: give each "
                "a file of its own."
            )
        cli.refuse_inputs(flag.name, [Path(flag.value)], inputs)


def _list_files():
    """Lists the flags that name a file to write."""
    return [x for x in (OUTPUT, PREDICTIONS, PER_CLASS) if x.value]


def _check_image_kind(siamese):
    """Raises an error if a model was trained on another kind of images."""
    from koch_siamese.models.siamese import get_image_kind

    trained = get_image_kind(siamese)
    if IMAGE_KIND.value not in (None, trained):
        raise InputError(
            f"--image_kind={IMAGE_KIND.value}, but the model was trained on "
            f"{trained}s: remove it, or give another model."
        )


def _name_dataset():
    """Returns the data set that the flags name, which may be prepared."""
    protocol = PROTOCOLS[PROTOCOL.value]
    own = {**protocol.defaults, **protocol.fixed}.get("dataset")
    return own if DATASET.value is None else DATASET.value


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


def _make_evaluator(model, run, dataset):
    """Makes the evaluator on a data set; by default, on the model's own."""
    from koch_siamese.inference import storage

    if storage.is_folder(Path(model)):
        model = storage.load_model_of(model)
    siamese, scorer, own_run = load_scorer(model)
    photo_size = None  # as in the training
    if siamese:
        _check_image_kind(siamese)
        if CROP.value is not None:
            model_flags.note_reading(CROP.value, siamese)
    elif IMAGE_KIND.value == "photo":
        photo_size = IMAGE_SIZE
    source = make_test_source(
        _find_dataset(siamese) if dataset is None else dataset,
        siamese,
        own_run or run,
        background=BACKGROUND.value,
        data_dir=cli.DATA_DIR.value,
        manual_dir=cli.MANUAL_DIR.value,
        crop=CROP.value,
        photo_size=photo_size,
        may_prepare=_name_dataset() is not None,
    )
    _check_groups(source)
    return Evaluator(scorer, source, siamese, own_run)


def _check_groups(source):
    """Raises an error if a folder lacks the groups of the training."""
    if source.split_by != "group" or SPLIT.value == "all":
        return
    try:
        source.load(SPLIT.value or DEFAULTS["split"])
    except MissingGroupError as error:
        raise InputError(
            f"{error} The folder of the training was split by groups: to test "
            "on another folder, give --split=all."
        ) from error


def _choose_options(evaluator, settings):
    """Returns the options of the evaluation, from flags or by default."""
    given = {name: flags.FLAGS[name].value for name in DEFAULTS}
    own = {name: getattr(settings, name) for name in OPTION_NAMES}
    return evaluator.choose_options(PROTOCOL.value, given, DEFAULTS | own)


def _name(settings, result, options, is_own):
    """Names a result by its protocol and options that differ from the run's."""
    protocol = PROTOCOLS[PROTOCOL.value]
    parts = [protocol.name]
    if not protocol.fixed:
        defaults = {
            "dataset": settings.dataset,
            "background": settings.background,
            "split": DEFAULTS["split"],
        } | protocol.defaults
        data = {"dataset": result["dataset"]}
        if result["dataset"] == "omniglot":
            data["background"] = result["background"]
        if "data_dir" in result and not is_own:
            data["dataset"] = f"folder/{result['data_dir']}"
        data["split"] = options["split"]
        parts += [x for name, x in data.items() if x != defaults[name]]
        if CROP.value not in (None, settings.crop):
            parts.append("crop" if CROP.value else "nocrop")
        parts += [
            form.format(options[name])
            for name, form in OPTION_NAMES.items()
            if options[name]
            != protocol.defaults.get(name, getattr(settings, name))
        ]
    if flags.FLAGS.model:
        parts.append(flags.FLAGS.model)
    return "_".join(parts).replace("/", "_")


def _distinguish(run, name, result):
    """Returns another name if a result of another folder has this one."""
    path, key = run.results / f"{name}.json", "data_fingerprint"
    if key not in result or not path.exists():
        return name
    # An older result has no fingerprint and is replaced.
    images = read_json(path).get(key, ""), result[key]
    return name if are_same_images(images) else f"{name}_{result[key][:8]}"


def _write_files(evaluator, options, result, classes):
    """Writes the files that flags name."""
    if OUTPUT.value and OUTPUT.value.endswith(".csv"):
        row = flatten(result | describe_origin())
        write_csv(Path(OUTPUT.value), [row])
    elif OUTPUT.value:
        write_result(Path(OUTPUT.value), result)
    if PREDICTIONS.value:
        rows = evaluator.list_predictions(PROTOCOL.value, **options)
        write_csv(Path(PREDICTIONS.value), rows)
    if PER_CLASS.value:
        write_csv(Path(PER_CLASS.value), classes)
    for flag in _list_files():
        print(f"Written to {flag.value}")


def main():
    """Measures, prints and writes one result."""
    _check_flags()
    model = model_flags.model_path()
    run, settings = None, Settings(num_trials=1000)
    if flags.FLAGS.workdir:
        run = Run(flags.FLAGS.workdir)
        settings = run.read_settings()
    dataset = _name_dataset()
    if dataset is None and run:
        dataset = settings.dataset
    check_folder(dataset, cli.DATA_DIR.value)
    import_tensorflow()
    model_flags.import_own_network()
    evaluator = _make_evaluator(model, run, dataset)
    options = _choose_options(evaluator, settings)
    result = evaluator.evaluate(PROTOCOL.value, **options)
    result["model"] = model
    if run and not flags.FLAGS.model:
        result |= run.describe_training()
    else:
        result["flagfile"] = None
    print(format_results([result]))
    classes = evaluator.list_classes(PROTOCOL.value, **options)
    worst = format_worst_classes(classes)
    if worst:
        print(worst)
    if run:
        is_own = is_trained_on(evaluator.source, run)
        name = _name(settings, result, options, is_own)
        if not is_own:
            name = _distinguish(run, name, result)
        print(f"Written to {run.write_result(name, result)}")
    _write_files(evaluator, options, result, classes)


if __name__ == "__main__":
    cli.run(main)
