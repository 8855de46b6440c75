"""The demo page: what visitors see, their sessions, an API for programs.

    pip install 'koch-siamese[demo]'
    python -m koch_siamese.demo --support=known

serves a page at http://127.0.0.1:7860, offline, too. Visitors add an example of
each symbol, by a drawing or an image, and draw one of them again; they compare
two symbols, or read a page (extra `pages`). All share one model. Each has
examples of their own, up to 500, beside those of --support; they are lost when
the page is reloaded. `--host=0.0.0.0` lets everyone in who can reach it: there
is no password.

# For programs

    from gradio_client import Client, handle_file

    client = Client("http://127.0.0.1:7860")
    for name in ("ka", "ki"):
        client.predict(handle_file(f"known/{name}.png"), name, api_name="/add")
    print(client.predict(handle_file("new.png"), api_name="/classify"))

A client has a session of its own; `client.reset_session()` starts another.

- `/add(image, name)`, `/remove(name)`: change the known symbols; return
  `names` and `num_examples`
- `/classify(image, top_k=5)`, `/verify(first, second)`: what `classify --json`
  and `verify --json` print, without the query
- `/transcribe(page, direction="ltr")`: of an image or a PDF; a list with what
  `transcribe --json` prints for each page

A mistake raises `AppError` with one line. The page asks no other server;
`gradio_client` tells Hugging Face that it was started, unless
HF_HUB_OFFLINE=1.
"""
