"""Settings of a training: their class, its rules, and their text as flags.

The fields are in `setting_fields`. Neither module imports anything that is slow
to load, so that a command answers `--help` and mistakes at once.
"""

import csv
import dataclasses
import io
import math
import textwrap
from collections.abc import Iterator

from koch_siamese.data.characters import needs_split
from koch_siamese.errors import InputError
from koch_siamese.fields import convert_fields
from koch_siamese.runs.setting_fields import (
    APPLICATIONS,
    NETWORKS,
    BatchSettings,
    DataSettings,
    EvaluationSettings,
    NetworkSettings,
    OptimizerSettings,
    RunSettings,
    explain,
)

# Prefix of a setting that was given as a Python object; a hash of it follows.
# See `training.loop.train_and_evaluate`.
GIVEN = "given:"

# Settings that change neither the training nor the choice of its best epoch.
ONLY_EVALUATION = ("protocols", "num_trials", "shots")

MIN_APPLICATION_SIZE = 32  # pixels, for all of these networks


def is_own_network(network: str) -> bool:
    """Whether `--network` is a user's function, MODULE:FUNCTION."""
    return ":" in network and not network.startswith((GIVEN, APPLICATIONS))


def is_application(network: str) -> bool:
    """Whether `--network` is one of keras.applications."""
    return network.startswith(APPLICATIONS)


# The fields of the last base class come first in a dataclass.
@dataclasses.dataclass(frozen=True)
class Settings(
    RunSettings,
    EvaluationSettings,
    OptimizerSettings,
    BatchSettings,
    NetworkSettings,
    DataSettings,
):
    """The settings of a training, except the folders of data and results.

    The defaults are those of the quickstart. `python -m koch_siamese.train
    --help` also explains each field, as a flag.

    Attributes:
        {fields}

    Raises:
        InputError: a value has another type or is out of its range, or two
            values contradict each other.
    """

    def __post_init__(self):
        """Checks each value, and that values do not contradict each other."""
        convert_fields(self)
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            for item in value if isinstance(value, tuple) else (value,):
                _check_value(field, item)
        for name, other in _find_unmet(self, "needs"):
            raise _unmet_error(self, name, other)
        _check_network(self)
        _check_batches(self)
        _check_optimizer(self)
        _check_views(self)
        _check_dataset(self)
        if "lake" in self.protocols and self.dataset != "omniglot":
            raise InputError(
                "--protocols=lake has trials of Omniglot: give "
                "--dataset=omniglot, or run koch_siamese.evaluate afterwards."
            )
        if self.max_minutes and self.distribute == "multiworker":
            raise InputError(
                f"--max_minutes={self.max_minutes} cannot be used with "
                "--distribute=multiworker, as each worker has its own clock: "
                "give --epochs instead."
            )

    @property
    def photo_size(self) -> int:
        """The side in pixels at which photos are read; 0 for drawings."""
        return self.image_size if self.image_kind == "photo" else 0


def _explain_fields():
    """Explains all fields, as a section of a docstring."""
    return "\n".join(
        textwrap.fill(
            f"{field.name}: {explain(field)}",
            width=80,
            initial_indent=8 * " ",
            subsequent_indent=12 * " ",
            break_on_hyphens=False,
        )
        for field in dataclasses.fields(Settings)
    ).lstrip()


if Settings.__doc__:  # python -OO removes it
    Settings.__doc__ = Settings.__doc__.replace("{fields}", _explain_fields())


def list_stopping_settings(settings: Settings) -> tuple[str, ...]:
    """Names the settings that end a training but do not change its steps."""
    if settings.optimizer == "layerwise_sgd" or settings.schedule == "constant":
        return ("epochs", "patience", "max_minutes")
    return ("patience", "max_minutes")


def find_changed(settings: Settings, other: Settings) -> list[str]:
    """Names the settings in which two trainings differ."""
    return [
        field.name
        for field in dataclasses.fields(settings)
        if getattr(settings, field.name) != getattr(other, field.name)
    ]


def find_without_effect(settings: Settings) -> Iterator[tuple[str, str]]:
    """Finds settings that are not the default, but have no effect.

    Values that contradict each other are refused instead. These are allowed, so
    that one flag of a flagfile can be changed without the others.

    Yields:
        A setting and what makes it ineffective, as flags.
    """
    for name, other in _find_unmet(settings, "only_with"):
        yield format_flag(settings, name), format_flag(settings, other)


