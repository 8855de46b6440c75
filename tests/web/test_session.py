import concurrent.futures
import copy
import io

import numpy as np
import pytest
from conftest import TINY_MODEL
from drawing import draw, save

from koch_siamese import InputError, Recognizer
from koch_siamese.models.loading import load_model
from koch_siamese.web import session as session_module
from koch_siamese.web.session import Session

TALL, WIDE = (20, 10, 50, 95), (10, 40, 95, 65)


@pytest.fixture(scope="module")
def model():
    return load_model(TINY_MODEL)


@pytest.fixture
def session(model):
    return Session.start(Recognizer(model))


def test_each_visitor_has_examples_of_their_own(session, model):
    session.add(draw(box=TALL), "tall")
    first, second = copy.deepcopy(session), copy.deepcopy(session)
    first.add(draw(box=WIDE), "wide")
    second.remove("tall")
    assert first.names == ("tall", "wide")
    assert second.names == ()
    assert session.names == ("tall",)
    assert set(first.pictures) == {"tall", "wide"}
    assert set(session.pictures) == {"tall"}
    for each in (first, second, session):
        assert each._recognizer.model is model


def test_an_example_is_recognized(session):
    session.add(draw(box=TALL), " tall ")
    session.add(draw(box=WIDE), "wide")
    for box, name in ((TALL, "tall"), (WIDE, "wide")):
        drawing = session.read(draw(box=box))
        answer = session.classify(drawing)
        assert answer.best.name == name
        assert session.verify(drawing, drawing).score == pytest.approx(
            answer.best.score
        )
    assert len(session.classify(drawing, top_k=1).candidates) == 1
    session.remove(" tall ")
    assert session.names == ("wide",)


def test_the_best_of_several_examples_is_found(session):
    boxes = [TALL, WIDE, (30, 30, 60, 60)]
    for box in boxes:
        session.add(draw(box=box), "shape")
    session.add(draw(box=(5, 5, 100, 100)), "large")
    for box in boxes:
        drawing = session.read(draw(box=box))
        shape, large = session.find_examples(drawing, ["shape", "large"])
        np.testing.assert_array_equal(shape, drawing)
        np.testing.assert_array_equal(
            large, session.read(draw(box=(5, 5, 100, 100)))
        )


def test_examples_of_a_stored_recognizer_have_no_image(model, tmp_path):
    Recognizer(model).add({"shape": draw(box=TALL)}).save(tmp_path / "known")
    session = Session.start(Recognizer.load(tmp_path / "known"))
    assert (session.names, session.pictures) == (("shape",), {})
    session.add(draw(box=WIDE), "shape")
    tall, wide = (session.read(draw(box=box)) for box in (TALL, WIDE))
    assert session.find_examples(tall, ["shape"]) == [None]
    (found,) = session.find_examples(wide, ["shape"])
    np.testing.assert_array_equal(found, wide)


def test_support_examples_have_images(model, tmp_path):
    for name, box in (("tall", TALL), ("wide", WIDE)):
        save(draw(box=box), tmp_path / f"{name}.png")
    session = Session.start(Recognizer(model), str(tmp_path))
    assert session.names == ("tall", "wide")
    (picture,) = session.pictures["wide"]
    np.testing.assert_array_equal(picture, session.read(draw(box=WIDE)))


def test_examples_added_at_once_are_all_kept(session):
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(
            pool.map(
                lambda i: session.add(draw(box=(20, 20, 50 + i, 80)), f"s{i}"),
                range(20),
            )
        )
    assert len(session.names) == len(session.pictures) == 20


def test_number_of_examples_of_a_visitor_is_limited(session, monkeypatch):
    monkeypatch.setattr(session_module, "MAX_ADDED", 2)
    for name in "ab":
        session.add(draw(), name)
    with pytest.raises(InputError, match="added 2 examples"):
        session.add(draw(), "c")
    session.remove("a")
    session.add(draw(), "c")
    assert session.names == ("b", "c")


def test_mistakes_get_one_line(session, tmp_path):
    blank, broken = io.BytesIO(b""), io.BytesIO(b"\x89PNG and no more")
    draw(box=(0, 0, 0, 0)).point(lambda _: 255).save(blank, "PNG")
    blank.name, broken.name = "blank.png", "broken.png"
    drawing = session.read(draw())
    page = str(save(draw(), tmp_path / "page.png"))
    for function, arguments, part in (
        (session.classify, [drawing], "no examples yet"),
        (session.transcribe, [page], "no examples yet"),
        (session.add, [draw(), "  "], "has no name"),
        (session.add, [draw(), None], "has no name"),
        (session.add, [draw(), "x" * 101], "101 characters"),
        (session.add, [blank, "x"], "'blank.png': no clean symbol"),
        (session.add, [broken, "x"], "'broken.png' cannot be read"),
        (session.remove, ["x"], "no character 'x'"),
    ):
        with pytest.raises(InputError, match=part) as error:
            function(*arguments)
        assert "\n" not in str(error.value)
    assert session.num_examples == 0


def test_a_page_is_read_and_drawn(session, tmp_path):
    pytest.importorskip("skimage", reason="Pages need the extra 'pages'.")
    session.add(draw(box=TALL), "tall")
    page = draw(300, (0, 0, 0, 0)).point(lambda _: 255)
    for left in (30, 120, 210):
        page.paste(draw(60, (15, 5, 35, 55)), (left, 100))
    path = save(page, tmp_path / "page.png")
    ((read, transcription),) = session.transcribe(str(path))
    assert (read.name, transcription.page) == ("page.png", "page.png")
    (line,) = transcription.lines
    assert [symbol.answer.best.name for symbol in line] == ["tall"] * 3
    assert session.draw(read, transcription).width > 100
    (tmp_path / "broken.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"^'broken\.png' cannot"):
        session.transcribe(str(tmp_path / "broken.png"))
    with pytest.raises(InputError, match="No page"):
        session.transcribe(None)


def test_warming_up_adds_nothing(session):
    session.warm_up()
    assert (session.names, session.pictures) == ((), {})
