"""Settings of a training: the flags of `train`, and the keys of a run.

Imports nothing heavy, so that a command answers `--help` and mistakes at once.
"""

import dataclasses
import math

from koch_siamese.data.characters import is_users_own
from koch_siamese.data.omniglot import BACKGROUNDS
from koch_siamese.errors import InputError
from koch_siamese.images import CHANNELS
from koch_siamese.sampling.distortions import DISTORTIONS
from koch_siamese.sampling.effects import EFFECTS

MAX_TRIALS = 10_000_000  # take a gigabyte or two


def setting(default, meaning, *, choices=None, low=-math.inf, high=math.inf):
    """Makes a field of settings.

    Args:
        default: of the type that the setting has.
        meaning: for `--help`.
        choices: of which the value, or each one of a tuple, must be one.
        low, high: the least and the greatest number allowed.
    """
    return dataclasses.field(
        default=default,
        metadata={
            "help": meaning,
            "choices": choices,
            "low": low,
            "high": high,
        },
    )


NETWORKS = ("fast", "paper", "dense")


# Begins the value of a setting that stands for an object of Python, of which it
# is a hash; see `training.loop.train_and_evaluate`.
GIVEN = "given:"

# Begins the value of `--network` that names a network of Keras.
APPLICATIONS = "keras.applications:"

MIN_APPLICATION_SIZE = 32  # pixels, of all that there are


def is_own_network(network: str) -> bool:
    """Whether `--network` is one that the user has built."""
    return ":" in network


def is_application(network: str) -> bool:
    """Whether `--network` is one of keras.applications."""
    return network.startswith(APPLICATIONS)


@dataclasses.dataclass(frozen=True)
class DataSettings:
    """Data."""

    dataset: str = setting(
        "glyphs",
        "Characters to learn from: glyphs, glyphs/tiny or omniglot; folder: "
        "your own images in --data_dir; or any TFDS data set of images and "
        "labels, such as cifar100, whose labels are split as a folder's "
        "classes are.",
    )
    image_kind: str = setting(
        "drawing",
        "drawing: dark ink on light paper, which is cleaned, in grey; photo: "
        "in color, as it is.",
        choices=tuple(CHANNELS),
    )
    crop: bool = setting(False, "Whether a folder's images are cut to the ink.")
    split_by: str = setting(
        "class",
        "Whether classes of a folder are split to train, validate and test on, "
        "or whole groups of them (alphabets), so that tests are on kinds never "
        "trained on.",
        choices=("class", "group"),
    )
    training_groups: tuple[str, ...] = setting(
        (),
        "group: those to train on. Default: all that are not named below.",
    )
    validation_groups: tuple[str, ...] = setting(
        (),
        "group: those to validate on. Without any names, a fifth of the groups "
        "validates, and a fifth tests.",
    )
    test_groups: tuple[str, ...] = setting(
        (),
        "group: those to test on. Default: all that are not named, if "
        "--training_groups are.",
    )
    background: str = setting(
        "original",
        "Omniglot's training set: the 30 background alphabets, Lake's five of "
        "small1 or small2, or koch, the 30 by 12 of their 20 drawers.",
        choices=tuple(BACKGROUNDS),
    )
    quarter_turns: bool = setting(
        False,
        "Whether training characters turned by 90, 180 and 270 degrees are "
        "new characters.",
    )
    mirror_images: bool = setting(
        False, "Whether mirrored training characters are new characters."
    )


