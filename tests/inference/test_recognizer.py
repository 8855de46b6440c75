import concurrent.futures
import copy
import dataclasses
import io
import pickle
import re
import subprocess
import sys
import threading

import keras
import numpy as np
import pytest
from conftest import REPOSITORY, TINY_MODEL
from drawing import draw, save
from PIL import Image

import koch_siamese
from koch_siamese import InputError, Recognizer
from koch_siamese.data import image_folder
from koch_siamese.errors import DataWarning
from koch_siamese.evaluation.calibration import Calibration
from koch_siamese.inference import recognizer as recognizer_module
from koch_siamese.inference import storage
from koch_siamese.inference.reports import CalibrationReport
from koch_siamese.models.embeddings import build_fast_embedding
from koch_siamese.models.loading import load_model
from koch_siamese.models.siamese import (
    build_fast_head,
    build_siamese,
    get_head,
    set_crop,
)
from koch_siamese.models.thresholds import Thresholds

TWO = np.zeros((2, 105, 105), np.uint8)


@pytest.fixture(scope="module")
def drawings(glyphs_dir):
    """Eight characters of an alphabet by four drawers, uint8 arrays."""
    characters = koch_siamese.load_characters(
        "glyphs/tiny", "test", data_dir=glyphs_dir
    )
    chosen = np.unique(characters.character)[:8]
    return {
        f"c{number}": list(
            characters.images[characters.character == character][:4, ..., 0]
        )
        for number, character in enumerate(chosen)
    }


@pytest.fixture(scope="module")
def model():
    return load_model(TINY_MODEL)


@pytest.fixture
def recognizer(model, drawings):
    return Recognizer(model).add({x: y[0] for x, y in drawings.items()})


def test_answers_are_those_of_the_model(recognizer, model, drawings):
    query = drawings["c1"][1]
    answer = recognizer.classify(query, top_k=3)
    read = recognizer.read(query)
    scores = {}
    for name, images in drawings.items():
        pair = {
            "first": read[np.newaxis, ..., np.newaxis],
            "second": recognizer.read(images[0])[np.newaxis, ..., np.newaxis],
        }
        scores[name] = float(model(pair)[0])
    ranked = sorted(scores, key=scores.get, reverse=True)
    assert [x.name for x in answer.candidates] == ranked[:3]
    for candidate in answer.candidates:
        assert candidate.score == pytest.approx(
            scores[candidate.name], abs=1e-4
        )
    verdict = recognizer.verify(query, drawings["c1"][0])
    assert verdict.score == pytest.approx(scores["c1"], abs=1e-4)
    assert verdict.threshold == recognizer.thresholds.same
    embedding = recognizer.embed(query)
    assert embedding.dtype == np.float32
    assert embedding.shape == recognizer.embed([query, query])[0].shape
    (same,) = recognizer.embed_drawings(read[np.newaxis])
    np.testing.assert_array_equal(same, embedding)
    assert recognizer.embed_drawings([]).shape == (0, len(embedding))


def test_every_kind_of_image_gets_the_same_answer(
    recognizer, drawings, tmp_path
):
    image = Image.fromarray(drawings["c2"][1])
    path = save(image, tmp_path / "folder" / "a.png")
    expected = recognizer.classify(path)
    with path.open("rb") as file:
        for query in (str(path), path.read_bytes(), file, image):
            assert recognizer.classify(query) == expected
    array = np.asarray(image)
    assert recognizer.classify(array) == expected
    colors = np.repeat(array[..., np.newaxis], 3, axis=2)
    assert recognizer.classify(colors) == expected
    for many in (path.parent, [path], array[np.newaxis], (x for x in [image])):
        assert recognizer.classify(many) == [expected]


def test_folder_is_sorted_and_warnings_point_to_the_user(
    recognizer, drawings, tmp_path
):
    for name, character in (("b/1", "c1"), ("a", "c2"), ("B", "c3")):
        image = Image.fromarray(drawings[character][0])
        save(image, tmp_path / f"{name}.png")
    (tmp_path / "notes.txt").touch()
    with pytest.warns(DataWarning, match="not read: 1 .txt") as warned:
        answers = recognizer.classify(tmp_path)
    assert warned[0].filename == __file__
    assert [answer.best.name for answer in answers] == ["c3", "c2", "c1"]


