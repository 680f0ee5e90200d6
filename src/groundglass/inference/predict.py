"""A trained model on a scan: the training's own preparation, probabilities, and back to the scan's grid."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from numpy.typing import NDArray

from groundglass.errors import LabelError
from groundglass.inference.postprocess import complete
from groundglass.inference.segmentation import ModelCard, Segmentation
from groundglass.labels import CODE_OF_TISSUE, UNKNOWN, Region, Tissue
from groundglass.losses.groups import regions_of
from groundglass.methods._method import Method
from groundglass.preprocess.lung import LungField, lung_field
from groundglass.preprocess.preparation import Preparation
from groundglass.preprocess.slices import Frame, frame, lung_boxes, prepare_image, restore, tiles
from groundglass.scan import Scan

if TYPE_CHECKING:
    from groundglass.store import Store  # who segments a scan opens none

BATCH: Final = 8
PIXELS: Final = BATCH * 352 * 352  # of larger slices fewer go together: of 512 x 512 three
# The picture itself, mirrored left-right, top-bottom, and both: axes of (B, K, H, W).
VIEWS: Final = ((), (3,), (2,), (2, 3))


@dataclass(frozen=True, eq=False)
class Model:
    """A trained method with what prediction needs.

    Attributes:
        method: in eval mode.
        preparation: of the slices that it was trained on.
        card: what a reader of the result has to know.
        above: a pixel whose largest probability is not above it has no label; 0: the most probable group.
        tiles: a slice is answered in squares of the prepared size, at its own resolution, not resized to one.
    """

    method: Method
    preparation: Preparation
    card: ModelCard
    above: float = 0.0
    tiles: bool = False


def segment_by_model(
    scan: Scan,
    model: Model,
    *,
    views: int = 1,
    cropped: bool = False,
    probabilities: bool = False,
    on_phase: Callable[[str], object] = str,
    on_progress: Callable[[float], object] = float,
) -> Segmentation:
    """Lesions by a trained model, lung by the classical field unless the model knows lung.

    Args:
        scan: in Hounsfield units.
        model: the trained model.
        views: 1, or 2 or 4 mirrored ones whose probabilities are averaged.
        cropped: the slices are crops around the lungs, as training pictures may be.
        probabilities: keep those of each region that the model tells.
        on_phase: called with the name of each phase as it begins.
        on_progress: called with the share of the slices that are done.

    Raises:
        LabelError: the model was never taught to tell ground glass from consolidation.
    """
    needs(model.method.outputs, Region.GROUND_GLASS)
    on_phase("lung field")
    field = lung_field(scan, cropped=cropped)
    on_phase("lesions")
    lesions = np.zeros(scan.hu.shape, np.uint8)
    asked = channels_of(model.method.outputs) if probabilities else {}
    levels = {region: np.zeros(scan.hu.shape, np.uint8) for region in asked}
    frames = frames_of(scan, field, model.preparation)
    for done, (z, whole) in enumerate(probabilities_of(scan, frames, model, views), 1):
        lesions[z] = lesion_codes(whole, model.method.outputs, model.above)
        for region, channels in asked.items():
            levels[region][z] = np.rint(255 * whole[channels].sum(axis=0).clip(0, 1))
        on_progress(done / len(frames))
    lesions[lesions == CODE_OF_TISSUE[Tissue.LUNG]] = 0
    return replace(complete(lesions, field, scan, model.card), probabilities=levels)


def channels_of(outputs: Sequence[int]) -> dict[Region, list[int]]:
    """For each region that the groups of a model tell from the rest, its channels."""
    return {
        region: [place for place, group in enumerate(outputs) if not group & ~region.value]
        for region in regions_of(outputs)
    }


def needs(outputs: Sequence[int], region: Region) -> None:
    """Refuse a region that the groups of a model do not tell from the rest.

    Raises:
        LabelError: no union of groups is the region.
    """
    told = sum(group for group in outputs if group & region.value)
    if told != region.value:
        raise LabelError(
            f"The model was never taught to tell {region.title.lower()} from the rest.",
            expected="labels that hold it without the others",
            remedy="Ask for infection as a whole, or take another model.",
        )


def frames_of(scan: Scan, field: LungField, preparation: Preparation) -> dict[int, Frame]:
    """Frames of the slices that a model is asked about: those with lung, or all where none is cropped."""
    shape = (scan.hu.shape[1], scan.hu.shape[2])
    if preparation.crop == "none" or field.cropped:
        return {z: frame(shape, None, preparation) for z in range(len(scan.hu))}
    boxes = lung_boxes(field.mask, preparation)
    return {z: frame(shape, box, preparation) for z, box in enumerate(boxes) if box is not None}


def probabilities_of(
    scan: Scan, frames: Mapping[int, Frame], model: Model, views: int = 1
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """The probabilities (K, H, W) of each slice at its own resolution, 0 beyond its crop."""
    if model.tiles:
        for z, where in frames.items():
            yield z, _in_tiles(model.method, scan.hu[z], where, model.preparation, views)
        return
    for part in parts(list(frames), model.preparation.size):
        batch = images_of(scan, part, frames, model.preparation)
        for z, probability in zip(part, predict_batch(model.method, batch, views).numpy(), strict=True):
            yield z, restore(probability, frames[z])


def _in_tiles(
    method: Method, hu: NDArray[np.int16 | np.float32], where: Frame, preparation: Preparation, views: int = 1
) -> NDArray[np.float32]:
    """Probabilities (K, H, W) of a slice (H, W), put together from those of its squares; 0 beyond its crop."""
    squares = tiles(where)
    whole = np.zeros((len(method.outputs), *where.shape), np.float32)
    for part in parts(range(len(squares)), preparation.size):
        images = np.stack([prepare_image(hu, squares[place], preparation.window_hu) for place in part])
        told = predict_batch(method, torch.from_numpy(images)[:, None], views).numpy()
        for place, probability in zip(part, told, strict=True):
            whole += restore(probability, squares[place])
    return whole


def parts(numbers: Sequence[int], size: tuple[int, int]) -> Iterator[list[int]]:
    """Numbers of slices of (height, width) pixels, as many at a time as are predicted together."""
    count = max(1, min(BATCH, PIXELS // (size[0] * size[1])))
    for start in range(0, len(numbers), count):
        yield list(numbers[start : start + count])


def predicted(store: Store, method: Method, numbers: Sequence[int]) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """The probabilities (K, height, width) of slices of a store, as the network sees them."""
    for part in parts(numbers, store.preparation.size):
        images = torch.from_numpy(np.stack([store.prepared(number) for number in part]))[:, None]
        yield from zip(part, predict_batch(method, images).numpy(), strict=True)


def answers(
    store: Store, method: Method, numbers: Sequence[int], *, in_tiles: bool = False
) -> Iterator[tuple[int, NDArray[np.float32], NDArray[np.float32]]]:
    """The probabilities of slices of a store as the network sees them, and at native resolution, 0 beyond their crops.

    Args:
        store: of the slices.
        method: in eval mode.
        numbers: of the slices.
        in_tiles: each is answered in squares at native resolution.
    """
    if not in_tiles:
        for number, probability in predicted(store, method, numbers):
            yield number, probability, restore(probability, store.frame(number))
        return
    for number in numbers:
        where = store.frame(number)
        whole = _in_tiles(method, store.image(number), where, store.preparation)
        yield number, np.stack([prepare_image(plane, where, (0.0, 1.0)) for plane in whole]), whole


def images_of(
    scan: Scan, numbers: Sequence[int], frames: Mapping[int, Frame], preparation: Preparation
) -> torch.Tensor:
    """Slices as a model sees them, (B, 1, H, W), [0, 1]."""
    images = [prepare_image(scan.hu[z], frames[z], preparation.window_hu) for z in numbers]
    return torch.from_numpy(np.stack(images))[:, None]


@torch.inference_mode()
def predict_batch(method: Method, image: torch.Tensor, views: int = 1) -> torch.Tensor:
    """Mean probabilities (B, K, H, W), float32, over mirrored views of images (B, 1, H, W)."""
    total: torch.Tensor | None = None
    for flips in VIEWS[:views]:
        with on_device(method, image.flip(flips)) as seen:
            told = method.predict(seen).float().flip(flips)
        total = told if total is None else total + told
    assert total is not None  # noqa: S101 - there is at least one view
    return (total / views).cpu().contiguous()


@contextmanager
def on_device(method: Method, image: torch.Tensor) -> Iterator[torch.Tensor]:
    """Images where the method's weights are, channels last; within it computed in bf16 where that is fast."""
    device = next(method.parameters()).device
    with torch.autocast(device.type, torch.bfloat16, enabled=_fast_bf16(device)):
        yield image.to(device, memory_format=torch.channels_last)


