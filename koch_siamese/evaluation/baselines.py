"""Scorers without learning: nearest neighbors, modified Hausdorff."""

import numpy as np

from koch_siamese.errors import InputError
from koch_siamese.images import WHITE

POINTS_AT_ONCE = 64


def _ink(images):
    """Converts images to flat ink, float32 `[num, pixels]`, 0 = paper, 1 = ink.

    Differences of uint8 would wrap around, and the cosine needs paper to be 0.
    """
    ink = images.reshape(len(images), -1).astype(np.float32)
    ink /= -float(WHITE)  # in place: there may be gigabytes of drawings
    ink += 1.0
    return ink


class PixelsCosine:
    """Cosine of the angle between ink images."""

    def embed(self, images: np.ndarray) -> np.ndarray:
        """Embeds uint8 images, see `Characters`, as unit vectors."""
        ink = _ink(images)
        norms = np.sqrt(np.einsum("nd,nd->n", ink, ink))
        ink /= norms.clip(1e-9)[:, np.newaxis]
        return ink

    def score(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Computes cosines, `[num]`."""
        return np.einsum("nd,nd->n", first, second)


class PixelsEuclidean:
    """Negative Euclidean distance between ink images."""

    def embed(self, images: np.ndarray) -> np.ndarray:
        """Embeds uint8 images, see `Characters`, as ink."""
        return _ink(images)

    def score(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Computes negative distances, `[num]`."""
        return -np.linalg.norm(first - second, axis=1)


class ModifiedHausdorff:
    """Negative modified Hausdorff distance between sets of ink pixels.

    Dubuisson and Jain 1994, as in Lake's demo for Omniglot: pixels are
    measured from the center of the drawing's ink, and the distance is the
    larger of the two mean distances from an ink pixel of one drawing to the
    nearest of the other.
    """

    def embed(self, images: np.ndarray) -> np.ndarray:
        """Finds the ink pixels of uint8 drawings `[num, height, width, 1]`.

        Returns:
            An object array `[num]` of float32 `[num_ink, 2]`, centered.

        Raises:
            InputError: a drawing is blank, or the images are photos.
        """
        points = np.empty(len(images), object)
        if images.shape[-1] != 1:
            raise InputError(
                "The Hausdorff distance compares drawings, but these are "
                "photos: give --model=pixels_cosine."
            )
        for i, image in enumerate(images[..., 0]):
            pixels = np.argwhere(image < WHITE / 2)
            if not len(pixels):
                raise InputError(
                    f"Drawing {i + 1} of {len(images)} is blank, and the "
                    "Hausdorff distance needs ink: remove it, or give "
                    "--model=pixels_cosine."
                )
            points[i] = (pixels - pixels.mean(axis=0)).astype(np.float32)
        return points

    def score(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Computes negative distances in pixels, `[num]`."""
        return -np.array(
            [
                modified_hausdorff_distance(a, b)
                for a, b in zip(first, second, strict=True)
            ]
        )


def modified_hausdorff_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Computes the distance of two sets of points, `[num_points, dim]` each.

    Raises:
        ValueError: a set is empty.
    """
    if not (len(first) and len(second)):
        raise ValueError("An empty set of points has no distance to another.")
    first, second = (np.asarray(x, np.float32) for x in (first, second))
    # |a|^2 - 2 a b + |b|^2 as matrix products, of so few points at once that
    # BLAS starts no threads, because waiting for those takes longer.
    left = np.column_stack(
        [first, (first**2).sum(axis=1), np.ones_like(first[:, 0])]
    )
    right = np.vstack(
        [-2 * second.T, np.ones_like(second[:, 0]), (second**2).sum(axis=1)]
    )
    forward = np.empty_like(left[:, 0])
    backward = np.full_like(right[0], np.inf)
    for start in range(0, len(left), POINTS_AT_ONCE):
        chunk = slice(start, start + POINTS_AT_ONCE)
        squares = left[chunk] @ right
        forward[chunk] = squares.min(axis=1)
        np.minimum(backward, squares.min(axis=0), out=backward)
    # Roots after the minima: one for each point, not for each pair of points.
    return max(np.sqrt(x.clip(0)).mean() for x in (forward, backward))


BASELINES = {
    "pixels_cosine": PixelsCosine,
    "pixels_euclidean": PixelsEuclidean,
    "hausdorff": ModifiedHausdorff,
}
