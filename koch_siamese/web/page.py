"""The demo page, made with Gradio."""

import functools
import html
from collections.abc import Callable

import gradio as gr

from koch_siamese.errors import InputError
from koch_siamese.pages.reading import DIRECTIONS
from koch_siamese.web import answers
from koch_siamese.web.api import add_endpoints
from koch_siamese.web.drawing_pad import make_pad, open_drawing
from koch_siamese.web.session import Session, clean_name

TITLE = "One-shot recognition"
INTRODUCTION = """# One-shot recognition
Give one example of each symbol, then draw one of them again. The network has
never been trained on your symbols: it compares your drawing with each example.
"""
DIRECTION_LABELS = (  # in the order of DIRECTIONS
    "left to right",
    "right to left",
    "top to bottom, from the right",
)
MAX_WAITING = 100  # calls in the queue; further ones are told to try again
MAX_SESSIONS = 200  # with more, the least recently used one is deleted
MAX_FILE_SIZE = "20mb"
SECONDS_KEPT = 3600  # before uploaded files are deleted


def build_page(first_session: Session) -> gr.Blocks:
    """Builds the page and its API.

    Args:
        first_session: the session that each visitor starts with.

    Returns:
        The page; see `serve`.
    """
    with gr.Blocks(
        title=TITLE,
        analytics_enabled=False,
        delete_cache=(SECONDS_KEPT, SECONDS_KEPT),
    ) as page:
        gr.Markdown(INTRODUCTION)
        session = gr.State(first_session)
        with gr.Tab("Recognize"):
            _add_recognition(page, session)
        with gr.Tab("Compare"):
            _add_comparison(session)
        if first_session.can_read_pages:
            with gr.Tab("Read a page"):
                _add_reading(session)
        add_endpoints(session)
    return page.queue(max_size=MAX_WAITING, default_concurrency_limit=4)


def serve(page: gr.Blocks, host: str, port: int | None = None) -> str:
    """Serves a page in the background, until `page.close()`.

    Args:
        page: see `build_page`.
        host: the address to listen on.
        port: by default 7860, or the next free one.

    Returns:
        The address of the page.

    Raises:
        InputError: the page cannot be served there.
    """
    try:
        _, url, _ = page.launch(
            server_name=host,
            server_port=port,
            css=answers.STYLE,
            max_file_size=MAX_FILE_SIZE,
            state_session_capacity=MAX_SESSIONS,
            prevent_thread_lock=True,
            quiet=True,
            share=False,
            ssr_mode=False,
            run_history=False,
            footer_links=["api"],
        )
    except OSError as error:
        raise InputError(
            f"The page cannot be served at --host={host}, --port="
            f"{port or 'any'} ({error}): give another one."
        ) from error
    return url


def _add_recognition(page, session):
    with gr.Row():
        with gr.Column():
            gr.Markdown("### 1. Add an example of each symbol")
            example = make_pad("An example of a symbol", "example")
            with gr.Row():
                name = gr.Textbox(
                    label="Name",
                    show_label=False,
                    container=False,
                    placeholder="Its name, such as ka",
                    max_lines=1,
                    scale=2,
                    min_width=120,
                )
                add = gr.Button("Add example", scale=1, min_width=140)
        with gr.Column():
            gr.Markdown("### 2. Draw one of them again")
            query = make_pad("The symbol to recognize", "query")
            ask = gr.Button("Recognize", variant="primary", elem_id="ask")
        with gr.Column():
            gr.Markdown("### 3. Answer")
            answer = gr.HTML(elem_id="answer")
    with gr.Row():
        with gr.Column(scale=4):
            gr.Markdown("### Examples")
            examples = gr.HTML(elem_id="examples")
        with gr.Column(scale=1, min_width=200):
            removed = gr.Dropdown([], label="Symbol to remove")
            remove = gr.Button("Remove", size="sm")
    shown = [examples, removed]

    @_warn
    def show_examples(session):
        return (
            answers.render_examples(session.names, session.pictures),
            gr.Dropdown(list(session.names), value=None),
        )

    @_warn
    def add_example(session, drawing, name):
        is_known = clean_name(name) in session.names
        session.add(_open(drawing), name)
        if is_known:
            gr.Info(f"{html.escape(name)} has one more example now.")
        # Returning the session shows Gradio that it is in use.
        return session, None, "", *show_examples(session)

    @_warn
    def remove_symbol(session, name):
        if not name:
            raise InputError("No symbol is chosen: choose the one to remove.")
        session.remove(name)
        return session, *show_examples(session)

    @_warn_and_clear
    def recognize(session, drawing):
        drawing = session.read(_open(drawing))
        found = session.classify(drawing)
        names = [candidate.name for candidate in found.candidates]
        pictures = session.find_examples(drawing, names)
        return answers.render_answer(found, drawing, pictures)

    listen = {"api_visibility": "private", "show_progress": "hidden"}
    page.load(show_examples, session, shown, **listen)
    gr.on(
        [add.click, name.submit],
        add_example,
        [session, example, name],
        [session, example, name, *shown],
        **listen,
    )
    remove.click(remove_symbol, [session, removed], [session, *shown], **listen)
    ask.click(recognize, [session, query], answer, **listen)


def _add_comparison(session):
    with gr.Row():
        with gr.Column():
            gr.Markdown("### First symbol")
            first = make_pad("The first symbol", "first")
        with gr.Column():
            gr.Markdown("### Second symbol")
            second = make_pad("The second symbol", "second")
        with gr.Column():
            gr.Markdown("### The same?")
            compare = gr.Button("Compare", variant="primary", elem_id="compare")
            verdict = gr.HTML(elem_id="verdict")

    @_warn_and_clear
    def compare_drawings(session, first, second):
        first, second = (session.read(_open(x)) for x in (first, second))
        found = session.verify(first, second)
        return answers.render_verdict(found, first, second)

    compare.click(
        compare_drawings,
        [session, first, second],
        verdict,
        api_visibility="private",
        show_progress="hidden",
    )


def _add_reading(session):
    with gr.Row():
        with gr.Column(scale=1):
            gr.Markdown("### Page")
            file = gr.File(
                label="A photograph, a scan or a PDF",
                file_types=["image", ".pdf"],
                elem_id="page",
            )
            direction = gr.Radio(
                list(zip(DIRECTION_LABELS, DIRECTIONS, strict=True)),
                value=DIRECTIONS[0],
                label="Direction",
            )
            read = gr.Button("Read page", variant="primary", elem_id="read")
        with gr.Column(scale=2):
            gr.Markdown("### Text")
            text = gr.Textbox(
                label="One name for each symbol, ? for none of these",
                lines=8,
                buttons=["copy"],
                elem_id="text",
            )
            pictures = gr.HTML(elem_id="pages")

    @_warn
    def read_page(session, path, direction):
        if path is None:
            raise InputError("There is no page: upload an image or a PDF.")
        found = session.transcribe(path, direction)
        if not any(read.lines for _, read in found):
            gr.Warning("No clean symbol was found on the page.")
        drawn = [session.draw(page, read) for page, read in found]
        text = "\n\n".join(read.text for _, read in found)
        return text, answers.render_pages(drawn)

    read.click(
        read_page,
        [session, file, direction],
        [text, pictures],
        api_visibility="private",
        concurrency_limit=1,
        concurrency_id="pages",
    )


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
