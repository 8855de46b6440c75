"""Tests the demo page in a real browser, drawing with the mouse.

This needs the extras demo and browser, and Chromium. If $SCREENSHOTS is set,
screenshots are saved in that folder.
"""

import contextlib
import io
import os
import shutil
from pathlib import Path

import pytest
from conftest import find_free_port
from drawing import draw, save
from PIL import Image

pytest.importorskip("gradio", reason="It needs the extra 'demo'.")
api = pytest.importorskip(
    "playwright.sync_api", reason="It needs the extra 'browser': playwright."
)
from koch_siamese import Recognizer  # noqa: E402
from koch_siamese.web.page import build_page, serve  # noqa: E402
from koch_siamese.web.session import Session  # noqa: E402

pytestmark = pytest.mark.browser

CROSS = [[(0.2, 0.2), (0.8, 0.8)], [(0.8, 0.2), (0.2, 0.8)]]
HOOK = [[(0.3, 0.1), (0.3, 0.8), (0.8, 0.8)]]
SAME_CROSS = [[(0.25, 0.22), (0.8, 0.85)], [(0.75, 0.2), (0.22, 0.75)]]
ZIGZAG = [[(0.1 * i, 0.3 + 0.4 * (i % 2)) for i in range(1, 10)]]
# Measures the milliseconds from the click until the answer is visible. A new
# answer is noticed by its picture of the query, which differs each time.
TIME_ANSWER = """() => new Promise((resolve) => {
  const answer = document.querySelector("#answer");
  const look = () => answer.querySelector(".seen")?.innerHTML;
  const [before, start] = [look(), performance.now()];
  new MutationObserver((_, observer) => {
    if (!look() || look() === before) return;
    observer.disconnect();
    requestAnimationFrame(() => resolve(performance.now() - start));
  }).observe(answer, {childList: true, subtree: true});
  document.querySelector("#ask").click();
})"""


@pytest.fixture(scope="module")
def browser():
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if not chromium:
        pytest.skip("There is no Chromium: apt-get install chromium.")
    # Its sandbox does not work for root.
    options = ["--no-sandbox"] if os.getuid() == 0 else []
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=options
        )
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def url():
    session = Session.start(Recognizer.pretrained())
    session.warm_up()
    page = build_page(session)
    yield serve(page, "127.0.0.1", find_free_port())
    page.close(verbose=False)


@pytest.fixture
def page(browser, url):
    """The page, which must not raise errors or contact another server."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    faults, addresses = [], []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda request: addresses.append(request.url))
    page.goto(url)
    page.get_by_text("No examples yet.").wait_for()
    yield page
    page.close()
    assert faults == []
    local = (url, "data:", "blob:")
    assert [x for x in addresses if not x.startswith(local)] == []


def draw_strokes(page, pad, strokes):
    """Draws strokes with the mouse; places are fractions of the pad."""
    canvas = page.locator(f"#{pad} canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    for stroke in strokes:
        first, *rest = (
            (box["x"] + x * box["width"], box["y"] + y * box["height"])
            for x, y in stroke
        )
        page.mouse.move(*first)
        page.mouse.down()
        for place in rest:
            page.mouse.move(*place, steps=8)
        page.mouse.up()


def add_example(page, name, strokes):
    draw_strokes(page, "example", strokes)
    page.get_by_label("Name").fill(name)
    page.get_by_role("button", name="Add example").click()
    page.locator("#examples figcaption", has_text=name).wait_for()


def recognize(page):
    """Returns the page's answer and how many milliseconds it took."""
    milliseconds = page.evaluate(TIME_ANSWER)
    return page.locator("#answer .headline").inner_text(), milliseconds


def keep_screenshot(page, name):
    folder = os.environ.get("SCREENSHOTS")
    if folder:
        page.screenshot(path=Path(folder, f"{name}.png"), full_page=True)


def wait_for_warning(page, text):
    page.get_by_text(text).wait_for()


