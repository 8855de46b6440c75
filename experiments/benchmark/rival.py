"""The rival: the method of the tutorial, in PyTorch.

Images are stored as PIL images and rotated one by one in a DataLoader; a trial
is twenty image pairs. The side `rival_best` does the same with its best
settings.
"""

import collections
import copy
import dataclasses
import functools
import random
import statistics
import time
import timeit
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset

from experiments.benchmark.measuring import time_calls
from experiments.benchmark.options import STEPS, Options

TUNING_ROUNDS = 3  # of each loader, in turns
DRAINED = 12  # skipped batches, made while the other side worked
TURNS = 3  # of each setting, alternately
LONG_TURNS = 2  # of settings whose step takes longer than a turn
TURN_SECONDS = 1  # of a turn, which has at least one step

SETTINGS = {  # whether to compile, and the order of images in memory
    "as written": (False, torch.contiguous_format),
    "channels_last": (False, torch.channels_last),
    "torch.compile": (True, torch.contiguous_format),
    "torch.compile and channels_last": (True, torch.channels_last),
}
LOADERS = {  # batches that each worker makes ahead, and whether in bytes
    "as written": (2, False),
    "more batches ahead": (4, False),
    "bytes, made floats by the batch": (4, True),
}


class Siamese(nn.Module):
    """One embedding for both images, and a logit of their distance."""

    def __init__(self, embedding: nn.Module, dim: int):
        """Adds the dense unit that weights the distances."""
        super().__init__()
        self.embedding = embedding
        self.head = nn.Linear(dim, 1)

    def forward(self, first, second=None):
        """Computes logits `[batch, 1]`, or `[batch, batch, 1]` of all pairs."""
        first = self.embedding(first)
        if second is None:
            first, second = first[:, None], first
        else:
            second = self.embedding(second)
        return self.head(torch.abs(first - second))


def build_paper_network(
    filters: tuple[int, ...],
    units: int,
    kernel_sizes: tuple[int, ...] = (10, 7, 4, 4),
    image_size: int = 105,
) -> Siamese:
    """Builds the paper's network for images of `image_size` pixels."""
    layers, channels, pooled = [], 1, image_size
    for width, kernel_size in zip(filters, kernel_sizes, strict=True):
        layers += [nn.Conv2d(channels, width, kernel_size), nn.ReLU()]
        layers.append(nn.MaxPool2d(2))
        side = pooled - kernel_size + 1
        channels, pooled = width, side // 2
    # The last convolution is not pooled.
    dense = nn.Linear(side**2 * channels, units)
    layers[-1:] = [nn.Flatten(), dense, nn.Sigmoid()]
    return Siamese(nn.Sequential(*layers), units)


def build_fast_network() -> Siamese:
    """Builds our fast network for images of 32 pixels."""
    layers, channels = [], 1
    for width in (32, 64, 128, 128, 256):
        layers += [
            nn.Conv2d(channels, width, 3, padding=1, bias=False),
            nn.MaxPool2d(2),
            nn.GroupNorm(8, width),
            nn.ReLU(),
        ]
        channels = width
    # The last block has batch normalization, and ends in a sigmoid.
    layers[-2:] = [nn.BatchNorm2d(channels), nn.Flatten(), nn.Sigmoid()]
    return Siamese(nn.Sequential(*layers), channels)


def _random_images(num, side):
    return torch.rand(num, 1, side, side)


