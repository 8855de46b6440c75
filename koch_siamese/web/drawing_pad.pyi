"""A pad to draw a symbol on, or to upload an image of one: a Gradio component.

Not Gradio's Sketchpad, where a tool has to be chosen before the first stroke,
and which passes on an uploaded photograph within a transparent frame.
"""

import base64
import binascii
import io
from pathlib import Path

import gradio as gr

TEMPLATE = """
<div class="pad">
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
</div>
"""
STYLE = """
.paper { position: relative; width: 100%; max-width: 320px; margin: 0 auto; }
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
  padding: 4px 12px; border-radius: 6px; cursor: pointer;
  border: 1px solid var(--border-color-primary);
  background: var(--button-secondary-background-fill);
  color: var(--button-secondary-text-color);
}
"""

from gradio.events import Dependency

class DrawingPad(gr.HTML):
    """A pad whose value is an image as an open binary file, or None."""

    def __init__(self, label: str, **options):
        """Makes a pad.

        Args:
            label: what is drawn on it, for screen readers.
            options: of `gr.HTML`, such as `elem_id`.
        """
        super().__init__(
            None,
            label=label,
            html_template=TEMPLATE,
            css_template=STYLE,
            js_on_load=Path(__file__).with_name("drawing_pad.js").read_text(),
            **options,
        )

    def preprocess(self, payload: dict | None) -> io.BytesIO | None:
        """Decodes what the pad sends; what it cannot have sent is nothing."""
        if not payload:
            return None
        try:
            content = base64.b64decode(payload["data"].partition(",")[2])
        except (KeyError, AttributeError, binascii.Error, ValueError):
            return None
        file = io.BytesIO(content)
        file.name = payload.get("name") or "the drawing"
        return file

    def api_info(self):
        """Describes the value to programs."""
        return {"type": "object", "description": "{name, data}"}
    from typing import Callable, Literal, Sequence, Any, TYPE_CHECKING
    from gradio.blocks import Block

    if TYPE_CHECKING:
        from gradio.components import Timer
        from gradio.components.base import Component
