"""Flags that several commands share, and how a command answers a mistake."""

import contextlib
import dataclasses
import importlib.util
import os
import re
import signal
import sys
from collections.abc import Callable

from absl import app, flags, logging

from koch_siamese.errors import InputError
from koch_siamese.runs.setting_fields import parse
from koch_siamese.runs.settings import Settings

DATA_DIR = flags.DEFINE_string(
    "data_dir",
    None,
    "Where TFDS keeps data sets, by default ~/tensorflow_datasets; with "
    "--dataset=folder, the folder of your images.",
)
MANUAL_DIR = flags.DEFINE_string(
    "manual_dir",
    None,
    "A folder with Omniglot's four zips, where they cannot be downloaded.",
)
MAX_IMAGE_MEGABYTES = flags.DEFINE_integer(
    "max_image_megabytes",
    1024,
    "Images that take more are kept in a file in $TMPDIR, not in memory.",
    lower_bound=0,
)


def define_model_flags(
    what: str = "A model file", without: str = "; without one, pretrained"
):
    """Defines --workdir and --model, for commands that use a trained model.

    Args:
        what: can be given as --model, beside pretrained.
        without: what the default is where there is no run.
    """
    flags.DEFINE_string("workdir", None, "The run's directory.")
    flags.DEFINE_string(
        "model",
        None,
        f"{what}; or pretrained, the package's own. Default: model.keras of "
        f"--workdir{without}.",
    )


_DEFINE = {
    bool: flags.DEFINE_bool,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    str: flags.DEFINE_string,
    tuple: flags.DEFINE_list,
}


def define_settings_flags(values: flags.FlagValues = flags.FLAGS):
    """Defines a flag for each setting of a training."""
    for field in dataclasses.fields(Settings):
        meaning = field.metadata["help"]
        if field.metadata["choices"]:
            meaning += f" One of: {', '.join(field.metadata['choices'])}."
        default = field.default
        if isinstance(default, tuple):
            default = [str(item) for item in default]
        define = _DEFINE[type(field.default)]
        define(field.name, default, meaning, flag_values=values)


def read_settings(values: flags.FlagValues = flags.FLAGS) -> Settings:
    """The settings that the flags give.

    Raises:
        InputError: a value is out of its range.
    """
    settings = {}
    for field in dataclasses.fields(Settings):
        value = values[field.name].value
        if isinstance(value, list):
            value = parse(field, ",".join(value))
        settings[field.name] = value
    return Settings(**settings)


def read_flagfile(path: str | os.PathLike) -> tuple[Settings, str | None]:
    """The settings of a flagfile of `train`, and its --workdir.

    It may begin with another one, and change it.

    Raises:
        InputError: it is not there, or has something else.
    """
    values = flags.FlagValues()
    define_settings_flags(values)
    for name in ("workdir", "data_dir", "manual_dir", "max_image_megabytes"):
        flags.DEFINE_string(name, None, "", flag_values=values)
    try:
        values(["train", f"--flagfile={path}"])
    except (flags.Error, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no flagfile of train: {error}.") from error
    return read_settings(values), values["workdir"].value


def define_crop_flag():
    """Defines --crop, for commands that read a user's images."""
    flags.DEFINE_bool(
        "crop",
        True,
        "Cut images to their ink, with the margin of Omniglot's drawings.",
    )


def read_drawing(path: str):
    """A user's image as --crop says, uint8 `[105, 105]`."""
    from koch_siamese.data import image_files

    return image_files.read_drawing(path, flags.FLAGS.crop)


def model_path(default: str | None = None) -> str:
    """The model file that --model or --workdir names.

    Args:
        default: the model if neither is given.

    Raises:
        InputError: neither is given, and there is no default.
    """
    from koch_siamese.runs.directory import Run

    if flags.FLAGS.model:
        return flags.FLAGS.model
    if flags.FLAGS.workdir:
        return str(Run(flags.FLAGS.workdir).model)
    if default:
        return default
    raise InputError(
        "No model is given: expected --workdir of a training, such as "
        "--workdir=runs/quickstart after koch_siamese.train, or --model=FILE, "
        "or --model=pretrained."
    )


def run(main: Callable[[], None], if_interrupted: str = "interrupted."):
    """Parses the flags and runs a command.

    Exits with 0 on success. A user's mistake (an unknown or malformed flag, an
    `InputError`) is answered by one line and exit 1; anything else is a fault
    of ours and keeps its traceback.
    """

    def guarded_main(_):
        # TFDS tells at length what it reads; errors are told as exceptions.
        logging.set_verbosity(logging.ERROR)
        # What a machine's keeper sends before it takes the machine away.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        from koch_siamese.data import image_arrays

        image_arrays.limit_memory(MAX_IMAGE_MEGABYTES.value)
        try:
            main()
        except InputError as error:
            _fail(error)
        except KeyboardInterrupt:
            _fail(if_interrupted)

    # A name that the terminal cannot show shall not keep an answer back.
    sys.stdout.reconfigure(errors="backslashreplace")
    _show_in_help()
    try:
        app.run(guarded_main, flags_parser=_parse)
    except BrokenPipeError:
        # Who reads the output has enough of it, such as `head`.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _show_in_help():
    """Makes shared flags the command's own, or --help would leave them out."""
    for flag in flags.FLAGS.flags_by_module_dict()[__name__]:
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)


def import_tensorflow():
    """Imports TensorFlow without what it says of drivers and optimisations.

    It writes straight to the file of standard error, before any log level is
    in force. Takes seconds: to be called when the flags are known to be right.

    Raises:
        InputError: Keras is to compute by what is not there, or not known.
    """
    _check_backend()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    standard_error = os.dup(2)
    with open(os.devnull, "w") as nothing:  # noqa: PTH123, a device, no path
        os.dup2(nothing.fileno(), 2)
    try:
        import tensorflow  # noqa: F401
    finally:
        os.dup2(standard_error, 2)
        os.close(standard_error)


def _check_backend():
    backend = os.environ.get("KERAS_BACKEND") or "tensorflow"
    if backend not in ("tensorflow", "jax"):
        raise InputError(
            f"KERAS_BACKEND is {backend!r}: expected tensorflow or jax."
        )
    if not importlib.util.find_spec(backend):
        raise InputError(
            f"KERAS_BACKEND is {backend}, which is not installed: "
            "install the extra 'jax', or leave it out."
        )
    # Not what a keras.json says, of some other project.
    os.environ["KERAS_BACKEND"] = backend


def _parse(argv):
    try:
        rest = flags.FLAGS(argv)
    except flags.CantOpenFlagFileError as error:
        reason = str(error).removeprefix("ERROR:: Unable to open flagfile: ")
        _fail(f"--flagfile cannot be read: {reason}; check its name.")
    except UnicodeDecodeError as error:
        _fail(f"--flagfile is no text ({error}); check its name.")
    except flags.Error as error:
        # absl shows some reasons as what Python makes of a pair.
        _fail(re.sub(r"\('(.*)', '.*'\)$", r"\1", str(error)))
    except SystemExit:
        sys.exit(0)  # after --help, which absl takes for a failure
    if rest[1:]:
        _fail(
            f"{rest[1]!r} is not a flag: expected --name=value, on the command "
            "line and in a flagfile (see --help)."
        )
    return rest


def _fail(message):
    print(f"error: {' '.join(str(message).split())}", file=sys.stderr)
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    # Not sys.exit: where a training was stopped amid a step, Python's end would
    # free an iterator of tf.data that waits for a batch, which NumPy can no
    # longer make, for ever (found by experiments/robustness/soak.py).
    os._exit(1)
