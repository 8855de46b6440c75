"""Flags of commands that use a model, and the recognizer that they name."""

from collections.abc import Sequence
from pathlib import Path

from absl import flags

from koch_siamese.cli import note, refuse_nan
from koch_siamese.errors import InputError
from koch_siamese.models.packaged import PACKAGED, PRETRAINED
from koch_siamese.runs.path_flags import define_path

# absl then assigns flags to the calling command, by which --help groups them.
flags.disclaim_key_flags()

# What --model may be.
SAVED_MODEL = "A model file, the folder of Recognizer.save"
FEW_NAMED = 1 / 3  # if fewer images have a name, a note says so


def define_model_flags(
    what: str = SAVED_MODEL, without: str = ", or else pretrained"
):
    """Defines --workdir and --model, for commands that use a trained model.

    Args:
        what: what --model may be, besides the directory of a run and the models
            of the package.
        without: the default if there is no --workdir either.
    """
    define_path("workdir", None, "The directory of a training run.")
    define_path(
        "model",
        None,
        f"{what}, the directory of a training run, or a model of the package: "
        "pretrained, or pretrained_large, which takes up to three times as "
        "long and is slightly more accurate. Default: model.keras in "
        f"--workdir{without}.",
    )


def define_crop_flag():
    """Defines --crop, for commands that read a user's drawings."""
    flags.DEFINE_bool(
        "crop",
        None,
        "Crop images to their ink, with the margin of Omniglot's drawings. "
        "Default: yes, unless the model was trained on a folder without it.",
    )


def define_recognizer_flags():
    """Defines flags of commands that recognize a user's images."""
    define_model_flags()
    define_crop_flag()
    flags.DEFINE_float(
        "threshold",
        None,
        "The lowest score that counts as a match, such as -100 for any. "
        "Default: the threshold that is stored with the model.",
        lower_bound=-1e9,
        upper_bound=1e9,
    )
    refuse_nan("threshold")
    flags.DEFINE_bool("json", False, "Print JSON, one object per line.")


def define_example_flags():
    """Defines --support and --gallery, the characters to choose among."""
    support = define_path(
        "support",
        None,
        "The known characters: a folder of their images, or a table of them, a "
        ".csv or .tsv file with the columns path and label.",
    )
    gallery = define_path(
        "gallery",
        None,
        "Where the known characters are stored: a folder, which also has the "
        "model and its thresholds, or an .npz file, which does not. The "
        "characters of --support are added to it and replace those of the same "
        "name.",
    )
    return support, gallery


def require_examples():
    """Refuses flags that give no characters to choose among."""
    from koch_siamese.inference import storage

    model = flags.FLAGS.model
    has_own = model and storage.is_folder(Path(model))
    if not (flags.FLAGS.support or flags.FLAGS.gallery or has_own):
        raise InputError(
            "There are no known characters: give --support, a folder of "
            "images, or --gallery, which was made from one."
        )


def open_recognizer(remove: Sequence[str] = ()):
    """Opens the recognizer that the flags name, with their characters.

    Changes are stored in the gallery, if there is one.

    Args:
        remove: characters to remove from it.

    Returns:
        The recognizer; and, for --figure, the first example of each character
        of --support, by its name.
    """
    support, gallery = flags.FLAGS.support, flags.FLAGS.gallery
    recognizer, thresholds = _open_gallery()
    note_reading(recognizer.crop, recognizer.model)
    examples = {}
    if remove:
        recognizer.remove(remove)
    if support:
        names, drawings = recognizer.read_labelled(support)
        recognizer.add_drawings(names, drawings, replace=True)
        if flags.FLAGS.figure:
            examples = dict(zip(names[::-1], drawings[::-1], strict=True))
    if gallery and (support or remove):
        recognizer.save(gallery, if_exists="merge")
    recognizer.thresholds = thresholds
    return recognizer, examples


