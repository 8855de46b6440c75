"""A user's own images: files and folders -> drawings in memory."""

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter, ImageOps, UnidentifiedImageError
from tqdm import tqdm

from koch_siamese.characters import PAPER, SPLITS, Characters
from koch_siamese.errors import InputError

IMAGE_SIZE = 105
MAX_PIXELS = 50_000_000
MIN_CHARACTERS = 10  # fewer would leave one to validate or to test on
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF")
SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".tif", ".tiff")
MAX_SILENT_IMAGES = 200  # more are read with a progress bar

# Medians over Omniglot's 19,280 training drawings: longer side of the ink's
# box as a share of the image, and twice the ink's area over its outline.
INK_SHARE, STROKE_WIDTH = 0.65, 5.5
MAX_THINNING = 2  # pixels of a stroke's width; more would break thin parts

FULL_SCALES = (1, 2**8 - 1, 2**12 - 1, 2**16 - 1)  # of deep grey values
MAX_SIDE = 1024  # larger images are first reduced to this
LIGHTING_SIDE, LIGHTING_REACH = 64, 9  # strokes are narrower than the reach
SPECK_SIDE, SPECK_AREA = 128, 0.2  # area in squares of the stroke's width
MIN_CONTRAST, NOISE_CONTRAST = 0.12, 8.0  # of paper; of noise's deviation


