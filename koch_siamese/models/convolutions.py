"""A convolution by Fourier transforms, for training on a CPU.

The 7 x 7 convolution is 78 % of the arithmetic of the paper's network. The
spectrum of a convolution is a product of spectra, which takes a tenth of that.
The transforms are matrix products, too, which are fast on CPUs.
"""

import functools
import math
from typing import NamedTuple

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
    rounding errors differ, and are smaller in float32. A custom gradient
    computes three products from three spectra. It cannot be differentiated
    again.

    Strides, dilations and groups must be 1, padding `valid`, and images square
    with a known side; see `is_faster_by_spectra`.

    Args:
        *args: of `keras.layers.Conv2D`.
        gradient_dtype: float32 or bfloat16, in which gradients are computed.
        **kwargs: of `keras.layers.Conv2D`.
    """

    def __init__(self, *args, gradient_dtype: str = "float32", **kwargs):
        """Makes the layer."""
        super().__init__(*args, **kwargs)
        self.gradient_dtype = gradient_dtype

    def convolution_op(self, inputs, kernel):
        """Convolves; see Keras."""
        # A copy: TensorFlow has other rules for gradients of variables.
        return convolve(inputs, ops.copy(kernel), self.gradient_dtype)

    def get_config(self):
        """Returns the config of the layer."""
        own = {"gradient_dtype": self.gradient_dtype}
        return super().get_config() | own


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
    positions = side - kernel_size + 1
    direct = positions**2 * kernel_size**2 * channels * filters
    frequencies = side // 2 + 1
    product = 4 * side * frequencies * channels * filters
    transform = 2 * side * side * frequencies * (1 + 2) * (channels + filters)
    return direct / (product + transform)


def convolve(images, kernel, gradient_dtype: str = "float32"):
    """Computes the valid convolution (a correlation, as in Keras) by spectra.

    Args:
        images: `[batch, side, side, channels]`, with a known side.
        kernel: `[size, size, channels, filters]`.
        gradient_dtype: float32 or bfloat16, in which gradients are computed.

    Returns:
        `[batch, side - size + 1, side - size + 1, filters]`.
    """
    side, size = images.shape[1], kernel.shape[0]

    @ops.custom_gradient
    def convolve_and_differentiate(images, kernel):
        spectra = _transform_images(images, side)
        kernel_spectra = _transform_kernel(kernel, side)
        product = ops.matmul(spectra, kernel_spectra)

        def differentiate(upstream):
            def cast(x):
                return ops.cast(x, gradient_dtype)

            gradient = _transform_images(cast(upstream), side)
            of_images = ops.matmul(gradient, _swap(cast(kernel_spectra)))
            of_kernel = ops.matmul(_swap(cast(spectra)), gradient)
            return (
                ops.cast(_invert_images(of_images, side), images.dtype),
                ops.cast(_invert_kernel(of_kernel, kernel), kernel.dtype),
            )

        return _invert_images(product, side - size + 1), differentiate

    return convolve_and_differentiate(images, kernel)


def _transform_images(images, side):
    """Computes the spectra of real images, padded with zeros to `side`.

    Args:
        images: `[batch, height, width, channels]`.
        side: of the transform.

    Returns:
        `[side // 2 + 1, side, batch, 2 * channels]`: vertical and horizontal
        frequencies; the real parts of all channels, then the imaginary parts.
    """
    channels = images.shape[-1]
    x = _transform(images, _make_matrices(side).columns)
    x = ops.reshape(x, (-1, side // 2 + 1, 2, side, channels))
    x = ops.transpose(x, (1, 3, 0, 2, 4))
    return ops.reshape(x, (side // 2 + 1, side, -1, 2 * channels))


def _invert_images(spectra, size):
    """Computes the upper left `size` x `size` of images from their spectra."""
    frequencies, side, _, parts = spectra.shape
    x = ops.reshape(spectra, (frequencies, side, -1, 2, parts // 2))
    x = ops.transpose(x, (2, 0, 3, 1, 4))
    x = ops.reshape(x, (-1, frequencies, 2 * side, parts // 2))
    return _invert(x, side, size, _make_matrices(side).inverse_columns)


def _transform_kernel(kernel, side):
    """Makes real matrices that multiply spectra by a kernel's conjugate ones.

    Args:
        kernel: `[size, size, channels, filters]`.
        side: of the transform.

    Returns:
        `[side // 2 + 1, side, 2 * channels, 2 * filters]`.
    """
    size, _, channels, filters = kernel.shape
    planes = ops.reshape(kernel, (1, size, size, channels * filters))
    x = _transform(planes, _make_matrices(side).kernel_columns)
    x = ops.reshape(x, (side // 2 + 1, 2, 2, side, channels, filters))
    x = ops.transpose(x, (0, 3, 1, 4, 2, 5))
    return ops.reshape(x, (side // 2 + 1, side, 2 * channels, 2 * filters))


def _invert_kernel(spectra, kernel):
    """Computes a kernel's gradient from that of `_transform_kernel`."""
    size, _, channels, filters = kernel.shape
    frequencies, side, _, _ = spectra.shape
    x = ops.reshape(spectra, (frequencies, side, 2, channels, 2, filters))
    x = ops.transpose(x, (0, 2, 4, 1, 3, 5))
    x = ops.reshape(x, (1, frequencies, 4 * side, channels * filters))
    x = _invert(x, side, size, _make_matrices(side).inverse_kernel_columns)
    return ops.reshape(x, kernel.shape)


