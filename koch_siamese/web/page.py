"""The demo page, and the same as an API for programs, with Gradio."""

import functools
import html
import io
from collections.abc import Callable
from pathlib import Path

import gradio as gr

from koch_siamese.errors import InputError
from koch_siamese.web import answers
from koch_siamese.web.drawing_pad import DrawingPad
from koch_siamese.web.session import Session

TITLE = "One-shot recognition"
INTRODUCTION = """# One-shot recognition
Give one example of each symbol, then draw one of them again. The network has
never been trained on your symbols: it compares your drawing with each example.
"""
TOP_K = 5  # candidates shown
MAX_WAITING = 100  # calls; a visitor beyond is told to try again
MAX_SESSIONS = 200  # the one that was not used for longest is forgotten
MAX_FILE_SIZE = "20mb"
SECONDS_KEPT = 3600  # uploaded files


def build_page(first_session: Session) -> gr.Blocks:
    """Builds the page and its API.

    Args:
        first_session: what each visitor starts from.

    Returns:
        The page, to be launched.
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
        _add_api(session)
    return page.queue(max_size=MAX_WAITING, default_concurrency_limit=4)


def serve(page: gr.Blocks, host: str, port: int | None = None) -> str:
    """Serves a page in the background, until `page.close()`.

    Args:
        page: see `build_page`.
        host: the address to listen on.
        port: by default 7860, or the next one that is free.

    Returns:
        The page's address.

    Raises:
        InputError: it cannot be served there.
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
            example = DrawingPad("An example of a symbol", elem_id="example")
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
                add = gr.Button("Add example", scale=1, min_width=120)
        with gr.Column():
            gr.Markdown("### 2. Draw one of them again")
            query = DrawingPad("The symbol to recognize", elem_id="query")
            ask = gr.Button("Recognize", variant="primary")
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

    @_warning
    def show_examples(session):
        return (
            answers.render_examples(session.names, session.pictures),
            gr.Dropdown(list(session.names), value=None),
        )

    @_warning
    def add_example(session, image, name):
        is_known = name.strip() in session.names
        session.add(_require(image), name)
        if is_known:
            gr.Info(f"Another example of {html.escape(name)}.", title="Added")
        # The session is passed back for Gradio to see that it is in use.
        return session, None, "", *show_examples(session)

    @_warning
    def remove_symbol(session, name):
        if not name:
            raise InputError("No symbol is chosen: choose the one to remove.")
        session.remove(name)
        return session, *show_examples(session)

    @_warning
    def recognize(session, image):
        drawing = session.read(_require(image))
        found = session.classify(drawing, TOP_K)
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
            first = DrawingPad("The first symbol", elem_id="first")
        with gr.Column():
            gr.Markdown("### Second symbol")
            second = DrawingPad("The second symbol", elem_id="second")
        with gr.Column():
            gr.Markdown("### The same?")
            compare = gr.Button("Compare", variant="primary")
            verdict = gr.HTML(elem_id="verdict")

    @_warning
    def compare_drawings(session, first, second):
        first, second = (session.read(_require(x)) for x in (first, second))
        return answers.render_verdict(
            session.verify(first, second), first, second
        )

    compare.click(
        compare_drawings,
        [session, first, second],
        verdict,
        api_visibility="private",
        show_progress="hidden",
    )


def _require(image):
    if image is None:
        raise InputError(
            "A canvas is empty: draw a symbol on it, or upload an image of one."
        )
    return image


def _warning(function: Callable) -> Callable:
    """Shows a visitor's mistake as a warning, and leaves the page as it is."""

    @functools.wraps(function)
    def guarded(*arguments):
        try:
            return function(*arguments)
        except InputError as error:
            gr.Warning(html.escape(str(error)))
            return gr.skip()

    return guarded


def _add_api(session):
    """Adds endpoints for programs. Each `Client` has a session of its own."""

    @_refusal
    def add(session, image: str, name: str):
        """Adds an example of a symbol.

        Args:
            session: the caller's.
            image: a file.
            name: of the symbol.

        Returns:
            The known `names`, and `num_examples` of all of them.
        """
        session.add(_open(image), name)
        return session, _describe(session)

    @_refusal
    def remove(session, name: str):
        """Removes all examples of a symbol."""
        session.remove(name)
        return session, _describe(session)

    @_refusal
    def classify(session, image: str, top_k: int = TOP_K):
        """Says which symbol an image shows, with the keys of `classify --json`.

        `character` is null for none of these.
        """
        return session.classify(session.read(_open(image)), top_k).to_json()

    @_refusal
    def verify(session, first: str, second: str):
        """Says whether two images show the same, as `verify --json` does."""
        first, second = (session.read(_open(x)) for x in (first, second))
        return vars(session.verify(first, second))

    # They are invisible: Gradio takes the types of an API from components.
    image, other = gr.File(visible=False), gr.File(visible=False)
    name, result = gr.Textbox(visible=False), gr.JSON(visible=False)
    top_k = gr.Number(TOP_K, precision=0, visible=False)
    for function, inputs, outputs in (
        (add, [session, image, name], [session, result]),
        (remove, [session, name], [session, result]),
        (classify, [session, image, top_k], result),
        (verify, [session, image, other], result),
    ):
        gr.Button(visible=False).click(
            function, inputs, outputs, api_name=function.__name__
        )


def _describe(session):
    return {"names": session.names, "num_examples": session.num_examples}


def _open(path):
    """An uploaded file, which messages call by its name alone."""
    if path is None:
        raise InputError("No image is given: expected a file.")
    file = io.BytesIO(Path(path).read_bytes())
    file.name = Path(path).name
    return file


def _refusal(function: Callable) -> Callable:
    """Answers a program's mistake with an error of one line."""

    @functools.wraps(function)
    def guarded(*arguments):
        try:
            return function(*arguments)
        except InputError as error:
            raise gr.Error(str(error), print_exception=False) from error

    return guarded
