"""The rival's data set and loader: pairs of PIL images, rotated one by one."""

import random

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from experiments.benchmark.options import Options

WORKERS = 2
MAX_ROTATION_DEGREES = 15


class Pairs(Dataset):
    """Endless pairs: of odd number the same character, of even two others."""

    def __init__(self, options: Options):
        """Keeps the images of each character as PIL."""
        data = options.read()
        self._drawings = {}
        for image, character in zip(
            data["images"], data["character"].tolist(), strict=True
        ):
            drawings = self._drawings.setdefault(character, [])
            drawings.append(Image.fromarray(image))
        self._characters = sorted(self._drawings)
        self.in_bytes = False

    def __len__(self):
        """More than is ever asked for."""
        return 1 << 30

    def __getitem__(self, number):
        """Two images `[1, 105, 105]` and whether they are the same."""
        same = number % 2
        first = random.choice(self._characters)
        second = first
        while not same and second == first:
            second = random.choice(self._characters)
        images = [
            self._to_tensor(self._rotate(random.choice(self._drawings[which])))
            for which in (first, second)
        ]
        return *images, np.float32([same])

    def _rotate(self, image):
        angle = random.uniform(-MAX_ROTATION_DEGREES, MAX_ROTATION_DEGREES)
        return image.rotate(angle, fillcolor=255)

    def _to_tensor(self, image):
        pixels = torch.from_numpy(np.array(image))[None]
        return pixels if self.in_bytes else pixels.float().div(255)


def make_loader(pairs: Pairs, batch_size: int, ahead: int) -> DataLoader:
    """A loader of two workers, each of them some batches ahead."""
    return DataLoader(
        pairs,
        batch_size=batch_size,
        num_workers=WORKERS,
        prefetch_factor=ahead,
    )
