"""One door for all formats: what a path holds is told by content, then read."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath
from typing import Final, Literal

from groundglass.errors import GroundglassError, ReadError, ScanError, UsageError
from groundglass.io.files import InputFile, shown
from groundglass.io.listing import Listing, list_files
from groundglass.scan import GreyImage, Scan

Progress = Callable[[float], None]
Kind = Literal["dicom", "nifti", "nrrd", "image", "other"]
_LISTED: Final = 8


def read(
    path: str | os.PathLike[str], series: str | int | None = None, progress: Progress | None = None
) -> Scan | GreyImage:
    """Read what a user gave: DICOM folder or zip, NIfTI, NRRD, or PNG and JPG pictures.

    In a folder or zip DICOM goes first; else the one NIfTI or NRRD in it; else its pictures.

    Args:
        path: a file or folder.
        series: number (from 1) or UID of the DICOM series, needed where there are several.
        progress: is called with the share done, from 0 to 1.

    Returns:
        a scan in Hounsfield units, or for pictures a grey image. What was assumed, repaired or left out is in
        its source's notices.

    Raises:
        UsageError: nothing there, or a choice left open.
        ReadError: it cannot be read as what it claims to be.
        ScanError: it was read, but is no CT scan that can be worked on.
    """
    try:
        listing = list_files(path)
        result = _read(listing, series, progress)
    except GroundglassError:
        raise
    except MemoryError:
        raise ScanError(
            "The scan does not fit into memory.", expected="more memory", remedy="Crop or resample it first."
        ) from None
    except RecursionError:
        raise ReadError(
            "The file or folder is nested too deeply.", expected="a scan", remedy="Give the scan's own folder."
        ) from None
    if progress:
        progress(1.0)
    return result


def _read(listing: Listing, series: str | int | None, progress: Progress | None) -> Scan | GreyImage:
    by_kind: dict[Kind, list[InputFile]] = {"dicom": [], "nifti": [], "nrrd": [], "image": [], "other": []}
    for file in listing.files:
        by_kind[kind_of(file)].append(file)
    _refuse_empty(listing)
    if by_kind["dicom"]:
        from groundglass.io.dicom import read_dicom

        return read_dicom(listing.files, series, progress)
    if series is not None:
        raise UsageError(
            "A series was chosen, but the input is not DICOM.", expected="a DICOM folder", remedy="Leave it out."
        )
    volumes = _volumes(by_kind)
    if len(volumes) > 1:
        raise UsageError(
            f"There are {len(volumes)} volumes: {_names(volumes)}.", expected="one scan", remedy="Give the file itself."
        )
    if volumes:
        return _read_volume(volumes[0], listing)
    if by_kind["image"]:
        from groundglass.io.image import read_images

        return read_images(by_kind["image"])
    raise _unknown(listing)


def _volumes(by_kind: dict[Kind, list[InputFile]]) -> list[InputFile]:
    """NIfTI and NRRD files; not the images of pairs, which nothing but their suffix tells."""
    return [*by_kind["nifti"], *by_kind["nrrd"]]


def _read_volume(file: InputFile, listing: Listing) -> Scan:
    if kind_of(file) == "nrrd":
        from groundglass.io.nrrd import read_nrrd

        return read_nrrd(file, lambda name: listing.neighbour(file, name))
    from groundglass.io.nifti import read_nifti

    plain = PurePosixPath(file.name).name.removesuffix(".gz").removesuffix(".hdr")
    names = (f"{plain}.img", f"{plain}.img.gz")
    return read_nifti(file, next(filter(None, (listing.neighbour(file, name) for name in names)), None))


def kind_of(file: InputFile) -> Kind:
    """The format of a file, by its first bytes.

    Raises:
        ReadError: it cannot be read.
    """
    from groundglass.io.dicom_header import looks_like_dicom
    from groundglass.io.image import MAGICS
    from groundglass.io.nifti import head_of, looks_like_nifti
    from groundglass.io.nrrd import MAGIC

    head = head_of(file)
    if head[128:132] == b"DICM":
        return "dicom"
    if head.startswith(MAGIC):
        return "nrrd"
    if head.startswith(MAGICS):
        return "image"
    if looks_like_nifti(head):
        return "nifti"
    return "dicom" if looks_like_dicom(head[:132]) else "other"


def _refuse_empty(listing: Listing) -> None:
    if not listing.files:
        raise ReadError(
            f"The {listing.kind} holds no files.", expected="a scan", remedy="Give the folder that holds the slices."
        )
    if all(file.size == 0 for file in listing.files):
        raise ReadError(f"{_names(listing.files)}: empty.", expected="a scan", remedy="Copy or export the file again.")


def _unknown(listing: Listing) -> ReadError:
    if listing.kind == "file":
        file = listing.files[0]
        what = f"{shown(file.name)} is no format that is read"
        if file.suffix in (".gz", ".nii", ".nrrd", ".nhdr", ".dcm", ".png", ".jpg", ".jpeg"):
            what = f"{shown(file.name)} has the name of a scan, but not the content, or is damaged"
    else:
        what = f"The {listing.kind} holds {len(listing.files)} files, and none is a scan ({_names(listing.files)})"
    return ReadError(
        f"{what}.",
        expected="DICOM, NIfTI (.nii, .nii.gz), NRRD, PNG or JPG",
        remedy="Convert it, or give the folder or file that holds the scan.",
    )


def _names(files: Sequence[InputFile]) -> str:
    return ", ".join(shown(file.name) for file in files[:_LISTED]) + (", ..." if len(files) > _LISTED else "")
