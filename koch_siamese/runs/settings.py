"""Settings of a training: the flags of `train`, and the keys of a run.

It imports nothing that is slow to load, so that a command answers `--help` and
mistakes at once.
"""

import csv
import dataclasses
import io
import math
from collections.abc import Iterator

from koch_siamese.data.characters import SPLITS_BY, is_users_own
from koch_siamese.data.omniglot import BACKGROUNDS
from koch_siamese.errors import InputError
from koch_siamese.fields import convert_fields
from koch_siamese.images import CHANNELS
from koch_siamese.sampling.distortions import DISTORTIONS
from koch_siamese.sampling.effects import EFFECTS

MAX_TRIALS = 10_000_000  # these take a gigabyte or two


def setting(
    default,
    meaning,
    *,
    choices=None,
    low=-math.inf,
    high=math.inf,
    only_with=None,
    needs=None,
):
    """Makes a field of settings.

    Args:
        default: the value if none is given.
        meaning: the text in `--help`.
        choices: the allowed values, for a tuple those of each item.
        low, high: the smallest and the largest allowed number.
        only_with: the values of other settings, by name, with which this one
            has an effect; see `find_without_effect`.
        needs: likewise, where another value than the default is refused.
    """
    return dataclasses.field(
        default=default,
        metadata={
            "help": meaning,
            "choices": choices,
            "low": low,
            "high": high,
            "only_with": only_with or {},
            "needs": needs or {},
        },
    )


NETWORKS = ("fast", "paper", "dense")

# Prefix of a setting that was given as a Python object; a hash of it follows.
# See `training.loop.train_and_evaluate`.
GIVEN = "given:"

# Prefix of a `--network` from keras.applications; its name follows.
APPLICATIONS = "keras.applications:"

MIN_APPLICATION_SIZE = 32  # pixels, for all of these networks

# What several settings need, or have an effect with.
NEW_NETWORK = {"init": ("",)}
PAPER_LAYERS = NEW_NETWORK | {"network": ("paper", "dense")}
INITIAL_VALUES = PAPER_LAYERS | {"batch_norm": (False,)}
BY_GROUP = {"split_by": ("group",)}
LAYERWISE = {"optimizer": ("layerwise_sgd",)}
GROUPS_OF_DRAWINGS = {"sampling": ("groups",)}
PHOTOS = {"image_kind": ("photo",)}


def is_own_network(network: str) -> bool:
    """Whether `--network` is a custom one, or one of keras.applications."""
    return ":" in network


def is_application(network: str) -> bool:
    """Whether `--network` is one of keras.applications."""
    return network.startswith(APPLICATIONS)


@dataclasses.dataclass(frozen=True)
class DataSettings:
    """Data."""

    dataset: str = setting(
        "glyphs",
        "The data set to train on: glyphs, glyphs/tiny, omniglot, folder (your "
        "own images in --data_dir), or any TFDS data set of images and labels, "
        "such as cifar100. Its labels are split like the classes of a folder.",
    )
    image_kind: str = setting(
        "drawing",
        "How images are read. drawing: as dark ink on light paper, cleaned, in "
        "gray; photo: in color, unchanged.",
        choices=tuple(CHANNELS),
    )
    crop: bool = setting(
        False,
        "Crop a folder's images to their ink.",
        only_with={"dataset": ("folder",)},
        needs={"image_kind": ("drawing",)},
    )
    split_by: str = setting(
        "class",
        "How a folder is split into training, validation and test: by class, "
        "or by whole groups of classes (alphabets), so that test groups are "
        "unseen.",
        choices=SPLITS_BY,
        needs={"dataset": ("folder",)},
    )
    training_groups: tuple[str, ...] = setting(
        (),
        "With --split_by=group: groups to train on. Default: all that the two "
        "flags below do not name.",
        needs=BY_GROUP,
    )
    validation_groups: tuple[str, ...] = setting(
        (),
        "With --split_by=group: groups to validate on. If none of the three "
        "flags is given, a fifth of the groups is for validation and a fifth "
        "for tests.",
        needs=BY_GROUP,
    )
    test_groups: tuple[str, ...] = setting(
        (),
        "With --split_by=group: groups to test on. Default: with "
        "--training_groups, all that are not named.",
        needs=BY_GROUP,
    )
    background: str = setting(
        "original",
        "Omniglot's training set. original: the 30 background alphabets; "
        "small1, small2: five of them (Lake et al. 2015); koch: all 30, but "
        "only 12 of their 20 drawers.",
        choices=tuple(BACKGROUNDS),
        only_with={"dataset": ("omniglot",)},
    )
    quarter_turns: bool = setting(
        False,
        "Add training characters rotated by 90, 180 and 270 degrees as new "
        "characters.",
    )
    mirror_images: bool = setting(
        False, "Add mirrored training characters as new characters."
    )


