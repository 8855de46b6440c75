"""The demo page, made with Gradio."""

import gradio as gr

from koch_siamese.errors import InputError
from koch_siamese.pages.reading import DIRECTIONS
from koch_siamese.web import answers, handlers
from koch_siamese.web.api import add_endpoints
from koch_siamese.web.drawing_pad import make_pad
from koch_siamese.web.session import Session

TITLE = "One-shot recognition"
INTRODUCTION = """# One-shot recognition
Give one example of each symbol, then draw one of them again. The network has
never been trained on your symbols: it compares your drawing with each example.
"""
DIRECTION_LABELS = {
    "ltr": "left to right",
    "rtl": "right to left",
    "ttb": "top to bottom, from the right",
}
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
            f"{port or 'any'} ({error}): give another port or host."
        ) from error
    return url


def _add_recognition(page, session):
    with gr.Row():
        with gr.Column():
            example, name, add = _lay_out_example()
        with gr.Column():
            gr.Markdown("### 2. Draw one of them again")
            query = make_pad("The symbol to recognize", "query")
            ask = gr.Button("Recognize", variant="primary", elem_id="ask")
        with gr.Column():
            gr.Markdown("### 3. Answer")
            answer = gr.HTML(elem_id="answer")
    with gr.Row():
        examples, removed, remove = _lay_out_examples()
    shown = [examples, removed]
    listen = {"api_visibility": "private", "show_progress": "hidden"}
    page.load(handlers.show_examples, session, shown, **listen)
    gr.on(
        [add.click, name.submit],
        handlers.add_example,
        [session, example, name],
        [session, example, name, *shown],
        **listen,
    )
    remove.click(
        handlers.remove_symbol, [session, removed], [session, *shown], **listen
    )
    ask.click(handlers.recognize, [session, query], answer, **listen)


def _lay_out_example():
    """Returns the pad of an example, its name, and the button that adds it."""
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
    return example, name, add


def _lay_out_examples():
    """Returns the examples, and the choice and button to remove a symbol."""
    with gr.Column(scale=4):
        gr.Markdown("### Examples")
        examples = gr.HTML(elem_id="examples")
    with gr.Column(scale=1, min_width=200):
        removed = gr.Dropdown([], label="Symbol to remove")
        remove = gr.Button("Remove", size="sm")
    return examples, removed, remove


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
    compare.click(
        handlers.compare_drawings,
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
                [(DIRECTION_LABELS[x], x) for x in DIRECTIONS],
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
    read.click(
        handlers.read_page,
        [session, file, direction],
        [text, pictures],
        api_visibility="private",
        concurrency_limit=1,
        concurrency_id="pages",
    )