def _transform(planes, columns):
    """Transforms rows, then columns.

    Args:
        planes: `[batch, height, width, channels]`.
        columns: one of `_make_matrices`, `[parts, 2, side]`.

    Returns:
        `[batch, side // 2 + 1, parts, channels]`.
    """
    _, height, width, channels = planes.shape
    parts, _, side = columns.shape
    columns = columns[:, :, :width].reshape(parts, 2 * width)
    rows = _make_matrices(side).rows[:, :height]
    x = ops.reshape(planes, (-1, height, width * channels))
    x = ops.matmul(ops.cast(rows, planes.dtype), x)
    x = ops.reshape(x, (-1, side // 2 + 1, 2 * width, channels))
    return ops.matmul(ops.cast(columns, planes.dtype), x)


def _invert(spectra, side, size, columns):
    """Computes the upper left `size` x `size` of planes; undoes `_transform`.

    Args:
        spectra: `[batch, side // 2 + 1, parts, channels]`.
        side: of the transform.
        size: of the result.
        columns: one of `_make_matrices`, `[2, side, parts]`.
    """
    _, frequencies, parts, channels = spectra.shape
    columns = columns[:, :size].reshape(2 * size, parts)
    rows = _make_matrices(side).inverse_rows[:size]
    x = ops.matmul(ops.cast(columns, spectra.dtype), spectra)
    x = ops.reshape(x, (-1, 2 * frequencies, size * channels))
    x = ops.matmul(ops.cast(rows, spectra.dtype), x)
    return ops.reshape(x, (-1, size, size, channels))


class _Matrices(NamedTuple):
    """Real matrices that transform rows and columns, and back; float32.

    Rows are real and need half the frequencies; columns are complex by then.
    Real and imaginary parts alternate in the spectrum of a row; elsewhere all
    real parts come first. The columns of a kernel have four parts, the real
    matrix [[real, -imaginary], [imaginary, real]] of a complex number.
    """

    rows: np.ndarray  # [2 * frequencies, side]
    columns: np.ndarray  # [2 * side, 2, side]
    kernel_columns: np.ndarray  # [4 * side, 2, side]
    inverse_rows: np.ndarray  # [side, 2 * frequencies]
    inverse_columns: np.ndarray  # [2, side, 2 * side]
    inverse_kernel_columns: np.ndarray  # [2, side, 4 * side]


@functools.cache
def _make_matrices(side):
    frequencies = side // 2 + 1
    angle = 2 * math.pi / side * np.outer(np.arange(side), np.arange(side))
    cos, sin = np.cos(angle), np.sin(angle)
    rows = np.stack([cos, -sin], axis=1)[:frequencies].reshape(-1, side)
    real, imaginary = np.hstack([cos, sin]), np.hstack([-sin, cos])
    columns = np.vstack([real, imaginary])
    kernel_columns = np.vstack([real, -imaginary, imaginary, real])
    # Each stands for two, except the first and, if `side` is even, the last.
    weight = np.full(frequencies, 2.0)
    weight[:: side // 2 if side % 2 == 0 else side] = 1.0
    matrices = (
        rows,
        columns.reshape(-1, 2, side),
        kernel_columns.reshape(-1, 2, side),
        rows.T * np.repeat(weight, 2) / side,
        columns.T.reshape(2, side, -1) / side,
        kernel_columns.T.reshape(2, side, -1) / side,
    )
    return _Matrices(*(matrix.astype(np.float32) for matrix in matrices))


def _swap(matrices):
    return ops.transpose(matrices, (0, 1, 3, 2))
