"""Draws figures of images: pairs, trials and answers; and saves figures."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from koch_siamese.backend import has_tensorflow
from koch_siamese.data.image_errors import make_image_error
from koch_siamese.errors import InputError
from koch_siamese.evaluation.metrics import compute_margins
from koch_siamese.images import WHITE
from koch_siamese.inference.gallery import Answer, Verdict
from koch_siamese.reporting.colors import DIFFERENT, FAINT, RIGHT, SAME, WRONG
from koch_siamese.reporting.image_grid import ImageGrid, find_families
from koch_siamese.reporting.text import format_percent
from koch_siamese.runs.results import writing
from koch_siamese.runs.tensorboard import writing_events
from koch_siamese.sampling.pairs import Pairs
from koch_siamese.sampling.trials import Trials


def draw_pairs(
    first: np.ndarray,
    second: np.ndarray,
    same: np.ndarray,
    columns: int = 8,
    *,
    names: tuple[str, str] | None = None,
    heading: str | None = None,
) -> Figure:
    """Draws pairs of images, one above the other.

    Args:
        first, second: `[num_pairs, height, width, channels]`, 0 = black, 255 =
            white.
        same: `[num_pairs]`, 1 = same class, framed in blue; 0 = different,
            framed in vermilion.
        columns: the largest number of pairs side by side.
        names: titles of the first and the second images, such as `("before",
            "after")`, in place of "same" and "different".
        heading: a sentence above all pairs.

    Raises:
        InputError: the numbers of images and labels differ, or no image has a
            value above 1.
    """
    _check_pairs(first, second, same)
    columns = max(1, min(columns, len(same)))
    height = 0.85
    # Without a title, the second image is close below the first.
    below = 1 if names else 0.83
    rows = -(-len(same) // columns) * (1 + below)
    grid = ImageGrid((rows, columns), height, heading=heading)
    for pair, (upper, lower, label) in enumerate(
        zip(first, second, same, strict=True)
    ):
        row, column = divmod(pair, columns)
        row *= 1 + below
        color = SAME if label else DIFFERENT
        titles = names or ("same" if label else "different", "")
        grid.show(row, column, upper, color, titles[0], color=color)
        grid.show(row + below, column, lower, color, titles[1], color=color)
    return grid.figure


def _check_pairs(first, second, same):
    """Refuses pairs that would be drawn wrongly; see `draw_pairs`."""
    numbers = [len(x) for x in (first, second, same)]
    if len({*numbers}) > 1:
        raise InputError(
            "first, second and same have {}, {} and {} entries: expected as "
            "many of each.".format(*numbers)
        )
    # A photo may be all black, but not all of them.
    if len(same) and max(np.max(first), np.max(second)) <= 1:
        raise make_image_error(
            np.asarray(first),
            "has no value above 1",
            f"0 = black, {WHITE} = white",
            f"multiply its values by {WHITE}",
        )


def draw_worst_pairs(
    images: np.ndarray, pairs: Pairs, scores: np.ndarray, num: int = 12
) -> Figure:
    """Draws the pairs with the worst scores.

    The same pairs with the lowest scores come first, then the different pairs
    with the highest. The images of a pair stand side by side, below its score;
    a pair that occurs several times is shown once.

    Args:
        images: uint8 `[num_drawings, height, width]`, or `[num_drawings,
            height, width, channels]` with 1 or 3 channels.
        pairs: pairs of these drawings.
        scores: float `[num_pairs]`, on any scale, higher is more alike.
        num: the largest number of pairs of each kind.
    """
    kinds = [
        (_choose_worst(pairs, scores, label, num), label) for label in (1, 0)
    ]
    columns = min(6, max(len(chosen) for chosen, _ in kinds))
    rows = [-(-len(chosen) // columns) for chosen, _ in kinds]
    grid = ImageGrid(
        (sum(rows), columns),
        0.9,
        width=1.8,
        heading="The worst scores of validation pairs. Blue: same character, "
        "yet a low score; vermilion: different characters, yet a high score",
    )
    for (chosen, label), first_row in zip(kinds, (0, rows[0]), strict=True):
        color = SAME if label else DIFFERENT
        kind = "same" if label else "different"
        for index, pair in enumerate(chosen):
            row, column = divmod(index, columns)
            grid.show(
                first_row + row,
                column,
                _join(images[pairs.first[pair]], images[pairs.second[pair]]),
                color,
                f"{kind} {scores[pair]:z.1f}",
                color=color,
            )
    return grid.figure


def _choose_worst(pairs, scores, label, num):
    """Chooses pairs of a label, the worst first, without duplicates."""
    chosen = np.flatnonzero(pairs.same == label)
    sign = 1 if label else -1
    chosen = chosen[np.argsort(sign * scores[chosen], kind="stable")]
    drawings = np.sort(np.stack([pairs.first, pairs.second])[:, chosen], axis=0)
    _, first = np.unique(drawings, axis=1, return_index=True)
    return chosen[np.sort(first)[:num]]


def _join(first, second):
    """Puts two images side by side, with a gray line between them."""
    line = np.full_like(first[:, : 1 + first.shape[1] // 50], WHITE // 2)
    return np.concatenate([first, line, second], axis=1)


def draw_trials(
    images: np.ndarray, trials: Trials, scores: np.ndarray, num: int = 3
) -> Figure:
    """Draws trials and their answers, right ones first.

    Each row is a trial: the query, then its candidates from the highest score
    down. The right candidate is framed in blue, a wrong answer in vermilion.

    Args:
        images: uint8 `[num_drawings, height, width, channels]`.
        trials: over these drawings; the first shot of a candidate is shown.
        scores: float `[num_trials, ways]`.
        num: the largest number of trials, up to half of them answered wrongly
            if there are enough right ones.
    """
    is_wrong = scores.argmax(axis=1) != trials.answer
    right, wrong = np.flatnonzero(~is_wrong), np.flatnonzero(is_wrong)
    num_wrong = max(min(len(wrong), num // 2), num - len(right))
    chosen = np.r_[right[: num - num_wrong], wrong[:num_wrong]]
    share = format_percent(len(right) / len(scores))
    heading = f"Examples of trials, of which {share} % are right. "
    return _draw_trials(images, trials, scores, chosen, heading)


def draw_hardest_trials(
    images: np.ndarray, trials: Trials, scores: np.ndarray, num: int = 8
) -> Figure:
    """Draws the trials with the lowest margins, one for each query.

    See `draw_trials` for the arguments.
    """
    order = np.argsort(compute_margins(scores, trials.answer), kind="stable")
    _, first = np.unique(trials.query[order], return_index=True)
    chosen = order[np.sort(first)[:num]]
    heading = "The hardest trials. "
    return _draw_trials(images, trials, scores, chosen, heading)


NUM_SHOWN = 10  # candidates of a trial


def _draw_trials(images, trials, scores, chosen, heading=""):
    columns = min(trials.ways, NUM_SHOWN)
    orders = np.argsort(-scores[chosen], axis=1, kind="stable")
    answers = trials.answer[chosen, np.newaxis]
    ranks = np.argmax(orders == answers, axis=1)  # 0 where it is the best
    is_beyond = ranks >= columns
    gap = 0.4 if is_beyond.any() else 0
    # An untrained model gives scores that hardly differ.
    digits = 1 if np.ptp(scores[chosen]) >= 1 else 3
    grid = ImageGrid(
        (len(chosen), columns + 1 + gap),
        0.85,
        heading=heading + _describe_trials(trials.ways, bool(gap)),
    )
    for row, (trial, order) in enumerate(zip(chosen, orders, strict=True)):
        grid.show(row, 0, images[trials.query[trial]], "black", "query")
        for rank in range(columns):
            column = rank + 1
            if is_beyond[row] and rank == columns - 1:
                rank, column = ranks[row], column + gap
            way = order[rank]
            is_right = way == trials.answer[trial]
            color = RIGHT if is_right else FAINT if rank else WRONG
            score = f"{scores[trial, way]:z.{digits}f}"
            grid.show(
                row,
                column,
                images[trials.support[trial, way, 0]],
                color,
                score if rank < columns else f"#{rank + 1}: {score}",
                color="black" if color == FAINT else color,
            )
    return grid.figure


def _describe_trials(ways, has_gap):
    """Describes a row of trials."""
    shown = f"its {ways} candidates, best first,"
    if ways > NUM_SHOWN:
        shown = f"the {NUM_SHOWN} best of {ways} candidates"
    if has_gap:
        shown = f"the best of {ways} candidates and the right one,"
    return (
        f"Query, then {shown} with scores. Blue: the right one; vermilion: a "
        "wrong answer"
    )


def draw_answers(
    queries: np.ndarray,
    images: np.ndarray,
    names: Sequence[str],
    answers: Sequence[Answer],
    query_names: Sequence[str] = (),
    num: int = 24,
) -> Figure:
    """Draws queries, each beside its best candidate and the runner-up.

    Args:
        queries: uint8 `[num_queries, height, width, channels]`.
        images: uint8 `[num_drawings, height, width, channels]`, the supports.
        names: the class of each support; the first one of a class is shown.
        answers: the answers to the queries.
        query_names: the titles of the queries, if they have any.
        num: the largest number of queries.
    """
    total, answers = len(answers), answers[:num]
    titles = query_names or ["query"] * total
    columns = max(1, min(3, len(answers)))
    rows = max(1, -(-len(answers) // columns))
    heading = "Query, best candidate and runner-up, with their scores. "
    if total > num:
        heading += f"The first {num} of {total} queries. "
    heading += "Blue: accepted as the same"
    step = 3.4  # three images, and a gap between the answers
    shape = rows, step * columns - 0.4
    grid = ImageGrid(shape, 1.15, heading=heading, title_lines=2)
    shown = dict(zip(reversed(names), images[::-1], strict=True))
    fonts = {"fontfamily": find_families()}
    for index, (query, title, answer) in enumerate(
        zip(queries, titles, answers, strict=False)
    ):
        row, column = divmod(index, columns)
        column *= step
        note = "" if answer.name else "none of these"
        title = f"{grid.fit(title)}\n{note}"
        grid.show(row, column, query, "black", title, **fonts)
        best_frame = SAME if answer.name else FAINT
        for offset, candidate, frame in (
            (1, answer.best, best_frame),
            (2, answer.runner_up, FAINT),
        ):
            if candidate and candidate.name in shown:
                title = f"{grid.fit(candidate.name)}\n{candidate.score:z.1f}"
                image = shown[candidate.name]
                grid.show(row, column + offset, image, frame, title, **fonts)
    return grid.figure


def draw_verdict(
    first: np.ndarray, second: np.ndarray, verdict: Verdict
) -> Figure:
    """Draws two images, and whether they show the same.

    Args:
        first, second: uint8 `[height, width]` or `[height, width, channels]`.
        verdict: the verdict on them.
    """
    heading = f"score {verdict.score:z.2f}"
    if verdict.same is not None:
        word = "same" if verdict.same else "different"
        heading = f"{word}: {heading}, threshold {verdict.threshold:.2f}"
    grid = ImageGrid((1, 2.2), 1.5, heading=heading)
    frame = {True: SAME, False: DIFFERENT, None: FAINT}[verdict.same]
    grid.show(0, 0, first, frame, "first")
    grid.show(0, 1.2, second, frame, "second")
    return grid.figure


def draw_confusions(
    images: np.ndarray,
    character: np.ndarray,
    trials: Trials,
    scores: np.ndarray,
) -> Figure:
    """Draws the 12 most frequent confusions, an example of each.

    Args:
        images: uint8 `[num_drawings, height, width, channels]`.
        character: int `[num_drawings]`.
        trials: over these drawings.
        scores: float `[num_trials, ways]`.
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
    chosen = np.argsort(-count, kind="stable")[:12]
    columns = max(1, min(6, len(chosen)))
    rows = -(-len(chosen) // columns)
    heading = f"{wrong.sum():,} of {len(trials):,} validation trials are wrong"
    if len(chosen):
        heading += (
            ". The most frequent confusions: the query on the left, the wrong "
            "answer on the right"
        )
    grid = ImageGrid((rows, columns), 0.9, width=1.8, heading=heading)
    for index, pair in enumerate(chosen):
        query, answer = images[drawings[example[pair]]]
        times = "once" if count[pair] == 1 else f"{count[pair]} times"
        grid.show(*divmod(index, columns), _join(query, answer), WRONG, times)
    return grid.figure


def draw_filters(filters: np.ndarray) -> Figure:
    """Draws the filters of the first layer (Koch et al. 2015, figure 7).

    Args:
        filters: float `[height, width, channels, num]`; gray is 0, and each
            filter has its own contrast.
    """
    num = filters.shape[-1]
    columns = min(num, 16)
    grid = ImageGrid(
        (-(-num // columns), columns),
        0.4,
        heading=f"The {num} filters of the first layer; gray is 0",
        title_lines=0,
    )
    for index in range(num):
        one = filters[..., index]
        contrast = one / max(np.abs(one).max(), np.finfo(one.dtype).tiny)
        gray = WHITE * (contrast + 1) / 2
        grid.show(*divmod(index, columns), gray, FAINT)
    return grid.figure


DPI = 120


def save_figure(figure: Figure, path: Path, tensorboard: Path | None = None):
    """Writes a PNG, and the same picture for TensorBoard.

    Raises:
        InputError: the file cannot be written.
    """
    with writing(path), warnings.catch_warnings():
        # No installed font has all characters; a box replaces missing ones.
        warnings.filterwarnings("ignore", "Glyph .* missing")
        figure.savefig(path, dpi=DPI)
    if tensorboard and has_tensorflow():
        import tensorflow as tf

        writer = tf.summary.create_file_writer
        with writing_events(tensorboard), writer(str(tensorboard)).as_default():
            picture = tf.io.decode_png(path.read_bytes(), channels=3)
            tf.summary.image(path.stem, picture[np.newaxis], step=0)
