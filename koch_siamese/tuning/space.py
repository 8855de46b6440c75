"""The ranges of the paper's hyperparameter search (section 3.2).

A point of the space is a dict of parameters, such as `learning_rate_0` for the
learning rate of the first layer.
"""

import dataclasses
import typing
from collections.abc import Sequence

from koch_siamese.errors import InputError
from koch_siamese.runs.settings import Settings
from koch_siamese.training import builders
from koch_siamese.training.optimizers import broadcast_to_layers
from koch_siamese.training.trainers import build_loss

if typing.TYPE_CHECKING:
    import optuna

LEARNING_RATES = (1e-4, 1e-1)
MOMENTUMS = (0.0, 1.0)
# From 0 in the paper. Half of a uniform range would be above 0.05, where all
# weights decay to 0; a logarithmic range needs a lower end.
L2 = (1e-6, 1e-1)
KERNEL_SIZES = (3, 20)
FILTERS = (16, 256)
UNITS = (128, 4096)
STEP = 16  # of filters and units


def require_searchable(settings: Settings, search_network: bool = False):
    """Checks that the paper's search can be run with these settings.

    Raises:
        InputError: it cannot, such as with another optimizer or network.
    """
    if settings.distribute != "none" or settings.init:
        raise InputError(
            "A search trains new networks, each on one device: remove "
            "--distribute and --init."
        )
    build_loss(settings)  # raises if it was given as an object
    if settings.optimizer != "layerwise_sgd" or settings.network == "fast":
        raise InputError(
            "The paper's search needs --optimizer=layerwise_sgd and "
            f"--network=paper or dense; got --optimizer={settings.optimizer} "
            f"and --network={settings.network}: try "
            "--flagfile=experiments/mnist_35px.flags."
        )
    if search_network and settings.relative_updates:
        raise InputError(
            "--relative_updates depend on the network, and --search_network "
            "changes it: remove one of them."
        )


def suggest_settings(
    trial: "optuna.trial.BaseTrial",
    settings: Settings,
    search_network: bool,
    gradients: Sequence[float] = (),
) -> Settings:
    """Replaces the searched settings by those that a trial suggests.

    Args:
        trial: suggests the values.
        settings: those that are not searched, and the number of layers.
        search_network: whether filters, kernel sizes and units are searched,
            too.
        gradients: of each layer, relative to its weights, if rates are relative
            updates; see `relative_updates.measure_gradients`.
    """
    if search_network:
        settings = _suggest_network(trial, settings)
    layers = range(builders.count_layers(settings))
    low, high = LEARNING_RATES
    return dataclasses.replace(
        settings,
        layer_learning_rates=tuple(
            trial.suggest_float(
                f"learning_rate_{i}", low * scale, high * scale, log=True
            )
            for i, scale in enumerate(gradients or [1.0 for _ in layers])
        ),
        layer_momentums=tuple(
            trial.suggest_float(f"momentum_{i}", *MOMENTUMS) for i in layers
        ),
        layer_l2=tuple(
            trial.suggest_float(f"l2_{i}", *L2, log=True) for i in layers
        ),
    )


def to_point(
    settings: Settings, search_network: bool, gradients: Sequence[float] = ()
) -> dict[str, float]:
    """Converts settings to a point; the inverse of `suggest_settings`.

    Values outside a range, such as an L2 of 0, are moved to its edge.

    Raises:
        InputError: the number of values is neither one nor that of layers.
    """
    trial = _SettingsTrial(settings)
    suggest_settings(trial, settings, search_network, gradients)
    return trial.point


class _SettingsTrial:
    """A trial that suggests the values of settings, moved into the ranges."""

    def __init__(self, settings):
        num_layers = builders.count_layers(settings)
        filters, kernel_sizes, units = builders.get_layer_sizes(settings)
        self._values = {
            "filters": filters,
            "kernel_size": kernel_sizes,
            "units": units,
        }
        for name, values in (
            ("learning_rate", settings.layer_learning_rates),
            ("momentum", settings.layer_momentums),
            ("l2", settings.layer_l2),
        ):
            self._values[name] = broadcast_to_layers(name, values, num_layers)
        self.point = {}

    def suggest_float(self, name, low, high, *, log=False):
        kind, _, layer = name.rpartition("_")
        self.point[name] = min(max(self._values[kind][int(layer)], low), high)
        return self.point[name]

    def suggest_int(self, name, low, high, *, step=1):
        value = self.suggest_float(name, low, high)
        self.point[name] = low + round((value - low) / step) * step
        return self.point[name]


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
    """Suggests kernels that leave the layers after them at least a pixel."""
    kernel_sizes, side = [], image_size
    for layer in range(num_layers):
        smallest, largest = KERNEL_SIZES
        # The side that is needed after this layer to end at a pixel or more.
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