def test_one_image_and_a_list_are_distinguished(recognizer, drawings):
    first, second = drawings["c0"][1], drawings["c1"][1]
    one, other = recognizer.classify([first, second])
    # Rounding differs between batches of one and of two.
    assert one.best.score == pytest.approx(
        recognizer.classify(first).best.score, abs=1e-4
    )
    assert (
        recognizer.verify(first, second)
        == (recognizer.verify([first], [second])[0])
    )
    assert other.best.name in recognizer.names
    assert recognizer.classify([]) == []
    with pytest.raises(
        InputError, match="`first` has 2 images and `second` has 1"
    ):
        recognizer.verify([first, second], [first])


def test_examples_are_added_or_replaced(model, drawings):
    recognizer = Recognizer(model)
    with pytest.raises(InputError, match="no characters to choose among"):
        recognizer.classify(drawings["c0"][0])
    recognizer.add({"a": drawings["c0"][:2], "b": drawings["c1"][0]})
    assert (recognizer.names, recognizer.num_images) == (("a", "b"), 3)
    recognizer.add({"a": drawings["c0"][2]})
    assert recognizer.num_images == 4
    recognizer.add({"a": drawings["c0"][2]}, replace=True)
    assert recognizer.num_images == 2
    with pytest.raises(InputError, match="Image 2 of 'x': An array"):
        recognizer.add({"x": [drawings["c0"][0], np.zeros((5, 5))]})
    with pytest.raises(InputError, match="no character 'y'"):
        recognizer.remove(["a", "y"])
    assert (recognizer.names, recognizer.num_images) == (("a", "b"), 2)
    recognizer.remove("a")
    assert recognizer.names == ("b",)


def test_labelled_images_are_read_as_single_ones(
    recognizer, drawings, tmp_path
):
    images = {"a": drawings["c0"][0], "b": drawings["c1"][:2]}
    for number, image in enumerate([images["a"], *images["b"]]):
        name = "ab"[number > 0]
        save(Image.fromarray(image), tmp_path / name / f"{number}.png")
    for labelled in (images, tmp_path):
        names, read = recognizer.read_labelled(labelled)
        assert names == ["a", "b", "b"]
        assert read.shape == (3, 105, 105)
        np.testing.assert_array_equal(read[2], recognizer.read(images["b"][1]))


def test_names_are_composed(model, drawings):
    recognizer = Recognizer(model).add({"e\u0301": drawings["c0"][0]})
    recognizer.add({"\u00e9": drawings["c0"][1]})
    assert recognizer.names == ("\u00e9",)
    recognizer.remove("e\u0301")
    assert recognizer.names == ()


def test_model_determines_how_images_are_read(drawings, tmp_path):
    model = load_model(TINY_MODEL)
    assert Recognizer(model).crop is True  # the default if it has no `crop`
    set_crop(model, False)
    model.save(tmp_path / "model.keras")
    recognizer = Recognizer(tmp_path / "model.keras")
    assert recognizer.crop is False
    np.testing.assert_array_equal(
        recognizer.read(drawings["c0"][0]), drawings["c0"][0]
    )
    assert Recognizer(model, crop=True).crop is True


def test_given_and_missing_thresholds(drawings):
    model = load_model(TINY_MODEL)
    get_head(model).thresholds = None
    recognizer = Recognizer(model).add({"a": drawings["c0"][0]})
    verdict = recognizer.verify(drawings["c0"][0], drawings["c0"][1])
    assert (verdict.same, verdict.threshold) == (None, None)
    answer = recognizer.classify(drawings["c5"][0])
    assert (answer.name, answer.threshold) == ("a", None)
    assert answer.best.probability is None
    score = answer.best.score
    assert recognizer.classify(drawings["c5"][0], threshold=score).name == "a"
    above = score + 1e-3
    assert recognizer.classify(drawings["c5"][0], threshold=above).name is None


