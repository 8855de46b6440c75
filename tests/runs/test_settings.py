import dataclasses
import re
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


def test_docstring_explains_each_field():
    text = Settings.__doc__
    assert max(map(len, text.splitlines())) <= 80
    attributes = text.partition("Attributes:\n")[2].partition("\n\n")[0]
    found = re.findall(r"^ {8}(\w+): ", attributes, re.MULTILINE)
    assert found == [field.name for field in dataclasses.fields(Settings)]
    words = " ".join(attributes.split())
    assert "image_size: Side of the network's input images, in pixels." in words
    assert "adam; muon: Muon for convolutions and Adam for the rest" in words
    assert words.endswith("Batches are the same without it.")
    choices = "One of: adam, muon, layerwise_sgd. layer_learning_rates: "
    assert choices in words


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


PAIRS = {"sampling": "pairs"}
PAPER, LAYERWISE = {"network": "paper"}, {"optimizer": "layerwise_sgd"}
RELATIVE = PAPER | LAYERWISE | {"relative_updates": True}


@pytest.mark.parametrize(
    "changes",
    [
        {"dataset": "omniglot", "protocols": ("lake",)},
        PAIRS | {"objective": "contrastive"},
        PAIRS | {"num_copies": 8, "num_pairs": 100},
        {"head_weights": "nonpositive"},
        {"head_weights": "nonpositive", "objective": "given:my_loss"},
        PAPER | {"head_weights": "nonpositive", "batch_norm": True},
        {"depth": 2, "precision": "bfloat16"},
        {"network": "dense", "precision": "bfloat16"},
        {"views": 1, "distortion": "none"},
        {"turned_views": True, "views": 2, "mirror_images": True},
        {"max_minutes": 1.0, "distribute": "mirrored"},
        {"weight_decay": 0.1, "optimizer": "muon"},
        {"character_distortion": "metamorphic"},
        RELATIVE,
    ],
)
def test_settings_that_go_together(changes):
    Settings(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"protocols": ("lake",)}, "give --dataset=omniglot"),
        (
            {"objective": "contrastive"},
            "contrastive needs --sampling=pairs; got --sampling=groups",
        ),
        ({"num_copies": 8}, "give its size as --num_pairs"),
        ({"max_minutes": 1.0, "distribute": "multiworker"}, "give --epochs"),
        (
            LAYERWISE | {"weight_decay": 0.1},
            "no effect with --optimizer=layerwise_sgd: use --layer_l2",
        ),
        ({"views": 2, "distortion": "none"}, "--views=2 needs --distortion"),
        ({"turned_views": True, "views": 2}, "--turned_views needs --views"),
        (
            {"turned_views": True, "quarter_turns": True},
            "--turned_views needs --views",
        ),
        (
            PAIRS | {"views": 2, "objective": "contrastive"},
            "got --objective=contrastive: give --views=1",
        ),
    ],
)
def test_contradictory_settings_are_refused_with_advice(changes, message):
    with pytest.raises(InputError, match=message):
        Settings(**changes)


@pytest.mark.parametrize(
    ("name", "value", "changes", "other"),
    [
        ("head_weights", "nonpositive", PAPER, "--network=paper"),
        ("head_weights", "nonpositive", {"network": "dense"}, "--network=dens"),
        (
            "head_weights",
            "nonpositive",
            PAIRS | {"objective": "contrastive"},
            "--objective=contrastive",
        ),
        ("head_weights", "nonpositive", {"init": "x"}, "--init=x"),
        ("units", (3, 4), {}, "--network=fast"),
        ("units", (3, 4), {"init": "x"}, "--init=x"),
        ("kernel_sizes", (3, 4), {}, "--network=fast"),
        ("filters", (3, 4), {"network": "dense"}, "--network=dense"),
        ("filters", (3, 4), {"network": "my:build"}, "--network=my:build"),
        ("depth", 2, PAPER, "--network=paper"),
        ("depth", 2, {"init": "x"}, "--init=x"),
        ("batch_norm", True, {}, "--network=fast"),
        ("batch_norm", True, {"init": "x"}, "--init=x"),
        ("batch_norm", True, PAPER | LAYERWISE, "--optimizer=layerwise_sgd"),
        ("network", "paper", {"init": "x"}, "--init=x"),
        ("relative_updates", True, LAYERWISE, "--network=fast"),
        ("relative_updates", True, LAYERWISE | {"init": "x"}, "--init=x"),
        (
            "relative_updates",
            True,
            PAPER | LAYERWISE | {"distribute": "mirrored"},
            "--distribute=mirrored",
        ),
        ("relative_updates", True, {}, "--optimizer=adam"),
        ("momentum_ramp_steps", 9, {}, "--optimizer=adam"),
        ("character_distortion", "strong", PAIRS, "--sampling=pairs"),
        ("num_pairs", 100, {}, "--sampling=groups"),
        ("initial_values", "uniform", {}, "--network=fast"),
        ("initial_values", "uniform", {"init": "x"}, "--init=x"),
        ("initial_values", "uniform", PAPER | {"batch_norm": True}, "--batch_"),
        (
            "layer_stddevs",
            (1.0,),
            PAPER | {"initial_values": "uniform"},
            "--initial_values=uniform",
        ),
    ],
)
def test_settings_that_exclude_each_other_are_refused(
    name, value, changes, other
):
    with pytest.raises(
        InputError, match=rf"^--{name}\b.* cannot be used with {other}"
    ):
        Settings(**{name: value}, **changes)


@pytest.mark.parametrize(
    ("settings", "advice"),
    [
        (
            {"depth": 2, "init": "x"},
            "remove it, or give --depth=1 after the flagfile that has it.",
        ),
        ({"num_pairs": 9}, "remove it, or give --sampling=pairs."),
        (
            {"units": (9,)},
            "remove it, or give --network=paper or dense or "
            "keras.applications:NAME.",
        ),
        (
            PAPER | {"initial_values": "uniform", "batch_norm": True},
            "remove it, or give --batch_norm=false.",
        ),
    ],
)
def test_refused_settings_say_what_they_need(settings, advice):
    with pytest.raises(InputError, match=f": {re.escape(advice)}$"):
        Settings(**settings)


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


def test_every_setting_has_a_help_text():
    for field in dataclasses.fields(Settings):
        assert len(field.metadata["help"]) > 10


def test_settings_offer_only_known_protocols():
    offered = Settings.__dataclass_fields__["protocols"].metadata["choices"]
    assert set(offered) == set(PROTOCOLS) - {"mnist", "tutorial"}
