"""Simulates photographs of drawings: light, noise, blur, JPEG."""

import io

import numpy as np
from PIL import Image, ImageFilter


def photograph(drawing, rng):
    """Makes a JPEG file of tinted paper, unevenly lit, noisy and blurred."""
    width, height = (int(side) for side in rng.integers(150, 900, size=2))
    ink = _place(drawing, width, height, rng)
    blur = rng.uniform(0.3, 1.2) * max(width, height) / 400
    ink = (
        np.asarray(ink.filter(ImageFilter.GaussianBlur(blur)))[..., None] / 255
    )
    paper = rng.uniform(150, 235) * rng.uniform(0.9, 1.1, size=3)
    color = rng.uniform(20, 80) * rng.uniform(0.5, 1.8, size=3)
    lit = light(width, height, rng)[..., np.newaxis]
    image = (paper * (1 - ink) + color * ink) * lit
    image += rng.normal(0, rng.uniform(2, 14), image.shape)
    file = io.BytesIO()
    Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(
        file, "JPEG", quality=int(rng.integers(40, 95))
    )
    return file.getvalue()


def _place(drawing, width, height, rng):
    """Puts the ink, as 255, at a random place and size into an image."""
    ink = Image.fromarray(255 - drawing)
    ink = ink.crop(ink.getbbox())
    scale = min(width, height) * rng.uniform(0.4, 0.85) / max(ink.size)
    size = [max(1, round(scale * side)) for side in ink.size]
    place = [
        int(rng.integers(2, whole - part - 1))
        for whole, part in zip((width, height), size, strict=True)
    ]
    sheet = Image.new("L", (width, height), 0)
    sheet.paste(ink.resize(size, Image.Resampling.BICUBIC), place)
    return sheet


def light(width, height, rng):
    """Samples light, at most 1, that fades to one side, some with a shadow."""
    x, y = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
    angle = rng.uniform(0, 2 * np.pi)
    along = np.cos(angle) * x + np.sin(angle) * y
    light = 1 + rng.uniform(0.05, 0.35) * along
    light += rng.uniform(-0.15, 0.15) * (x**2 + y**2)
    if rng.random() < 0.3:
        edge = (along - rng.uniform(-0.5, 0.5)) * rng.uniform(4, 15)
        light *= 1 - rng.uniform(0.2, 0.4) / (1 + np.exp(-edge))
    return light / light.max()
