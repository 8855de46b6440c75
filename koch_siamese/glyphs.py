"""Invented alphabets, drawn by invented people: an offline stand-in for Omniglot.

In the manner of Bayesian program learning (Lake et al. 2015, Science 350), a
character is a motor program: a few strokes, each fixed to an earlier one. A
stroke is the path of a pen whose heading changes linearly along every move, so
a straight line, an arc, a ring and a corner are all pairs of headings. A drawer
repeats the program with a hand of their own, and never twice in the same way.

Every drawing is a pure function of (alphabet, character, drawer). Read the file
downwards: style of an alphabet, program of a character, hand of a drawer,
drawing, builder.
"""

import collections.abc
import dataclasses
import functools
import io

import numpy as np
from PIL import Image, ImageDraw, ImageFilter
import tensorflow_datasets as tfds

IMAGE_SIZE = 105
PEN_WIDTH = 5  # Omniglot's ink is a 5 x 5 square dragged along the path.
MARGIN = 3
SAMPLES_PER_MOVE = 24
MIN_CHARACTERS, MAX_CHARACTERS = 20, 26

# Corners and bends in degrees; headings turn clockwise, as y points down.
CORNERS = (45, 60, 90, 90, 90, 120, 135)
BENDS = (40, 60, 90, 140, 180, 180, 180, 220, 270, 360)
DIRECTIONS = ((0, 90), (0, 45, 90, 135), (0, 60, 120), (90, 75, 105, 0))
ANCHORS = (0.0, 0.5, 1.0)
# A new character must differ from every earlier one of its alphabet by this
# mean distance between their paths, where the larger side of both is 1.
MIN_PATH_DISTANCE = 0.055
# Longer programs, in larger sides, are tangles; slimmer ones are mere lines.
MAX_LENGTH = 4.2
MIN_ASPECT = 0.35

# The first of the integers that seed a generator; what follows says whose it is.
STYLE_SEED, CHARACTER_SEED, HAND_SEED, DRAWING_SEED = 2015, 2016, 2017, 2018


@dataclasses.dataclass(frozen=True)
class Stroke:
    """One stroke and its relation to an earlier stroke of the character.

    Attributes:
      headings: Float array (num_moves, 2), degrees at start and end of a move.
      lengths: Float array (num_moves,), the larger side of a character being 1
        or so.
      parent: Index of the earlier stroke, or -1 for the first.
      parent_at: Where on the parent it is fixed, from 0 (start) to 1 (end).
      own_at: Which point of its own is fixed there, from 0 to 1.
      gap: Float array (2,), from the parent's point to its own; zero if joined.
    """

    headings: np.ndarray
    lengths: np.ndarray
    parent: int = -1
    parent_at: float = 0.0
    own_at: float = 0.0
    gap: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(2))


@dataclasses.dataclass(frozen=True)
class Style:
    """What the characters of one alphabet have in common."""

    motifs: tuple  # Pairs (headings, lengths) for a start in direction 0.
    directions: np.ndarray
    stroke_weights: np.ndarray  # Probabilities of 1, 2, 3... strokes.
    skeletons: tuple  # Beginnings of programs, shared by several characters.
    skeleton_share: float
    joined_share: float
    mirror_share: float
    dot_share: float
    size: float


@dataclasses.dataclass(frozen=True)
class Hand:
    """What the drawings of one drawer have in common."""

    frame: np.ndarray  # (2, 2): size, aspect, slant and rotation.
    centre: np.ndarray  # (2,), pixels
    sloppiness: float  # Multiplies the noise of every drawing.
    rounding: float  # Fraction of a move spent on turning a corner.


def sample_motif(rng, roundness, mean_moves):
    """Returns (headings (num_moves, 2), lengths (num_moves,)) of a short path."""
    num_moves = 1 + min(rng.poisson(mean_moves - 1), 4)
    signs = rng.choice((-1, 1), (2, num_moves))
    is_round, is_smooth = rng.random((2, num_moves)) < roundness
    bends = signs[0] * rng.choice(BENDS, num_moves) * is_round
    corners = signs[1] * rng.choice(CORNERS, num_moves) * ~is_smooth
    starts = np.cumsum(corners) - corners[0] + np.cumsum(bends) - bends
    lengths = rng.choice((0.4, 0.7, 1.0), num_moves) + np.abs(bends) / 300
    return np.stack([starts, starts + bends], axis=1), lengths


