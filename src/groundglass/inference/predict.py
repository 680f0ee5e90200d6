"""A trained model on a scan: the training's own preparation, probabilities, and back to the scan's grid."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
import torch
from numpy.typing import NDArray

from groundglass.errors import LabelError, ReadError
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

_Slice = tuple[NDArray[Any], Frame]  # HU (H, W), and what of it a network sees
BATCH: Final = 8
PIXELS: Final = BATCH * 352 * 352  # of larger slices fewer go together: of 512 x 512 three
# The picture itself, mirrored left-right, top-bottom, and both (axes of (B, K, H, W)); then the same of it transposed.
VIEWS: Final = tuple((transposed, flips) for transposed in (False, True) for flips in ((), (3,), (2,), (2, 3)))


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
    """Lesions by a trained model, lung by the classical field; in crops a model that knows lung adds to it.

    Args:
        scan: in Hounsfield units.
        model: the trained model.
        views: 1, or 2, 4 or 8 of the eight symmetries, whose probabilities are averaged.
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
    told = np.zeros(scan.hu.shape, np.uint8)
    asked = channels_of(model.method.outputs) if probabilities else {}
    levels = {region: np.zeros(scan.hu.shape, np.uint8) for region in asked}
    frames = frames_of(scan, field, model.preparation)
    answered = _answered(((scan.hu[z], where) for z, where in frames.items()), model, views, asked)
    for done, (z, answer) in enumerate(zip(frames, answered, strict=True), start=1):
        told[z] = answer.codes
        for region, plane in answer.levels.items():
            levels[region][z] = plane
        on_progress(done / len(frames))
    return _completed(told, levels, field, scan, model)


def segment_pictures(
    pictures: Iterable[Scan], model: Model, *, views: int = 1, cropped: bool = False, probabilities: bool = False
) -> Iterator[Segmentation]:
    """What `segment_by_model` says of each of many pictures, in turn, each a slice by itself and of any size.

    Args:
        pictures: one slice each, made of pictures by a window; as many are taken at a time as are predicted together.
        model: the trained model.
        views: as there.
        cropped: they are crops around the lungs; else each is looked at.
        probabilities: keep those of each region that the model tells.

    Raises:
        LabelError: (at the first picture) the model was never taught to tell ground glass from consolidation.
    """
    needs(model.method.outputs, Region.GROUND_GLASS)
    asked = channels_of(model.method.outputs) if probabilities else {}
    waiting = iter(pictures)
    while part := list(islice(waiting, _together(model.preparation.size))):
        fields = [lung_field(picture, cropped=cropped) for picture in part]
        frames = [frames_of(*pair, model.preparation).get(0) for pair in zip(part, fields, strict=True)]
        seen = [(picture.hu[0], where) for picture, where in zip(part, frames, strict=True) if where is not None]
        answered = _answered(seen, model, views, asked)
        for picture, field, where in zip(part, fields, frames, strict=True):
            answer = next(answered) if where is not None else Answer.nothing(picture.hu.shape[1:], asked)
            levels = {region: plane[None] for region, plane in answer.levels.items()}
            yield _completed(answer.codes[None], levels, field, picture, model)


def _completed(
    told: NDArray[np.uint8],
    levels: Mapping[Region, NDArray[np.uint8]],
    field: LungField,
    scan: Scan,
    model: Model,
) -> Segmentation:
    """A whole label map of what the model says, codes ``[z, y, x]``: lesions, and lung where it knows lung."""
    lung = CODE_OF_TISSUE[Tissue.LUNG]
    lesions = np.where(told > lung, told, np.uint8(0))
    lungs = told == lung if Tissue.LUNG in model.method.outputs else None
    return replace(complete(lesions, field, scan, model.card, lungs), probabilities=levels)


@dataclass(frozen=True, eq=False)
class Answer:
    """What a model says of a slice, on the slice's own grid.

    Attributes:
        codes: uint8 (H, W), 1 lung, 2 ground-glass opacity, 3 consolidation, else 0.
        levels: of each region that was asked for, its probability, uint8 (H, W), 255 is certain.
    """

    codes: NDArray[np.uint8]
    levels: Mapping[Region, NDArray[np.uint8]]

    @classmethod
    def nothing(cls, shape: tuple[int, ...], asked: Iterable[Region]) -> Self:
        """Where no lung is found in a slice that is no crop, the model is not asked."""
        empty = np.zeros(shape, np.uint8)
        return cls(empty, dict.fromkeys(asked, empty))


def _answered(
    slices: Iterable[_Slice], model: Model, views: int, asked: Mapping[Region, Sequence[int]]
) -> Iterator[Answer]:
    """The answer to each slice, in their order.

    Args:
        slices: HU (H, W) and the frame of each.
        model: the trained model.
        views: as in `segment_by_model`.
        asked: regions whose probabilities are wanted, and their channels.
    """
    for whole in _whole(slices, model, views):
        yield Answer(
            _codes(whole, model.method.outputs, model.above),
            {region: _bytes(whole[channels].sum(axis=0)) for region, channels in asked.items()},
        )


