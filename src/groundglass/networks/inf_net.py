"""Inf-Net (Fan et al., IEEE TMI 39(8), 2020, arXiv 2004.14133).

| here | there |
|---|---|
| ``encoder`` | Res2Net-50, as released v1b; f_2 to f_5 are its features at 1/4 to 1/32 |
| ``edge`` | edge attention, on f_2; its answer is S_e |
| ``ReceptiveField`` | (released) RFB before the decoder: 32 channels, branches that see 1, 3, 5 and 7 wide |
| ``PartialDecoder`` | PPD, the parallel partial decoder on f_3 to f_5; its answer is the global map S_g |
| ``ReverseAttention`` | RA: features times 1 - sigmoid of the coarser map, beside the edge's |
| ``forward_all``: ``global``, ``side_5``, ``side_4``, ``side_3``, ``edge`` | S_g, S_5, S_4, S_3, S_e |

The prediction is S_3. As in the released ``InfNet_Res2Net.py``, the last convolution of each branch but the
decoder's has batch norm, coarser maps are added to finer ones, and no activation stands in RFB's branches.

Differences:
- K classes. There is one map s and its sigmoid. Here each of K - 1 classes has a map, the first class (background)
  has logit 0, and attention is reversed by the probability of that class; with K = 2 that is 1 - sigmoid(s), and
  softmax gives sigmoid(s). With K = 1 the answer is s itself (inpainting). The edge is one map in any case.
- One grey channel instead of three equal ones.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - everybody's name for it
from torch import Tensor, nn

from groundglass.networks._layers import conv_norm, enlarge
from groundglass.networks._network import Network
from groundglass.networks.encoders import make_encoder


def linear(in_channels: int, out_channels: int, kernel: int | tuple[int, int] = 3, dilation: int = 1) -> nn.Sequential:
    """A convolution and batch norm without activation: (B, in, h, w) -> (B, out, h, w)."""
    return conv_norm(in_channels, out_channels, kernel, dilation=dilation, relu=False)


class ReceptiveField(nn.Module):
    """RFB: the same features seen at four widths."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList([linear(in_channels, channels, 1)])
        for wide in (3, 5, 7):
            self.branches.append(
                nn.Sequential(
                    linear(in_channels, channels, 1),
                    linear(channels, channels, (1, wide)),
                    linear(channels, channels, (wide, 1)),
                    linear(channels, channels, 3, dilation=wide),
                )
            )
        self.mix = linear(4 * channels, channels)
        self.short = linear(in_channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, h, w) -> (B, channels, h, w)."""
        mixed = self.mix(torch.cat([branch(x) for branch in self.branches], dim=1))
        return F.relu(mixed + self.short(x))


class PartialDecoder(nn.Module):
    """PPD: coarser features multiply finer ones, then stand beside them."""

    def __init__(self, channels: int, maps: int) -> None:
        super().__init__()
        self.by_5 = nn.ModuleList([linear(channels, channels), linear(channels, channels)])  # for f_4, f_3
        self.by_4 = linear(channels, channels)
        self.beside_5 = linear(channels, channels)
        self.beside_4 = linear(2 * channels, 2 * channels)
        self.with_5 = linear(2 * channels, 2 * channels)
        self.with_4 = linear(3 * channels, 3 * channels)
        self.last = linear(3 * channels, 3 * channels)
        self.head = nn.Conv2d(3 * channels, maps, 1)

    def forward(self, f3: Tensor, f4: Tensor, f5: Tensor) -> Tensor:
        """Features (B, C, h, w), (B, C, h / 2, w / 2), (B, C, h / 4, w / 4) -> maps (B, n, h, w)."""
        f5_at_4, f4_at_3 = self._double(f5), self._double(f4)
        met_4 = self.by_5[0](f5_at_4) * f4
        met_3 = self.by_5[1](self._double(f5_at_4)) * self.by_4(f4_at_3) * f3
        both = self.with_5(torch.cat([met_4, self.beside_5(f5_at_4)], dim=1))
        all_three = self.with_4(torch.cat([met_3, self.beside_4(self._double(both))], dim=1))
        maps: Tensor = self.head(self.last(all_three))
        return maps

    @staticmethod
    def _double(x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        return enlarge(x, (2 * height, 2 * width), align_corners=True).to(x.dtype)


class ReverseAttention(nn.Module):
    """RA: looks where the coarser map saw nothing, and adds what it finds to that map."""

    def __init__(
        self, in_channels: int, edge: int, channels: int, kernel: int, convs: int, last: int, maps: int
    ) -> None:
        super().__init__()
        self.narrow = linear(in_channels, channels, 1)
        widths = [edge + channels, *[channels] * (convs - 1)]
        self.convs = nn.Sequential(*(conv_norm(width, channels, kernel) for width in widths))
        self.head = linear(channels, maps, last)

    def forward(self, features: Tensor, coarser: Tensor, edge: Tensor) -> Tensor:
        """Features (B, C, h, w), maps (B, n, h', w') and the edge's features (B, E, h'', w'') -> maps (B, n, h, w)."""
        coarser = enlarge(coarser, features.shape[-2:])
        nothing = torch.sigmoid(-coarser.logsumexp(dim=1, keepdim=True))  # 1 - sigmoid for one map
        narrow = self.narrow(features * nothing.to(features.dtype))
        beside = enlarge(edge, narrow.shape[-2:]).to(narrow.dtype)
        found: Tensor = self.head(self.convs(torch.cat([narrow, beside], dim=1)))
        return found + coarser  # in float32


