r"""Writes a color data set of emoji, each drawn by four designers.

    pip install -e '.[emoji]'
    python -m experiments.emoji --output=emoji [--packages=DIR] [--grey]

The images are `CATEGORY/EMOJI/DESIGNER.png`, 64 x 64 RGB on white: a color
counterpart of Omniglot, where a category stands for an alphabet, an emoji for a
character and a designer for a drawer. They come from four npm packages, which
`npm pack` downloads (150 MB); `--packages` takes them from a folder instead.
"""

import dataclasses
import io
import json
import re
import shutil
import subprocess
import tarfile
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from absl import flags
from PIL import Image, ImageOps
from tqdm import tqdm

from koch_siamese import cli
from koch_siamese.errors import InputError
from koch_siamese.runs.path_flags import define_path

OUTPUT = define_path(
    "output", None, "The folder to write; a new one, or an empty one."
)
PACKAGES = define_path(
    "packages",
    None,
    "A folder with the four packages as `npm pack` names them. Default: they "
    "are downloaded, and deleted in the end.",
)
GREY = flags.DEFINE_bool(
    "grey", False, "Write the images in gray, as three equal channels."
)

SIZE = 64
# Vector graphics are drawn larger, then averaged over squares.
OVERSAMPLING = 4
LIST = "emoji.json"
LICENSES = "LICENSES.md"
SKIN_TONES = {"1f3fb", "1f3fc", "1f3fd", "1f3fe", "1f3ff"}
# Asks for a character in color; file names often omit it.
COLOR_SELECTOR = "fe0f"


@dataclasses.dataclass(frozen=True)
class Designer:
    """The source of a designer's images.

    Attributes:
        package: the npm package, with its version.
        folder: the folder in it, where files are named by code points.
        suffix: of the image files.
        credit: the title of the images and their author.
        license: its name and address.
    """

    package: str
    folder: str
    suffix: str
    credit: str
    license: str

    @property
    def file_name(self) -> str:
        """The name of the file that `npm pack` makes."""
        name = self.package.removeprefix("@").replace("/", "-")
        return f"{name.replace('@', '-')}.tgz"


DESIGNERS = {
    "twitter": Designer(
        "emoji-datasource-twitter@16.0.0",
        "img/twitter/64",
        ".png",
        "Twemoji, by Twitter, Inc. and other contributors",
        "CC-BY 4.0, https://creativecommons.org/licenses/by/4.0/",
    ),
    "google": Designer(
        "emoji-datasource-google@16.0.0",
        "img/google/64",
        ".png",
        "Noto Emoji, by Google",
        "Apache License 2.0, https://www.apache.org/licenses/LICENSE-2.0 (the "
        "images), and SIL OFL 1.1, https://openfontlicense.org (the font)",
    ),
    "openmoji": Designer(
        "openmoji@17.0.0",
        "color/svg",
        ".svg",
        "OpenMoji, by HfG Schwäbisch Gmünd and contributors",
        "CC-BY-SA 4.0, https://creativecommons.org/licenses/by-sa/4.0/",
    ),
    "fluent": Designer(
        "@lobehub/fluent-emoji-flat@1.1.0",
        "assets",
        ".svg",
        "Fluent Emoji, by Microsoft Corporation",
        "MIT, https://opensource.org/license/mit",
    ),
}


@dataclasses.dataclass(frozen=True)
class Emoji:
    """An emoji that all designers have drawn.

    Attributes:
        category: its category, as a folder's name.
        name: its name, unique among all categories.
        files: the content of its image file, by designer.
    """

    category: str
    name: str
    files: dict[str, bytes]


def find_packages(folder: Path) -> dict[str, Path]:
    """Finds the packages' files in a folder, by designer."""
    paths = {
        name: folder / designer.file_name
        for name, designer in DESIGNERS.items()
    }
    missing = [name for name, path in paths.items() if not path.is_file()]
    if missing:
        names = ", ".join(paths[name].name for name in missing)
        packages = " ".join(DESIGNERS[name].package for name in missing)
        raise InputError(
            f"{folder} lacks {names}: get them with `npm pack {packages}`."
        )
    return paths


