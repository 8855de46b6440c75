"""The commands on a user's own images: classify, verify, train on a folder."""

import json
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from conftest import TINY_MODEL, assert_one_line, call, call_afresh
from PIL import Image

from koch_siamese import Recognizer

MODEL = f"--model={TINY_MODEL}"


@pytest.fixture(scope="module")
def images(glyphs_dir, tmp_path_factory):
    """Folders `support` and `query`: five characters by two drawers.

    The characters are of one alphabet. Both folders have `c0.png` to `c4.png`.
    """
    from koch_siamese.data.sources import load_characters

    characters = load_characters("glyphs/tiny", "test", data_dir=glyphs_dir)
    chosen = np.unique(characters.character)[:5]
    folder = tmp_path_factory.mktemp("images")
    for name, drawer in (("support", 1), ("query", 2)):
        drawings = characters.of_drawers([drawer])
        (folder / name).mkdir()
        for number, character in enumerate(chosen):
            image = drawings.images[drawings.character == character][0, ..., 0]
            Image.fromarray(image).save(folder / name / f"c{number}.png")
    return folder


def classify(images, *arguments):
    answer = call(
        "classify", MODEL, f"--query={images / 'query'}", "--json", *arguments
    )
    assert answer.returncode == 0, answer.stderr
    return [json.loads(line) for line in answer.stdout.splitlines()]


def test_classify_answers_each_query(images):
    answers = classify(images, f"--support={images / 'support'}")
    assert len(answers) == 5
    right = [f"{x['best']}.png" in x["query"] for x in answers]
    assert sum(right) >= 3
    for answer in answers:
        assert answer["character"] in (answer["best"], None)
        assert (answer["score"] >= answer["threshold"]) == (
            answer["character"] is not None
        )
        assert answer["score"] >= answer["runner_up_score"]
        assert 0 <= answer["probability"] <= 1


