"""Reads images as the model of a recognizer sees them."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import keras
import numpy as np

from koch_siamese.data.image_arrays import allocate_images
from koch_siamese.data.image_errors import ImageError, raise_image_errors
from koch_siamese.data.image_files import get_shape, read_image
from koch_siamese.data.image_folder import load_folder, show_progress
from koch_siamese.errors import InputError
from koch_siamese.images import ImageLike
from koch_siamese.inference.arguments import list_labelled
from koch_siamese.models.siamese import get_crop, get_photo_size

# Labeled images: a folder, a table, or a dict from names to images.
Labelled = str | os.PathLike | Mapping[str, ImageLike | Sequence[ImageLike]]


@dataclasses.dataclass(frozen=True)
class Reader:
    """Reads images as a model sees them.

    What it reads are drawings, uint8 `[105, 105, 1]`, 0 = ink, 255 = white, or
    photos `[photo_size, photo_size, 3]`, RGB.

    Attributes:
        crop: whether drawings are cropped to their ink.
        photo_size: the side of photos in pixels; 0 for drawings.
    """

    crop: bool
    photo_size: int

    @classmethod
    def for_model(cls, model: keras.Model, crop: bool | None) -> "Reader":
        """Makes the reader of a model.

        Args:
            model: a siamese model.
            crop: whether to crop images to their ink; None: as in the training
                of the model.

        Raises:
            InputError: `crop` is given for a model of photos.
        """
        photo_size = get_photo_size(model)
        if crop and photo_size:
            raise InputError(
                "crop=True, but the model was trained on photos, which are not "
                "cut to their ink: remove it."
            )
        return cls(get_crop(model) if crop is None else crop, photo_size)

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape of an image that it reads."""
        return get_shape(self.photo_size)

    def read(self, image: ImageLike) -> np.ndarray:
        """Reads an image.

        Raises:
            InputError: it cannot be read, or is a drawing without ink.
        """
        return read_image(image, self.crop, self.photo_size)

    def read_all(
        self, images: Sequence[ImageLike], labels: Sequence[str] = ()
    ) -> np.ndarray:
        """Reads images.

        Args:
            images: the images.
            labels: what errors call them.

        Raises:
            InputError: some cannot be read.
        """
        read = allocate_images((len(images), *self.shape))
        errors = []
        for i, image in enumerate(show_progress(images)):
            try:
                read[i] = self.read(image)
            except ImageError as error:
                if labels or (len(images) > 1 and not isinstance(image, Path)):
                    label = labels[i] if labels else f"Image {i + 1}"
                    error = error.labelled(label)
                errors.append(error)
        raise_image_errors(errors, len(images))
        return read

    def read_labelled(self, examples: Labelled) -> tuple[list[str], np.ndarray]:
        """Reads labeled images.

        Returns:
            The name of each image, and the images. Those of a folder are sorted
            by name and path.

        Raises:
            InputError: there are no images, or one cannot be read.
        """
        if isinstance(examples, str | os.PathLike):
            characters, names = load_folder(
                examples, self.crop, self.photo_size
            )
            return [names[i] for i in characters.character], characters.images
        names, images, labels = list_labelled(examples)
        return names, self.read_all(images, labels)

    def check(self, drawings: np.ndarray) -> np.ndarray:
        """Checks images that have been read.

        Args:
            drawings: uint8 `[num, *shape]`; a single channel may be left out.

        Returns:
            uint8 `[num, *shape]`.

        Raises:
            InputError: they have another shape or dtype.
        """
        drawings = np.asarray(drawings)
        if not len(drawings):
            return np.empty((0, *self.shape), np.uint8)
        if drawings.ndim == 3 and not self.photo_size:
            drawings = drawings[..., np.newaxis]
        if drawings.shape[1:] != self.shape or drawings.dtype != np.uint8:
            wanted = self.shape if self.photo_size else self.shape[:2]
            raise InputError(
                f"Drawings are {drawings.dtype} of shape {drawings.shape}: "
                f"expected uint8 [num, {', '.join(map(str, wanted))}], as "
                "Recognizer.read returns them."
            )
        return drawings
