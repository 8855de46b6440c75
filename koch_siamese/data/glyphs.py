"""Invented alphabets in invented hands: an offline stand-in for Omniglot.

As in Bayesian program learning (Lake et al. 2015, Science 350), a character is
a program of a few strokes, each tied to an earlier one. A stroke is a pen that
moves several times, its heading changing evenly from start to end of a move, so
that lines, arcs, rings and corners are all pairs of angles. Every drawing is a
pure function of (alphabet, character, drawer).
"""

import dataclasses
import functools
import io
import itertools

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image, ImageDraw, ImageFilter

from koch_siamese.errors import InputError
from koch_siamese.images import IMAGE_SIZE, WHITE

MARGIN, PEN_WIDTH = 3, 5  # Omniglot's pen is a 5 x 5 square
MIN_CHARACTERS, MAX_CHARACTERS = 20, 26
SAMPLES_PER_MOVE = 24

# In degrees, clockwise, because y points down.
CORNERS = (45, 60, 90, 90, 90, 120, 135)
BENDS = (40, 60, 90, 140, 180, 180, 180, 220, 270, 360)
DIRECTIONS = ((0, 90), (0, 45, 90, 135), (0, 60, 120), (0, 75, 90, 105))
ANCHORS = (0.0, 0.5, 1.0)  # start, middle and end of a stroke

# Limits in units of a character's larger side. Beyond these, it is a tangle,
# mostly retraced, little more than a line, or too similar to an earlier one.
MAX_LENGTH, RETRACED_DISTANCE, MIN_WIDTH, MIN_DISTANCE = 4.2, 0.09, 0.35, 0.08

# The first integer of a seed; the others are alphabet, character and drawer.
NAMES, STYLE, PROGRAMS, HAND, DRAWING = range(2015, 2020)


class Style:
    """The style that the characters of one alphabet share."""

    def __init__(self, rng: np.random.Generator):
        """Samples a style."""
        roundness = rng.choice((0.05, 0.3, 0.5, 0.8))
        self.mean_strokes = rng.uniform(1.6, 3.4)
        # Few strokes are long ones, or else characters would be too similar.
        mean_moves = np.clip(5 / self.mean_strokes, 1.4, 3.2)
        self.motifs = [
            _sample_motif(rng, roundness, mean_moves)
            for _ in range(rng.integers(5, 10))
        ]
        self.directions = DIRECTIONS[rng.integers(len(DIRECTIONS))]
        self.joined_share = rng.uniform(0.7, 1)
        self.mirror_share = rng.choice((0, 0.1, 0.3))
        self.dot_share = rng.choice((0, 0, 0.1, 0.3))
        self.scale = rng.uniform(0.55, 0.72) * rng.uniform((0.8, 1), (1.2, 1))
        self.beginnings = [
            _sample_stroke(rng, self, []) for _ in range(rng.integers(4, 13))
        ]


@dataclasses.dataclass(frozen=True, eq=False)
class Stroke:
    """A stroke, and how it is tied to an earlier one."""

    headings: np.ndarray  # [num_moves, 2], degrees at start and end of a move
    lengths: np.ndarray  # [num_moves], near 1
    parent: int = 0  # index of the earlier stroke; none for the first
    parent_at: float = 0.0  # the parent's point of the tie: 0 start, 1 end
    own_at: float = 0.0  # its own point of the tie
    gap: np.ndarray | float = 0.0  # between the two points; 0 if joined


def _sample_motif(rng, roundness, mean_moves):
    num_moves = 1 + min(rng.poisson(mean_moves - 1), 4)
    signs = rng.choice((-1, 1), (2, num_moves))
    is_bent, is_smooth = rng.random((2, num_moves)) < roundness
    bends = signs[0] * rng.choice(BENDS, num_moves) * is_bent
    corners = signs[1] * rng.choice(CORNERS, num_moves) * ~is_smooth
    starts = np.cumsum(corners) - corners[0] + np.cumsum(bends) - bends
    lengths = rng.choice((0.4, 0.7, 1.0), num_moves) + np.abs(bends) / 300
    return np.stack([starts, starts + bends], axis=1), lengths


def _sample_stroke(rng, style, strokes):
    headings, lengths = style.motifs[rng.integers(len(style.motifs))]
    headings = headings + rng.choice(style.directions)
    if not strokes:
        return Stroke(headings, lengths * 1.3)
    parent = int(rng.integers(len(strokes)))
    is_joined = rng.random() < style.joined_share
    if rng.random() < style.dot_share:
        headings, lengths, is_joined = np.zeros((1, 2)), np.array([0.01]), False
    elif rng.random() < style.mirror_share:
        headings = 180 - strokes[parent].headings
        lengths = strokes[parent].lengths
    angle = rng.choice(8) * np.pi / 4
    away = 0.35 * np.array([np.cos(angle), np.sin(angle)])
    gap = 0.0 if is_joined else away
    lengths = lengths * rng.choice((0.6, 1))
    parent_at, own_at = rng.choice(ANCHORS, 2)
    return Stroke(headings, lengths, parent, parent_at, own_at, gap)


