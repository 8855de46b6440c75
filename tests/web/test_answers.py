import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from koch_siamese.inference.gallery import Answer, Candidate, Verdict
from koch_siamese.web import answers

DRAWING = np.full((105, 105), 255, np.uint8)
DRAWING[20:40, 30:50] = 0
EVIL = "<script>alert(1)</script>\"'&"


def find_pictures(text):
    """Returns the pictures in a page as arrays."""
    found = re.findall(r'src="data:image/\w+;base64,([^"]*)"', text)
    return [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
        for data in found
    ]


def make_answer(name, probabilities=(0.97, 0.004)):
    candidates = tuple(
        Candidate(x, score, probability)
        for x, score, probability in zip(
            ("ka", "ki"), (3.2, -5.4), probabilities, strict=True
        )
    )
    return Answer(name, candidates, 1.5)


def test_an_answer_has_names_images_and_probabilities():
    other = 255 - DRAWING
    text = answers.render_answer(make_answer("ka"), DRAWING, [other, None])
    assert ">ka</p>" in text
    assert text.index("97 %") < text.index("&lt; 1 %")
    assert "score" not in text
    first, query = find_pictures(text)
    np.testing.assert_array_equal(first, other)
    np.testing.assert_array_equal(query, DRAWING)


def test_a_withheld_answer_shows_the_score_that_it_needs():
    text = answers.render_answer(make_answer(None), DRAWING, [None, None])
    assert ">None of these</p>" in text
    assert "scores 3.2" in text
    assert "needs 1.5" in text
    assert "%" not in text.replace("width: ", "")


def test_without_thresholds_only_scores_are_shown():
    answer = make_answer("ka", (None, None))
    text = answers.render_answer(answer, DRAWING, [None, None])
    assert "score 3.2" in text
    assert "%" not in text


def test_names_are_escaped_in_html():
    answer = Answer(EVIL, (Candidate(EVIL, 1.0, 0.9),), 0.0)
    for text in (
        answers.render_answer(answer, DRAWING, [DRAWING]),
        answers.render_examples([EVIL], {EVIL: [DRAWING]}),
    ):
        assert "<script" not in text
        assert "&lt;script&gt;alert(1)" in text
        assert f'alt="{EVIL[:3]}' not in text


def test_all_examples_are_shown_up_to_a_limit():
    assert "No examples yet" in answers.render_examples([], {})
    pictures = {"a": [DRAWING] * 3, "b": [DRAWING]}
    text = answers.render_examples(["a", "b", "stored"], pictures)
    assert len(find_pictures(text)) == 4
    assert text.count("<figure>") == 5
    many = {"a": [DRAWING] * (answers.MAX_SHOWN + 7)}
    text = answers.render_examples(["a"], many)
    assert text.count("<figure>") == answers.MAX_SHOWN
    assert "And 7 more" in text


def test_a_photo_keeps_its_colors():
    photo = np.random.default_rng(0).integers(256, size=(8, 8, 3), dtype="u1")
    (found,) = find_pictures(answers.render_picture(photo, "a photo"))
    np.testing.assert_array_equal(found, photo)


def test_a_page_is_not_larger_than_a_screen():
    pages = [Image.new("RGB", size, "white") for size in ((4000, 100), (9, 9))]
    wide, small = find_pictures(answers.render_pages(pages))
    assert (wide.shape[1], small.shape[1]) == (answers.MAX_SIDE, 9)


@pytest.mark.parametrize(
    ("same", "probability", "threshold", "parts"),
    [
        (True, 0.98, 0.5, ("Same", "98 %", "From 0.5 on")),
        (False, 0.002, 0.5, ("Different", "&lt; 1 %")),
        (None, None, None, ("Not judged", "no threshold")),
    ],
)
def test_a_verdict_says_same_or_different(same, probability, threshold, parts):
    verdict = Verdict(same, 0.7, probability, threshold)
    text = answers.render_verdict(verdict, DRAWING, 255 - DRAWING)
    for part in (*parts, "Score 0.7"):
        assert part in text
    assert len(find_pictures(text)) == 2
