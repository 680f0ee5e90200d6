"""Reading a store: a slice at a time, from any number of processes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from groundglass.errors import ReadError, UsageError
from groundglass.preprocess.preparation import Preparation
from groundglass.preprocess.slices import Frame, frame
from groundglass.store.index import SliceInfo, content_of, from_csv
from groundglass.store.writer import (
    CASES,
    FORMAT,
    IMAGE,
    INDEX,
    LABEL,
    LEVELS,
    PREPARED,
    PREPARED_LABEL,
    damaged_manifest,
    read_manifest,
)


class Store:
    """A prepared store, read-only. It can be pickled and read in forked processes; nothing is kept in memory.

    Attributes:
        path: its folder.
        dataset: name of the data set.
        preparation: how its slices were prepared.
        content: hash of what it holds, 32 hex digits.
        slices: what is known of each slice; other methods count in their order.
    """

    def __init__(self, path: Path, manifest: Mapping[str, Any], slices: tuple[SliceInfo, ...]) -> None:
        self.path = path
        self.dataset = str(manifest["dataset"])
        self.preparation = Preparation.from_json(manifest["preparation"])
        self.content = str(manifest["content"])
        self.slices = slices
        self._arrays: dict[tuple[str, str], Any] = {}

    def __len__(self) -> int:
        return len(self.slices)

    def __getstate__(self) -> dict[str, Any]:
        kept = {name: value for name, value in self.__dict__.items() if name != "_number_of_id"}
        return {**kept, "_arrays": {}}

    @cached_property
    def _number_of_id(self) -> Mapping[str, int]:
        return {info.id: number for number, info in enumerate(self.slices)}

    @property
    def labelled(self) -> tuple[int, ...]:
        """Numbers of the slices with labels."""
        return tuple(number for number, info in enumerate(self.slices) if info.labelled)

    @property
    def unlabelled(self) -> tuple[int, ...]:
        """Numbers of the slices without."""
        return tuple(number for number, info in enumerate(self.slices) if not info.labelled)

    def number(self, slice_id: str) -> int:
        """The number of a slice, by its id.

        Raises:
            UsageError: no such slice.
        """
        try:
            return self._number_of_id[slice_id]
        except KeyError:
            raise UsageError(
                f"The store has no slice {slice_id}.", expected="one of its index", remedy="Look into index.csv."
            ) from None

    def image(self, number: int) -> NDArray[np.int16]:
        """HU of a slice at native resolution, (H, W).

        Raises:
            ReadError: (as all that follow) the store is damaged.
        """
        info = self.slices[number]
        return self._read(info, IMAGE)[: info.height, : info.width]

    def label_set(self, number: int) -> NDArray[np.uint8] | None:
        """Label sets of a slice at native resolution, uint8 (H, W); None where it has none."""
        info = self.slices[number]
        return self._read(info, LABEL)[: info.height, : info.width] if info.labelled else None

    def prepared(self, number: int) -> NDArray[np.float32]:
        """What a network sees, (height, width) of the preparation, [0, 1]."""
        levels = self._read(self.slices[number], PREPARED)
        return levels.astype(np.float32) / np.float32(LEVELS)

    def prepared_label_set(self, number: int) -> NDArray[np.uint8] | None:
        """Label sets on the same grid, uint8 (height, width), unknown in the padding; None where it has none."""
        info = self.slices[number]
        return self._read(info, PREPARED_LABEL) if info.labelled else None

    def frame(self, number: int) -> Frame:
        """Where the prepared picture of a slice lies in it: what `groundglass.preprocess.slices.restore` needs."""
        info = self.slices[number]
        return frame((info.height, info.width), info.box, self.preparation)

    def _read(self, info: SliceInfo, name: str) -> NDArray[Any]:
        import zarr

        folder = self.path / CASES / info.case / name
        try:
            if not os.path.exists(folder / "c" / str(info.row) / "0" / "0"):  # noqa: PTH110 - in the training loop
                raise FileNotFoundError  # zarr would say air, or unknown
            array = self._arrays.get((info.case, name))
            if array is None:
                array = self._arrays[info.case, name] = zarr.open_array(folder, mode="r")
            plane: NDArray[Any] = np.asarray(array[info.row])
        except Exception:  # zarr and its codecs raise many types on what is damaged
            raise ReadError(
                f"Slice {info.id} of the store is damaged or missing.",
                expected="the store as groundglass prepare wrote it",
                remedy="Remove the store and prepare the data again.",
            ) from None
        return plane


def open_store(path: str | os.PathLike[str]) -> Store:
    """Open a store.

    Raises:
        UsageError: there is none.
        ReadError: half-prepared, damaged, or written by another version.
    """
    folder = Path(path)
    manifest = read_manifest(folder)
    if manifest is None:
        raise UsageError(
            "There is no store in the folder.",
            expected="a folder that groundglass prepare wrote",
            remedy="Prepare one: groundglass prepare DATASET ROOT -o STORE",
        )
    if manifest.get("format") != FORMAT:
        raise ReadError(
            f"The store has format {manifest.get('format')!r}.",
            expected=f"format {FORMAT}",
            remedy="Prepare the data again with this version.",
        )
    if manifest.get("complete") is not True:
        raise ReadError(
            "The store is half-prepared.",
            expected="one that groundglass prepare has finished",
            remedy="Run the same groundglass prepare again: it goes on where it stopped.",
        )
    try:
        index = (folder / INDEX).read_bytes()
        text = index.decode()
    except (OSError, UnicodeDecodeError):
        index, text = b"", ""
    slices = from_csv(text)
    as_written = manifest.get("index") in (None, sha256(index).hexdigest())  # older ones do not say
    if content_of(slices) != manifest.get("content") or not as_written:
        raise ReadError(
            "The index of the store was changed after it was prepared.",
            expected="the index that its manifest was written for",
            remedy="Prepare the data again, into a new folder.",
        )
    try:
        return Store(folder, manifest, slices)
    except (KeyError, TypeError):
        raise damaged_manifest() from None
