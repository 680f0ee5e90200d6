"""Writing a store: case by case, each whole or not at all, so that a run that was killed is taken up where it was."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from groundglass.errors import ReadError, UsageError
from groundglass.io.atomic import PARTIAL, write_error, write_file
from groundglass.labels import UNKNOWN
from groundglass.preprocess.preparation import Preparation
from groundglass.provenance import Provenance
from groundglass.store.index import SliceInfo, as_csv, content_of, from_csv

FORMAT: Final = 1
AIR_HU: Final = -1024
LEVELS: Final = 4095  # of a prepared picture: a third of an HU for a usual window, far below noise
MANIFEST, INDEX, CASES, LOCK = "manifest.json", "index.csv", "cases", ".lock"
IMAGE, LABEL, PREPARED, PREPARED_LABEL = "image", "label", "prepared", "prepared_label"
_PARTIAL: Final = ".partial"
_GROUP: Final = '{"zarr_format": 3, "node_type": "group", "attributes": {}}\n'


@dataclass(frozen=True, eq=False)
class Collection:
    """A case, ready to be written: lists with one entry for each slice.

    Attributes:
        name: of the case.
        digest: of all that went into it; the same digest is the same bytes.
        slices: the index' rows.
        images: int16 HU (H, W), of any sizes.
        labels: uint8 label sets (H, W), or None.
        prepared: float32 (height, width), [0, 1].
        prepared_labels: uint8 label sets (height, width), or None.
    """

    name: str
    digest: str
    slices: tuple[SliceInfo, ...]
    images: Sequence[NDArray[np.int16]]
    labels: Sequence[NDArray[np.uint8] | None]
    prepared: Sequence[NDArray[np.float32]]
    prepared_labels: Sequence[NDArray[np.uint8] | None]


class StoreWriter:
    """A context in which a store is made; `finish` makes it whole.

    Args:
        path: of the store; made if it is not there.
        dataset: name of the data set.
        preparation: how its slices are prepared.

    Raises:
        UsageError: (on entering) the folder holds something else, or a store of another preparation, or is being
            written by another process.
        WriteError: it cannot be written to.
    """

    def __init__(self, path: str | os.PathLike[str], dataset: str, preparation: Preparation) -> None:
        self.path = Path(path)
        self._settings = {"format": FORMAT, "dataset": dataset, "preparation": preparation.as_json()}
        self._rows: dict[str, str] = {}  # of the index, as text: a sixth of the records' memory
        self._lock: int | None = None

    def __enter__(self) -> Self:
        self._check()
        try:
            (self.path / CASES).mkdir(parents=True, exist_ok=True)
            self._take_lock()
            for group in (self.path / "zarr.json", self.path / CASES / "zarr.json"):
                if not group.exists():
                    write_file(group, _GROUP.encode())
            for partial in (self.path / CASES).glob(f"{_PARTIAL}*"):
                shutil.rmtree(partial)
            for partial in (*self.path.glob(f"{PARTIAL}*"), *(self.path / CASES).glob(f"{PARTIAL}*")):
                partial.unlink()
        except OSError as error:
            self.__exit__(None, None, None)
            raise write_error(error) from None
        self._complete = (read_manifest(self.path) or {}).get("complete") is True
        if not self._complete:
            self._write_manifest({"complete": False})
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        if isinstance(error, OSError):
            raise write_error(error) from None

    def keep(self, name: str, slices: tuple[SliceInfo, ...]) -> None:
        """Let a case that the store holds already (`stored`) be part of it."""
        self._rows[name] = _rows(slices)

    def add(self, case: Collection) -> None:
        """Write a case, in place of an older one of its name."""
        self.adopt(write_beside(self.path, case), case.name, case.slices)

    def adopt(self, beside: Path, name: str, slices: tuple[SliceInfo, ...]) -> None:
        """Make a case that `write_beside` wrote, here or in another process, part of the store."""
        folder = self.path / CASES / name
        try:
            if self._complete:
                self._complete = False
                self._write_manifest({"complete": False})
            if folder.exists():
                shutil.rmtree(folder)
            beside.replace(folder)
        except OSError as error:
            raise write_error(error) from None
        finally:
            shutil.rmtree(beside, ignore_errors=True)
        self._rows[name] = _rows(slices)

    def finish(self, provenance: Provenance) -> None:
        """Write the index and the manifest, in the order in which cases came; cases that did not come are removed.

        Raises:
            UsageError: no slice at all.
            WriteError: it cannot be written.
        """
        if not self._rows:
            raise UsageError(
                "The data set has no slice that could be prepared.",
                expected="at least one",
                remedy="Check the folder, and the notes above.",
            )
        try:
            for folder in (self.path / CASES).iterdir():
                if folder.is_dir() and folder.name not in self._rows:
                    self._write_manifest({"complete": False})
                    shutil.rmtree(folder)
        except OSError as error:
            raise write_error(error) from None
        header = as_csv(())
        index = "".join((header, *self._rows.values())).encode()
        write_file(self.path / INDEX, index)
        content = content_of(info for rows in self._rows.values() for info in from_csv(header + rows))
        told = {"content": content, "index": sha256(index).hexdigest(), "provenance": provenance.as_json()}
        self._write_manifest({"complete": True, **told})

    def _check(self) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise UsageError("The store's path is a file.", expected="a folder", remedy="Choose another name.")
        manifest = read_manifest(self.path)
        if manifest is None:
            if self.path.is_dir() and not _is_begun(self.path):
                raise UsageError(
                    "The store's folder holds other things.",
                    expected="an empty folder, or a store",
                    remedy="Choose another.",
                )
            return
        differing = [name for name, value in self._settings.items() if manifest.get(name) != value]
        if differing:
            raise UsageError(
                f"The folder holds a store of another {_names(differing[0], manifest, self._settings)}.",
                expected="the same settings as before",
                remedy="Choose another folder, or remove the store.",
            )

    def _take_lock(self) -> None:
        """One process writes; the system lets go of the lock when it ends, however it ends."""
        self._lock = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        with suppress(ImportError):
            import fcntl

            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(self._lock)
                self._lock = None
                raise UsageError(
                    "Another process is writing this store.", expected="one at a time", remedy="Wait for it to end."
                ) from None

    def _write_manifest(self, more: Mapping[str, Any]) -> None:
        text = json.dumps({**self._settings, **more}, indent=2) + "\n"
        write_file(self.path / MANIFEST, text.encode())


def _rows(slices: Sequence[SliceInfo]) -> str:
    return as_csv(slices).removeprefix(as_csv(()))


def stored(path: Path, name: str, digest: str) -> tuple[SliceInfo, ...] | None:
    """The slices of a case, where the store holds it and its content is the same; else None."""
    folder = path / CASES / name
    try:
        if json.loads((folder / "case.json").read_text(encoding="utf-8"))["digest"] != digest:
            return None
        return from_csv((folder / INDEX).read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, ReadError):
        return None


def write_beside(path: Path, case: Collection) -> Path:
    """Write a case into a hidden folder of a store that is being made; `StoreWriter.adopt` makes it part of it.

    Raises:
        WriteError: it could not be written; nothing of it stays.
    """
    folder = path / CASES / f"{_PARTIAL}-{os.getpid()}-{case.name}"
    try:
        _write_arrays(folder, case)
        (folder / "zarr.json").write_text(_GROUP, encoding="utf-8")
        (folder / INDEX).write_text(as_csv(case.slices), encoding="utf-8", newline="\n")
        (folder / "case.json").write_text(json.dumps({"digest": case.digest}) + "\n", encoding="utf-8")
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, OSError):
            raise write_error(error) from None
        raise
    return folder


def _write_arrays(folder: Path, case: Collection) -> None:
    tile = (max(plane.shape[0] for plane in case.images), max(plane.shape[1] for plane in case.images))
    size = case.prepared[0].shape
    levels = [np.rint(plane * LEVELS).astype(np.uint16) for plane in case.prepared]
    _write(folder / IMAGE, case.images, tile, np.int16, AIR_HU)
    _write(folder / PREPARED, levels, size, np.uint16, 0)
    if any(labels is not None for labels in case.labels):
        _write(folder / LABEL, case.labels, tile, np.uint8, UNKNOWN)
        _write(folder / PREPARED_LABEL, case.prepared_labels, size, np.uint8, UNKNOWN)


def read_manifest(path: Path) -> dict[str, Any] | None:
    """The manifest of a store; None where there is none.

    Raises:
        ReadError: it is damaged.
    """
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        if not isinstance(manifest, dict):
            raise ValueError("no object")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, RecursionError):
        raise damaged_manifest() from None
    return manifest


def damaged_manifest() -> ReadError:
    """Of a manifest that is no JSON, or not of a store."""
    return ReadError(
        "The manifest of the store cannot be read.",
        expected=f"a {MANIFEST} that groundglass prepare wrote",
        remedy="Remove the store and prepare the data again.",
    )


def _is_begun(path: Path) -> bool:
    """Nothing, or a store whose making was stopped before its manifest was there."""
    return all(child.name in (CASES, "zarr.json") for child in path.iterdir() if not child.name.startswith("."))


def _names(key: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The setting that differs, for a message."""
    if key != "preparation" or not isinstance(before.get(key), Mapping):
        return {"dataset": "data set"}.get(key, key)
    for name, value in now[key].items():
        if before[key].get(name) != value:
            return f"preparation ({name} is {before[key].get(name)!r}, not {value!r})"
    return "preparation"


def _write(
    path: Path, planes: Sequence[NDArray[Any] | None], tile: tuple[int, ...], kind: type[np.generic], fill: int
) -> None:
    """Planes into the top left of tiles: a zarr array (N, *tile), a chunk a plane, checksums in every chunk."""
    import zarr
    from zarr.codecs import ZstdCodec

    array = zarr.create_array(
        path,
        shape=(len(planes), *tile),
        chunks=(1, *tile),
        dtype=np.dtype(kind),
        fill_value=fill,
        compressors=ZstdCodec(level=3, checksum=True),
        config={"write_empty_chunks": True},  # so that a chunk that is not there is a damage
    )
    # a chunk at a time: of several, zarr's threads go on writing when one has failed, into what is being removed
    for row, plane in enumerate(planes):
        whole = np.full(tile, fill, kind)
        if plane is not None:
            whole[: plane.shape[0], : plane.shape[1]] = plane
        array[row] = whole
