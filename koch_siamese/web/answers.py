"""Renders the answers and examples of the demo as HTML."""

import base64
import html
import io
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from PIL import Image

from koch_siamese.inference.gallery import Answer, Verdict
from koch_siamese.reporting.text import format_probability

MAX_SHOWN = 200  # examples; with more, the page would be slow
MAX_SIDE = 2000  # of the picture of a page, in pixels
STYLE = """
.symbols { display: flex; flex-wrap: wrap; gap: 8px; }
.symbols figure { margin: 0; width: 72px; text-align: center; }
.symbols figcaption { font-size: 14px; overflow-wrap: anywhere; }
.symbol {
  display: inline-block; width: 64px; height: 64px; margin: 0;
  object-fit: contain; background: white; border-radius: 4px;
  border: 1px solid var(--border-color-primary); vertical-align: middle;
}
.headline { font-size: 22px; font-weight: 600; margin: 0 0 4px; }
.note { font-size: 14px; margin: 8px 0; color: var(--body-text-color); }
.seen { display: flex; align-items: center; gap: 8px; margin-top: 12px; }
.candidate {
  display: grid; grid-template-columns: 64px 1fr 1fr 52px; gap: 12px;
  align-items: center; margin-bottom: 6px; overflow-wrap: anywhere;
}
.candidate .score { grid-column: 3 / 5; }
.page { width: 100%; margin: 0 0 8px; }
.bar {
  height: 10px; border-radius: 5px; overflow: hidden;
  background: var(--border-color-primary);
}
.bar span { display: block; height: 100%; background: #2a78b8; }
"""


def render_picture(picture: np.ndarray | None, text: str = "") -> str:
    """Renders a picture as an inline image.

    Args:
        picture: uint8 `[height, width]` or `[height, width, 3]`; None leaves an
            empty frame.
        text: what it shows, for screen readers.
    """
    if picture is None:
        return '<span class="symbol"></span>'
    return _render_image(Image.fromarray(picture), "symbol", text, "PNG")


def _render_image(image, style, text, form, **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    data = base64.b64encode(file.getvalue()).decode()
    return (
        f'<img class="{style}" alt="{html.escape(text)}" '
        f'src="data:image/{form.lower()};base64,{data}">'
    )


def render_pages(pictures: Iterable[Image.Image]) -> str:
    """Renders pictures of pages in full width."""
    return "".join(map(_render_page, pictures))


def _render_page(picture):
    picture.thumbnail((MAX_SIDE, MAX_SIDE))
    text = "the page, with a box around each symbol"
    return _render_image(picture, "page", text, "WEBP", quality=80)


def render_examples(
    names: Sequence[str], pictures: Mapping[str, Sequence[np.ndarray]]
) -> str:
    """Renders the known symbols by name, each with all its examples.

    Args:
        names: the names of all symbols.
        pictures: the examples of each symbol that has pictures.
    """
    if not names:
        return '<p class="note">No examples yet.</p>'
    examples = [
        (name, picture)
        for name in names
        for picture in pictures.get(name) or (None,)
    ]
    figures = "".join(
        f"<figure>{render_picture(picture, name)}"
        f"<figcaption>{html.escape(name)}</figcaption></figure>"
        for name, picture in examples[:MAX_SHOWN]
    )
    hidden = len(examples) - MAX_SHOWN
    more = f'<p class="note">And {hidden} more.</p>' if hidden > 0 else ""
    return f'<div class="symbols">{figures}</div>{more}'


def render_answer(
    answer: Answer,
    query: np.ndarray,
    pictures: Sequence[np.ndarray | None],
) -> str:
    """Renders the answer to a query: a name or none, and the candidates.

    Args:
        answer: the answer.
        query: the drawing as the network sees it.
        pictures: the best example of each candidate, or None.
    """
    name = "None of these" if answer.name is None else html.escape(answer.name)
    rows = "".join(
        f'<div class="candidate">{render_picture(picture, candidate.name)}'
        f"<span>{html.escape(candidate.name)}</span>"
        f"{_render_match(candidate, answer)}</div>"
        for candidate, picture in zip(answer.candidates, pictures, strict=True)
    )
    return (
        f'<p class="headline">{name}</p><p class="note">{_explain(answer)}</p>'
        f"{rows}{_render_seen(query)}"
    )


def _explain(answer):
    """Explains why there is no name, or what the numbers mean."""
    if answer.name is None:
        return (
            f"The best symbol scores {answer.best.score:.1f}. To be named, it "
            f"needs {answer.threshold:.1f}."
        )
    if answer.best.probability is None:
        return "The higher the score, the better the match."
    return (
        "The probability that each symbol, by itself, is the one drawn. They "
        "need not add up to 100 %."
    )


def _render_match(candidate, answer):
    """Renders the probability, or the score if there is no name."""
    if candidate.probability is None or answer.name is None:
        return f'<span class="score">score {candidate.score:.1f}</span>'
    percent = html.escape(format_probability(candidate.probability))
    width = f"{100 * candidate.probability:.1f}%"
    return (
        f'<span class="bar"><span style="width: {width}"></span></span>'
        f"<span>{percent}</span>"
    )


def _render_seen(*drawings):
    """Renders drawings as the network sees them."""
    pictures = "".join(render_picture(x) for x in drawings)
    return f'<div class="note seen">As the network sees it: {pictures}</div>'


def render_verdict(
    verdict: Verdict, first: np.ndarray, second: np.ndarray
) -> str:
    """Renders the verdict on whether two drawings show the same symbol.

    Args:
        verdict: the verdict.
        first, second: the drawings as the network sees them.
    """
    headline = {True: "Same", False: "Different", None: "Not judged"}
    text = f"Score {verdict.score:.1f}"
    if verdict.threshold is None:
        text += ". The model has no threshold to judge it by."
    else:
        text += f". From {verdict.threshold:.1f} on, they count as the same."
    if verdict.probability is not None:
        percent = html.escape(format_probability(verdict.probability))
        text = f"Probability that they are the same: {percent}. {text}"
    return (
        f'<p class="headline">{headline[verdict.same]}</p>'
        f'<p class="note">{text}</p>{_render_seen(first, second)}'
    )
