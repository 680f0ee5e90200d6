"""A generative model's views of a scan: its styles, the scan that they are stitched to, and a dial of disease.

StichNet (2020) and StitchNet (2022): a style shows what a slice would look like if all of it were one tissue. Section 6
of StichNet: a lung as it would be with disease, also a healthy one. How is ours, the dial: at a share of s, so much of
each lung's voxels are of a lesion's style, those first that the model holds most likely to be lesion; the lung's others
are of the styles that are none. What lies outside of the lungs stays the scan.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from groundglass.errors import UsageError
from groundglass.inference.postprocess import complete
from groundglass.inference.predict import (
    Model,
    as_seen,
    frames_of,
    images_of,
    lesion_codes,
    needs,
    parts,
    probabilities_of,
)
from groundglass.inference.segmentation import Segmentation
from groundglass.labels import CODE_OF_TISSUE, NOT_LESION, Region, Tissue
from groundglass.methods._ladder import OfLadder
from groundglass.preprocess.lung import LEFT, RIGHT, lung_field
from groundglass.preprocess.slices import Frame, restore
from groundglass.scan import Scan

Volume = NDArray[np.int16]


@dataclass(frozen=True, eq=False)
class Views:
    """What a model makes of a scan, on the scan's canonical grid ``[z, y, x]``; beyond its crops the scan itself.

    Attributes:
        tissues: the tissue group of each style.
        styles: of each style, HU.
        stitched: each voxel from its most probable style, HU.
        healthy: likewise, of the styles that are no lesion.
        lesion: probability of lesion, float32, 0 beyond.
        segmentation: what the model outlines.
        frames: of the slices that it sees, by number.
    """

    tissues: tuple[int, ...]
    styles: tuple[Volume, ...]
    stitched: Volume
    healthy: Volume
    lesion: NDArray[np.float32]
    segmentation: Segmentation
    frames: Mapping[int, Frame]


def views_of(
    scan: Scan,
    model: Model,
    *,
    cropped: bool = False,
    on_phase: Callable[[str], object] = str,
    on_progress: Callable[[float], object] = float,
) -> Views:
    """The views of a scan, each slice resized to what the model was trained on.

    Args:
        scan: in Hounsfield units.
        model: of a method that generates.
        cropped: the slices are crops around the lungs.
        on_phase: called with the name of each phase as it begins.
        on_progress: called with the share of the slices that are done.

    Raises:
        UsageError: the model has no styles, or there is no lung that it could look at.
        LabelError: it was never taught to tell ground glass from consolidation.
    """
    method = _generative(model)
    on_phase("lung field")
    field = lung_field(scan, cropped=cropped)
    frames = frames_of(scan, field, model.preparation)
    if not frames:
        raise UsageError(
            "No lung was found in the scan, and the model sees crops around the lungs.",
            expected="a scan with lungs",
            remedy="Say --cropped if the pictures are such crops.",
        )
    on_phase("styles")
    lesion = [not group & NOT_LESION for group in method.tissues]
    grey = tuple(np.rint(scan.hu).astype(np.int16) for _ in range(len(method.tissues) + 2))
    likely, codes = np.zeros(scan.hu.shape, np.float32), np.zeros(scan.hu.shape, np.uint8)
    done = 0
    for part in parts(list(frames), model.preparation.size):
        planes, probability = _seen(method, images_of(scan, part, frames, model.preparation), lesion)
        for z, own, p in zip(part, planes, probability, strict=True):
            for volume, plane in zip(grey, restore(own, frames[z]), strict=True):
                _put(volume[z], plane, frames[z], model.preparation.window_hu)
            whole = restore(p, frames[z])
            likely[z] = whole[lesion].sum(axis=0)
            codes[z] = lesion_codes(_of_classes(whole, method), method.outputs, model.above)
        done += len(part)
        on_progress(done / len(frames))
    *styles, stitched, healthy = grey
    segmentation = complete(codes, field, scan, model.card)
    return Views(method.tissues, tuple(styles), stitched, healthy, likely, segmentation, frames)


def _generative(model: Model) -> OfLadder:
    if not isinstance(model.method, OfLadder) or len(model.method.tissues) < 2:
        raise UsageError(
            f"The model {model.card.name} has no styles of tissues.",
            expected="one that groundglass train made by the method stitchnet or stichnet2020",
            remedy="Take another model.",
        )
    needs(model.method.outputs, Region.GROUND_GLASS)
    return model.method


@torch.inference_mode()
def _seen(
    method: OfLadder, image: torch.Tensor, lesion: Sequence[bool]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Grey values (B, S + 2, H, W) of styles, the stitched and the healthy picture; probabilities of styles.

    Picture by picture, so that each comes out to the same bit whichever others there are.
    """
    planes, probability = [], []
    for one in torch.split(as_seen(method, image), 1):
        shown = method.shown(one)
        of_lesion = torch.tensor(lesion, device=one.device).view(1, -1, 1, 1)
        first = shown.probability.masked_fill(of_lesion, -1).argmax(dim=1, keepdim=True)
        planes.append(torch.cat([shown.styles, shown.stitched, shown.styles.gather(1, first)], dim=1))
        probability.append(shown.probability)
    return torch.cat(planes).float().cpu().numpy(), torch.cat(probability).float().cpu().numpy()


