"""The ranges of the paper's hyper-parameter search (section 3.2).

A point of the space is a dict of parameters by name, such as
`learning_rate_0`, that of the first layer.
"""

import dataclasses
from typing import Protocol

from koch_siamese.errors import InputError
from koch_siamese.runs.settings import Settings
from koch_siamese.training import builders
from koch_siamese.training.optimizers import broadcast_to_layers

LEARNING_RATES = (1e-4, 1e-1)
MOMENTUMS = (0.0, 1.0)
# From 0 in the paper. Half of a range that is cut evenly would be above 0.05,
# which lets no weight live; a logarithmic one needs an end.
L2 = (1e-6, 1e-1)
KERNEL_SIZES = (3, 20)
FILTERS = (16, 256)
UNITS = (128, 4096)
STEP = 16  # in which filters and units are counted


class Suggestions(Protocol):
    """What proposes values: an `optuna.Trial`, or a test."""

    def suggest_float(self, name, low, high, *, log=False) -> float:
        """A number within the range, whose ends belong to it."""

    def suggest_int(self, name, low, high, *, step=1) -> int:
        """A whole number, likewise."""


def require_searchable(settings: Settings):
    """Checks that the paper's search is of these settings.

    Raises:
        InputError: they are of another optimizer or network.
    """
    if settings.distribute != "none" or settings.init:
        raise InputError(
            "A search trains new networks, each on one device: leave out "
            "--distribute and --init."
        )
    if settings.optimizer != "layerwise_sgd" or settings.network == "fast":
        raise InputError(
            "The paper's search is of --optimizer=layerwise_sgd and "
            f"--network=paper or dense; got --optimizer={settings.optimizer} "
            f"and --network={settings.network}: try "
            "--flagfile=experiments/mnist_35px.flags."
        )


def suggest_settings(
    trial: Suggestions, settings: Settings, search_network: bool
) -> Settings:
    """Settings with what a trial suggests in place of what is searched.

    Args:
        trial: proposes the values.
        settings: all that is not searched, and the number of layers.
        search_network: whether filters, kernel sizes and units are searched,
            too.
    """
    if search_network:
        settings = _suggest_network(trial, settings)
    num_layers = _count_layers(settings)
    return dataclasses.replace(
        settings,
        layer_learning_rates=tuple(
            trial.suggest_float(f"learning_rate_{i}", *LEARNING_RATES, log=True)
            for i in range(num_layers)
        ),
        layer_momentums=tuple(
            trial.suggest_float(f"momentum_{i}", *MOMENTUMS)
            for i in range(num_layers)
        ),
        layer_l2=tuple(
            trial.suggest_float(f"l2_{i}", *L2, log=True)
            for i in range(num_layers)
        ),
    )


def to_point(settings: Settings, search_network: bool) -> dict[str, float]:
    """Where in the space settings stand; the inverse of `suggest_settings`.

    Values outside the ranges are moved to their edge, such as an L2 of 0.

    Raises:
        InputError: there are neither one value nor as many as layers.
    """
    num_layers = _count_layers(settings)
    searched = [
        ("learning_rate", settings.layer_learning_rates, LEARNING_RATES),
        ("momentum", settings.layer_momentums, MOMENTUMS),
        ("l2", settings.layer_l2, L2),
    ]
    point = {
        f"{name}_{i}": min(max(value, low), high)
        for name, values, (low, high) in searched
        for i, value in enumerate(broadcast_to_layers(name, values, num_layers))
    }
    if search_network:
        filters, kernel_sizes, units = builders.get_layer_sizes(settings)
        for name, values, bounds, step in (
            ("filters", filters, FILTERS, STEP),
            ("kernel_size", kernel_sizes, KERNEL_SIZES, 1),
            ("units", units, UNITS, STEP),
        ):
            point |= {
                f"{name}_{i}": _to_range(value, *bounds, step)
                for i, value in enumerate(values)
            }
    return point


def _to_range(value, low, high, step):
    """The nearest whole number of a range."""
    return min(max(low, low + round((value - low) / step) * step), high)


def _count_layers(settings):
    """Layers that have weights: each has its rates; the head is the last."""
    filters, _, units = builders.get_layer_sizes(settings)
    has_head = settings.objective != "contrastive"
    return len(filters) + len(units) + has_head


def _suggest_network(trial, settings):
    filters, _, units = builders.get_layer_sizes(settings)
    return dataclasses.replace(
        settings,
        filters=tuple(
            trial.suggest_int(f"filters_{i}", *FILTERS, step=STEP)
            for i in range(len(filters))
        ),
        kernel_sizes=_suggest_kernel_sizes(
            trial, settings.image_size, len(filters)
        ),
        units=tuple(
            trial.suggest_int(f"units_{i}", *UNITS, step=STEP)
            for i in range(len(units))
        ),
    )


def _suggest_kernel_sizes(trial, image_size, num_layers):
    """Kernels that leave the layers after them something to see."""
    kernel_sizes, side = [], image_size
    for layer in range(num_layers):
        smallest, largest = KERNEL_SIZES
        # What the next convolution must get to end at a pixel or more.
        needed = 1
        for _ in range(num_layers - layer - 1):
            needed = 2 * (needed + smallest - 1)
        largest = min(largest, side - needed + 1)
        if largest < smallest:
            raise InputError(
                f"{num_layers} convolutions of {smallest} pixels or more, with "
                f"pooling, leave nothing of an image of {image_size}: "
                "give larger images or fewer --filters."
            )
        kernel_sizes.append(
            trial.suggest_int(f"kernel_size_{layer}", smallest, largest)
        )
        side -= kernel_sizes[-1] - 1
        if layer < num_layers - 1:
            side //= 2
    return tuple(kernel_sizes)
