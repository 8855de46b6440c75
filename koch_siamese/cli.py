"""What commands share: flags, help, and one line for a user's mistake."""

import contextlib
import os
import re
import signal
import sys
import textwrap
from collections.abc import Callable

from absl import app, flags, logging

from koch_siamese.errors import InputError
from koch_siamese.runs.settings import GROUPS

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
        # TFDS logs at length what it reads; errors are raised as exceptions.
        logging.set_verbosity(logging.ERROR)
        # What a cluster sends before it takes the machine away.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        from koch_siamese.data import image_arrays

        image_arrays.limit_memory(MAX_IMAGE_MEGABYTES.value)
        try:
            main()
        except InputError as error:
            _fail(error)
        except KeyboardInterrupt:
            _fail(if_interrupted)

    # A name that the terminal cannot show must not prevent an answer.
    sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app.run(guarded_main, flags_parser=_parse)
    except BrokenPipeError:
        # The reader of the output, such as `head`, has enough of it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _print_help():
    """Prints what the command does, and its flags in groups."""
    print(sys.modules["__main__"].__doc__.strip())
    for title, names in _group_flags().items():
        print(f"\n{title}:")
        for name in names:
            print(_format_flag(flags.FLAGS[name]))


def _group_flags():
    """Names of the command's flags by the title of their group."""
    by_module = flags.FLAGS.flags_by_module_dict()
    own = [flag.name for flag in by_module.get(sys.argv[0], ())]
    shared = [flag.name for flag in by_module[__name__]]
    if "steps_per_epoch" not in flags.FLAGS:  # a command without settings
        return {"Flags": own + shared}
    groups = {
        group.__doc__.rstrip("."): list(group.__annotations__)
        for group in GROUPS
    }
    groups["Data"] += shared
    groups["Run"] = own + groups["Run"]
    return groups


def _format_flag(flag):
    name = f"[no]{flag.name}" if flag.boolean else flag.name
    text = f"--{name}: {flag.help}"
    if flag.default not in (None, "", []):
        default = flag.default_as_str.strip("'")
        text += f" (default: {default})"
    return textwrap.fill(
        " ".join(text.split()),
        width=80,
        initial_indent="  ",
        subsequent_indent="    ",
    )


def _parse(argv):
    if {"--help", "-help", "-?", "--helpshort"}.intersection(argv[1:]):
        _print_help()
        sys.exit(0)
    try:
        rest = flags.FLAGS(argv)
    except flags.CantOpenFlagFileError as error:
        reason = str(error).removeprefix("ERROR:: Unable to open flagfile: ")
        _fail(f"--flagfile cannot be read: {reason}; check its name.")
    except UnicodeDecodeError as error:
        _fail(f"--flagfile is not text ({error}); check its name.")
    except flags.Error as error:
        # absl shows some reasons as what Python makes of a pair.
        _fail(re.sub(r"\('(.*)', '.*'\)$", r"\1", str(error)))
    except SystemExit:
        sys.exit(0)  # after --helpfull, which absl counts as a failure
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
    # Not sys.exit: where a training was stopped during a step, Python's end
    # would free an iterator of tf.data that waits forever for a batch, which
    # NumPy can no longer make (found by experiments/robustness/soak.py).
    os._exit(1)
