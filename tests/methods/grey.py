"""A network whose answers can be read off its pictures, for equations done by hand."""

import torch
from torch import nn

from groundglass.batches import Labelled, Unlabelled
from groundglass.networks._network import Network

OUTPUTS = (3, 12)


class Grey(Network):
    """The first channel's probability is the grey value, where its one weight is 1; where that is 0 it is a half."""

    paper = "2026"
    changeable = True
    stride, in_channels, classes = 1, 1, 2

    def __init__(self, weight=1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))
        self.seen = []

    def forward(self, image):
        self.seen.append(image.detach().clone())
        grey = self.between(image)
        return self.weight * torch.cat([grey.log(), (1 - grey).log()], dim=1)


class Says(Network):
    """Probabilities that do not depend on the picture."""

    paper = "2026"
    changeable = True
    stride, in_channels = 1, 1

    def __init__(self, *probability):
        super().__init__()
        self.classes = len(probability)
        self.logits = nn.Parameter(torch.tensor(probability).log())

    def forward(self, image):
        return self.logits.view(1, -1, 1, 1) + 0 * self.between(image)


def row(*pixels):
    """A picture of one row, (1, 1, 1, W)."""
    return torch.tensor(pixels).view(1, 1, 1, -1)


def labelled(value=3, grey=0.5, size=(1, 4), count=1):
    sets = torch.full((count, *size), value, dtype=torch.uint8)
    return Labelled(torch.full((count, 1, *size), grey), sets)


def unlabelled(grey=0.5, size=(1, 4), count=1):
    return Unlabelled(torch.full((count, 1, *size), grey))
