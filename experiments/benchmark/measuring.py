"""Rounds in which ours and the rival take turns, and what they come to.

Each side has a process of its own, which sleeps while the other one works: in
one process the threads of TensorFlow and PyTorch get in each other's way.
Others follow it, as processes that do the same differ, by a quarter at times.
"""

import contextlib
import dataclasses
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments.benchmark.options import Options

ROOT = Path(__file__).parents[2]


class Worker(contextlib.AbstractContextManager):
    """A process that sets a workload up and measures it when asked."""

    def __init__(self, side: str, workload: str, options: Options):
        """Starts the process and waits until the workload is set up.

        Args:
            side: `ours`, `otherwise`, `rival` or `rival_best`.
            workload: a function of the side's modules.
            options: what it is told; threads are also set in its environment.
        """
        options = dataclasses.replace(
            options, best=side == "rival_best", otherwise=side == "otherwise"
        )
        self._what = f"{workload} of {side}"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "experiments.benchmark.worker", side],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=make_environment(options.threads),
        )
        request = {"workload": workload}
        request |= {"options": dataclasses.asdict(options)}
        self.notes = self._ask(request)["notes"]

    def measure(self) -> dict[str, float]:
        """Measures once; a value for each thing that the workload measures."""
        return self._ask({})["values"]

    def _ask(self, request):
        print(json.dumps(request), file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self._what} failed; see above.")
        return json.loads(answer)

    def __exit__(self, *_):
        """Ends the process."""
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


def make_environment(threads: int) -> dict[str, str]:
    """The environment of a process that works on so many threads."""
    names = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")
    names += ("TF_NUM_INTEROP_THREADS",)
    return {
        "TF_CPP_MIN_LOG_LEVEL": "3",
        **os.environ,
        **dict.fromkeys(names, str(threads)),
    }


def alternate(
    workload: str,
    sides: Sequence[str],
    options: Options,
    *,
    processes: int,
    rounds: int,
) -> tuple[dict[str, list[dict[str, float]]], list[str]]:
    """Measures the sides in turns.

    Args:
        workload, options: see `Worker`.
        sides: of the workload.
        processes: of each side, one after the other.
        rounds: of each process, after one that does not count.

    Returns:
        The values of each round by side, and what the workers had to say.
    """
    values, notes = {side: [] for side in sides}, []
    for _ in range(processes):
        with contextlib.ExitStack() as stack:
            workers = {
                side: stack.enter_context(Worker(side, workload, options))
                for side in sides
            }
            for side, worker in workers.items():
                notes += [f"{side}: {note}" for note in worker.notes]
            for number in range(rounds + 1):
                for side, worker in workers.items():
                    value = worker.measure()
                    if number:
                        values[side].append(value)
    return values, list(dict.fromkeys(notes))


def summarise(values: Sequence[float]) -> dict[str, float]:
    """Median, mean and range of the rounds."""
    return {
        "median": statistics.median(values),
        "mean": statistics.fmean(values),
        "low": min(values),
        "high": max(values),
    }


def compare(
    ours: Sequence[float], rival: Sequence[float], higher: bool
) -> dict[str, float]:
    """How many times better ours is, round by round.

    Args:
        ours, rival: a value for each round.
        higher: whether more is better, as of a rate; else less, as of a time.
    """
    rounds = zip(ours, rival, strict=True)
    return summarise([a / b if higher else b / a for a, b in rounds])


def make_line(
    name: str, higher: bool, values: dict[str, list[dict[str, float]]]
) -> dict[str, object]:
    """A line of the table.

    Args:
        name: the key of the line among the values.
        higher: see `compare`.
        values: as of `alternate`.

    Returns:
        For each side that has a value of that name its summary, for each
        rival `ratio_SIDE`, and the number of `rounds`.
    """
    found = {
        side: [value[name] for value in rounds]
        for side, rounds in values.items()
        if rounds and name in rounds[0]
    }
    line = {side: summarise(rounds) for side, rounds in found.items()}
    for side in found.keys() - {"ours"}:
        line[f"ratio_{side}"] = compare(found["ours"], found[side], higher)
    return line | {"rounds": len(found["ours"])}


def make_details(
    names: Sequence[str], values: dict[str, list[dict[str, float]]]
) -> dict[str, float]:
    """The medians of what was measured beside the lines of `names`."""
    return {
        f"{side}: {key}": statistics.median(value[key] for value in rounds)
        for side, rounds in values.items()
        for key in rounds[0]
        if key not in names
    }
