"""Tests reading pages and grouping symbols through the Python API."""

import collections
import dataclasses
import os
import zlib
from unittest import mock

import numpy as np
import pytest
from conftest import TINY_MODEL
from drawing import draw_page, save
from PIL import Image

from koch_siamese import InputError, Recognizer
from koch_siamese.data import glyphs, image_files, page_files
from koch_siamese.data.page_files import list_pages, load_page
from koch_siamese.errors import DataWarning
from koch_siamese.inference import assignment, grouping
from koch_siamese.inference.gallery import Answer, Candidate
from koch_siamese.inference.grouping import group_by_scores
from koch_siamese.inference.review import (
    ReviewFolder,
    is_doubtful,
    to_folder,
)
from koch_siamese.inference.transcription import (
    FoundPage,
    FoundSymbol,
    RecognizedSymbol,
    find_on_page,
    make_transcription,
)
from koch_siamese.models.heads import EuclideanDistance
from koch_siamese.models.scorer import SiameseScorer
from koch_siamese.models.siamese import build_siamese
from koch_siamese.models.thresholds import Thresholds

LINES = ("abca", "cab")
SYMBOLS = {x: glyphs.draw_glyph(41, i, 1) for i, x in enumerate("abc")}
EVERYTHING = -1e9  # a threshold that accepts every symbol


@pytest.fixture(scope="module")
def recognizer():
    return Recognizer(TINY_MODEL).add(SYMBOLS)


@pytest.fixture(scope="module")
def page():
    return draw_page(LINES, SYMBOLS)


def assert_near(boxes, expected, tolerance=2):
    assert len(boxes) == len(expected)
    gap = np.abs(np.array(boxes) - expected).max()
    assert gap <= tolerance, (boxes, expected)


def test_a_page_is_read_line_by_line(recognizer, page):
    image, boxes = page
    read = recognizer.transcribe(image, threshold=EVERYTHING)
    assert read.text == "abca\ncab"
    assert (read.size, read.page) == (image.size, "")
    assert_near([x.box for x in read.symbols], boxes)
    first = read.lines[0][0]
    assert first.drawing.shape == (105, 105)
    # A symbol on a page scores like a separate drawing of it.
    assert first.answer.best.score == pytest.approx(
        recognizer.classify(SYMBOLS["a"]).best.score, abs=2
    )
    json = read.to_json()
    assert json["page"] == ""
    assert [len(line) for line in json["lines"]] == [4, 3]
    assert json["lines"][1][0]["character"] == "c"
    assert json["lines"][1][0]["box"] == list(read.lines[1][0].box)


def test_symbols_of_a_page_are_recognized_together(page):
    recognizer = Recognizer.pretrained().add(SYMBOLS)
    read = recognizer.transcribe(page[0])
    assert read.text == "abca\ncab"
    found = collections.defaultdict(set)
    for symbol in read.symbols:
        found[symbol.name].add(symbol.answer.best.score)
    # Symbols that are the same have the mean of their scores.
    drawings = np.stack([symbol.drawing for symbol in read.symbols])
    alone = recognizer.classify_drawings(drawings)
    for name, scores in found.items():
        own = [x.best.score for x in alone if x.name == name]
        assert len(own) > 1
        assert list(scores) == [pytest.approx(np.mean(own))]
    # If not even equal symbols are alike, each is recognized alone. Together,
    # two of them would not be the same, at such a cost (1.5 / slope).
    strict = recognizer.copy()
    strict.thresholds = Thresholds(1e9, (-1e9,), slope=1e-9)
    assert strict.transcribe(draw_page(("aa",), SYMBOLS)[0]).text == "aa"
    # So are too many.
    with (
        mock.patch.object(assignment, "MAX_SYMBOLS", 6),
        pytest.warns(DataWarning, match="7 symbols and 3 known characters are"),
    ):
        read = recognizer.transcribe(page[0])
    assert [x.answer for x in read.symbols] == alone


def test_symbols_like_a_confirmed_one_get_its_name(page):
    recognizer = Recognizer.pretrained().add(SYMBOLS)
    found = find_on_page(load_page(page[0]))
    first, *rest = found.lines[0]
    for name, text in (("b", "bbcb\ncbb"), ("unknown", "unknownbca\ncab")):
        confirmed = dataclasses.replace(first, confirmed=name)
        lines = (confirmed, *rest), found.lines[1]
        read = recognizer.transcribe(
            dataclasses.replace(found, lines=lines), threshold=EVERYTHING
        )
        assert read.text == text


