"""Image files for tests, and what errors say of them."""

from PIL import Image, ImageDraw


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
