"""Draws and saves images for tests, and checks errors about them."""

from PIL import Image, ImageChops, ImageDraw


def draw(side=105, box=(20, 25, 70, 85)):
    """Draws a ring with a bar, black on white."""
    image = Image.new("L", (side, side), 255)
    pen = ImageDraw.Draw(image)
    pen.ellipse(box, outline=0, width=side // 20)
    pen.line((box[0], box[1], box[0], box[3]), fill=0, width=side // 20)
    return image


def save(image, path, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


def assert_names(error, *words):
    """Asserts that an error has one line, which contains all words."""
    message = str(error.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def draw_page(lines, symbols, side=80):
    """Draws a page with lines of symbols.

    Args:
        lines: strings, one letter for each symbol, or a space.
        symbols: a black and white image for each letter.
        side: size of a symbol in pixels.

    Returns:
        The page, and the bounding box of each symbol's ink.
    """
    columns = max(map(len, lines))
    step = round(1.5 * side)
    page = Image.new("L", (step * (columns + 1), step * (len(lines) + 1)), 255)
    boxes = []
    for row, line in enumerate(lines):
        for column, letter in enumerate(line):
            if letter == " ":
                continue
            ink = ImageChops.invert(symbols[letter].convert("L"))
            ink = ink.resize((side, side))
            corner = (step // 2 + step * column, step // 2 + step * row)
            page.paste(0, corner, ink)
            ink = ink.point(lambda x: 255 * (x > 127))
            left, top, right, bottom = ink.getbbox()
            x, y = corner
            boxes.append((x + left, y + top, x + right, y + bottom))
    return page, boxes
