"""A pad to draw a symbol on, or to upload an image of one, for Gradio.

Not Gradio's Sketchpad, where a tool has to be chosen before the first stroke,
and which passes on an uploaded photograph within a transparent frame.
"""

import base64
import io
from pathlib import Path

import gradio as gr

TEMPLATE = """
<div class="paper">
  <canvas width="320" height="320" aria-label="${label}"></canvas>
  <div class="hint"></div>
</div>
<div class="tools">
  <button type="button" class="upload">Upload</button>
  <button type="button" class="undo">Undo</button>
  <button type="button" class="clear">Clear</button>
  <input type="file" accept="image/*" hidden>
</div>
"""
STYLE = """
.paper { position: relative; width: 100%; max-width: 260px; margin: 0 auto; }
canvas {
  width: 100%; aspect-ratio: 1; background: white; cursor: crosshair;
  border: 1px solid var(--border-color-primary); border-radius: 6px;
  touch-action: none;
}
.hint {
  position: absolute; inset: auto 0 12px; text-align: center; color: #767676;
  pointer-events: none; overflow-wrap: anywhere; padding: 0 8px;
}
.tools { display: flex; gap: 8px; justify-content: center; margin-top: 8px; }
.tools button {
  padding: 2px 12px; border-radius: 6px; cursor: pointer;
  font-size: 14px; font-weight: normal;
  border: 1px solid var(--border-color-primary);
  background: var(--button-secondary-background-fill);
  color: var(--button-secondary-text-color);
}
"""


def make_pad(label: str, name: str) -> gr.HTML:
    """Makes a pad.

    A function, as Gradio writes a file beside the source of every class of
    components.

    Args:
        label: what is drawn on it, for screen readers.
        name: its id in the page.
    """
    return gr.HTML(
        label=label,
        html_template=TEMPLATE,
        css_template=STYLE,
        js_on_load=Path(__file__).with_name("drawing_pad.js").read_text(),
        elem_id=name,
    )


def open_drawing(value: dict | None) -> io.BytesIO | None:
    """Opens what is on a pad.

    Args:
        value: what the pad sent: the `name` of an uploaded file, empty of a
            drawing, and a data URL of the image, `data`.

    Returns:
        The image as an open file, which has a name for messages; None if there
        is none.
    """
    if not value:
        return None
    file = io.BytesIO(base64.b64decode(value["data"].partition(",")[2]))
    file.name = value["name"] or "the drawing"
    return file
