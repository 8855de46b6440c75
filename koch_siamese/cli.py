"""Shared code of the commands: flags, help, and errors in one line."""

import collections
import contextlib
import errno
import math
import os
import re
import signal
import sys
import textwrap
import threading
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from absl import app, flags, logging

from koch_siamese.errors import InputError
from koch_siamese.runs.flagfiles import expand_flagfiles, read_flags
from koch_siamese.runs.path_flags import PathParser, define_path
from koch_siamese.runs.setting_fields import GROUPS
from koch_siamese.runs.settings import (
    Settings,
    find_without_effect,
    freezes_random_weights,
)

DATA_DIR = define_path(
    "data_dir",
    None,
    "The folder where TFDS keeps data sets, by default ~/tensorflow_datasets. "
    "With --dataset=folder: the folder of your images, or a table of them, a "
    ".csv or .tsv file with the columns path and label, and optionally group, "
    "drawer and split.",
)
MANUAL_DIR = define_path(
    "manual_dir",
    None,
    "A folder with Omniglot's four zip files, if they cannot be downloaded.",
)
MAX_IMAGE_MEGABYTES = flags.DEFINE_integer(
    "max_image_megabytes",
    1024,
    "Images that take more memory than this are kept in a file in $TMPDIR.",
    lower_bound=0,
)
MAX_PIXELS = flags.DEFINE_integer(
    "max_pixels",
    50_000_000,
    "The largest number of pixels allowed in one of your images.",
    lower_bound=1,
)
DATA_FLAGS = (DATA_DIR, MANUAL_DIR)  # of commands that read data sets
LIMIT_FLAGS = (MAX_IMAGE_MEGABYTES, MAX_PIXELS)  # of all that read images
SECONDS_TO_STOP = 10.0  # less than a cluster waits before it kills


def refuse_nan(name: str):
    """Refuses NaN as the value of a flag, which no bounds exclude."""
    flags.register_validator(
        name,
        lambda number: number is None or not math.isnan(number),
        "expected a number.",
    )


def read_training_flags() -> Settings:
    """Reads the settings of a training, and prints notes on them.

    Raises:
        InputError: --workdir is empty, settings contradict each other, or a
            folder of images has none.
    """
    from koch_siamese.data.sources import check_folder, has_color_pictures

    if not flags.FLAGS.workdir:
        raise InputError(
            "--workdir is empty: expected the directory to write to."
        )
    settings = read_flags()
    if freezes_random_weights(settings):
        note(
            f"--trainable_from={settings.trainable_from} freezes layers of the "
            "backbone at random weights, so that it learns little: give "
            "--backbone_weights=imagenet or a file."
        )
    for given, other in find_without_effect(settings):
        note(f"{given} has no effect with {other}.")
    check_folder(settings.dataset, DATA_DIR.value)
    reads_drawings = settings.dataset == "folder" and (
        settings.image_kind == "drawing"
    )
    if reads_drawings and has_color_pictures(DATA_DIR.value):
        note(
            f"many images of {DATA_DIR.value} seem to be color pictures, but "
            "are read as drawings, in black and white: for photos, give "
            "--image_kind=photo."
        )
    return settings


def may_prepare() -> bool:
    """Tells whether a missing data set may be written to --data_dir.

    Only if --dataset asks for it.
    """
    return flags.FLAGS["dataset"].present > 0


def check_figure(path: str | None):
    """Raises an `InputError` unless the figure's name ends in .png."""
    if path and not path.lower().endswith(".png"):
        raise InputError(
            f"--figure={path} must be a file name that ends in .png."
        )


def require_new_folder(path: str | None) -> Path:
    """Returns the folder of --output, whole.

    Raises:
        InputError: it is not given, or is neither new nor empty.
    """
    if not path:
        raise InputError("There is no folder to write to: give --output=DIR.")
    output = Path(path).resolve()
    if output.is_dir():
        if any(output.iterdir()):
            raise InputError(
                f"--output={path} is not empty: give a new folder, or delete "
                "that one."
            )
    elif output.exists():
        raise InputError(f"--output={path} is a file: expected a folder.")
    return output


def refuse_inputs(name: str, outputs: Iterable[Path], inputs: Iterable[Path]):
    """Refuses to overwrite an input, or to write into a folder of inputs.

    What is written there would be an input of the next run.

    Args:
        name: the flag that names the outputs.
        outputs: the files and folders to write.
        inputs: the files and folders that are read.

    Raises:
        InputError: an output is an input, or lies in one.
    """
    given = f"--{name}={flags.FLAGS[name].value}"
    known = {_identify(path): path for path in inputs}
    known.pop(None, None)
    for output in outputs:
        whole = output.resolve()
        if _identify(whole) in known:
            raise InputError(
                f"{given} would overwrite {output}, which is an input: give "
                "another name."
            )
        for folder in map(_identify, whole.parents):
            if folder in known:
                raise InputError(
                    f"{given} would write {output} into {known[folder]}, whose "
                    "images are inputs: give a place outside it."
                )


def _identify(path):
    """Identifies a file or folder; None if it does not exist.

    Two paths of one file may differ in upper and lower case, or by a link.
    """
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def note(text: str):
    """Prints a note that is not an error on standard error."""
    print(f"note: {' '.join(text.split())}", file=sys.stderr)


@contextlib.contextmanager
def counting_skipped_files():
    """Prints warnings about a user's data as notes; counts skipped files.

    A warning that comes again, such as for each batch, is printed once.

    Yields:
        A Counter from suffixes to numbers of files, complete at the end.
    """
    from koch_siamese.data.image_paths import SkippedFilesWarning
    from koch_siamese.errors import DataWarning

    counts = collections.Counter()
    printed = set()
    show = warnings.showwarning

    def tell(message, *arguments, **options):
        if isinstance(message, DataWarning):
            if str(message) not in printed:
                note(str(message))
            printed.add(str(message))
            if isinstance(message, SkippedFilesWarning):
                counts.update(message.counts)
        else:
            show(message, *arguments, **options)

    with warnings.catch_warnings():
        warnings.simplefilter("always", DataWarning)
        warnings.showwarning = tell
        yield counts