def _open_gallery():
    """Loads the recognizer that the flags name, before they change it.

    Returns:
        The recognizer, and the thresholds to use; a gallery in an .npz file
        has none of its own.
    """
    from koch_siamese.inference import storage
    from koch_siamese.inference.recognizer import Recognizer

    path = flags.FLAGS.gallery and Path(flags.FLAGS.gallery)
    if path:
        storage.refuse_other_files(path)
    # A new gallery, which another process may make in the meantime.
    is_new = path and flags.FLAGS.support and not storage.is_stored(path)
    if not path or is_new:
        own = load_recognizer()
        return own, own.thresholds
    crop = flags.FLAGS.crop
    if model_path(default=PRETRAINED) in PACKAGED:
        recognizer = Recognizer.load(path, flags.FLAGS.model, crop=crop)
        return recognizer, recognizer.thresholds
    own = load_recognizer()
    recognizer = Recognizer.load(path, own.model, crop=crop)
    if storage.is_gallery(path):
        return recognizer, own.thresholds
    return recognizer, recognizer.thresholds


def load_recognizer():
    """Loads the recognizer of --model or --workdir, with --crop.

    --model can name the folder of a saved recognizer.
    """
    from koch_siamese.inference import storage
    from koch_siamese.inference.recognizer import Recognizer

    import_own_network()
    path, crop = model_path(default=PRETRAINED), flags.FLAGS.crop
    if storage.is_folder(Path(path)):
        return Recognizer.load(path, crop=crop)
    return Recognizer(path, crop=crop)


def model_path(default: str | None = None) -> str:
    """Returns the model file that --model or --workdir names.

    Args:
        default: the model if neither is given.

    Raises:
        InputError: neither is given, and there is no default; or the run has
            no model yet.
    """
    from koch_siamese.runs.directory import Run

    if flags.FLAGS.model:
        return flags.FLAGS.model
    if flags.FLAGS.workdir:
        run = Run(flags.FLAGS.workdir)
        if not run.model.is_file():
            begun = f"--flagfile={run.flags} " if run.flags.is_file() else ""
            raise InputError(
                f"--workdir={run.path} has no {run.model.name}: train it "
                f"first, by python -m koch_siamese.train {begun}"
                f"--workdir={run.path}, or give --model=pretrained."
            )
        return str(run.model)
    if default:
        return default
    raise InputError(
        "No model is given: expected --workdir=DIR of a training, such as "
        "--workdir=runs/quickstart, or --model=FILE, or --model=pretrained."
    )


def import_own_network():
    """Imports the network of a run's model, if it is the user's own.

    Keras then knows its layers when it loads the model.
    """
    from koch_siamese.models.own_network import import_builder
    from koch_siamese.runs.directory import find_run
    from koch_siamese.runs.settings import is_own_network

    path = flags.FLAGS.model or flags.FLAGS.workdir
    run = path and find_run(path)
    if not run:
        return
    network = run.read_settings().network
    if is_own_network(network):
        import_builder(network)


def note_reading(crop: bool, model):
    """Prints a note if images are read differently from the training.

    Args:
        crop: whether they are cropped to their ink.
        model: the siamese model.
    """
    from koch_siamese.models.siamese import get_crop

    if crop != get_crop(model):
        ways = ("whole images (--nocrop)", "images cropped to ink (--crop)")
        note(
            f"this reads {ways[crop]}, but the model was trained on "
            f"{ways[not crop]}."
        )


def note_missing_threshold(
    recognizer, effect: str = "the best character is always the answer"
):
    """Prints a note on the effect if there is no threshold."""
    if not recognizer.thresholds and flags.FLAGS.threshold is None:
        note(
            f"the model has no thresholds, so {effect}: give --threshold, or "
            "use Recognizer.calibrate."
        )


def note_few_names(names: Sequence[str | None], what: str, question: str):
    """Prints a note if few images have a name.

    Args:
        names: the name of each, or None.
        what: what the images are.
        question: asks for a possible cause.
    """
    num_named = sum(name is not None for name in names)
    if num_named < FEW_NAMED * len(names):
        note(
            f"{num_named} of {len(names)} {what} have a name: {question} A "
            "lower --threshold names more; Recognizer.calibrate fits it to "
            "images like yours."
        )
