"""A convolution by Fourier transforms, for training on a CPU.

The 7 x 7 convolution is 78 % of the arithmetic of the paper's network. The
spectrum of a convolution is a product of spectra, which takes a tenth of that.
The transforms are matrix products, too, which are fast on CPUs.
"""

import functools
import math

import keras
import numpy as np
from keras import ops

# With less, passes over the spectra cost more than the arithmetic saved.
# Measured on two CPU cores, on layers of the paper's network and reduced ones.
MIN_SAVING = 2.0


@keras.saving.register_keras_serializable(package="koch_siamese")
class SpectralConv2D(keras.layers.Conv2D):
    """A `Conv2D` that convolves by discrete Fourier transforms.

    Weights, arguments and results are those of `keras.layers.Conv2D`; only
    rounding errors differ, and are smaller. A custom gradient computes three
    products from three spectra. It cannot be differentiated again.

    Strides, dilations and groups must be 1, padding `valid`, and images square
    with a known side; see `is_faster_by_spectra`.
    """

    def convolution_op(self, inputs, kernel):
        """Convolves; see Keras."""
        # A copy: TensorFlow has other rules for gradients of variables.
        return convolve(inputs, ops.copy(kernel))


def is_faster_by_spectra(layer: keras.layers.Layer) -> bool:
    """Whether a layer of a model trains faster on a CPU by spectra."""
    if not isinstance(layer, keras.layers.Conv2D):
        return False
    _, side, width, channels = layer.input.shape
    size, kernel_width = layer.kernel_size
    is_plain = (layer.padding, layer.groups) == ("valid", 1) and (
        *layer.strides,
        *layer.dilation_rate,
    ) == (1, 1, 1, 1)
    is_square = (side, size) == (width, kernel_width) and side is not None
    return (
        is_plain
        and is_square
        and compute_saving(side, size, channels, layer.filters) > MIN_SAVING
    )


def compute_saving(
    side: int, kernel_size: int, channels: int, filters: int
) -> float:
    """Computes the factor by which spectra reduce multiplications.

    Args:
        side: of the input images in pixels.
        kernel_size: side of the kernel in pixels.
        channels, filters: channels of input and output.
    """
    places = side - kernel_size + 1
    direct = places**2 * kernel_size**2 * channels * filters
    frequencies = side // 2 + 1
    product = 4 * side * frequencies * channels * filters
    transform = 2 * side * side * frequencies * (1 + 2) * (channels + filters)
    return direct / (product + transform)


@ops.custom_gradient
def convolve(images, kernel):
    """Computes the valid convolution (a correlation, as in Keras) by spectra.

    Args:
        images: `[batch, side, side, channels]`, with a known side.
        kernel: `[size, size, channels, filters]`.

    Returns:
        `[batch, side - size + 1, side - size + 1, filters]`.
    """
    side, (size, _, channels, filters) = images.shape[1], kernel.shape
    planes = ops.reshape(kernel, (1, size, size, channels * filters))
    spectrum = _transform(images, side)
    kernel_spectrum = _stack_complex(_transform(planes, side), channels)
    product = ops.matmul(_join(spectrum), kernel_spectrum)

    def differentiate(upstream):
        gradient = _join(_transform(upstream, side))
        of_images = ops.matmul(gradient, _swap(kernel_spectrum))
        of_kernel = ops.matmul(_swap(_join(spectrum)), gradient)
        of_kernel = _sum_complex(of_kernel, channels)
        return (
            _invert(_part(of_images), side, side),
            ops.reshape(_invert(of_kernel, side, size), kernel.shape),
        )

    return _invert(_part(product), side, side - size + 1), differentiate


