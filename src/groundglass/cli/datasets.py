"""``groundglass datasets``: list, check and convert; ``get`` stands in a file of its own."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Final

from groundglass.cli.key import load_key
from groundglass.cli.phases import Phases
from groundglass.datasets import _catalogue as catalogue
from groundglass.datasets._case import Asked, Cases
from groundglass.datasets._checking import differences, report, set_name, survey
from groundglass.errors import ReadError, UsageError
from groundglass.io.atomic import write_file
from groundglass.lookup import find_module
from groundglass.scan import Notice

NNUNET: Final = "nnunet"
TARGETS: Final = (NNUNET, "folder")


def run_list(root: Path | None) -> None:
    """Print the public data sets, and where they lie below a folder.

    Raises:
        UsageError: there is no such folder.
    """
    if root is not None:
        _refuse_no_folder(root)
    for entry in catalogue.ENTRIES.values():
        lines = [entry.what, f"size: {entry.size}", f"terms: {entry.terms}", f"from: {entry.home}"]
        lines.append("groundglass datasets get " + ("fetches it" if entry.files else "says what to do by hand"))
        if root is not None:
            place = entry.find_in(root)
            lines.append("not here" if place is None else f"here: {place}")
        sys.stdout.write(f"{entry.name}\n" + "".join(f"    {line}\n" for line in lines))


def run_check(name: str | None, root: Path, sheet: Path | None, key: Path | None, quiet: bool) -> None:
    """Read a data set whole and print what is in it, beside what its publisher says.

    Args:
        name: of the set, ``folder``, ``nnunet``, or None to tell by the layout.
        root: its folder.
        sheet: where a contact sheet goes; None for none. It shows patients' slices.
        key: of the hashes that cases of one's own are called by.
        quiet: show no progress.

    Raises:
        GroundglassError: no such set, or not its layout.
        ReadError: something in it cannot be read, or has labels that it should not have.
    """
    _refuse_no_folder(root)
    name = name or catalogue.guess(root)
    entry = catalogue.ENTRIES.get(name.replace("-", "_"))
    with Phases(quiet) as phases:
        phases.begin("reading")
        cases, _ = _cases(name, root, key)
        if sheet is None:
            found = survey(cases, phases.advance)
        else:
            from groundglass.cli.datasets_sheet import Sheet

            drawn = Sheet()
            found = survey(cases, phases.advance, drawn.look)
            write_file(sheet, drawn.png())
    differing = differences(found, entry.card) if entry is not None else ()
    _tell(f"{name}:", *report(found), *(f"note: {text}" for text in found.notices))
    if entry is not None:
        _tell(*(f"differs: {line}" for line in differing) if differing else ("as the card says",))
    if found.problems or any(line.startswith("labels") for line in differing):
        raise ReadError(
            f"{len(found.problems)} problems were found, named above, or labels that {name} should not have.",
            expected="a data set that can be read whole",
            remedy="Get or unpack it again.",
        )


def run_convert(name: str, root: Path, output: Path, target: str, number: int, key: Path | None, quiet: bool) -> None:
    """Write a data set as nnU-Net's raw layout or as a plain folder.

    Args:
        name: of the set, ``folder``, or ``nnunet`` for a folder DatasetNNN_Name.
        root: its folder.
        output: nnU-Net's folder of raw data sets, or a folder for images, labels and labels.toml.
        target: ``nnunet`` or ``folder``.
        number: of nnU-Net's data set, 1 to 999.
        key: of the hashes that cases of one's own are called by.
        quiet: show no progress.

    Raises:
        GroundglassError: whatever reading refuses, or the options or the output cannot be.
    """
    from groundglass.datasets._converting import to_folder, to_nnunet

    if target not in TARGETS:
        raise UsageError(f"Nothing is converted to {target!r}.", expected=" or ".join(TARGETS), remedy="Choose one.")
    _refuse_no_folder(root)
    write = to_folder if target == "folder" else partial(to_nnunet, name=name, number=number)
    with Phases(quiet) as phases:
        phases.begin("converting")
        cases, notices = _cases(name, root, key)
        made = write(cases, output, progress=phases.advance)
        for text in dict.fromkeys(notice.text for notice in (*notices, *made.notices)):
            phases.tell(f"note: {text}")
    _tell(
        f"{made.labelled} images with labels, {made.unlabelled} without: {output}",
        *(f"code {code}: {set_name(value)}" for code, value in made.sets.items()),
    )


def _cases(name: str, root: Path, key_file: Path | None) -> tuple[Cases, tuple[Notice, ...]]:
    """What the reader of that name gives, and what is to be known of the key."""
    if name == NNUNET:
        from groundglass.datasets._nnunet import read

        return read(root), ()
    key, notices = load_key(key_file)
    cases: Cases = find_module("groundglass.datasets", name.replace("-", "_")).read(root, Asked(key))
    return cases, (*notices, *cases.notices)


def _refuse_no_folder(root: Path) -> None:
    if not root.exists():
        raise UsageError(
            "There is nothing at the folder given.", expected="a folder that exists", remedy="Check the path."
        )


def _tell(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