@dataclasses.dataclass(frozen=True)
class NetworkSettings:
    """Network."""

    init: str = setting(
        "",
        "A trained model to start from instead of a new network: a file, the "
        "directory of a run, or pretrained. Its views are removed.",
    )
    network: str = setting(
        "fast",
        "The embedding network. fast: blocks of convolutions for small images; "
        "paper: the paper's convolutions and dense layer; dense: dense layers "
        "alone; keras.applications:NAME, such as MobileNetV3Small: a backbone "
        "for photos, and a dense layer; MODULE:FUNCTION: your own, a function "
        "that takes Settings and returns a Keras model.",
        choices=NETWORKS,
        needs=NEW_NETWORK,
    )
    image_size: int = setting(
        32,
        "Side of the network's input images, in pixels.",
        low=8,
        high=512,
    )
    filters: tuple[int, ...] = setting(
        (),
        "Number of filters of each convolution. Default: 32,64,128,128,256 for "
        "fast, 64,128,128,256 for paper.",
        low=1,
        high=4096,
        needs=NEW_NETWORK | {"network": ("fast", "paper")},
    )
    kernel_sizes: tuple[int, ...] = setting(
        (),
        "With --network=paper: kernel size of each convolution, in pixels. "
        "Default: 10,7,4,4.",
        low=1,
        high=512,
        needs=NEW_NETWORK | {"network": ("paper",)},
    )
    units: tuple[int, ...] = setting(
        (),
        "Units of each dense layer. Default: 4096 for paper, 1024,1024 for "
        "dense, 256 for keras.applications (one layer).",
        low=1,
        high=65536,
        needs=NEW_NETWORK | {"network": ("paper", "dense", APPLICATIONS)},
    )
    depth: int = setting(
        1,
        "With --network=fast: convolutions in each block except the last, "
        "which has one; those after the first are residual.",
        low=1,
        needs=NEW_NETWORK | {"network": ("fast",)},
    )
    batch_norm: bool = setting(
        False,
        "With --network=paper or dense: train with batch normalization, which "
        "is folded into the weights of the final model. Layers then start from "
        "He's initial weights, and the distances from those of the fast "
        "network.",
        needs=PAPER_LAYERS,
    )
    head_weights: str = setting(
        "any",
        "Weights of the distances in the score. any: of either sign; "
        "nonpositive: at most 0, so that no difference raises a score, and the "
        "index of a large gallery ranks images as the model does.",
        choices=("any", "nonpositive"),
        needs=NEW_NETWORK | {"objective": ("cross_entropy",)},
    )
    initial_values: str = setting(
        "koch",
        "With --network=paper or dense: initial weights. koch: normal, as in "
        "the paper; uniform: within 1/sqrt(fan-in), biases too, as in PyTorch "
        "and the tutorial.",
        choices=("koch", "uniform"),
        needs=INITIAL_VALUES,
    )
    layer_stddevs: tuple[float, ...] = setting(
        (),
        "With --initial_values=koch: standard deviation of the initial weights "
        "of each layer, the distances last. Default: the paper's, 0.01 for "
        "convolutions and 0.2 for the others.",
        low=0.0,
        high=100.0,
        needs=INITIAL_VALUES | {"initial_values": ("koch",)},
    )
    backbone_weights: str = setting(
        "none",
        "With keras.applications: initial weights of the backbone. none: "
        "random; imagenet: downloaded by Keras; or a Keras weights file.",
        needs=NEW_NETWORK | {"network": (APPLICATIONS,)},
    )
    trainable_from: str = setting(
        "all",
        "With keras.applications: what part of the backbone is trained: all, "
        "none, or the layers from the named one on. The dense layer always is. "
        "With none, and images that are not distorted, the features are "
        "computed only once.",
    )
    ink_value: int = setting(
        1,
        "The network's input for ink: 1 (paper is 0) or 0 (paper is 1).",
        low=0,
        high=1,
        needs=NEW_NETWORK,
    )
    views: int = setting(
        1,
        "Test-time augmentation: the final model averages the scores of this "
        "many views of a drawing, the drawing itself and fixed random "
        "distortions of it.",
        low=1,
    )
    turned_views: bool = setting(
        False,
        "Also rotate and mirror views, as --quarter_turns and --mirror_images "
        "do with training characters.",
    )


