"""docs/results.md says what the rows in results/ say."""

from collections.abc import Sequence
from pathlib import Path

from groundglass.evaluation.conventions import Convention
from groundglass.evaluation.labels_needed import labels_needed
from groundglass.evaluation.trials import ALL, Row, entries, read_rows
from groundglass.report.study import markdown, needed, overview

HERE = Path(__file__).parents[1]
RESULTS, PAGE = HERE / "results" / "peers_covid_semiseg.csv", HERE / "docs" / "results.md"
PRESENT = Convention.parse("present")
FEW, FOLD = ("5", "10", "20"), 40  # labels, and those that a fold leaves


def in_the_studys_order(rows: Sequence[Row], names: Sequence[str], labels: Sequence[str]) -> list[Row]:
    """Of the seeds and folds that every recipe has been run on by every number of labels: more may be under way."""
    rows = [row for row in rows if row.trial.recipe in names and row.trial.labels in labels]
    run = {(name, number): set[tuple[int, int]]() for name in names for number in labels}
    for row in rows:
        run[row.trial.recipe, row.trial.labels].add((row.trial.seed, row.trial.fold))
    whole = set.intersection(*run.values())
    assert whole
    rows = [row for row in rows if (row.trial.seed, row.trial.fold) in whole]
    return sorted(rows, key=lambda row: names.index(row.trial.recipe))


def lines_of(*texts: str) -> list[str]:
    return [line for text in texts for line in text.splitlines() if line.startswith("|")]


def tables() -> list[str]:
    files = [file for folder in ("peers", "systems") for file in sorted((HERE / "recipes" / folder).glob("*.toml"))]
    rows = read_rows(RESULTS)
    of_all = entries(in_the_studys_order(rows, ["supervised", *(file.stem for file in files)], [ALL]), "dice", PRESENT)
    few = in_the_studys_order(rows, ["supervised", "from_phantoms"], [*FEW, ALL])
    of_few = entries(few, "dice", PRESENT)
    return [
        *(text for table in (of_all, of_few) for text in (overview(table, ""), markdown(table, ""))),
        needed(labels_needed(few, "dice", PRESENT, FOLD), "supervised"),
    ]


def test_the_page_has_the_tables_that_the_rows_make():
    made = lines_of(*tables())
    assert len(made) > 80
    assert lines_of(PAGE.read_text(encoding="utf-8")) == made