def list_ineffective(settings: Settings) -> list[str]:
    """Names the settings of `find_without_effect`."""
    return [name for name, _ in _find_unmet(settings, "only_with")]


def _find_unmet(settings, key):
    """Finds given settings, and for each the first one that it does not suit.

    Args:
        settings: all of them.
        key: `needs` or `only_with`, of the metadata of fields.
    """
    for field in dataclasses.fields(settings):
        if getattr(settings, field.name) == field.default:
            continue
        for other, values in field.metadata[key].items():
            value = getattr(settings, other)
            if other == "network" and is_application(value):
                value = APPLICATIONS
            if value not in values:
                yield field.name, other
                break


def format_flag(settings: Settings, name: str) -> str:
    """Formats a setting as a flag, such as --epochs=7."""
    value = format_value(getattr(settings, name))
    return f"--{name}" if value == "true" else f"--{name}={value}"


def format_value(value) -> str:
    """Formats the value of a setting as in a flag.

    A list is a line of CSV: an item with a comma is in quotes.
    """
    if isinstance(value, tuple):
        line = io.StringIO()
        csv.writer(line, lineterminator="").writerow(map(str, value))
        return line.getvalue()
    return str(value).lower() if isinstance(value, bool) else str(value)


def _check_value(field, value):
    meta = field.metadata
    if field.name == "network" and ":" in value:
        return
    if field.name == "objective" and value.startswith(GIVEN):
        return
    if meta["choices"] and value not in meta["choices"]:
        choices = ", ".join(meta["choices"])
        if field.name == "network":
            choices += ", keras.applications:NAME, or MODULE:FUNCTION"
        raise InputError(
            f"--{field.name} is {value!r}; expected one of {choices}."
        )
    if isinstance(value, str):
        return
    in_range = meta["low"] <= value <= meta["high"]
    if not (in_range and math.isfinite(value)):
        limits = f"at least {meta['low']}"
        if math.isfinite(meta["high"]):
            limits += f" and at most {meta['high']}"
        raise InputError(f"--{field.name} is {value}; expected {limits}.")


def _conflict_error(settings, name, other, advice=""):
    """Makes the error for a setting that cannot be used with another flag."""
    given = format_flag(settings, name)
    return InputError(
        f"{given} cannot be used with {other}: remove it{advice}."
    )


def _unmet_error(settings, name, other):
    """Makes the error for a setting whose `needs` another one does not meet."""
    (field,) = (x for x in dataclasses.fields(settings) if x.name == name)
    values = [
        f"{value}NAME" if value == APPLICATIONS else format_value(value)
        for value in field.metadata["needs"][other]
    ]
    if any(values):
        advice = f", or give --{other}={' or '.join(values)}"
    else:  # there is a model to start from, which has its own network
        default = f"--{name}={format_value(field.default)}"
        advice = f", or give {default} after the flagfile that has it"
    return _conflict_error(settings, name, format_flag(settings, other), advice)


def _check_network(settings):
    """Refuses settings of layers that the network does not have."""
    network = f"--network={settings.network}"
    if is_application(settings.network):
        _check_application(settings)
    elif settings.trainable_from != "all" and not settings.init:
        raise _conflict_error(settings, "trainable_from", network)
    if keeps_features(settings) and settings.precision != "float32":
        raise _conflict_error(
            settings,
            "precision",
            "--trainable_from=none and --distortion=none",
        )
    if settings.head_weights != "any":
        starts_with_both_signs = (
            settings.network in ("paper", "dense") and not settings.batch_norm
        )
        if starts_with_both_signs:
            raise _conflict_error(settings, "head_weights", network)
        if settings.objective == "contrastive":  # distances without weights
            raise _conflict_error(
                settings, "head_weights", "--objective=contrastive"
            )


