"""Puts single drawings on backgrounds, for `pages.py`.

Each function takes a drawing, uint8 `[105, 105]`, and returns an image with it,
uint8. Half of the images are clean, as if drawn by a program, half look
scanned: gray, blurred and noisy. `BLANKS` make images without any symbol.
"""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from experiments.photographs import light


def _place(drawing, rng, share=(0.4, 0.6), side=None):
    """Puts enlarged ink in the middle of white paper; also returns its box."""
    side = side or int(rng.integers(160, 500))
    ink = Image.fromarray(255 - drawing)
    ink = ink.crop(ink.getbbox())
    scale = rng.uniform(*share) * side / max(ink.size)
    size = [max(1, round(scale * x)) for x in ink.size]
    ink = ink.resize(size, Image.Resampling.BICUBIC)
    sheet = Image.new("L", (side, side), 0)
    shift = rng.uniform(-0.05, 0.05, 2) * side
    place = [
        round((side - x) / 2 + s) for x, s in zip(size, shift, strict=True)
    ]
    sheet.paste(ink, tuple(place))
    box = (*place, place[0] + size[0], place[1] + size[1])
    return Image.fromarray(255 - np.asarray(sheet)), box


def _scan(image, rng):
    """Leaves an image unchanged, or makes it gray, blurred and noisy."""
    if rng.random() < 0.5:
        return np.asarray(image)
    blurred = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 0.9)))
    paper, ink = rng.uniform(170, 245), rng.uniform(20, 80)
    gray = ink + (paper - ink) / 255 * np.asarray(blurred, float)
    gray *= light(*image.size, rng) if rng.random() < 0.5 else 1
    gray += rng.normal(0, rng.uniform(1, 6), gray.shape)
    return gray.clip(0, 255).astype(np.uint8)


def _pen(image, rng):
    """Returns a pen, and a width and a gray level of printed lines."""
    width = max(1, round(rng.uniform(0.004, 0.012) * image.width))
    return ImageDraw.Draw(image), width, int(rng.integers(0, 110))


def plain(drawing, rng):
    """Puts a drawing on plain paper, for comparison."""
    return _scan(_place(drawing, rng)[0], rng)


def cell(drawing, rng):
    """Puts a drawing in a form's cell."""
    image, (left, top, right, bottom) = _place(drawing, rng)
    pen, width, level = _pen(image, rng)
    space = rng.uniform(0.06, 0.16) * image.width
    side = max(right - left, bottom - top) / 2 + space
    x, y = (left + right) / 2, (top + bottom) / 2
    box = (x - side, y - side, x + side, y + side)
    pen.rectangle(tuple(round(v) for v in box), outline=level, width=width)
    return _scan(image, rng)


def underlined(drawing, rng):
    """Puts a drawing on an underlined blank."""
    image, (left, _, right, bottom) = _place(drawing, rng)
    pen, width, level = _pen(image, rng)
    y = bottom + rng.uniform(0.0, 0.08) * image.height
    reach = rng.uniform(0.08, 0.2) * image.width
    ends = (max(4, left - reach), y, min(image.width - 5, right + reach), y)
    pen.line(tuple(round(v) for v in ends), level, width)
    return _scan(image, rng)


def ruled(drawing, rng):
    """Puts a drawing on ruled paper."""
    image, box = _place(drawing, rng)
    _rule(image, box, rng, rng.uniform(0.5, 1.1), is_squared=False)
    return _scan(image, rng)


def squared(drawing, rng):
    """Puts a drawing on squared paper."""
    image, box = _place(drawing, rng)
    _rule(image, box, rng, rng.uniform(0.35, 0.9), is_squared=True)
    return _scan(image, rng)


def _rule(image, box, rng, pitch, is_squared):
    pen, width, _ = _pen(image, rng)
    level = int(rng.integers(0, 170))
    step = pitch * (box[3] - box[1] + box[2] - box[0]) / 2
    slope = np.tan(np.deg2rad(rng.uniform(-2, 2)))
    side = image.width
    for place in np.arange(rng.uniform(0, step) - step, 2 * side, step):
        drop = slope * side
        pen.line((0, place, side, place + drop), level, width)
        if is_squared:
            pen.line((place + drop, 0, place, side), level, width)


def shadow_edge(drawing, rng):
    """Puts an image half in a shadow, whose hard edge may cross the drawing."""
    image, _ = _place(drawing, rng)
    side = image.width
    gray = np.asarray(image.filter(ImageFilter.GaussianBlur(0.5)), float)
    paper, ink = rng.uniform(180, 245), rng.uniform(10, 60)
    gray = ink + (paper - ink) / 255 * gray
    angle = rng.uniform(0, 2 * np.pi)
    x, y = np.meshgrid(*[np.arange(side) - side / 2] * 2)
    along = np.cos(angle) * x + np.sin(angle) * y
    edge = along - rng.uniform(-0.3, 0.3) * side
    softness = rng.uniform(0.3, 3)
    shade = 1 / (1 + np.exp(-(edge / softness).clip(-50, 50)))
    gray *= 1 - rng.uniform(0.3, 0.6) * shade
    gray += rng.normal(0, rng.uniform(1, 4), gray.shape)
    return gray.clip(0, 255).astype(np.uint8)