def sample_stroke(rng, style, strokes):
    """Returns a stroke of the style, fixed to one of the earlier strokes."""
    headings, lengths = style.motifs[rng.integers(len(style.motifs))]
    headings = headings + rng.choice(style.directions)
    lengths = lengths * rng.choice((0.6, 1.0))
    if not strokes:
        return Stroke(headings, lengths * 1.3)
    parent = int(rng.integers(len(strokes)))
    if rng.random() < style.dot_share:
        headings, lengths = np.zeros((1, 2)), np.array([0.01])
    elif rng.random() < style.mirror_share:
        headings, lengths = (
            180 - strokes[parent].headings,
            strokes[parent].lengths,
        )
    is_joined = lengths.sum() > 0.1 and rng.random() < style.joined_share
    angle = rng.choice(8) * np.pi / 4
    gap = 0.35 * np.array([np.cos(angle), np.sin(angle)])
    return Stroke(
        headings,
        lengths,
        parent=parent,
        parent_at=rng.choice(ANCHORS),
        own_at=rng.choice(ANCHORS),
        gap=gap * (not is_joined),
    )


@functools.lru_cache(maxsize=None)
def alphabet_style(alphabet):
    """Returns the Style of an alphabet, given by its number."""
    rng = np.random.default_rng([STYLE_SEED, alphabet])
    roundness = rng.choice((0.1, 0.4, 0.6, 0.9))
    mean_strokes = rng.uniform(1.3, 3.6)
    # Few strokes are long ones, so that every alphabet is rich enough.
    mean_moves = np.clip(5.0 / mean_strokes, 1.2, 3.2)
    counts = np.arange(1, 6)
    weights = np.exp(-0.5 * (counts - mean_strokes) ** 2)
    style = Style(
        motifs=tuple(
            sample_motif(rng, roundness, mean_moves)
            for _ in range(rng.integers(5, 10))
        ),
        directions=np.array(DIRECTIONS[rng.integers(len(DIRECTIONS))]),
        stroke_weights=weights / weights.sum(),
        skeletons=(),
        skeleton_share=rng.uniform(0.2, 0.7),
        joined_share=rng.uniform(0.7, 1.0),
        mirror_share=rng.choice((0, 0.1, 0.3)),
        dot_share=rng.choice((0, 0, 0.1, 0.3)),
        size=rng.uniform(0.55, 0.72),
    )
    skeletons = tuple((sample_stroke(rng, style, ()),) for _ in range(3))
    return dataclasses.replace(style, skeletons=skeletons)


def sample_program(rng, style):
    """Returns a tuple of Strokes, scaled so that the larger side is the size."""
    strokes = ()
    if rng.random() < style.skeleton_share:
        strokes = style.skeletons[rng.integers(len(style.skeletons))]
    num_strokes = 1 + rng.choice(5, p=style.stroke_weights)
    while len(strokes) < num_strokes:
        strokes += (sample_stroke(rng, style, strokes),)
    paths = trace(strokes)
    side = np.ptp(np.concatenate(paths), axis=0).max()
    if not is_legible([path / side for path in paths], rng):
        return sample_program(rng, style)
    scale = style.size * np.exp(rng.normal(0, 0.15)) / side
    return tuple(
        dataclasses.replace(s, lengths=s.lengths * scale, gap=s.gap * scale)
        for s in strokes
    )


def is_legible(paths, rng):
    """Returns whether paths of larger side 1 are neither tangled nor too thin."""
    points = np.concatenate(paths)
    length = np.hypot(*np.diff(points, axis=0).T).sum()
    is_slim = np.ptp(points, axis=0).min() < MIN_ASPECT
    ends = np.cumsum([len(path) for path in paths])
    is_retraced = any(
        np.mean(distances_between(path, points[:end]).min(axis=1) < 0.09) > 0.4
        for path, end in zip(paths[1:], ends)
    )
    return (
        length < MAX_LENGTH
        and not is_retraced
        and (not is_slim or rng.random() < 0.1)
    )


