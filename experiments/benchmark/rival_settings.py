"""The best settings for a step of the rival, found by trying."""

import copy
import dataclasses
import itertools
import statistics
import time
from collections.abc import Callable

import torch
from torch import nn

TURNS = 3  # of each of the settings, alternately
TURN_SECONDS = 1  # in a turn; a step that is longer is timed but once


@dataclasses.dataclass(frozen=True)
class Step:
    """A step of a network at some settings; call it.

    Attributes:
        run: the step.
        network: the network at these settings.
        channels_last: whether images are to be given so.
    """

    run: Callable
    network: nn.Module
    channels_last: bool

    def __call__(self):
        """Runs the step."""
        return self.run()


def find_best(
    make_step: Callable, network: nn.Module, images: list, may_compile: bool
) -> tuple[Step, list[str]]:
    """Tries channels_last and torch.compile, and keeps the fastest.

    Args:
        make_step: of a network and its images to a step.
        network: as it is written; what is tried are copies.
        images: what the network is called with.
        may_compile: whether torch.compile is tried.

    Returns:
        The step, and what was tried.
    """
    steps, notes = {}, []
    for compiled, last in itertools.product((False, True), repeat=2):
        name = _name(compiled, last)
        if compiled and not may_compile:
            continue
        try:
            steps[name] = _make(make_step, network, images, compiled, last)
            steps[name]()  # which compiles
        except Exception as error:  # whatever a compiler lacks on a machine
            reason = str(error).strip().partition("\n")[0]
            notes.append(f"{name} does not work here: {reason}")
            steps.pop(name, None)
    seconds = _time_in_turns(steps)
    notes += [f"{x}: {1e3 * seconds[x]:.0f} ms a step" for x in steps]
    if not may_compile:
        notes.append("torch.compile was not tried")
    best = min(seconds, key=seconds.get)
    return steps[best], [*notes, f"best: {best}"]


def _time_in_turns(steps):
    """Seconds of a step at each of the settings, the median of its turns.

    Turns, as what else a machine does would else favour one of them.
    """
    times = {name: [] for name in steps}
    for _ in range(TURNS):
        for name, step in steps.items():
            if sum(times[name][:1]) < TURN_SECONDS:
                times[name].append(_time(step))
    return {name: statistics.median(x) for name, x in times.items()}


def _time(step):
    """Seconds of a step, the mean of those of a turn."""
    begin, num = time.perf_counter(), 0
    while not num or time.perf_counter() - begin < TURN_SECONDS:
        step()
        num += 1
    return (time.perf_counter() - begin) / num


def _name(compiled, channels_last):
    names = ["torch.compile"] * compiled + ["channels_last"] * channels_last
    return " and ".join(names) or "as written"


def _make(make_step, network, images, compiled, channels_last):
    network = copy.deepcopy(network)
    if channels_last:
        network = network.to(memory_format=torch.channels_last)
        images = [to_channels_last(x) for x in images]
    if compiled:
        network = torch.compile(network)
    return Step(make_step(network, images), network, channels_last)


def to_channels_last(images):
    """Images in the order of memory that some convolutions like better."""
    return images.contiguous(memory_format=torch.channels_last)
