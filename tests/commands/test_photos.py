"""Tests the commands with color photos, from training to export."""

import importlib.util
import json
import shutil

import numpy as np
import pytest
from conftest import REPOSITORY, TINY_MODEL, assert_one_line, call
from PIL import Image

from experiments.portraits import write_portraits
from koch_siamese import (
    InputError,
    Recognizer,
    Run,
    evaluate_protocol,
    read_photo,
)
from koch_siamese.models.loading import load_model
from koch_siamese.reporting.text import format_model_card

GROUPS = ("fruit", "signs", "toys")
COLORS = ("red", "green", "blue", "orange")
NUM_IMAGES = 4
FLAGS = (
    *("--dataset=folder", "--image_kind=photo", "--split_by=group"),
    *("--validation_groups=signs", "--test_groups=toys", "--ways=4"),
    *("--image_size=16", "--filters=4,6", "--steps_per_epoch=3", "--epochs=2"),
    *("--schedule=constant", "--validation_trials=50", "--num_trials=60"),
    *("--distortion=photo", "--character_distortion=turned", "--fill=edge"),
    *("--effects=photo", "--character_effects=recolor", "--views=2"),
)


def draw(color, seed, width=30, height=20):
    """Draws a colored square on darker noise; the seed shifts it."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(60, size=(height, width, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    side = height // 2
    image.paste(color, (seed, seed, seed + side, seed + side))
    return image


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for group in GROUPS:
        for color in COLORS:
            (folder / group / color).mkdir(parents=True)
            for seed in range(NUM_IMAGES):
                path = folder / group / color / f"{seed}.png"
                draw(color, seed).save(path)
    return folder


@pytest.fixture(scope="module")
def trained(photos, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run") / "photos"
    arguments = f"--workdir={workdir}", f"--data_dir={photos}"
    answer = call("train", *FLAGS, *arguments)
    assert answer.returncode == 0, answer.stderr
    return workdir


def test_training_leaves_a_model_of_photos_and_its_result(trained):
    model = load_model(trained / "model.keras")
    assert model.input["first"].shape == (None, None, None, 3)
    result = json.loads((trained / "results/within_alphabet.json").read_text())
    assert (result["ways"], result["image_kind"]) == (4, "photo")
    for name in ("pairs", "trials", "filters"):
        with Image.open(trained / f"figures/{name}.png") as picture:
            saturation = np.asarray(picture.convert("HSV"))[..., 1]
        assert (saturation > 100).mean() > 0.02  # colors are shown


@pytest.mark.slow
def test_stopped_training_resumes(trained, photos, tmp_path):
    arguments = (f"--workdir={tmp_path / 'run'}", f"--data_dir={photos}")
    for epochs in (1, 2):
        answer = call("train", *FLAGS, f"--epochs={epochs}", *arguments)
        assert answer.returncode == 0, answer.stderr
    assert "Resuming after epoch 1 of 2" in answer.stdout
    losses = [
        json.loads((run / "history.json").read_text())["loss"]
        for run in (trained, tmp_path / "run")
    ]
    np.testing.assert_allclose(*losses, rtol=1e-3)


def test_evaluation_of_any_folder_of_photos(trained, photos):
    answer = call(
        "evaluate",
        *(f"--workdir={trained}", "--dataset=folder", "--split=all"),
        *(f"--data_dir={photos}", "--ways=4", "--num_trials=40"),
    )
    assert answer.returncode == 0, answer.stderr
    assert "folder/photos0 all (closed set)" in answer.stdout
    # The classes differ in color, so that even pixels tell them apart.
    baseline = call(
        "evaluate",
        *("--model=pixels_cosine", "--image_kind=photo", "--dataset=folder"),
        *(f"--data_dir={photos}", "--split=all", "--ways=4", "--seed=0"),
        *("--num_trials=40", f"--output={trained / 'baseline.json'}"),
    )
    assert baseline.returncode == 0, baseline.stderr
    result = json.loads((trained / "baseline.json").read_text())
    assert result["accuracy"] > 0.5


def test_groups_of_the_run_are_tested_however_its_data_are_named(
    trained, photos, tmp_path
):
    results = trained / "results"
    few = (f"--data_dir={photos}", "--num_trials=30")
    table = tmp_path / "classes.csv"
    for arguments in (
        (f"--workdir={trained}",),
        (f"--workdir={trained}", "--dataset=folder"),
        (f"--model={trained}", "--dataset=folder"),
    ):
        answer = call("evaluate", *arguments, *few, f"--per_class={table}")
        assert answer.returncode == 0, answer.stderr
        classes = table.read_text().splitlines()[1:]
        assert {x.partition("/")[0] for x in classes} == {"toys"}
    result = json.loads((results / "within_alphabet_30trials.json").read_text())
    assert (result["num_classes"], result["closed_set"]) == (4, False)
    result = evaluate_protocol(
        trained, "within_alphabet", "folder", data_dir=str(photos), ways=2
    )
    assert result["num_classes"] == 4

    other = tmp_path / "other"
    shutil.copytree(photos / "fruit", other / "fruit")
    arguments = (
        *(f"--workdir={trained}", "--dataset=folder", "--num_trials=30"),
        f"--data_dir={other}",
    )
    answer = call("evaluate", *arguments)
    assert_one_line(answer, "no group 'signs'", "give --split=all")
    torn = other / "fruit" / "red" / "torn.png"
    torn.touch()
    answer = call("evaluate", *arguments)
    assert answer.stderr.endswith("save it again as PNG, or remove it.\n")
    torn.unlink()
    answer = call("evaluate", *arguments, "--split=all")
    assert answer.returncode == 0, answer.stderr
    name = "within_alphabet_folder_other_all_30trials.json"
    result = json.loads((results / name).read_text())
    assert (result["data_dir"], result["closed_set"]) == ("other", False)
    card = format_model_card("", Run(trained).read_results())
    assert "folder/other all" in card


def test_groups_are_those_of_the_model_unless_folders_are_splits(
    trained, photos, tmp_path
):
    second = tmp_path / "second"
    shutil.copytree(trained, second)
    flags = (second / "train.flags").read_text()
    flags = flags.replace("--test_groups=toys", "--test_groups=fruit")
    (second / "train.flags").write_text(flags)
    split = tmp_path / "split"
    for part, group in (("train", "toys"), ("test", "signs")):
        for color in COLORS:
            own = split / part / f"{group}_{color}"
            shutil.copytree(photos / group / color, own)
    table = tmp_path / "classes.csv"
    for folder, model, expected in (
        (photos, second, "fruit/blue"),
        (split, trained, "signs_red"),
    ):
        answer = call(
            *("evaluate", f"--workdir={trained}", f"--model={model}"),
            *("--dataset=folder", f"--data_dir={folder}", "--ways=2"),
            *("--num_trials=200", f"--per_class={table}"),
        )
        assert answer.returncode == 0, answer.stderr
        names = [x.split(",")[0] for x in table.read_text().splitlines()[1:]]
        assert expected in names


def test_recognizer_reads_photos_in_color_without_cleaning(trained, photos):
    recognizer = Recognizer(trained / "model.keras")
    path = photos / "toys/red/0.png"
    read = recognizer.read(path)
    np.testing.assert_array_equal(read, read_photo(path, 16))
    assert (read.shape, read.dtype) == ((16, 16, 3), np.uint8)
    assert not recognizer.crop
    recognizer.add({x: photos / "toys" / x / "0.png" for x in COLORS})
    answers = recognizer.classify(photos / "toys/red")
    assert len(answers) == NUM_IMAGES
    assert answers[0].best.name == "red"  # the example itself
    embedding = recognizer.embed(path)
    again = recognizer.embed(np.asarray(Image.open(path)))
    np.testing.assert_array_equal(embedding, again)
    drawings = read[np.newaxis]
    assert recognizer.classify_drawings(drawings)[0].best.name == "red"
    with pytest.raises(InputError, match=r"expected uint8 \[num, 16, 16, 3\]"):
        recognizer.classify_drawings(drawings[..., 0])
    with pytest.raises(InputError, match="which are not cut"):
        Recognizer(trained / "model.keras", crop=True)


def test_saved_recognizer_reads_photos(trained, photos, tmp_path):
    model = trained / "model.keras"
    recognizer = Recognizer(model).add(str(photos / "toys"))
    recognizer.save(tmp_path / "known")
    loaded = Recognizer.load(tmp_path / "known")
    query = photos / "fruit/blue/1.png"
    assert loaded.classify(query) == recognizer.classify(query)


def test_commands_answer_on_photos(trained, photos):
    one, other = photos / "toys/red/0.png", photos / "toys/red/1.png"
    for command, arguments in (
        ("verify", (f"--first={one}", f"--second={other}")),
        ("classify", (f"--support={photos / 'toys'}", f"--query={other}")),
    ):
        figure = trained / f"{command}.png"
        answer = call(
            command, f"--workdir={trained}", *arguments, f"--figure={figure}"
        )
        assert (answer.returncode, answer.stderr) == (0, "")
        assert figure.is_file()


@pytest.mark.parametrize("flag", ["--discover=found", "--support=known.png"])
def test_pages_are_not_read_with_a_model_of_photos(trained, tmp_path, flag):
    Image.new("RGB", (40, 40), "red").save(tmp_path / "known.png")
    (tmp_path / "torn.png").touch()  # reading it would be another error
    answer = call(
        "transcribe",
        *(f"--workdir={trained}", "--page=torn.png", flag),
        cwd=tmp_path,
    )
    assert_one_line(answer, "trained on photos: expected one of drawings")


@pytest.mark.skipif(
    not importlib.util.find_spec("tf2onnx"), reason="needs the extra export"
)
@pytest.mark.slow
def test_exports_agree_and_say_that_they_take_photos(trained, tmp_path):
    import tensorflow as tf

    answer = call(
        "export",
        f"--workdir={trained}",
        f"--output={tmp_path / 'out'}",
        "--formats=saved_model,litert,onnx",
    )
    assert answer.returncode == 0, answer.stderr  # export checks agreement
    assert "uint8 [batch, height, width, 3], RGB" in answer.stdout
    extra = tmp_path / "out/saved_model/assets.extra/metadata.json"
    assert json.loads(extra.read_text())["image_kind"] == "photo"
    loaded = tf.saved_model.load(str(tmp_path / "out/saved_model"))
    black = np.zeros((2, 30, 20, 3), np.uint8)  # a photo may be black
    assert loaded.embed(images=black)["embedding"].shape[0] == 2


def test_other_kind_of_image_is_refused_in_one_line(
    trained, photos, glyphs_dir
):
    kind = "--image_kind=drawing"
    for command, arguments, parts in (
        (
            "evaluate",
            (f"--workdir={trained}", "--dataset=glyphs/tiny"),
            ("glyphs/tiny has drawings", "photos are expected"),
        ),
        (
            "evaluate",
            (f"--workdir={trained}", kind, f"--data_dir={photos}"),
            (kind, "trained on photos"),
        ),
        (
            "evaluate",
            (
                *(f"--model={TINY_MODEL}", "--image_kind=photo"),
                "--dataset=glyphs/tiny",
            ),
            ("--image_kind=photo", "trained on drawings"),
        ),
        (
            "train",
            ("--dataset=glyphs/tiny", "--image_kind=photo"),
            ("--dataset=glyphs/tiny has drawings",),
        ),
        (
            "train",
            (
                *(f"--init={trained / 'model.keras'}", "--image_size=16"),
                "--dataset=glyphs/tiny",
            ),
            ("sees photos", "give --image_kind=photo"),
        ),
        ("train", ("--effects=light",), ("--effects=light cannot be used",)),
        (
            "train",
            (*FLAGS, "--crop"),
            ("--crop cannot be used with --image_kind=photo",),
        ),
        (
            "evaluate",
            (
                *("--model=hausdorff", "--image_kind=photo", "--split=all"),
                *("--dataset=folder", f"--data_dir={photos}", "--ways=2"),
            ),
            ("Hausdorff", "photos"),
        ),
    ):
        if not any("--data_dir" in argument for argument in arguments):
            arguments = (*arguments, f"--data_dir={glyphs_dir}")
        if command == "train":
            arguments = (*arguments, f"--workdir={trained.parent / 'other'}")
        assert_one_line(call(command, *arguments), *parts)


def test_impossible_groups_are_refused_in_one_line(photos, tmp_path):
    for changes, parts in (
        (("--test_groups=toy",), ("no group 'toy'", "'toys'")),
        (("--test_groups=signs",), ("'signs' is named twice",)),
        (("--split_by=class",), ("--validation_groups=signs cannot be used",)),
        (
            ("--training_groups=fruit,toys", "--test_groups="),
            ("No group is left for the test split",),
        ),
    ):
        answer = call(
            "train",
            *FLAGS,
            *changes,
            f"--data_dir={photos}",
            f"--workdir={tmp_path / 'run'}",
        )
        assert_one_line(answer, *parts)


@pytest.mark.slow
def test_faces_are_verified_with_true_accept_rates(tmp_path):
    write_portraits(tmp_path / "people", num_people=15)
    with Image.open(tmp_path / "people/s15/10.pgm") as portrait:
        assert (portrait.size, portrait.mode) == ((92, 112), "L")
    run = tmp_path / "run"
    data = f"--data_dir={tmp_path / 'people'}"
    answer = call(
        "train",
        f"--flagfile={REPOSITORY / 'experiments/faces.flags'}",
        *(f"--workdir={run}", data, "--image_size=16", "--filters=8,16"),
        *("--depth=1", "--views=1", "--steps_per_epoch=10", "--epochs=1"),
        *("--group_characters=8", "--ways=3", "--num_trials=100"),
        "--validation_trials=50",
    )
    assert answer.returncode == 0, answer.stderr
    answer = call(
        "evaluate",
        *(f"--workdir={run}", data, "--protocol=verification"),
        "--num_trials=2000",
    )
    assert answer.returncode == 0, answer.stderr
    assert "true accept rate at 1 % false accepts" in answer.stdout
    result = json.loads(
        (run / "results/verification_2000trials.json").read_text()
    )
    assert 0 <= result["tar_at_far"]["0.01"]["tar"] <= 1
    assert result["image_kind"] == "photo"
