"""The rival: what the tutorial describes, in PyTorch.

Images are kept as PIL, rotated one by one in a DataLoader, and a trial is
twenty image pairs. With `options.best` the same at the best settings found.
"""

import copy
import time

import numpy as np
import torch
from torch import nn

from experiments.benchmark import rival_networks as networks
from experiments.benchmark.options import Options
from experiments.benchmark.rival_loader import Pairs, make_loader
from experiments.benchmark.rival_settings import find_best, to_channels_last

LEARNING_RATE = 6e-5
FAST_IMAGE_SIZE = 32
DRAINED = 12  # batches that were made while the other side worked


def _begin(options):
    torch.manual_seed(0)
    torch.set_num_threads(options.threads)


def _build_paper_network(options):
    embedding = networks.build_paper_embedding(
        tuple(options.filters), options.units
    )
    return networks.Siamese(embedding, options.units)


def _random_images(num, side):
    return torch.rand(num, 1, side, side)


def train_step(options: Options):
    """The paper's network on pairs: forward, backward and update by Adam."""
    return _train_on_pairs("train_step", options)


def train_step_bfloat16(options: Options):
    """The same under autocast to bfloat16."""
    return _train_on_pairs("train_step_bfloat16", options, True)


def train_step_groups(options: Options):
    """The fast network on groups, cross-entropy of all pairs of a batch."""
    return _train_on_groups("train_step_groups", options)


def train_step_groups_bfloat16(options: Options):
    """The same under autocast to bfloat16."""
    return _train_on_groups("train_step_groups_bfloat16", options, True)


def _train_on_pairs(name, options, autocast=False):
    _begin(options)
    images = [_random_images(options.batch_size, 105) for _ in range(2)]
    same = (torch.arange(options.batch_size) % 2).float()[:, None]
    make_step = _make_step_maker(same, autocast)
    network = _build_paper_network(options)
    step, *notes = _settle(make_step, network, images, options)
    items, steps = options.batch_size, options.pair_steps
    return _measure_steps(name, step, items, steps), *notes


def _train_on_groups(name, options, autocast=False):
    _begin(options)
    characters, drawings = options.group
    character = torch.arange(characters).repeat_interleave(drawings)
    same = (character[:, None] == character[None]).float()
    network = networks.AllPairs(networks.build_fast_embedding(), 256)
    images = [_random_images(len(character), FAST_IMAGE_SIZE)]
    make_step = _make_step_maker(same, autocast)
    step, *notes = _settle(make_step, network, images, options)
    items, steps = len(character), options.group_steps
    return _measure_steps(name, step, items, steps), *notes


def _make_step_maker(same, autocast):
    """What makes of a network and its images a step of its training."""
    loss_of = nn.BCEWithLogitsLoss()

    def make_step(network, images):
        network.train()
        optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)

        def step():
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                loss = loss_of(network(*images), same)
            loss.backward()
            optimizer.step()
            return loss.item()

        return step

    return make_step


def _measure_steps(name, step, items, steps):
    def measure():
        begin = time.perf_counter()
        for _ in range(steps):
            step()
        return {name: items * steps / (time.perf_counter() - begin)}

    return measure


def _settle(make_step, network, images, options):
    """The step as it is written, or at the fastest settings and which."""
    if options.best:
        return find_best(make_step, network, images, options.compile)
    return (make_step(network, images),)


def input(options: Options):
    """Distorted pairs of the loader, as float tensors."""
    _begin(options)
    loaders = {"as written": (2, False)}
    if options.best:
        loaders["more batches ahead"] = (4, False)
        loaders["bytes, made floats by the batch"] = (4, True)
    pairs = Pairs(options)
    rates, notes = {}, []
    for name, settings in loaders.items():
        if options.best:
            batches = _load(pairs, options, *settings)
            rates[name] = options.batch_size / _time_batches(batches, DRAINED)
            notes.append(f"{name}: {rates[name]:.0f} pairs/s")
    best = max(rates, key=rates.get) if rates else "as written"
    batches = _load(pairs, options, *loaders[best])

    def measure():
        seconds = _time_batches(batches, options.input_batches)
        return {"input": options.batch_size / seconds}

    return measure, *notes


