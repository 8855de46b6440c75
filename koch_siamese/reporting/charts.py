"""Charts: learning curves, how scores separate, what a search found."""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from koch_siamese.evaluation.metrics import (
    compute_auc,
    compute_equal_error_rate,
)
from koch_siamese.reporting.figures import BLUE, GREY, VERMILION


def draw_learning_curves(history: dict[str, list[float]]) -> Figure:
    """Training loss and one-shot validation accuracy by epoch.

    Args:
        history: `loss` and `accuracy` (0..1), one value for each epoch.
    """
    epochs = np.arange(1, len(history["loss"]) + 1)
    accuracy = 100 * np.array(history["accuracy"])
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(epochs, history["loss"], color=BLUE, marker="o", markersize=3)
    left.set(xlabel="epoch", ylabel="training loss")
    right.plot(epochs, accuracy, color=BLUE, marker="o", markersize=3)
    best = int(np.argmax(accuracy))
    right.plot(epochs[best], accuracy[best], "o", color=VERMILION)
    right.set(
        xlabel="epoch",
        ylabel="one-shot validation accuracy (%)",
        title=f"best: {accuracy[best]:.1f} % in epoch {epochs[best]}",
    )
    for axis in (left, right):
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(axis="y", color=GREY, linewidth=0.5)
    return figure


def draw_score_histogram(
    scores: np.ndarray, same: np.ndarray, threshold: float
) -> Figure:
    """How the scores of same and different pairs separate.

    Args:
        scores: float `[num_pairs]`, logits.
        same: `[num_pairs]`, 1 = same character, 0 = different.
        threshold: from which score a pair counts as the same.
    """
    figure = Figure(figsize=(7, 3.4), layout="constrained")
    axis = figure.subplots()
    bins = np.linspace(scores.min(), scores.max(), 60)
    same = same.astype(bool)
    for chosen, label, color in (
        (~same, "different characters", VERMILION),
        (same, "same character", BLUE),
    ):
        axis.hist(scores[chosen], bins, color=color, alpha=0.6, label=label)
    correct = (scores >= threshold) == same
    axis.axvline(threshold, color="black", linewidth=1, label="threshold")
    axis.set(
        xlabel="score (logit)",
        ylabel="pairs",
        title=f"{correct.mean():.1%} of {len(scores)} pairs correct",
    )
    axis.legend(frameon=False, loc="upper left")
    axis.spines[["top", "right"]].set_visible(False)
    return figure


def draw_roc(false_accepts: np.ndarray, true_accepts: np.ndarray) -> Figure:
    """The receiver operating characteristic of pairs.

    Args:
        false_accepts, true_accepts: see `verification.compute_roc`.
    """
    rate = compute_equal_error_rate(false_accepts, true_accepts)
    figure = Figure(figsize=(4.4, 4.2), layout="constrained")
    axis = figure.subplots()
    axis.plot([0, 1], [0, 1], color=GREY, linewidth=1)
    axis.plot(false_accepts, true_accepts, color=BLUE)
    axis.plot(rate, 1 - rate, "o", color=VERMILION)
    axis.set(
        xlabel="false positive rate",
        ylabel="true positive rate",
        title=f"AUC {compute_auc(false_accepts, true_accepts):.3f}, "
        f"EER {rate:.1%}",
        aspect="equal",
    )
    axis.spines[["top", "right"]].set_visible(False)
    return figure


DRAWERS = {"lake": "Lake's drawers", "own": "drawers 17 to 20"}


