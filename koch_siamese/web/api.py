"""The functions of the demo page as an HTTP API for programs.

Each `gradio_client.Client` has its own session. Nobody else sees the examples
that it adds, and they are deleted an hour after it disconnects.
"""

import functools
import io
from collections.abc import Callable
from pathlib import Path

import gradio as gr

from koch_siamese.errors import InputError
from koch_siamese.web.session import TOP_K


def add_endpoints(session: gr.State):
    """Adds the endpoints to the page that is being built.

    Args:
        session: the caller's `Session`.
    """
    # Invisible components, from which Gradio takes the types of the API.
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
    """Turns an `InputError` into an API error of one line."""

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
    """Recognizes an image; returns a line of classify --json."""
    return session.classify(session.read(_open(image)), top_k).to_json()


@_refuse
def verify(session, first, second):
    """Compares two images; returns a line of verify --json."""
    first, second = (session.read(_open(x)) for x in (first, second))
    return session.verify(first, second).to_json()


@_refuse
def transcribe(session, page, direction):
    """Reads an image or a PDF; returns transcribe --json for each page."""
    return [read.to_json() for _, read in session.transcribe(page, direction)]


def _describe(session):
    return {"names": session.names, "num_examples": session.num_examples}


def _open(path):
    """Opens an uploaded file, which messages name without its folder."""
    if path is None:
        raise InputError("No image is given: expected a file.")
    file = io.BytesIO(Path(path).read_bytes())
    file.name = Path(path).name
    return file