def test_right_to_left_and_columns(recognizer, page):
    image, _ = page
    read = recognizer.transcribe(image, "rtl", EVERYTHING)
    assert read.text == "acba\nbac"
    # Columns are read from the right one to the left one.
    columns = draw_page(("ca", "ab", "bc"), SYMBOLS)[0]
    read = recognizer.transcribe(columns, "ttb", EVERYTHING)
    assert read.text == "abc\ncab"
    with pytest.raises(InputError, match="'up': expected one of ltr"):
        recognizer.transcribe(image, "up")


def test_words_are_separated_at_wide_gaps(page):
    """Tests all directions on one page: `abc` and `aca` in its first line."""
    columns = draw_page(("ac", "ba", "ca", "  ", "ac", "cb", "ab"), SYMBOLS)[0]
    lines = draw_page(("abc aca", "cab cab"), SYMBOLS)[0]
    for image, direction, text in [
        (lines, "ltr", "abc aca\ncab cab"),
        (lines, "rtl", "aca cba\nbac bac"),
        (columns, "ttb", "caa cbb\nabc aca"),
    ]:
        found = find_on_page(load_page(image), direction)
        is_start = [[x.starts_word for x in line] for line in found.lines]
        assert is_start == [[True, False, False] * 2] * 2
        recognizer = Recognizer(TINY_MODEL).add(SYMBOLS)
        read = recognizer.transcribe(found, threshold=EVERYTHING)
        assert read.text == text
        assert read.to_json()["lines"][0][3]["starts_word"] is True


def test_one_page_or_several(recognizer, page, tmp_path):
    image, _ = page
    path = save(image, tmp_path / "pages" / "one.png")
    read = recognizer.transcribe(path, threshold=EVERYTHING)
    assert read.page == str(path)
    for several in ([path], path.parent):
        assert recognizer.transcribe(several, threshold=EVERYTHING) == [read]
    blank = Image.new("L", (300, 300), 255)
    assert recognizer.transcribe(blank).lines == ()
    assert recognizer.transcribe(blank).text == ""


def test_pages_of_a_pdf(recognizer, page, tmp_path):
    pytest.importorskip("pypdfium2", reason="PDFs need the extra 'pages'.")
    image, boxes = page
    blank = Image.new("L", image.size, 255)
    path = tmp_path / "two.pdf"
    image.save(path, save_all=True, append_images=[blank], resolution=150)
    first, second = recognizer.transcribe(path, threshold=EVERYTHING)
    assert (first.text, second.text) == ("abca\ncab", "")
    assert first.page == f"{path}#page=1"
    # Pages are rendered at 300 dpi, twice the 150 dpi of the image inside.
    assert np.abs(np.subtract(first.size, 2 * np.array(image.size))).max() <= 1
    assert_near([x.box for x in first.symbols], 2 * np.array(boxes), 5)
    assert [x.number for x in list_pages(tmp_path)] == [1, 2]
    assert load_page(first.page).size == first.size
    assert recognizer.transcribe([second.page]) == [second]
    with pytest.raises(InputError, match=r"has 2 pages: .*two\.pdf#page=2'"):
        load_page(path)
    with pytest.raises(InputError, match=r"two\.pdf#page=3' cannot be read"):
        load_page(f"{path}#page=3")
    with pytest.raises(InputError, match=r"no\.pdf#page=1' does not exist"):
        list_pages(tmp_path / "no.pdf#page=1")
    image.save(tmp_path / "one.pdf")
    assert load_page(tmp_path / "one.pdf").name.endswith("one.pdf#page=1")
    (tmp_path / "one.pdf").unlink()
    both = recognizer.transcribe([path, image], threshold=EVERYTHING)
    assert [x.text for x in both] == ["abca\ncab", "", "abca\ncab"]
    path.write_bytes(path.read_bytes()[:100])
    # Listing a folder does not fail at a broken PDF, but reading it does.
    (broken,) = list_pages(tmp_path)
    with pytest.raises(InputError, match=r"two\.pdf' cannot be read"):
        recognizer.transcribe([image, broken])


def test_a_pdf_without_pages_is_refused(recognizer, tmp_path):
    pypdfium2 = pytest.importorskip(
        "pypdfium2", reason="PDFs need the extra 'pages'."
    )
    pypdfium2.PdfDocument.new().save(tmp_path / "empty.pdf")
    with pytest.raises(InputError, match=r"empty\.pdf' cannot be read"):
        recognizer.transcribe(tmp_path / "empty.pdf")