def test_calibration_reports_its_expected_rates(recognizer, drawings, tmp_path):
    with pytest.warns(DataWarning, match="8 characters, too few") as warned:
        report = recognizer.calibrate(drawings)
    assert warned[0].filename == __file__
    assert (report.num_images, report.num_characters) == (32, 8)
    assert report.ways == 7
    assert recognizer.thresholds.same == report.same
    assert 0.5 <= report.accuracy <= 1
    errors = (report.false_accepts + report.false_rejects) / 2
    assert report.accuracy == pytest.approx(1 - errors, abs=0.01)
    with pytest.warns(DataWarning):
        assert report == Recognizer(recognizer.model).calibrate(drawings)
    assert max(map(len, re.findall(r"\.(\d+)", str(report)))) <= 4
    recognizer.save(tmp_path / "known")
    loaded = Recognizer.load(tmp_path / "known")
    assert loaded.thresholds == recognizer.thresholds
    with pytest.raises(InputError, match="2 characters, each with 4 or more"):
        recognizer.calibrate({x: drawings[x] for x in ("c0", "c1")})


def test_a_calibration_report_names_each_error_rate():
    same = {"logit": 1.5, "accuracy": 0.9}
    same |= {"false_accepts": 0.06, "false_rejects": 0.14}
    absent = {"ways": 7, "logit": 2.5}
    absent |= {"false_accepts": 0.04, "right_where_present": 0.8}
    report = {"same": same, "none_of_these": absent, "num_characters": 8}
    calibration = Calibration(None, None, None, report)
    found = CalibrationReport.from_calibration(calibration, 32)
    assert str(found) == (
        "CalibrationReport(num_images=32, num_characters=8, same=1.5, "
        "accuracy=0.9, false_accepts=0.06, false_rejects=0.14, ways=7, "
        "none_of_these=2.5, strangers_named=0.04, right_where_present=0.8)"
    )


def test_calibration_fits_a_threshold_for_each_number_of_candidates(
    model, glyphs_dir, monkeypatch
):
    training = koch_siamese.load_characters(
        "glyphs/tiny", "training", data_dir=glyphs_dir
    )
    known = {
        str(character): training.images[training.character == character][:2]
        for character in np.unique(training.character)[:23]
    }
    recognizer = Recognizer(model)
    assert recognizer.calibrate(known).ways == 22
    thresholds = recognizer.thresholds.none_of_these
    assert len(thresholds) == 22
    assert recognizer.thresholds.for_ways(23) == thresholds[-1]
    monkeypatch.setattr(recognizer_module, "MAX_CALIBRATION_WAYS", 21)
    assert recognizer.calibrate(known).ways == 21


def test_evaluation_counts_known_characters_and_strangers(model, drawings):
    recognizer = Recognizer(model).add({x: drawings[x] for x in ("c0", "c1")})
    recognizer.thresholds = Thresholds(0.0, (-1e9,))
    labelled = {x: drawings[x][0] for x in ("c0", "c1", "c2")}
    result = recognizer.evaluate(labelled)
    # The images of c0 and c1 are among the examples; c2 has no examples.
    assert (result.num_images, result.num_strangers) == (2, 1)
    assert (result.num_right, result.accuracy) == (2, 1.0)
    assert result.num_strangers_named == 1
    (mistake,) = result.mistakes
    assert mistake.name == "c2"
    assert str(result) == (
        "Evaluation(num_images=2, accuracy=1.0, ci95=(0.3424, 1.0), "
        "num_right=2, num_wrong=0, num_withheld=0, num_strangers=1, "
        "num_strangers_named=1)"
    )
    result = recognizer.evaluate(labelled, threshold=1e9)
    assert (result.num_withheld, result.num_strangers_named) == (2, 0)
    assert (result.num_right, result.num_wrong) == (0, 0)
    assert result.accuracy == 1.0
    assert [x.name for x in result.mistakes] == ["c0", "c1"]
    with pytest.warns(DataWarning, match="the first label is 'c2'"):
        result = recognizer.evaluate({"c2": drawings["c2"][0]})
    assert (result.num_images, result.num_strangers) == (0, 1)


