import gc
import warnings
import weakref

import numpy as np
import pytest
from conftest import make_characters

from koch_siamese.errors import DataWarning, InputError
from koch_siamese.models.warp import warp
from koch_siamese.runs.settings import Settings
from koch_siamese.sampling.distortions import DISTORTIONS, AffineRanges
from koch_siamese.sampling.effects import EFFECTS
from koch_siamese.training import batches, samplers
from koch_siamese.training.batches import make_groups, make_pairs

CHARACTERS = make_characters((3, 4, 5), num_drawers=3)


def make(kind, **changes):
    arguments = {"seed": 3, "ranges": DISTORTIONS["paper"]} | changes
    first_step = arguments.pop("first_step", 0)
    if kind == "pairs":
        to_inputs = batches.to_pair_inputs
        sampler = samplers.build_pair_sampler(
            CHARACTERS, batch_size=6, **arguments
        )
    else:
        to_inputs = batches.to_group_inputs
        sampler = samplers.build_group_sampler(
            CHARACTERS, num_characters=3, num_drawings=2, **arguments
        )
    return batches.make_dataset(
        CHARACTERS.images, sampler, to_inputs, first_step
    )


def take(dataset, num):
    return [
        [array for _, array in sorted(inputs.items())] + [labels]
        for inputs, labels in dataset.take(num).as_numpy_iterator()
    ]


def assert_equal_batches(one, other):
    for first, second in zip(one, other, strict=True):
        for a, b in zip(first, second, strict=True):
            np.testing.assert_array_equal(a, b)


def test_classes_with_too_few_images_for_groups_get_a_warning():
    kept = np.flatnonzero((CHARACTERS.character != 4) | (CHARACTERS.drawer > 1))
    training = CHARACTERS.select(kept)  # character 4 has two images
    names = tuple("abcdefghijkl")
    message = (
        "^1 of 12 training classes have fewer than --group_drawings=3 images, "
        "such as 'e' with 2, so batches have 2 images of each class. .* "
        "--group_drawings=2.$"
    )
    four, three, two = (Settings(group_drawings=num) for num in (4, 3, 2))
    with pytest.warns(DataWarning, match=message):
        batches.warn_of_small_classes(three, training, names)
    with pytest.warns(DataWarning, match="such as 'a1/02' with 2"):
        batches.warn_of_small_classes(three, training)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        batches.warn_of_small_classes(three, CHARACTERS)
        batches.warn_of_small_classes(two, training)
        # If no class has four, none is the cause.
        batches.warn_of_small_classes(four, training)
        pairs = Settings(sampling="pairs", group_drawings=3)
        batches.warn_of_small_classes(pairs, training)


@pytest.mark.parametrize("kind", ["pairs", "groups"])
def test_batch_is_a_function_of_seed_and_step(kind):
    five = take(make(kind), 5)
    assert_equal_batches(five, take(make(kind), 5))
    assert_equal_batches(five[3:], take(make(kind, first_step=3), 2))
    other = take(make(kind, seed=4), 5)
    assert not np.array_equal(five[0][0], other[0][0])
    assert not np.array_equal(five[0][0], five[1][0])


@pytest.mark.parametrize(
    ("changes", "drawings", "scales"),
    [
        (
            {"sampling": "pairs"},
            [14, 17, 2, 5, 21, 26, 12, 19, 1, 31, 23, 9],
            [
                *(1.134, 0.984, 0.991, 1.001, 1, 0.999),
                *(0.852, 1.112, 0.997, 1, 0.992, 0.84),
            ],
        ),
        (
            {"sampling": "pairs", "num_pairs": 20, "num_copies": 2},
            [1, 31, 31, 23, 18, 1, 27, 32, 32, 22, 20, 0],
            [1, 0.889, 1, 1, 1, 0.986, 1, 1, 1, 0.999, 1, 1.083],
        ),
        (
            {
                "group_characters": 3,
                "group_drawings": 2,
                "character_distortion": "strong",
                "within_alphabet": 0.0,
            },
            [10, 9, 25, 24, 6, 8],
            [1.05, 0.873, 1.188, 1.04, 1.32, 1.122],
        ),
    ],
)
def test_batches_of_a_seed_are_those_of_published_runs(
    changes, drawings, scales
):
    options = {"seed": 3, "distortion": "elastic", "batch_size": 6}
    options |= {"within_alphabet": 0.5} | changes
    sample = batches.build_sampler(Settings(**options), CHARACTERS)
    batch = sample(13)
    assert batch.drawings.tolist() == drawings
    matrices = batch.distortion["matrices"]
    np.testing.assert_allclose(matrices[:, 0, 0], scales, atol=1e-3)