def test_formats_that_start_other_programs_are_not_opened(tmp_path):
    Image.new("L", (9, 9)).save(tmp_path / "page.eps")
    with pytest.raises(InputError, match=r"cannot be read \(cannot identify"):
        load_page(f"{tmp_path / 'page.eps'}#page=1")


def test_pdfium_is_used_by_one_thread_at_a_time(page, tmp_path):
    pypdfium2 = pytest.importorskip(
        "pypdfium2", reason="PDFs need the extra 'pages'."
    )
    image, _ = page
    path = tmp_path / "one.pdf"
    image.save(path)
    inside = []

    class Document(pypdfium2.PdfDocument):
        def __getitem__(self, number):
            inside.append(page_files._pdfium.locked())
            return super().__getitem__(number)

        def close(self):
            inside.append(page_files._pdfium.locked())
            super().close()

    with mock.patch("pypdfium2.PdfDocument", Document):
        page_files.load_page(page_files.PageFile(path, 1))
    assert inside == [True, True]
    assert not page_files._pdfium.locked()


def test_a_page_is_not_read_without_known_characters(recognizer):
    page = b"not even an image"
    with pytest.raises(InputError, match="no characters to choose among"):
        Recognizer(recognizer.model).transcribe(page)
    with pytest.raises(InputError, match="threshold"):
        recognizer.transcribe(page, threshold="high")


def test_pages_of_a_tiff(recognizer, page, tmp_path):
    image, _ = page
    other = draw_page(("ba",), SYMBOLS)[0]
    path = tmp_path / "two.tif"
    image.save(path, save_all=True, append_images=[other])
    first, second = recognizer.transcribe(path, threshold=EVERYTHING)
    assert (first.text, second.text) == ("abca\ncab", "ba")
    assert second.page == f"{path}#page=2"
    assert recognizer.transcribe([path], threshold=EVERYTHING) == [
        first,
        second,
    ]
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.warns(DataWarning, match="only its first page"):
        assert list_pages(path) == [page_files.PageFile(path)]
    image.save(path)
    assert recognizer.transcribe(path).page == str(path)


def test_boxes_are_in_pixels_of_the_upright_page(
    recognizer, page, tmp_path, monkeypatch
):
    image, boxes = page
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by 90 degrees clockwise
    path = tmp_path / "turned.jpg"
    image.rotate(90, expand=True).save(path, exif=exif, quality=95)
    read = recognizer.transcribe(path, threshold=EVERYTHING)
    assert (read.size, read.text) == (image.size, "abca\ncab")
    assert_near([x.box for x in read.symbols], boxes)
    monkeypatch.setattr(image_files, "MAX_PAGE_SIDE", image.width // 2)
    assert load_page(path).pixels.shape[1] == image.width // 2
    read = recognizer.transcribe(path, threshold=EVERYTHING)
    assert read.size == image.size
    assert_near([x.box for x in read.symbols], boxes, 4)


def test_examples_must_be_cropped_as_symbols_are(page):
    whole = Recognizer(TINY_MODEL, crop=False).add(SYMBOLS)
    with pytest.raises(InputError, match="need examples cropped to their ink"):
        whole.transcribe(page[0])


def test_white_ink_on_transparent_paper_is_read(recognizer, page):
    image, _ = page
    white = Image.new("LA", image.size, (255, 0))
    white.putalpha(image.point(lambda x: 255 - x))
    assert (
        recognizer.transcribe(white, threshold=EVERYTHING).text
        == LINES[0] + "\n" + LINES[1]
    )


def answer(name, *scores, threshold=1.0):
    candidates = [Candidate(f"c{i}", x, None) for i, x in enumerate(scores)]
    return Answer(name, tuple(candidates), threshold)


def symbol(name, *scores, box=(0, 0, 9, 9)):
    drawing = np.full((105, 105), 255, np.uint8)
    drawing[30:60, 40:50] = 0
    return RecognizedSymbol(box, drawing, answer(name, *scores))


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["a", "b"], "a?"),
        (["a", "e\u0301"], "a?"),  # one character when composed
        (["a", "का"], "a?"),  # a letter and its vowel
        (["a", "\ue000"], "a?"),  # for private use
        (["a", "ka"], "a ?"),
    ],
)
def test_longer_names_are_separated_by_spaces(names, text):
    page = page_files.Page("", np.zeros((9, 9, 3), np.uint8), (9, 9))
    line = (FoundSymbol((0, 0, 1, 1), None),) * 2
    answers = [answer("a", 3.0), answer(None, 0.0)]
    found = FoundPage(page, (line,))
    assert make_transcription(found, answers, names).text == text
    word = (dataclasses.replace(line[0], starts_word=True), line[1])
    answers, text = answers * 2, f"{text} {text}".replace("a ? a", "a ?  a")
    found = FoundPage(page, (word * 2,))
    assert make_transcription(found, answers, names).text == text


