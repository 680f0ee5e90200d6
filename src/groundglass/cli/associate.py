"""``groundglass study associate``: lesion burden against what is known of patients."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from groundglass.cli.associate_tables import join, parse_orders, read_table
from groundglass.errors import UsageError
from groundglass.evaluation.association import associate
from groundglass.io import OutputFolder
from groundglass.io.files import shown
from groundglass.report.association import CAVEAT, Content, render, table_csv, told


def run_associate(
    measurements: Path,
    clinical: Path,
    output: Path,
    key: str | None,
    burden: str | None,
    covariates: Sequence[str],
    orders: Sequence[str],
) -> None:
    """Correlate and regress; write ``associations.csv`` and ``page.html``. No name of a patient is in them.

    Raises:
        GroundglassError: tables that cannot be read or joined, or too little in them.
    """
    for path in (measurements, clinical):
        if not path.is_file():
            raise UsageError(
                f"There is no table {shown(path.name)}.", expected="a CSV", remedy="Check its path for a misspelling."
            )
    joined = join(read_table(measurements), read_table(clinical), key, burden, covariates, parse_orders(orders))
    content = Content(
        burden_name=shown(joined.burden_name),
        burden=joined.burden,
        covariates=joined.covariates,
        found=associate(joined.burden, joined.covariates),
        notes=tuple(notice.text for notice in joined.notices),
    )
    with OutputFolder(output) as results:
        for name, make in (("associations.csv", table_csv), ("page.html", render)):
            results.path(name).write_text(make(content), encoding="utf-8", newline="\n")
    for line in told(content):
        sys.stdout.write(f"{line}\n")
    for note in (*content.notes, CAVEAT):
        sys.stderr.write(f"note: {note}\n")
