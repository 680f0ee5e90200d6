"""What benchmarks are told on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from groundglass.errors import UsageError


def cases_of(words: Sequence[str]) -> dict[str, Path]:
    """Folders of cases by name, of words such as ``P002=RESULTS``.

    Raises:
        UsageError: a word is none, or a name comes twice.
    """
    cases: dict[str, Path] = {}
    for word in words:
        name, _, folder = word.partition("=")
        if not name or not folder or name in cases:
            raise UsageError(f"{word!r}.", expected="NAME=FOLDER, each name once", remedy="Name each case's folder.")
        cases[name] = Path(folder)
    return cases
