import struct
import zlib

import numpy as np
import pytest
from drawing import assert_names, draw, save
from PIL import Image, ImageDraw, ImageFilter

from koch_siamese.data import cleaning, image_files
from koch_siamese.data.image_files import (
    is_colorful,
    read_drawing,
    read_page,
    read_photo,
    write_drawing,
)
from koch_siamese.errors import InputError
from koch_siamese.pages.ink import measure_stroke_width


def variants():
    drawing = draw()
    gray = np.asarray(drawing)
    colors = drawing.convert("RGB")
    alpha = Image.fromarray(255 - gray)
    clear = {"black": Image.new("RGB", (105, 105), "black")}
    clear["white"] = Image.new("RGB", (105, 105), "white")
    for image in clear.values():
        image.putalpha(alpha)
    deep = gray.astype(np.uint16) * 257
    return {
        "clean.png": drawing,
        "clean.gif": drawing,
        "clean.bmp": drawing,
        "one_bit.png": drawing.convert("1"),
        "inverted.png": Image.fromarray(255 - gray),
        "colors.png": colors,
        "palette.png": colors.quantize(8),
        "yellow.png": Image.merge(
            "RGB", [clear["white"].split()[0]] * 2 + [drawing]
        ),
        "black_on_clear.png": clear["black"],
        "white_on_clear.png": clear["white"],
        "grey_alpha.png": clear["black"].convert("LA"),
        "deep.png": Image.fromarray(deep),
        "twelve_bits.png": Image.fromarray(deep // 16),
        "lossless.webp": drawing.convert("RGB"),
        "clean.tif": drawing,
        "deep.TIFF": Image.fromarray(deep),
        "shares.tif": Image.fromarray((gray / 255).astype(np.float32)),
        "four_inks.tif": drawing.convert("CMYK"),
        "clean.pgm": drawing,
        "deep.pgm": Image.fromarray(deep),
        "colors.ppm": colors,
    }


@pytest.mark.parametrize("name", variants())
def test_clean_images_of_every_kind_are_unchanged(name, tmp_path):
    options = {"lossless": True} if name.endswith("webp") else {}
    path = save(variants()[name], tmp_path / name, **options)
    drawing = read_drawing(path)
    assert (drawing.shape, drawing.dtype) == ((105, 105), np.uint8)
    np.testing.assert_array_equal(drawing, np.asarray(draw()))


@pytest.mark.parametrize("crop", [False, True])
def test_path_bytes_file_pillow_image_and_array_read_the_same(crop, tmp_path):
    image = photograph(draw(420, (80, 100, 280, 340)))
    path = save(image, tmp_path / "a.png")
    expected = read_drawing(path, crop)
    with path.open("rb") as file, Image.open(path) as lazy:
        for source in (
            str(path),
            path.read_bytes(),
            file,
            lazy,
            image,
            np.asarray(image),
        ):
            drawing = read_drawing(source, crop)
            np.testing.assert_array_equal(drawing, expected)
    gray = np.asarray(draw())
    np.testing.assert_array_equal(read_drawing(gray[..., np.newaxis]), gray)


def test_pillow_image_is_not_changed(tmp_path):
    path = save(draw(4000, (80, 100, 2800, 3400)), tmp_path / "a.jpg")
    with Image.open(path) as image:
        read_drawing(image)
        assert image.size == (4000, 4000)


@pytest.mark.parametrize(
    ("array", "part"),
    [
        (np.zeros((9, 9)), "has the dtype float64: expected uint8, 0 = black"),
        (np.ones((9, 9), bool), "has the dtype bool"),
        (np.zeros((9, 9), np.uint16), "has the dtype uint16"),
        (np.zeros((9, 9, 2), np.uint8), r"of shape \(9, 9, 2\) is not an"),
        (np.zeros((2, 9, 9, 3), np.uint8), "give several images as a list"),
        (np.zeros((0, 9), np.uint8), "has 9 x 0 pixels"),
        (3, "A value of type int is not an image: expected a path"),
        (b"", "An image of 0 bytes cannot be read"),
    ],
)
def test_values_that_are_not_images_are_refused(array, part):
    with pytest.raises(InputError, match=part):
        read_drawing(array)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
@pytest.mark.parametrize("read", [read_drawing, lambda x: read_photo(x, 9)])
def test_images_of_zeros_and_ones_are_refused(read, mode, tmp_path):
    mask = Image.fromarray(np.eye(9, dtype=np.uint8)).convert(mode)
    if mode == "RGBA":
        mask.putalpha(1)
    for image in (mask, np.asarray(mask), save(mask, tmp_path / "a.png")):
        with pytest.raises(
            InputError, match=r"no value above 1: .*255 = white"
        ):
            read(image)


def test_number_of_pixels_is_limited(tmp_path, monkeypatch):
    path = save(draw(), tmp_path / "a.png")
    monkeypatch.setattr(image_files, "_max_pixels", 105 * 105)
    read_drawing(path)
    image_files.limit_pixels(105 * 105 - 1)
    with pytest.raises(InputError, match="raise --max_pixels"):
        read_drawing(path)


def test_light_is_not_estimated_on_clean_drawings(monkeypatch):
    gray = np.asarray(draw(), np.float32)
    monkeypatch.setattr(cleaning, "_fit_lighting", None)
    drawing, was_clean = cleaning.clean(255 - gray)
    assert was_clean
    np.testing.assert_array_equal(drawing, gray)
    drawing, was_clean = cleaning.clean(gray)
    assert was_clean
    np.testing.assert_array_equal(drawing, gray)


@pytest.mark.parametrize(
    ("num_white", "num_black", "num_gray", "expected"),
    [(6, 4, 0, True), (5, 5, 0, False), (6, 2, 2, True), (7, 1, 2, False)],
)
def test_black_on_white_is_mostly_white_and_has_few_grays(
    num_white, num_black, num_gray, expected
):
    grays = num_white * [253.0] + num_black * [32.0] + num_gray * [128.0]
    assert cleaning.is_black_on_white(np.float32([grays])) == expected


def test_small_parts_and_pale_ones_are_erased():
    drawing = np.full((256, 256), 255, np.uint8)
    drawing[50:58, 20:180] = 0
    expected = drawing.copy()
    drawing[200:202, 200:202] = 0
    drawing[100:160, 100:160] = 160
    np.testing.assert_array_equal(cleaning.erase_specks(drawing), expected)


def test_parts_at_the_border_are_dropped_except_the_largest():
    drawing = np.full((30, 40), 255, np.uint8)
    drawing[:20, 10:20] = drawing[22:25, 3:6] = 0
    expected = drawing.copy()
    drawing[25:, 35:] = 0
    np.testing.assert_array_equal(cleaning._drop_border(drawing), expected)


@pytest.mark.parametrize(
    ("margin", "is_negative"),
    [(0, False), (1, False), (3, False), (1, True), (3, True)],
)
def test_ink_up_to_the_border_is_ink(margin, is_negative, tmp_path):
    # A box with a cross in it. Its whole border is ink.
    box = np.zeros((90, 70), np.uint8)
    box[6:42, 6:32] = box[6:42, 38:64] = 255
    box[48:84, 6:32] = box[48:84, 38:64] = 255

    def read(margin, is_negative):
        image = np.pad(box, margin, constant_values=255)
        image = 255 - image if is_negative else image
        path = save(Image.fromarray(image), tmp_path / "box.png")
        return read_drawing(path, crop=True)

    drawing = read(margin, is_negative)
    np.testing.assert_array_equal(drawing, read(40, False))


def test_very_bold_strokes_are_ink(tmp_path):
    image = np.full((100, 100), 255, np.uint8)
    image[8:-8, 8:-8] = 0
    image[40:60, 40:60] = 255
    assert (image == 0).mean() > 0.6
    path = save(Image.fromarray(image), tmp_path / "bold.png")
    assert read_drawing(path)[20, 20] == 0


def test_cmyk_jpeg_is_close_to_the_drawing(tmp_path):
    image = draw(420, (80, 100, 280, 340)).convert("CMYK")
    path = save(image, tmp_path / "cmyk.jpg", quality=90)
    expected = np.asarray(draw(420, (80, 100, 280, 340)).reduce(4), float)
    assert np.abs(read_drawing(path) - expected).mean() < 3


def test_exif_orientation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by 90 degrees clockwise
    turned = Image.fromarray(np.rot90(np.asarray(draw())))
    path = save(turned, tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_drawing(path), np.asarray(draw()))


def test_first_frame_of_an_animation_is_read(tmp_path):
    others = [Image.new("L", (105, 105), 255)]
    path = tmp_path / "a.gif"
    draw().save(path, save_all=True, append_images=others)
    np.testing.assert_array_equal(read_drawing(path), np.asarray(draw()))


@pytest.mark.parametrize("crop", [False, True])
def test_aspect_ratio_is_kept(crop, tmp_path):
    image = Image.new("L", (630, 210), 255)
    ImageDraw.Draw(image).ellipse((300, 20, 460, 180), outline=0, width=24)
    drawing = read_drawing(save(image, tmp_path / "a.png"), crop)
    rows, columns = np.nonzero(drawing < 128)
    assert abs(np.ptp(rows) - np.ptp(columns)) <= 1
    if crop:
        # 65 % of 105 pixels
        assert np.ptp(rows) + 1 == pytest.approx(68, abs=2)


def test_crop_ignores_position_and_specks(tmp_path):
    first = draw(300, (20, 30, 100, 130))
    second = draw(300, (180, 150, 260, 250))
    second.putpixel((3, 3), 0)
    drawings = [
        read_drawing(save(image, tmp_path / "a.png"), crop=True)
        for image in (first, second)
    ]
    np.testing.assert_array_equal(*drawings)


@pytest.mark.parametrize("side", [20, 28, 105, 200])
@pytest.mark.parametrize("length", [1, 2, 3, 4])
def test_dots_are_cropped(length, side):
    image = np.full((side, side), 255, np.uint8)
    image[2 : 2 + length, 7 : 7 + length] = 0
    drawing = cleaning.crop_to_ink(image)
    assert (drawing.shape, drawing.min()) == ((105, 105), 0)


@pytest.mark.parametrize(
    ("width", "expected"),
    [(1, 4), (6, 4), (20, 4), (60, 6)],  # a bold stroke loses two pixels
)
def test_crop_gives_the_usual_stroke_width(width, expected, tmp_path):
    image = Image.new("L", (900, 900), 255)
    ImageDraw.Draw(image).rectangle((200, 200, 700, 700), None, 0, width)
    drawing = read_drawing(save(image, tmp_path / "a.png"), crop=True)
    stroke = measure_stroke_width(drawing < 128) * np.pi / 4
    assert stroke == pytest.approx(expected, abs=0.25)


@pytest.mark.parametrize("side", range(130, 150))
def test_crop_keeps_hairlines_black_at_any_position(side, tmp_path):
    image = Image.new("L", (210, 210), 255)
    ImageDraw.Draw(image).rectangle(
        (30, 40, 30 + side, 40 + side // 2), None, 0
    )
    drawing = read_drawing(save(image, tmp_path / "a.png"), crop=True)
    # Rows and columns within the rectangle cross two of its sides.
    rows, columns = np.nonzero(drawing < 128)
    inside = drawing[rows.min() : rows.max() + 1, columns.min() : columns.max()]
    height, width = inside.shape
    for crossing in (
        inside[2:-2, : width // 2].min(axis=1),
        inside[2:-2, width // 2 :].min(axis=1),
        inside[: height // 2, 2:-2].min(axis=0),
        inside[height // 2 :, 2:-2].min(axis=0),
    ):
        assert crossing.max() < 32


def photograph(image, paper=200, ink=60):
    """Simulates a photograph: uneven light, noise, blur and a tint."""
    rng = np.random.default_rng(0)
    blurred = image.filter(ImageFilter.GaussianBlur(1))
    light = np.linspace(0.6, 1, image.width)
    gray = (ink + (paper - ink) / 255 * np.asarray(blurred)) * light
    colors = gray[..., np.newaxis] * [1.1, 1, 0.8]
    colors += rng.normal(0, 6, colors.shape)
    return Image.fromarray(colors.clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize("crop", [False, True])
@pytest.mark.parametrize("levels", [(200, 60), (50, 200)])
def test_photograph_is_cleaned(crop, levels, tmp_path):
    image = draw(420, (80, 100, 280, 340))
    clean = read_drawing(save(image, tmp_path / "a.png"), crop)
    image.paste(0, (390, 390, 396, 396))  # a speck
    image = photograph(image, *levels)
    path = save(image, tmp_path / "a.jpg", quality=80)
    drawing = read_drawing(path, crop)
    assert drawing[95:, 95:].min() == 255
    assert np.abs(drawing - clean.astype(float)).mean() < 5
    assert np.median(drawing) == 255
    assert drawing.min() <= 5


def png_header(width, height):
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    end = struct.pack(">I", zlib.crc32(chunk))
    header = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + end
    return header + struct.pack(">I", 1000) + b"IDAT"


def bad_files(tmp_path):
    whole = save(draw(), tmp_path / "whole.png").read_bytes()
    return {
        "no bytes": b"",
        "text": b"no image at all\n",
        "truncated": whole[: len(whole) // 2],
        "header only": png_header(105, 105),
        "huge": png_header(100_000, 100_000),
        "just too large": png_header(5001, 10_000),
        "no pixels": png_header(0, 5),
    }


@pytest.mark.filterwarnings("error")
def test_bad_files_get_one_line(tmp_path):
    for name, data in bad_files(tmp_path).items():
        path = tmp_path / f"{name}\n.png"
        path.write_bytes(data)
        with pytest.raises(InputError) as error:
            read_drawing(path)
        assert_names(error, name, "expected", "\\n.png")
    for path in (tmp_path, tmp_path / "missing.png"):
        with pytest.raises(InputError) as error:
            read_drawing(path)
        assert_names(error, str(path), "expected")


def test_too_many_pixels_are_refused_before_decoding(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(png_header(5001, 10_000))
    with pytest.raises(InputError, match="5001 x 10000 pixels"):
        read_drawing(path)


@pytest.mark.parametrize("level", [0, 128, 255])
@pytest.mark.parametrize("noise", [0, 3])
@pytest.mark.parametrize("crop", [False, True])
def test_blank_paper_is_an_error(level, noise, crop, tmp_path):
    values = np.random.default_rng(0).normal(level, noise, (200, 300))
    image = Image.fromarray(values.clip(0, 255).astype(np.uint8))
    path = save(image, tmp_path / "a.png")
    with pytest.raises(InputError, match="no clean symbol found") as error:
        read_drawing(path, crop)
    assert_names(error, "a.png")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "suffix", ["png", "jpg", "gif", "bmp", "webp", "tif", "pgm"]
)
def test_damaged_files_raise_only_input_errors(suffix, tmp_path):
    path = save(draw(40, (5, 5, 30, 35)), tmp_path / f"a.{suffix}")
    whole = np.frombuffer(path.read_bytes(), np.uint8)
    rng = np.random.default_rng(0)
    for trial in range(80):
        broken = whole.copy()
        where = rng.integers(len(whole) if trial % 2 else 100, size=3)
        broken[where % len(whole)] = rng.integers(256, size=3)
        path.write_bytes(broken.tobytes())
        try:
            drawing = read_drawing(path, crop=trial % 3 == 0)
        except InputError as error:
            assert "\n" not in str(error)
        else:
            assert drawing.shape == (105, 105)


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (300, 1), (2, 3)])
def test_tiny_images_are_read_or_reported(size, tmp_path):
    image = Image.new("L", size, 255)
    image.putpixel((0, 0), 0)
    path = save(image, tmp_path / "a.png")
    for crop in (False, True):
        try:
            assert read_drawing(path, crop).shape == (105, 105)
        except InputError as error:
            assert "no clean symbol found" in str(error)


def test_photo_keeps_its_colors_and_its_aspect_on_white(tmp_path):
    image = Image.new("RGB", (40, 20), "red")
    image.paste("black", (0, 0, 20, 20))
    photo = read_photo(save(image, tmp_path / "a.png"), 40)
    assert photo.dtype == np.uint8
    expected = np.full((40, 40, 3), 255)
    expected[10:30] = [255, 0, 0]
    expected[10:30, :20] = 0
    np.testing.assert_array_equal(photo, expected)
    small = read_photo(image, 20)
    np.testing.assert_array_equal(
        small[[0, 10, 10], [10, 3, 16]], [3 * [255], 3 * [0], [255, 0, 0]]
    )


def test_photos_of_one_color_are_accepted():
    for color in ("white", "black", "blue"):
        image = Image.new("RGB", (30, 30), color)
        expected = np.broadcast_to(np.asarray(image)[0, 0], (8, 8, 3))
        np.testing.assert_array_equal(read_photo(image, 8), expected)


def test_photos_of_every_mode_are_rgb(tmp_path):
    gray = np.tile(np.arange(0, 240, 8, dtype=np.uint8), (30, 1))
    colors = Image.fromarray(np.repeat(gray[..., np.newaxis], 3, axis=2))
    expected = read_photo(colors, 30)
    np.testing.assert_array_equal(expected[..., 1], gray)
    clear = Image.fromarray(gray).convert("LA")
    for image in (
        Image.fromarray(gray),
        Image.fromarray(gray.astype(np.uint16) * 257),
        colors.convert("RGBA"),
        clear,
        gray,
        gray[..., np.newaxis],
        np.asarray(colors),
    ):
        np.testing.assert_allclose(read_photo(image, 30), expected, atol=1)
    # Transparent pixels become white, even around white ones.
    clear.putalpha(0)
    assert read_photo(clear, 30).min() == 255
    white = Image.new("LA", (30, 30), (255, 0))
    white.paste((255, 255), (5, 5, 25, 25))
    assert read_photo(white, 30).min() == 255
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by 90 degrees clockwise
    path = save(colors, tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_photo(path, 30), np.rot90(expected, -1))


def test_a_large_page_is_not_decoded_at_a_smaller_size(tmp_path):
    page = Image.new("L", (2400, 2100), 255)
    pixels, size = read_page(save(page, tmp_path / "page.jpg"))
    assert (pixels.shape, size) == ((2100, 2400, 3), (2400, 2100))


def test_photo_that_cannot_be_read_is_named(tmp_path):
    path = tmp_path / "broken.jpg"
    path.write_bytes(b"no image")
    with pytest.raises(InputError, match=r"broken\.jpg.*cannot be read"):
        read_photo(path, 20)


def test_written_drawing_is_read_unchanged(tmp_path):
    bold = np.full((200, 200), 255, np.uint8)
    bold[20:180, 60:130] = bold[70:120, 20:180] = 0
    drawing = read_drawing(bold, crop=True)
    write_drawing(tmp_path / "written.png", drawing, {"Guess": "ka"})
    Image.fromarray(drawing).save(tmp_path / "plain.png")
    for crop in (True, False):
        np.testing.assert_array_equal(
            read_drawing(tmp_path / "written.png", crop), drawing
        )
    # Cleaned again, the strokes become thinner.
    again = read_drawing(tmp_path / "plain.png", crop=True)
    assert np.sum(again < 128) < np.sum(drawing < 128)
    with Image.open(tmp_path / "written.png") as image:
        assert image.info["Guess"] == "ka"
        enlarged = image.resize((210, 210))
        gray = image.point(lambda x: x // 2 + 100)
    assert gray.info["Drawing"]
    # An edited drawing is cleaned again.
    assert np.median(read_drawing(gray, crop=True)) == 255
    assert read_drawing(enlarged, crop=True).shape == (105, 105)


def draw_in_color(width, ink, paper):
    """Draws a zigzag in 8-bit colors, in light that falls off to the right."""
    image = Image.new("RGB", (200, 200), paper)
    points = [(30, 40), (160, 60), (40, 100), (170, 130), (50, 170)]
    ImageDraw.Draw(image).line(points, fill=ink, width=width)
    light = np.linspace(1, 0.6, 200)[:, np.newaxis]
    return (np.asarray(image) * light).astype(np.uint8)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (draw_in_color(12, (200, 20, 30), "white"), False),  # red ink
        (draw_in_color(8, (40, 35, 30), (215, 175, 110)), False),  # yellowed
        (draw_in_color(8, (20, 30, 160), (255, 235, 90)), False),  # a memo
        (draw_in_color(60, (250, 200, 40), "white"), True),
        (draw_in_color(60, (20, 90, 200), (60, 160, 60)), True),
        (np.asarray(draw()), False),
        (b"broken", False),
    ],
)
def test_color_pictures_are_told_from_ink_on_paper(image, expected):
    assert is_colorful(image) is expected


def test_color_pictures_that_are_no_drawings_are_named(tmp_path):
    stripes = np.full((60, 60, 3), (120, 120, 120), np.uint8)
    stripes[15:45, 15:45] = 200, 89, 84  # as bright as its border
    path = save(Image.fromarray(stripes), tmp_path / "a.png")
    with pytest.raises(InputError) as error:
        read_drawing(path, crop=True)
    assert_names(error, "a.png", "a drawing in ink on paper; for color pict")