def desk(drawing, rng):
    """Puts a drawing on a sheet that lies on a desk."""
    image, _ = _place(drawing, rng)
    side = image.width
    whole = round(side * rng.uniform(1.25, 1.8))
    grain = rng.normal(0, 1, (whole // 5 + 2, whole // 40 + 2))
    grain = Image.fromarray(grain.astype(np.float32)).resize((whole, whole))
    color = rng.uniform(30, 110) * np.array([1.15, 0.9, 0.7])
    table = color * (1 + rng.uniform(0, 0.15) * np.asarray(grain)[..., None])
    paper = rng.uniform(170, 240) * rng.uniform(0.95, 1.05, 3)
    ink = rng.uniform(10, 60)
    turn = {"angle": rng.uniform(-12, 12), "expand": False}
    mask = Image.new("L", (whole, whole), 0)
    place = [int(x) for x in rng.integers(2, whole - side - 2, 2)]
    mask.paste(255, (*place, place[0] + side, place[1] + side))
    sheet = Image.new("L", (whole, whole), 255)
    sheet.paste(image, tuple(place))
    center = (place[0] + side / 2, place[1] + side / 2)
    mask, sheet = (
        np.asarray(
            x.rotate(
                center=center,
                resample=Image.Resampling.BICUBIC,
                fillcolor=fill,
                **turn,
            )
        )[..., None]
        / 255
        for x, fill in ((mask, 0), (sheet, 255))
    )
    colors = (ink + (paper - ink) * sheet) * mask + table * (1 - mask)
    colors *= light(whole, whole, rng)[..., None]
    colors += rng.normal(0, rng.uniform(1, 5), colors.shape)
    return colors.clip(0, 255).astype(np.uint8)


def pencil(drawing, rng):
    """Draws in pencil: pale, with a grain."""
    image, _ = _place(drawing, rng)
    ink = 1 - np.asarray(image.filter(ImageFilter.GaussianBlur(0.6))) / 255
    grain = rng.uniform(0.7, 1.0, ink.shape)
    paper = rng.uniform(200, 245)
    gray = paper * (1 - rng.uniform(0.25, 0.5) * ink * grain)
    gray += rng.normal(0, rng.uniform(1, 4), gray.shape)
    return gray.clip(0, 255).astype(np.uint8)


KINDS = {
    "form cell": cell,
    "underlined blank": underlined,
    "ruled": ruled,
    "squared": squared,
    "shadow edge": shadow_edge,
    "desk around the paper": desk,
    "pencil": pencil,
}


def _empty_paper(rng):
    return np.asarray(Image.new("L", (int(rng.integers(150, 600)),) * 2, 255))


def _empty(rng):
    return _scan(Image.fromarray(_empty_paper(rng)), rng)


def _lined(rng, is_squared):
    image = Image.fromarray(_empty_paper(rng).copy())
    side = image.width
    middle = (side // 4, side // 4, 3 * side // 4, 3 * side // 4)
    _rule(image, middle, rng, rng.uniform(0.15, 0.6), is_squared)
    return _scan(image, rng)


def _texture(rng):
    """Makes noise of several scales, like wood, cloth or stone."""
    side = int(rng.integers(150, 600))
    gray = np.full((side, side), rng.uniform(80, 200))
    stretch = rng.uniform(1, 8)
    for cells in (6, 15, 40, 90):
        shape = (cells + 1, max(2, round(cells / stretch)))
        layer = rng.normal(0, rng.uniform(3, 25), shape).astype(np.float32)
        gray += np.asarray(Image.fromarray(layer).resize((side, side), 3))
    return gray.clip(0, 255).astype(np.uint8)


def _scene(rng):
    """Makes large colored shapes with light and shade, like a photo."""
    side = int(rng.integers(200, 600))
    image = Image.new("RGB", (side, side), _color(rng))
    pen = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(4, 14))):
        x, y = rng.uniform(-0.2, 1, 2) * side
        w, h = rng.uniform(0.15, 0.8, 2) * side
        draw = (pen.ellipse, pen.rectangle)[int(rng.integers(2))]
        draw((x, y, x + w, y + h), fill=_color(rng))
    image = image.filter(ImageFilter.GaussianBlur(rng.uniform(1, 8)))
    gray = np.asarray(image, float) * light(side, side, rng)[..., None]
    gray += rng.normal(0, 6, gray.shape)
    return gray.clip(0, 255).astype(np.uint8)


def _color(rng):
    return tuple(int(x) for x in rng.integers(0, 256, 3))


def _noise(rng):
    side = int(rng.integers(100, 500))
    if rng.random() < 0.5:
        gray = rng.normal(
            rng.uniform(60, 200), rng.uniform(10, 60), (side,) * 2
        )
        return gray.clip(0, 255).astype(np.uint8)
    is_ink = rng.random((side, side)) < rng.uniform(0.005, 0.45)
    return np.where(is_ink, 0, 255).astype(np.uint8)


def _gradient(rng):
    side = int(rng.integers(100, 500))
    x, y = np.meshgrid(*[np.linspace(-1, 1, side)] * 2)
    angle = rng.uniform(0, 2 * np.pi)
    along = np.cos(angle) * x + np.sin(angle) * y
    along = along + rng.uniform(0, 1) * (x**2 + y**2)
    gray = 128 + rng.uniform(30, 120) * along / np.abs(along).max()
    gray += rng.normal(0, rng.choice([0, 2]), gray.shape)
    return gray.clip(0, 255).astype(np.uint8)


BLANKS = {
    "empty paper": _empty,
    "ruled paper": lambda rng: _lined(rng, False),
    "squared paper": lambda rng: _lined(rng, True),
    "texture": _texture,
    "scene": _scene,
    "noise": _noise,
    "gradient": _gradient,
}