def _bytes(probability: NDArray[np.float32]) -> NDArray[np.uint8]:
    levels: NDArray[np.uint8] = np.rint(255 * probability.clip(0, 1)).astype(np.uint8)
    return levels


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
    whole = _whole(((scan.hu[z], where) for z, where in frames.items()), model, views)
    yield from zip(frames, whole, strict=True)


def _whole(slices: Iterable[_Slice], model: Model, views: int) -> Iterator[NDArray[np.float32]]:
    """The same of slices in HU, each with its frame."""
    if not model.tiles:
        yield from _resized(slices, model.method, model.preparation, views)
        return
    for hu, where in slices:
        yield _in_tiles(model.method, hu, where, model.preparation, views)


def _resized(
    slices: Iterable[_Slice], method: Method, preparation: Preparation, views: int
) -> Iterator[NDArray[np.float32]]:
    """Of slices, or pieces of one, each resized to what the network sees; as many are predicted together as go well."""
    waiting = iter(slices)
    while part := list(islice(waiting, _together(preparation.size))):
        told = predict_batch(method, _images(part, preparation), views).numpy()
        for probability, (_, where) in zip(told, part, strict=True):
            yield restore(probability, where)


def _in_tiles(
    method: Method, hu: NDArray[Any], where: Frame, preparation: Preparation, views: int = 1
) -> NDArray[np.float32]:
    """Probabilities (K, H, W) of a slice (H, W), put together from those of its squares; 0 beyond its crop."""
    whole = np.zeros((len(method.outputs), *where.shape), np.float32)
    for square in _resized(((hu, square) for square in tiles(where)), method, preparation, views):
        whole += square
    return whole


def parts(numbers: Sequence[int], size: tuple[int, int]) -> Iterator[list[int]]:
    """Numbers of slices of (height, width) pixels, as many at a time as are predicted together."""
    count = _together(size)
    for start in range(0, len(numbers), count):
        yield list(numbers[start : start + count])


def _together(size: tuple[int, int]) -> int:
    return max(1, min(BATCH, PIXELS // (size[0] * size[1])))


def predicted(
    store: Store, method: Method, numbers: Sequence[int], views: int = 1
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """The probabilities (K, height, width) of slices of a store, as the network sees them."""
    for part in parts(numbers, store.preparation.size):
        images = torch.from_numpy(np.stack([store.prepared(number) for number in part]))[:, None]
        yield from zip(part, predict_batch(method, images, views).numpy(), strict=True)


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
    return _images([(scan.hu[z], frames[z]) for z in numbers], preparation)


def _images(slices: Sequence[_Slice], preparation: Preparation) -> torch.Tensor:
    seen = [prepare_image(hu, where, preparation.window_hu) for hu, where in slices]
    return torch.from_numpy(np.stack(seen))[:, None]


@torch.inference_mode()
def predict_batch(method: Method, image: torch.Tensor, views: int = 1) -> torch.Tensor:
    """Mean probabilities (B, K, H, W), float32, over views of images (B, 1, H, W): the first so many of ``VIEWS``.

    Raises:
        ReadError: some are no numbers.
    """
    total: torch.Tensor | None = None
    for transposed, flips in VIEWS[:views]:
        view = image.mT if transposed else image
        told = method.predict(as_seen(method, view.flip(flips))).float().flip(flips)
        told = told.mT if transposed else told
        total = told if total is None else total + told
    assert total is not None  # noqa: S101 - there is at least one view
    if not total.isfinite().all():
        raise ReadError(
            "The model answered what is no number.",
            expected="probabilities",
            remedy="Copy the model's file again, or take another model.",
        )
    return (total / views).cpu().contiguous()


def as_seen(method: Method, image: torch.Tensor) -> torch.Tensor:
    """Images where the method's weights are, channels last.

    In float32 everywhere, though bf16 is 1.7 times as fast where a processor has it: it moved the lesions of a scan by
    7 % (docs/decisions.md), and volumes shall not depend on the machine.
    """
    return image.to(next(method.parameters()).device, memory_format=torch.channels_last)


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
    """What is decided, as codes of lesions; all else becomes 0."""
    codes = _codes(probabilities, outputs, above)
    return np.where(codes > CODE_OF_TISSUE[Tissue.LUNG], codes, np.uint8(0))


def _codes(probabilities: NDArray[np.float32], outputs: Sequence[int], above: float) -> NDArray[np.uint8]:
    """What is decided, as codes; groups that are no single tissue, and what has no label, become 0."""
    code_of_set = np.zeros(16, np.uint8)
    for tissue in (Tissue.LUNG, Tissue.GROUND_GLASS, Tissue.CONSOLIDATION):
        code_of_set[int(tissue)] = CODE_OF_TISSUE[tissue]
    return code_of_set[decide(probabilities, outputs, above)]
