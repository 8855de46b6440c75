"""The best settings for a step of the rival, found by trying them."""

import copy
import statistics
import time
from collections.abc import Callable

import torch
from torch import nn

TURNS = 3  # of each of the settings, alternately
LONG_TURNS = 2  # of settings whose step takes longer than a turn
TURN_SECONDS = 1  # in a turn, which has a whole step at least

SETTINGS = {  # whether to compile, and the order of images in memory
    "as written": (False, torch.contiguous_format),
    "channels_last": (False, torch.channels_last),
    "torch.compile": (True, torch.contiguous_format),
    "torch.compile and channels_last": (True, torch.channels_last),
}


def find_best(
    make_step: Callable, network: nn.Module, images: list, may_compile: bool
) -> tuple[Callable, str]:
    """Tries channels_last and torch.compile, and keeps the fastest.

    The settings take turns, or other work of the machine would favour one.

    Args:
        make_step: makes a network a step, a function of images.
        network: as it is written; what is tried are copies.
        images: what the step is timed with.
        may_compile: whether torch.compile is tried.

    Returns:
        The step, and what was tried.

    Raises:
        RuntimeError: no setting works.
    """
    steps, notes = {}, []
    seconds = {
        name: []
        for name, (compiled, _) in SETTINGS.items()
        if may_compile or not compiled
    }
    for turn in range(TURNS + 1):
        for name, times in tuple(seconds.items()):
            try:
                if turn == 0:
                    steps[name] = _make(make_step, network, *SETTINGS[name])
                    steps[name](*images)  # compiles the step
                elif turn <= LONG_TURNS or times[0] <= TURN_SECONDS:
                    times.append(_time(steps[name], images))
            except Exception as error:  # whatever a machine's compiler lacks
                reason = str(error).strip().partition("\n")[0]
                notes.append(f"{name} does not work here: {reason}")
                del seconds[name]
    if not seconds:
        raise RuntimeError("; ".join(notes))
    medians = {
        name: statistics.median(times) for name, times in seconds.items()
    }
    notes += [f"{name}: {1e3 * x:.0f} ms a step" for name, x in medians.items()]
    if not may_compile:
        notes.append("torch.compile was not tried")
    best = min(medians, key=medians.get)
    # One note, as that of another process may say the same of a setting.
    return steps[best], "; ".join([*notes, f"best: {best}"])


def _make(make_step, network, compiled, memory_format):
    network = copy.deepcopy(network).to(memory_format=memory_format)
    step = make_step(torch.compile(network) if compiled else network)
    return lambda *images: step(
        *(x.contiguous(memory_format=memory_format) for x in images)
    )


def _time(step, images):
    """Seconds of a step, the mean of those of a turn."""
    begin, num = time.perf_counter(), 0
    while not num or time.perf_counter() - begin < TURN_SECONDS:
        step(*images)
        num += 1
    return (time.perf_counter() - begin) / num