@dataclasses.dataclass(frozen=True)
class BatchSettings:
    """Batches."""

    sampling: str = setting(
        "groups",
        "What a batch is. pairs: pairs of drawings, as in the paper; groups: "
        "several drawings of several characters, all compared with each other.",
        choices=("groups", "pairs"),
    )
    batch_size: int = setting(
        128,
        "With --sampling=pairs: pairs in a batch.",
        low=2,
        only_with={"sampling": ("pairs",)},
    )
    num_pairs: int = setting(
        0,
        "With --sampling=pairs: size of a fixed training set of pairs; 0: new "
        "pairs in every batch.",
        low=0,
    )
    num_copies: int = setting(
        0, "Distorted copies of each pair of --num_pairs.", low=0
    )
    group_characters: int = setting(
        40,
        "With --sampling=groups: characters in a batch.",
        low=2,
        only_with=GROUPS_OF_DRAWINGS,
    )
    group_drawings: int = setting(
        4,
        "With --sampling=groups: drawings of each character.",
        low=2,
        only_with=GROUPS_OF_DRAWINGS,
    )
    within_alphabet: float = setting(
        0.75,
        "Fraction of groups, or of different pairs, that are sampled within "
        "one alphabet.",
        low=0.0,
        high=1.0,
    )
    distortion: str = setting(
        "paper",
        "Random distortion. paper: affine; strong: a wider range; elastic: "
        "affine and bent; metamorphic: so strong that it may make another "
        "character; rotation: by up to 15 degrees, as in the tutorial; photo: "
        "affine, and mirrored half of the time; turned: by quarter turns, and "
        "mirrored half of the time.",
        choices=tuple(DISTORTIONS),
    )
    fill: str = setting(
        "paper",
        "What a distortion shows beyond the border of an image. paper: white; "
        "ink: black, as in the tutorial; edge: the nearest pixel.",
        choices=("paper", "ink", "edge"),
    )
    character_distortion: str = setting(
        "none",
        "With --sampling=groups: a further distortion that all drawings of a "
        "character in a batch share, so that it becomes a new character.",
        choices=tuple(DISTORTIONS),
        needs=GROUPS_OF_DRAWINGS,
    )
    effects: str = setting(
        "none",
        "Random changes of photos. light: brightness, contrast, saturation and "
        "hue; photo: a wider range, blur, and a covered part; recolor: any "
        "hue.",
        choices=tuple(EFFECTS),
        needs=PHOTOS | {"num_pairs": (0,)},
    )
    character_effects: str = setting(
        "none",
        "With --sampling=groups: a further change that all photos of a class "
        "in a batch share, so that it becomes a new class.",
        choices=tuple(EFFECTS),
        needs=PHOTOS | GROUPS_OF_DRAWINGS,
    )