def _fast_bf16(device: torch.device) -> bool:
    return device.type == "cuda" or bool(torch.cpu._is_avx512_bf16_supported())


def decide(probabilities: NDArray[np.float32], outputs: Sequence[int], above: float = 0.0) -> NDArray[np.uint8]:
    """The most probable group of each pixel, as label sets; unknown where its probability is not above a limit.

    With the limit 0.5 that is DRSegUNet's section 4.5: at most one group's probability is above a half.

    Args:
        probabilities: (K, H, W).
        outputs: the tissue group of each of K channels.
        above: the limit.

    Returns:
        (H, W), uint8.
    """
    sets: NDArray[np.uint8] = np.asarray(outputs, np.uint8)[probabilities.argmax(axis=0)]
    return np.where(probabilities.max(axis=0) > above, sets, np.uint8(UNKNOWN))


def lesion_codes(probabilities: NDArray[np.float32], outputs: Sequence[int], above: float) -> NDArray[np.uint8]:
    """What is decided, as codes; groups that are no single lesion tissue, and what has no label, become 0."""
    code_of_set = np.zeros(16, np.uint8)
    for tissue in (Tissue.GROUND_GLASS, Tissue.CONSOLIDATION):
        code_of_set[int(tissue)] = CODE_OF_TISSUE[tissue]
    return code_of_set[decide(probabilities, outputs, above)]
