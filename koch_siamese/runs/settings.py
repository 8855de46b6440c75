"""What decides a training: the flags of `train`, and the keys of a run.

Imports nothing heavy, so that a command answers `--help` and bad flags at once.
"""

import dataclasses

from koch_siamese.errors import InputError
from koch_siamese.runs import setting_rules
from koch_siamese.runs.setting_fields import check, format_value, parse, setting

MAX_TRIALS = 10_000_000  # take a gigabyte or two

PROTOCOLS = ("lake", "within_alphabet", "cross_alphabet", "verification")
BACKGROUNDS = ("original", "small1", "small2", "koch")
DISTORTION_NAMES = (
    "none",
    "paper",
    "strong",
    "elastic",
    "metamorphic",
    "rotation",
)


@dataclasses.dataclass(frozen=True)
class Settings:
    """A training, but for where data and results are. Defaults: quickstart.

    Raises:
        InputError: a value is out of its range.
    """

    dataset: str = setting(
        "glyphs",
        "Characters to learn from; folder: your own images in --data_dir.",
        choices=("glyphs", "glyphs/tiny", "omniglot", "folder"),
    )
    crop: bool = setting(
        False, "Whether the images of a folder are cut to their ink."
    )
    background: str = setting(
        "original",
        "Omniglot's training set: the 30 background alphabets, Lake's five of "
        "small1 or small2, or koch, the 30 by 12 of their 20 drawers.",
        choices=BACKGROUNDS,
    )
    quarter_turns: bool = setting(
        False, "Whether training characters turned by 90 degrees are new ones."
    )
    mirror_images: bool = setting(
        False, "Whether training characters seen in a mirror are new ones."
    )
    init: str = setting(
        "", "A trained model to go on from, instead of a new network."
    )
    network: str = setting(
        "fast",
        "The embedding: blocks for small images, the paper's convolutions and "
        "dense layer, or dense layers alone.",
        choices=("fast", "paper", "dense"),
    )
    image_size: int = setting(
        32,
        "Side in pixels at which the network sees a drawing.",
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
        "dense.",
        low=1,
        high=65536,
    )
    batch_norm: bool = setting(
        False,
        "Whether the paper's network, or the dense one, learns with batch "
        "normalisation, from He's initial weights and the fast network's for "
        "the distances. In the finished model it is folded into the weights.",
    )
    depth: int = setting(
        1,
        "Convolutions of each block of the fast network (the last has one); "
        "those after the first are residual.",
        low=1,
    )
    views: int = setting(
        1,
        "Ways in which the finished model sees a drawing: as it is, and by "
        "fixed random distortions. A score is the mean over them.",
        low=1,
    )
    turned_views: bool = setting(
        False,
        "Whether views are also turned and mirrored, as --quarter_turns and "
        "--mirror_images make new characters.",
    )
    sampling: str = setting(
        "groups",
        "What a batch is: the paper's pairs, or a group of characters whose "
        "drawings are compared all with all.",
        choices=("groups", "pairs"),
    )
    batch_size: int = setting(128, "Pairs in a batch of pairs.", low=2)
    num_pairs: int = setting(
        0,
        "Size of a fixed set of pairs to learn from; 0: ever new ones.",
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
        "Share of groups drawn within an alphabet; of different pairs that "
        "stay within one.",
        low=0.0,
        high=1.0,
    )
    distortion: str = setting(
        "paper",
        "Random distortion. paper: affine; strong: wider affine; elastic: the "
        "paper's, and bends; metamorphic: so far that another character may "
        "come of it; rotation: up to 15 degrees, the tutorial's.",
        choices=DISTORTION_NAMES,
    )
    character_distortion: str = setting(
        "none",
        "A further distortion, the same for all drawings of a character in a "
        "group, so that it becomes a new character.",
        choices=DISTORTION_NAMES,
    )
    ranking_weight: float = setting(
        1.0, "Weight of the ranking term in the loss on groups.", low=0.0
    )
    objective: str = setting(
        "cross_entropy",
        "The paper's cross-entropy on weighted L1 distances, or of pairs the "
        "contrastive loss on Euclidean ones.",
        choices=("cross_entropy", "contrastive"),
    )
    margin: float = setting(
        1.0,
        "contrastive: the distance that different pairs shall have.",
        low=0.0,
    )
    optimizer: str = setting(
        "adam",
        "Adam; Muon for convolutions and Adam for the rest; or the paper's "
        "SGD, of which each layer has its own settings.",
        choices=("adam", "muon", "layerwise_sgd"),
    )
    layer_learning_rates: tuple[float, ...] = setting(
        (0.01,), "layerwise_sgd: of each layer, or one for all.", low=0.0
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
    learning_rate: float = setting(2e-3, "Of adam and muon.", low=1e-9)
    adam_lr_ratio: float = setting(
        0.5,
        "muon: the learning rate of what Adam trains there (dense layers, "
        "biases, normalisation, distances), as a multiple of --learning_rate; "
        "with 0 they stay as they are.",
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
    epochs: int = setting(7, "Epochs at the most.", low=1)
    patience: int = setting(
        20,
        "Epochs without better validation accuracy after which to stop.",
        low=1,
    )
    max_minutes: float = setting(
        0.0,
        "Minutes of training after which to stop at an epoch's end; 0: no "
        "limit.",
        low=0.0,
    )
    validation_trials: int = setting(
        1000, "One-shot trials after each epoch.", low=1, high=MAX_TRIALS
    )
    protocols: tuple[str, ...] = setting(
        ("within_alphabet",),
        "What the best epoch is evaluated on at the end.",
        choices=PROTOCOLS,
    )
    num_trials: int = setting(
        1000,
        "Trials, or pairs, of each random protocol at the end.",
        low=2,
        high=MAX_TRIALS,
    )
    ways: int = setting(20, "Candidate characters in a trial.", low=2)
    shots: int = setting(1, "Drawings of each candidate.", low=1)
    precision: str = setting(
        "float32",
        "Of convolutions while training; bfloat16 is faster where a processor "
        "or GPU has it, and models are kept in float32.",
        choices=("float32", "bfloat16"),
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

    def __post_init__(self):
        """Checks every value against its choices and range."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            for item in value if isinstance(value, tuple) else (value,):
                check(field, item)
        setting_rules.check_network(self)
        setting_rules.check_training(self)

    def to_flags(self) -> str:
        """The text of a flagfile that gives these settings."""
        lines = (
            f"--{name}={format_value(value)}"
            for name, value in dataclasses.asdict(self).items()
        )
        return "\n".join(lines) + "\n"

    @classmethod
    def from_flags(cls, text: str) -> "Settings":
        """Reads what `to_flags` wrote; comment lines may stand beside it.

        Raises:
            InputError: a line is none of a flagfile of these settings.
        """
        fields = {field.name: field for field in dataclasses.fields(cls)}
        values = {}
        for line in text.splitlines():
            if line.startswith("#"):
                continue
            name, _, value = line.removeprefix("--").partition("=")
            if name not in fields:
                raise InputError(f"{line!r} is not a setting of a training.")
            values[name] = parse(fields[name], value)
        return cls(**values)