def test_saved_recognizer_gives_the_same_answers_elsewhere(
    recognizer, drawings, tmp_path
):
    path = save(Image.fromarray(drawings["c3"][1]), tmp_path / "a.png")
    recognizer.save(tmp_path / "known")
    recognizer.save(tmp_path / "known.npz")
    expected = recognizer.classify(path)
    loaded = Recognizer.load(tmp_path / "known")
    assert loaded.classify(path) == expected
    assert loaded.crop == recognizer.crop
    gallery = Recognizer.load(tmp_path / "known.npz", TINY_MODEL)
    assert gallery.classify(path) == expected
    script = (
        "import sys; from koch_siamese import Recognizer; "
        "print(Recognizer.load(sys.argv[1]).classify(sys.argv[2]))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "known", path],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
    )
    assert answer.stdout == f"{expected}\n", answer.stderr
    with pytest.raises(InputError, match="made with crop=True; got crop=False"):
        Recognizer.load(tmp_path / "known", crop=False)


def test_concurrent_saves_lose_nothing(model, drawings, tmp_path):
    path = tmp_path / "known"
    Recognizer(model).add({"a": drawings["c0"]}).save(path)
    first, second = Recognizer.load(path), Recognizer.load(path)
    first.add({"b": drawings["c1"]}).remove("a")
    second.add({"c": drawings["c2"]}).remove("a")
    first.save(path)
    second.save(path)
    assert second.names == Recognizer.load(path).names == ("b", "c")
    first.add({"d": drawings["c3"]}).save(path)
    assert first.names == ("b", "c", "d")
    # Saving an unchanged recognizer keeps what others have stored.
    second.save(path)
    assert second.names == ("b", "c", "d")


@pytest.mark.parametrize("name", ["known", "known.npz"])
def test_examples_can_be_added_concurrently(model, drawings, tmp_path, name):
    path = tmp_path / name

    def add(number):
        # Each thread has its own recognizer and lock, as a process would.
        images = {f"{number}-{i}": drawings[f"c{i}"][0] for i in range(5)}
        Recognizer(model).add(images).save(path, if_exists="merge")

    with concurrent.futures.ThreadPoolExecutor(8) as executor:
        list(executor.map(add, range(8)))
    assert len(Recognizer.load(path, model).names) == 40


def test_recognizer_is_usable_while_save_waits_for_another_process(
    recognizer, drawings, tmp_path, monkeypatch
):
    lock, is_waiting = storage.lock, threading.Event()

    def wait(path):
        is_waiting.set()
        return lock(path)

    monkeypatch.setattr(storage, "lock", wait)
    path = tmp_path / "known"
    with concurrent.futures.ThreadPoolExecutor(2) as executor:
        with lock(path):
            saving = executor.submit(recognizer.save, path)
            assert is_waiting.wait(60)
            answering = executor.submit(recognizer.classify, drawings["c1"][0])
            assert answering.result(60).best
            recognizer.add({"new": drawings["c1"][1]})
            assert not saving.done()
        saving.result()
    assert "new" in Recognizer.load(path).names


def test_nothing_is_overwritten_without_asking(model, drawings, tmp_path):
    path = tmp_path / "known"
    Recognizer(model).add({"a": drawings["c0"]}).save(path)
    other = Recognizer(model).add({"b": drawings["c1"]})
    with pytest.raises(InputError, match="exists already"):
        other.save(path)
    other.save(path, if_exists="merge")
    assert other.names == Recognizer.load(path).names == ("a", "b")
    Recognizer(model).add({"c": drawings["c2"]}).save(path, if_exists="replace")
    assert Recognizer.load(path).names == ("c",)
    with pytest.raises(InputError, match="another model"):
        Recognizer.pretrained().save(path, if_exists="merge")
    with pytest.raises(InputError, match="'maybe': expected fail, merge or"):
        other.save(path, if_exists="maybe")


