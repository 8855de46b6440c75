"""Measures rounds of several processes in turns, and summarizes them.

Each side has a process of its own, which sleeps while the other one works: in
one process, the threads of TensorFlow and PyTorch would slow down each other.
Further processes follow, because two of the same side can differ by a quarter.
(pyperf runs all processes of one side before those of the other, and measures
one number.)
"""

import atexit
import contextlib
import dataclasses
import functools
import importlib
import multiprocessing
import os
import statistics
import timeit
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor

from experiments.benchmark.options import PLAIN, RIVALS, Options
from koch_siamese.backend import import_tensorflow

Rounds = dict[str, list[dict[str, float]]]  # the values of each round, by side


@contextlib.contextmanager
def new_process():
    """Starts a process; yields a function that calls others in it."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawn, initializer=_begin) as pool:
        yield lambda function, *args: pool.submit(function, *args).result()


def _begin():
    # A pipeline that still works in threads can keep Python from ending.
    atexit.register(os._exit, 0)
    # Progress bars do not belong in the table.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def measure(row: str, options: Options) -> tuple[dict[str, float], list[str]]:
    """Measures a round in this process; returns values by name, and notes.

    A row is set up before its first round.
    """
    return next(_set_up(row, options))


@functools.cache
def _set_up(row, options):
    module = "plain" if row in PLAIN else "ours"
    if options.side in RIVALS:
        module = "rival"
    if module == "ours":
        import_tensorflow()  # without its messages
    module = importlib.import_module(f"experiments.benchmark.{module}")
    return module.WORKLOADS[row](options)


def alternate(
    row: str,
    sides: Sequence[str],
    options: Options,
    seeds: Sequence[int],
    rounds: int,
    warm_up: int = 1,
) -> tuple[Rounds, list[str]]:
    """Measures the sides of a row in turns.

    Args:
        row, sides, options: what to measure.
        seeds: one for each process of a side; these run one after another.
        rounds, warm_up: number of measured rounds of a process, and of rounds
            before these.

    Returns:
        The values of each round, and notes.
    """
    values, notes = {side: [] for side in sides}, {}
    for seed in seeds:
        with contextlib.ExitStack() as stack:
            calls = {x: stack.enter_context(new_process()) for x in sides}
            for number in range(warm_up + rounds):
                for side, call in calls.items():
                    changes = {"side": side, "seed": int(seed)}
                    value, new_notes = call(
                        measure, row, dataclasses.replace(options, **changes)
                    )
                    notes |= {f"{side}: {note}": None for note in new_notes}
                    if number >= warm_up:
                        values[side].append(value)
    return values, list(notes)


def time_calls(function: Callable[[], object], num: int) -> float:
    """Measures the median seconds of some calls."""
    return statistics.median(timeit.repeat(function, number=1, repeat=num))


def summarize(values: Sequence[float]) -> dict[str, float]:
    """Computes median, mean and range of the rounds."""
    return {
        "median": statistics.median(values),
        "mean": statistics.fmean(values),
        "low": min(values),
        "high": max(values),
    }


def make_line(name: str, higher: bool, values: Rounds) -> dict[str, object]:
    """Makes a line of the table: a summary of each side that has such values.

    `ratio_SIDE` is the factor by which ours is better than that side in each
    round. Better is higher for a rate, and lower for a time.
    """
    found = {
        side: [value[name] for value in rounds]
        for side, rounds in values.items()
        if name in rounds[0]
    }
    line = {side: summarize(rounds) for side, rounds in found.items()}
    ours = found.pop("ours")
    for side, rounds in found.items():
        pairs = zip(ours, rounds, strict=True)
        ratios = [a / b if higher else b / a for a, b in pairs]
        line[f"ratio_{side}"] = summarize(ratios)
    return line | {"rounds": len(ours)}


def make_details(names: Sequence[str], values: Rounds) -> dict[str, float]:
    """Computes the medians of the values that are not in `names`."""
    return {
        f"{side}: {key}": statistics.median(value[key] for value in rounds)
        for side, rounds in values.items()
        for key in rounds[0]
        if key not in names
    }