@dataclasses.dataclass(frozen=True)
class NetworkSettings:
    """Network."""

    init: str = setting(
        "", "A trained model to start from, instead of a new network."
    )
    network: str = setting(
        "fast",
        "The embedding: blocks for small images, the paper's convolutions and "
        "dense layer, or dense layers alone; a backbone for photos, as "
        "keras.applications:NAME, such as MobileNetV3Small, and a dense layer; "
        "or a network of your own, as MODULE:FUNCTION, whose function takes "
        "Settings and returns a Keras model.",
        choices=NETWORKS,
    )
    image_size: int = setting(
        32,
        "Side in pixels of the images that the network sees.",
        low=8,
        high=512,
    )
    filters: tuple[int, ...] = setting(
        (),
        "Filters of each convolution. Default: the network's, "
        "32,64,128,128,256 of fast, 64,128,128,256 of paper.",
        low=1,
        high=4096,
    )
    kernel_sizes: tuple[int, ...] = setting(
        (),
        "Side in pixels of each convolution's filters, of the paper's network. "
        "Default: 10,7,4,4.",
        low=1,
        high=512,
    )
    units: tuple[int, ...] = setting(
        (),
        "Units of each dense layer. Default: 4096 of paper, 1024,1024 of "
        "dense, 256 of keras.applications, which has one.",
        low=1,
        high=65536,
    )
    depth: int = setting(
        1,
        "Convolutions of each block of the fast network (the last block has "
        "one); those after the first are residual.",
        low=1,
    )
    batch_norm: bool = setting(
        False,
        "Whether the paper's or the dense network trains with batch "
        "normalization. Its layers then start from He's initial weights, and "
        "the distances from the fast network's. In the final model it is "
        "folded into the weights.",
    )
    head_weights: str = setting(
        "any",
        "Weights of the distances in the score. nonpositive: at most 0, so "
        "that no difference raises a score, and the index of a large gallery "
        "sorts drawings as the model does.",
        choices=("any", "nonpositive"),
    )
    initial_values: str = setting(
        "koch",
        "Initial weights of the paper's or the dense network. koch: the "
        "paper's normal ones; uniform: within 1/sqrt(fan-in), biases too, as "
        "the tutorial's source has them.",
        choices=("koch", "uniform"),
    )
    layer_stddevs: tuple[float, ...] = setting(
        (),
        "koch: standard deviation of the initial weights of each layer, the "
        "distances last. Default: the paper's, 0.01 of convolutions and 0.2 of "
        "the others.",
        low=0.0,
        high=100.0,
    )
    backbone_weights: str = setting(
        "none",
        "keras.applications: initial weights of the backbone. none: random; "
        "imagenet: Keras downloads them; or a Keras weights file of that "
        "network.",
    )
    trainable_from: str = setting(
        "all",
        "keras.applications: what trains of the backbone, all or none, or the "
        "layers from the one of this name on; the dense layer always does. "
        "With none, and images that are not distorted, its features are "
        "computed only once.",
    )
    ink_value: int = setting(
        1,
        "What the network sees of ink: 1, on paper of 0, or 0 on paper of 1.",
        low=0,
        high=1,
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
        "Whether views are also turned and mirrored, as --quarter_turns and "
        "--mirror_images make new characters.",
    )


@dataclasses.dataclass(frozen=True)
class BatchSettings:
    """Batches."""

    sampling: str = setting(
        "groups",
        "What a batch is: the paper's pairs, or a group of characters whose "
        "drawings are all compared with each other.",
        choices=("groups", "pairs"),
    )
    batch_size: int = setting(128, "Pairs in a batch of pairs.", low=2)
    num_pairs: int = setting(
        0,
        "Size of a fixed set of pairs to learn from; 0: new pairs all the "
        "time.",
        low=0,
    )
    num_copies: int = setting(
        0, "Distorted copies of each pair of a fixed set.", low=0
    )
    group_characters: int = setting(40, "Characters in a group.", low=2)
    group_drawings: int = setting(
        4, "Drawings of each character in a group.", low=2
    )
    within_alphabet: float = setting(
        0.75,
        "Share of groups drawn within an alphabet, or of different pairs that "
        "stay within one.",
        low=0.0,
        high=1.0,
    )
    distortion: str = setting(
        "paper",
        "Random distortion. paper: affine; strong: wider affine; elastic: the "
        "paper's, and bends; metamorphic: so far that it may become another "
        "character; rotation: up to 15 degrees, the tutorial's; photo: affine, "
        "and half are mirrored; turned: by quarter turns, likewise.",
        choices=tuple(DISTORTIONS),
    )
    fill: str = setting(
        "paper",
        "What a distortion shows where it reaches beyond an image. paper: "
        "white; ink: black corners, as the tutorial's source has them; edge: "
        "the nearest pixel.",
        choices=("paper", "ink", "edge"),
    )
    character_distortion: str = setting(
        "none",
        "A further distortion, the same for all drawings of a character in a "
        "group, so that it becomes a new character.",
        choices=tuple(DISTORTIONS),
    )
    effects: str = setting(
        "none",
        "Random changes of photos. light: of brightness, contrast, saturation "
        "and hue; photo: wider ones, blur, and a part that is covered; "
        "recolor: any hue.",
        choices=tuple(EFFECTS),
    )
    character_effects: str = setting(
        "none",
        "A further change of colors, the same for all photos of a character in "
        "a group, so that it becomes a new character.",
        choices=tuple(EFFECTS),
    )


