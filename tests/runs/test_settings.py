import dataclasses
from pathlib import Path

import numpy as np
import pytest

from koch_siamese.errors import InputError
from koch_siamese.evaluation.protocols import PROTOCOLS
from koch_siamese.runs.settings import Settings, find_without_effect


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("ways", 2, 1),
        ("batch_size", 2, -3),
        ("within_alphabet", 1.0, 1.01),
        ("within_alphabet", 0.0, -0.01),
        ("filters", (1,), (64, 0)),
        ("filters", (4096,), (4097,)),
        ("dataset", "omniglot", "glyphs/small"),
        ("dataset", "cifar100", " "),
        ("seed", 0, -1),
        ("seed", 2**31 - 1, 2**31),
        ("epochs", 1, 0),
        ("learning_rate", 1e-9, 0.0),
        ("adam_lr_ratio", 0.0, -0.1),
    ],
)
def test_values_are_accepted_in_their_ranges_only(name, good, bad):
    assert getattr(Settings(**{name: good}), name) == good
    with pytest.raises(InputError, match=f"^--{name} is .*expected"):
        Settings(**{name: bad})


def test_values_are_converted_to_their_types():
    given = Settings(
        filters=[32, np.int64(64)],
        protocols=["verification"],
        learning_rate=np.float64(0.5),
        weight_decay=0,
        epochs=np.int64(5),
        dataset=Path("mnist"),
    )
    # Types too: a run stores values as text, such as 0.0.
    assert repr(given) == repr(
        Settings(
            filters=(32, 64),
            protocols=("verification",),
            learning_rate=0.5,
            weight_decay=0.0,
            epochs=5,
            dataset="mnist",
        )
    )


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("filters", 64, "is 64: expected a list or a tuple of int"),
        ("filters", ["64"], r"\[0\] is '64': expected a value of type int"),
        ("protocols", "lake", "is 'lake': expected a list or a tuple of str"),
        ("training_groups", None, "is None: expected a list or a tuple of str"),
        ("learning_rate", None, "is None: expected a value of type float"),
        ("max_minutes", True, "is True: expected a value of type float"),
        ("epochs", "5", "is '5': expected a value of type int"),
        ("epochs", 2.5, "is 2.5: expected a value of type int"),
        ("epochs", True, "is True: expected a value of type int"),
        ("crop", 1, "is 1: expected a value of type bool"),
        ("network", 1, "is 1: expected a value of type str"),
    ],
)
def test_values_of_other_types_are_refused(name, value, message):
    with pytest.raises(InputError, match=rf"^{name} ?{message}\.$"):
        Settings(**{name: value})


def test_lake_needs_omniglot():
    Settings(dataset="omniglot", protocols=("lake",))
    with pytest.raises(InputError, match="--dataset=omniglot"):
        Settings(dataset="glyphs", protocols=("lake",))


def test_contrastive_loss_needs_pairs():
    Settings(objective="contrastive", sampling="pairs")
    with pytest.raises(InputError, match="--sampling=pairs"):
        Settings(objective="contrastive", sampling="groups")


@pytest.mark.parametrize(
    ("changes", "other"),
    [
        ({"network": "paper"}, "--network=paper"),
        ({"network": "dense"}, "--network=dense"),
        (
            {"objective": "contrastive", "sampling": "pairs"},
            "--objective=contrastive",
        ),
        ({"init": "pretrained"}, "--init"),
    ],
)
def test_head_weights_that_cannot_be_limited(changes, other):
    Settings(head_weights="nonpositive")
    Settings(head_weights="nonpositive", network="paper", batch_norm=True)
    with pytest.raises(
        InputError, match=f"nonpositive cannot be used.*{other}"
    ):
        Settings(head_weights="nonpositive", **changes)


@pytest.mark.parametrize(
    ("network", "name"),
    [("fast", "units"), ("fast", "kernel_sizes"), ("dense", "filters")],
)
def test_sizes_of_missing_layers_are_refused(network, name):
    Settings(network="paper", **{name: (3, 4)})
    with pytest.raises(
        InputError, match=rf"--{name}=3,4 cannot be used with --network"
    ):
        Settings(network=network, **{name: (3, 4)})
    with pytest.raises(
        InputError, match="cannot be used with --init=pretrained: remove it"
    ):
        Settings(init="pretrained", **{name: (3, 4)})