def download_packages(folder: Path) -> dict[str, Path]:
    """Downloads the packages into a folder, by `npm pack`."""
    npm = shutil.which("npm")
    if npm is None:
        raise InputError(
            "npm, which downloads the packages, is not installed: install "
            "Node.js, or give --packages=DIR with the packages in it."
        )
    for designer in tqdm(DESIGNERS.values(), "Downloading", disable=None):
        answer = subprocess.run(
            [npm, "pack", designer.package, "--pack-destination", str(folder)],
            capture_output=True,
            text=True,
        )
        if answer.returncode:
            lines = answer.stderr.strip().splitlines() or ["no reason given"]
            raise InputError(
                f"npm pack {designer.package} failed ({lines[0]}): try again, "
                "or give --packages=DIR with the packages in it."
            )
    return find_packages(folder)


def get_key(code_points: str) -> str:
    """Makes code points of packages comparable: `1F3F3-FE0F` is `1f3f3`."""
    points = code_points.lower().split("-")
    return "-".join(point for point in points if point != COLOR_SELECTOR)


def get_folder_name(category: str) -> str:
    """Makes a category a folder's name: `Food & Drink` is `food_drink`."""
    return "_".join(re.findall("[a-z0-9]+", category.lower()))


def read_package(path: Path, wanted: Callable[[str], bool]) -> dict[str, bytes]:
    """Reads files of a package.

    Args:
        path: the .tgz file.
        wanted: whether to read a file, by its name inside the package.

    Returns:
        The content of each file by its name.
    """
    files = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                # npm puts everything into one folder.
                name = member.name.partition("/")[2]
                if member.isfile() and wanted(name):
                    files[name] = archive.extractfile(member).read()
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise InputError(
            f"{path} cannot be read ({error}): download it again."
        ) from error
    return files


def read_images(path: Path, designer: Designer) -> dict[str, bytes]:
    """Reads a designer's image files, by `get_key`."""
    start, end = f"{designer.folder}/", designer.suffix
    files = read_package(
        path, lambda name: name.startswith(start) and name.endswith(end)
    )
    if not files:
        raise InputError(
            f"{path} has no files {start}*{end}: expected the npm package "
            f"{designer.package}."
        )
    return {get_key(Path(name).stem): data for name, data in files.items()}


def read_list(path: Path) -> list[dict]:
    """Reads the list of all emoji from emoji-datasource."""
    files = read_package(path, LIST.__eq__)
    if not files:
        raise InputError(f"{path} has no {LIST}: download it again.")
    return json.loads(files[LIST])


def collect_emoji(paths: dict[str, Path]) -> list[Emoji]:
    """Finds the emoji that all designers have drawn, without skin tones.

    Args:
        paths: the packages, by designer.

    Returns:
        The emoji, sorted by category and name.
    """
    images = {
        name: read_images(paths[name], designer)
        for name, designer in DESIGNERS.items()
    }
    shared = set.intersection(*map(set, images.values()))
    emoji = []
    for entry in read_list(paths["twitter"]):
        key = get_key(entry["unified"])
        if key in shared and SKIN_TONES.isdisjoint(key.split("-")):
            files = {name: images[name][key] for name in DESIGNERS}
            category = get_folder_name(entry["category"])
            emoji.append(Emoji(category, entry["short_name"], files))
    return sorted(emoji, key=lambda one: (one.category, one.name))


def import_renderer():
    """Imports the renderer of vector graphics, from the extra `emoji`."""
    try:
        import resvg_py
    except ImportError as error:
        raise InputError(
            "resvg-py, which draws SVG files, is not installed: "
            "pip install 'koch-siamese[emoji]'."
        ) from error
    return resvg_py