def find_best(
    make_step: Callable, network: nn.Module, images: list, may_compile: bool
) -> tuple[Callable, list[str]]:
    """Tries channels_last and torch.compile; returns the best step, and notes.

    The settings take turns, so that other work of the machine favors none. Each
    has a copy of the network; `make_step` turns it into a function of images.

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
    medians = {x: statistics.median(times) for x, times in seconds.items()}
    notes += [f"{name}: {1e3 * x:.0f} ms a step" for name, x in medians.items()]
    if not may_compile:
        notes.append("torch.compile was not tried")
    best = min(medians, key=medians.get)
    # One note, as notes that equal those of another process are dropped.
    return steps[best], ["; ".join([*notes, f"best: {best}"])]


def _make(make_step, network, compiled, memory_format):
    network = copy.deepcopy(network).to(memory_format=memory_format)
    step = make_step(torch.compile(network) if compiled else network)
    return lambda *images: step(
        *(x.contiguous(memory_format=memory_format) for x in images)
    )


def _time(step, images):
    """Measures the mean seconds of a step in a turn."""
    begin, num = time.perf_counter(), 0
    while not num or time.perf_counter() - begin < TURN_SECONDS:
        step(*images)
        num += 1
    return (time.perf_counter() - begin) / num


def _settle(make_step, network, images, options):
    """Returns the step as written, or with the fastest settings, and notes."""
    if options.side == "rival":
        return make_step(network), []
    return find_best(make_step, network, images, not options.quick)


def train(row: str, options: Options):
    """Measures training steps with Adam; in bfloat16 under autocast."""
    sampling, precision = STEPS[row]
    items, steps = options.get_sizes(sampling)
    if sampling == "pairs":
        network = build_paper_network(options.filters, options.units)
        images = [_random_images(items, 105) for _ in range(2)]
        same = torch.arange(items) % 2
    else:
        network = build_fast_network()
        images = [_random_images(items, 32)]
        character = torch.arange(items) // options.group[1]
        same = character[:, None] == character
    same = same.float()[..., None]
    loss_of = nn.BCEWithLogitsLoss()

    def make_step(network):
        network.train()
        optimizer = torch.optim.Adam(network.parameters(), lr=6e-5)

        def step(*images):
            optimizer.zero_grad()
            autocast = precision == "bfloat16"
            with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                loss = loss_of(network(*images), same)
            loss.backward()
            optimizer.step()
            return loss.item()

        return step

    step, notes = _settle(make_step, network, images, options)
    while True:
        seconds = timeit.timeit(lambda: step(*images), number=steps)
        yield {row: items * steps / seconds}, notes


@dataclasses.dataclass
class Pairs(Dataset):
    """Endless pairs: odd ones are of one character, even ones of two."""

    drawings: list[list[Image.Image]]  # of each character
    in_bytes: bool

    def __len__(self):
        """Returns a number that is never reached."""
        return 1 << 30

    def __getitem__(self, number):
        """Returns two images `[1, 105, 105]` and whether they are the same."""
        first, second = random.sample(self.drawings, 2)
        same = number % 2
        return (
            self._load(random.choice(first)),
            self._load(random.choice(first if same else second)),
            np.float32([same]),
        )

    def _load(self, image):
        rotated = image.rotate(random.uniform(-15, 15), fillcolor=255)
        pixels = torch.from_numpy(np.array(rotated))[None]
        return pixels if self.in_bytes else pixels.float().div(255)


def make_input(options: Options):
    """Measures the rate of distorted pairs of a loader with two workers.

    The pairs are float tensors.
    """
    characters, *_ = options.load()
    drawings = collections.defaultdict(list)
    for image, character in zip(
        characters.images[..., 0], characters.character, strict=True
    ):
        drawings[character].append(Image.fromarray(image))
    drawings = list(drawings.values())

    def load(loader):
        ahead, in_bytes = LOADERS[loader]
        for *images, _ in DataLoader(
            Pairs(drawings, in_bytes),
            batch_size=options.batch_size,
            num_workers=2,
            prefetch_factor=ahead,
        ):
            yield [x.float().div_(255) for x in images] if in_bytes else images

    def measure_rate(batches, num):
        for _ in range(DRAINED):
            next(batches)
        seconds = timeit.timeit(lambda: next(batches), number=num)
        return num * options.batch_size / seconds

    best, notes = "as written", []
    if options.side == "rival_best":
        loaders = {name: load(name) for name in LOADERS}
        rounds = [
            {
                name: measure_rate(loader, options.input_batches)
                for name, loader in loaders.items()
            }
            for _ in range(TUNING_ROUNDS)
        ]
        rates = {x: statistics.median(y[x] for y in rounds) for x in LOADERS}
        notes = [f"{name}: {rate:.0f} pairs/s" for name, rate in rates.items()]
        best = max(rates, key=rates.get)
    batches = load(best)
    while True:
        yield {"input": measure_rate(batches, options.input_batches)}, notes


def evaluate(options: Options):
    """Times trials as pairs of query and candidate, both embedded each time."""
    _, images, trials = options.load()
    images = torch.from_numpy(images[..., 0])[:, None].float().div_(255)
    query = trials.query[: options.rival_trials]
    support = trials.support[: options.rival_trials, :, 0]

    def make_score(network):
        network.eval()
        return torch.inference_mode()(lambda *pair: network(*pair)[:, 0])

    network = build_paper_network(options.filters, options.units)
    pair = 2 * [images[support[0]]]
    score, notes = _settle(make_score, network, pair, options)
    note = f"extrapolated from {len(query)} trials, 40 images each"
    while True:
        begin = time.perf_counter()
        for number, candidates in zip(query, support, strict=True):
            first = images[np.repeat(number, len(candidates))]
            score(first, images[candidates]).argmax().item()
        seconds = time.perf_counter() - begin
        values = {
            "evaluation": seconds * len(trials) / len(query),
            "images/s": 2 * support.size / seconds,
        }
        yield values, [note, *notes]


def serve(options: Options):
    """Times a query against stored characters.

    The side `rival` embeds all candidates again, in pairs. `rival_best` keeps
    their embeddings, as ours does.
    """
    network = build_fast_network().eval()
    keeps = options.side == "rival_best"
    galleries = options.galleries if keeps else options.galleries[:2]
    note = f"embeds every candidate again; beyond {galleries[-1]} extrapolated"

    def make_match(num):
        if keeps:
            query, stored = torch.rand(1, 256), torch.rand(num, 256)
            return lambda: network.head((query - stored).abs()).argmax().item()
        query, stored = _random_images(num, 32), _random_images(num, 32)
        return lambda: network(query, stored).argmax().item()

    matches = {num: make_match(num) for num in galleries}
    while True:
        seconds = {}
        for num, match in matches.items():
            calls = options.calls if keeps or num < 1000 else 3
            with torch.inference_mode():
                seconds[num] = time_calls(match, calls)
        for num in options.galleries[len(galleries) :]:
            seconds[num] = seconds[galleries[-1]] * num / galleries[-1]
        values = {f"serving_{num}": 1e3 * x for num, x in seconds.items()}
        yield values, ["keeps embeddings, as ours does" if keeps else note]


WORKLOADS = {
    **{row: functools.partial(train, row) for row in STEPS},
    "input": make_input,
    "evaluation": evaluate,
    "serving": serve,
}
