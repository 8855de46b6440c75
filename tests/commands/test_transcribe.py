"""Tests `transcribe`: reading pages, grouping symbols and the review."""

import json
from xml.etree import ElementTree

import numpy as np
import pytest
from conftest import TINY_MODEL, assert_one_line, call
from drawing import draw_page, save
from PIL import Image

from koch_siamese.data import glyphs
from koch_siamese.data.image_files import read_drawing
from koch_siamese.reporting.page_xml import NAMESPACE

MODEL = f"--model={TINY_MODEL}"
EVERYTHING = "--threshold=-1e9"  # the best character is always the answer
LINES = ("abca", "cab")
SYMBOLS = {x: glyphs.draw_glyph(41, i, 1) for i, x in enumerate("abc")}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder: `known` with an example of each symbol, and two pages."""
    folder = tmp_path_factory.mktemp("pages")
    for name, image in SYMBOLS.items():
        save(image, folder / "known" / f"{name}.png")
    image, boxes = draw_page(LINES, SYMBOLS)
    image.save(folder / "page.png")
    (folder / "boxes.json").write_text(json.dumps(boxes))
    Image.new("L", (300, 200), 255).save(folder / "blank.png")
    return folder


def transcribe(folder, *arguments, page="page.png"):
    answer = call(
        "transcribe",
        MODEL,
        f"--page={folder / page}",
        f"--support={folder / 'known'}",
        *arguments,
    )
    assert answer.returncode == 0, answer.stderr
    return answer


def read_boxes(folder):
    return np.array(json.loads((folder / "boxes.json").read_text()))


def test_transcribe_writes_all_its_files(folder, tmp_path):
    answer = transcribe(
        folder,
        EVERYTHING,
        f"--figure={tmp_path / 'read.png'}",
        f"--xml={tmp_path / 'page.xml'}",
    )
    assert answer.stdout == "abca\ncab\n"
    assert answer.stderr == ""
    original = Image.open(folder / "page.png")
    figure = np.asarray(Image.open(tmp_path / "read.png"), int)
    assert figure.shape[1] >= original.width
    # All boxes are blue, as all symbols have a name; none is vermilion.
    is_blue = (figure == (0x00, 0x72, 0xB2)).all(axis=-1)
    assert is_blue.sum() > 500
    assert not (figure == (0xD5, 0x5E, 0x00)).all(axis=-1).any()
    root = ElementTree.parse(tmp_path / "page.xml").getroot()
    names = {"p": NAMESPACE}
    page = root.find("p:Page", names)
    assert page.get("imageFilename") == "page.png"
    size = int(page.get("imageWidth")), int(page.get("imageHeight"))
    assert size == original.size
    lines = root.findall(".//p:TextLine", names)
    texts = [x.find("p:TextEquiv/p:Unicode", names).text for x in lines]
    assert texts == ["abca", "cab"]
    words = root.findall(".//p:Word", names)
    assert [x.get("id") for x in words] == ["line1_word1", "line2_word1"]
    glyphs_found = root.findall(".//p:Glyph", names)
    corners = [x.find("p:Coords", names).get("points") for x in glyphs_found]
    for points, box in zip(corners, read_boxes(folder), strict=True):
        corner = [tuple(map(int, x.split(","))) for x in points.split()]
        # Corners are in clockwise order, starting at the top left.
        found = [*corner[0], *corner[2]]
        assert np.abs(np.subtract(found, box)).max() <= 2
        assert corner[1] == (corner[2][0], corner[0][1])
    first = glyphs_found[0].findall("p:TextEquiv", names)
    assert [x.get("index") for x in first] == ["0", "1", "2"]
    assert first[0].find("p:Unicode", names).text == "a"
    assert 0 <= float(first[0].get("conf")) <= 1


def test_outputs_are_files_by_their_suffix(folder, tmp_path):
    names = {"read.PNG", "page.XML", "v1.2/page.png"}
    for arguments in (
        (f"--figure={tmp_path}/read.PNG", f"--xml={tmp_path}/page.XML"),
        (f"--figure={tmp_path}/v1.2",),
    ):
        transcribe(folder, *arguments)
    files = (x for x in tmp_path.rglob("*") if x.is_file())
    assert {x.relative_to(tmp_path).as_posix() for x in files} == names


def test_examples_are_drawn_as_they_were_read(folder, tmp_path):
    """Tests the figure with an example in place of a name without a font."""
    save(SYMBOLS["a"], tmp_path / "known" / "\N{TANGSA LETTER OZ}.png")
    answer = call(
        "transcribe",
        *(MODEL, EVERYTHING, f"--page={folder / 'page.png'}"),
        f"--support={tmp_path / 'known'}",
        f"--figure={tmp_path / 'read.png'}",
    )
    assert answer.returncode == 0, answer.stderr
    assert (tmp_path / "read.png").is_file()


def test_json_has_boxes_names_and_scores(folder):
    (line,) = transcribe(folder, "--json", EVERYTHING).stdout.splitlines()
    page = json.loads(line)
    assert page["page"] == str(folder / "page.png")
    assert [len(x) for x in page["lines"]] == [4, 3]
    symbols = [x for line in page["lines"] for x in line]
    assert "".join(x["character"] for x in symbols) == "abcacab"
    boxes = np.array([x["box"] for x in symbols])
    assert np.abs(boxes - read_boxes(folder)).max() <= 2
    for symbol in symbols:
        assert symbol["best"] == symbol["character"]
        assert symbol["score"] > symbol["runner_up_score"]
        assert 0.5 < symbol["probability"] <= 1
        assert symbol["threshold"] == -1e9
    answer = transcribe(folder, "--json", "--threshold=1e9")
    symbols = json.loads(answer.stdout)["lines"][1]
    assert [x["character"] for x in symbols] == [None, None, None]
    assert [x["best"] for x in symbols] == ["c", "a", "b"]
    answer = transcribe(folder, "--threshold=1e9")
    assert answer.stdout == "????\n???\n"
    assert answer.stderr.startswith("note: 0 of 7 symbols of ")
    assert "page.png have a name: is the page upright" in answer.stderr
    # Two of the seven symbols, `b`, score 1.05, and the others less than 0.94.
    answer = transcribe(folder, "--threshold=1")
    assert "note: 2 of 7 symbols of " in answer.stderr
    assert transcribe(folder, "--threshold=0.92").stderr == ""


def test_gallery_and_direction_are_used(folder, tmp_path):
    gallery = f"--gallery={tmp_path / 'gallery.npz'}"
    transcribe(folder, gallery)
    answer = call(
        "transcribe",
        *(MODEL, f"--page={folder / 'page.png'}", gallery, EVERYTHING),
        "--direction=rtl",
    )
    assert answer.stdout == "acba\nbac\n"


def test_blank_pages_do_not_stop_the_others(folder, tmp_path):
    pages = tmp_path / "pages"
    pages.mkdir()
    for name in ("blank.png", "page.png"):
        (pages / name).write_bytes((folder / name).read_bytes())
    (pages / "torn.png").write_bytes((folder / "page.png").read_bytes()[:60])
    arguments = (
        MODEL,
        f"--page={pages}",
        f"--support={folder / 'known'}",
        EVERYTHING,
        f"--figure={tmp_path / 'figures'}",
    )
    answer = call("transcribe", *arguments)
    blank = f"{str(pages / 'blank.png')!r}: no clean symbol found"
    assert_one_line(answer, "2 of 3", blank, "torn.png' cannot be read")
    assert answer.stdout == f"{pages / 'page.png'}:\nabca\ncab\n\n"
    figures = sorted(x.name for x in (tmp_path / "figures").iterdir())
    assert figures == ["blank.png", "page.png"]
    # The figure has the page, 300 pixels wide, and beside it the ink found.
    assert Image.open(tmp_path / "figures" / "blank.png").width > 600
    answer = call("transcribe", *arguments, "--json")
    read, *others = map(json.loads, answer.stdout.splitlines())
    assert [len(line) for line in read["lines"]] == [4, 3]
    assert "error" not in read
    assert [x["page"][-9:] for x in others] == ["blank.png", "/torn.png"]
    for other in others:
        assert other["lines"] == []
        assert "no clean symbol" in other["error"] or "read" in other["error"]
    answer = call(
        "transcribe",
        *arguments[:1],
        f"--page={pages / 'blank.png'}",
        *arguments[2:],
    )
    assert_one_line(answer, "blank.png': no clean symbol found")


def test_confirmed_symbols_are_learned(folder, tmp_path):
    """Tests that a person can name a symbol, which is then recognized."""
    symbols = SYMBOLS | {"d": glyphs.draw_glyph(41, 7, 1)}
    new, following = tmp_path / "new.png", tmp_path / "next.png"
    draw_page(("adc", "dbd"), symbols)[0].save(new)
    draw_page(("dd",), symbols, 90)[0].save(following)
    review = tmp_path / "review"
    arguments = (f"--review={review}", "--threshold=-1e9")
    answer = transcribe(folder, *arguments, page=new)
    assert "d" not in answer.stdout
    strict = (f"--review={review}", "--threshold=1e9")
    answer = transcribe(folder, *strict, page=new)
    assert "6 doubtful symbols" in answer.stderr
    files = sorted(review.glob("doubtful/*/*.png"), key=lambda x: x.name)
    assert [x.name for x in files] == [
        f"new.png_line{i:02}_symbol{j:02}.png"
        for i in (1, 2)
        for j in (1, 2, 3)
    ]
    # A second run replaces the files and learns nothing.
    answer = transcribe(folder, *strict, page=new)
    assert "examples" not in answer.stderr
    assert len(list(review.rglob("*.png"))) == 6
    target = review / "confirmed" / "d"
    target.mkdir()
    for file in (files[1], files[3]):
        file.rename(target / file.name)
    answer = transcribe(folder, *strict, page=new)
    assert answer.stdout == "?d?\nd??\n"
    assert "2 confirmed symbols" in answer.stderr
    assert "4 doubtful symbols" in answer.stderr
    # The third d of this page and both of another page are recognized.
    answer = transcribe(folder, *arguments, page=new)
    assert answer.stdout == "adc\ndbd\n"
    answer = transcribe(folder, *arguments, page=following)
    assert answer.stdout == "dd\n"


def test_discovered_groups_can_be_used_as_support(folder, tmp_path):
    pytest.importorskip("sklearn", reason="Groups need the extra 'pages'.")
    found = tmp_path / "found"
    page = f"--page={folder / 'page.png'}"
    answer = call("transcribe", MODEL, page, f"--discover={found}")
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.startswith("7 symbols in 3 groups")
    assert Image.open(tmp_path / "found.png").width > 500
    groups = {
        x.name: sorted(y.name for y in x.iterdir()) for x in found.iterdir()
    }
    assert sorted(map(len, groups.values())) == [2, 2, 3]
    assert len(groups["group_001"]) == 3
    assert groups["group_001"][0].startswith("1_page.png_line0")
    for image in sorted(found.glob("*/*.png")):  # is not cleaned again
        drawing = read_drawing(image, crop=True)
        np.testing.assert_array_equal(drawing, np.asarray(Image.open(image)))
    support = f"--support={found}"
    answer = call("transcribe", MODEL, page, support, EVERYTHING)
    assert answer.returncode == 0, answer.stderr
    a, b, c = (f"group_00{i}" for i in (1, 2, 3))
    assert answer.stdout == f"{a} {b} {c} {a}\n{c} {a} {b}\n"
    (found / a).rename(found / "a")
    answer = call("transcribe", MODEL, page, support, EVERYTHING)
    assert answer.stdout.startswith(f"a {b} {c} a\n")
    again = call("transcribe", MODEL, page, f"--discover={found}")
    assert_one_line(again, "exists already")


@pytest.mark.parametrize(
    ("page", "flag", "part"),
    [
        (
            "scans",
            "--figure=scans",
            "overwrite scans/p1.png, which is an",
        ),
        ("scans/p1.png", "--figure=link", "would overwrite link/p1.png"),
        ("scans", "--figure=scans/out", "into scans, whose images are inputs"),
        ("tiff", "--xml=tiff", "would write tiff/two_1_page.png into tiff"),
        ("scans", "--review=scans/review", "would write scans/review into"),
        ("scans", "--figure=known/read", "would write known/read/p1.png into"),
    ],
)
def test_inputs_are_not_overwritten(page, flag, part, tmp_path):
    image = Image.new("L", (90, 90), 255)
    for name in ("scans/p1.png", "scans/p2.png", "known/a.png", "tiff/two.tif"):
        save(image, tmp_path / name)
    image.save(tmp_path / "tiff/two.tif", save_all=True, append_images=[image])
    (tmp_path / "link").symlink_to("scans")
    before = {x: x.is_file() and x.read_bytes() for x in tmp_path.rglob("*")}
    arguments = (MODEL, "--support=known", f"--page={page}", flag)
    assert_one_line(call("transcribe", *arguments, cwd=tmp_path), part)
    after = {x: x.is_file() and x.read_bytes() for x in tmp_path.rglob("*")}
    assert after == before


def test_boxes_of_page_xml_fit_the_image_beside_it(folder, tmp_path):
    """Tests a page of a TIFF that is reduced to be read."""
    page = Image.open(folder / "page.png")
    wide = Image.new("L", (5000, page.height), 255)
    wide.paste(page)
    wide.save(tmp_path / "two.tif", save_all=True, append_images=[wide])
    first = tmp_path / "two.tif#page=1"
    transcribe(folder, f"--xml={tmp_path / 'read.xml'}", page=first)
    names = {"p": NAMESPACE}
    root = ElementTree.parse(tmp_path / "read.xml").getroot()
    shown = root.find("p:Page", names)
    image = Image.open(tmp_path / shown.get("imageFilename"))
    size = int(shown.get("imageWidth")), int(shown.get("imageHeight"))
    assert image.size == size == (5000, page.height)
    ink = image.convert("L").point(lambda x: 255 * (x < 128))
    found = root.findall(".//p:Glyph/p:Coords", names)
    assert len(found) == 7
    for element in found:
        points = [
            tuple(map(int, x.split(","))) for x in element.get("points").split()
        ]
        left, top, right, bottom = box = (*points[0], *points[2])
        around = (left - 9, top - 9, right + 9, bottom + 9)
        inner = np.array(ink.crop(around).getbbox()) + [*around[:2]] * 2
        assert np.abs(inner - box).max() <= 3


def test_page_xml_may_be_beside_its_image(folder, tmp_path):
    page = save(Image.open(folder / "page.png"), tmp_path / "scans/page.png")
    transcribe(folder, f"--xml={page.parent}", page=page.parent)
    assert page.with_suffix(".xml").is_file()


def test_nothing_is_discovered_on_a_blank_page(folder, tmp_path):
    answer = call(
        "transcribe",
        *(MODEL, f"--page={folder / 'blank.png'}"),
        f"--discover={tmp_path / 'found'}",
    )
    assert_one_line(answer, "no clean symbol found", "take the picture again")
    assert "--figure" not in answer.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ([], "--page"),
        (["--page=p.png"], "--support"),
        (["--page=no.png", "--support=p.png"], "'no.png' does not exist"),
        (["--page=p.png", "--support=no"], "'no' does not exist"),
        (["--page=p.png", "--support=p.png", "--direction=up"], "direction"),
        (["--page=p.png", "--support=p.png", "--cut=3"], "--cut"),
        (["--page=p.png", "--discover=d", "--support=p.png"], "--support"),
        (["--page=p.png", "--discover=d", "--review=r"], "--review"),
        (["--page=.", "--support=p.png", "--figure=f.png"], "give a folder"),
        (["--page=.", "--support=p.png", "--figure=f.PNG"], "give a folder"),
        (["--page=.", "--support=p.png", "--xml=f.xml"], "give a folder"),
        (
            ["--page=p.png", "--support=p.png", "--figure=f.jpg"],
            "--figure=f.jpg: expected a file that ends in .png, or a folder",
        ),
        (
            ["--page=p.png", "--support=p.png", "--xml=f.png"],
            "--xml=f.png: expected a file that ends in .xml, or a folder",
        ),
        (["--page=p.png", "--support=p.png", "--review=q.png"], "is a file"),
        (["--page=broken.pdf", "--support=p.png"], "broken.pdf"),
    ],
)
def test_mistakes_get_one_line(arguments, part, tmp_path):
    draw_page(LINES, SYMBOLS)[0].save(tmp_path / "p.png")
    draw_page(LINES, SYMBOLS)[0].save(tmp_path / "q.png")
    if "--page=broken.pdf" in arguments:
        pytest.importorskip("pypdfium2", reason="PDFs need the extra 'pages'.")
        (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.7")
    answer = call("transcribe", MODEL, *arguments, cwd=tmp_path)
    assert_one_line(answer, part)
    assert {x.name for x in tmp_path.iterdir()} <= {
        "p.png",
        "q.png",
        "broken.pdf",
    }
