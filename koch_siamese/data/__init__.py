"""Where images come from: Omniglot, glyphs, TFDS data sets, your own files."""
