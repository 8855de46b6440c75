"""Samplers: which drawings, distortions and labels a training step has."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from koch_siamese.data.characters import Characters
from koch_siamese.sampling.distortions import (
    DISTORTIONS,
    AffineRanges,
    compose,
    sample_affine_matrices,
)
from koch_siamese.sampling.effects import (
    EFFECTS,
    EffectRanges,
    compose_colors,
    sample_effects,
)
from koch_siamese.sampling.pairs import (
    CharacterIndex,
    PairSet,
    sample_group,
    sample_pairs,
)


class Batch(NamedTuple):
    """The drawings, distortions and labels of a training step.

    Attributes:
        drawings: int64 `[num]`, indices of drawings; for pairs, the second half
            are the partners of the first.
        distortion: the parameters of each drawing's distortion: `matrices`, see
            `sample_affine_matrices`; for photos with effects, also `colors`,
            `blurs` and `boxes`, see `sample_effects`.
        labels: for pairs, float32 `[num / 2]`, 1 = same, 0 = different; for
            groups, int32 `[num]`, the character of each drawing.
    """

    drawings: np.ndarray
    distortion: dict[str, np.ndarray]
    labels: np.ndarray


Sampler = Callable[[int], Batch]  # called with the step


def build_pair_sampler(
    characters: Characters,
    *,
    batch_size: int,
    seed: int,
    ranges: AffineRanges,
    within_alphabet: float = 1.0,
    num_pairs: int = 0,
    num_copies: int = 0,
    effects: EffectRanges | None = None,
) -> Sampler:
    """Builds a sampler of distorted pairs.

    Args:
        characters: drawings to sample from.
        batch_size: pairs in a batch.
        seed: determines a batch, together with the step.
        ranges: of the distortions, sampled for each drawing separately.
        within_alphabet: see `sample_pairs`.
        num_pairs: size of a fixed set of pairs, which are not distorted; 0 for
            an endless stream of new pairs, which are distorted.
        num_copies: number of distorted copies of each pair of a fixed set,
            always the same ones (8 in section 4.1); each takes 48 bytes of
            memory, more if `ranges` has waves.
        effects: on photos, sampled like distortions; not used with a fixed set.

    Raises:
        InputError: there are too few characters or drawings, or the fixed set
            is smaller than a batch.
    """
    index = _build_index(characters, 2, 2)
    if num_pairs:
        pairs = sample_pairs(
            index, num_pairs, np.random.default_rng(seed), within_alphabet
        )
        pair_set = PairSet(pairs, num_copies, seed)
        pair_set.require(batch_size)
        return lambda step: _take_pairs(pair_set, step, batch_size, ranges)

    def sample(step):
        rng = np.random.default_rng([seed, step])
        first, second, same = sample_pairs(
            index, batch_size, rng, within_alphabet
        )
        matrices = sample_affine_matrices(ranges, 2 * batch_size, rng)
        distortion = {"matrices": matrices}
        if effects:
            distortion |= sample_effects(effects, 2 * batch_size, rng)
        return Batch(np.concatenate([first, second]), distortion, same)

    return sample


def _take_pairs(pair_set, step, batch_size, ranges):
    """A batch of a fixed set; a copy always has the same distortion."""
    pair, copy = pair_set.take(step, batch_size)
    first, second, same = pair_set.pairs
    matrices = _sample_copies(
        ranges, len(same), pair_set.num_copies, pair_set.seed
    )[copy, pair]
    return Batch(
        np.concatenate([first[pair], second[pair]]),
        {"matrices": np.concatenate([matrices[:, 0], matrices[:, 1]])},
        same[pair],
    )


@functools.lru_cache(maxsize=2)
def _sample_copies(ranges, num_pairs, num_copies, seed):
    """Matrices `[1 + num_copies, num_pairs, 2, 2, columns]` of a fixed set.

    The first ones leave pairs undistorted. All are sampled at once and cached,
    because sampling those of a batch of 128 one by one took 6 ms.
    """
    rng = np.random.default_rng([seed, num_pairs, num_copies])
    copies = [
        sample_affine_matrices(ranges, 2 * num_pairs, rng)
        for _ in range(1 + num_copies)
    ]
    copies[0][:] = np.eye(2, copies[0].shape[-1])
    return np.reshape(copies, (1 + num_copies, num_pairs, 2, 2, -1))


def build_group_sampler(
    characters: Characters,
    *,
    num_characters: int,
    num_drawings: int,
    seed: int,
    ranges: AffineRanges,
    character_ranges: AffineRanges = DISTORTIONS["none"],
    within_alphabet: float = 1.0,
    effects: EffectRanges | None = None,
    character_effects: EffectRanges = EFFECTS["none"],
) -> Sampler:
    """Builds a sampler of groups of distorted drawings.

    Args not listed here are those of `sample_group` and `build_pair_sampler`.

    Args:
        character_ranges: of a further distortion that all drawings of a
            character in a group share, which makes a new character.
        character_effects: of a further change of colors, likewise.
    """
    index = _build_index(characters, num_characters, num_drawings)

    def sample(step):
        rng = np.random.default_rng([seed, step])
        drawings, character = sample_group(
            index, num_characters, num_drawings, rng, within_alphabet
        )
        matrices = sample_affine_matrices(ranges, len(drawings), rng)
        shared = sample_affine_matrices(character_ranges, num_characters, rng)
        matrices = compose(np.repeat(shared, num_drawings, 0), matrices)
        distortion = {"matrices": matrices}
        if effects:
            distortion |= sample_effects(effects, len(drawings), rng)
            shared = sample_effects(character_effects, num_characters, rng)
            distortion["colors"] = compose_colors(
                np.repeat(shared["colors"], num_drawings, 0),
                distortion["colors"],
            )
        return Batch(drawings, distortion, character)

    return sample


def _build_index(characters, num_characters, num_drawings):
    index = CharacterIndex.from_labels(
        characters.character, characters.alphabet
    )
    index.require(num_characters, num_drawings)
    return index
