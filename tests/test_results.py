"""docs/results.md says what the rows in results/ say."""

from pathlib import Path

import pytest

from groundglass.evaluation.conventions import Convention
from groundglass.evaluation.trials import ALL, Row, entries, read_rows
from groundglass.report.study import markdown, overview

HERE = Path(__file__).parents[1]
RESULTS, PAGE = HERE / "results" / "peers_covid_semiseg.csv", HERE / "docs" / "results.md"


def in_the_studys_order(rows: list[Row]) -> list[Row]:
    """Of the seeds and folds that every recipe has been run on: more may be under way."""
    files = [file for folder in ("peers", "systems") for file in sorted((HERE / "recipes" / folder).glob("*.toml"))]
    names = ["supervised", *(file.stem for file in files)]
    run = {name: {(row.trial.seed, row.trial.fold) for row in rows if row.trial.recipe == name} for name in names}
    whole = set.intersection(*run.values())
    rows = [row for row in rows if row.trial.labels == ALL and (row.trial.seed, row.trial.fold) in whole]
    return sorted(rows, key=lambda row: names.index(row.trial.recipe))


@pytest.mark.parametrize("made", [overview, markdown])
def test_the_page_has_the_tables_that_the_rows_make(made):
    rows = in_the_studys_order(read_rows(RESULTS))
    text = made(entries(rows, "dice", Convention.parse("present")), "heading")
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len(lines) > 16
    assert set(lines) <= set(PAGE.read_text(encoding="utf-8").splitlines())