def draw_verification(points: Sequence[Mapping]) -> Figure:
    """Verification accuracy by the size of the training set (table 1).

    Args:
        points: for each row of the table `pairs`, those trained on;
            `distorted`, whether there are distorted copies of them;
            `published`, in %; and `readings`, of ours, as in a result of
            `protocols.Evaluator`, empty if it was not run.
    """
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for axis, distorted, title in zip(
        axes,
        (False, True),
        ("without distortion", "with eight distorted copies"),
        strict=True,
    ):
        rows = sorted(
            (row for row in points if row["distorted"] == distorted),
            key=lambda row: row["pairs"],
        )
        axis.plot(
            [row["pairs"] for row in rows],
            [row["published"] for row in rows],
            "o--",
            color=GREY,
            label="Koch et al. 2015",
        )
        for place, (drawers, different_pairs) in enumerate(
            itertools.product(("lake", "own"), ("anywhere", "within_alphabet"))
        ):
            _draw_reading(axis, rows, drawers, different_pairs, place)
        axis.set(
            xscale="log",
            xlabel="training pairs",
            title=title,
            xticks=[row["pairs"] for row in rows],
            xticklabels=[f"{row['pairs']:,}" for row in rows],
        )
        axis.minorticks_off()
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(axis="y", color=GREY, linewidth=0.5)
    axes[0].set_ylabel("verification accuracy (%)")
    handles = {}
    for axis in axes:
        artists, labels = axis.get_legend_handles_labels()
        handles |= dict(zip(labels, artists, strict=True))
    figure.legend(
        handles.values(), handles.keys(), loc="outside lower center", ncols=3
    )
    return figure


def _draw_reading(axis, rows, drawers, different_pairs, place):
    """One reading of ours, with intervals; readings stand side by side."""
    found = [
        (row["pairs"] * 1.03 ** (place - 1.5), reading)
        for row in rows
        for reading in row["readings"]
        if (reading["drawers"] == "lake") == (drawers == "lake")
        and reading["different_pairs"] == different_pairs
    ]
    if not found:
        return
    accuracy = 100 * np.array([reading["accuracy"] for _, reading in found])
    bounds = 100 * np.array([reading["ci95"] for _, reading in found])
    axis.errorbar(
        [x for x, _ in found],
        accuracy,
        np.abs(bounds - accuracy[:, np.newaxis]).T,
        fmt="o" if different_pairs == "anywhere" else "s",
        color=BLUE,
        markerfacecolor=BLUE if drawers == "lake" else "white",
        capsize=2,
        linestyle="none",
        label=f"ours: {DRAWERS[drawers]}, {different_pairs.replace('_', ' ')}",
    )


def draw_search(runs: list[dict]) -> Figure:
    """What a search tried: the best so far, and accuracy by parameter.

    Args:
        runs: `run`, `accuracy` (0..1), `finished` and `parameters` of each,
            see `study.Search.describe_runs`.
    """
    accuracy = 100 * np.array([run["accuracy"] for run in runs])
    kinds = {}  # a row for each, a column for each layer
    for name in runs[0]["parameters"]:
        kinds.setdefault(name.rpartition("_")[0], []).append(name)
    rows, columns = len(kinds), max(map(len, kinds.values()))
    figure = Figure(figsize=(11, 3 + 2 * rows), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=(3, 2 * rows))
    axis = top.subplots()
    axis.plot(np.maximum.accumulate(accuracy), color=GREY, label="best so far")
    axes = bottom.subplots(rows, columns, sharey=True, squeeze=False)
    finished = np.array([run["finished"] for run in runs])
    for chosen, label, color in (
        (~finished, "given up", VERMILION),
        (finished, "finished", BLUE),
    ):
        which = np.flatnonzero(chosen)
        axis.plot(which, accuracy[which], "o", color=color, label=label)
        for row, (kind, names) in zip(axes, kinds.items(), strict=True):
            for small, name in zip(row, names, strict=False):
                values = [runs[i]["parameters"][name] for i in which]
                small.plot(
                    values, accuracy[which], "o", color=color, markersize=4
                )
                small.set_xlabel(name.replace("_", " "))
                if kind in ("learning_rate", "l2"):
                    small.set_xscale("log")
                    small.tick_params(
                        axis="x", which="minor", labelbottom=False
                    )
            for small in row[len(names) :]:
                small.axis("off")
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.set(
        xlabel="run, in the order of their ends",
        ylabel="one-shot validation\naccuracy (%)",
        title=f"best of {len(runs)} runs: {accuracy.max():.1f} %",
    )
    axis.legend(frameon=False)
    for small in axes[:, 0]:
        small.set_ylabel("accuracy (%)")
    for each in (axis, *axes.flat):
        each.spines[["top", "right"]].set_visible(False)
    return figure
