"""The demo page: what visitors see, their sessions, an API for programs.

    pip install 'koch-siamese[demo]'
    python -m koch_siamese.demo --support=known

serves a page at http://127.0.0.1:7860, even offline. Visitors add an example of
each symbol, drawn or uploaded, and then draw one of them again. They can also
compare two symbols or read a page (extra `pages`). All visitors share one
model. Each can add up to 500 examples to those of --support; they are lost when
the page is reloaded. With `--host=0.0.0.0`, everyone who can reach the page can
use it: there is no password.

# For programs

    from gradio_client import Client, handle_file

    client = Client("http://127.0.0.1:7860")
    for name in ("ka", "ki"):
        client.predict(handle_file(f"known/{name}.png"), name, api_name="/add")
    print(client.predict(handle_file("new.png"), api_name="/classify"))

Each client has its own session; `client.reset_session()` starts another.

- `/add(image, name)`, `/remove(name)`: change the known symbols; return
  `names` and `num_examples`
- `/classify(image, top_k=5)`, `/verify(first, second)`: return what
  `classify --json` and `verify --json` print, without the query
- `/transcribe(page, direction="ltr")`: reads an image, or a PDF of at most ten
  pages; returns a list of what `transcribe --json` prints for each page

Mistakes raise `AppError` with a message of one line. The page contacts no other
server; `gradio_client` reports its start to Hugging Face, unless
HF_HUB_OFFLINE=1.
"""