@dataclasses.dataclass(frozen=True)
class OptimizerSettings:
    """Loss and optimizer."""

    objective: str = setting(
        "cross_entropy",
        "The paper's cross-entropy on weighted L1 distances, or for pairs the "
        "contrastive loss on Euclidean ones.",
        choices=("cross_entropy", "contrastive"),
    )
    ranking_weight: float = setting(
        1.0, "Weight of the ranking term in the loss on groups.", low=0.0
    )
    margin: float = setting(
        1.0,
        "contrastive: the distance that different pairs should have.",
        low=0.0,
    )
    optimizer: str = setting(
        "adam",
        "Adam; Muon for convolutions and Adam for the rest; or the paper's "
        "SGD, which has its own settings for each layer.",
        choices=("adam", "muon", "layerwise_sgd"),
    )
    layer_learning_rates: tuple[float, ...] = setting(
        (0.01,), "layerwise_sgd: of each layer, or one for all.", low=0.0
    )
    relative_updates: bool = setting(
        False,
        "layerwise_sgd: whether --layer_learning_rates are relative updates, "
        "rate * gradient / weight (root mean squares at the initial values), "
        "which carry over to other sizes of image and network.",
    )
    layer_momentums: tuple[float, ...] = setting(
        (0.9,), "layerwise_sgd: final momenta, likewise.", low=0.0, high=1.0
    )
    layer_l2: tuple[float, ...] = setting(
        (0.0,), "layerwise_sgd: L2 of the weights, likewise.", low=0.0
    )
    momentum_ramp_epochs: int = setting(
        20, "layerwise_sgd: epochs in which momentum rises from 0.5.", low=1
    )
    momentum_ramp_steps: int = setting(
        0,
        "layerwise_sgd: the same in steps; 0: in epochs.",
        low=0,
    )
    learning_rate: float = setting(2e-3, "Of adam and muon.", low=1e-9)
    adam_lr_ratio: float = setting(
        0.5,
        "muon: the learning rate of what Adam trains (dense layers, biases, "
        "normalization, distances), as a multiple of --learning_rate; 0 leaves "
        "them as they are.",
        low=0.0,
    )
    weight_decay: float = setting(
        0.0,
        "A step shrinks weights by this times the learning rate: all of them "
        "with adam, filters with muon.",
        low=0.0,
    )
    schedule: str = setting(
        "cosine",
        "Learning rate over the steps: down to 0 by a cosine, or constant.",
        choices=("cosine", "constant"),
    )
    steps_per_epoch: int = setting(200, "Batches in an epoch.", low=1)
    steps_per_call: int = setting(
        1,
        "With KERAS_BACKEND=jax, for a GPU: steps that it runs in one call, "
        "on drawings that it keeps. A divisor of --steps_per_epoch.",
        low=1,
    )
    epochs: int = setting(7, "The largest number of epochs.", low=1)
    patience: int = setting(
        20,
        "Epochs without better validation accuracy after which to stop.",
        low=1,
    )
    max_minutes: float = setting(
        0.0,
        "Minutes of training after which to stop at the end of an epoch; 0: "
        "no limit.",
        low=0.0,
    )


