"""Charts: learning curves, distributions of scores, ROC, searches."""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from koch_siamese.evaluation.metrics import (
    compute_auc,
    compute_equal_error_rate,
)
from koch_siamese.reporting.colors import ACCENT, DIFFERENT, FAINT, LINE, SAME


def draw_learning_curves(history: dict[str, list[float]]) -> Figure:
    """Draws training loss and one-shot validation accuracy by epoch.

    Args:
        history: `loss` and `accuracy` (0..1), one value for each epoch.
    """
    epochs = np.arange(1, len(history["loss"]) + 1)
    accuracy = 100 * np.array(history["accuracy"])
    best = int(np.argmax(accuracy))
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    style = {"color": LINE, "marker": "o", "markersize": 3, "clip_on": False}
    left.plot(epochs, history["loss"], **style)
    left.set(xlabel="epoch", ylabel="loss", title="training loss")
    right.plot(epochs, accuracy, **style)
    right.plot(
        epochs[best],
        accuracy[best],
        "o",
        color=ACCENT,
        markersize=8,
        clip_on=False,
    )
    right.set(
        xlabel="epoch",
        ylabel="one-shot validation accuracy (%)",
        title=f"best: {accuracy[best]:.1f} % (epoch {epochs[best]})",
        ylim=(10 * (accuracy.min() // 10.5), 100),
    )
    for axis in (left, right):
        axis.set_xlim(0.5, len(epochs) + 0.5)
        axis.xaxis.set_major_locator(_whole_numbers())
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(axis="y", color=FAINT, linewidth=0.5)
    return figure


def _whole_numbers():
    """Places ticks at whole numbers, also if there is only one."""
    return MaxNLocator(integer=True, min_n_ticks=1, steps=(1, 2, 5, 10))


def draw_score_histogram(
    scores: np.ndarray, same: np.ndarray, threshold: float
) -> Figure:
    """Draws how the scores of same and of different pairs are distributed.

    Args:
        scores: float `[num_pairs]`, logits.
        same: `[num_pairs]`, 1 = same character, 0 = different.
        threshold: the score from which a pair counts as the same.
    """
    figure = Figure(figsize=(7, 3.6), layout="constrained")
    axis = figure.subplots()
    num_bins = int(np.clip(np.sqrt(len(scores)), 10, 60))
    bins = np.histogram_bin_edges(scores, num_bins)
    same = same.astype(bool)
    for chosen, label, color in (
        (~same, "different characters", DIFFERENT),
        (same, "same character", SAME),
    ):
        style = {"color": color, "alpha": 0.6, "label": label}
        axis.hist(scores[chosen], bins, **style)
    label = f"threshold: same from {threshold:.2f}"
    axis.axvline(threshold, color="black", linewidth=1, label=label)
    is_right = (scores >= threshold) == same
    axis.set(
        xlabel="score (logit); higher: more alike",
        ylabel="pairs",
        title=f"{100 * is_right.mean():.1f} % of {len(scores):,} pairs are "
        "classified correctly",
    )
    axis.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return figure


def draw_roc(
    false_accepts: np.ndarray,
    true_accepts: np.ndarray,
    at_threshold: tuple[float, float],
) -> Figure:
    """Draws the receiver operating characteristic (ROC) of pairs.

    Args:
        false_accepts, true_accepts: see `metrics.compute_roc`.
        at_threshold: the false and the true positive rate at the model's
            threshold, within 0..1.
    """
    rate = compute_equal_error_rate(false_accepts, true_accepts)
    area = compute_auc(false_accepts, true_accepts)
    figure = Figure(figsize=(4.6, 5), layout="constrained")
    axis = figure.subplots()
    axis.plot([0, 1], [0, 1], "--", color=FAINT, label="guessing")
    axis.plot(false_accepts, true_accepts, color=LINE, label="model")
    false, true = at_threshold
    equal = f"equal error rate (EER): {100 * rate:.1f} %"
    chosen = (
        f"threshold: {100 * false:.1f} % false, {100 * true:.1f} % true "
        "positives"
    )
    for x, y, size, face, label in (
        (rate, 1 - rate, 9, "none", equal),
        (false, true, 5, ACCENT, chosen),
    ):
        style = {"markersize": size, "markerfacecolor": face}
        axis.plot(x, y, "o", markeredgecolor=LINE, label=label, **style)
    for direction in (axis.xaxis, axis.yaxis):
        direction.set_major_formatter(PercentFormatter(xmax=1, symbol=" %"))
    axis.set(
        xlim=(-0.02, 1),
        ylim=(0, 1.02),
        xlabel="false positive rate",
        ylabel="true positive rate",
        title=f"validation pairs: ROC AUC {area:.3f}",
        aspect="equal",
    )
    axis.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", frameon=False)
    return figure


DRAWERS = {"lake": "Lake's drawers", "own": "drawers 17 to 20"}
DIFFERENT_PAIRS = {
    "anywhere": "different pairs from anywhere",
    "within_alphabet": "different pairs within an alphabet",
}
# By whether a search found our values: label and color.
OURS = {
    True: ("ours, values of a search", SAME),
    False: ("ours, first values", ACCENT),
}


def draw_verification(points: Sequence[Mapping]) -> Figure:
    """Draws verification accuracy by the size of the training set (table 1).

    Args:
        points: a dict for each row of the table: `pairs`, the number of
            training pairs; `distorted`, whether distorted copies were added;
            `searched`, whether a search found our values; `published`, the
            paper's accuracy in %; `readings`, ours, as in a result of
            `evaluator.Evaluator`, or empty if it was not run; and `epochs`,
            those trained and planned, such as "6 of 200".
    """
    figure = Figure(figsize=(9, 5.5), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for axis, distorted, title in (
        (left, False, "without distortion"),
        (right, True, "with eight distorted copies of each pair"),
    ):
        rows = [row for row in points if row["distorted"] == distorted]
        _draw_by_pairs(axis, sorted(rows, key=lambda row: row["pairs"]))
        axis.set_title(title)
    left.set_ylabel("verification accuracy (%)")
    left.yaxis.set_major_locator(_whole_numbers())
    _add_shared_legend(figure)
    return figure


def _draw_by_pairs(axis, rows):
    """Draws the paper's accuracy and ours by the number of training pairs."""
    published = {row["pairs"]: row["published"] for row in rows}
    axis.plot(
        published.keys(),
        published.values(),
        "o--",
        color=LINE,
        label="Koch et al. 2015",
        clip_on=False,
    )
    readings = list(itertools.product(DRAWERS, DIFFERENT_PAIRS))
    for is_searched, (name, color) in OURS.items():
        own = [row for row in rows if row["searched"] == is_searched]
        for i, reading in enumerate(readings):
            _draw_reading(axis, own, reading, 1.03 ** (i - 1.5), name, color)
    for row in rows:
        if row["readings"]:
            lowest = min(reading["accuracy"] for reading in row["readings"])
            axis.annotate(
                f"{row['epochs']} epochs",
                (row["pairs"], 100 * lowest),
                xytext=(16, 0),
                textcoords="offset points",
                va="center",
                fontsize="small",
            )
    axis.set(
        xscale="log",
        ylim=(None, 100),
        xlabel="training pairs",
        xticks=list(published),
        xticklabels=[f"{num:,}" for num in published],
    )
    axis.minorticks_off()
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis="y", color=FAINT, linewidth=0.5)
    axis.margins(x=0.1)


def _draw_reading(axis, rows, reading, shift, name, color):
    """Draws one of our readings with intervals, side by side with others.

    `shift` is the factor by which it is moved to the right.
    """
    drawers, different_pairs = reading
    found = [
        (row["pairs"] * shift, result)
        for row in rows
        for result in row["readings"]
        if (result["drawers"] == "lake") == (drawers == "lake")
        and result["different_pairs"] == different_pairs
    ]
    if not found:
        return
    accuracy = 100 * np.array([result["accuracy"] for _, result in found])
    bounds = 100 * np.array([result["ci95"] for _, result in found])
    axis.errorbar(
        [x for x, _ in found],
        accuracy,
        np.abs(bounds - accuracy[:, np.newaxis]).T,
        fmt="o" if different_pairs == "anywhere" else "s",
        color=color,
        markerfacecolor=color if drawers == "lake" else "white",
        capsize=2,
        linestyle="none",
        label=f"{name}: {DRAWERS[drawers]}, {DIFFERENT_PAIRS[different_pairs]}",
    )


def _add_shared_legend(figure):
    """Adds one legend for all axes, with each label once."""
    handles = {}
    for axis in figure.axes:
        artists, labels = axis.get_legend_handles_labels()
        handles |= dict(zip(labels, artists, strict=True))
    figure.legend(
        handles.values(),
        handles.keys(),
        loc="outside lower center",
        frameon=False,
    )


def draw_search(runs: list[dict], relative_updates: bool = False) -> Figure:
    """Draws the runs of a search: the best so far, and accuracy by parameter.

    Args:
        runs: `run`, `accuracy` (0..1), `finished` and `parameters` of each,
            see `study.Search.describe_runs`.
        relative_updates: whether learning rates are relative updates, as in
            `Settings.relative_updates`.
    """
    accuracy = 100 * np.array([run["accuracy"] for run in runs])
    kinds = {}  # a row for each, a column for each layer
    for name in runs[0]["parameters"]:
        kinds.setdefault(name.rpartition("_")[0], []).append(name)
    rows = len(kinds)
    figure = Figure(figsize=(11, 3 + 2 * rows), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=(3, 2 * rows))
    groups = _group_by_ending(runs, accuracy)
    _draw_runs(top, accuracy, groups)
    rate = "relative update" if relative_updates else "learning rate"
    _draw_parameters(bottom, runs, kinds, accuracy, groups, rate)
    for axis in (*top.axes, *bottom.axes):
        axis.set_ylim(top=min(axis.get_ylim()[1], 100))
        axis.spines[["top", "right"]].set_visible(False)
    return figure


def _group_by_ending(runs, accuracy):
    """Groups runs; returns the indices, the label and the style of each."""
    finished = np.array([run["finished"] for run in runs])
    is_best = np.arange(len(runs)) == accuracy.argmax()
    style = {"marker": "o", "linestyle": "none", "color": LINE}
    return [
        (np.flatnonzero(chosen), label, style | own_style)
        for chosen, label, own_style in (
            (
                ~finished & ~is_best,
                "stopped early",
                {"markerfacecolor": "white"},
            ),
            (finished & ~is_best, "finished", {}),
            (is_best, "best", {"color": ACCENT, "markersize": 7}),
        )
        if chosen.any()
    ]


def _draw_runs(figure, accuracy, groups):
    """Draws the accuracy of each run, and the best one so far."""
    axis = figure.subplots()
    numbers = np.arange(1, len(accuracy) + 1)
    axis.step(
        numbers,
        np.maximum.accumulate(accuracy),
        where="post",
        color=FAINT,
        label="best so far",
    )
    for which, label, style in groups:
        axis.plot(numbers[which], accuracy[which], label=label, **style)
    axis.xaxis.set_major_locator(_whole_numbers())
    axis.set(
        xlabel="run, in the order in which they ended",
        ylabel="one-shot validation\naccuracy (%)",
        title=f"accuracy of each run, at best {accuracy.max():.1f} %",
    )
    figure.legend(loc="outside right upper", frameon=False)


def _draw_parameters(figure, runs, kinds, accuracy, groups, rate):
    """Draws accuracy by each parameter: a row of axes for each kind."""
    columns = max(map(len, kinds.values()))
    axes = figure.subplots(len(kinds), columns, sharey=True, squeeze=False)
    for row, (kind, names) in zip(axes, kinds.items(), strict=True):
        row[0].set_ylabel("accuracy (%)")
        for axis, name in zip(row, names, strict=False):
            for which, _, style in groups:
                values = [runs[i]["parameters"][name] for i in which]
                axis.plot(values, accuracy[which], **{"markersize": 4} | style)
            axis.set_xlabel(_describe_parameter(kind, name, rate))
            if kind in ("learning_rate", "l2"):
                axis.set_xscale("log")
                axis.tick_params(axis="x", which="minor", labelbottom=False)
        for axis in row[len(names) :]:
            axis.axis("off")


def _describe_parameter(kind, name, rate):
    """The label of `learning_rate_0`: "learning rate, layer 1"."""
    layer = int(name.rpartition("_")[2]) + 1
    kind = {"learning_rate": rate, "l2": "L2"}.get(kind, kind.replace("_", " "))
    return f"{kind}, layer {layer}"
