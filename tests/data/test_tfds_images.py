import json

import labelled_sets
import numpy as np
import pytest
import tensorflow as tf
from conftest import TINY_MODEL, assert_one_line, call

from koch_siamese.data import downloads, tfds_images
from koch_siamese.data.sources import DataSource, load_characters
from koch_siamese.errors import DataWarning, InputError
from koch_siamese.evaluation.evaluator import evaluate_protocol
from koch_siamese.models.loading import load_model
from koch_siamese.models.siamese import set_dataset


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("labelled"))
    for builder in (
        labelled_sets.TinyDigits,
        labelled_sets.TinyPhotographs,
        labelled_sets.TinySentences,
    ):
        builder(data_dir=path).download_and_prepare()
    return path


def test_labels_become_characters_on_light_paper(data_dir):
    digits = load_characters("tiny_digits", "test", data_dir=data_dir)
    assert digits.images.shape == (20, 12, 12, 1)
    np.testing.assert_array_equal(digits.character, np.repeat(range(5), 4))
    np.testing.assert_array_equal(digits.number, np.repeat(range(1, 6), 4))
    np.testing.assert_array_equal(digits.drawer, np.tile(range(1, 5), 5))
    assert set(digits.alphabet) == {0}
    assert digits.alphabet_names == ("tiny_digits",)
    # Light on dark is inverted: ink is 255 - 250, paper is 255 - 0.
    assert set(digits.images.ravel()) == {5, 255}
    ink = (digits.images == 5).sum(axis=(1, 2, 3))
    np.testing.assert_array_equal(ink, np.repeat([4, 9, 16, 25, 36], 4))


def test_color_and_sizes_are_fitted_to_a_square(data_dir):
    pictures = load_characters("tiny_photographs", "test", data_dir=data_dir)
    assert pictures.images.shape == (2, 105, 105, 1)
    # 20 x 40 becomes 52 x 105; the rest is filled with the image's own paper.
    np.testing.assert_array_equal(pictures.images[:, 0, 0, 0], [200, 200])
    assert pictures.images[0, 52, 26] == 20
    assert (pictures.images[0] < 110).sum() == pytest.approx(26**2, rel=0.1)


def test_binary_data_set_gets_the_full_contrast(tmp_path):
    labelled_sets.TinyBits(data_dir=str(tmp_path)).download_and_prepare()
    bits = load_characters("tiny_bits", "test", data_dir=tmp_path)
    assert set(bits.images.ravel()) == {0, 255}
    ink = (bits.images == 0).sum(axis=(1, 2, 3))
    np.testing.assert_array_equal(ink, np.repeat([4, 9, 16, 25, 36], 4))
    photos = load_characters(
        "tiny_bits", "test", data_dir=tmp_path, photo_size=12
    )
    np.testing.assert_array_equal(photos.images[..., :1], 255 - bits.images)


@pytest.mark.parametrize("largest", [1, 2])
def test_one_value_above_1_shows_that_1_is_nearly_black(largest):
    images = np.zeros((3, 4, 4, 1), np.uint8)
    images[1], images[2, 0, 0] = 1, largest
    dataset = tf.data.Dataset.from_tensor_slices({"image": images})
    assert tfds_images._is_binary(dataset) == (largest == 1)


def test_paper_is_the_most_frequent_edge_color():
    image = np.full((1, 4, 4, 1), 10, np.uint8)
    image[0, 1:3, 1:3] = 240
    inverted = tfds_images.invert_if_dark(image.copy())
    assert (inverted[0, 0, 0], inverted[0, 1, 1]) == (245, 15)
    again = tfds_images.invert_if_dark(inverted.copy())
    np.testing.assert_array_equal(again, inverted)


@pytest.mark.parametrize(
    ("name", "split", "message"),
    [
        ("tiny_digits", "validation", "no split validation: it has test"),
        ("tiny_sentences", "test", "features text; expected image and label"),
        ("no_such_set", "test", "no data set 'no_such_set'"),
        ("mnist/no_option=1", "test", "no data set 'mnist/no_option=1'"),
        ("glyphs/small", "test", "no glyphs/small: use one of default, tiny"),
    ],
)
def test_unusable_data_sets_are_refused(data_dir, name, split, message):
    with pytest.raises(InputError, match=message):
        load_characters(name, split, data_dir=data_dir)


def test_offline_is_reported_at_once(tmp_path, monkeypatch):
    def fail(url):
        raise OSError("no network")

    monkeypatch.setattr(downloads, "_ask", fail)
    with pytest.raises(InputError, match=r"mnist is not prepared .*no network"):
        load_characters("mnist", "test", data_dir=str(tmp_path))