@dataclasses.dataclass(frozen=True)
class EvaluationSettings:
    """Evaluation."""

    validation_trials: int = setting(
        1000, "One-shot trials after each epoch.", low=1, high=MAX_TRIALS
    )
    protocols: tuple[str, ...] = setting(
        ("within_alphabet",),
        "What the best epoch is evaluated on at the end.",
        # Of `evaluation.protocols`, those on the training's own data set.
        choices=("lake", "within_alphabet", "cross_alphabet", "verification"),
    )
    num_trials: int = setting(
        1000,
        "Trials, or pairs, of each random protocol at the end.",
        low=2,
        high=MAX_TRIALS,
    )
    ways: int = setting(
        20,
        "Candidate characters in a trial. Where it is not given and there are "
        "fewer classes: as many as there are.",
        low=2,
    )
    shots: int = setting(1, "Drawings of each candidate.", low=1)


@dataclasses.dataclass(frozen=True)
class RunSettings:
    """Run."""

    precision: str = setting(
        "float32",
        "Of convolutions while training. bfloat16 is faster where a processor "
        "or GPU has it; models are stored in float32.",
        choices=("float32", "bfloat16"),
    )
    convolution: str = setting(
        "auto",
        "How the paper's network trains. auto: on a CPU, large convolutions "
        "by Fourier transforms, which is several times faster; direct: none.",
        choices=("auto", "direct"),
    )
    distribute: str = setting(
        "none",
        "Devices to train on: one; all GPUs of this machine; or the machines "
        "of TF_CONFIG, each of which runs the same command.",
        choices=("none", "mirrored", "multiworker"),
    )
    seed: int = setting(
        0, "Decides weights, batches and trials.", low=0, high=2**31 - 1
    )
    deterministic: bool = setting(
        False,
        "Whether the same training ends with the same weights to the last bit, "
        "on one machine's CPU; batches are the same without it.",
    )


# Settings of backbones.
BACKBONE = ("backbone_weights", "trainable_from")

# Settings of initial weights, of networks that have the paper's.
INITIAL_VALUES = ("initial_values", "layer_stddevs")

# In the order of `--help` and of a run's flags.
GROUPS = (
    DataSettings,
    NetworkSettings,
    BatchSettings,
    OptimizerSettings,
    EvaluationSettings,
    RunSettings,
)