def _sample_strokes(rng, style):
    num_strokes = 1 + rng.binomial(4, (style.mean_strokes - 1) / 4)
    strokes = [style.beginnings[rng.integers(len(style.beginnings))]]
    while len(strokes) < num_strokes:
        strokes.append(_sample_stroke(rng, style, strokes))
    return strokes


@functools.cache
def sample_alphabet(alphabet: int) -> list[tuple[list[Stroke], np.ndarray]]:
    """Samples MAX_CHARACTERS programs: strokes and scale, float `[2]`."""
    style = Style(np.random.default_rng([STYLE, alphabet]))
    rng = np.random.default_rng([PROGRAMS, alphabet])
    programs, outlines = [], []
    while len(programs) < MAX_CHARACTERS:
        strokes = _sample_strokes(rng, style)
        paths = trace(strokes, rng)
        side = np.ptp(np.concatenate(paths), axis=0).max()
        paths = [path / side for path in paths]
        outline = np.concatenate(paths)[::3]
        outline -= outline.mean(axis=0)
        is_new = all(
            max(_gaps(outline, other).mean(), _gaps(other, outline).mean())
            > MIN_DISTANCE
            for other in outlines
        )
        if is_new and _is_legible(paths, rng):
            scale = style.scale * np.exp(rng.normal(0, 0.15)) / side
            programs.append((strokes, scale))
            outlines.append(outline)
    return programs


def _is_legible(paths, rng):
    points = np.concatenate(paths)
    is_slim = np.ptp(points, axis=0).min() < MIN_WIDTH
    is_long = np.hypot(*np.diff(points, axis=0).T).sum() > MAX_LENGTH
    is_retraced = any(
        np.mean(_gaps(second, first) < RETRACED_DISTANCE) > 0.4
        for first, second in itertools.combinations(paths, 2)
    )
    return not (is_long or is_retraced or (is_slim and rng.random() > 0.1))


def _gaps(first, second):
    distances = np.abs((first @ [1, 1j])[:, None] - second @ [1, 1j])
    return distances.min(axis=1)


def trace(strokes, rng, noise=0.0, rounding=0.05) -> list[np.ndarray]:
    """Traces the strokes of a program with random noise.

    `noise` is 0 for the exact program and about 1 for handwriting; `rounding`
    is the fraction of a move that is spent on turning a corner. Returns the
    path of each stroke, float `[num_points, 2]`, x and y.
    """
    paths = []
    for stroke in strokes:
        path = _trace_stroke(stroke, rng, noise, rounding)
        if paths:
            slips = noise * rng.normal(0, 0.05, 2)
            tie = _point_at(paths[stroke.parent], stroke.parent_at + slips[0])
            tie = tie + stroke.gap + noise * rng.normal(0, 0.04, 2)
            path += tie - _point_at(path, stroke.own_at + slips[1])
        paths.append(path)
    return paths


def _trace_stroke(stroke, rng, noise, rounding):
    num_moves = len(stroke.lengths)
    spread = rng.normal(0, 6, (num_moves, 2)) + rng.normal(0, 4)
    headings = np.deg2rad(stroke.headings + noise * spread)
    lengths = stroke.lengths * np.exp(noise * rng.normal(0, 0.14, num_moves))
    wobble = noise * rng.normal(0, 0.12, 4 * num_moves + 1)
    times = (np.arange(num_moves * SAMPLES_PER_MOVE) + 0.5) / SAMPLES_PER_MOVE
    # The corner is between the end of a move and the start of the next.
    knots = np.arange(num_moves)[:, None] + [rounding / 2, 1 - rounding / 2]
    heading = np.interp(times, knots.ravel(), headings.ravel())
    heading += np.interp(times, np.arange(len(wobble)) / 4, wobble)
    steps = np.repeat(lengths / SAMPLES_PER_MOVE, SAMPLES_PER_MOVE)
    return np.cumsum(steps * [np.cos(heading), np.sin(heading)], axis=1).T


def _point_at(path, fraction):
    return path[round(min(max(fraction, 0), 1) * (len(path) - 1))]


def _sample_hand(alphabet, drawer):
    rng = np.random.default_rng([HAND, alphabet, drawer])
    size, rounding = np.exp(rng.normal(0, 0.08)), rng.uniform(0.02, 0.3)
    frame = IMAGE_SIZE * size * (np.eye(2) + rng.normal(0, 0.08, (2, 2)))
    center = IMAGE_SIZE / 2 + rng.normal(-1.5, 4, 2)
    return frame, center, rng.uniform(0.6, 1.5), rounding


