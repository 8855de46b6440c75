"""Image files for tests, and what errors say of them."""

from PIL import Image, ImageChops, ImageDraw


def draw(side=105, box=(20, 25, 70, 85)):
    """A ring with a bar: black on white."""
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
    """An error of one line that has all the words."""
    message = str(error.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def draw_page(lines, symbols, side=80):
    """A page of symbols in lines, and the box of each symbol's ink.

    lines: texts, a letter a symbol; symbols: a black and white image of each.
    """
    columns = max(map(len, lines))
    step = round(1.5 * side)
    page = Image.new("L", (step * (columns + 1), step * (len(lines) + 1)), 255)
    boxes = []
    for row, line in enumerate(lines):
        for column, letter in enumerate(line):
            ink = ImageChops.invert(symbols[letter].convert("L"))
            ink = ink.resize((side, side))
            corner = (step // 2 + step * column, step // 2 + step * row)
            page.paste(0, corner, ink)
            ink = ink.point(lambda x: 255 * (x > 127))
            left, top, right, bottom = ink.getbbox()
            x, y = corner
            boxes.append((x + left, y + top, x + right, y + bottom))
    return page, boxes