def test_effects_of_batches_are_those_of_the_settings():
    options = {"num_characters": 3, "num_drawings": 2, "seed": 3}
    settings = Settings(
        dataset="folder",
        image_kind="photo",
        effects="photo",
        character_effects="recolor",
        group_characters=3,
        group_drawings=2,
        seed=3,
    )
    expected = samplers.build_group_sampler(
        CHARACTERS,
        ranges=DISTORTIONS["paper"],
        within_alphabet=0.75,
        effects=EFFECTS["photo"],
        character_effects=EFFECTS["recolor"],
        **options,
    )(5)
    found = batches.build_sampler(settings, CHARACTERS)(5)
    assert found.distortion.keys() == expected.distortion.keys()
    for name, values in expected.distortion.items():
        np.testing.assert_array_equal(found.distortion[name], values)


def test_batches_have_the_promised_shapes():
    inputs, same = next(iter(make("pairs")))
    assert inputs["first"].shape == (6, 8, 8, 1)
    assert inputs["first"].dtype == "uint8"
    assert inputs["second_matrices"].shape == (6, 2, 3)
    assert same.numpy().tolist() == [1, 0, 1, 0, 1, 0]
    inputs, character = next(iter(make("groups")))
    assert inputs["images"].shape == (6, 8, 8, 1)
    assert inputs["matrices"].dtype == "float32"
    assert character.shape == (6,)


@pytest.mark.parametrize("kind", ["pairs", "groups"])
def test_iterators_end_without_waiting_for_a_tuner(kind):
    assert make(kind).prefetch(4).options().autotune.enabled is False


def test_labels_belong_to_the_images():
    inputs, character = next(iter(make("groups")))
    pixels = {
        image.tobytes(): c
        for image, c in zip(
            CHARACTERS.images, CHARACTERS.character, strict=True
        )
    }
    for image, label in zip(
        inputs["images"].numpy(), character.numpy(), strict=True
    ):
        assert pixels[image.tobytes()] == label


def test_twins_are_distorted_independently():
    inputs, _ = next(iter(make("pairs")))
    first, second = inputs["first_matrices"], inputs["second_matrices"]
    assert not np.array_equal(first, second)


def test_drawings_of_a_character_share_the_distortion_of_the_character():
    bent = AffineRanges(shear=0.3, wave=0.1)
    alone = {"ranges": DISTORTIONS["none"], "character_ranges": bent}
    inputs, _ = next(iter(make("groups", **alone)))
    matrices = inputs["matrices"].numpy().reshape(3, 2, -1)
    np.testing.assert_array_equal(matrices[:, 0], matrices[:, 1])
    assert len(np.unique(matrices[:, 0], axis=0)) == 3
    # By default, each drawing is also distorted on its own.
    inputs, _ = next(iter(make("groups", character_ranges=bent)))
    assert len(np.unique(inputs["matrices"], axis=0)) == 6


def test_fixed_set_is_used_once_per_epoch():
    """20 pairs with 2 copies each are 60 in all: ten batches of 6."""
    fixed = {"num_pairs": 20, "num_copies": 2, "within_alphabet": 0.5}
    two_epochs = take(make("pairs", **fixed), 20)
    # One row for each pair: the bytes of its images, matrices and label.
    rows = [
        b"".join(array[row].tobytes() for array in batch)
        for batch in two_epochs
        for row in range(6)
    ]
    # A few rows may be equal: pairs can repeat, and copies can be undistorted.
    assert len(set(rows[:60])) > 55
    assert sorted(rows[:60]) == sorted(rows[60:])
    assert rows[:60] != rows[60:]
    same = np.concatenate([batch[-1] for batch in two_epochs[:10]])
    assert same.mean() == 0.5
    assert_equal_batches(
        two_epochs[13:15], take(make("pairs", first_step=13, **fixed), 2)
    )


@pytest.mark.parametrize("wave", [0.0, 0.03])
def test_only_copies_of_a_fixed_set_are_distorted(wave):
    always = AffineRanges(rotation_degrees=10.0, wave=wave)
    fixed = {"num_pairs": 20, "num_copies": 2, "ranges": always}
    stream = make("pairs", **fixed).take(10).as_numpy_iterator()
    plain = [
        (matrices == np.eye(2, matrices.shape[-1])).all(axis=(1, 2))
        for x, _ in stream
        for matrices in (x["first_matrices"], x["second_matrices"])
    ]
    # 20 of the 60 pairs are undistorted, with two images each.
    assert np.sum(plain) == 40


def test_set_smaller_than_a_batch_is_refused():
    assert take(make("pairs", num_pairs=6), 1)
    assert take(make("pairs", num_pairs=3, num_copies=1), 1)
    with pytest.raises(InputError, match="smaller than a batch of 6"):
        make("pairs", num_pairs=5)


