"""Pictures of drawings: pairs, trials, answers; and how a picture is kept."""

import functools
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from koch_siamese.backend import has_tensorflow
from koch_siamese.errors import InputError
from koch_siamese.evaluation.metrics import compute_margins
from koch_siamese.images import WHITE
from koch_siamese.inference.gallery import Answer, Verdict
from koch_siamese.reporting.text import to_printable
from koch_siamese.runs.results import writing_events
from koch_siamese.sampling.pairs import Pairs
from koch_siamese.sampling.trials import Trials

# With Chinese, Japanese and Korean characters, on one system or another.
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
# Of Okabe and Ito's palette, which color-blind readers can tell apart.
BLUE, VERMILION, GREY = "#0072B2", "#D55E00", "#BBBBBB"


TITLE_INCHES = 0.22
GAP_INCHES = 0.08


class _Sheet:
    """Framed images with titles in a grid, all in one axes.

    An axes for each image would take most of the time of a short training.
    """

    def __init__(
        self, shape, height, *, width=None, heading=None, has_titles=True
    ):
        """Makes an empty figure.

        Args:
            shape: rows and columns.
            height, width: of an image in inches; by default it is a square.
            heading: a line above all images.
            has_titles: whether there is room for a title above each image.
        """
        rows, columns = shape
        self._height, self._width = height, width or height
        self._title_height = TITLE_INCHES if has_titles else GAP_INCHES
        across = columns * (self._width + GAP_INCHES) + GAP_INCHES
        down = rows * (height + self._title_height) + GAP_INCHES
        top = 0.35 if heading else 0
        self.figure = Figure(figsize=(across, down + top))
        self._axis = self.figure.add_axes((0, 0, 1, down / (down + top)))
        self._axis.set(xlim=(0, across), ylim=(down, 0), autoscale_on=False)
        self._axis.axis("off")
        if heading:
            self.figure.suptitle(heading, y=1 - 0.08 / (down + top))

    def show(self, row, column, image, frame, title="", caption="", **style):
        """Shows an image in a frame of a color, with a title above it.

        Args:
            row, column: its place; a part of a column is a gap.
            image: `[height, width]` or `[height, width, channels]`, 1 or 3;
                0 is black, 255 white.
            frame: its color.
            title: above the image.
            caption: at the image's lower edge.
            style: of the title, for Matplotlib's `text`.
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
                linewidth=1 if frame == GREY else 2.5,
            )
        )
        center = (left + right) / 2
        style = {"ha": "center", "va": "bottom", "fontsize": 9} | style
        if title:
            self._axis.text(center, top - 0.04, title, **style)
        if caption:
            box = {"facecolor": "white", "edgecolor": "none", "pad": 1}
            self._axis.text(center, bottom - 0.04, caption, bbox=box, **style)


def draw_pairs(
    first: np.ndarray, second: np.ndarray, same: np.ndarray, columns: int = 8
) -> Figure:
    """A sheet of pairs, one drawing above the other.

    Args:
        first, second: `[num_pairs, height, width, channels]`, 0 = ink, 255 =
            white.
        same: `[num_pairs]`, 1 = same character, 0 = different.
        columns: pairs side by side.
    """
    sheet = _Sheet((-(-len(same) // columns) * 2, columns), 0.85)
    for pair, (upper, lower, label) in enumerate(
        zip(first, second, same, strict=True)
    ):
        row, column = divmod(pair, columns)
        color = BLUE if label else VERMILION
        title = "same" if label else "different"
        sheet.show(2 * row, column, upper, color, title, color=color)
        sheet.show(2 * row + 1, column, lower, color)
    return sheet.figure


def draw_worst_pairs(
    images: np.ndarray, pairs: Pairs, scores: np.ndarray, num: int = 12
) -> Figure:
    """Draws the validation pairs with the worst scores, same and different.

    First the same pairs with the lowest scores, then the different pairs with
    the highest. A pair's images stand side by side, below its score; a pair
    that occurs several times is shown once.

    Args:
        images: uint8 `[num_drawings, height, width]`, or with 1 or 3 channels
            behind.
        pairs: of these drawings.
        scores: float `[num_pairs]`, of any scale, higher is more alike.
        num: how many pairs of either kind, at most.
    """
    columns = 6
    kinds = [
        (_choose_worst(pairs, scores, label, num), label) for label in (1, 0)
    ]
    rows = [-(-len(chosen) // columns) for chosen, _ in kinds]
    sheet = _Sheet(
        (sum(rows), columns),
        0.9,
        width=1.8,
        heading="validation pairs: same ones with the lowest scores, different "
        "ones with the highest",
    )
    for (chosen, label), first_row in zip(kinds, (0, rows[0]), strict=True):
        color = BLUE if label else VERMILION
        kind = "same" if label else "different"
        for index, pair in enumerate(chosen):
            row, column = divmod(index, columns)
            sheet.show(
                first_row + row,
                column,
                _join(images[pairs.first[pair]], images[pairs.second[pair]]),
                color,
                f"{kind} {scores[pair]:.1f}",
                color=color,
            )
    return sheet.figure


def _choose_worst(pairs, scores, label, num):
    """Pairs of a label, the worst first, each two drawings once."""
    chosen = np.flatnonzero(pairs.same == label)
    sign = 1 if label else -1
    chosen = chosen[np.argsort(sign * scores[chosen], kind="stable")]
    drawings = np.sort(np.stack([pairs.first, pairs.second])[:, chosen], axis=0)
    _, first = np.unique(drawings, axis=1, return_index=True)
    return chosen[np.sort(first)[:num]]


def _join(first, second):
    """Two images side by side, with a grey line between them."""
    line = np.full_like(first[:, : 1 + first.shape[1] // 50], WHITE // 2)
    return np.concatenate([first, line, second], axis=1)


def draw_trials(
    images: np.ndarray, trials: Trials, scores: np.ndarray, num: int = 3
) -> Figure:
    """A sheet of trials with the answers given, wrong ones first.

    Each row is a trial: the query, then its candidates from the highest score
    down; the true one is framed in blue, a wrong answer in vermilion.

    Args:
        images: uint8 `[num_drawings, height, width,
            channels]`.
        trials: over these drawings; a candidate's first shot is shown.
        scores: float `[num_trials, ways]`.
        num: how many trials, at most; half of them wrong ones, if there are.
    """
    wrong = scores.argmax(axis=1) != trials.answer
    chosen = np.argsort(~wrong, kind="stable")
    # Half of them mistakes, where there are any: both kinds teach something.
    mistakes = min(wrong.sum(), (num + 1) // 2)
    chosen = np.r_[chosen[:mistakes], chosen[wrong.sum() :]][:num]
    return _draw_trials(images, trials, scores, chosen)


def draw_hardest_trials(
    images: np.ndarray, trials: Trials, scores: np.ndarray, num: int = 8
) -> Figure:
    """The trials that are lost by most, one of each query.

    Arguments are those of `draw_trials`.
    """
    order = np.argsort(compute_margins(scores, trials.answer), kind="stable")
    _, first = np.unique(trials.query[order], return_index=True)
    chosen = order[np.sort(first)[:num]]
    return _draw_trials(images, trials, scores, chosen)


def _draw_trials(images, trials, scores, chosen):
    columns = min(trials.ways, 10)
    sheet = _Sheet((len(chosen), columns + 1), 0.85)
    for row, trial in enumerate(chosen):
        sheet.show(row, 0, images[trials.query[trial]], "black", "query")
        order = np.argsort(-scores[trial], kind="stable")[:columns]
        if trials.answer[trial] not in order:
            order[-1] = trials.answer[trial]  # always to be seen
        for rank, way in enumerate(order):
            correct = way == trials.answer[trial]
            color = BLUE if correct else VERMILION if rank == 0 else GREY
            sheet.show(
                row,
                rank + 1,
                images[trials.support[trial, way, 0]],
                color,
                f"{scores[trial, way]:.1f}",
                color="black" if color == GREY else color,
            )
    return sheet.figure


def draw_answers(
    queries: np.ndarray,
    images: np.ndarray,
    names: Sequence[str],
    answers: Sequence[Answer],
    query_names: Sequence[str] = (),
    num: int = 24,
) -> Figure:
    """Queries, each with its best character and the runner-up beside it.

    Args:
        queries: uint8 `[num_queries, height, width, channels]`.
        images: uint8 `[num_drawings, height, width,
            channels]`, the supports.
        names: the character of each support; the first one is shown.
        answers: to the queries.
        query_names: titles of the queries, if they have some.
        num: how many queries, at most.
    """
    total, answers = len(answers), answers[:num]
    titles = query_names or ["query"] * total
    columns = max(1, min(4, len(answers)))
    rows = max(1, -(-len(answers) // columns))
    heading = f"the first {num} of {total} queries" if total > num else None
    step = 3.3  # three images, and a gap between the answers
    shape = rows, step * columns - 0.3
    sheet = _Sheet(shape, 1.15, heading=heading)
    shown = dict(zip(reversed(names), images[::-1], strict=True))
    fonts = {"fontfamily": _find_families()}
    for index, (query, title, answer) in enumerate(
        zip(queries, titles, answers, strict=False)
    ):
        row, column = divmod(index, columns)
        column *= step
        caption = "" if answer.name else "none of these"
        title = _shorten(title)
        sheet.show(row, column, query, "black", title, caption, **fonts)
        best_frame = BLUE if answer.name else GREY
        for place, candidate, frame in (
            (1, answer.best, best_frame),
            (2, answer.runner_up, GREY),
        ):
            if candidate and candidate.name in shown:
                title = f"{_shorten(candidate.name)} {candidate.score:.1f}"
                image = shown[candidate.name]
                sheet.show(row, column + place, image, frame, title, **fonts)
    return sheet.figure


def draw_verdict(
    first: np.ndarray, second: np.ndarray, verdict: Verdict
) -> Figure:
    """Draws two images, and whether they show the same.

    Args:
        first, second: uint8 `[height, width]` or `[height, width, channels]`.
        verdict: on them.
    """
    word = {True: "same, ", False: "different, ", None: ""}[verdict.same]
    heading = f"{word}score {verdict.score:.2f}"
    sheet = _Sheet((1, 2.2), 1.5, heading=heading)
    frame = BLUE if verdict.same else GREY
    sheet.show(0, 0, first, frame, "first", "")
    sheet.show(0, 1.2, second, frame, "second", "")
    return sheet.figure


@functools.cache
def _find_families():
    """The default, and what is installed for scripts that it lacks."""
    installed = set(font_manager.get_font_names())
    return ["DejaVu Sans", *(x for x in WIDE_FONTS if x in installed)]


def _shorten(name, length=14):
    """A title that fits; a dollar sign starts no formula."""
    name = to_printable(name)
    name = name if len(name) <= length else name[: length - 3] + "..."
    return name.replace("$", r"\$")


def draw_confusions(
    images: np.ndarray,
    character: np.ndarray,
    trials: Trials,
    scores: np.ndarray,
    num: int = 12,
) -> Figure:
    """Draws the validation characters that are confused most often.

    Args:
        images: uint8 `[num_drawings, height, width,
            channels]`.
        character: int `[num_drawings]`.
        trials: over these drawings.
        scores: float `[num_trials, ways]`.
        num: how many pairs of characters, at most.
    """
    given = trials.support[np.arange(len(trials)), scores.argmax(axis=1), 0]
    wrong = character[given] != character[trials.query]
    drawings = np.c_[trials.query, given][wrong]
    _, example, count = np.unique(
        np.sort(character[drawings], axis=1),
        axis=0,
        return_index=True,
        return_counts=True,
    )
    chosen = np.argsort(-count, kind="stable")[:num]
    columns = 6
    rows = max(1, -(-len(chosen) // columns))
    heading = (
        f"{wrong.sum()} of {len(trials)} answers on validation are wrong; most "
        "frequent confusions:"
    )
    sheet = _Sheet((rows, columns), 0.9, width=1.8, heading=heading)
    for index, pair in enumerate(chosen):
        side_by_side = np.concatenate(images[drawings[example[pair]]], axis=1)
        sheet.show(
            *divmod(index, columns), side_by_side, GREY, f"{count[pair]} x"
        )
    return sheet.figure


def draw_filters(filters: np.ndarray, columns: int = 16) -> Figure:
    """The filters of the first layer (Koch et al. 2015, figure 7).

    Args:
        filters: float `[height, width, channels, num]`; grey is 0, and each
            filter has its own contrast.
        columns: filters side by side.
    """
    num = filters.shape[-1]
    sheet = _Sheet((-(-num // columns), columns), 0.4, has_titles=False)
    for index in range(num):
        contrast = filters[..., index] / np.abs(filters[..., index]).max()
        grey = WHITE * (contrast + 1) / 2
        sheet.show(*divmod(index, columns), grey, GREY)
    return sheet.figure


def save_figure(figure: Figure, path: Path, tensorboard: Path | None = None):
    """Writes a PNG, and the same picture for TensorBoard.

    Raises:
        InputError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with warnings.catch_warnings():
            # No installed font has them all; a box stands for what it lacks.
            warnings.filterwarnings("ignore", "Glyph .* missing")
            figure.savefig(path, dpi=120)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error}.") from error
    if tensorboard and has_tensorflow():
        import tensorflow as tf

        writer = tf.summary.create_file_writer
        with writing_events(tensorboard), writer(str(tensorboard)).as_default():
            picture = tf.io.decode_png(path.read_bytes(), channels=3)
            tf.summary.image(path.stem, picture[np.newaxis], step=0)
