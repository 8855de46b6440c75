"""Settings as flags: on a command line, in a flagfile, in a run."""

import dataclasses
import os
import typing
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from koch_siamese.errors import InputError
from koch_siamese.paths import expand_home
from koch_siamese.runs.setting_fields import explain
from koch_siamese.runs.settings import Settings, format_value

_DEFINE = {
    bool: flags.DEFINE_bool,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    str: flags.DEFINE_string,
    tuple: flags.DEFINE_list,
}

# Flags that a flagfile of train may have besides settings.
OTHER_FLAGS = (
    "workdir",
    "data_dir",
    "manual_dir",
    "max_image_megabytes",
    "max_pixels",
)


def define_flags(values: flags.FlagValues = flags.FLAGS):
    """Defines a flag for each setting of a training."""
    for field in dataclasses.fields(Settings):
        default = field.default
        if isinstance(default, tuple):
            default = [str(item) for item in default]
        define = _DEFINE[type(field.default)]
        define(field.name, default, explain(field), flag_values=values)


def read_flags(values: flags.FlagValues = flags.FLAGS) -> Settings:
    """Reads settings from parsed flags.

    Raises:
        InputError: a value is out of its range.
    """
    return Settings(
        **{
            field.name: _convert(field, values[field.name].value)
            for field in dataclasses.fields(Settings)
        }
    )


def _convert(field, value):
    if not isinstance(value, list):
        return value
    item = typing.get_args(field.type)[0]
    try:
        return tuple(item(text) for text in value if text)
    except ValueError as error:
        raise InputError(
            f"--{field.name} is {','.join(value)!r}; expected numbers with "
            "commas between them."
        ) from error


def format_flags(settings: Settings) -> str:
    """Formats settings as the text of a flagfile, one on each line."""
    lines = (
        f"--{name}={format_value(value)}"
        for name, value in dataclasses.asdict(settings).items()
    )
    return "\n".join(lines) + "\n"


def parse_flags(text: str) -> Settings:
    """Parses the text of `format_flags`, which may have comments.

    Raises:
        InputError: a line is not a flag of a training, or its value is wrong.
    """
    lines = [line for line in text.splitlines() if line and line[0] != "#"]
    settings, _ = _parse(lines, "flags of a training")
    return settings


def read_flagfile(*paths: str | os.PathLike) -> tuple[Settings, str | None]:
    """Reads a flagfile of `train`: its settings, and its --workdir.

    It may include another flagfile and change some of its flags. Of several
    flagfiles, later ones change the flags of earlier ones.

    Raises:
        InputError: it is missing, or is not a flagfile of `train`.
    """
    name = f"{', '.join(map(str, paths))}, a flagfile of train"
    return _parse([f"--flagfile={path}" for path in paths], name)


def _parse(arguments, name):
    values = flags.FlagValues()
    define_flags(values)
    for other in OTHER_FLAGS:
        flags.DEFINE_string(other, None, "", flag_values=values)
    try:
        rest = values(["train", *expand_flagfiles(arguments)])
    except flags.Error as error:
        raise InputError(f"Cannot read {name}: {error}.") from error
    if rest[1:]:
        raise InputError(
            f"Cannot read {name}: {rest[1]!r} is not a flag; expected "
            "--name=value."
        )
    return read_flags(values), values["workdir"].value


def find_flagfiles(arguments: Sequence[str]) -> str | None:
    """Finds the flagfiles named on a command line, joined with commas."""
    found = [path for path in _read_names(arguments) if path]
    return ",".join(found) or None


def expand_flagfiles(
    arguments: Sequence[str], above: Sequence[Path] = ()
) -> list[str]:
    """Replaces `--flagfile` arguments by the lines of the files.

    Unlike absl, it reads any line ending and a byte order mark, as Windows
    writes them. A flagfile in a flagfile may be relative to the working folder
    or, if it is not there, to any folder that the outer file is in.

    Args:
        arguments: of a command line.
        above: the flagfiles that contain these arguments.

    Raises:
        InputError: a flagfile cannot be read, or includes itself.
    """
    expanded, arguments = [], list(arguments)
    names = _read_names(arguments)
    for argument, name in zip(arguments, names, strict=True):
        if name is None:
            expanded.append(argument)
        elif name:
            path = _find(expand_home(name), above)
            if path in above:
                raise InputError(f"--flagfile={name} includes itself.")
            lines = _read_lines(path, above)
            expanded += expand_flagfiles(lines, (*above, path))
    return expanded


def _read_names(arguments):
    """Returns the flagfile that each argument names, or None.

    For `--flagfile FILE`, the first argument gets "" and the second the name.
    """
    names = [None] * len(arguments)
    for i, argument in enumerate(arguments):
        flag, is_whole, value = argument.partition("=")
        if flag not in ("--flagfile", "-flagfile"):
            continue
        if is_whole:
            names[i] = value
        elif i + 1 < len(arguments):
            names[i : i + 2] = "", arguments[i + 1]
    return names


def _find(path, above):
    """Finds a flagfile from the working folder or from the file it is in."""
    outer = above[-1].resolve().parents if above else ()
    candidates = (path, *(folder / path for folder in outer))
    return next((x for x in candidates if x.is_file()), path)


def _read_lines(path, above):
    where = f", in {above[-1]}" if above else ""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(
            f"--flagfile cannot be read: {path}{where}: {error.strerror}; "
            "check its name."
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"--flagfile is not text: {path}{where} ({error}); check its name."
        ) from error
    lines = map(str.strip, text.splitlines())
    return [x for x in lines if x and not x.startswith(("#", "//"))]
