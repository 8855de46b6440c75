"""The READMEs: their length, links, numbers and examples."""

import json
import re
import shlex

import numpy as np
import pytest
from conftest import REPOSITORY, call
from drawing import draw, save
from PIL import Image

README = (REPOSITORY / "README.md").read_text()
DOCUMENTS = [
    path
    for pattern in ("*.md", "experiments/**/*.md", "koch_siamese/**/*.md")
    for path in sorted(REPOSITORY.glob(pattern))
]
# In one line, because sentences have line breaks.
OWN_IMAGES = " ".join(
    (REPOSITORY / "experiments/own_images.md").read_text().split()
)
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
COMMANDS = re.findall(r"-m koch_siamese\.(\w+)(.*)", README)


def find_python(word):
    """Finds the Python block that contains a word."""
    (code,) = [
        code for kind, code in BLOCKS if kind == "python" and word in code
    ]
    return code


def find_command(name):
    """Finds the arguments of a command in the README."""
    (arguments,) = {rest for command, rest in COMMANDS if command == name}
    return shlex.split(arguments)


@pytest.fixture
def images(tmp_path, monkeypatch):
    """The files that the README mentions, in the current folder."""
    tall, wide = (20, 10, 50, 95), (10, 40, 95, 65)
    for path, box in (
        ("known/tall.png", tall),
        ("known/wide.png", wide),
        ("new/1.png", (25, 12, 53, 93)),
        ("new/2.png", (8, 42, 93, 66)),
        ("a.jpg", tall),
        ("b.jpg", wide),
    ):
        save(draw(box=box), tmp_path / path)
    page = Image.new("L", (400, 140), 255)
    for left, box in ((20, tall), (130, wide), (260, tall)):
        page.paste(draw(box=box), (left, 15))
    save(page, tmp_path / "page.jpg")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_readme_is_short():
    assert len(README.split()) <= 1200


def find_anchors(path):
    """Finds the names that GitHub gives the headings of a document."""
    headings = re.findall(r"^#+ (.*)", path.read_text(), re.MULTILINE)
    return [
        re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
        for heading in headings
    ]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda x: x.name)
def test_links_lead_to_files_and_sections(path):
    for link in re.findall(r"\]\(([^)]+)\)", path.read_text()):
        if link.startswith("http"):
            continue
        name, _, section = link.partition("#")
        target = path.parent / name if name else path
        assert target.exists(), link
        assert not section or section in find_anchors(target), link


def test_readme_numbers_for_own_images_are_the_measured_ones():
    kinds = read_result("practical")["kinds"]
    clean, photograph = kinds["clean"], kinds["photograph"]
    (text,) = [
        x for x in README.split("\n\n") if x.startswith("What to expect")
    ]
    assert [float(x) for x in re.findall(r"([\d.]+) %", text)] == [
        round(100 * share, 1)
        for share in (
            clean["best_is_right"],
            photograph["best_is_right"],
            clean["named_correctly"],
            clean["strangers_named"],
        )
    ]


def test_readme_begins_with_the_accuracies_of_the_models_in_the_package():
    shares = re.findall(r"([\d.]+) %", README[: README.index("humans")])
    assert [float(x) for x in shares] == [
        100 * read_result(name)["accuracy"]
        for name in ("pretrained_lake", "best_seed0_lake")
    ]


def test_readme_numbers_of_other_protocols_are_the_measured_ones():
    (text,) = [
        x for x in README.split("\n\n") if x.startswith("The official trials")
    ]
    assert [float(x) for x in re.findall(r"([\d.]+) %", text)] == [
        round(100 * np.mean([x["accuracy"] for x in read_seeds(protocol)]), 1)
        for protocol in ("within_alphabet", "cross_alphabet")
    ]


def read_seeds(protocol):
    """The results of the best recipe with its three seeds."""
    trials = f"{protocol}_20000trials"
    return [
        read_result(f"best_seed0_{trials}"),
        read_result(f"best_seed1_{trials}_seed0"),
        read_result(f"best_seed2_{trials}_seed0"),
    ]


def read_result(name):
    return json.loads(
        (REPOSITORY / "experiments/results" / f"{name}.json").read_text()
    )


def format_share(measured, name):
    """Formats a share and its interval in percent."""
    low, high = measured[f"{name}_ci95"]
    share, low, high = (f"{100 * x:.1f}" for x in (measured[name], low, high))
    return f"{share} ({low} to {high})"


def make_row(name, *cells):
    """Formats a row of a table; numbers are shares without an interval."""
    texts = [f"{100 * x:.1f}" if isinstance(x, float) else x for x in cells]
    return f"| {name} | {' | '.join(texts)} |"


def test_tables_of_single_images_are_the_measured_ones():
    shares = ("best_is_right", "named_correctly", "strangers_named")
    for kind, measured in read_result("practical")["kinds"].items():
        cells = [format_share(measured, x) for x in shares]
        assert make_row(kind, *cells) in OWN_IMAGES


def test_tables_of_pages_are_the_measured_ones():
    report, together = read_result("pages"), read_result("pages_together_seed0")
    for kind, measured in together["pages"].items():
        alone = report["pages"][kind]
        assert alone["found"] == measured["found"]
        cells = [
            f"{measured['num_symbols']:,}",
            format_share(measured, "found"),
            measured["false_boxes"],
            measured["error_rate"],
            alone["error_rate"],
            measured["error_rate_alone"],
        ]
        assert make_row(kind, *cells) in OWN_IMAGES
    others = read_result("pages_together_seed1")["pages"]
    clean, photographed = (others[x]["error_rate"] for x in others)
    assert f"{100 * clean:.1f} and {100 * photographed:.1f} % are" in OWN_IMAGES
    for kind, measured in report["singles"].items():
        cells = [measured[x] for x in ("plain", "refused")]
        best = format_share(measured, "best_is_right")
        assert make_row(kind, best, *cells) in OWN_IMAGES
    blanks = report["blanks"]
    assert f"Of {blanks['num']} pictures without a symbol" in OWN_IMAGES
    assert f"{blanks['refused']} were refused" in OWN_IMAGES
    assert blanks["named"] == 0 and "none got a name" in OWN_IMAGES


def test_tables_of_groups_are_the_measured_ones():
    for kind, measured in read_result("discovery")["kinds"].items():
        cells = [
            f"{measured['right_boxes']:,}",
            f"{measured['adjusted_rand_index']:.3f}",
            f"{measured['errors_per_100_by_clearest']:.2f}",
            f"{measured['groups_per_character']:.2f}",
        ]
        assert make_row(kind, *cells) in OWN_IMAGES


def test_first_python_example_runs(images, capsys):
    exec(find_python("import Recognizer"), {})
    assert capsys.readouterr().out.splitlines()[-1] == "False"
    assert (images / "mine").is_dir()


def test_classify_and_verify_examples_run(images):
    answer = call("classify", *find_command("classify"), cwd=images)
    assert answer.returncode == 0, answer.stderr
    rows = [line.split() for line in answer.stdout.splitlines()]
    assert [row[0] for row in rows[-2:]] == ["new/1.png", "new/2.png"]
    answer = call("verify", *find_command("verify"), cwd=images)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.startswith("different")


def test_transcribe_example_runs(images):
    answer = call("transcribe", *find_command("transcribe"), cwd=images)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout == "tall wide tall\n"
    assert (images / "read.png").is_file()


@pytest.mark.slow
def test_export_example_runs(images, capsys):
    answer = call("export", *find_command("export"), cwd=images)
    assert answer.returncode == 0, answer.stderr
    exec(find_python("saved_model"), {})
    assert capsys.readouterr().out == "[0 1]\n"