def _transform(planes, side):
    """Computes the spectra of real planes, padded with zeros to `side`.

    Args:
        planes: `[batch, height, width, channels]`.
        side: of the transform.

    Returns:
        `[side // 2 + 1, side, batch, 2, channels]`: vertical and horizontal
        frequencies; real and imaginary parts.
    """
    _, height, width, channels = planes.shape
    rows, columns, _, _ = _make_matrices(side)
    columns = columns.reshape(2 * side, 2, side)[:, :, :width]
    planes = ops.reshape(planes, (-1, height, width * channels))
    x = ops.matmul(rows[:, :height], planes)
    x = ops.reshape(x, (-1, len(rows) // 2, 2 * width, channels))
    x = ops.matmul(columns.reshape(2 * side, -1), x)
    x = ops.reshape(x, (-1, len(rows) // 2, 2, side, channels))
    return ops.transpose(x, (1, 3, 0, 2, 4))


def _invert(spectra, side, size):
    """Computes the upper left `size` x `size` of planes from their spectra."""
    frequencies, _, _, _, channels = spectra.shape
    _, _, columns, rows = _make_matrices(side)
    columns = columns.reshape(2, side, 2 * side)[:, :size]
    x = ops.transpose(spectra, (2, 0, 3, 1, 4))
    x = ops.reshape(x, (-1, frequencies, 2 * side, channels))
    x = ops.matmul(columns.reshape(2 * size, -1), x)
    x = ops.reshape(x, (-1, 2 * frequencies, size * channels))
    x = ops.matmul(rows[:size], x)
    return ops.reshape(x, (-1, size, size, channels))


@functools.cache
def _make_matrices(side):
    """Makes the real matrices that transform rows and columns, and back.

    Rows are real and need half the frequencies; columns are complex by then.
    Real and imaginary parts alternate in the spectrum of a row; elsewhere all
    real parts come first.

    Returns:
        float32 `[2 * frequencies, side]`, `[2 * side, 2 * side]`, and for the
        inverse `[2 * side, 2 * side]`, `[side, 2 * frequencies]`.
    """
    frequencies = side // 2 + 1
    angle = 2 * math.pi / side * np.outer(np.arange(side), np.arange(side))
    cos, sin = np.cos(angle), np.sin(angle)
    rows = np.stack([cos, -sin], axis=1)[:frequencies].reshape(-1, side)
    columns = np.block([[cos, sin], [-sin, cos]])
    # Each stands for two, except the first and, if `side` is even, the last.
    weight = np.full(frequencies, 2.0)
    weight[:: side // 2 if side % 2 == 0 else side] = 1.0
    back = rows.T * np.repeat(weight, 2) / side
    return tuple(
        matrix.astype(np.float32)
        for matrix in (rows, columns, columns.T / side, back)
    )


def _join(spectra):
    """Joins real and imaginary parts, `[..., batch, 2 * channels]`."""
    *places, _, parts, channels = spectra.shape
    return ops.reshape(spectra, (*places, -1, parts * channels))


def _part(joined):
    """The inverse of `_join`."""
    *places, _, channels = joined.shape
    return ops.reshape(joined, (*places, -1, 2, channels // 2))


def _swap(matrices):
    return ops.transpose(matrices, (0, 1, 3, 2))


def _stack_complex(spectra, channels):
    """Makes real matrices that multiply by a kernel's conjugate spectra.

    Args:
        spectra: of the kernel, `[..., 1, 2, channels * filters]`.
        channels: of the kernel.

    Returns:
        `[..., 2 * channels, 2 * filters]`.
    """
    *places, _, parts, planes = spectra.shape
    spectra = ops.reshape(
        spectra, (*places, parts, channels, planes // channels)
    )
    real, imaginary = spectra[..., 0, :, :], spectra[..., 1, :, :]
    upper = ops.concatenate([real, -imaginary], axis=-1)
    lower = ops.concatenate([imaginary, real], axis=-1)
    return ops.concatenate([upper, lower], axis=-2)


def _sum_complex(products, channels):
    """Computes the spectra of a kernel's gradient from products of parts.

    Args:
        products: `[..., 2 * channels, 2 * filters]`.
        channels: of the kernel.

    Returns:
        `[..., 1, 2, channels * filters]`.
    """
    *places, _, filters = products.shape
    filters //= 2
    upper, lower = products[..., :channels, :], products[..., channels:, :]
    real = upper[..., :filters] + lower[..., filters:]
    imaginary = lower[..., :filters] - upper[..., filters:]
    spectra = ops.stack([real, imaginary], axis=-3)
    return ops.reshape(spectra, (*places, 1, 2, channels * filters))
