"""The emoji data set, written from small fake packages."""

import io
import json
import os
import subprocess
import sys
import tarfile

import numpy as np
import pytest
from conftest import REPOSITORY, assert_one_line
from PIL import Image

pytest.importorskip(
    "resvg_py", reason="resvg-py, the extra emoji, is not installed."
)

from experiments import emoji
from koch_siamese import cli
from koch_siamese.errors import InputError

RED, BLUE = (255, 0, 0), (0, 0, 255)
# Code points, name, category.
LIST = [
    ("1F600", "grinning", "Smileys & Emotion"),
    ("1F44B", "wave", "People & Body"),
    ("2764-FE0F", "heart", "Smileys & Emotion"),
    ("1F3FB", "skin-tone-2", "Component"),
    ("1F697", "car", "Travel & Places"),  # one designer has no image of it
]
VARIANT = "1F44B-1F3FB"


def make_png():
    """Makes an image with a red left half and a transparent right half."""
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[:, :32] = (*RED, 255)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def make_svg(width=32):
    """Makes an image with a blue left half and a transparent right half."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="32">'
        f'<path d="M0 0h{width // 2}v32H0z" fill="#00f"/></svg>'
    ).encode()


def write_package(path, files):
    with tarfile.open(path, "w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


@pytest.fixture
def packages(tmp_path):
    """A folder with the four packages; one has no image of the car."""
    folder = tmp_path / "packages"
    folder.mkdir()
    entries = [
        {"unified": unified, "short_name": name, "category": category}
        for unified, name, category in LIST
    ]
    entries[1]["skin_variations"] = {"1F3FB": {"unified": VARIANT}}
    for name, designer in emoji.DESIGNERS.items():
        drawn = [unified for unified, *_ in LIST] + [VARIANT]
        if name == "openmoji":
            drawn = ["2764" if x == "2764-FE0F" else x for x in drawn]
        else:
            drawn = [x.lower() for x in drawn]
        if name == "fluent":
            drawn.remove("1f697")
        data = make_png() if designer.suffix == ".png" else make_svg()
        files = {f"{designer.folder}/{x}{designer.suffix}": data for x in drawn}
        files[f"{designer.folder}/sheets/1f600.txt"] = b"no image"
        files["emoji.json"] = json.dumps(entries).encode()
        write_package(folder / designer.file_name, files)
    return folder


def write(packages, output, **options):
    found = emoji.collect_emoji(emoji.find_packages(packages))
    emoji.write_images(found, output, **options)


def run(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "experiments.emoji", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        env=os.environ | environment,
    )


def test_file_names_are_those_of_npm_pack():
    assert [x.file_name for x in emoji.DESIGNERS.values()] == [
        "emoji-datasource-twitter-16.0.0.tgz",
        "emoji-datasource-google-16.0.0.tgz",
        "openmoji-17.0.0.tgz",
        "lobehub-fluent-emoji-flat-1.1.0.tgz",
    ]


@pytest.mark.parametrize(
    ("category", "folder"),
    [("Food & Drink", "food_drink"), ("Flags", "flags")],
)
def test_folder_names(category, folder):
    assert emoji.get_folder_name(category) == folder


def test_command_writes_emoji_of_all_designers_without_skin_tones(
    packages, tmp_path
):
    output = tmp_path / "new" / "emoji"
    answer = run(f"--packages={packages}", f"--output={output}")
    assert answer.returncode == 0, answer.stderr
    images = {
        path.relative_to(output).as_posix() for path in output.rglob("*.png")
    }
    assert images == {
        f"{place}/{name}.png"
        for place in (
            "people_body/wave",
            "smileys_emotion/grinning",
            "smileys_emotion/heart",
        )
        for name in ("twitter", "google", "openmoji", "fluent")
    }
    assert [path.name for path in output.parent.iterdir()] == ["emoji"]
    assert "people_body: 1\nsmileys_emotion: 2\nall: 3 emoji" in answer.stdout
    licenses = (output / "LICENSES.md").read_text(encoding="utf-8")
    assert licenses in answer.stdout
    for license in ("CC-BY 4.0", "Apache", "OFL 1.1", "CC-BY-SA 4.0", "MIT"):
        assert license in licenses


@pytest.mark.parametrize(
    ("name", "color"), [("twitter", RED), ("openmoji", BLUE)]
)
def test_transparent_pixels_are_white(packages, tmp_path, name, color):
    write(packages, tmp_path / "emoji")
    image = Image.open(tmp_path / f"emoji/people_body/wave/{name}.png")
    assert image.mode == "RGB"
    pixels = np.asarray(image)
    assert pixels.shape == (64, 64, 3)
    assert (pixels[:, :32] == color).all()
    assert (pixels[:, 32:] == 255).all()


def test_partly_transparent_pixels_are_blended_with_white():
    image = Image.new("RGBA", (64, 64), (*RED, 51))
    assert emoji.lay_on_white(image).getpixel((9, 9)) == (255, 204, 204)


def test_non_square_images_keep_their_aspect_ratio():
    pixels = np.asarray(emoji.draw(make_svg(width=16), ".svg"))
    columns = (pixels == BLUE).all(axis=(0, 2))
    assert np.flatnonzero(columns).tolist() == list(range(16, 32))
    assert (pixels[:, ~columns] == 255).all()


def test_gray_has_equal_channels(packages, tmp_path):
    write(packages, tmp_path / "emoji", gray=True)
    paths = list((tmp_path / "emoji").rglob("*.png"))
    assert len(paths) == 12
    for path in paths:
        image = Image.open(path)
        assert image.mode == "RGB"
        pixels = np.asarray(image)
        assert (pixels == pixels[..., :1]).all()
        # ITU-R BT.601 weights red by 0.299 and blue by 0.114.
        is_red = path.stem in ("twitter", "google")
        assert pixels[9, 9, 0] == (76 if is_red else 29)


def test_missing_npm_is_a_one_line_error(tmp_path):
    answer = run(f"--output={tmp_path / 'emoji'}", PATH="")
    assert_one_line(answer, "npm", "--packages=DIR")
    assert not any(tmp_path.iterdir())


def test_failing_npm_is_a_one_line_error(tmp_path, monkeypatch):
    command = [sys.executable, "-c", "import sys; sys.exit('no network')"]
    call = subprocess.run
    monkeypatch.setattr(emoji.shutil, "which", lambda _: "npm")
    monkeypatch.setattr(
        emoji.subprocess, "run", lambda _, **options: call(command, **options)
    )
    with pytest.raises(InputError, match=r"failed \(no network\)"):
        emoji.download_packages(tmp_path)


def test_missing_package_is_a_one_line_error(packages, tmp_path):
    name = "lobehub-fluent-emoji-flat-1.1.0.tgz"
    (packages / name).unlink()
    output = tmp_path / "emoji"
    answer = run(f"--packages={packages}", f"--output={output}")
    command = "npm pack @lobehub/fluent-emoji-flat@1.1.0"
    assert_one_line(answer, name, command)
    assert not output.exists()


def test_damaged_package_is_a_one_line_error(packages, tmp_path):
    path = packages / "openmoji-17.0.0.tgz"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match=r"openmoji.*download it again"):
        write(packages, tmp_path / "emoji")


def test_damaged_image_leaves_nothing_behind(packages, tmp_path, monkeypatch):
    monkeypatch.setattr(emoji, "render", lambda _: Image.open(io.BytesIO(b"?")))
    with pytest.raises(InputError, match="openmoji cannot be drawn"):
        write(packages, tmp_path / "emoji")
    assert [path.name for path in tmp_path.iterdir()] == ["packages"]


@pytest.mark.parametrize("name", ["full", "full/file.txt"])
def test_non_empty_output_folder_is_a_one_line_error(packages, tmp_path, name):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file.txt").write_text("mine")
    answer = run(f"--packages={packages}", f"--output={tmp_path / name}")
    assert_one_line(answer, f"--output={tmp_path / name}")
    assert (tmp_path / "full" / "file.txt").read_text() == "mine"


def test_empty_output_folder_is_accepted(packages, tmp_path):
    output = tmp_path / "emoji"
    output.mkdir()
    write(packages, cli.require_new_folder(str(output)))
    assert (output / "people_body").is_dir()