# The last base comes first in a dataclass.
@dataclasses.dataclass(frozen=True)
class Settings(
    RunSettings,
    EvaluationSettings,
    OptimizerSettings,
    BatchSettings,
    NetworkSettings,
    DataSettings,
):
    """What decides a training, except where data and results are.

    The defaults are those of the quickstart.

    Raises:
        InputError: a value is out of its range, or contradicts another one.
    """

    def __post_init__(self):
        """Checks each value, and whether the values go together."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            for item in value if isinstance(value, tuple) else (value,):
                _check_value(field, item)
        _check_network(self)
        _check_batches(self)
        _check_optimizer(self)
        _check_views(self)
        _check_dataset(self)
        _check_images(self)
        _check_split(self)
        if "lake" in self.protocols and self.dataset != "omniglot":
            raise InputError(
                "--protocols has lake, whose trials are Omniglot's: give "
                "--dataset=omniglot, or use koch_siamese.evaluate afterwards."
            )
        if self.max_minutes and self.distribute == "multiworker":
            raise InputError(
                f"--max_minutes={self.max_minutes} cannot be used with "
                "--distribute=multiworker, as each worker has its own clock: "
                "give --epochs instead."
            )


def get_end(settings: Settings) -> tuple[str, ...]:
    """The settings that say when a training ends, and change no step of it."""
    if settings.optimizer == "layerwise_sgd" or settings.schedule == "constant":
        return ("epochs", "patience", "max_minutes")
    return ("patience", "max_minutes")


def format_value(value) -> str:
    """Formats the value of a setting as a flag has it."""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _check_value(field, value):
    meta = field.metadata
    if field.name == "network" and is_own_network(value):
        return
    if field.name == "objective" and value.startswith(GIVEN):
        return
    if meta["choices"] and value not in meta["choices"]:
        raise InputError(
            f"--{field.name} is {value!r}; expected one of "
            f"{', '.join(meta['choices'])}."
        )
    if isinstance(value, str):
        return
    in_range = meta["low"] <= value <= meta["high"]
    if not (in_range and math.isfinite(value)):
        limits = f"at least {meta['low']}"
        if math.isfinite(meta["high"]):
            limits += f" and at most {meta['high']}"
        raise InputError(f"--{field.name} is {value}; expected {limits}.")


def _no_effect_error(settings, name, other):
    """The error of a flag that has no effect with another one."""
    value = format_value(getattr(settings, name))
    given = f"--{name}" if value == "true" else f"--{name}={value}"
    return InputError(f"{given} has no effect with {other}: remove it.")


def _require_defaults(settings, names, other):
    """Refuses values of settings that have no effect with another one."""
    for field in dataclasses.fields(settings):
        is_given = getattr(settings, field.name) != field.default
        if field.name in names and is_given:
            raise _no_effect_error(settings, field.name, other)


def _check_network(settings):
    """Refuses layers that the network does not have."""
    other = f"--network={settings.network}"
    unused = {
        "fast": ("kernel_sizes", "units", "batch_norm"),
        "paper": (),
        "dense": ("filters", "kernel_sizes"),
    }.get(settings.network, ("filters", "kernel_sizes", "units", "batch_norm"))
    if settings.network != "fast":
        unused += ("depth",)
    if settings.network not in ("paper", "dense"):
        unused += INITIAL_VALUES
    if is_application(settings.network):
        unused = ("filters", "kernel_sizes", "batch_norm", "depth")
        unused += ("ink_value", *INITIAL_VALUES)
    else:
        unused += BACKBONE
    if settings.init:
        other = "--init"
        unused = ("network", "filters", "kernel_sizes", "units", "depth")
        unused += ("batch_norm", "ink_value", *INITIAL_VALUES)
        unused += ("backbone_weights", "head_weights")
    _require_defaults(settings, unused, other)
    if is_application(settings.network):
        _check_application(settings)
    if keeps_features(settings):
        _require_defaults(
            settings,
            ("precision",),
            f"--trainable_from=none and --distortion={settings.distortion}",
        )
    if settings.batch_norm:
        _require_defaults(settings, INITIAL_VALUES, "--batch_norm")
    elif settings.network in ("paper", "dense"):
        # Its weights start with either sign.
        _require_defaults(settings, ("head_weights",), other)
    if settings.objective == "contrastive":
        _require_defaults(
            settings, ("head_weights",), "--objective=contrastive"
        )
    if settings.initial_values != "koch":
        _require_defaults(
            settings, ("layer_stddevs",), "--initial_values=uniform"
        )
    if settings.precision != "float32" and settings.network == "dense":
        raise InputError(
            f"--precision={settings.precision} concerns convolutions, and "
            "--network=dense has none: remove it."
        )


def _check_application(settings):
    """Refuses what networks of keras.applications cannot see or end in."""
    network = f"--network={settings.network}"
    if settings.image_kind != "photo":
        raise InputError(
            f"{network} sees colors; got --image_kind={settings.image_kind}: "
            "give --image_kind=photo."
        )
    if settings.image_size < MIN_APPLICATION_SIZE:
        raise InputError(
            f"{network} sees images of at least {MIN_APPLICATION_SIZE} pixels; "
            f"got --image_size={settings.image_size}."
        )
    if len(settings.units) > 1:
        raise InputError(
            f"{network} has one dense layer; got "
            f"--units={format_value(settings.units)}: give one number."
        )


def freezes_random_weights(settings: Settings) -> bool:
    """Whether layers of a backbone stay at initial weights that are random."""
    return (
        is_application(settings.network)
        and settings.trainable_from != "all"
        and settings.backbone_weights == "none"
    )


def keeps_features(settings: Settings) -> bool:
    """Whether what a frozen backbone makes of each image is computed once.

    It is where nothing before the dense layer changes from step to step, and
    one device trains, a step at a time.
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
    """Refuses pairs where there are groups, and the other way round."""
    if settings.sampling == "pairs":
        if settings.character_distortion != "none":
            raise _no_effect_error(
                settings, "character_distortion", "--sampling=pairs"
            )
    elif settings.num_pairs:
        raise InputError(
            f"--num_pairs={settings.num_pairs} needs --sampling=pairs; got "
            f"--sampling={settings.sampling}."
        )
    elif settings.objective == "contrastive":
        raise InputError(
            "--objective=contrastive needs --sampling=pairs; got "
            f"--sampling={settings.sampling}."
        )
    if settings.num_copies and not settings.num_pairs:
        raise InputError(
            f"--num_copies={settings.num_copies} are copies of a fixed set of "
            "pairs: give its size as --num_pairs."
        )


