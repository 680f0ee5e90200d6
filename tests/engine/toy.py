"""A method small enough to train in a test, with what makes resuming hard: dropout, batch norm, a teacher, layout."""

import copy
from dataclasses import replace

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from groundglass.engine.loaders import Batches, Pool, Sample
from groundglass.methods._method import Method, Update
from groundglass.recipe import Training


class Toy(Method):
    outputs = (3, 12)

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.net = nn.Sequential(
                nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Dropout(0.3), nn.Conv2d(4, 2, 3, padding=1)
            )
            self.critic = nn.Conv2d(2, 1, 1)
        self.teacher = copy.deepcopy(self.net).requires_grad_(False)

    def updates(self, labelled, unlabelled, progress):
        logits = self.net(labelled.image)
        yield Update("net", {"mse": F.mse_loss(logits[:, 0].float(), labelled.label_set.float())})
        yield Update("critic", {"critic": self.critic(logits.detach()).float().square().mean()})

    @property
    def predictor(self):
        return self.teacher

    def predict(self, image, prior=None):
        return self.teacher(image).float().softmax(1)

    @torch.no_grad()
    def after_step(self, progress):
        for slow, fast in zip(self.teacher.parameters(), self.net.parameters(), strict=True):
            slow.lerp_(fast, 0.1)


class Plain(Toy):
    """Without what makes a minibatch depend on its process: dropout, batch norm, a teacher."""

    def __init__(self):
        super().__init__()
        self.net = nn.Conv2d(1, 2, 1)
        nn.init.constant_(self.net.weight, 0.5)
        nn.init.zeros_(self.net.bias)
        self.teacher = nn.Identity()

    def after_step(self, progress):
        return


def load(index):
    rng = np.random.default_rng(index)
    image = rng.random((8, 8), dtype=np.float32)
    return Sample(image, (image > 0.5).astype(np.uint8) + 1)


def jitter(batch, generator):
    return replace(batch, image=batch.image + 0.1 * torch.randn(batch.image.shape, generator=generator))


def batches(**more):
    return Batches(
        **{"labelled": Pool(7, load), "unlabelled": None, "sizes": (2, 0), "seed": 3, "augment": jitter} | more
    )


def training(**more):
    return Training(**{"steps": 12, "rate": 0.05, "checkpoint_every": 4, "precision": "float32", "ema": 0.9} | more)