def test_contradictory_settings_are_refused():
    with pytest.raises(InputError, match="give --epochs instead"):
        Settings(max_minutes=1.0, distribute="multiworker")
    with pytest.raises(InputError, match="--num_pairs"):
        Settings(num_copies=8)
    Settings(depth=2, precision="bfloat16")
    for change in ({"network": "paper"}, {"init": "pretrained"}):
        with pytest.raises(
            InputError, match="--depth=2 cannot be used with --"
        ):
            Settings(depth=2, **change)
    Settings(batch_norm=True, network="paper")
    for change in ({}, {"init": "pretrained"}):
        with pytest.raises(
            InputError, match="--batch_norm cannot be used with --"
        ):
            Settings(batch_norm=True, **change)
    with pytest.raises(
        InputError, match="--network=paper cannot be used with --init"
    ):
        Settings(network="paper", init="pretrained")
    with pytest.raises(
        InputError, match="--batch_norm cannot be used with --optimizer=layer"
    ):
        Settings(batch_norm=True, network="paper", optimizer="layerwise_sgd")
    with pytest.raises(InputError, match="--views=2 needs --distortion"):
        Settings(views=2, distortion="none")
    Settings(views=1, distortion="none")
    Settings(turned_views=True, views=2, mirror_images=True)
    for change in ({"views": 2}, {"quarter_turns": True}):
        with pytest.raises(InputError, match="--turned_views needs --views"):
            Settings(turned_views=True, **change)
    with pytest.raises(
        InputError, match="got --objective=contrastive: give --views=1"
    ):
        Settings(views=2, objective="contrastive", sampling="pairs")
    Settings(num_copies=8, num_pairs=100, sampling="pairs")
    with pytest.raises(
        InputError, match="needs --sampling=pairs; got --sampling"
    ):
        Settings(num_pairs=100)
    Settings(max_minutes=1.0, distribute="mirrored")


def test_settings_without_effect():
    assert list(find_without_effect(Settings())) == []
    settings = Settings(
        batch_size=32, group_characters=9, learning_rate=0.1, adam_lr_ratio=0.1
    )
    assert list(find_without_effect(settings)) == [
        ("--batch_size=32", "--sampling=groups"),
        ("--adam_lr_ratio=0.1", "--optimizer=adam"),
    ]
    settings = dataclasses.replace(
        settings,
        network="paper",
        sampling="pairs",
        optimizer="layerwise_sgd",
        layer_l2=(0.1,),
    )
    assert [given for given, _ in find_without_effect(settings)] == [
        "--group_characters=9",
        "--learning_rate=0.1",
        "--adam_lr_ratio=0.1",
    ]


@pytest.mark.parametrize(
    ("changes", "other"),
    [
        ({"network": "fast"}, "--network=fast"),
        ({"init": "pretrained", "network": "fast"}, "--init"),
        ({"distribute": "mirrored"}, "--distribute=mirrored"),
    ],
)
def test_relative_updates_need_initial_values(changes, other):
    settings = Settings(
        network="paper", optimizer="layerwise_sgd", relative_updates=True
    )
    with pytest.raises(
        InputError, match=f"--relative_updates cannot be used with {other}"
    ):
        dataclasses.replace(settings, **changes)


def test_every_setting_has_a_help_text():
    for field in dataclasses.fields(Settings):
        assert len(field.metadata["help"]) > 10


def test_weight_decay_is_refused_with_layerwise_sgd():
    Settings(weight_decay=0.1, optimizer="muon")
    with pytest.raises(InputError, match="layerwise_sgd: use --layer_l2"):
        Settings(weight_decay=0.1, optimizer="layerwise_sgd")


def test_character_distortions_need_groups():
    Settings(character_distortion="metamorphic")
    with pytest.raises(
        InputError, match="cannot be used with --sampling=pairs: remove"
    ):
        Settings(character_distortion="metamorphic", sampling="pairs")


def test_settings_offer_only_known_protocols():
    offered = Settings.__dataclass_fields__["protocols"].metadata["choices"]
    assert set(offered) == set(PROTOCOLS) - {"mnist", "tutorial"}
