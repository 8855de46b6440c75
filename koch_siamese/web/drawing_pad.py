"""A Gradio pad on which to draw a symbol, or to upload an image of one.

Gradio's own Sketchpad is not used: it requires to choose a tool before the
first stroke, and puts an uploaded photograph into a transparent frame.
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

    This is not a class, because Gradio writes a file beside the source of every
    component class.

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
    """Opens the image on a pad.

    Args:
        value: the value of the pad: `name`, that of an uploaded file or empty
            for a drawing, and `data`, a data URL of the image.

    Returns:
        The image as an open file, with a name for messages; None if the pad is
        empty.
    """
    if not value:
        return None
    file = io.BytesIO(base64.b64decode(value["data"].partition(",")[2]))
    file.name = value["name"] or "the drawing"
    return file
