"""``groundglass study audit``: what the test side of a split shares with the others, in a store or in folders."""

from __future__ import annotations

import json
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from groundglass import __version__
from groundglass.cli.audit_sources import Source, find_source, read_object
from groundglass.cli.phases import Phases
from groundglass.evaluation.audit import AuditItem, Side, audit
from groundglass.io import OutputFolder
from groundglass.io.files import shown
from groundglass.provenance import Provenance, this_machine
from groundglass.report.audit import HINT, AuditContent, Part, as_json, findings_csv, merged, render, small_picture
from groundglass.scan import Notice

NAMES_SHOWN: Final = 5
_UNTOLD: Final = Notice(
    "No two slices share a group: whose they are is not known here, and one patient's slices at different heights of "
    "the chest are not found."
)


class _Passing:
    """What is kept of the slices that pass on their way to an audit: numbers and small pictures, 8 kB a slice."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.pictures: dict[str, str] = {}
        self.volumes: dict[str, str] = {}
        self.groups = set[str]()

    def watch(self, fold: int | None, items: Iterable[AuditItem], then: Callable[[], None]) -> Iterator[AuditItem]:
        """The items as they are, and a call after the last."""
        slices, groups = Counter[Side](), defaultdict[Side, set[str]](set)
        for item in items:
            slices[item.side] += 1
            groups[item.side].add(item.group)
            if item.series is not None:
                self.volumes[item.id] = item.series
            if item.id not in self.pictures and not callable(item.image):
                self.pictures[item.id] = small_picture(item.image)
            yield item
        self.groups.update(*groups.values())
        self.parts.append(Part(fold, dict(slices), {side: len(names) for side, names in groups.items()}))
        then()


def run_audit(
    paths: Sequence[Path], output: Path, fold: int | None, record: Path | None, quiet: bool, names: bool = False
) -> None:
    """Look for leaks; write ``findings.csv``, ``audit.json`` and ``page.html``.

    Args:
        paths: a store and a split's JSON: folds, or ``{"train": [id, ...], "test": [...], "unlabelled": [...]}``; or
            folders of pictures and scans: to train on, to test on, without labels.
        output: folder for the results.
        fold: the one to audit; all if None.
        record: JSON of a model or a run whose ``selected_on`` lists the slices that it was chosen by.
        quiet: show no progress.
        names: call what lies in folders by its names; else by numbers, in natural order of the names.

    Raises:
        GroundglassError: paths, split or record are not what they should be, or something cannot be read or written.
        SystemExit: 1, after all is written: there is a leak.
    """
    with Phases(quiet) as phases:
        chosen = None if record is None else read_object(record, "record")
        source = find_source(paths, fold, chosen, names)
        with OutputFolder(output) as results:
            content = _audited(source, chosen, phases)
            texts = {
                "findings.csv": findings_csv(content),
                "audit.json": json.dumps(as_json(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n",
                "page.html": render(content),
            }
            for name, text in texts.items():
                results.path(name).write_text(text, encoding="utf-8", newline="\n")
        for notice in content.notices:
            files = (*notice.files[:NAMES_SHOWN], *(["..."] if len(notice.files) > NAMES_SHOWN else []))
            phases.tell(f"note: {notice.text}" + (f" ({', '.join(map(shown, files))})" if files else ""))
    _tell(content, output)
    if content.leaks:
        raise SystemExit(1)


def _audited(source: Source, record: Mapping[str, Any] | None, phases: Phases) -> AuditContent:
    passing, found = _Passing(), []
    for fold, slices in source.parts.items():
        of_fold = "" if fold is None else f", fold {fold}"
        phases.begin(f"looking at slices{of_fold}")
        items = passing.watch(fold, slices(phases.advance), partial(phases.begin, f"comparing them{of_fold}"))
        found.append((fold, audit(items, record)))
    phases.begin("page")
    alone = len(passing.groups) == len(passing.pictures)
    return AuditContent(
        name=source.name,
        parts=tuple(passing.parts),
        told=merged(found),
        unchecked=source.unchecked,
        volumes=passing.volumes,
        pictures=passing.pictures,
        notices=(*source.notices, *([_UNTOLD] if alone else [])),
        provenance=Provenance(
            version=__version__,
            command="study audit",
            settings=source.settings,
            model="none",
            recipe=None,
            seed=None,
            data=source.data,
            machine=this_machine(),
        ),
        seconds=dict(phases.seconds),
    )


def _tell(content: AuditContent, output: Path) -> None:
    """A line for each kind, then the verdict."""
    for kind, number in content.numbers.items():
        hint = ", a hint and no leak" if kind == HINT else ""
        sys.stdout.write(f"{kind}: {'not looked for' if number is None else number}{hint}\n")
    verdict = f"{content.leaks} leak{'s' * (content.leaks > 1)}" if content.leaks else "no leak found"
    sys.stdout.write(f"{verdict}; page: {output / 'page.html'}\n")
