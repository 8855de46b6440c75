"""Types of the values that users give to a dataclass."""

import dataclasses
import os
import reprlib
import typing

import numpy as np

from koch_siamese.errors import InputError


def convert_fields(given):
    """Converts the values of a frozen dataclass to the types of its fields.

    A list becomes a tuple, a path becomes a string, NumPy's numbers become
    Python's, and an int becomes a float where one is expected. Call it in
    `__post_init__`.

    Raises:
        InputError: a value has another type.
    """
    for field in dataclasses.fields(given):
        value = _convert(field.name, getattr(given, field.name), field.type)
        object.__setattr__(given, field.name, value)


def _convert(name, value, kind):
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if typing.get_origin(kind) is not tuple:
        return _convert_one(name, value, kind)
    item, _ = typing.get_args(kind)
    if not isinstance(value, list | tuple):
        raise _type_error(name, value, f"a list or a tuple of {item.__name__}")
    return tuple(_convert(f"{name}[{i}]", x, item) for i, x in enumerate(value))


def _convert_one(name, value, kind):
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if kind is float and type(value) is int:
        return float(value)
    # Python counts True as an int.
    if isinstance(value, kind) and (kind is bool or type(value) is not bool):
        return value
    expected = kind.__name__ if isinstance(kind, type) else kind
    raise _type_error(name, value, f"a value of type {expected}")


def _type_error(name, value, expected):
    return InputError(f"{name} is {reprlib.repr(value)}: expected {expected}.")
