"""Random samples of pairs, groups, trials and distortions.

NumPy only: arrays of indices and matrices, without any pixels. A sample depends
only on its arguments and its random generator or seed.

- `pairs`: the paper's pairs, and groups whose drawings are all compared
- `trials`: N-way K-shot trials; `lake`: the official 400 on Omniglot
- `distortions`, `effects`: random affine maps, waves, and changes of colors

Samples of a data set need only its labels:

    import numpy as np

    import koch_siamese
    from koch_siamese.sampling.distortions import (
        AffineRanges,
        sample_affine_matrices,
    )
    from koch_siamese.sampling.pairs import CharacterIndex, sample_group
    from koch_siamese.sampling.pairs import sample_pairs

    characters = koch_siamese.load_characters("glyphs", "training")
    index = CharacterIndex.from_labels(
        characters.character, characters.alphabet
    )
    rng = np.random.default_rng(0)
    first, second, same = sample_pairs(index, 128, rng)
    drawings, character = sample_group(index, 40, 4, rng)
    ranges = AffineRanges(rotation_degrees=10.0, scale=(0.8, 1.2))
    matrices = sample_affine_matrices(ranges, len(drawings), rng)

`first`, `second` and `drawings` are indices into `characters.images`, and
`koch_siamese.models.warp.warp(images, matrices, fill_value)` distorts them.
`koch_siamese.make_pairs` and `koch_siamese.make_groups` do all of this.
"""