def _check_application(settings):
    """Refuses images and layers that do not suit keras.applications."""
    network = f"--network={settings.network}"
    if settings.image_kind != "photo":
        raise InputError(
            f"{network} takes color images; got "
            f"--image_kind={settings.image_kind}: give --image_kind=photo."
        )
    if settings.ink_value != 1:
        raise _conflict_error(settings, "ink_value", network)
    if settings.image_size < MIN_APPLICATION_SIZE:
        raise InputError(
            f"{network} needs images of {MIN_APPLICATION_SIZE} pixels or more; "
            f"got --image_size={settings.image_size}."
        )
    if len(settings.units) > 1:
        raise InputError(
            f"{network} has one dense layer; got "
            f"--units={format_value(settings.units)}: give one number."
        )


def freezes_random_weights(settings: Settings) -> bool:
    """Whether layers of a backbone are frozen at random weights."""
    return (
        is_application(settings.network)
        and settings.trainable_from != "all"
        and settings.backbone_weights == "none"
    )


def keeps_features(settings: Settings) -> bool:
    """Whether the features of a frozen backbone are computed only once.

    They are if nothing before the dense layer changes between steps, and
    training runs on one device with one step per call.
    """
    unchanged = ("distortion", "character_distortion")
    unchanged += ("effects", "character_effects")
    return (
        settings.trainable_from == "none"
        and all(getattr(settings, name) == "none" for name in unchanged)
        and settings.distribute == "none"
        and settings.steps_per_call == 1
    )


def _check_batches(settings):
    """Refuses a loss and copies without the pairs that they need."""
    if settings.objective == "contrastive" and settings.sampling != "pairs":
        raise InputError(
            "--objective=contrastive needs --sampling=pairs; got "
            f"--sampling={settings.sampling}."
        )
    if settings.num_copies and not settings.num_pairs:
        raise InputError(
            f"--num_copies={settings.num_copies} needs a fixed set of pairs: "
            "give its size as --num_pairs."
        )


def _check_optimizer(settings):
    """Refuses settings that the optimizer does not have."""
    if settings.steps_per_epoch % settings.steps_per_call:
        raise InputError(
            f"--steps_per_call={settings.steps_per_call} must divide "
            f"--steps_per_epoch={settings.steps_per_epoch}."
        )
    if settings.optimizer != "layerwise_sgd":
        return
    if settings.network not in NETWORKS:
        raise InputError(
            "--optimizer=layerwise_sgd has rates for the paper's layers, but "
            f"--network={settings.network} has others: use --optimizer=adam or "
            "muon."
        )
    if settings.weight_decay:
        raise InputError(
            f"--weight_decay={settings.weight_decay} has no effect with "
            "--optimizer=layerwise_sgd: use --layer_l2."
        )


def _check_dataset(settings):
    """Refuses names of no data set, and photos of drawings."""
    if not settings.dataset.strip() or settings.dataset.startswith("glyphs/"):
        known = ("glyphs", "glyphs/tiny", "omniglot", "folder")
        if settings.dataset not in known:
            raise InputError(
                f"--dataset is {settings.dataset!r}; expected one of "
                f"{', '.join(known)}, or the name of a TFDS data set of images "
                "and labels."
            )
    if settings.image_kind == "photo" and not needs_split(settings.dataset):
        raise InputError(
            f"--dataset={settings.dataset} has drawings: give "
            "--image_kind=drawing, or --dataset=folder with your photos."
        )


def has_effects(settings: Settings) -> bool:
    """Whether a training changes its photos, beside distorting them."""
    return not settings.effects == settings.character_effects == "none"


def _check_views(settings):
    """Refuses views that would be identical, or cannot be averaged."""
    if settings.views > 1 and settings.distortion == "none":
        raise InputError(
            f"--views={settings.views} needs --distortion, which is none: give "
            "one, or --views=1."
        )
    if settings.turned_views and (
        settings.views == 1
        or not (settings.quarter_turns or settings.mirror_images)
    ):
        raise InputError(
            "--turned_views needs --views of 2 or more, and --quarter_turns or "
            "--mirror_images, so that the network learns such drawings."
        )
    if settings.views > 1 and (
        settings.ink_value != 1 or settings.fill == "ink"
    ):
        raise InputError(
            f"--views={settings.views} needs ink as 1 on paper as 0: remove "
            "--ink_value and --fill=ink, or give --views=1."
        )
    if settings.views > 1 and settings.objective == "contrastive":
        raise InputError(
            f"--views={settings.views} needs weighted L1 distances; got "
            "--objective=contrastive: give --views=1."
        )