def test_classify_prints_a_table_and_draws_a_figure(images, tmp_path):
    figure = tmp_path / "answers.png"
    answer = call(
        "classify",
        MODEL,
        f"--support={images / 'support'}",
        f"--query={images / 'query' / 'c1.png'}",
        f"--figure={figure}",
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stderr == ""
    header, row = answer.stdout.splitlines()
    assert header.split() == [
        "query",
        "answer",
        "score",
        "probability",
        "runner-up",
    ]
    assert "c1.png" in row
    assert Image.open(figure).width > 100


def test_images_are_read_once_and_some_queries_at_a_time(images, tmp_path):
    code = """
        from unittest.mock import patch
        from koch_siamese import Recognizer, classify, cli
        from koch_siamese.evaluation import scoring

        def watch(name):
            method = getattr(Recognizer, name)
            watched = patch.object(Recognizer, name, autospec=True)
            mock = watched.start()
            mock.side_effect = method
            return mock

        scoring.DRAWINGS_AT_ONCE, classify.MAX_DRAWN = 2, 3
        read, answer = watch("read_labelled"), watch("classify_drawings")
        try:
            cli.run(classify.main)
        finally:
            sizes = [len(x.args[1]) for x in answer.mock_calls]
            print(read.call_count, sizes)
    """
    figure = tmp_path / "answers.png"
    answer = subprocess.run(
        [
            *(sys.executable, "-c", textwrap.dedent(code), MODEL, "--json"),
            *(f"--support={images / 'support'}", f"--query={images / 'query'}"),
            f"--figure={figure}",
        ],
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stderr
    *answers, calls = answer.stdout.splitlines()
    assert calls == "1 [2, 2, 1]"
    queries = [json.loads(line)["query"] for line in answers]
    assert queries == [str(images / f"query/c{i}.png") for i in range(5)]
    assert Image.open(figure).width > 100


def test_broken_query_does_not_stop_the_others(images, tmp_path):
    for name in ("c0.png", "c1.png"):
        content = (images / "query" / name).read_bytes()
        (tmp_path / name).write_bytes(content)
    (tmp_path / "torn.png").write_bytes(content[:50])
    command = (
        "classify",
        MODEL,
        f"--support={images / 'support'}",
        f"--query={tmp_path}",
        "--json",
    )
    answer = call(*command)
    assert_one_line(answer, "torn.png' cannot be read")
    *answers, error = map(json.loads, answer.stdout.splitlines())
    assert [x["query"][-6:] for x in answers] == ["c0.png", "c1.png"]
    assert set(error) == {"query", "error"}
    for name in ("c0.png", "c1.png"):
        (tmp_path / name).unlink()
    answer = call(*command)
    assert_one_line(answer, "torn.png' cannot be read")
    assert json.loads(answer.stdout) == error


def test_gallery_gives_the_answers_of_its_folder(images, tmp_path):
    support = f"--support={images / 'support'}"
    gallery = f"--gallery={tmp_path / 'gallery.npz'}"
    expected = classify(images, support)
    made = call("classify", MODEL, support, gallery)
    assert made.stdout.strip().endswith("5 characters")
    made = call("classify", MODEL, gallery, "--json")
    assert json.loads(made.stdout) == {
        "gallery": str(tmp_path / "gallery.npz"),
        "num_characters": 5,
    }
    assert classify(images, gallery) == expected
    without = classify(images, gallery, "--remove=c0,c3")
    assert {x["best"] for x in without} <= {"c1", "c2", "c4"}
    again = classify(images, gallery, f"--support={images / 'support/c0.png'}")
    assert {x["best"] for x in again} <= {"c0", "c1", "c2", "c4"}


def test_galleries_of_the_earlier_pretrained_model_are_opened(images, tmp_path):
    known = Recognizer("pretrained_large").add(images / "support")
    known.save(tmp_path / "known.npz")
    gallery = f"--gallery={tmp_path / 'known.npz'}"
    query = f"--query={images / 'query/c1.png'}"
    default = call("classify", gallery, query)
    given = call("classify", gallery, query, "--model=pretrained")
    assert (default.stderr, given.stderr) == ("", "")
    assert default.stdout == given.stdout
    threshold = known.thresholds.for_ways(5)
    assert f"(threshold {threshold:.2f})" in default.stdout


def test_gallery_can_be_a_folder_with_its_model(images, tmp_path):
    support = f"--support={images / 'support'}"
    folder = tmp_path / "known"
    expected = classify(images, support)
    made = call("classify", MODEL, support, f"--gallery={folder}")
    assert made.stdout.strip().endswith("5 characters")
    for arguments in ([f"--gallery={folder}"], [f"--model={folder}"]):
        answer = call(
            "classify", f"--query={images / 'query'}", "--json", *arguments
        )
        found = [json.loads(line) for line in answer.stdout.splitlines()]
        assert found == expected
    other = call("classify", f"--gallery={folder}", "--model=pretrained")
    assert_one_line(other, "was made by another model")
    verdict = call(
        "verify",
        f"--model={folder}",
        *(f"--{x}={images / 'query/c1.png'}" for x in ("first", "second")),
    )
    assert verdict.stdout.startswith("same: ")


def test_given_candidates_and_threshold_are_used(images):
    support = f"--support={images / 'support'}"
    for line in classify(images, support, "--top_k=3", "--threshold=1e9"):
        assert (line["character"], line["threshold"]) == (None, 1e9)
        scores = [x["score"] for x in line["candidates"]]
        assert scores == sorted(scores, reverse=True)
        assert (len(scores), scores[0]) == (3, line["score"])
    for line in classify(images, support, "--threshold=-1e9"):
        assert line["character"] == line["best"]
    withheld = call(
        "classify",
        *(MODEL, support, f"--query={images / 'query/c1.png'}"),
        *("--threshold=99", "--top_k=4"),
    )
    header, row = withheld.stdout.splitlines()
    assert header.endswith("runners-up")
    assert "none of these" in row
    assert "(threshold 99.00)" in row
    assert "%" not in row
    assert row.count("(") == 5
    single = call(
        "classify",
        *(MODEL, support, f"--query={images / 'query/c1.png'}", "--top_k=1"),
    )
    header, row = single.stdout.splitlines()
    assert header.endswith("probability")
    assert "(" not in row.replace("(best", "").replace("(threshold", "")


def test_files_that_are_not_read_are_counted(images, tmp_path):
    for name in ("a.png", "b.png"):
        content = (images / "support/c0.png").read_bytes()
        (tmp_path / name).write_bytes(content)
    (tmp_path / "notes.txt").touch()
    (tmp_path / "old.svg").touch()
    arguments = (MODEL, f"--support={tmp_path}")
    query = f"--query={images / 'query/c1.png'}"
    answer = call("classify", *arguments, query, "--json")
    assert answer.returncode == 0
    assert answer.stderr == (
        f"note: '{tmp_path}' has files that are not read: 1 .svg, 1 .txt.\n"
    )
    *_, last = map(json.loads, answer.stdout.splitlines())
    assert last == {"skipped": {".svg": 1, ".txt": 1}}


def test_images_are_read_as_the_model_was_trained(images, tmp_path):
    from koch_siamese.models.loading import load_model
    from koch_siamese.models.siamese import set_crop

    model = load_model(TINY_MODEL)
    set_crop(model, False)
    model.save(tmp_path / "whole.keras")
    arguments = (
        f"--model={tmp_path / 'whole.keras'}",
        *(f"--support={images / 'support'}", f"--query={images / 'query'}"),
        *("--json", "--threshold=-100"),
    )
    plain, asked, other = (
        call("classify", *arguments, *flag)
        for flag in ((), ("--nocrop",), ("--crop",))
    )
    assert plain.stdout == asked.stdout != other.stdout
    assert (plain.stderr, asked.stderr) == ("", "")
    assert other.stderr == (
        "note: this reads images cropped to ink (--crop), but the model was "
        "trained on whole images (--nocrop).\n"
    )


def test_few_names_get_a_note(images):
    known = MODEL, f"--support={images / 'support'}", "--threshold=1e9"
    answer = call("classify", *known, f"--query={images / 'query'}")
    num = len(list((images / "query").iterdir()))
    assert answer.stderr.startswith(
        f"note: 0 of {num} images have a name: do they show known characters?"
    )
    assert "A lower --threshold names more" in answer.stderr
    one = call("classify", *known, f"--query={images / 'query/c1.png'}")
    assert one.stderr == ""


def test_a_model_without_thresholds_says_so(images, tmp_path):
    from koch_siamese.models.loading import load_model
    from koch_siamese.models.siamese import get_head

    model = load_model(TINY_MODEL)
    get_head(model).thresholds = None
    model.save(tmp_path / "bare.keras")
    bare = f"--model={tmp_path / 'bare.keras'}"
    pair = [f"--{x}={images / 'query/c1.png'}" for x in ("first", "second")]
    answer = call("verify", bare, *pair, "--json")
    verdict = json.loads(answer.stdout)
    assert (verdict["same"], verdict["threshold"]) == (None, None)
    assert "has no thresholds" in answer.stderr
    answer = call("verify", bare, *pair, "--threshold=-1e9")
    assert answer.stdout.startswith("same: score")
    assert answer.stderr == ""
    support = f"--support={images / 'support'}"
    answer = call("classify", bare, support, f"--query={images / 'query'}")
    assert "has no thresholds" in answer.stderr
    assert "%" not in answer.stdout


def test_home_is_expanded_in_flags_and_flagfiles(images, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "known").symlink_to(images / "support")
    # As Notepad writes it: a byte order mark, and CRLF at the end of lines.
    lines = "--support=~/known\r\n--query=~/known/c0.png\r\n"
    (tmp_path / "mine.flags").write_bytes(b"\xef\xbb\xbf" + lines.encode())
    (tmp_path / "here").mkdir()
    answer = call(
        "classify",
        MODEL,
        "--flagfile=~/mine.flags",
        "--gallery=~/g.npz",
        "--json",
        cwd=tmp_path / "here",
    )
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout)["best"] == "c0"
    assert (tmp_path / "g.npz").is_file()
    assert list((tmp_path / "here").iterdir()) == []


def test_verify_draws_a_figure(images, tmp_path):
    answer = call(
        "verify",
        MODEL,
        *(f"--{x}={images / 'query/c1.png'}" for x in ("first", "second")),
        f"--figure={tmp_path / 'pair.png'}",
    )
    assert answer.returncode == 0, answer.stderr
    assert Image.open(tmp_path / "pair.png").width > 100


def test_verify_says_same_or_different(images, tmp_path):
    def verify(first, second, *arguments):
        return call(
            "verify",
            MODEL,
            f"--first={images / first}",
            f"--second={images / second}",
            *arguments,
        )

    answer = verify("query/c1.png", "query/c1.png", "--json")
    alike = json.loads(answer.stdout)
    assert alike["same"] is True
    assert alike["probability"] > 0.5
    assert alike["threshold"] == pytest.approx(-0.7115, abs=1e-4)
    blank = tmp_path / "blank.png"
    Image.new("L", (50, 50), "white").save(blank)
    answer = verify(blank, "query/c1.png")
    assert_one_line(answer, f"error: '{blank}': no clean symbol found: expect")
    one = verify("query/c1.png", "support/c2.png").stdout
    other = verify("support/c2.png", "query/c1.png").stdout
    assert one == other
    assert one.startswith(("same: ", "different: "))


@pytest.mark.parametrize(
    ("command", "arguments", "part"),
    [
        ("classify", ["--query=q.png"], "--support"),
        ("classify", ["--support=s"], "--query"),
        ("classify", ["--support=s", "--query=q"], "'s' does not exist"),
        ("classify", [MODEL, "--support=s", "--query=q"], "'s' does not exist"),
        ("classify", [MODEL, "--gallery=g.npz", "--query=t.png"], "gallery"),
        ("classify", [MODEL, "--gallery=t.png", "--query=t.png"], "gallery"),
        ("classify", [MODEL, "--support=s", "--remove=a"], "--gallery"),
        ("classify", ["--gallery=g", "--figure=f.png"], "--figure"),
        (
            "classify",
            ["--support=t.png", "--query=t.png", "--top_k=0"],
            "top_k",
        ),
        ("classify", [MODEL, "--support=t.png", "--query=t.heic"], "t.heic"),
        ("classify", ["--model=.", "--query=t.png"], "no known characters"),
        (
            "classify",
            ["--support=t.png", "--query", "t.png", "u.png"],
            "'u.png' is not a flag: --query takes one file or folder",
        ),
        (
            "classify",
            ["--support=t.png", "--query=t.png", "u.png"],
            "'u.png' is not a flag: --query takes one file or folder",
        ),
        (
            "classify",
            [MODEL, "--support=t.png", "--query=t.png", "--max_pixels=399"],
            "raise --max_pixels",
        ),
        ("verify", ["--first=a", "--second=b", "--figure=c.jpg"], ".png"),
        ("classify", ["--support=~nobody", "--query=t.png"], "does not exist"),
        ("verify", [MODEL, "--first=t.png"], "--second"),
        ("verify", [MODEL, "--first=t.png", "--second=x.png"], "x.png"),
        (
            "verify",
            ["--first=t.png", "--second=t.png", "--threshold=nan"],
            "flag --threshold=nan: expected a number",
        ),
        (
            "classify",
            [MODEL, "--support=t.png", "--query=t.png", "--threshold=-inf"],
            "--threshold=-inf",
        ),
        (
            "classify",
            ["--support=t.png", "--query=t.png", "--figure=t.png"],
            "--figure=t.png would overwrite t.png",
        ),
        (
            "classify",
            ["--support=t.png", "--query=.", "--figure=f/read.png"],
            "would write f/read.png into .",
        ),
        (
            "verify",
            ["--first=t.png", "--second=t.png", "--figure=t.png"],
            "--figure=t.png would overwrite t.png",
        ),
        (
            "verify",
            ["--workdir=w", "--first=t.png", "--second=t.png"],
            "--workdir=w has no model.keras: train it first, by python -m "
            "koch_siamese.train --workdir=w, or give --model=pretrained",
        ),
        ("train", ["--dataset=folder"], "--data_dir"),
        ("train", ["--dataset=folder", "--data_dir=s"], "'s' does not exist"),
    ],
)
def test_mistakes_get_one_line(command, arguments, part, tmp_path):
    drawing = np.full((20, 20), 255, np.uint8)
    drawing[5:15, 8:12] = 0
    Image.fromarray(drawing).save(tmp_path / "t.png")
    assert_one_line(call(command, *arguments, cwd=tmp_path), part)
    left = {path.name for path in tmp_path.iterdir()} - {"runs"}
    assert left == {"t.png"}


@pytest.mark.parametrize(
    ("command", "arguments", "part"),
    [
        ("classify", ["--support=empty", "--query=t.png"], "has no images"),
        ("classify", ["--support=t.png", "--query=p.PDF"], "is a PDF: expect"),
        ("transcribe", ["--support=empty", "--page=t.png"], "has no images"),
        (
            "verify",
            ["--first=empty", "--second=t.png"],
            "'empty' is not a file",
        ),
        ("train", ["--dataset=folder"], "needs --data_dir"),
        ("train", ["--dataset=folder", "--data_dir=empty"], "has no images"),
    ],
)
def test_files_are_checked_before_tensorflow_is_imported(
    command, arguments, part, tmp_path, monkeypatch
):
    (tmp_path / "empty").mkdir()
    for name in ("t.png", "p.PDF"):
        (tmp_path / name).touch()
    # Importing TensorFlow and Keras would fail with this backend.
    monkeypatch.setenv("KERAS_BACKEND", "none")
    assert_one_line(call_afresh(command, *arguments, cwd=tmp_path), part)


@pytest.mark.slow
def test_training_on_a_folder_from_a_trained_model(glyphs_dir, tmp_path):
    from koch_siamese import Recognizer
    from koch_siamese.data.sources import load_characters

    characters = load_characters("glyphs/tiny", "test", data_dir=glyphs_dir)
    for image, character, drawer in zip(
        characters.images[..., 0],
        characters.character,
        characters.drawer,
        strict=True,
    ):
        folder = tmp_path / "images" / f"character {character}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{drawer}.png")
    arguments = (
        "--dataset=folder",
        f"--data_dir={tmp_path / 'images'}",
        f"--init={TINY_MODEL}",
        "--image_size=24",
        "--ways=5",
        "--group_characters=8",
        "--group_drawings=2",
        "--epochs=1",
        "--steps_per_epoch=2",
        "--num_trials=50",
        f"--workdir={tmp_path / 'run'}",
    )
    answer = call("train", *arguments)
    assert answer.returncode == 0, answer.stderr
    assert "threshold for a name" in answer.stdout
    result = json.loads(
        (tmp_path / "run/results/within_alphabet.json").read_text()
    )
    assert (result["dataset"], result["ways"]) == ("folder", 5)
    # Two steps do not undo what the model had learned.
    assert result["accuracy"] > 0.5
    assert result["crop"] is False
    assert Recognizer(tmp_path / "run/model.keras").crop is False
    evaluate = (
        *arguments[:2],
        *(f"--model={TINY_MODEL}", "--ways=5", "--num_trials=50"),
        f"--output={tmp_path / 'cropped.json'}",
    )
    assert call("evaluate", *evaluate).returncode == 0
    assert json.loads((tmp_path / "cropped.json").read_text())["crop"] is True
    next((tmp_path / "images").glob("*/1.png")).unlink()
    assert_one_line(call("train", *arguments), "are not those that --workdir")
    inside = f"--workdir={tmp_path / 'images/run'}"
    assert_one_line(call("train", *arguments, inside), "outside of it")
    among = f"--workdir={tmp_path / 'images'}"
    glyphs = ("--dataset=glyphs/tiny", f"--data_dir={glyphs_dir}")
    assert_one_line(call("train", *glyphs, among), "and no run")
    other = f"--workdir={tmp_path / 'other'}"
    answer = call("train", *arguments, "--image_size=32", other)
    assert_one_line(answer, "--image_size=24")
