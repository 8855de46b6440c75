"""The rival's networks in PyTorch: the paper's, and ours of the fast recipe."""

import torch
from torch import nn

KERNEL_SIZES = (10, 7, 4, 4)
FAST_FILTERS = (32, 64, 128, 128, 256)
NORMALISATION_GROUPS = 8


class Siamese(nn.Module):
    """One embedding for both images, and a logit of their distance."""

    def __init__(self, embedding: nn.Module, dim: int):
        """Adds the dense unit that weighs the distances."""
        super().__init__()
        self.embedding = embedding
        self.head = nn.Linear(dim, 1)

    def forward(self, first, second):
        """Logits of pairs, `[batch, 1]`."""
        return self.head(
            torch.abs(self.embedding(first) - self.embedding(second))
        )


class AllPairs(Siamese):
    """The same for all pairs of a batch."""

    def forward(self, images):
        """Logits `[batch, batch]`."""
        embedding = self.embedding(images)
        distances = torch.abs(embedding[:, None] - embedding[None])
        return self.head(distances)[..., 0]


def build_paper_embedding(filters: tuple[int, ...], units: int) -> nn.Module:
    """The paper's embedding of images of 105 pixels."""
    layers, channels, side = [], 1, 105
    for number, (width, kernel_size) in enumerate(
        zip(filters, KERNEL_SIZES, strict=True), start=1
    ):
        layers += [nn.Conv2d(channels, width, kernel_size), nn.ReLU()]
        channels, side = width, side - kernel_size + 1
        if number < len(filters):
            layers.append(nn.MaxPool2d(2))
            side //= 2
    features = channels * side * side
    layers += [nn.Flatten(), nn.Linear(features, units), nn.Sigmoid()]
    return nn.Sequential(*layers)


def build_fast_embedding() -> nn.Module:
    """Our fast embedding of images of 32 pixels: 256 features."""
    layers, channels = [], 1
    for width in FAST_FILTERS:
        layers += [
            nn.Conv2d(channels, width, 3, padding=1, bias=False),
            nn.MaxPool2d(2),
            nn.GroupNorm(NORMALISATION_GROUPS, width),
            nn.ReLU(),
        ]
        channels = width
    # The last block is normalised over the batch, and ends in a sigmoid.
    layers[-2:] = [nn.BatchNorm2d(channels), nn.Flatten(), nn.Sigmoid()]
    return nn.Sequential(*layers)