def test_images_are_freed_with_characters_and_batches():
    """TensorFlow never frees Python functions: they must not hold images."""
    characters = make_characters((3, 4), seed=1)
    images = weakref.ref(characters.images)
    stream = make_pairs(characters, batch_size=4)
    inputs, _ = next(iter(stream))
    known = {image.tobytes() for image in characters.images}
    first = inputs["first"].numpy().astype(np.uint8)
    assert {image.tobytes() for image in first} <= known
    del characters, stream
    gc.collect()
    assert images() is None


def test_pairs_are_ready_for_fit():
    inputs, same = next(iter(make_pairs(CHARACTERS, batch_size=6, seed=3)))
    assert sorted(inputs) == ["first", "second"]
    assert inputs["first"].shape == inputs["second"].shape == (6, 8, 8, 1)
    assert inputs["first"].dtype == "float32"
    assert same.numpy().tolist() == [1, 0, 1, 0, 1, 0]
    plain, _ = next(iter(make("pairs", ranges=DISTORTIONS["none"])))
    for name, images in inputs.items():
        np.testing.assert_array_equal(images, plain[name])


def test_groups_are_ready_for_fit():
    arguments = {"num_characters": 3, "num_drawings": 2, "seed": 3}
    groups = make_groups(CHARACTERS, within_alphabet=1.0, **arguments)
    images, character = next(iter(groups))
    assert (images.shape, images.dtype) == ((6, 8, 8, 1), "float32")
    plain, labels = next(iter(make("groups", ranges=DISTORTIONS["none"])))
    np.testing.assert_array_equal(images, plain["images"])
    assert character.numpy().tolist() == labels.numpy().tolist()
    first, second, third = labels.numpy()[::2]
    assert labels.numpy().tolist() == [
        *(first, first, second, second, third, third)
    ]
    elastic, _ = next(iter(make("groups", ranges=DISTORTIONS["elastic"])))
    images, _ = next(
        iter(
            make_groups(
                CHARACTERS,
                within_alphabet=1.0,
                distortion=DISTORTIONS["elastic"],
                **arguments,
            )
        )
    )
    wanted = warp(elastic["images"], elastic["matrices"])
    np.testing.assert_allclose(images, wanted, atol=1e-3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_characters": 1}, "num_characters is 1: expected at least 2"),
        ({"num_drawings": 1}, "num_drawings is 1: expected at least 2"),
        ({}, "There are 12 characters: expected at least 40"),
        ({"num_characters": 3}, "drawings: expected at least 4 of each"),
        ({"within_alphabet": -0.5}, r"is -0\.5: expected 0 to 1"),
        (
            {"distortion": 5.0},
            "expected AffineRanges, or one of none, pa",
        ),
    ],
)
def test_make_groups_refuses_wrong_arguments(changes, message):
    with pytest.raises(InputError, match=message):
        make_groups(CHARACTERS, **changes)


def test_make_pairs_takes_ranges():
    def make_first(distortion):
        pairs = make_pairs(CHARACTERS, batch_size=6, distortion=distortion)
        return next(iter(pairs))[0]["first"].numpy()

    paper = make_first("paper")
    np.testing.assert_array_equal(make_first(DISTORTIONS["paper"]), paper)
    assert not np.array_equal(make_first(AffineRanges(5.0)), paper)


def test_make_pairs_distorts_as_training_does():
    inputs, _ = next(
        iter(make_pairs(CHARACTERS, batch_size=6, seed=3, distortion="elastic"))
    )
    elastic, _ = next(iter(make("pairs", ranges=DISTORTIONS["elastic"])))
    for name, images in inputs.items():
        wanted = warp(elastic[name], elastic[f"{name}_matrices"])
        np.testing.assert_allclose(images, wanted, atol=1e-3)
        assert np.ptp(images - np.float32(elastic[name])) > 50


@pytest.mark.parametrize(
    ("characters", "changes", "message"),
    [
        ("glyphs", {}, "type str: expected Characters, as load_characters"),
        ((CHARACTERS, ("a",)), {}, "characters and names: pass the first"),
        (CHARACTERS, {"batch_size": 1}, "is 1: expected at least 2"),
        (CHARACTERS, {"within_alphabet": 1.5}, "is 1.5: expected 0 to 1"),
        (
            CHARACTERS.select(np.arange(0)),
            {},
            "There are no drawings: expected",
        ),
        (CHARACTERS.select(np.arange(3)), {}, "There are 1 characters"),
        (CHARACTERS.select(np.arange(2, 6)), {}, "has 1 drawings: exp"),
    ],
)
def test_make_pairs_refuses_wrong_arguments(characters, changes, message):
    with pytest.raises(InputError, match=message):
        make_pairs(characters, **changes)


def test_make_pairs_refuses_unknown_distortions():
    with pytest.raises(InputError, match="is 'bent': expected AffineRanges"):
        make_pairs(CHARACTERS, distortion="bent")
