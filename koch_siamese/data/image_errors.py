"""Errors about a user's images."""

import collections
import os
from collections.abc import Sequence

import numpy as np
from PIL import Image

from koch_siamese.errors import InputError
from koch_siamese.images import BYTES, ImageLike

MAX_NAME = 500  # characters of a path in a message
MAX_LISTED = 20  # errors in one message
PAGE_READER = "koch_siamese.transcribe (Recognizer.transcribe)"


class ImageError(InputError):
    """An error about an image or a folder, for a user to fix.

    Attributes:
        found: the first part of the message: the name and its problem.
    """

    def __init__(self, found: str, expected: str, fix: str):
        """Makes the error."""
        super().__init__(f"{found}: expected {expected}; {fix}.")
        self.found, self.expected, self.fix = found, expected, fix

    def labelled(self, label: str) -> "ImageError":
        """Returns the error with a label for one of several images."""
        found = f"{label}: {self.found}"
        return ImageError(found, self.expected, self.fix)


def make_image_error(
    image: ImageLike, got: str, expected: str, fix: str
) -> ImageError:
    """Makes an error from what an image or a folder is, and should be."""
    return ImageError(f"{describe(image)} {got}", expected, fix)


def describe(image: ImageLike) -> str:
    """Names an image in messages, by its path if it has one."""
    if isinstance(image, str | os.PathLike):
        name = str(image)  # or an image as text, by mistake
        return repr(name if len(name) <= MAX_NAME else f"{name[:MAX_NAME]}...")
    if isinstance(image, np.ndarray):
        return f"An array of shape {image.shape}"
    if isinstance(image, BYTES):
        return f"An image of {len(image)} bytes"
    if isinstance(image, Image.Image):
        return "A Pillow image"
    if hasattr(image, "read"):
        return repr(str(getattr(image, "name", "an open file")))
    return f"A value of type {type(image).__name__}"


def join_names(names: Sequence, num: int = MAX_LISTED) -> str:
    """Joins names for a message; only the first `num` are listed."""
    listed = ", ".join(map(repr, names[:num]))
    more = len(names) - num
    return listed + (f" and {more} more" if more > 0 else "")


def raise_image_errors(errors: list[ImageError], num: int):
    """Raises the errors of some of `num` images as one, if there are any.

    Raises:
        InputError: there are errors; the first `MAX_LISTED` are listed, and how
            to fix them if that is the same for most.
    """
    if not errors:
        return
    if len(errors) == 1:
        raise errors[0]
    listed = "; ".join(error.found for error in errors[:MAX_LISTED])
    more = len(errors) - MAX_LISTED
    rest = f"; and {more} more" if more > 0 else ""
    fixes = collections.Counter(f"{x.expected}; {x.fix}" for x in errors)
    ((usual, num_alike),) = fixes.most_common(1)
    fix = "Fix or remove them."
    if num_alike == len(errors):
        fix = f"Expected {usual}."
    elif 2 * num_alike > len(errors):
        fix = f"Most of them: expected {usual}."
    raise InputError(
        f"{len(errors)} of {num} images cannot be used: {listed}{rest}. {fix}"
    )
