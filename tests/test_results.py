"""docs/results.md says what the rows in results/ say."""

from pathlib import Path

from groundglass.evaluation.conventions import Convention
from groundglass.evaluation.trials import ALL, Row, entries, read_rows
from groundglass.report.study import markdown, overview

HERE = Path(__file__).parents[1]
RESULTS, PAGE = HERE / "results" / "peers_covid_semiseg.csv", HERE / "docs" / "results.md"


def in_the_studys_order(rows: list[Row]) -> list[Row]:
    """By all labels, of the seeds and folds that every recipe has been run on: more may be under way."""
    files = [file for folder in ("peers", "systems") for file in sorted((HERE / "recipes" / folder).glob("*.toml"))]
    names = ["supervised", *(file.stem for file in files)]
    rows = [row for row in rows if row.trial.labels == ALL]
    run = {name: {(row.trial.seed, row.trial.fold) for row in rows if row.trial.recipe == name} for name in names}
    whole = set.intersection(*run.values())
    rows = [row for row in rows if (row.trial.seed, row.trial.fold) in whole]
    return sorted(rows, key=lambda row: names.index(row.trial.recipe))


def lines_of(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("|")]


def test_the_page_has_the_tables_that_the_rows_make():
    table = entries(in_the_studys_order(read_rows(RESULTS)), "dice", Convention.parse("present"))
    made = [lines_of(text) for text in (overview(table, "heading"), markdown(table, "heading"))]
    assert len(made[0]) > 16
    assert lines_of(PAGE.read_text(encoding="utf-8")) == [*made[0], *made[1]]
