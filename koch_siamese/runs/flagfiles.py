"""Settings as flags: of a command line, of a flagfile, of a run."""

import dataclasses
import os
import typing
from collections.abc import Sequence

from absl import flags

from koch_siamese.errors import InputError
from koch_siamese.runs.settings import Settings, format_value

_DEFINE = {
    bool: flags.DEFINE_bool,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    str: flags.DEFINE_string,
    tuple: flags.DEFINE_list,
}


def define_flags(values: flags.FlagValues = flags.FLAGS):
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


def read_flags(values: flags.FlagValues = flags.FLAGS) -> Settings:
    """Reads the settings that parsed flags give.

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
    """Formats settings as the text of a flagfile, a line for each."""
    lines = (
        f"--{name}={format_value(value)}"
        for name, value in dataclasses.asdict(settings).items()
    )
    return "\n".join(lines) + "\n"


def parse_flags(text: str) -> Settings:
    """Parses what `format_flags` wrote; comments may stand beside it.

    Raises:
        InputError: a line is not a flag of a training, or its value is wrong.
    """
    lines = [line for line in text.splitlines() if line and line[0] != "#"]
    settings, _ = _parse(lines, "flags of a training")
    return settings


def read_flagfile(path: str | os.PathLike) -> tuple[Settings, str | None]:
    """Reads a flagfile of `train`: its settings, and its --workdir.

    It may include another flagfile and change some of its flags.

    Raises:
        InputError: it is missing, or is not a flagfile of `train`.
    """
    return _parse([f"--flagfile={path}"], f"{path}, a flagfile of train")


def _parse(arguments, name):
    values = flags.FlagValues()
    define_flags(values)
    for other in ("workdir", "data_dir", "manual_dir", "max_image_megabytes"):
        flags.DEFINE_string(other, None, "", flag_values=values)
    try:
        rest = values(["train", *arguments])
    except (flags.Error, UnicodeDecodeError) as error:
        raise InputError(f"Cannot read {name}: {error}.") from error
    if rest[1:]:
        raise InputError(
            f"Cannot read {name}: {rest[1]!r} is not a flag; expected "
            "--name=value."
        )
    return read_flags(values), values["workdir"].value


def find_flagfiles(arguments: Sequence[str]) -> str | None:
    """Finds the flagfiles named on a command line, joined with commas."""
    found = []
    for place, argument in enumerate(arguments):
        name, _, value = argument.partition("=")
        if name in ("--flagfile", "-flagfile"):
            found.append(value or arguments[place + 1])
    return ",".join(found) or None
