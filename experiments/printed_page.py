r"""Reads a printed page in a script that the model was not trained on.

    python -m experiments.printed_page --script=Georgian --output=DIR

A paragraph of a script is set in one font and printed to a PDF; the examples
are the script's characters in another font. Both fonts are in Debian's package
fonts-noto-core. DIR gets page.pdf, support/, and page.png, which shows what was
read on the page.
"""

import textwrap
from pathlib import Path

from absl import flags
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from PIL import Image, ImageDraw, ImageFont

from experiments.page_scoring import count_errors
from koch_siamese import Recognizer, cli
from koch_siamese.backend import import_tensorflow
from koch_siamese.data.page_files import list_pages, load_page
from koch_siamese.errors import InputError
from koch_siamese.reporting.page_figures import (
    draw_transcription,
    save_picture,
)
from koch_siamese.runs.path_flags import define_path

# Universal Declaration of Human Rights, article 1.
TEXTS = {
    "Georgian": "ყველა ადამიანი იბადება თავისუფალი და თანასწორი თავისი "
    "ღირსებითა და უფლებებით მათ მინიჭებული აქვთ გონება და სინდისი და "
    "ერთმანეთის მიმართ უნდა იქცეოდნენ ძმობის სულისკვეთებით",
    "Ethiopic": "የሰው ልጅ ሁሉ ሲወለድ ነጻና በክብርና በመብትም እኩልነት ያለው ነው። የተፈጥሮ "
    "ማስተዋልና ሕሊና ስላለው አንዱ ሌላውን በወንድማማችነት መንፈስ መመልከት ይገባዋል።",
}
# The page's font, that of the examples, and the characters of the script.
FOLDER = "/usr/share/fonts/truetype"
FONTS = {
    "Georgian": (
        "noto/NotoSerifGeorgian-Regular.ttf",
        "noto/NotoSansGeorgian-Regular.ttf",
        range(0x10D0, 0x10F1),
    ),
    "Ethiopic": (
        "noto/NotoSerifEthiopic-Regular.ttf",
        "noto/NotoSansEthiopic-Regular.ttf",
        (*range(0x1200, 0x135B), 0x1362),  # and the full stop
    ),
}
SCRIPT = flags.DEFINE_enum("script", "Georgian", list(TEXTS), "What to print.")
OUTPUT = define_path("output", None, "A folder.")
POINTS = flags.DEFINE_float("points", 14, "Size of the font.")


def print_page(text, font, path):
    """Sets a paragraph on a page of A5 and prints it to a PDF."""
    figure = Figure(figsize=(5.83, 8.27))
    lines = textwrap.wrap(text, round(440 / POINTS.value))
    figure.text(
        0.1,
        0.92,
        "\n".join(lines),
        font=font_manager.FontProperties(fname=font, size=POINTS.value),
        linespacing=1.6,
        va="top",
    )
    figure.savefig(path)
    return lines


def draw_examples(codes, font, folder):
    """Draws each character of a font into a file with its name."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = ImageFont.truetype(font, 96)
    known = FT2Font(font).get_charmap()
    for code in codes:
        if code in known:
            image = Image.new("L", (220, 220), 255)
            ImageDraw.Draw(image).text((40, 40), chr(code), 0, drawn)
            image.save(folder / f"{chr(code)}.png")


def main():
    """Prints the text that was read, and the number of errors."""
    if not OUTPUT.value:
        raise InputError("Give --output=DIR.")
    folder = Path(OUTPUT.value)
    folder.mkdir(parents=True, exist_ok=True)
    page_font, example_font, codes = FONTS[SCRIPT.value]
    page_font, example_font = (
        f"{FOLDER}/{x}" for x in (page_font, example_font)
    )
    for font in (page_font, example_font):
        if not Path(font).is_file():
            raise InputError(
                f"{font} is missing: install the package fonts-noto-core."
            )
    lines = print_page(TEXTS[SCRIPT.value], page_font, folder / "page.pdf")
    draw_examples(codes, example_font, folder / "support")
    import_tensorflow()
    recognizer = Recognizer.pretrained().add(folder / "support")
    (file,) = list_pages(folder / "page.pdf")
    page = load_page(file)
    # Every symbol of this page is one of the script.
    read = recognizer.transcribe(page, threshold=-1e9)
    strict = recognizer.transcribe(page)
    save_picture(
        draw_transcription(page, strict, recognizer.names),
        folder / "page.png",
    )
    print(read.text)
    num = sum(ord(x) in codes for line in lines for x in line)
    num_named = sum(x.name is not None for x in strict.symbols)
    num_errors = count_errors(read.text, "\n".join(lines))
    print(
        f"{len(read.symbols)} of {num} symbols, "
        f"{len(recognizer.names)} candidates: {num_errors} errors, those of "
        f"spaces included; {num_named} past the threshold"
    )


if __name__ == "__main__":
    cli.run(main)
