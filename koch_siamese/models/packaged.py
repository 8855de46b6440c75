"""The models of the package: their names and cards."""

from pathlib import Path

PRETRAINED = "pretrained"  # the default
PRETRAINED_LARGE = "pretrained_large"  # slower, and a little more accurate
PACKAGED = (PRETRAINED, PRETRAINED_LARGE)


def read_card(name: str) -> str:
    """Reads the model card of one of the `PACKAGED` models, in Markdown."""
    return Path(__file__).with_name(f"{name}.md").read_text("utf-8")
