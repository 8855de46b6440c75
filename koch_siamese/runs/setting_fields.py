"""A setting: what it means, its choices and range, from text and to text."""

import dataclasses
import math
import typing

from koch_siamese.errors import InputError


def setting(default, meaning, *, choices=None, low=-math.inf, high=math.inf):
    """A field of settings.

    Args:
        default: of the type that the setting has.
        meaning: for `--help`.
        choices: of which the value, or each of a tuple, must be one.
        low, high: ends of the range of numbers, which belong to it.
    """
    return dataclasses.field(
        default=default,
        metadata={
            "help": meaning,
            "choices": choices,
            "low": low,
            "high": high,
        },
    )


def parse(field: dataclasses.Field, text: str):
    """The value of a setting, of the type of its default.

    Raises:
        InputError: the text is no such value.
    """
    kind = type(field.default)
    try:
        if kind is bool:
            return {"true": True, "false": False}[text]
        if kind is tuple:
            item = typing.get_args(field.type)[0]
            return tuple(item(part) for part in text.split(",") if part)
        return kind(text)
    except (KeyError, ValueError) as error:
        raise InputError(
            f"--{field.name} is {text!r}; expected {_example(field)}."
        ) from error


def _example(field):
    if field.default == ():
        return "numbers with commas between them"
    return f"something like {format_value(field.default)}"


def check(field: dataclasses.Field, value):
    """Checks a value, or one of a tuple.

    Raises:
        InputError: it is none of the choices, or outside of the range.
    """
    meta = field.metadata
    if meta["choices"] and value not in meta["choices"]:
        raise InputError(
            f"--{field.name} is {value!r}; expected one of "
            f"{', '.join(meta['choices'])}."
        )
    if isinstance(value, str):
        return
    in_range = meta["low"] <= value <= meta["high"]
    if not (in_range and math.isfinite(value)):
        limits = f"at least {meta['low']}"
        if math.isfinite(meta["high"]):
            limits += f" and at most {meta['high']}"
        raise InputError(f"--{field.name} is {value}; expected {limits}.")


def format_value(value) -> str:
    """A value as a flag has it; the inverse of `parse`."""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