def _put(plane: Volume, grey: NDArray[np.float32], where: Frame, window_hu: tuple[float, float]) -> None:
    """Grey values of a slice, as HU, into the crop that they are of."""
    (top, left, bottom, right), (black, white) = where.box, window_hu
    inner = slice(top, bottom), slice(left, right)
    plane[inner] = np.rint(black + (white - black) * grey[inner])


def _of_classes(probability: NDArray[np.float32], method: OfLadder) -> NDArray[np.float32]:
    """Of classes (K, H, W), of those of their styles (S, H, W)."""
    counts = method.network.styles_of
    starts = np.cumsum((0, *counts[:-1]))
    classes: NDArray[np.float32] = np.add.reduceat(probability, starts, axis=0)
    return classes


class Dial:
    """A scan with a share of each lung diseased, and what is then where."""

    def __init__(self, scan: Scan, views: Views, tissue: Tissue) -> None:
        """Put the voxels of each lung in order.

        Args:
            scan: in Hounsfield units.
            views: of it.
            tissue: ground glass or consolidation.

        Raises:
            UsageError: no lung was found.
        """
        sides, likely = views.segmentation.sides.ravel(), views.lesion.ravel()
        found = [np.flatnonzero(sides == side) for side in (RIGHT, LEFT)]
        if not sum(len(lung) for lung in found):
            raise UsageError("No lung was found in the scan.", expected="a lung to be diseased", remedy="Take another.")
        self._order = [lung[np.argsort(-likely[lung], kind="stable")] for lung in found]
        self._code = CODE_OF_TISSUE[tissue]
        self._scan, self._healthy = scan, views.healthy
        self._diseased = views.styles[views.tissues.index(int(tissue))]

    def at(self, share: float) -> tuple[Volume, NDArray[np.uint8]]:
        """HU and codes with a share, 0 to 1, of each lung's voxels diseased; a larger share holds a smaller one's."""
        hu, codes = np.rint(self._scan.hu).astype(np.int16), np.zeros(self._scan.hu.shape, np.uint8)
        for order in self._order:
            ill, well = np.split(order, [round(share * len(order))])
            hu.ravel()[ill], codes.ravel()[ill] = self._diseased.ravel()[ill], self._code
            hu.ravel()[well], codes.ravel()[well] = self._healthy.ravel()[well], CODE_OF_TISSUE[Tissue.LUNG]
        return hu, codes


def found_again(hu: Volume, scan: Scan, views: Views, model: Model) -> NDArray[np.uint8]:
    """Codes of the lesions, 2 or 3, else 0, that the model finds in a volume on the scan's grid, within its lungs."""
    codes = np.zeros(hu.shape, np.uint8)
    shown = replace(scan, hu=hu)
    for z, probability in probabilities_of(shown, views.frames, replace(model, tiles=False)):
        codes[z] = lesion_codes(probability, model.method.outputs, model.above)
    within: NDArray[np.uint8] = np.where(views.segmentation.sides > 0, codes, np.uint8(0))
    return within