def test_one_unreachable_server_is_not_a_missing_network(monkeypatch):
    asked = []

    def ask(url):
        asked.append(url)
        if url == "gone":
            raise OSError

    monkeypatch.setattr(downloads, "_ask", ask)
    downloads._check_connection(["gone", "here", "more"])
    assert asked == ["gone", "here"]


def test_evaluate_on_labels(data_dir, tmp_path):
    arguments = (
        "--protocol=mnist",
        "--dataset=tiny_digits",
        f"--data_dir={data_dir}",
        f"--model={TINY_MODEL}",
    )
    answer = call("evaluate", *arguments, "--ways=5", "--num_trials=50")
    assert answer.returncode == 0, answer.stderr
    assert "mnist     tiny_digits test  5     1      50" in answer.stdout
    assert_one_line(
        call("evaluate", *arguments, "--ways=6"), "6 ways are more than the 5"
    )
    # The default of ten ways is reduced to the five classes that there are.
    output = tmp_path / "result.json"
    answer = call("evaluate", *arguments, f"--output={output}")
    assert answer.returncode == 0, answer.stderr
    assert "note: tiny_digits, test split: only 5 classes," in answer.stderr
    assert "mnist has only 5 test classes: " in answer.stdout
    result = json.loads(output.read_text())
    assert (result["ways"], result["num_classes"]) == (5, 5)
    assert result["closed_set"] is False


@pytest.mark.parametrize(
    ("trained", "is_closed"),
    [("tiny_digits", True), ("omniglot", False), (None, False)],
)
def test_own_splits_show_the_classes_of_the_training(
    data_dir, trained, is_closed
):
    model = load_model(TINY_MODEL)
    set_dataset(model, trained)
    source = DataSource("tiny_digits", data_dir=data_dir)
    result = evaluate_protocol(
        model, "within_alphabet", source, num_trials=10, ways=5
    )
    assert result["closed_set"] is is_closed


def test_training_on_labels_splits_them(data_dir, tmp_path):
    source = DataSource("tiny_digits", data_dir=data_dir, split_labels=True)
    with pytest.warns(DataWarning, match="only 5 classes"):
        parts = [source.load(x) for x in ("training", "validation", "test")]
    # Two of the five classes are for testing. Of the other three, two of the
    # four images each are for training and two for validation.
    assert [len(part) for part in parts] == [6, 6, 8]
    assert not set(parts[0].character) & set(parts[2].character)
    arguments = ("--dataset=tiny_digits", f"--data_dir={data_dir}")
    workdir = f"--workdir={tmp_path / 'run'}"
    answer = call(
        *("train", *arguments, workdir, "--image_size=16", "--filters=4,6"),
        *("--epochs=1", "--steps_per_epoch=2", "--num_trials=20"),
        *("--validation_trials=20", "--image_kind=photo"),
    )
    assert answer.returncode == 0, answer.stderr
    assert "only 2 classes, so trials are 2-way, not 20-way" in answer.stderr
    assert "tiny_digits test  2     1      20" in answer.stdout
    path = tmp_path / "run/results/within_alphabet.json"
    result = json.loads(path.read_text())
    assert (result["ways"], result["num_classes"]) == (2, 2)
    assert (result["closed_set"], result["image_kind"]) == (False, "photo")
    assert "--ways=2\n" in (tmp_path / "run/train.flags").read_text()
    # The model is tested on the classes that it was not trained on.
    answer = call("evaluate", workdir, *arguments, "--num_trials=20")
    assert "tiny_digits test  2     1      20" in answer.stdout, answer.stderr
    options = {"data_dir": data_dir, "num_trials": 20, "ways": 2}
    with pytest.warns(DataWarning, match="only 5 classes"):
        result = evaluate_protocol(
            load_model(tmp_path / "run"),
            "within_alphabet",
            "tiny_digits",
            **options,
        )
    assert (result["num_classes"], result["closed_set"]) == (2, False)
    answer = call(
        "train", *arguments, "--ways=3", f"--workdir={tmp_path / 'x'}"
    )
    assert answer.returncode == 1
    assert "3 ways are more than the 2" in answer.stderr.splitlines()[-1]


def test_photos_keep_their_colors(data_dir):
    pictures = load_characters(
        "tiny_photographs", "test", data_dir=data_dir, photo_size=40
    )
    assert pictures.images.shape == (2, 40, 40, 3)
    # 20 x 40 is padded with white to 40 x 40 and not inverted.
    np.testing.assert_array_equal(pictures.images[:, 0, 0], 255)
    np.testing.assert_array_equal(pictures.images[0, 20, 1], 3 * [200])
    digits = load_characters(
        "tiny_digits", "test", data_dir=data_dir, photo_size=12
    )
    assert set(digits.images.ravel()) == {0, 250}
    with pytest.raises(InputError, match="glyphs/tiny has drawings"):
        load_characters("glyphs/tiny", "test", photo_size=12)
