"""Header text against closed lists. A free text field can hold a name, so only known words leave a header."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from groundglass.scan import Acquisition

# A part of the Manufacturer field in lower case -> the name told. Longer parts first.
MANUFACTURERS: Final = {
    "united imaging": "United Imaging",
    "uih": "United Imaging",
    "siemens": "Siemens",
    "ge medical": "GE",
    "ge healthcare": "GE",
    "general electric": "GE",
    "philips": "Philips",
    "marconi": "Philips",
    "toshiba": "Canon",
    "canon": "Canon",
    "hitachi": "Hitachi",
    "fujifilm": "Fujifilm",
    "neusoft": "Neusoft",
    "nms": "Neusoft",
    "samsung": "Samsung",
    "neurologica": "NeuroLogica",
    "shimadzu": "Shimadzu",
    "minfound": "MinFound",
    "anke": "Anke",
    "ge": "GE",
}
KERNELS: Final = re.compile(
    r"[BDHIJTUQ][a-z]{0,2}\d{2}[a-z]{0,2}([\\/]\d)?"  # Siemens: B31f, D40s, Br40d, I70f\3
    r"|STANDARD|STND|SOFT|DETAIL|LUNG|CHEST|BONE|BONEPLUS|EDGE|ULTRA"  # GE
    r"|Y?[A-E]|YD|L|EB|EC"  # Philips
    r"|FC\d{2}"  # Canon, Toshiba
)
# What a picture is, if not CT; other values of Modality are not repeated.
MODALITIES: Final = frozenset(
    (
        *("MR", "PT", "NM", "US", "CR", "DX", "MG", "RF", "XA", "OT", "SC", "ES", "OP"),
        *("RTDOSE", "RTIMAGE", "RTSTRUCT", "RTPLAN", "SEG", "SR", "PR", "KO", "REG", "ECG", "DOC", "PX", "IO", "XC"),
    )
)
MODALITY_OF_CLASS: Final = {
    "1.2.840.10008.5.1.4.1.1.2": "CT",
    "1.2.840.10008.5.1.4.1.1.2.1": "CT",
    "1.2.840.10008.5.1.4.1.1.2.2": "CT",
    "1.2.840.10008.5.1.4.1.1.4": "MR",
    "1.2.840.10008.5.1.4.1.1.4.1": "MR",
    "1.2.840.10008.5.1.4.1.1.128": "PT",
    "1.2.840.10008.5.1.4.1.1.20": "NM",
    "1.2.840.10008.5.1.4.1.1.6.1": "US",
    "1.2.840.10008.5.1.4.1.1.1": "CR",
    "1.2.840.10008.5.1.4.1.1.1.1": "DX",
    "1.2.840.10008.5.1.4.1.1.481.2": "RTDOSE",
    "1.2.840.10008.5.1.4.1.1.66.4": "SEG",
}


def word(dataset: Any, keyword: str) -> str:
    """A field as text, a backslash between several values; empty where it is absent or damaged."""
    try:
        value = dataset.get(keyword)
        if value is None:
            return ""
        if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
            return str(value).strip()
        return "\\".join(str(part).strip() for part in value)
    except Exception:  # a damaged element raises whatever its conversion meets
        return ""


def numbers(dataset: Any, keyword: str, count: int) -> tuple[float, ...] | None:
    """A field of ``count`` finite numbers; None where it is absent, damaged or of another length."""
    try:
        value = dataset.get(keyword)
        parts = [float(part) for part in ([value] if count == 1 else value)]
    except Exception:  # as above
        return None
    return tuple(parts) if len(parts) == count and np.isfinite(parts).all() else None


def number(dataset: Any, keyword: str) -> float | None:
    """A field of one finite number; None where it is absent or damaged."""
    value = numbers(dataset, keyword, 1)
    return value[0] if value else None


def filled(dataset: Any, keyword: str) -> bool:
    """Whether a field is there and not empty, be it damaged or not."""
    try:
        return dataset.get(keyword) not in (None, "")
    except Exception:  # as above
        return True


def whole(dataset: Any, keyword: str) -> int | None:
    """A field of one whole number; None where it is absent or damaged."""
    value = number(dataset, keyword)
    return int(value) if value is not None and value == int(value) else None


def items(dataset: Any, keyword: str) -> tuple[Any, ...]:
    """The items of a sequence; none where it is absent or damaged."""
    try:
        return tuple(dataset.get(keyword) or ())
    except Exception:  # as above
        return ()


def modality(dataset: Any) -> str:
    """``CT``, another known modality, ``other``, or empty where neither Modality nor the SOP class tells."""
    value = word(dataset, "Modality").upper()
    if not value:
        return MODALITY_OF_CLASS.get(word(dataset, "SOPClassUID"), "")
    return value if value == "CT" or value in MODALITIES else "other"


def acquisition(dataset: Any, thickness_mm: float | None) -> Acquisition:
    """What may be told of how a slice was made."""
    kilovolts = number(dataset, "KVP")
    return Acquisition(
        manufacturer=manufacturer(word(dataset, "Manufacturer")),
        kernel=kernel(word(dataset, "ConvolutionKernel")),
        kilovolts=kilovolts if kilovolts is not None and 40 <= kilovolts <= 200 else None,
        slice_thickness_mm=thickness_mm if thickness_mm is not None and 0.05 <= thickness_mm <= 50 else None,
    )


def manufacturer(text: str) -> str | None:
    """The known manufacturer that a text names as words, or None."""
    words = re.sub(r"[^a-z]+", " ", text.lower()).strip()
    return next((name for part, name in MANUFACTURERS.items() if re.search(rf"\b{part}\b", words)), None)


def kernel(text: str) -> str | None:
    """The text if it is a known kind of kernel name, or None."""
    return text if KERNELS.fullmatch(text) else None
