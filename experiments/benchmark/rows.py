"""The rows of the benchmark: which sides take part, and how each is run."""

import dataclasses
import time
from collections.abc import Sequence

from experiments.benchmark import budgets, measuring
from experiments.benchmark.options import LEVERS, Options
from koch_siamese.reporting.benchmark_table import Row

RIVALS = ("rival", "rival_best")
ROWS = {
    "train_step": ("ours", *RIVALS),
    "train_step_bfloat16": ("ours", *RIVALS),
    "train_step_groups": ("ours", *RIVALS),
    "train_step_groups_bfloat16": ("ours", *RIVALS),
    "input": ("ours", *RIVALS),
    "evaluation": ("ours", *RIVALS),
    "serving": ("ours", *RIVALS),
    "start": ("ours",),
    "growth": ("ours",),
    **dict.fromkeys(LEVERS, ("ours", "otherwise")),
    "learning": ("ours", "otherwise"),
    "time_to_accuracy": ("ours",),
}
OWN_SWITCH = (*LEVERS, "learning", "time_to_accuracy")  # minutes or hours
DEFAULT_ROWS = [name for name in ROWS if name not in OWN_SWITCH]
NO_DATA = ("serving", "start", "growth", "learning", "time_to_accuracy")


def prepare(options: Options, names: Sequence[str]):
    """Writes the drawings that the rows need, in a process of its own."""
    if set(names) - set(NO_DATA):
        with measuring.Worker("ours", "prepare", options) as worker:
            worker.measure()


def measure(
    name: str,
    options: Options,
    table: Sequence[Row],
    *,
    processes: int,
    rounds: int,
    seeds: Sequence[int],
    workdir: str,
    has_rival: bool,
    quick: bool,
) -> dict[str, dict]:
    """Measures a row.

    Args:
        name: of the row.
        options: for the workers.
        table: the rows whose lines the values become.
        processes, rounds: see `measuring.alternate`.
        seeds, workdir: of whole trainings.
        has_rival: whether PyTorch is there.
        quick: whether only to see that all works.

    Returns:
        The lines of the row by their names.
    """
    begin = time.perf_counter()
    notes = []
    if name == "learning":
        values = _measure_learning(options, seeds)
    elif name == "time_to_accuracy":
        values = budgets.measure_budgets(options, seeds, workdir, quick=quick)
    else:
        sides = [x for x in ROWS[name] if has_rival or x not in RIVALS]
        values, notes = measuring.alternate(
            name, sides, options, processes=processes, rounds=rounds
        )
    lines = _make_lines(name, table, values)
    seconds = time.perf_counter() - begin
    details = measuring.make_details(list(lines), values)
    print(f"{name}: {seconds:.0f} s")
    for note in (*notes, *(f"{k}: {v:.4g}" for k, v in details.items())):
        print(f"    {note}")
    about = {"notes": notes, "details": details}
    return {key: line | about for key, line in lines.items()}


def _make_lines(name, table, values):
    measured = values["ours"][0]
    return {
        row.line: measuring.make_line(row.line, row.higher, values)
        for row in table
        if row.row == name and row.line in measured
    }


def _measure_learning(options, seeds):
    """Groups and pairs in turns, each training in a process of its own."""
    values = {"ours": [], "otherwise": []}
    for seed in seeds:
        for side, sampling in (("ours", "groups"), ("otherwise", "pairs")):
            changed = dataclasses.replace(options, sampling=sampling, seed=seed)
            with measuring.Worker("ours", "learning", changed) as worker:
                values[side].append(worker.measure())
    return values