@functools.lru_cache(maxsize=None)
def alphabet_programs(alphabet):
    """Returns the programs of MAX_CHARACTERS distinct characters."""
    style = alphabet_style(alphabet)
    rng = np.random.default_rng([CHARACTER_SEED, alphabet])
    programs, outlines = [], []
    while len(programs) < MAX_CHARACTERS:
        program = sample_program(rng, style)
        outline = np.concatenate(trace(program))[::3]
        outline = outline - (outline.max(axis=0) + outline.min(axis=0)) / 2
        outline = outline / np.ptp(outline, axis=0).max()
        if all(path_distance(outline, o) > MIN_PATH_DISTANCE for o in outlines):
            programs.append(program)
            outlines.append(outline)
    return tuple(programs)


def path_distance(first, second):
    """Returns the mean distance from either path to the other's nearest point."""
    distances = distances_between(first, second)
    return (distances.min(axis=0).mean() + distances.min(axis=1).mean()) / 2


def distances_between(first, second):
    """Returns the distances (len(first), len(second)) between points."""
    return np.abs((first @ [1, 1j])[:, None] - second @ [1, 1j])


@functools.lru_cache(maxsize=None)
def drawer_hand(alphabet, drawer):
    """Returns the Hand with which a drawer writes one alphabet."""
    rng = np.random.default_rng([HAND_SEED, alphabet, drawer])
    size = IMAGE_SIZE * np.exp(rng.normal(0, 0.1) + rng.normal(0, 0.06, 2))
    slant, angle = rng.normal(0, 0.1), rng.normal(0, 0.05)
    rotation = np.array(
        [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    )
    return Hand(
        frame=rotation @ [[1, slant], [0, 1]] * size,
        centre=IMAGE_SIZE / 2 + rng.normal(-1.5, 4, 2),
        sloppiness=np.exp(rng.normal(0, 0.3)),
        rounding=rng.uniform(0.02, 0.3),
    )


def trace_stroke(stroke, rounding, noise, rng):
    """Returns the path (num_points, 2) of one stroke, starting at the origin."""
    num_moves = len(stroke.lengths)
    headings, lengths = stroke.headings, stroke.lengths
    if noise:
        headings = headings + rng.normal(0, 6 * noise, headings.shape)
        headings = headings + rng.normal(0, 4 * noise)
        lengths = lengths * np.exp(rng.normal(0, 0.14 * noise, lengths.shape))
    knots = np.arange(num_moves)[:, None] + [rounding / 2, 1 - rounding / 2]
    at = (np.arange(num_moves * SAMPLES_PER_MOVE) + 0.5) / SAMPLES_PER_MOVE
    heading = np.deg2rad(np.interp(at, knots.ravel(), headings.ravel()))
    if noise:
        wobble = rng.normal(0, 0.12 * noise, 4 * num_moves + 1)
        heading += np.interp(at, np.arange(len(wobble)) / 4, wobble)
    steps = np.repeat(lengths / SAMPLES_PER_MOVE, SAMPLES_PER_MOVE)
    path = np.stack([np.cos(heading) * steps, np.sin(heading) * steps], axis=1)
    return np.cumsum(path, axis=0)


def trace(strokes, rounding=0.05, noise=0.0, rng=None):
    """Returns the path (num_points, 2) of every stroke of a character.

    Without noise, the paths that the program means; `rng` is then not used.
    """
    paths = []
    for stroke in strokes:
        path = trace_stroke(stroke, rounding, noise, rng)
        if stroke.parent >= 0:
            parent = paths[stroke.parent]
            slip = rng.normal(0, 0.05 * noise, 2) if noise else (0, 0)
            offset = rng.normal(0, 0.025 * noise, 2) if noise else 0
            start = point_at(parent, stroke.parent_at + slip[0]) + stroke.gap
            path = (
                path + start - point_at(path, stroke.own_at + slip[1]) + offset
            )
        paths.append(path)
    return paths


def point_at(path, fraction):
    """Returns the point (2,) at a fraction of the path, clipped to its ends."""
    return path[int(np.clip(fraction, 0, 1) * (len(path) - 1))]


def draw(alphabet, character, drawer):
    """Returns one drawing as a PIL image, mode L, ink 0 on paper 255."""
    hand = drawer_hand(alphabet, drawer)
    rng = np.random.default_rng([DRAWING_SEED, alphabet, character, drawer])
    program = alphabet_programs(alphabet)[character]
    noise = hand.sloppiness * np.exp(rng.normal(0, 0.2))
    paths = trace(program, hand.rounding, noise, rng)
    frame = hand.frame * np.exp(rng.normal(0, 0.07, 2))
    ends = np.cumsum([len(path) for path in paths])[:-1]
    points = np.concatenate(paths) @ frame
    points -= (points.max(axis=0) + points.min(axis=0)) / 2
    points *= min(1, (IMAGE_SIZE - 2 * MARGIN) / np.ptp(points, axis=0).max())
    points += hand.centre + rng.normal(0, 3.5, 2)
    points = points.clip(MARGIN, IMAGE_SIZE - 1 - MARGIN).round()
    image = Image.new("L", (IMAGE_SIZE, IMAGE_SIZE), 255)
    pen = ImageDraw.Draw(image)
    for path in np.split(points, ends):
        pen.line(path.ravel().tolist(), fill=0)
    return image.filter(ImageFilter.MinFilter(PEN_WIDTH))


def alphabet_size(alphabet):
    """Returns the number of characters of an alphabet, 20 to 26."""
    rng = np.random.default_rng([STYLE_SEED, alphabet, 1])
    return int(rng.integers(MIN_CHARACTERS, MAX_CHARACTERS + 1))


def alphabet_names(num_alphabets):
    """Returns a list of distinct pronounceable names."""
    rng = np.random.default_rng(STYLE_SEED)
    names = {}
    while len(names) < num_alphabets:
        syllables = (
            rng.choice(list("bdfgklmnprstvz"), 3),
            rng.choice(list("aeiou"), 3),
        )
        names["".join(c + v for c, v in zip(*syllables)).capitalize()] = None
    return list(names)


@dataclasses.dataclass
class GlyphsConfig(tfds.core.BuilderConfig):
    """Alphabets per split, the most characters of one, drawers of each."""

    num_alphabets: tuple = (("train", 30), ("validation", 10), ("test", 10))
    max_characters: int = MAX_CHARACTERS
    num_drawers: int = 20


class Drawings(collections.abc.Iterable):
    """The examples of one split; its length gives TFDS's progress bar an end."""

    def __init__(self, indices):
        self.indices = indices

    def __len__(self):
        return len(self.indices)

    def __iter__(self):
        for key, (alphabet, character, label, drawer) in enumerate(
            self.indices
        ):
            png = io.BytesIO()
            draw(alphabet, character, drawer).save(png, format="png")
            png.seek(0)
            yield (
                key,
                {
                    "image": png,
                    "alphabet": alphabet,
                    "alphabet_char_id": character,
                    "label": label,
                    "drawer": drawer,
                },
            )


class Glyphs(tfds.core.GeneratorBasedBuilder):
    """Invented alphabets with the features of TFDS's omniglot, and the drawer."""

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [
        GlyphsConfig(name="default", description="50 alphabets, 20 drawers"),
        GlyphsConfig(
            name="tiny",
            description="8 alphabets, 6 drawers, for tests",
            num_alphabets=(("train", 4), ("validation", 2), ("test", 2)),
            max_characters=MIN_CHARACTERS,
            num_drawers=6,
        ),
    ]

    def _sizes(self):
        total = sum(count for _, count in self.builder_config.num_alphabets)
        most = self.builder_config.max_characters
        return [min(alphabet_size(a), most) for a in range(total)]

    def _info(self):
        sizes = self._sizes()
        names = alphabet_names(len(sizes))
        labels = [
            f"{name}_{character:02d}"
            for name, size in zip(names, sizes)
            for character in range(size)
        ]
        image_shape = (IMAGE_SIZE, IMAGE_SIZE, 3)
        return tfds.core.DatasetInfo(
            builder=self,
            description=__doc__,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(
                        shape=image_shape, encoding_format="png"
                    ),
                    "alphabet": tfds.features.ClassLabel(names=names),
                    "alphabet_char_id": np.int64,
                    "label": tfds.features.ClassLabel(names=labels),
                    "drawer": np.int64,
                }
            ),
            supervised_keys=("image", "label"),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        del dl_manager
        splits, first = {}, 0
        for name, count in self.builder_config.num_alphabets:
            splits[name] = self._generate_examples(range(first, first + count))
            first += count
        return splits

    def _generate_examples(self, alphabets):
        sizes = self._sizes()
        return Drawings(
            [
                (alphabet, character, sum(sizes[:alphabet]) + character, drawer)
                for alphabet in alphabets
                for character in range(sizes[alphabet])
                for drawer in range(1, self.builder_config.num_drawers + 1)
            ]
        )