class InfNet(Network):
    """One infection map seen coarsely, made finer three times by what it missed, with an eye on edges."""

    paper = "Fan et al., Inf-Net, IEEE TMI 39(8), 2020, arXiv 2004.14133"
    heads = ("decoder.head", "reverse.side_5.head", "reverse.side_4.head", "reverse.side_3.head", "edge_head")

    def __init__(
        self,
        in_channels: int = 1,
        classes: int = 4,
        encoder: str = "res2net50_v1b_26w_4s",
        weights: str | None = None,
        channels: int = 32,
    ) -> None:
        """Make the network.

        Args:
            in_channels: of the image.
            classes: output channels, the first for what is no lesion; the paper's is 2, infection or not.
            encoder: one of ``encoders.encoder_names()`` with features at 1/4 to 1/32: a ResNet or Res2Net.
            weights: of the encoder: ``imagenet``, the path of a file, or ``None`` for random ones.
            channels: of RFB and the decoder.
        """
        super().__init__()
        self.in_channels, self.classes = in_channels, classes
        maps = max(1, classes - 1)
        self.encoder = make_encoder(encoder, in_channels, weights=weights)
        self.stride = self.encoder.reductions[-1]
        *_, c2, c3, c4, c5 = self.encoder.channels
        self.fields = nn.ModuleList(ReceptiveField(c, channels) for c in (c3, c4, c5))
        self.decoder = PartialDecoder(channels, maps)
        self.reverse = nn.ModuleDict(
            {
                "side_5": ReverseAttention(c5, 64, 256, kernel=5, convs=3, last=1, maps=maps),
                "side_4": ReverseAttention(c4, 64, 64, kernel=3, convs=2, last=3, maps=maps),
                "side_3": ReverseAttention(c3, 64, 64, kernel=3, convs=2, last=3, maps=maps),
            }
        )
        self.edge = nn.Sequential(linear(c2, 64, 1), linear(64, 64), linear(64, 64))
        self.edge_head = linear(64, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, K, H, W) of S_3, of an image (B, in_channels, H, W) in [0, 1]."""
        return self.forward_all(image)["side_3"]

    def forward_all(self, image: Tensor) -> dict[str, Tensor]:
        """Logits (B, K, H, W) of ``global``, ``side_5``, ``side_4``, ``side_3``; of ``edge`` (B, 1, H, W)."""
        *_, f2, f3, f4, f5 = self.encoder(self.check(image))
        edge = self.edge(f2)
        coarser = self.decoder(*(field(f) for field, f in zip(self.fields, (f3, f4, f5), strict=True)))
        maps = {"global": coarser}
        for (name, reverse), features in zip(self.reverse.items(), (f5, f4, f3), strict=True):
            maps[name] = coarser = reverse(features, coarser, edge)
        logits = {name: self._logits(enlarge(x, image.shape[-2:])) for name, x in maps.items()}
        return {**logits, "edge": enlarge(self.edge_head(edge), image.shape[-2:])}

    def maps(self, image: Tensor) -> dict[str, Tensor]:
        """``edge``, and of ``global`` to ``side_3`` the probability of all but the first class."""
        shown = {}
        for name, logits in self.forward_all(image).items():
            alone = logits.shape[1] == 1
            shown[name] = logits[:, 0].float().sigmoid() if alone else 1 - logits.float().softmax(dim=1)[:, 0]
        return shown

    def _logits(self, maps: Tensor) -> Tensor:
        return maps if self.classes == 1 else torch.cat([torch.zeros_like(maps[:, :1]), maps], dim=1)