def run(
    main: Callable[[], None],
    if_interrupted: str = "interrupted.",
    without: Sequence[flags.FlagHolder] = (),
):
    """Parses the flags and runs a command.

    Exits with 0 on success. A user's mistake (an unknown or malformed flag, or
    an `InputError`) or a full disk prints one line and exits with 1; any other
    exception is a bug and keeps its traceback.

    Args:
        main: the command.
        if_interrupted: what is printed if it is interrupted.
        without: those of `DATA_FLAGS` and `LIMIT_FLAGS` that have no effect.
            Scripts and shared flagfiles may give them to any command; they get
            a note then.
    """

    def stop(*_):
        # Libraries may swallow the exception (found by soak.py).
        timer = threading.Timer(SECONDS_TO_STOP, _fail, [if_interrupted])
        timer.daemon = True
        timer.start()
        raise KeyboardInterrupt

    def prepared_main(_):
        # TFDS logs much about its reading; errors are raised as exceptions.
        logging.set_verbosity(logging.ERROR)
        # The signal that a cluster sends before it takes the machine away.
        signal.signal(signal.SIGTERM, stop)
        from koch_siamese.data import image_arrays, image_files

        _note_flags(without)
        image_arrays.limit_memory(MAX_IMAGE_MEGABYTES.value)
        image_files.limit_pixels(MAX_PIXELS.value)
        with counting_skipped_files():
            main()

    # A name that the terminal cannot show must not prevent an answer.
    sys.stdout.reconfigure(errors="backslashreplace")
    try:
        try:
            app.run(
                prepared_main, flags_parser=lambda argv: _parse(argv, without)
            )
        except SystemExit:  # its usual end
            sys.stdout.flush()
            raise
    except InputError as error:
        _fail(error)
    except KeyboardInterrupt:
        _fail(if_interrupted)
    except BrokenPipeError:
        # The reader of the output, such as `head`, has stopped reading.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        _fail(f"The output cannot be written: {error.strerror}.")


def _note_flags(without):
    for flag in without:
        if flag.present:
            command = Path(sys.argv[0]).stem
            note(f"--{flag.name} has no effect with {command}: remove it.")


def _print_help(without):
    """Prints the command's docstring, and its flags in groups."""
    print(sys.modules["__main__"].__doc__.strip())
    for title, names in _group_flags(without).items():
        print(f"\n{title}:")
        for name in names:
            print(_format_flag(flags.FLAGS[name]))


def _group_flags(without):
    """Groups the names of the command's flags by title, shared ones last."""
    by_module = flags.FLAGS.flags_by_module_dict()
    own = [flag.name for flag in by_module.get(sys.argv[0], ())]
    unused = [flag.name for flag in without]
    shared = [flag.name for flag in DATA_FLAGS + LIMIT_FLAGS]
    shared = [name for name in shared if name not in unused]
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
    if isinstance(flag, flags.EnumFlag):  # absl puts <a|b> before its help
        meaning = flag.help.partition(">: ")[2]
        choices = ", ".join(flag.parser.enum_values)
        text = f"--{name}: {meaning} One of: {choices}."
    if isinstance(flag.parser, flags.ListParser):
        text += " Separated by commas."
    if flag.default not in (None, "", []):
        default = flag.default_as_str.strip("'")
        text += f" (default: {default})"
    return textwrap.fill(
        " ".join(text.split()),
        width=80,
        initial_indent="  ",
        subsequent_indent="    ",
    )


def _parse(argv, without):
    """Parses the flags, or prints help; returns the arguments but for flags."""
    if {"--help", "-help", "-h", "-?", "--helpshort"}.intersection(argv[1:]):
        _print_help(without)
        sys.exit(0)
    try:
        given = expand_flagfiles(argv)
        rest = flags.FLAGS(given)
    except flags.Error as error:
        raise InputError(_explain_flag(str(error))) from error
    except SystemExit:
        sys.exit(0)  # after --helpfull, which absl counts as a failure
    if rest[1:]:
        raise InputError(_explain_argument(rest[1], given))
    return rest


def _explain_flag(reason):
    """Says in plain words what absl and Python say about a flag."""
    # absl formats some reasons as Python tuples.
    reason = re.sub(r"\('(.*)', '.*'\)$", r"\1", reason)
    reason = re.sub(
        r"invalid literal for int\(\).*", "expected a whole number.", reason
    )
    return re.sub(
        "could not convert string to float.*", "expected a number.", reason
    )


def _explain_argument(argument, given):
    """Explains an argument that is no flag, such as the second of `*.png`."""
    before = [x for x in given[: given.index(argument)] if x.startswith("-")]
    name = before[-1].lstrip("-").partition("=")[0] if before else ""
    if name in flags.FLAGS and isinstance(flags.FLAGS[name].parser, PathParser):
        return f"{argument!r} is not a flag: --{name} takes one file or folder."
    return (
        f"{argument!r} is not a flag: expected --name=value, on the command "
        "line and in a flagfile (see --help)."
    )


def _fail(message):
    print(f"error: {' '.join(str(message).split())}", file=sys.stderr)
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    # Not sys.exit: if a training was stopped during a step, Python's shutdown
    # would free a tf.data iterator that waits forever for a batch, which NumPy
    # can no longer make (found by experiments/robustness/soak.py).
    os._exit(1)
