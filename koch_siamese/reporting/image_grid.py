"""Framed images in a grid, with a heading and titles that fit."""

import functools
import textwrap
import warnings

import numpy as np
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from koch_siamese.images import WHITE
from koch_siamese.reporting.colors import FAINT
from koch_siamese.reporting.text import to_printable

# Fonts of various systems, with Chinese, Japanese and Korean characters.
WIDE_FONTS = (
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "Hiragino Sans",
    "PingFang SC",
    "Yu Gothic",
    "Microsoft YaHei",
    "Malgun Gothic",
    "WenQuanYi Micro Hei",
)
GAP_INCHES = 0.08
LINE_INCHES = 0.17
MIN_WIDTH_INCHES = 3.6  # of a grid with a heading
TITLE_POINTS, HEADING_POINTS = 9, 10
POINTS_PER_INCH = 72


class ImageGrid:
    """Framed images with titles in a grid, all in one axes.

    Separate axes for each image would take most of the time of a short
    training.

    Attributes:
        figure: the Matplotlib figure.
    """

    def __init__(
        self, shape, height, *, width=None, heading=None, title_lines=1
    ):
        """Makes an empty figure.

        Args:
            shape: rows and columns.
            height, width: of an image in inches; by default it is a square.
            heading: a sentence above all images, wrapped to their width.
            title_lines: lines of the title above each image.
        """
        rows, columns = shape
        self._height, self._width = height, width or height
        self._title_height = GAP_INCHES + LINE_INCHES * title_lines
        across = columns * (self._width + GAP_INCHES) + GAP_INCHES
        down = rows * (height + self._title_height) + GAP_INCHES
        top = 0
        if heading:
            across = max(across, MIN_WIDTH_INCHES)
            # A pessimistic mean, so that the heading stays within the figure.
            points_per_character = 0.6 * HEADING_POINTS
            length = int(across * POINTS_PER_INCH / points_per_character)
            heading = textwrap.fill(heading, length)
            top = 0.14 + 0.17 * (1 + heading.count("\n"))
        self.figure = Figure(figsize=(across, down + top))
        self._axis = self.figure.add_axes((0, 0, 1, down / (down + top)))
        self._axis.set(xlim=(0, across), ylim=(down, 0), autoscale_on=False)
        self._axis.axis("off")
        if heading:
            self.figure.suptitle(
                heading,
                x=GAP_INCHES / across,
                y=1 - 0.08 / (down + top),
                ha="left",
                fontsize=HEADING_POINTS,
            )

    def show(self, row, column, image, frame, title="", **style):
        """Shows an image in a colored frame, with a title above it.

        Args:
            row, column: its position; fractions leave gaps.
            image: `[height, width]` or `[height, width, channels]` with 1 or 3
                channels; 0 is black, 255 white.
            frame: the color of the frame.
            title: the text above the image.
            style: options of Matplotlib's `text` for the title.
        """
        left = GAP_INCHES + column * (self._width + GAP_INCHES)
        top = self._title_height + row * (self._height + self._title_height)
        right, bottom = left + self._width, top + self._height
        self._axis.imshow(
            np.asarray(image).round().astype(np.uint8),
            cmap="gray",
            vmin=0,
            vmax=WHITE,
            extent=(left, right, bottom, top),
            aspect="auto",
        )
        self._axis.add_patch(
            Rectangle(
                (left, top),
                self._width,
                self._height,
                fill=False,
                edgecolor=frame,
                linewidth=1 if frame == FAINT else 2.5,
            )
        )
        if title:
            style = {"ha": "center", "fontsize": TITLE_POINTS} | style
            self._axis.text(
                (left + right) / 2,
                top - 0.04,
                title,
                va="bottom",
                parse_math=False,  # a dollar sign starts no formula
                **style,
            )

    def fit(self, name):
        """Shortens a user's name to one line as wide as an image."""
        # Letters of a small font are up to 5 % wider than measured.
        width = 0.95 * self._width * POINTS_PER_INCH
        return fit_text(to_printable(name), width)


@functools.cache
def find_families():
    """Lists the default font, and installed ones for scripts that it lacks."""
    installed = set(font_manager.get_font_names())
    return ["DejaVu Sans", *(x for x in WIDE_FONTS if x in installed)]


def fit_text(text, points):
    """Cuts out the middle of a title that is wider than `points`.

    The names of files and of classes often differ only at their ends.
    """
    kept = len(text)
    short = text
    while kept > 2 and _measure(short) > points:
        kept -= 1
        short = text[: (kept + 1) // 2] + "…" + text[-(kept // 2) :]
    return short


def _measure(text):
    """Measures the width of a title in points."""
    paths = [font_manager.findfont(x) for x in find_families()]
    font = font_manager.get_font(paths)
    # Ten times as large, since a small font rounds the width of each letter.
    font.set_size(10 * TITLE_POINTS, POINTS_PER_INCH)
    with warnings.catch_warnings():
        # No installed font has all characters; a box replaces a missing one.
        warnings.filterwarnings("ignore", "Glyph .* missing")
        font.set_text(text)
    return font.get_width_height()[0] / 64 / 10  # FreeType counts in 64ths