def _load(pairs, options, ahead, in_bytes):
    """Batches without end, of float tensors."""
    pairs = copy.copy(pairs)
    pairs.in_bytes = in_bytes
    for first, second, _ in make_loader(pairs, options.batch_size, ahead):
        if in_bytes:
            first, second = (x.float().div_(255) for x in (first, second))
        yield first, second


def _time_batches(batches, num):
    """Seconds of a batch, when those made ahead are used up."""
    for _ in range(DRAINED):
        next(batches)
    begin = time.perf_counter()
    for _ in range(num):
        next(batches)
    return (time.perf_counter() - begin) / num


def evaluation(options: Options):
    """Trials as pairs of the query and each candidate, all embedded anew."""
    _begin(options)
    data = options.read()
    images = torch.from_numpy(data["test_images"])[:, None].float().div_(255)
    network = _build_paper_network(options).eval()
    query = data["query"][: options.rival_trials]
    support = data["support"][: options.rival_trials, :, 0]

    def make_step(network, trial):
        first, second = trial
        return lambda: _score(network, first, second)

    notes = ()
    channels_last = False
    if options.best:
        example = [images[support[0]], images[support[0]]]
        with torch.inference_mode():
            step, *notes = find_best(
                make_step, network, example, options.compile
            )
        network, channels_last = step.network, step.channels_last

    def measure():
        begin = time.perf_counter()
        for number, candidates in zip(query, support, strict=True):
            second = images[candidates]
            first = images[np.repeat(number, len(candidates))]
            if channels_last:
                first, second = map(to_channels_last, (first, second))
            _score(network, first, second).argmax().item()
        seconds = time.perf_counter() - begin
        whole = seconds * options.num_trials / len(query)
        return {
            "evaluation": whole,
            "images/s": 2 * support.size / seconds,
        }

    note = f"extrapolated from {len(query)} trials, 40 images each"
    return measure, note, *notes


def _score(network, first, second):
    with torch.inference_mode():
        return network(first, second)[:, 0]


def serving(options: Options):
    """One query against stored characters.

    As it is written, all candidates are embedded again for it, in pairs. At
    its best it keeps their embeddings, as ours does.
    """
    _begin(options)
    network = networks.Siamese(networks.build_fast_embedding(), 256).eval()
    query = _random_images(1, FAST_IMAGE_SIZE)
    stored = options.galleries if options.best else options.galleries[:2]

    def make_match(num):
        if options.best:
            embedding, supports = torch.rand(1, 256), torch.rand(num, 256)
            return lambda: network.head(torch.abs(embedding - supports))
        supports = _random_images(num, FAST_IMAGE_SIZE)
        return lambda: network(query.expand(num, -1, -1, -1), supports)

    matches = {num: make_match(num) for num in stored}

    def measure():
        values = {}
        for num, match in matches.items():
            calls = options.calls if options.best or num < 1000 else 3
            values[f"serving_{num}"] = 1e3 * _time(match, calls)
        for num in options.galleries[len(stored) :]:
            largest = stored[-1]
            whole = values[f"serving_{largest}"] * num / largest
            values[f"serving_{num}"] = whole
        return values

    if options.best:
        return measure, "keeps embeddings, as ours does"
    return (
        measure,
        f"embeds every candidate again; beyond {stored[-1]} extrapolated",
    )


def _time(call, calls):
    """Median seconds of some calls, whose answer is the best candidate."""
    times = []
    with torch.inference_mode():
        for _ in range(calls):
            begin = time.perf_counter()
            call().argmax().item()
            times.append(time.perf_counter() - begin)
    return float(np.median(times))