@dataclasses.dataclass(frozen=True)
class OptimizerSettings:
    """Loss and optimizer."""

    objective: str = setting(
        "cross_entropy",
        "The loss. cross_entropy: the paper's, on weighted L1 distances; "
        "contrastive: on Euclidean distances, for --sampling=pairs.",
        choices=("cross_entropy", "contrastive"),
    )
    ranking_weight: float = setting(
        1.0,
        "With --sampling=groups: weight of the ranking term in the loss.",
        low=0.0,
        only_with=GROUPS_OF_DRAWINGS,
    )
    margin: float = setting(
        1.0,
        "With --objective=contrastive: the distance that different pairs "
        "should at least have.",
        low=0.0,
        only_with={"objective": ("contrastive",)},
    )
    optimizer: str = setting(
        "adam",
        "adam; muon: Muon for convolutions and Adam for the rest; "
        "layerwise_sgd: the paper's SGD with settings for each layer.",
        choices=("adam", "muon", "layerwise_sgd"),
    )
    layer_learning_rates: tuple[float, ...] = setting(
        (0.01,),
        "With layerwise_sgd: learning rate of each layer, or one for all.",
        low=0.0,
        only_with=LAYERWISE,
    )
    relative_updates: bool = setting(
        False,
        "With layerwise_sgd: read --layer_learning_rates as relative updates, "
        "rate * gradient / weight (root mean squares at the initial values), "
        "which carry over to other sizes of image and network.",
        needs=LAYERWISE,
    )
    layer_momentums: tuple[float, ...] = setting(
        (0.9,),
        "With layerwise_sgd: final momentum of each layer, or one for all.",
        low=0.0,
        high=1.0,
        only_with=LAYERWISE,
    )
    layer_l2: tuple[float, ...] = setting(
        (0.0,),
        "With layerwise_sgd: L2 penalty of each layer, or one for all.",
        low=0.0,
        only_with=LAYERWISE,
    )
    momentum_ramp_epochs: int = setting(
        20,
        "With layerwise_sgd: epochs in which the momentum rises from 0.5.",
        low=1,
        only_with=LAYERWISE,
    )
    momentum_ramp_steps: int = setting(
        0,
        "With layerwise_sgd: the same in steps, instead of in epochs; 0: use "
        "--momentum_ramp_epochs.",
        low=0,
        needs=LAYERWISE,
    )
    learning_rate: float = setting(
        2e-3,
        "Learning rate of adam and muon.",
        low=1e-9,
        only_with={"optimizer": ("adam", "muon")},
    )
    adam_lr_ratio: float = setting(
        0.5,
        "With muon: the learning rate of what Adam trains (dense layers, "
        "biases, normalization, distances) as a multiple of --learning_rate; "
        "0: not trained.",
        low=0.0,
        only_with={"optimizer": ("muon",)},
    )
    weight_decay: float = setting(
        0.0,
        "Decoupled weight decay, times the learning rate in each step: of all "
        "weights with adam, of filters with muon.",
        low=0.0,
    )
    schedule: str = setting(
        "cosine",
        "Learning rate over the steps. cosine: decays to 0; constant.",
        choices=("cosine", "constant"),
        only_with={"optimizer": ("adam", "muon")},
    )
    steps_per_epoch: int = setting(200, "Batches in an epoch.", low=1)
    steps_per_call: int = setting(
        1,
        "With KERAS_BACKEND=jax on a GPU: steps per call, on drawings kept in "
        "its memory. Must divide --steps_per_epoch.",
        low=1,
    )
    epochs: int = setting(7, "Number of epochs, at most.", low=1)
    patience: int = setting(
        20,
        "Stop after this many epochs without a better validation accuracy.",
        low=1,
    )
    max_minutes: float = setting(
        0.0,
        "Stop at the end of the epoch after this many minutes; 0: no limit.",
        low=0.0,
    )


@dataclasses.dataclass(frozen=True)
class EvaluationSettings:
    """Evaluation."""

    validation_trials: int = setting(
        1000,
        "Number of one-shot validation trials after each epoch.",
        low=1,
        high=MAX_TRIALS,
    )
    protocols: tuple[str, ...] = setting(
        ("within_alphabet",),
        "Protocols by which the best epoch is evaluated at the end.",
        # Those of `evaluation.protocols` on the data set of the training.
        choices=("lake", "within_alphabet", "cross_alphabet", "verification"),
    )
    num_trials: int = setting(
        1000,
        "Number of trials, or pairs, of each random protocol at the end.",
        low=2,
        high=MAX_TRIALS,
    )
    ways: int = setting(
        20,
        "Number of candidates in a trial. If not given, at most the number of "
        "classes.",
        low=2,
    )
    shots: int = setting(1, "Number of images of each candidate.", low=1)


@dataclasses.dataclass(frozen=True)
class RunSettings:
    """Run."""

    precision: str = setting(
        "float32",
        "Precision of convolutions, and of the gradients of large dense "
        "layers, in training. bfloat16 is faster on CPUs and GPUs that support "
        "it; models are stored in float32.",
        choices=("float32", "bfloat16"),
    )
    convolution: str = setting(
        "auto",
        "With --network=paper: how convolutions train. auto: on a CPU, large "
        "ones by Fourier transforms, several times faster; direct: without.",
        choices=("auto", "direct"),
        only_with={"network": ("paper",)},
    )
    distribute: str = setting(
        "none",
        "Devices to train on. none: one; mirrored: all GPUs of this machine; "
        "multiworker: the machines in TF_CONFIG, each of which runs the same "
        "command.",
        choices=("none", "mirrored", "multiworker"),
    )
    seed: int = setting(
        0,
        "Random seed of weights, batches and trials.",
        low=0,
        high=2**31 - 1,
    )
    deterministic: bool = setting(
        False,
        "Make the same training on the same CPU end with the same weights, to "
        "the last bit. Batches are the same without it.",
    )