def test_pages_without_symbols_have_no_drawings():
    page = page_files.Page("", np.zeros((9, 9, 3), np.uint8), (9, 9))
    assert FoundPage(page, ()).drawings.shape == (0, 105, 105)


def test_symbols_without_a_clear_name_are_doubtful():
    thresholds = Thresholds(0.0, (1.0,), slope=0.5)
    assert is_doubtful(symbol(None, 0.5, -9.0), thresholds)
    # A lead of less than 1.5 in log odds is doubtful. With a slope of 0.5, the
    # leads of 2.9 and 3.1 in scores are 1.45 and 1.55 in log odds.
    assert is_doubtful(symbol("c0", 5.0, 2.1), thresholds)
    assert not is_doubtful(symbol("c0", 5.0, 1.9), thresholds)
    assert not is_doubtful(symbol("c0", 5.0, 2.1), None)
    assert not is_doubtful(symbol("c0", 5.0), thresholds)


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("ka", "ka"),
        ("Greek/alpha", "Greek/alpha"),
        ("..", "%2E."),
        (".hidden", "%2Ehidden"),
        ("50%:", "50%25%3A"),
        ("/", "%2F"),
        ("a//b", "a%2F%2Fb"),
    ],
)
def test_names_that_are_not_valid_folder_names_are_escaped(name, folder):
    assert to_folder(name).as_posix() == folder


def review_page(symbols, seed=0):
    pixels = np.random.default_rng(seed).integers(256, size=(9, 9, 3))
    page = page_files.Page("p.png", pixels.astype(np.uint8), (9, 9))
    line = tuple(FoundSymbol(x.box, x.drawing) for x in symbols)
    answers = [x.answer for x in symbols]
    found = FoundPage(page, (line,))
    return page, make_transcription(found, answers, ["c0", "c1"])


def test_review_folder_keeps_what_a_person_changed(tmp_path):
    page, read = review_page(
        [symbol(None, 0.5, 0.1), symbol(None, 0.4, 0.1, box=(9, 0, 19, 9))]
    )
    folder = tmp_path / "review"
    review = ReviewFolder(folder)
    assert review.examples == {}
    assert review.write_doubtful(page, read, None) == 2
    first, second = sorted((folder / "doubtful/c0").iterdir())
    assert first.name == "p.png_line01_symbol01.png"
    # Another page of the same name gets its own files.
    other = review_page([symbol(None, 0.5)], seed=1)
    assert ReviewFolder(folder).write_doubtful(*other, None) == 1
    assert len(list((folder / "doubtful/c0").iterdir())) == 3
    # If no file was moved, nothing is confirmed.
    assert ReviewFolder(folder).examples == {}
    (folder / "confirmed/.DS_Store").touch()  # written by macOS
    assert ReviewFolder(folder).examples == {}
    confirmed = folder / "confirmed/50%"
    confirmed.mkdir()
    first.rename(confirmed / "renamed.png")
    moved = folder / "doubtful/c1"
    moved.mkdir()
    second.rename(moved / second.name)
    review = ReviewFolder(folder)
    assert review.examples == {
        "50%": [confirmed / "renamed.png"],
        "c1": [moved / second.name],
    }
    found = review.confirm(FoundPage(page, read.lines))
    assert found.confirmed == ["50%", "c1"]
    answers = [x.answer for x in read.symbols]
    read = make_transcription(found, answers, ["c0", "c1", "50%"])
    assert [x.name for x in read.symbols] == ["50%", "c1"]
    assert read.to_json()["lines"][0][0]["confirmed"] is True
    assert review.write_doubtful(page, read, None) == 0
    assert len(list((folder / "doubtful").rglob("*.png"))) == 2
    (folder / "confirmed/c0").mkdir()
    copied = folder / "confirmed/c0" / second.name
    copied.write_bytes((moved / second.name).read_bytes())
    with pytest.raises(InputError, match="one symbol of a page under two"):
        ReviewFolder(folder)


