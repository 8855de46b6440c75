"""The best settings for a step of the rival, found by trying."""

import copy
import dataclasses
import itertools
import time
from collections.abc import Callable

import torch
from torch import nn

LONG_SECONDS = 2  # a step of which is timed but once


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
    tried, notes = [], []
    for compiled, last in itertools.product((False, True), repeat=2):
        name = _name(compiled, last)
        if compiled and not may_compile:
            continue
        try:
            step = _make(make_step, network, images, compiled, last)
            step()  # which compiles
            seconds = _time(step)
        except Exception as error:  # whatever a compiler lacks on a machine
            reason = str(error).strip().partition("\n")[0]
            notes.append(f"{name} does not work here: {reason}")
            continue
        notes.append(f"{name}: {1e3 * seconds:.0f} ms a step")
        tried.append((seconds, name, step))
    if not may_compile:
        notes.append("torch.compile was not tried")
    _, name, step = min(tried, key=lambda item: item[0])
    return step, [*notes, f"best: {name}"]


def _time(step):
    """Seconds of the shortest of three steps, or of one that is long."""
    times = []
    while len(times) < 3 and sum(times) < LONG_SECONDS:
        begin = time.perf_counter()
        step()
        times.append(time.perf_counter() - begin)
    return min(times)


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