@pytest.fixture
def loaded_models(monkeypatch):
    """The models that recognizers load, in order."""
    names = []

    def load(model):
        names.append(model)
        return load_model(model)

    monkeypatch.setattr(recognizer_module, "load_model", load)
    return names


def test_model_of_the_package_is_not_a_saved_recognizer(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"use Recognizer\('pretrained'\)"):
        Recognizer.load("pretrained")


def test_only_one_model_is_loaded_for_a_gallery(
    recognizer, tmp_path, loaded_models
):
    recognizer.save(tmp_path / "known.npz")
    with pytest.raises(InputError, match="another model"):
        Recognizer.load(tmp_path / "known.npz")
    assert loaded_models == ["pretrained"]


@pytest.mark.parametrize("name", ["known", "known.npz"])
@pytest.mark.parametrize(
    "fingerprint", [storage.LARGE_FINGERPRINT, storage.EARLIER_FINGERPRINT]
)
def test_galleries_of_the_earlier_pretrained_model_are_opened(
    drawings, tmp_path, name, fingerprint, loaded_models
):
    known = {x: drawings[x][:1] for x in ("c0", "c1")}
    earlier = Recognizer("pretrained_large").add(known)
    assert earlier._fingerprint == storage.LARGE_FINGERPRINT
    earlier._fingerprint = fingerprint
    path = tmp_path / name
    earlier.save(path)
    if path.is_dir():
        index = path / "recognizer.json"
        index.write_text(
            index.read_text().replace("pretrained_large", "pretrained")
        )
    loaded = Recognizer.load(path)
    assert loaded_models == ["pretrained_large"] * 2
    query = drawings["c0"][1]
    assert loaded.classify(query).to_json() == earlier.classify(query).to_json()
    with pytest.raises(InputError, match="another model"):
        Recognizer.load(path, koch_siamese.load_pretrained())


def test_another_model_is_named_before_another_crop(recognizer, tmp_path):
    assert recognizer.crop
    recognizer.save(tmp_path / "known.npz")
    embedding = build_fast_embedding(16, (4, 6), channels=3)
    photos = build_siamese(
        embedding, build_fast_head(embedding.output.shape[1])
    )
    with pytest.raises(InputError, match="was made by another model"):
        Recognizer.load(tmp_path / "known.npz", photos)


def test_photos_of_a_model_by_keras_alone_are_not_cropped(tmp_path):
    model = build_siamese(build_fast_embedding(16, (4, 6), channels=3))
    images = np.random.default_rng(0).integers(0, 256, (2, 9, 9, 3), np.uint8)
    recognizer = Recognizer(model).add({"a": images[:1], "b": images[1:]})
    assert not recognizer.crop
    recognizer.save(tmp_path / "mine")
    assert not Recognizer.load(tmp_path / "mine").crop


def test_many_images_of_a_list_have_a_progress_bar(
    recognizer, drawings, monkeypatch, capsys
):
    monkeypatch.setattr(image_folder, "MAX_SILENT_IMAGES", 3)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    recognizer.classify(drawings["c0"][:3])
    assert capsys.readouterr().err == ""
    recognizer.classify(drawings["c0"])
    assert "Reading images: 100%" in capsys.readouterr().err


