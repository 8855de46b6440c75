r"""Measures how well symbols of pages are grouped without examples.

    pip install -e '.[pages]'
    python -m experiments.discovery --output=FILE --data_dir=D

Each page (see `page_images.py`) has drawings of one of Omniglot's validation
alphabets by one person, or by four with --hands=4. Pages are clean or
photographed. For symbols that are found with the right box (IoU of at least
0.7), the result has the adjusted Rand index of the groups, the errors per 100
symbols if each group is named after most of its members or after its clearest
one, and the number of groups per character.
"""

from pathlib import Path

import numpy as np
from absl import flags
from tqdm import tqdm

from experiments.page_images import make_page
from experiments.page_scoring import MIN_OVERLAP, compute_overlaps
from koch_siamese import Recognizer, cli
from koch_siamese.backend import import_tensorflow
from koch_siamese.data.page_files import load_page
from koch_siamese.data.sources import load_characters
from koch_siamese.errors import InputError
from koch_siamese.inference.transcription import find_on_page
from koch_siamese.runs.path_flags import define_path
from koch_siamese.runs.results import write_result

OUTPUT = define_path("output", None, "A file for the result.")
NUM_PAGES = flags.DEFINE_integer("num_pages", 40, "Pages of a kind.")
HANDS = flags.DEFINE_integer("hands", 1, "How many people drew a page.")
SEED = flags.DEFINE_integer("seed", 0, "Decides drawings and pages.")


def choose_drawings(characters, alphabet, rng):
    """Chooses drawings of an alphabet by some people, and their labels."""
    people = rng.choice(
        np.unique(characters.drawer), HANDS.value, replace=False
    )
    chosen = (characters.alphabet == alphabet) & np.isin(
        characters.drawer, people
    )
    return characters.images[chosen][..., 0], characters.character[chosen]


def measure_page(recognizer, page, label):
    """Measures how well the symbols of one page are grouped.

    If no symbol is found, the result has only counts.

    Args:
        recognizer: its model compares the symbols.
        page: from `page_images`.
        label: the character of each of its drawings.
    """
    from sklearn.metrics import adjusted_rand_score

    found = find_on_page(load_page(page.image))
    boxes = [x.box for line in found.lines for x in line]
    boxes = np.array(boxes).reshape(-1, 4)
    measured = {"symbols": len(page.boxes), "right_boxes": 0}
    if not len(boxes):
        return measured
    overlap = compute_overlaps(boxes, page.boxes)
    is_right = overlap.max(1) >= MIN_OVERLAP
    truth = label[page.drawing[overlap.argmax(1)]]
    drawings = found.drawings
    groups = recognizer.group_drawings(drawings)
    group = np.empty(len(drawings), int)
    by_majority = by_clearest = 0
    for number, members in enumerate(groups):
        group[members] = number
        own = truth[members][is_right[members]]
        if len(own):
            by_majority += len(own) - np.bincount(own).max()
        by_clearest += np.sum(own != truth[members[0]])
    group, truth = group[is_right], truth[is_right]
    return measured | {
        "right_boxes": int(is_right.sum()),
        "adjusted_rand_index": float(adjusted_rand_score(truth, group)),
        "wrong_by_majority": int(by_majority),
        "wrong_by_clearest": int(by_clearest),
        "groups": len(groups),
        "characters": len(np.unique(truth)),
    }


def summarize(pages):
    """Summarizes the pages of one kind."""

    def total(key):
        return sum(page.get(key, 0) for page in pages)

    found = [x for x in pages if "adjusted_rand_index" in x]
    if not found:
        raise InputError("No symbol was found on any page.")
    indices = [x["adjusted_rand_index"] for x in found]
    num = max(1, total("right_boxes"))
    return {
        "pages": len(pages),
        "symbols": total("symbols"),
        "right_boxes": total("right_boxes"),
        "adjusted_rand_index": float(np.mean(indices)),
        "lowest_adjusted_rand_index": float(np.min(indices)),
        "errors_per_100_by_majority": 100 * total("wrong_by_majority") / num,
        "errors_per_100_by_clearest": 100 * total("wrong_by_clearest") / num,
        "groups_per_character": total("groups") / max(1, total("characters")),
    }


def main():
    """Measures the pages of both kinds."""
    if not OUTPUT.value:
        raise InputError("Give --output=FILE.")
    import_tensorflow()
    characters = load_characters(
        "omniglot", "validation", data_dir=cli.DATA_DIR.value
    )
    recognizer = Recognizer.pretrained()
    alphabets = np.unique(characters.alphabet)
    kinds = {}
    for place, kind in enumerate(("clean", "photographed")):
        rng = np.random.default_rng([SEED.value, place])
        pages = []
        for number in tqdm(range(NUM_PAGES.value), kind, disable=None):
            alphabet = alphabets[number % len(alphabets)]
            drawings, label = choose_drawings(characters, alphabet, rng)
            page = make_page(drawings, kind, rng)
            pages.append(measure_page(recognizer, page, label))
        kinds[kind] = summarize(pages)
        print(kind, kinds[kind], flush=True)
    result = {
        "hands": HANDS.value,
        "seed": SEED.value,
        "min_overlap": MIN_OVERLAP,
    }
    write_result(Path(OUTPUT.value), result | {"kinds": kinds})


if __name__ == "__main__":
    cli.run(main)
