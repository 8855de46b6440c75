"""The fields of Settings, in groups: defaults, help, ranges, needs."""

import dataclasses
import math

from koch_siamese.data.characters import ONLY_ON, SPLITS_BY
from koch_siamese.data.omniglot import BACKGROUNDS
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
            has an effect; see `settings.find_without_effect`.
        needs: likewise; without them, only the default is allowed.
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


def explain(field: dataclasses.Field) -> str:
    """Explains a setting: its help, and the values that it may have.

    They are left out if the help has each of them with a colon and its meaning.
    """
    meaning, choices = field.metadata["help"], field.metadata["choices"]
    if not all(f"{choice}: " in meaning for choice in choices or ()):
        number = "Some" if isinstance(field.default, tuple) else "One"
        meaning += f" {number} of: {', '.join(choices)}."
    return meaning


NETWORKS = ("fast", "paper", "dense")

# Prefix of a `--network` from keras.applications; its name follows.
APPLICATIONS = "keras.applications:"

# What several settings need, or have an effect with.
NEW_NETWORK = {"init": ("",)}
PAPER_LAYERS = NEW_NETWORK | {"network": ("paper", "dense")}
INITIAL_VALUES = PAPER_LAYERS | {"batch_norm": (False,)}
BY_GROUP = {"split_by": ("group",)}
LAYERWISE = {"optimizer": ("layerwise_sgd",)}
NOT_LAYERWISE = {"optimizer": ("adam", "muon")}
PAIRS = {"sampling": ("pairs",)}
GROUPS_OF_DRAWINGS = {"sampling": ("groups",)}
PHOTOS = {"image_kind": ("photo",)}


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
        only_with={"dataset": (ONLY_ON["crop"],)},
        needs={"image_kind": ("drawing",)},
    )
    split_by: str = setting(
        "class",
        "How a folder is split into training, validation and test: by class, "
        "or by whole groups of classes (alphabets), so that test groups are "
        "unseen.",
        choices=SPLITS_BY,
        needs={"dataset": (ONLY_ON["split_by"],)},
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
        only_with={"dataset": (ONLY_ON["background"],)},
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
        "directory of a run, or a model of the package (pretrained). Its views "
        "are removed.",
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
        "With --network=fast: convolutions in each block; the last block "
        "always has one. Those after the first of a block are residual.",
        low=1,
        needs=NEW_NETWORK | {"network": ("fast",)},
    )
    batch_norm: bool = setting(
        False,
        "With --network=paper or dense: train with batch normalization, which "
        "is folded into the weights of the final model. Layers then start from "
        "He's initial weights, and the distances from those of the fast "
        "network.",
        needs=PAPER_LAYERS | NOT_LAYERWISE,
    )
    head_weights: str = setting(
        "any",
        "Weights of the distances in the score. any: of either sign; "
        "nonpositive: at most 0, so that no difference raises a score, and the "
        "index of a large gallery ranks images as the model does.",
        choices=("any", "nonpositive"),
        needs=NEW_NETWORK,
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
        needs=NOT_LAYERWISE,
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
        only_with=PAIRS,
    )
    num_pairs: int = setting(
        0,
        "With --sampling=pairs: size of a fixed training set of pairs; 0: new "
        "pairs in every batch.",
        low=0,
        needs=PAIRS,
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
        "With --objective=contrastive: the least distance that different "
        "pairs should have.",
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
        # Initial gradients are measured; normalization has rates of its own.
        needs=LAYERWISE | PAPER_LAYERS | {"distribute": ("none",)},
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
        "With layerwise_sgd: L2 penalty of each layer, or one for all. It is "
        "part of the updates, not of the loss that is shown.",
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
        only_with=NOT_LAYERWISE,
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
        "Decoupled weight decay: each step shrinks weights by this value times "
        "the learning rate; with adam all weights, with muon only filters.",
        low=0.0,
    )
    schedule: str = setting(
        "cosine",
        "Learning rate over the steps. cosine: decays to 0; constant.",
        choices=("cosine", "constant"),
        only_with=NOT_LAYERWISE,
    )
    steps_per_epoch: int = setting(200, "Batches in an epoch.", low=1)
    steps_per_call: int = setting(
        1,
        "With KERAS_BACKEND=jax on a GPU: training steps in one call, with the "
        "drawings in the GPU's memory. Must divide --steps_per_epoch.",
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
        "Stop after the first epoch that ends later than this many minutes; "
        "0: no limit.",
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
        "Number of candidates in a trial. If not given: 20, or all classes of "
        "your own data if they are fewer.",
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
