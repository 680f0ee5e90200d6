"""What a model shows of itself on one slice: named maps beside its picture and its answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from groundglass.errors import UsageError
from groundglass.inference.predict import Model, as_seen, decide, frames_of, images_of, parts, predict_batch
from groundglass.labels import NOT_LESION
from groundglass.preprocess.lung import lung_field
from groundglass.preprocess.slices import Frame
from groundglass.scan import Scan


@dataclass(frozen=True, eq=False)
class SliceMaps:
    """A slice as its model sees it, without padding.

    Attributes:
        slice: its number, from 0.
        where: its frame.
        picture: (h, w), [0, 1].
        sets: (h, w), the label sets that the model decides on.
        maps: by name, each (h, w), [0, 1].
    """

    slice: int
    where: Frame
    picture: NDArray[np.float32]
    sets: NDArray[np.uint8]
    maps: Mapping[str, NDArray[np.float32]]


def maps_of_slice(
    scan: Scan,
    model: Model,
    number: int | None = None,
    *,
    cropped: bool = False,
    on_phase: Callable[[str], object] = str,
    on_progress: Callable[[float], object] = float,
) -> SliceMaps:
    """The maps of a slice.

    Args:
        scan: in Hounsfield units.
        model: the trained model.
        number: of the slice, from 0; None: the one in which the model finds most lesion.
        cropped: the slices are crops around the lungs.
        on_phase: called with the name of each phase as it begins.
        on_progress: called with the share of the slices that are done, while the one is looked for.

    Raises:
        UsageError: the model sees crops around the lungs, and there are none in that slice.
    """
    on_phase("lung field")
    frames = frames_of(scan, lung_field(scan, cropped=cropped), model.preparation)
    if number is None:
        on_phase("most affected slice")
        number = _most_affected(scan, frames, model, on_progress)
    if number not in frames:
        raise UsageError(
            f"No lung was found in slice {number + 1}, and the model sees crops around the lungs.",
            expected=f"one of {min(frames) + 1} to {max(frames) + 1}" if frames else "a scan with lungs",
            remedy="Choose another, or say --cropped if the pictures are such crops.",
        )
    on_phase("maps")
    where = frames[number]
    image = images_of(scan, [number], frames, model.preparation)
    probability = predict_batch(model.method, image)[0].numpy()
    with torch.inference_mode():
        shown = model.method.maps(as_seen(model.method, image))
    top, left, bottom, right = where.inner
    inner = slice(top, bottom), slice(left, right)
    return SliceMaps(
        slice=number,
        where=where,
        picture=image[0, 0].numpy()[inner],
        sets=decide(probability, model.method.outputs, model.above)[inner],
        maps={name: values[0].float().cpu().numpy()[inner] for name, values in shown.items()},
    )


def _most_affected(
    scan: Scan, frames: Mapping[int, Frame], model: Model, on_progress: Callable[[float], object]
) -> int:
    """The slice with the largest sum of lesion probability; the middle one where there are none to look at."""
    lesion = [place for place, group in enumerate(model.method.outputs) if not group & NOT_LESION]
    numbers = list(frames)
    if not lesion or not numbers:
        return numbers[len(numbers) // 2] if numbers else len(scan.hu) // 2
    sums: list[float] = []
    for part in parts(numbers, model.preparation.size):
        image = images_of(scan, part, frames, model.preparation)
        probability = predict_batch(model.method, image)
        sums += probability[:, lesion].sum(dim=(1, 2, 3)).tolist()
        on_progress(len(sums) / len(numbers))
    return numbers[int(np.argmax(sums))]
