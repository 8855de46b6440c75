r"""Serves a page to draw symbols on and have them recognized.

    python -m koch_siamese.demo --support=DIR

It contacts no other server, so it works offline. Visitors add an example of
each symbol, by a drawing or an image, and then draw one of them again. Their
own examples, beside those of --support, are lost when they reload the page.
Programs use the same through Gradio's client. Needs the extra demo.
"""

import os
import threading

from absl import flags

from koch_siamese import cli, extras, model_flags
from koch_siamese.backend import import_tensorflow
from koch_siamese.runs.path_flags import define_path

SUPPORT = define_path(
    "support",
    None,
    "Examples that every visitor starts with: a folder of images, named by "
    "what they show, or a table of them, FILE.csv with the columns path,label.",
)
PORT = flags.DEFINE_integer(
    "port",
    None,
    "The port to listen on. Default: 7860, or the next one that is free.",
    lower_bound=1,
    upper_bound=65535,
)
HOST = flags.DEFINE_string(
    "host",
    "127.0.0.1",
    "The address to listen on: by default of this machine alone; 0.0.0.0 for "
    "everyone who can reach it. There is no password.",
)
model_flags.define_model_flags()
model_flags.define_crop_flag()


def _prepare_environment():
    """Disables Gradio's analytics, and proxies for the page itself."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_OFFLINE"] = "1"
    # At its start it requests its own page, which must not use a proxy.
    local = {"localhost", "127.0.0.1", HOST.value}
    for name in ("no_proxy", "NO_PROXY"):
        known = os.environ.get(name, "").split(",")
        os.environ[name] = ",".join(sorted({*known, *local} - {""}))


def main():
    """Serves the page until it is interrupted."""
    _prepare_environment()
    extras.require("gradio", "The demo")
    if SUPPORT.value:
        from koch_siamese.data.image_folder import check_files

        check_files(SUPPORT.value)
    import_tensorflow()
    from koch_siamese.web.page import build_page, serve
    from koch_siamese.web.session import Session

    recognizer = model_flags.load_recognizer()
    model_flags.note_reading(recognizer.crop, recognizer.model)
    session = Session.start(recognizer, SUPPORT.value)
    session.warm_up()
    page = build_page(session)
    url = serve(page, HOST.value, PORT.value)
    print(f"Open {url} in a browser; Ctrl-C ends it.", flush=True)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        page.close(verbose=False)


if __name__ == "__main__":
    cli.run(main, without=cli.DATA_FLAGS)