def test_names_that_are_not_utf8_are_reviewed(tmp_path):
    candidate = Candidate(os.fsdecode(b"\xe9t\xe9"), 0.5, None)
    found = symbol(None, 0.5)
    unknown = dataclasses.replace(found, answer=Answer(None, (candidate,), 1.0))
    page, read = review_page([unknown])
    assert ReviewFolder(tmp_path).write_doubtful(page, read, None) == 1
    assert ReviewFolder(tmp_path).examples == {}
    assert ReviewFolder(tmp_path).write_doubtful(page, read, None) == 1
    (folder,) = (tmp_path / "doubtful").iterdir()
    assert os.fsencode(folder.name) == b"\xe9t\xe9"
    assert len(list(folder.iterdir())) == 1


def test_a_confirmed_file_needs_a_folder_of_its_name(tmp_path):
    save(SYMBOLS["a"], tmp_path / "confirmed" / "a.png")
    with pytest.raises(InputError, match="is not in a character's folder"):
        ReviewFolder(tmp_path)


def test_a_huge_confirmed_file_is_left_for_the_reader_to_refuse(tmp_path):
    path = tmp_path / "confirmed" / "a" / "1.png"
    save(SYMBOLS["a"], path)
    content = bytearray(path.read_bytes())
    content[16:24] = (30_000).to_bytes(4, "big") * 2  # width and height
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    path.write_bytes(content)
    with pytest.raises(Image.DecompressionBombError):
        Image.open(path)
    assert ReviewFolder(tmp_path).examples == {"a": [path]}


def pair_scores(groups, same=10.0, different=-5.0):
    """Makes scores of all pairs, given the group of each drawing."""
    rows, columns = np.triu_indices(len(groups), 1)
    groups = np.array(groups)
    return np.where(groups[rows] == groups[columns], same, different)


def test_groups_join_similar_symbols_largest_first():
    pytest.importorskip("sklearn", reason="Groups need the extra 'pages'.")
    scores = pair_scores([0, 1, 0, 1, 0, 2])
    noise = np.random.default_rng(0).normal(size=len(scores))
    for lowest in (0.0, None):
        groups = group_by_scores(scores + noise, 6, lowest)
        assert [sorted(x) for x in groups] == [[0, 2, 4], [1, 3], [5]]
    # Scores are 3 for 0 and 1, 4 for 0 and 2, and 9 for 1 and 2. The mean with
    # the others is highest for 2 (6.5), then 1 (6), then 0 (3.5).
    scores = np.array([3.0, 4.0, 9.0])
    (group,) = group_by_scores(scores, 3, cut=3.0)
    assert group.tolist() == [2, 1, 0]
    # At 3.5, the least similar pair, not the mean, keeps 0 apart.
    assert len(group_by_scores(scores, 3, cut=3.5)) == 2
    assert [x.tolist() for x in group_by_scores(np.empty(0), 1)] == [[0]]
    assert group_by_scores(np.empty(0), 0) == []
    alike = group_by_scores(np.array([8.0, 7.5, 9.0]), 3, 0.0)
    assert len(alike) == 1


def test_all_pairs_are_scored_in_the_order_of_their_indices():
    embeddings = np.arange(5.0)[:, np.newaxis] ** 2
    scorer = mock.Mock(score_table=lambda first, second: first - second.T)
    with mock.patch.object(grouping, "ROWS_AT_ONCE", 2):
        scores = grouping.score_all_pairs(scorer, embeddings)
    expected = [-1, -4, -9, -16, -3, -8, -15, -5, -12, -7]
    assert scores.tolist() == expected


def test_score_table_agrees_with_the_head(recognizer):
    rng = np.random.default_rng(0)
    own = recognizer._scorer
    embeddings = rng.random((5, own.dim), np.float32)
    head = EuclideanDistance(name="logit")
    distances = SiameseScorer(build_siamese(own._embedding, head))
    for scorer in (own, distances):
        table = scorer.score_table(embeddings[:2], embeddings)
        for row, first in zip(table, embeddings[:2], strict=True):
            expected = scorer.score(first[None], embeddings)
            np.testing.assert_allclose(row, expected, rtol=1e-4, atol=1e-4)
