"""Tests the contents of the invented alphabets, which must never change."""

import numpy as np
import pytest

from koch_siamese.data import downloads, glyphs
from koch_siamese.errors import InputError

SPLITS = {"train": range(4), "validation": range(4, 6), "test": range(6, 8)}
ALPHABETS = (0, 1, 2, 3, 30, 31, 40, 41)  # their numbers in `draw_glyph`
NUM_DRAWERS = 6


def read(data_dir):
    builder = downloads.prepare_glyphs("tiny", data_dir)
    examples = {
        split: list(builder.as_dataset(split=split).as_numpy_iterator())
        for split in SPLITS
    }
    return builder.info, examples


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return read(tmp_path_factory.mktemp("glyphs"))


@pytest.fixture(scope="module")
def ink(prepared):
    """Where all drawings have ink, and their alphabets, labels and drawers."""
    examples = [e for split in prepared[1].values() for e in split]
    images = np.stack([e["image"][..., 0] for e in examples]) == 0
    keys = ("alphabet", "label", "drawer")
    return images, *(np.array([e[key] for e in examples]) for key in keys)


def test_a_drawing_is_a_function_of_its_numbers():
    first = np.asarray(glyphs.draw_glyph(3, 5, 2))
    glyphs.sample_alphabet.cache_clear()
    glyphs.draw_glyph(4, 0, 1)
    np.testing.assert_array_equal(first, np.asarray(glyphs.draw_glyph(3, 5, 2)))


def test_preparing_twice_gives_the_same_pixels(prepared, tmp_path, capsys):
    _, again = read(tmp_path)
    assert capsys.readouterr().out == ""  # nothing is downloaded
    for split, examples in prepared[1].items():
        for first, second in zip(examples, again[split], strict=True):
            np.testing.assert_equal(first, second)


def test_files_written_by_another_process_are_used(tmp_path, monkeypatch):
    prepare = glyphs.Glyphs.download_and_prepare

    def lose_the_race(builder):
        prepare(glyphs.Glyphs(config="tiny", data_dir=tmp_path))
        raise FileExistsError("Destination exists")

    def fail(builder):
        raise OSError("disk full")

    monkeypatch.setattr(glyphs.Glyphs, "download_and_prepare", lose_the_race)
    assert downloads.prepare_glyphs("tiny", tmp_path).is_prepared()
    monkeypatch.setattr(glyphs.Glyphs, "download_and_prepare", fail)
    with pytest.raises(InputError, match="disk full"):
        downloads.prepare_glyphs("default", tmp_path)


def test_prepared_drawings_are_those_of_draw_glyph(prepared):
    example = prepared[1]["test"][-1]
    drawing = glyphs.draw_glyph(
        ALPHABETS[example["alphabet"]],
        int(example["alphabet_char_id"]),
        int(example["drawer"]),
    )
    np.testing.assert_array_equal(example["image"][..., 1], drawing)


def test_features_are_those_of_omniglot_with_a_drawer(prepared):
    features = prepared[0].features
    assert set(features) == {
        "image",
        "alphabet",
        "alphabet_char_id",
        "label",
        "drawer",
    }
    assert features["image"].shape == (105, 105, 3)
    assert features["image"].np_dtype == np.uint8
    assert features["alphabet"].num_classes == 8


def test_splits_have_distinct_alphabets(prepared):
    for split, alphabets in SPLITS.items():
        found = {int(e["alphabet"]) for e in prepared[1][split]}
        assert found == set(alphabets)


def test_every_drawer_draws_every_character_once(prepared, ink):
    _, _, labels, drawers = ink
    pairs = set(zip(labels.tolist(), drawers.tolist(), strict=True))
    num_labels = prepared[0].features["label"].num_classes
    assert set(drawers) == set(range(1, NUM_DRAWERS + 1))
    assert len(pairs) == len(labels) == num_labels * NUM_DRAWERS


def test_labels_count_the_characters_of_all_alphabets(prepared):
    info, splits = prepared
    seen = {
        (int(e["label"]), int(e["alphabet"]), int(e["alphabet_char_id"]))
        for examples in splits.values()
        for e in examples
    }
    sizes = np.bincount([alphabet for _, alphabet, _ in seen])
    assert sizes.min() >= glyphs.MIN_CHARACTERS
    assert sizes.max() <= glyphs.MAX_CHARACTERS
    for label, alphabet, character in seen:
        assert label == sizes[:alphabet].sum() + character
        name = info.features["alphabet"].int2str(alphabet)
        label_name = f"{name}_{character:02d}"
        assert info.features["label"].int2str(label) == label_name


def test_names_are_distinct_and_shared_by_both_configs(prepared, tmp_path):
    default = glyphs.Glyphs(config="default", data_dir=tmp_path)
    names = default.info.features["alphabet"].names
    assert len(set(names)) == 50
    assert [names[i] for i in ALPHABETS] == (
        prepared[0].features["alphabet"].names
    )
    # Each split of tiny is a part of the same split of default.
    configs = glyphs.Glyphs.BUILDER_CONFIGS
    pairs = zip(configs[1].alphabets, configs[0].alphabets, strict=True)
    for tiny, whole in pairs:
        assert set(tiny) < set(whole)
    assert all(name.isalpha() and name.istitle() for name in names)


def test_drawings_are_ink_on_paper(prepared, ink):
    for example in prepared[1]["validation"]:
        image = example["image"]
        assert set(np.unique(image)) == {0, 255}
        assert (image == image[..., :1]).all()
    # Omniglot has 8 % ink on average, from 0.5 % (a dot) to 20 % (a tangle).
    share = ink[0].mean(axis=(1, 2))
    assert share.min() > 0.005
    assert share.max() < 0.25
    assert 0.05 < share.mean() < 0.10


def test_ink_does_not_touch_the_border(ink):
    assert not ink[0][:, [0, -1]].any()
    assert not ink[0][:, :, [0, -1]].any()


def test_no_two_drawings_are_equal(ink):
    assert len(np.unique(ink[0].reshape(len(ink[0]), -1), axis=0)) == len(
        ink[0]
    )


def test_pixel_baseline_is_better_than_chance_but_weak(ink):
    # Cosine nearest neighbor, 20-way one-shot within an alphabet: chance is
    # 5 %, Omniglot gives about 20 %.
    images, alphabets, labels, drawers = ink
    flat = images.reshape(len(images), -1).astype(np.float32)
    flat /= np.linalg.norm(flat, axis=1, keepdims=True)
    rng = np.random.default_rng(0)
    hits = []
    for alphabet in np.unique(alphabets):
        for _ in range(4):
            supporter, querier = rng.permutation(NUM_DRAWERS)[:2] + 1
            of_alphabet = alphabets == alphabet
            ways = rng.permutation(np.unique(labels[of_alphabet]))[:20]
            rows = [
                np.flatnonzero(of_alphabet & (drawers == drawer))
                for drawer in (supporter, querier)
            ]
            support, query = (
                [r[labels[r] == way][0] for way in ways] for r in rows
            )
            best = (flat[query] @ flat[support].T).argmax(axis=1)
            hits.extend(best == np.arange(20))
    assert len(hits) == 640
    assert 0.15 < np.mean(hits) < 0.45


@pytest.mark.parametrize("numbers", [(-1, 0, 1), (0, 26, 1), (0, 0, 0)])
def test_glyphs_out_of_range_are_refused(numbers):
    assert glyphs.draw_glyph(0, 25, 1).size == (105, 105)
    with pytest.raises(InputError, match=r"expected alphabet >= 0, .* 0\.\.25"):
        glyphs.draw_glyph(*numbers)