# In the order of `--help` and of a run's flags.
GROUPS = (
    DataSettings,
    NetworkSettings,
    BatchSettings,
    OptimizerSettings,
    EvaluationSettings,
    RunSettings,
)


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
    --help` explains each field.

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
        for given, other in _find_unmet(self, "needs"):
            raise _no_effect_error(given, other)
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


def get_end(settings: Settings) -> tuple[str, ...]:
    """Names the settings that end a training but do not change its steps."""
    if settings.optimizer == "layerwise_sgd" or settings.schedule == "constant":
        return ("epochs", "patience", "max_minutes")
    return ("patience", "max_minutes")


def find_without_effect(settings: Settings) -> Iterator[tuple[str, str]]:
    """Finds settings that are not the default, but have no effect.

    Values that contradict each other are refused instead. These are allowed, so
    that one flag of a flagfile can be changed without the others.

    Yields:
        A setting and what makes it ineffective, as flags.
    """
    return _find_unmet(settings, "only_with")


def _find_unmet(settings, key):
    """Finds settings that are given without what they need.

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
                yield (
                    _format_flag(settings, field.name),
                    _format_flag(settings, other),
                )
                break


def _format_flag(settings, name):
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
    if field.name == "network" and is_own_network(value):
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


def _no_effect_error(given, other):
    """Makes the error for a flag that has no effect with another one."""
    return InputError(f"{given} has no effect with {other}: remove it.")


def _check_network(settings):
    """Refuses settings of layers that the network does not have."""
    network = f"--network={settings.network}"
    if is_application(settings.network):
        _check_application(settings)
    elif settings.trainable_from != "all" and not settings.init:
        raise _no_effect_error(
            f"--trainable_from={settings.trainable_from}", network
        )
    if keeps_features(settings) and settings.precision != "float32":
        raise _no_effect_error(
            f"--precision={settings.precision}",
            "--trainable_from=none and --distortion=none",
        )
    starts_with_both_signs = (
        settings.network in ("paper", "dense") and not settings.batch_norm
    )
    if starts_with_both_signs and settings.head_weights != "any":
        raise _no_effect_error(
            f"--head_weights={settings.head_weights}", network
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
        raise _no_effect_error(f"--ink_value={settings.ink_value}", network)
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
    """Refuses settings of pairs with groups."""
    is_group = settings.sampling == "groups"
    if is_group and settings.num_pairs:
        raise InputError(
            f"--num_pairs={settings.num_pairs} needs --sampling=pairs; got "
            f"--sampling={settings.sampling}."
        )
    if is_group and settings.objective == "contrastive":
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
    if settings.relative_updates:
        _check_relative_updates(settings)
    if is_own_network(settings.network):
        raise InputError(
            "--optimizer=layerwise_sgd has rates for the paper's layers, but "
            f"--network={settings.network} has others: use --optimizer=adam or "
            "muon."
        )
    if settings.trainable_from != "all":
        raise InputError(
            f"--trainable_from={settings.trainable_from} cannot be used with "
            "--optimizer=layerwise_sgd, whose rates are those of the paper's "
            "layers: use --optimizer=adam or muon."
        )
    if settings.batch_norm:
        raise InputError(
            "--batch_norm cannot be used with --optimizer=layerwise_sgd, whose "
            "settings are those of the paper's layers: use --optimizer=adam or "
            "muon."
        )
    if settings.weight_decay:
        raise InputError(
            f"--weight_decay={settings.weight_decay} has no effect with "
            "--optimizer=layerwise_sgd: use --layer_l2."
        )


def _check_relative_updates(settings):
    """Refuses trainings whose initial gradients cannot be measured."""
    other = None
    if settings.init:
        other = "--init, which has no initial values"
    elif settings.network not in ("paper", "dense"):
        other = (
            f"--network={settings.network}, whose normalization has rates of "
            "its own"
        )
    elif settings.distribute != "none":
        other = f"--distribute={settings.distribute}"
    if other:
        raise InputError(
            f"--relative_updates cannot be used with {other}: remove it."
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
    if settings.image_kind == "photo" and not is_users_own(settings.dataset):
        raise InputError(
            f"--dataset={settings.dataset} has drawings: give "
            "--image_kind=drawing, or --dataset=folder with your photos."
        )


def has_effects(settings: Settings) -> bool:
    """Whether a training changes its photos, beside distorting them."""
    return not settings.effects == settings.character_effects == "none"


def get_photo_size(settings: Settings) -> int:
    """Returns the side in pixels at which photos are read; 0 for drawings."""
    return settings.image_size if settings.image_kind == "photo" else 0


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
