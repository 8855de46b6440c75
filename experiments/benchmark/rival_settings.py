"""The best settings for a step of the rival, found by trying."""

import contextlib
import copy
import dataclasses
import itertools
import statistics
import time
from collections.abc import Callable

import torch
from torch import nn

TURNS = 3  # of each of the settings, alternately
LONG_TURNS = 2  # of settings whose step takes longer than a turn
TURN_SECONDS = 1  # in a turn, which has a whole step at least


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
) -> tuple[Step, str]:
    """Tries channels_last and torch.compile, and keeps the fastest.

    Args:
        make_step: of a network and its images to a step.
        network: as it is written; what is tried are copies.
        images: what the network is called with.
        may_compile: whether torch.compile is tried.

    Returns:
        The step, and what was tried.

    Raises:
        RuntimeError: no setting works.
    """
    steps, notes = {}, []
    for compiled, last in itertools.product((False, True), repeat=2):
        if compiled and not may_compile:
            continue
        name = _name(compiled, last)
        with _left_out_if_it_fails(name, steps, notes):
            steps[name] = _make(make_step, network, images, compiled, last)
            steps[name]()  # which compiles
    seconds = _time_in_turns(steps, notes)
    if not seconds:
        raise RuntimeError("; ".join(notes))
    notes += [f"{name}: {1e3 * seconds[name]:.0f} ms a step" for name in steps]
    if not may_compile:
        notes.append("torch.compile was not tried")
    best = min(seconds, key=seconds.get)
    # In one, as other processes say the same of some settings.
    return steps[best], "; ".join([*notes, f"best: {best}"])


@contextlib.contextmanager
def _left_out_if_it_fails(name, steps, notes):
    """Whatever a compiler lacks on a machine is noted, and no error."""
    try:
        yield
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        notes.append(f"{name} does not work here: {reason}")
        steps.pop(name, None)


def _time_in_turns(steps, notes):
    """Seconds of a step at each of the settings, the median of its turns.

    Turns, as what else a machine does would else favour one of them.
    """
    times = {name: [] for name in steps}
    for turn in range(TURNS):
        for name, step in tuple(steps.items()):
            if turn >= LONG_TURNS and times[name][0] > TURN_SECONDS:
                continue
            with _left_out_if_it_fails(name, steps, notes):
                times[name].append(_time(step))
    return {name: statistics.median(times[name]) for name in steps}


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