def render(svg: bytes) -> Image.Image:
    """Draws a vector graphic, `OVERSAMPLING` times as large as needed."""
    side = SIZE * OVERSAMPLING
    png = import_renderer().svg_to_bytes(
        svg_string=svg.decode(),
        width=side,
        height=side,
        # Otherwise texts would look different on each machine.
        skip_system_fonts=True,
    )
    return Image.open(io.BytesIO(png))


def lay_on_white(image: Image.Image) -> Image.Image:
    """Makes an image opaque, and pads it with white to `SIZE` x `SIZE`."""
    image = image.convert("RGBA")
    sheet = Image.new("RGBA", image.size, "white")
    sheet.alpha_composite(image)
    return ImageOps.pad(
        sheet.convert("RGB"),
        (SIZE, SIZE),
        method=Image.Resampling.BOX,
        color="white",
    )


def draw(data: bytes, suffix: str, gray: bool = False) -> Image.Image:
    """Draws an image file.

    Args:
        data: its content.
        suffix: `.png` or `.svg`.
        gray: whether to make the three channels equal.

    Returns:
        The image, RGB, uint8 `[64, 64, 3]`.
    """
    source = render(data) if suffix == ".svg" else Image.open(io.BytesIO(data))
    image = lay_on_white(source)
    return image.convert("L").convert("RGB") if gray else image


def write_images(emoji: Sequence[Emoji], output: Path, gray: bool = False):
    """Writes all images and their licenses to a folder, or nothing at all.

    Args:
        emoji: those to draw.
        output: the folder, which is empty or does not exist.
        gray: see `draw`.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        prefix=f".{output.name}.", dir=output.parent
    ) as beside:
        partial = Path(beside, output.name)
        partial.mkdir()
        for one in tqdm(emoji, "Drawing", disable=None):
            folder = partial / one.category / one.name
            folder.mkdir(parents=True)
            for name, data in one.files.items():
                try:
                    image = draw(data, DESIGNERS[name].suffix, gray)
                except (OSError, ValueError) as error:
                    raise InputError(
                        f"{one.name} of {name} cannot be drawn ({error}): "
                        "download the package again."
                    ) from error
                image.save(folder / f"{name}.png")
        (partial / LICENSES).write_text(format_licenses(), encoding="utf-8")
        if output.is_dir():
            output.rmdir()
        partial.replace(output)


def format_licenses() -> str:
    """Formats the authors and licenses of the images, and what was changed."""
    lines = [
        f"- `{name}.png`: {designer.credit}; {designer.license}. From the npm "
        f"package {designer.package}."
        for name, designer in DESIGNERS.items()
    ]
    return "\n".join(
        [
            "# Licenses of the images\n",
            "Changed: laid on white, in 64 x 64 pixels, with --grey in gray.\n",
            *lines,
            "",
        ]
    )


def format_counts(emoji: Sequence[Emoji]) -> str:
    """Formats the number of emoji in each category, and in all."""
    counts = Counter(one.category for one in emoji)
    lines = [f"{name}: {count:,}" for name, count in counts.items()]
    total = f"{len(emoji):,} emoji by {len(DESIGNERS)} designers"
    return "\n".join([*lines, f"all: {total}"])


def main():
    """Reads the packages, and writes the images."""
    output = cli.require_new_folder(OUTPUT.value)
    import_renderer()
    if PACKAGES.value:
        emoji = collect_emoji(find_packages(Path(PACKAGES.value)))
    else:
        with tempfile.TemporaryDirectory() as folder:
            emoji = collect_emoji(download_packages(Path(folder)))
    if not emoji:
        raise InputError("The four packages have no emoji in common.")
    try:
        write_images(emoji, output, GREY.value)
    except OSError as error:
        raise InputError(
            f"--output={OUTPUT.value} cannot be written: {error}."
        ) from error
    print(f"{format_counts(emoji)}\n\n{format_licenses()}")
    print(f"Written to {output}")


if __name__ == "__main__":
    flags.mark_flag_as_required("output")
    cli.run(main)
