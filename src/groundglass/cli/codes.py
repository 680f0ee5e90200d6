"""What codes of label maps mean, as options say it: by the name of a data set, or by a table from code to tissues."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Final

import numpy as np
from numpy.typing import NDArray

from groundglass.datasets._catalogue import ENTRIES, entry
from groundglass.errors import UsageError
from groundglass.evaluation.pairs import parse_codes
from groundglass.labels import NAME_OF_CODE, NOT_LESION, TISSUE_OF_CODE, Tissue

EXAMPLE: Final = "0=background|lung,1=ground_glass,2=consolidation"


def codes_of(text: str) -> Mapping[int, Tissue]:
    """The table of a data set's reader (``covid_semiseg``), or one that is written out.

    Raises:
        UsageError: no such set, one whose codes are not one table, or an entry that says no code's meaning.
    """
    if "=" in text:
        return parse_codes(text)
    table = _table_of(entry(text).name)
    if table is None:
        raise UsageError(
            f"The label maps of {entry(text).name} have no one table of codes.",
            expected=f"one of {', '.join(name for name in ENTRIES if _table_of(name))}, or a table",
            remedy=f"Write it out, for instance: {EXAMPLE}",
        )
    return table


def _table_of(name: str) -> Mapping[int, Tissue] | None:
    table: Mapping[int, Tissue] | None = getattr(import_module(f"groundglass.datasets.{name}"), "TISSUES", None)
    return table


def renamed(table: Mapping[int, Tissue]) -> NDArray[np.uint8]:
    """For each of our codes (0 to 3) the code of a table: the lowest that may mean the tissue and no other kind.

    Kinds are lesion and no lesion, so that "unknown" is no code to write.

    Raises:
        UsageError: a tissue without a code, or a code that is no byte.
    """
    codes = []
    for tissue in TISSUE_OF_CODE.values():
        kind = NOT_LESION if tissue & NOT_LESION else ~NOT_LESION
        able = [code for code, tissues in sorted(table.items()) if tissue & tissues and not tissues & ~kind]
        if not able or not 0 <= able[0] <= 255:
            raise UsageError(
                f"The codes have none for {str(tissue.name).lower().replace('_', ' ')}.",
                expected="one, 0 to 255, for background, lung, ground glass and consolidation each; two may share one",
                remedy=f"For instance: {EXAMPLE}",
            )
        codes.append(able[0])
    return np.array(codes, np.uint8)


def names_of(codes: NDArray[np.uint8]) -> dict[int, str]:
    """What each code means in label maps that `renamed` made: ``{0: "background or lung", ...}``."""
    return {
        int(code): " or ".join(name for ours, name in NAME_OF_CODE.items() if codes[ours] == code)
        for code in np.unique(codes)
    }