def _check_optimizer(settings):
    """Refuses what the paper's SGD does not have, and what only it has."""
    if settings.steps_per_epoch % settings.steps_per_call:
        raise InputError(
            f"--steps_per_call={settings.steps_per_call} must divide "
            f"--steps_per_epoch={settings.steps_per_epoch}."
        )
    if settings.optimizer != "layerwise_sgd":
        _require_defaults(
            settings,
            ("relative_updates", "momentum_ramp_steps"),
            f"--optimizer={settings.optimizer}",
        )
        return
    if is_own_network(settings.network):
        raise InputError(
            f"--optimizer=layerwise_sgd has rates for the paper's layers, and "
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


def _check_dataset(settings):
    """Refuses what can be no name of a data set; TFDS knows the others."""
    if not settings.dataset.strip() or settings.dataset.startswith("glyphs/"):
        known = ("glyphs", "glyphs/tiny", "omniglot", "folder")
        if settings.dataset not in known:
            raise InputError(
                f"--dataset is {settings.dataset!r}; expected one of "
                f"{', '.join(known)}, or the name of a TFDS data set of images "
                "and labels."
            )


def _check_images(settings):
    """Refuses photos where there are none, and what photos do not have."""
    if settings.image_kind == "drawing":
        _require_defaults(
            settings, ("effects", "character_effects"), "--image_kind=drawing"
        )
        return
    if not is_users_own(settings.dataset):
        raise InputError(
            f"--dataset={settings.dataset} has drawings: give "
            "--image_kind=drawing, or --dataset=folder with your photos."
        )
    _require_defaults(settings, ("crop",), "--image_kind=photo")
    if settings.sampling == "pairs":
        _require_defaults(settings, ("character_effects",), "--sampling=pairs")
    if settings.num_pairs:
        _require_defaults(settings, ("effects",), "--num_pairs")


def _check_split(settings):
    """Refuses groups where classes are split."""
    if settings.dataset != "folder":
        _require_defaults(
            settings, ("split_by",), f"--dataset={settings.dataset}"
        )
    groups = ("training_groups", "validation_groups", "test_groups")
    if settings.split_by != "group":
        _require_defaults(settings, groups, "--split_by=class")


def get_photo_size(settings: Settings) -> int:
    """The side in pixels at which photos are read; 0 for drawings."""
    return settings.image_size if settings.image_kind == "photo" else 0


def _check_views(settings):
    """Refuses views that would all be the same, or that no head averages."""
    if settings.views > 1 and settings.distortion == "none":
        raise InputError(
            f"--views={settings.views} are made by --distortion, which is "
            "none: give one, or --views=1."
        )
    if settings.turned_views and (
        settings.views == 1
        or not (settings.quarter_turns or settings.mirror_images)
    ):
        raise InputError(
            "--turned_views needs --views, more than one, and --quarter_turns "
            "or --mirror_images, so that the network learns such drawings."
        )
    if settings.views > 1 and (
        settings.ink_value != 1 or settings.fill == "ink"
    ):
        raise InputError(
            f"--views={settings.views} are of ink as 1 on paper as 0: remove "
            "--ink_value and --fill=ink, or give --views=1."
        )
    if settings.views > 1 and settings.objective == "contrastive":
        raise InputError(
            f"--views={settings.views} needs weighted L1 distances; got "
            "--objective=contrastive: give --views=1."
        )