def draw_glyph(alphabet: int, character: int, drawer: int) -> Image.Image:
    """Draws a character of an invented alphabet.

    Args:
        alphabet: 0 or more; 40 to 49 are those of the test split.
        character: 0 to 25; the alphabets of the data set have 20 or more.
        drawer: 1 or more.

    Returns:
        An image in mode L, 105 x 105, 0 = ink, 255 = white.

    Raises:
        InputError: a number is out of its range.
    """
    if alphabet < 0 or drawer < 1 or not 0 <= character < MAX_CHARACTERS:
        raise InputError(
            f"There is no glyph of alphabet={alphabet}, character={character}, "
            f"drawer={drawer}: expected alphabet >= 0, character within "
            f"0..{MAX_CHARACTERS - 1}, and drawer >= 1."
        )
    frame, center, sloppiness, rounding = _sample_hand(alphabet, drawer)
    rng = np.random.default_rng([DRAWING, alphabet, character, drawer])
    strokes, scale = sample_alphabet(alphabet)[character]
    paths = trace(strokes, rng, sloppiness, rounding)
    scale = scale * np.exp(rng.normal(0, 0.05, 2))
    points = np.concatenate(paths) * scale @ frame
    points -= (points.max(axis=0) + points.min(axis=0)) / 2
    points *= min(1, (IMAGE_SIZE - 2 * MARGIN) / np.ptp(points, axis=0).max())
    points += center + rng.normal(0, 3.5, 2)
    points = points.clip(MARGIN, IMAGE_SIZE - 1 - MARGIN).round()
    image = Image.new("L", (IMAGE_SIZE, IMAGE_SIZE), WHITE)
    pen = ImageDraw.Draw(image)
    for path in np.split(points, np.cumsum([*map(len, paths)])[:-1]):
        pen.line(path.ravel().tolist(), fill=0)
    return image.filter(ImageFilter.MinFilter(PEN_WIDTH))


@dataclasses.dataclass
class GlyphsConfig(tfds.core.BuilderConfig):
    """Alphabets of train, validation and test; drawers of each."""

    alphabets: tuple[range, range, range] = (
        range(30),
        range(30, 40),
        range(40, 50),
    )
    num_drawers: int = 20


class Glyphs(tfds.core.GeneratorBasedBuilder):
    """Has the features of TFDS's omniglot, and `drawer`, counted from 1."""

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = (
        GlyphsConfig(name="default"),
        # In the same splits as there: nothing is tested on what the other one
        # trains on.
        GlyphsConfig(
            name="tiny",
            version="1.1.0",
            alphabets=(range(4), range(30, 32), range(40, 42)),
            num_drawers=6,
        ),
    )

    def _info(self):
        alphabets = list(itertools.chain(*self.builder_config.alphabets))
        names = [_name_alphabet(alphabet) for alphabet in alphabets]
        labels = [name for a in alphabets for name in _name_characters(a)]
        features = {
            "image": tfds.features.Image(shape=(IMAGE_SIZE, IMAGE_SIZE, 3)),
            "alphabet": tfds.features.ClassLabel(names=names),
            "alphabet_char_id": np.int64,
            "label": tfds.features.ClassLabel(names=labels),
            "drawer": np.int64,
        }
        return tfds.core.DatasetInfo(
            builder=self,
            description=__doc__,
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("image", "label"),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        train, validation, test = map(
            self._generate_examples, self.builder_config.alphabets
        )
        return {"train": train, "validation": validation, "test": test}

    def _generate_examples(self, alphabets):
        return _Examples(
            (alphabet, character, drawer, name)
            for alphabet in alphabets
            for character, name in enumerate(_name_characters(alphabet))
            for drawer in range(1, self.builder_config.num_drawers + 1)
        )


class _Examples(list):
    # Drawn when read, but with a length, so that TFDS shows its progress.
    def __iter__(self):
        for key, (alphabet, character, drawer, name) in enumerate(self[:]):
            png = io.BytesIO()
            draw_glyph(alphabet, character, drawer).save(png, "png")
            record = {
                "image": png.getvalue(),
                "alphabet": _name_alphabet(alphabet),
                "alphabet_char_id": character,
                "label": name,
                "drawer": drawer,
            }
            yield key, record


def _name_alphabet(alphabet):
    syllables = [c + v for c in "bdfgklmnprstvz" for v in "aeiou"]
    syllables = np.random.default_rng(NAMES).permutation(syllables)
    return (syllables[alphabet] + syllables[-1 - alphabet]).capitalize()


def _name_characters(alphabet):
    rng = np.random.default_rng([NAMES, alphabet])
    characters = range(rng.integers(MIN_CHARACTERS, MAX_CHARACTERS + 1))
    return [f"{_name_alphabet(alphabet)}_{c:02d}" for c in characters]
