"""Pictures of drawings: pairs, trials, answers; and how a picture is kept."""

import functools
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import font_manager
from matplotlib.figure import Figure

from koch_siamese.errors import InputError
from koch_siamese.evaluation.metrics import compute_margins
from koch_siamese.images import WHITE
from koch_siamese.inference.gallery import Answer
from koch_siamese.reporting.text import to_printable
from koch_siamese.runs.results import writing_events
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


def draw_pairs(
    first: np.ndarray, second: np.ndarray, same: np.ndarray, columns: int = 8
) -> Figure:
    """A sheet of pairs, one drawing above the other.

    Args:
        first, second: `[num_pairs, height, width]`, 0 = ink, 255 = white.
        same: `[num_pairs]`, 1 = same character, 0 = different.
        columns: pairs side by side.
    """
    rows = -(-len(same) // columns)
    figure = Figure(figsize=(columns * 1.0, rows * 2.3), layout="constrained")
    axes = figure.subplots(rows * 2, columns, squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for pair, (upper, lower, label) in enumerate(
        zip(first, second, same, strict=True)
    ):
        row, column = divmod(pair, columns)
        color = BLUE if label else VERMILION
        _show(axes[2 * row, column], upper, color)
        _show(axes[2 * row + 1, column], lower, color)
        axes[2 * row, column].set_title(
            "same" if label else "different", color=color, fontsize=9
        )
    return figure


def draw_trials(
    images: np.ndarray, trials: Trials, scores: np.ndarray, num: int = 3
) -> Figure:
    """A sheet of trials with the answers given, wrong ones first.

    Each row is a trial: the query, then its candidates from the highest score
    down; the true one is framed in blue, a wrong answer in vermilion.

    Args:
        images: uint8 `[num_drawings, height, width]`.
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
    columns = min(trials.ways, 10) + 1
    figure = Figure(
        figsize=(columns * 0.9, len(chosen) * 1.15), layout="constrained"
    )
    axes = figure.subplots(len(chosen), columns, squeeze=False)
    for row, trial in zip(axes, chosen, strict=True):
        _show(row[0], images[trials.query[trial]], "black")
        row[0].set_title("query", fontsize=9)
        order = np.argsort(-scores[trial], kind="stable")[: columns - 1]
        if trials.answer[trial] not in order:
            order[-1] = trials.answer[trial]  # always to be seen
        for rank, (axis, way) in enumerate(zip(row[1:], order, strict=False)):
            right = way == trials.answer[trial]
            color = BLUE if right else VERMILION if rank == 0 else GREY
            _show(axis, images[trials.support[trial, way, 0]], color)
            axis.set_title(
                f"{scores[trial, way]:.1f}",
                fontsize=9,
                color="black" if color == GREY else color,
            )
    return figure


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
        queries: uint8 `[num_queries, height, width]`.
        images: uint8 `[num_drawings, height, width]`, the supports.
        names: the character of each support; the first one is shown.
        answers: to the queries.
        query_names: titles of the queries, if they have some.
        num: how many queries, at most.
    """
    total, answers = len(answers), answers[:num]
    titles = query_names or ["query"] * total
    columns = max(1, min(4, len(answers)))
    rows = max(1, -(-len(answers) // columns))
    figure = Figure(figsize=(columns * 3.6, rows * 1.6), layout="constrained")
    axes = figure.subplots(rows, 3 * columns, squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    shown = dict(zip(reversed(names), images[::-1], strict=True))
    if total > num:
        figure.suptitle(f"the first {num} of {total} queries")
    for triple, query, title, answer in zip(
        axes.reshape(-1, 3), queries, titles, answers, strict=False
    ):
        _show(triple[0], query, "black")
        _set_title(triple[0], _shorten(title))
        if not answer.character:
            triple[0].set_xlabel("none of these", fontsize=9)
        for axis, name, score, color in (
            (triple[1], answer.best, answer.score, BLUE),
            (triple[2], answer.runner_up, answer.runner_up_score, GREY),
        ):
            if name in shown:
                _show(axis, shown[name], color if answer.character else GREY)
                _set_title(axis, f"{_shorten(name)} {score:.1f}")
    return figure


def _set_title(axis, text):
    """A title of whatever a user calls things."""
    axis.set_title(text, fontsize=9, fontfamily=_find_families())


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
        images: uint8 `[num_drawings, height, width]`.
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
    figure = Figure(figsize=(columns * 1.9, rows * 1.35), layout="constrained")
    figure.suptitle(
        f"{wrong.sum()} of {len(trials)} answers on validation are wrong; most "
        "frequent confusions:"
    )
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, pair in zip(axes.flat, chosen, strict=False):
        side_by_side = np.concatenate(images[drawings[example[pair]]], axis=1)
        _show(axis, side_by_side, GREY)
        axis.set_title(f"{count[pair]} x", fontsize=9)
    return figure


def draw_filters(filters: np.ndarray, columns: int = 16) -> Figure:
    """The filters of the first layer (Koch et al. 2015, figure 7).

    Args:
        filters: float `[height, width, num]`; grey is 0, and each filter has
            its own contrast.
        columns: filters side by side.
    """
    num = filters.shape[-1]
    rows = -(-num // columns)
    figure = Figure(figsize=(columns * 0.5, rows * 0.5), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for index, axis in zip(range(num), axes.flat, strict=False):
        limit = np.abs(filters[..., index]).max()
        axis.imshow(filters[..., index], cmap="gray", vmin=-limit, vmax=limit)
    return figure


def _show(axis, image, color):
    """Draws an image in a frame of a color."""
    axis.axis("on")
    axis.imshow(image, cmap="gray", vmin=0, vmax=WHITE)
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set(color=color, linewidth=1 if color == GREY else 2.5)


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
    if tensorboard:
        import tensorflow as tf

        writer = tf.summary.create_file_writer
        with writing_events(tensorboard), writer(str(tensorboard)).as_default():
            picture = tf.io.decode_png(path.read_bytes(), channels=3)
            tf.summary.image(path.stem, picture[np.newaxis], step=0)
