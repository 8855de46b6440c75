"""TFDS data sets for the tests of `tfds_images`."""

import numpy as np
import tensorflow_datasets as tfds


class TinyDigits(tfds.core.GeneratorBasedBuilder):
    """Like MNIST, light on dark. Label k is a square with a side of k + 2."""

    VERSION = tfds.core.Version("1.0.0")
    INK = 250

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(12, 12, 1)),
            "label": tfds.features.ClassLabel(num_classes=5),
        }
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features)
        )

    def _split_generators(self, dl_manager):
        return {"test": self._generate_examples()}

    def _generate_examples(self):
        for example in range(20):
            label = example % 5
            image = np.zeros((12, 12, 1), np.uint8)
            start = 1 + example // 5
            side = slice(start, start + label + 2)
            image[side, side] = self.INK
            yield example, {"image": image, "label": label}


class TinyBits(TinyDigits):
    """The same with the values 0 and 1, as in binary_alpha_digits."""

    INK = 1


class TinyPhotographs(TinyDigits):
    """Color images of different sizes, dark on light."""

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(None, None, 3)),
            "label": tfds.features.ClassLabel(names=["low", "high"]),
        }
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features)
        )

    def _generate_examples(self):
        for label, shape in enumerate([(20, 40, 3), (50, 25, 3)]):
            image = np.full(shape, 200, np.uint8)
            image[5:15, 5:15] = 20
            yield label, {"image": image, "label": label}


class TinySentences(TinyDigits):
    """A data set without images."""

    def _info(self):
        features = {"text": tfds.features.Text()}
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features)
        )

    def _generate_examples(self):
        yield 0, {"text": "no image"}