def test_drawn_symbols_are_recognized(page):
    add_example(page, "cross", CROSS)
    add_example(page, "hook", HOOK)
    draw_strokes(page, "query", SAME_CROSS)
    name, first_time = recognize(page)
    assert name == "cross"
    names = page.locator("#answer .candidate > span:nth-child(2)")
    assert names.all_inner_texts() == ["cross", "hook"]
    keep_screenshot(page, "recognize")
    times = []
    for strokes, expected in (
        (HOOK, "hook"),
        (CROSS, "cross"),
        (ZIGZAG, "None of these"),
    ):
        page.locator("#query .clear").click()
        draw_strokes(page, "query", strokes)
        name, milliseconds = recognize(page)
        times.append(milliseconds)
        assert name == expected
    keep_screenshot(page, "none_of_these")
    print(f"answers after {first_time:.0f} ms, then", *map(round, times))
    # It takes half a second on a machine with more than two cores.
    assert min(times) < 1000


def test_mistakes_are_warnings(page, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG and no more")
    page.locator("#ask").click()
    wait_for_warning(page, "A canvas is empty")
    draw_strokes(page, "query", CROSS)
    page.locator("#ask").click()
    wait_for_warning(page, "There are no examples yet")
    draw_strokes(page, "example", CROSS)
    page.get_by_role("button", name="Add example").click()
    wait_for_warning(page, "The example has no name")
    page.locator("#example input").set_input_files(tmp_path / "broken.png")
    page.get_by_text("broken.png", exact=True).wait_for()
    page.get_by_label("Name").fill("cross")
    page.get_by_role("button", name="Add example").click()
    wait_for_warning(page, "'broken.png' cannot be read")
    keep_screenshot(page, "mistakes")
    assert page.get_by_text("No examples yet.").is_visible()
    assert page.get_by_label("Name").input_value() == "cross"


def test_strokes_are_undone_and_cleared(page):
    add_example(page, "cross", CROSS)
    page.locator("#ask").click()
    wait_for_warning(page, "A canvas is empty")
    draw_strokes(page, "query", [*CROSS, *HOOK])
    page.locator("#query .undo").click()
    assert recognize(page)[0] == "cross"
    for _ in range(2):
        page.locator("#query .undo").click()
    page.locator("#query").get_by_text("Draw here").wait_for()


def test_a_second_finger_does_not_draw(page):
    box = page.locator("#query canvas").bounding_box()
    session = page.context.new_cdp_session(page)

    def touch(kind, *places):
        points = [
            {"id": i, "x": box["x"] + x, "y": box["y"] + y}
            for i, (x, y) in enumerate(places)
        ]
        session.send(
            "Input.dispatchTouchEvent", {"type": kind, "touchPoints": points}
        )

    touch("touchStart", (60, 40))
    touch("touchMove", (60, 120))
    touch("touchStart", (60, 120), (200, 200))
    touch("touchMove", (60, 200), (240, 200))
    touch("touchEnd")
    bitmap = page.locator("#query canvas").screenshot()
    with Image.open(io.BytesIO(bitmap)) as image:
        gray = image.convert("L")
    assert gray.getpixel((60, 100)) < 128
    # The rest, without the canvas's frame and its hint.
    assert gray.crop((100, 10, 250, 220)).getextrema() == (255, 255)


def test_an_image_is_uploaded_and_removed(page, tmp_path):
    # Larger than the page's limit, so that the page shrinks it.
    save(draw(2000, (400, 200, 1000, 1900)), tmp_path / "tall.png")
    page.locator("#example input").set_input_files(tmp_path / "tall.png")
    page.get_by_label("Name").fill("tall")
    page.get_by_label("Name").press("Enter")
    page.locator("#examples figcaption", has_text="tall").wait_for()
    page.locator("#query input").set_input_files(tmp_path / "tall.png")
    page.locator("#query .hint:empty").wait_for(state="attached")
    assert recognize(page)[0] == "tall"
    page.get_by_label("Symbol to remove").click()
    page.get_by_role("option", name="tall").click()
    page.get_by_role("button", name="Remove", exact=True).click()
    page.get_by_text("No examples yet.").wait_for()


def test_an_image_stays_until_it_is_cleared(page, tmp_path):
    (tmp_path / "large.png").write_bytes(bytes(20_000_001))
    save(draw(), tmp_path / "ring.png")
    page.locator("#query input").set_input_files(tmp_path / "ring.png")
    page.locator("#query .hint:empty").wait_for(state="attached")
    page.locator("#query canvas").click(button="right")
    page.locator("#ask").click()
    wait_for_warning(page, "There are no examples yet")
    page.locator("#query input").set_input_files(tmp_path / "large.png")
    page.get_by_text("large.png has more than 20 MB").wait_for()
    page.locator("#ask").click()
    wait_for_warning(page, "A canvas is empty")
    assert page.get_by_text("large.png has more than 20 MB").is_visible()


def test_a_stroke_begun_while_an_example_is_added_stays(page):
    add_example(page, "cross", CROSS)
    draw_strokes(page, "example", HOOK)
    canvas = page.locator("#example canvas")
    box = canvas.bounding_box()
    page.get_by_label("Name").fill("hook")
    page.get_by_label("Name").press("Enter")
    page.mouse.move(box["x"] + 60, box["y"] + 40)
    page.mouse.down()
    page.locator("#examples figcaption", has_text="hook").wait_for()
    page.mouse.move(box["x"] + 60, box["y"] + 200, steps=8)
    page.mouse.up()
    assert page.locator("#example .hint").inner_text() == ""
    page.get_by_label("Name").fill("bar")
    page.get_by_label("Name").press("Enter")
    page.locator("#examples figcaption", has_text="bar").wait_for()
    keep_screenshot(page, "three_examples")


def test_two_symbols_are_compared(page):
    page.get_by_role("tab", name="Compare").click()
    draw_strokes(page, "first", CROSS)
    draw_strokes(page, "second", SAME_CROSS)
    page.locator("#compare").click()
    headline = page.locator("#verdict .headline")
    headline.wait_for()
    assert headline.inner_text() == "Same"
    keep_screenshot(page, "compare")


def test_a_page_is_read(page, tmp_path):
    pytest.importorskip("skimage", reason="Pages need the extra 'pages'.")
    picture = draw(400, (0, 0, 0, 0)).point(lambda _: 255)
    for left in (40, 150, 260):
        picture.paste(draw(90, (20, 10, 50, 80)), (left, 120))
    save(picture, tmp_path / "page.png")
    save(draw(box=(20, 10, 50, 85)), tmp_path / "tall.png")
    page.locator("#example input").set_input_files(tmp_path / "tall.png")
    page.get_by_label("Name").fill("d")
    page.get_by_label("Name").press("Enter")
    page.locator("#examples figcaption", has_text="d").wait_for()
    page.get_by_role("tab", name="Read a page").click()
    page.locator("#page input[type=file]").set_input_files(
        tmp_path / "page.png"
    )
    page.locator("#page").get_by_text("page.png").wait_for()
    page.locator("#read").click()
    page.locator("#pages img").wait_for()
    assert page.locator("#text textarea").input_value() == "ddd"
    keep_screenshot(page, "read_a_page")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG and no more")
    page.locator("#page").get_by_label("Clear").click()
    page.locator("#page input[type=file]").set_input_files(
        tmp_path / "broken.png"
    )
    page.locator("#page").get_by_text("broken.png").wait_for()
    page.locator("#read").click()
    wait_for_warning(page, "'broken.png' cannot be read")
    page.locator("#pages img").wait_for(state="detached")
    assert page.locator("#text textarea").input_value() == ""


def test_visitors_do_not_see_each_other(page, browser, url):
    add_example(page, "cross", CROSS)
    with contextlib.closing(browser.new_page()) as other:
        other.goto(url)
        other.get_by_text("No examples yet.").wait_for()
