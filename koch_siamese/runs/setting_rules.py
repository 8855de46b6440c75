"""Which settings of a training go together.

The checks of `settings.Settings`, which raise `InputError` with what to mend.
"""

from koch_siamese.errors import InputError
from koch_siamese.runs.setting_fields import format_value


def check_network(settings):
    """Refuses sizes of layers that the network does not have."""
    unused = {
        "fast": ("kernel_sizes", "units"),
        "paper": (),
        "dense": ("filters", "kernel_sizes"),
    }[settings.network]
    of = f"--network={settings.network}"
    if settings.init:
        unused, of = ("filters", "kernel_sizes", "units"), "--init"
        if settings.network != "fast":
            raise InputError(
                f"--network={settings.network}, which --init has no use for: "
                "leave it out."
            )
    for name in unused:
        value = getattr(settings, name)
        if value:
            raise InputError(
                f"--{name} is {format_value(value)}, which {of} has no use "
                "for: leave it out."
            )

    if settings.depth > 1 and (settings.network != "fast" or settings.init):
        raise InputError(
            f"--depth={settings.depth}, which {of} has no use for: leave it "
            "out."
        )
    if settings.batch_norm and (settings.network == "fast" or settings.init):
        raise InputError(
            f"--batch_norm, which {of} has no use for: leave it out."
        )
    if settings.precision != "float32" and settings.network == "dense":
        raise InputError(
            f"--precision={settings.precision} is of convolutions, which "
            "--network=dense has none of: leave it out."
        )


def check_training(settings):
    """Refuses what does not go together."""
    if "lake" in settings.protocols and settings.dataset != "omniglot":
        raise InputError(
            "--protocols has lake, which is of Omniglot: use "
            "--dataset=omniglot, or afterwards koch_siamese.evaluate."
        )
    if settings.max_minutes and settings.distribute == "multiworker":
        raise InputError(
            f"--max_minutes={settings.max_minutes} is of one clock; several "
            "workers have several: leave it out and give --epochs."
        )
    if settings.batch_norm and settings.optimizer == "layerwise_sgd":
        raise InputError(
            "--batch_norm is not of layerwise_sgd, whose settings are those of "
            "the paper's layers: use --optimizer=adam or muon."
        )
    if settings.weight_decay and settings.optimizer == "layerwise_sgd":
        raise InputError(
            f"--weight_decay={settings.weight_decay} is of adam and muon; "
            "layerwise_sgd has --layer_l2."
        )
    if settings.num_pairs and settings.sampling != "pairs":
        raise InputError(
            f"--num_pairs={settings.num_pairs} is of a fixed set of pairs; got "
            f"--sampling={settings.sampling}: give --sampling=pairs."
        )
    if settings.num_copies and not settings.num_pairs:
        raise InputError(
            f"--num_copies={settings.num_copies} are of a fixed set of pairs: "
            "give its size, --num_pairs."
        )
    if settings.views > 1 and settings.distortion == "none":
        raise InputError(
            f"--views={settings.views} are by --distortion, which is none: "
            "give one, or --views=1."
        )
    if settings.turned_views and (
        settings.views == 1
        or not (settings.quarter_turns or settings.mirror_images)
    ):
        raise InputError(
            "--turned_views needs --views, more than one, and --quarter_turns "
            "or --mirror_images, by which the network learns what it will see."
        )
    if settings.views > 1 and settings.objective == "contrastive":
        raise InputError(
            f"--views={settings.views} are of weighted L1 distances, not of "
            "--objective=contrastive: leave one of them out."
        )
    if settings.character_distortion != "none" and settings.sampling == "pairs":
        raise InputError(
            f"--character_distortion={settings.character_distortion} is of "
            "groups; got --sampling=pairs: leave one of them out."
        )
    if settings.objective == "contrastive" and settings.sampling != "pairs":
        raise InputError(
            "--objective=contrastive is of pairs; got "
            f"--sampling={settings.sampling}: give --sampling=pairs."
        )