def test_saving_elsewhere_makes_a_copy(model, drawings, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    for path, name in ((first, "a"), (second, "b")):
        Recognizer(model).add({name: drawings["c0"]}).save(path)
    Recognizer.load(first).save(second, if_exists="merge")
    assert Recognizer.load(second).names == ("a", "b")
    recognizer = Recognizer.load(first).add({"c": drawings["c1"]})
    recognizer.save(second, if_exists="merge")
    assert Recognizer.load(second).names == ("a", "b", "c")
    assert recognizer.names == ("a", "c")
    recognizer.save(tmp_path / "copy")
    recognizer.save(first)
    assert recognizer.names == Recognizer.load(first).names == ("a", "c")
    # Merging replaces the examples of a known name, here four by one.
    Recognizer(model).add({"a": drawings["c1"][0]}).save(
        first, if_exists="merge"
    )
    assert Recognizer.load(first).num_images == 5
    # A folder is recognized however its path is spelled.
    (tmp_path / "link").symlink_to(first)
    recognizer = Recognizer.load(tmp_path / "link").add({"d": drawings["c2"]})
    recognizer.save(first / ".." / "first")
    assert Recognizer.load(first).names == ("a", "c", "d")


def test_files_of_others_are_kept(recognizer, tmp_path):
    (tmp_path / "model_best.keras").touch()
    with pytest.raises(InputError, match="has other files, such as model_best"):
        recognizer.save(tmp_path)
    assert [x.name for x in tmp_path.iterdir()] == ["model_best.keras"]
    for name in ("model_best.keras", "mine.npz"):
        np.savez(tmp_path / "mine.npz", of_mine=np.ones(3))
        before = (tmp_path / name).read_bytes()
        for if_exists in ("replace", "fail"):
            with pytest.raises(InputError, match="is not a gallery"):
                recognizer.save(tmp_path / name, if_exists=if_exists)
        assert (tmp_path / name).read_bytes() == before
    for name in ("mine.zip", "mine.JPG"):
        with pytest.raises(InputError, match=r"ends in \.\w+: expected a f"):
            recognizer.save(tmp_path / "new" / name)
    assert not (tmp_path / "new").exists()
    folder = tmp_path / "known"
    recognizer.save(folder)
    (folder / "embeddings_of_mine.npy").touch()
    recognizer.add({"x": draw()}).save(folder)
    names = {x.name for x in folder.iterdir()}
    assert len(names) == 4  # recognizer.json, model, embeddings, mine
    assert "embeddings_of_mine.npy" in names


def test_thresholds_that_are_set_are_stored(recognizer, tmp_path):
    recognizer.save(tmp_path / "known")
    loaded = Recognizer.load(tmp_path / "known")
    loaded.thresholds = Thresholds(1.0, (2.0, 3.0))
    loaded.save(tmp_path / "known")
    assert loaded.thresholds == Thresholds(1.0, (2.0, 3.0))
    assert Recognizer.load(tmp_path / "known").thresholds == loaded.thresholds
    with pytest.raises(InputError, match="cannot hold thresholds"):
        loaded.save(tmp_path / "known.npz")


def test_thresholds_that_another_process_removed_stay_removed(
    drawings, tmp_path
):
    path = tmp_path / "known"
    Recognizer.pretrained().add({"a": drawings["c0"]}).save(path)
    first, second = Recognizer.load(path), Recognizer.load(path)
    second.thresholds = None
    second.save(path)
    first.add({"b": drawings["c1"]}).save(path)
    assert Recognizer.load(path).thresholds is None


def test_names_that_are_not_valid_unicode_are_stored(model, drawings, tmp_path):
    name = "\udcff"  # as in a file name in another encoding
    Recognizer(model).add({name: drawings["c0"]}).save(tmp_path / "known")
    assert Recognizer.load(tmp_path / "known").names == (name,)


def test_readers_see_complete_states_during_writes(model, drawings, tmp_path):
    path = tmp_path / "known"
    writer = Recognizer(model).add({"a": drawings["c0"]})
    writer.save(path)
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        read = executor.submit(
            lambda: [len(storage.read(path).gallery.names) for _ in range(200)]
        )
        for number in range(10):
            writer.add({str(number): drawings["c1"][0]}).save(path)
        assert set(read.result()) <= set(range(4, 15))


@pytest.mark.parametrize(
    ("mistake", "part"),
    [
        (lambda r: r.calibrate({}), "no labeled images"),
        (lambda r: r.add({}), "no labeled images"),
        (lambda r: r.add({" ": draw()}), "name of a character is empty"),
        (lambda r: r.add_drawings("ka", TWO), "a list of names"),
        (lambda r: r.score_examples(TWO[0], "c1"), "a list of names"),
        (lambda r: setattr(r, "thresholds", 2.5), "expected Thresholds"),
        (lambda r: r.classify(draw(), threshold="2"), "threshold is '2'"),
        (lambda r: r.classify(draw(), threshold=np.nan), "threshold is nan"),
        (lambda r: r.classify(draw(), threshold=True), "threshold is True"),
        (lambda r: r.verify(draw(), draw(), np.nan), "threshold is nan"),
        (lambda r: r.group_drawings(TWO, np.nan), "cut is nan"),
        (lambda r: r.verify(draw(), np.ones((5, 5))), "^`second`: An array"),
        (lambda r: r.verify([draw()], [b""]), "^Image 1 of `second`: An image"),
        (lambda r: r.add([draw()]), "expected a folder, a table"),
        (lambda r: r.add("nowhere"), "'nowhere' does not exist"),
        (
            lambda r: r.classify("iVBORw0KGgo" * 100),
            r"^'iVBOR.{495}\.\.\.' does not exist",
        ),
        (lambda r: r.classify("~nobody/a.png"), "does not exist"),
        (lambda r: r.classify(draw(), top_k=2.5), "expected a whole number"),
        (lambda r: r.classify(io.StringIO("x")), r"open\(path, 'rb'\)"),
        (
            lambda r: r.classify("https://a.org/b.png"),
            "'https://a.org/b.png' is a web address: .*; download it first",
        ),
        (
            lambda r: r.classify([np.zeros((9, 9))] * 3),
            r"^3 of 3 .*\. Expected uint8, .*; convert it by .astype\('ui",
        ),
        (
            lambda r: r.classify([np.zeros((9, 9)), "nowhere"]),
            r"^2 of 2 .*\. Fix or remove them\.$",
        ),
        (
            lambda r: r.classify([np.zeros((9, 9)), "nowhere", "no"]),
            r"^3 of 3 .*\. Most of them: expected an image; check",
        ),
        (lambda r: r.classify(np.zeros((3, 9, 9))), r"^An .*\(3, 9, 9\) has"),
        (
            lambda r: r.classify(np.zeros((20, 20, 5), "u1")),
            r"\(20, 20, 5\) is",
        ),
        (lambda r: r.classify(np.zeros((2, 3, 9, 9), "u1")), "channels last"),
        (lambda r: r.classify(np.zeros(9, "u1")), r"\(9,\) is neither"),
        (lambda r: r.classify(np.zeros((9, 9)).tolist()), "^Got a list of lis"),
        (lambda r: r.classify(""), "^Got '': expected the path"),
        (lambda r: r.add(""), "^Got '': expected the path"),
        (lambda r: r.save(None), "^Got None: expected the path"),
        (lambda r: r.load(None), "^Got None: expected the path"),
        (lambda r: Recognizer(3), "^Got 3: expected the path"),
        (lambda r: Recognizer("Pretrained"), "or pretrained or pretrained_la"),
        (pickle.dumps, "save it to a folder"),
        (lambda r: r.remove(1), "no character '1'"),
        (
            lambda r: r.add_drawings(["x"], np.zeros((2, 105, 105), np.uint8)),
            "1 n",
        ),
        (
            lambda r: r.classify_drawings([np.zeros((9, 9))]),
            "as Recognizer.read",
        ),
        (lambda r: r.embed_drawings(TWO[0]), r"\(105, 105\): expected uint8"),
        (lambda r: r.classify(np.full((9, 9), 255.0)), "convert it by .astype"),
        (
            lambda r: Recognizer(keras.Sequential(name="s")),
            "'s' is not a siame",
        ),
    ],
)
def test_mistakes_get_one_line(recognizer, mistake, part):
    with pytest.raises(InputError, match=part) as error:
        mistake(recognizer)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_broken_model_gets_one_line(drawings, value):
    model = load_model(TINY_MODEL)
    kernel, bias = get_head(model).get_weights()
    kernel[0] = value
    get_head(model).set_weights([kernel, bias])
    examples = {x: drawings[x][:2] for x in ("c0", "c1", "c2")}
    recognizer = Recognizer(model).add(examples)
    first, second = drawings["c0"][:2]
    for use in (
        lambda: recognizer.classify(first),
        lambda: recognizer.verify(first, second),
        lambda: recognizer.evaluate(examples),
        lambda: recognizer.calibrate(examples),
        lambda: recognizer.group_drawings(np.stack([first, second])),
    ):
        with pytest.raises(InputError, match="scores are not finite: its"):
            use()


def test_folder_of_a_recognizer_is_not_a_model(recognizer, tmp_path):
    recognizer.save(tmp_path / "known")
    with pytest.raises(InputError, match=r"with Recognizer\.load"):
        Recognizer(tmp_path / "known")


def test_other_folders_are_not_recognizers(model, drawings, tmp_path):
    save(Image.fromarray(drawings["c0"][0]), tmp_path / "known" / "a.png")
    with pytest.raises(InputError, match=r"pretrained\(\)\.add\('.*known'"):
        Recognizer.load(tmp_path / "known")
    (tmp_path / "run").mkdir()
    model.save(tmp_path / "run" / "model.keras")
    with pytest.raises(InputError, match=r"a training, .* Recognizer\('.*run'"):
        Recognizer.load(tmp_path / "run")


def test_tensors_and_buffers_of_bytes_are_read(recognizer, drawings):
    query = drawings["c1"][1]
    expected = recognizer.classify(query)
    assert recognizer.classify(keras.ops.convert_to_tensor(query)) == expected
    content = io.BytesIO()
    Image.fromarray(query).save(content, "png")
    for data in (bytearray(content.getvalue()), content.getbuffer()):
        assert recognizer.classify(data) == expected


def test_threads_get_the_same_answers_as_one_thread(recognizer, drawings):
    queries = [images[1] for images in drawings.values()] * 2
    expected = [recognizer.classify(query) for query in queries]
    with concurrent.futures.ThreadPoolExecutor(8) as executor:
        assert list(executor.map(recognizer.classify, queries)) == expected


def test_answers_are_plain_data(recognizer):
    answer = recognizer.classify(draw())
    assert (
        dataclasses.asdict(answer)["candidates"][0]["name"] in recognizer.names
    )
    assert repr(recognizer) == "Recognizer(8 characters, 8 images)"
    assert isinstance(recognizer.model, keras.Model)


@pytest.mark.parametrize(
    "make_copy", [Recognizer.copy, copy.copy, copy.deepcopy]
)
def test_copies_are_independent(recognizer, drawings, tmp_path, make_copy):
    recognizer.save(tmp_path / "known")
    twin = make_copy(recognizer)
    twin.add({"new": drawings["c1"][2]}).remove("c0")
    recognizer.add({"c2": drawings["c2"][3]})
    assert twin.model is recognizer.model
    assert set(twin.names) == {*drawings, "new"} - {"c0"}
    assert (twin.num_images, recognizer.num_images) == (8, 9)
    with pytest.raises(InputError, match="exists already"):
        twin.save(tmp_path / "known")
    recognizer.save(tmp_path / "known")
    assert Recognizer.load(tmp_path / "known").names == tuple(sorted(drawings))


def test_examples_are_scored_one_by_one(recognizer, drawings):
    recognizer.add({"c3": drawings["c3"][1:3]})
    query = recognizer.read(drawings["c3"][3])
    several, one = recognizer.score_examples(query, ["c3", "c1"])
    found = {
        x.name: x.score
        for x in recognizer.classify_drawings(query[None], top_k=8)[
            0
        ].candidates
    }
    assert (len(several), len(one)) == (3, 1)
    assert several.mean() == pytest.approx(found["c3"], rel=1e-4)
    assert one[0] == pytest.approx(found["c1"], rel=1e-4)
    pairs = [recognizer.read(x) for x in drawings["c3"][:3]]
    verdicts = recognizer.verify_drawings(
        np.stack([query] * 3), np.stack(pairs)
    )
    assert [x.score for x in verdicts] == pytest.approx(several, rel=1e-4)
    with pytest.raises(InputError, match="'absent' is not known"):
        recognizer.score_examples(query, ["absent"])
    with pytest.raises(InputError, match="the same number"):
        recognizer.verify_drawings(TWO, TWO[:1])