def read_drawing(path: str | Path, crop: bool = False) -> np.ndarray:
    """Reads an image file as a drawing: dark ink on white paper.

    Whether ink is darker or lighter than paper is told by the border, which is
    mostly paper. Uneven light and noise are removed; what is black on white
    already is left as it is. Transparent is paper, an animation is its first
    frame. What is not square is centred on square paper.

    Args:
        path: a PNG, JPEG, GIF, BMP, WebP or TIFF file of any size and colours.
        crop: cut to the ink, and give it the size and the width of stroke that
            are usual in Omniglot.

    Returns:
        uint8 `[IMAGE_SIZE, IMAGE_SIZE]`, 0 = ink, 255 = paper.

    Raises:
        InputError: the file cannot be read as an image, has more than
            MAX_PIXELS pixels, or shows no ink.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            grey = _decode(Path(path))
        except InputError:
            raise
        except Exception as error:  # Pillow raises anything for broken files.
            raise _complaint(
                path,
                f"cannot be read ({_one_line(error)})",
                f"an image of at most {MAX_PIXELS:,} pixels as "
                f"{', '.join(FORMATS)}",
                "save it again as PNG, or remove it",
            ) from error
    drawing, is_clean = _clean(grey)
    drawing = _thicken_hairlines(drawing)
    if crop or not is_clean:
        drawing = _erase_specks(drawing)
    if drawing.min() > PAPER // 2:
        raise _complaint(
            path,
            "is blank",
            "ink on paper that differs from it in brightness",
            "draw on it, or remove it",
        )
    if crop:
        return _crop(drawing)
    return _fit(drawing, max(drawing.shape), IMAGE_SIZE)


def _complaint(path, got, expected, mending):
    return InputError(f"{str(path)!r} {got}: expected {expected}; {mending}.")


def _one_line(error):
    if isinstance(error, UnidentifiedImageError):
        return "not an image, or broken"
    text = " ".join(str(error).split())
    return repr(text[:120])[1:-1] or type(error).__name__


def _decode(path) -> np.ndarray:
    """Grey values, float32 `[height, width]`, 0..255, at most MAX_SIDE."""
    if not path.is_file():
        raise OSError("it is not a file" if path.exists() else "no such file")
    with Image.open(path, formats=FORMATS) as image:
        if not 0 < image.width * image.height <= MAX_PIXELS:
            raise _complaint(
                path,
                f"has {image.width} x {image.height} pixels",
                f"1 to {MAX_PIXELS:,} pixels",
                "make it smaller",
            )
        image.draft(image.mode, (MAX_SIDE, MAX_SIDE))
        upright = ImageOps.exif_transpose(image)
        deep = upright.mode == "F" or upright.mode.startswith("I")
        grey = _scale_deep(upright) if deep else _make_grey(upright)
    scale = min(1, MAX_SIDE / max(grey.size))
    size = [max(1, round(scale * side)) for side in grey.size]
    return np.asarray(_shrink(grey, size), np.float32)


def _shrink(image, size):
    return image.resize(size, Image.Resampling.BILINEAR)


def _scale_deep(image):
    values = np.nan_to_num(np.asarray(image, np.float64)).clip(-1e30, 1e30)
    values -= min(values.min(), 0)
    largest = values.max()
    scale = min([s for s in FULL_SCALES if s >= largest], default=largest)
    return Image.fromarray((PAPER * (values / scale)).astype(np.float32))


def _make_grey(image):
    if not image.has_transparency_data:
        return _strongest_band(image)
    on_white, on_black = (
        _strongest_band(_lay_on(image, paper)) for paper in ("white", "black")
    )
    # White ink does not show on white; its paper is made black instead.
    is_seen = 2 * _contrast(on_white) >= _contrast(on_black)
    return on_white if is_seen else on_black


def _lay_on(image, paper):
    paper = Image.new("RGBA", image.size, paper)
    return Image.alpha_composite(paper, image.convert("RGBA"))


def _strongest_band(image):
    if image.mode in ("1", "L"):
        return image.convert("L")
    colours = image.convert("RGB")
    grey = colours.convert("L")
    # Yellow hardly differs from white in grey, but is black in blue.
    band = max(colours.split(), key=_contrast)
    return band if _contrast(band) > 2 * _contrast(grey) else grey


def _contrast(image):
    darkest, lightest = image.getextrema()
    return lightest - darkest


def _clean(grey) -> tuple[np.ndarray, bool]:
    """The drawing, uint8, at its own size; and if it was clean before."""
    scale = min(1, LIGHTING_SIDE / max(grey.shape))
    size = [max(1, round(scale * side)) for side in grey.shape[::-1]]
    small = np.asarray(_shrink(Image.fromarray(grey), size))
    lighting = _fit_lighting(small)
    if not _is_paper_light(small - lighting):
        grey, small, lighting = PAPER - grey, PAPER - small, PAPER - lighting
    is_white, is_black = grey >= PAPER - 2, grey <= 32
    num_between = grey.size - is_white.sum() - is_black.sum()
    if 2 * is_white.sum() > grey.size and num_between <= is_black.sum():
        return grey.round().astype(np.uint8), True
    return _stretch(grey / _estimate_paper(small, lighting, grey.shape)), False


def _fit_lighting(grey):
    # A surface of second degree follows light and shade, but no strokes.
    y, x = np.meshgrid(
        *(np.linspace(-1, 1, side) for side in grey.shape), indexing="ij"
    )
    terms = np.stack([np.ones_like(x), x, y, x * y, x * x, y * y])
    terms, values = terms.reshape(6, -1), grey.ravel()
    is_paper = np.ones(grey.size, bool)
    for _ in range(6):
        known = terms[:, is_paper]
        # An image of one row or column leaves terms undecided.
        products = known @ known.T + 1e-6 * np.eye(6)
        surface = np.linalg.solve(products, known @ values[is_paper]) @ terms
        gaps = np.abs(values - surface)
        is_paper = gaps <= 2.25 * np.median(gaps) + 1
    return surface.reshape(grey.shape).astype(np.float32)


def _is_paper_light(gaps):
    edge = max(1, min(gaps.shape) // 16)
    is_border = np.ones(gaps.shape, bool)
    is_border[edge:-edge, edge:-edge] = False
    return np.median(gaps[is_border]) >= (gaps.min() + gaps.max()) / 2


def _estimate_paper(grey, lighting, shape):
    lighting = np.maximum(lighting, 1)
    # What the surface left: filling up what is dark and narrow shows it.
    filled = -_spread(-_spread(grey / lighting, LIGHTING_REACH), LIGHTING_REACH)
    filled = Image.fromarray((150 * filled).clip(0, 255).astype(np.uint8))
    filled = filled.filter(ImageFilter.GaussianBlur(LIGHTING_REACH / 3))
    paper = Image.fromarray(lighting * np.asarray(filled) / np.float32(150))
    return np.maximum(np.asarray(_shrink(paper, shape[::-1])), 1)


def _spread(values, reach):
    """The largest value within `reach` rows and columns."""
    for axis in (0, 1):
        padding = [(reach, reach) if axis == a else (0, 0) for a in (0, 1)]
        padded = np.pad(values, padding, mode="edge")
        values = np.lib.stride_tricks.sliding_window_view(
            padded, 2 * reach + 1, axis
        ).max(axis=-1)
    return values


def _stretch(flat) -> np.ndarray:
    """Paper to 255, ink to 0; all paper if there is no ink above noise."""
    levels = Image.fromarray((200 * flat).clip(0, 255).astype(np.uint8))
    blur = max(0.7, min(flat.shape) / 400)
    smooth = np.asarray(levels.filter(ImageFilter.GaussianBlur(blur)))
    smooth = smooth / np.float32(200)
    paper = np.median(smooth[::3, ::3])
    # Differences over a few pixels tell of noise, whatever the light does.
    noise = np.median(np.abs(smooth - np.roll(smooth, 5, axis=1))[::3, ::3])
    contrast = paper - smooth.min()
    if contrast < max(MIN_CONTRAST, NOISE_CONTRAST * noise):
        return np.full(flat.shape, PAPER, np.uint8)
    ink = np.median(smooth[smooth < paper - contrast / 2])
    black = ink + 0.2 * (paper - ink)
    white = paper - max(0.25 * (paper - ink), 3 * noise)
    white = max(white, black + 0.1 * (paper - ink))
    scaled = PAPER * (smooth - black) / (white - black)
    return scaled.clip(0, PAPER).round().astype(np.uint8)


def _thicken_hairlines(drawing):
    # They would fade away when made smaller.
    wanted = max(drawing.shape) / IMAGE_SIZE
    width = _stroke_width(drawing <= PAPER // 2)
    if 2 * width >= wanted:
        return drawing
    return ~_spread(~drawing, int(np.ceil((wanted - width) / 2)))


def _erase_specks(drawing):
    scale = min(1, SPECK_SIDE / max(drawing.shape))
    size = [max(1, round(scale * side)) for side in drawing.shape[::-1]]
    small = Image.fromarray(drawing).resize(size, Image.Resampling.BOX)
    small = np.pad(np.asarray(small), 1, constant_values=PAPER)
    is_ink = small < 0.7 * PAPER
    min_area = max(4, SPECK_AREA * _stroke_width(is_ink) ** 2)
    is_kept = np.zeros_like(is_ink)
    for part in _find_parts(is_ink):
        # What is left of a shadow is large, but grey.
        if len(part) >= min_area and np.median(small.flat[part]) < PAPER / 2:
            is_kept.flat[part] = True
    near = Image.fromarray(_spread(is_kept, 1)[1:-1, 1:-1])
    near = near.resize(drawing.shape[::-1], Image.Resampling.NEAREST)
    return np.where(near, drawing, np.uint8(PAPER))


def _stroke_width(is_ink):
    edges = sum(np.count_nonzero(np.diff(is_ink, axis=a)) for a in (0, 1))
    # Along a slope, steps are longer than the slope, by 4 / pi on average.
    return 2 * is_ink.sum() / max(1, edges * np.pi / 4)


def _find_parts(is_ink):
    """Flat indices of each part that hangs together; the edge has no ink."""
    left, width = set(np.flatnonzero(is_ink).tolist()), is_ink.shape[1]
    near = [y * width + x for y in (-1, 0, 1) for x in (-1, 0, 1)]
    parts = []
    while left:
        part = [left.pop()]
        for cell in part:  # grows while it is walked through
            found = left.intersection([cell + step for step in near])
            left -= found
            part.extend(found)
        parts.append(part)
    return parts


def _crop(drawing):
    is_ink = drawing <= PAPER // 2
    rows, columns = (np.flatnonzero(is_ink.any(axis=axis)) for axis in (1, 0))
    ink = drawing[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    length, width = max(ink.shape), _stroke_width(ink <= PAPER // 2)
    wanted = INK_SHARE * IMAGE_SIZE
    # Growing and thinning change the length as well.
    scale = (wanted - STROKE_WIDTH) / max(1, length - width)
    scale = min(scale, (wanted + MAX_THINNING) / length)
    # Twice the size, so that a stroke can grow half a pixel on each side.
    large = _fit(ink, round(IMAGE_SIZE / scale), 2 * IMAGE_SIZE)
    large = (3.0 * large - PAPER).clip(0, PAPER).astype(np.uint8)  # sharper
    growth = round(STROKE_WIDTH - _stroke_width(large <= PAPER // 2) / 2)
    growth = max(growth, -MAX_THINNING)
    large = Image.fromarray(large)
    if growth:
        rank = ImageFilter.MinFilter if growth > 0 else ImageFilter.MaxFilter
        large = large.filter(rank(2 * abs(growth) + 1))
    return np.asarray(large.reduce(2))


def _fit(drawing, side, size):
    """Centres on paper of `side` pixels, and resizes that to `size`."""
    missing = np.array([side, side]) - drawing.shape
    before = missing // 2
    padding = list(zip(before, missing - before, strict=True))
    drawing = np.pad(drawing, padding, constant_values=PAPER)
    return np.asarray(_shrink(Image.fromarray(drawing), (size, size)))


def list_images(path: str | Path) -> list[Path]:
    """Finds the image files of a folder and its folders, or the file itself.

    Hidden files and folders, and files that have no image's suffix, are left
    out of a folder. A file is taken whatever its suffix.

    Returns:
        The paths, sorted by folder and name.

    Raises:
        InputError: there is no such path, or no image in it.
    """
    root = Path(path)
    if root.is_file():
        return [root]
    if not root.is_dir():
        raise _complaint(
            path, "does not exist", "an image or a folder", "check the name"
        )
    found = [
        file
        for file in root.rglob("*")
        if file.suffix.lower() in SUFFIXES
        and not any(p.startswith(".") for p in file.relative_to(root).parts)
        and file.is_file()
    ]
    if not found:
        raise _complaint(
            path,
            "has no images",
            f"files that end in {', '.join(SUFFIXES)}",
            "put some there, or give another folder",
        )
    return sorted(found, key=lambda file: file.parts)


def load_folder(
    path: str | Path, crop: bool = False
) -> tuple[Characters, tuple[str, ...]]:
    """Loads a folder of images: the characters of one or of several alphabets.

    The layout is told by how deep the images lie: `alphabet/character/*.png`,
    `character/*.png`, or `character.png` with one drawing of each.

    Args:
        path: the folder.
        crop: see `read_drawing`.

    Returns:
        The characters, and the name of each: its folder's or file's, after
        `alphabet/` where there are alphabets. `character` indexes the names,
        in sorted order; `drawer` counts a character's files. Without
        alphabets, one that is named like the folder.

    Raises:
        InputError: there are no images, one of them cannot be read, or layouts
            are mixed.
    """
    files = list_images(path)
    labels = _read_labels(Path(path), files)
    names = sorted(set(labels))
    alphabets = sorted({alphabet for alphabet, _ in names})
    character = np.array([names.index(label) for label in labels])
    order = np.argsort(character, kind="stable")
    character = character[order]
    progress = tqdm(
        order, "Reading images", disable=len(order) <= MAX_SILENT_IMAGES
    )
    alphabet = np.array([alphabets.index(name) for name, _ in names])
    number = np.arange(len(names)) - np.searchsorted(alphabet, alphabet) + 1
    place = np.arange(len(files)) - np.searchsorted(character, character)
    characters = Characters(
        images=np.stack([read_drawing(files[file], crop) for file in progress]),
        character=character.astype(np.int32),
        number=number[character].astype(np.int32),
        alphabet=alphabet[character].astype(np.int32),
        drawer=(place + 1).astype(np.int32),
        alphabet_names=tuple(alphabets),
    )
    is_layered = len(files[0].relative_to(path).parts) == 3
    return characters, tuple(
        f"{alphabet}/{name}" if is_layered else name for alphabet, name in names
    )


def _read_labels(root, files):
    """The alphabet and the character that each file's path tells."""
    if root.is_file():
        return [(root.resolve().parent.name, root.stem)]
    inner = [file.relative_to(root).parts for file in files]
    depths = {len(parts): parts for parts in reversed(inner)}
    if len(depths) > 1 or max(depths) > 3:
        found = ", ".join(repr(str(Path(*depths[d]))) for d in sorted(depths))
        raise _complaint(
            root,
            f"has images at {found}",
            "one layout: character.png, character/*.png or "
            "alphabet/character/*.png",
            "move the files that differ",
        )
    if len(inner[0]) == 3:
        return [parts[:2] for parts in inner]
    folder = root.resolve().name
    if len(inner[0]) == 2:
        return [(folder, parts[0]) for parts in inner]
    return [(folder, file.stem) for file in files]


