"""What the buttons of the demo page do: functions of the visitor's session.

A mistake of the visitor is shown as a warning.
"""

import functools
import html
from collections.abc import Callable

import gradio as gr

from koch_siamese.errors import InputError
from koch_siamese.web import answers
from koch_siamese.web.drawing_pad import open_drawing
from koch_siamese.web.session import clean_name


def _warn(function: Callable, otherwise: Callable = gr.skip) -> Callable:
    """Wraps a function to show its `InputError` as a warning.

    Args:
        function: a function that may raise an `InputError`.
        otherwise: makes the result after an error; by default nothing changes.
    """

    @functools.wraps(function)
    def guarded(*arguments):
        try:
            return function(*arguments)
        except InputError as error:
            gr.Warning(html.escape(str(error)))
            return otherwise()

    return guarded


# Also clears the answer to an earlier question.
_warn_and_clear = functools.partial(_warn, otherwise=str)


@_warn
def show_examples(session):
    """Returns the pictures of all examples, and a choice of their names."""
    return (
        answers.render_examples(session.names, session.pictures),
        gr.Dropdown(list(session.names), value=None),
    )


@_warn
def add_example(session, drawing, name):
    """Adds the example; returns an empty pad and name, and all examples."""
    is_known = clean_name(name) in session.names
    session.add(_open(drawing), name)
    if is_known:
        gr.Info(f"{html.escape(name)} has one more example now.")
    # Returning the session shows Gradio that it is in use.
    return session, None, "", *show_examples(session)


@_warn
def remove_symbol(session, name):
    """Removes all examples of a symbol; returns the others."""
    if not name:
        raise InputError("No symbol is chosen: choose the one to remove.")
    session.remove(name)
    return session, *show_examples(session)


@_warn_and_clear
def recognize(session, drawing):
    """Recognizes a symbol; returns the answer as HTML."""
    drawing = session.read(_open(drawing))
    found = session.classify(drawing)
    names = [candidate.name for candidate in found.candidates]
    pictures = session.find_examples(drawing, names)
    return answers.render_answer(found, drawing, pictures)


@_warn_and_clear
def compare_drawings(session, first, second):
    """Compares two symbols; returns the verdict as HTML."""
    first, second = (session.read(_open(x)) for x in (first, second))
    found = session.verify(first, second)
    return answers.render_verdict(found, first, second)


@functools.partial(_warn, otherwise=lambda: ("", ""))
def read_page(session, path, direction):
    """Reads an image or a PDF; returns the text, and the pages as HTML."""
    if path is None:
        raise InputError("There is no page: upload an image or a PDF.")
    found = session.transcribe(path, direction)
    if not any(read.lines for _, read in found):
        gr.Warning("No clean symbol was found on the page.")
    drawn = [session.draw(page, read) for page, read in found]
    text = "\n\n".join(read.text for _, read in found)
    return text, answers.render_pages(drawn)


def _open(drawing):
    """Opens the image on a pad.

    Raises:
        InputError: the pad is empty.
    """
    file = open_drawing(drawing)
    if file is None:
        raise InputError(
            "A canvas is empty: draw a symbol on it, or upload an image of one."
        )
    return file
