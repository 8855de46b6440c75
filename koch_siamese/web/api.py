"""What the demo page does, as an HTTP API for programs.

Each `gradio_client.Client` has a session of its own: what it adds is known to
no one else, and is forgotten an hour after it has gone.
"""

import functools
import io
from collections.abc import Callable
from pathlib import Path

import gradio as gr

from koch_siamese.errors import InputError

TOP_K = 5  # candidates of an answer


def add_endpoints(session: gr.State):
    """Adds the endpoints to the page that is being built.

    Args:
        session: the caller's `Session`.
    """
    # They are invisible: Gradio takes the types of an API from components.
    image, other = gr.File(visible=False), gr.File(visible=False)
    name, result = gr.Textbox(visible=False), gr.JSON(visible=False)
    top_k = gr.Number(TOP_K, precision=0, visible=False)
    direction = gr.Textbox("ltr", visible=False)
    for function, inputs, outputs in (
        (add, [image, name], [session, result]),
        (remove, [name], [session, result]),
        (classify, [image, top_k], [result]),
        (verify, [image, other], [result]),
        (transcribe, [image, direction], [result]),
    ):
        is_long = function is transcribe
        gr.Button(visible=False).click(
            function,
            [session, *inputs],
            outputs,
            api_name=function.__name__,
            concurrency_limit=1 if is_long else "default",
            concurrency_id="pages" if is_long else None,
        )


def _refuse(function: Callable) -> Callable:
    """Answers a program's mistake with an error of one line."""

    @functools.wraps(function)
    def guarded(*arguments):
        try:
            return function(*arguments)
        except InputError as error:
            raise gr.Error(str(error), print_exception=False) from error

    return guarded


@_refuse
def add(session, image, name):
    """Adds an image as an example of a symbol; returns all names."""
    session.add(_open(image), name)
    return session, _describe(session)


@_refuse
def remove(session, name):
    """Removes all examples of a symbol; returns the names that are left."""
    session.remove(name)
    return session, _describe(session)


@_refuse
def classify(session, image, top_k):
    """Says which symbol an image shows, as a line of classify --json."""
    return session.classify(session.read(_open(image)), top_k).to_json()


@_refuse
def verify(session, first, second):
    """Says whether two images show the same, as a line of verify --json."""
    first, second = (session.read(_open(x)) for x in (first, second))
    return vars(session.verify(first, second))


@_refuse
def transcribe(session, page, direction):
    """Reads an image or a PDF; returns a line of transcribe --json a page."""
    return [read.to_json() for _, read in session.transcribe(page, direction)]


def _describe(session):
    return {"names": session.names, "num_examples": session.num_examples}


def _open(path):
    """An uploaded file, which messages call by its name alone."""
    if path is None:
        raise InputError("No image is given: expected a file.")
    file = io.BytesIO(Path(path).read_bytes())
    file.name = Path(path).name
    return file
