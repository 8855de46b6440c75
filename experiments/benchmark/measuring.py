"""Processes whose rounds take turns, and what the rounds come to.

Each side has a process of its own, which sleeps while the other one works: in
one process the threads of TensorFlow and PyTorch get in each other's way. More
processes follow, as two that do the same differ, by a quarter at times. (pyperf
runs all processes of one side before the other's, and measures one number.)
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

from experiments.benchmark.options import RIVALS, Options
from koch_siamese import cli

Rounds = dict[str, list[dict[str, float]]]  # the values of each, by side


@contextlib.contextmanager
def new_process(side: str = "ours"):
    """A process of a side, as a function that calls another one in it."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawn, _begin, (side,)) as pool:
        yield lambda function, *args: pool.submit(function, *args).result()


def _begin(side):
    # A pipeline that still works in threads can hang the end of Python.
    atexit.register(os._exit, 0)
    # Progress bars do not belong in the table.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    if side not in RIVALS:
        cli.import_tensorflow()  # without its messages


def measure(row: str, options: Options) -> tuple[dict[str, float], list[str]]:
    """Measures a round in this process: values by what they are of, and notes.

    A row is set up before its first round.
    """
    return next(_set_up(row, options))


@functools.cache
def _set_up(row, options):
    module = "rival" if options.side in RIVALS else "ours"
    module = importlib.import_module(f"experiments.benchmark.{module}")
    return module.WORKLOADS[row](options)


def alternate(
    row: str,
    sides: Sequence[str],
    processes: Sequence[Options],
    rounds: int,
    warm_up: int = 1,
) -> tuple[Rounds, list[str]]:
    """Measures the sides of a row in turns.

    Args:
        row, sides: what to measure.
        processes: the options of each process of a side, one after the other.
        rounds: rounds of each process that count.
        warm_up: rounds before them.

    Returns:
        The values of each round, and notes of the sides.
    """
    values, notes = {side: [] for side in sides}, {}
    for options in processes:
        with contextlib.ExitStack() as stack:
            calls = {x: stack.enter_context(new_process(x)) for x in sides}
            for number in range(warm_up + rounds):
                for side, call in calls.items():
                    value, new_notes = call(
                        measure, row, dataclasses.replace(options, side=side)
                    )
                    notes |= {f"{side}: {note}": None for note in new_notes}
                    if number >= warm_up:
                        values[side].append(value)
    return values, list(notes)


def time_calls(function: Callable[[], object], num: int) -> float:
    """Median seconds of some calls."""
    return statistics.median(timeit.repeat(function, number=1, repeat=num))


def summarise(values: Sequence[float]) -> dict[str, float]:
    """Median, mean and range of the rounds."""
    return {
        "median": statistics.median(values),
        "mean": statistics.fmean(values),
        "low": min(values),
        "high": max(values),
    }


def make_line(name: str, higher: bool, values: Rounds) -> dict[str, object]:
    """A line of the table.

    Args:
        name: the key of the line among the values.
        higher: whether more is better, as of a rate; else less, as of a time.
        values: see `alternate`.

    Returns:
        A summary of each side that has such values; as `ratio_SIDE` how many
        times better ours is, round by round; and the number of `rounds`.
    """
    found = {
        side: [value[name] for value in rounds]
        for side, rounds in values.items()
        if name in rounds[0]
    }
    line = {side: summarise(rounds) for side, rounds in found.items()}
    ours = found.pop("ours")
    for side, rounds in found.items():
        pairs = zip(ours, rounds, strict=True)
        ratios = [a / b if higher else b / a for a, b in pairs]
        line[f"ratio_{side}"] = summarise(ratios)
    return line | {"rounds": len(ours)}


def make_details(names: Sequence[str], values: Rounds) -> dict[str, float]:
    """The medians of what was measured beside the lines of `names`."""
    return {
        f"{side}: {key}": statistics.median(value[key] for value in rounds)
        for side, rounds in values.items()
        for key in rounds[0]
        if key not in names
    }