def split_characters(
    characters: Characters, split: str, seed: int
) -> Characters:
    """The part of the characters that serves to train, choose or test.

    Three in five characters train, one validates, one tests: of all, and give
    or take one of each alphabet. The parts share no character.

    Args:
        characters: any drawings.
        split: `training`, `validation` or `test`.
        seed: decides which characters; the same in all three calls.

    Returns:
        Characters with their labels kept.

    Raises:
        InputError: there are fewer than MIN_CHARACTERS characters, or only one
            drawing of some.
        ValueError: `split` is not one of the three.
    """
    if split not in SPLITS:
        raise ValueError(f"Unknown split {split!r}; use one of {SPLITS}.")
    known, first, counts = np.unique(
        characters.character, return_index=True, return_counts=True
    )
    _check_splittable(characters, first, counts)
    rng = np.random.default_rng(seed)
    # Neighbours of one alphabet, in any order, take the five turns.
    order = np.lexsort((rng.random(len(known)), characters.alphabet[first]))
    turns = rng.permutation([0, 0, 0, 1, 2])
    part = turns[np.arange(len(known)) % len(turns)]
    chosen = known[order[part == SPLITS.index(split)]]
    return characters.select(np.isin(characters.character, chosen))


def _check_splittable(characters, first, counts):
    if len(counts) < MIN_CHARACTERS:
        raise InputError(
            f"There are {len(counts)} characters: expected at least "
            f"{MIN_CHARACTERS} to train, validate and test on; add some."
        )
    if counts.min() < 2:
        drawing = first[counts.argmin()]
        name = characters.alphabet_names[characters.alphabet[drawing]]
        raise InputError(
            f"Character {characters.number[drawing]} of alphabet {name!r} has "
            "1 drawing: expected at least 2 of each; add some or remove it."
        )
