from dataclasses import replace

import pytest

from groundglass.errors import ReadError, UsageError
from groundglass.evaluation.conventions import Convention
from groundglass.evaluation.overlap import Counts
from groundglass.evaluation.trials import Row, Trial, done, entries, read_rows, values_of, write_rows
from groundglass.report.study import curve, markdown, overview

FIRST = Trial("first", "a" * 16, "d" * 16, 0, 0, "all")


def row(value, slice_="s1", group="g1", recipe="first", seed=0, labels="all", region="infection"):
    """A row with a Dice of ``value`` tenths: 2 v / (2 v + 2 (10 - v)) = v / 10."""
    trial = replace(FIRST, recipe=recipe, digest=recipe.ljust(16), seed=seed, labels=labels)
    return Row(trial, 1.5, slice_, group, region, Counts(value, 10 - value, 10 - value, 80))


def test_rows_survive_their_file(tmp_path):
    rows = [row(3), row(4, "s,2", 'g"2"', seed=1, labels="20")]
    write_rows(tmp_path / "results.csv", rows)
    assert read_rows(tmp_path / "results.csv") == rows
    assert read_rows(tmp_path / "absent.csv") == []


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "\xff"])
def test_what_is_no_table_of_results(tmp_path, text):
    (tmp_path / "results.csv").write_text(text, encoding="latin-1")
    with pytest.raises(ReadError, match="no table of results"):
        read_rows(tmp_path / "results.csv")


def test_seeds_are_averaged_within_a_slice_and_pairs_are_groups():
    rows = [
        *(row(value, "s1", "g1", seed=seed) for seed, value in enumerate((2, 4))),  # 0.3
        *(row(value, "s2", "g1", seed=seed) for seed, value in enumerate((5, 5))),  # 0.5; g1: 0.4
        *(row(value, "s3", "g2", seed=seed) for seed, value in enumerate((6, 8))),  # 0.7
        *(row(value + 1, name, group, "second", seed) for seed in (0, 1)
          for value, name, group in ((3, "s1", "g1"), (5, "s2", "g1"), (8, "s3", "g2"))),  # 0.4, 0.6; 0.9
    ]  # fmt: skip
    first, second = entries(rows, "dice", Convention("present"))
    assert first.score.mean == pytest.approx((0.3 + 0.5 + 0.7) / 3)
    assert (first.score.n, first.score.units) == (3, 2)
    assert first.seed_means == {0: pytest.approx((0.2 + 0.5 + 0.6) / 3), 1: pytest.approx((0.4 + 0.5 + 0.8) / 3)}
    assert first.against_first is None
    # g1: 0.5 less 0.4; g2: 0.9 less 0.7
    assert second.against_first.mean_difference == pytest.approx((0.1 + 0.2) / 2)
    assert second.against_first.pairs == 2
    assert first.minutes == 1.5


def test_p_values_are_corrected_over_the_recipes_of_a_region_and_of_no_other():
    def rows_of(recipe, values, region):
        return [row(value, f"s{n}", f"g{n}", recipe, region=region) for n, value in enumerate(values)]

    rows = [
        *(one for region in ("infection", "ground_glass") for one in rows_of("first", (1, 2, 3, 4), region)),
        *(one for region in ("infection", "ground_glass") for one in rows_of("near", (3, 3, 5, 4), region)),
        *rows_of("far", (5, 7, 7, 9), "infection"),
    ]
    table = entries(rows, "dice", Convention("present"))
    found = {(entry.recipe, entry.region): entry for entry in table}
    far, near = found["far", "infection"], found["near", "infection"]
    assert far.against_first.t_p < near.against_first.t_p
    assert far.t_p == pytest.approx(2 * far.against_first.t_p)  # the smaller of two
    assert near.t_p == pytest.approx(near.against_first.t_p)
    assert far.wilcoxon_p == pytest.approx(2 * far.against_first.wilcoxon_p)
    alone = found["near", "ground_glass"]
    assert alone.t_p == alone.against_first.t_p == near.t_p
    assert found["first", "infection"].t_p is None
    assert f"| {far.t_p:.3f} | {far.wilcoxon_p:.3f} |" in markdown(table, "toy")


def test_the_table_has_the_numbers_of_labels_in_order_and_a_curve():
    rows = [row(v, f"s{n}", f"g{n}", recipe, labels=labels) for n in range(3) for recipe in ("first", "<b>")
            for v, labels in ((7, "all"), (3, "5"), (5, "20"))]  # fmt: skip
    table = entries(rows, "dice", Convention("present"))
    assert list(dict.fromkeys(entry.labels for entry in table)) == ["5", "20", "all"]
    text = markdown(table, "toy, Dice, convention present")
    assert "toy, Dice, convention present" in text
    assert "| 20 | Infection | first | 0.500" in text
    drawn = curve(table, "toy")
    assert drawn.count("<circle") == 6
    assert "<b>" not in drawn
    assert "&lt;b&gt;" in drawn


def test_a_region_that_no_slice_has_is_said_to_have_no_score():
    empty = replace(row(3), counts=Counts(0, 0, 0, 100))
    (entry,) = entries([empty], "dice", Convention("present"))
    assert entry.score is None
    assert "| - |" in markdown([entry], "toy")


def test_the_overview_has_a_row_a_recipe_and_a_column_a_region():
    """Two slices of Dice 0.4 and 0.6 in two groups, and one of 0.2 that alone has another region."""
    rows = [row(4), row(6, "s2", "g2"), row(2, region="consolidation"), row(7, recipe="second")]
    table = entries(rows, "dice", Convention("present"))
    *_, first, second = overview(table, "toy").splitlines()
    assert first.startswith("| all | first | 0.500")
    assert first.endswith("| 0.200 | 1.5 |")
    assert second == "| all | second | 0.700 | - | 1.5 |"


def test_what_is_done_was_tested_on_the_same_slices():
    rows = [row(3, "s1"), row(4, "s2"), row(4, "s2", region="ground_glass"), row(5, "s3", seed=1)]
    first, other = replace(FIRST, recipe="another name", digest=rows[0].trial.digest), replace(FIRST, seed=7)
    assert done(rows, {first: ("s1", "s2"), other: ("s1",)}) == {first}
    with pytest.raises(UsageError, match="another name on fold 0 are of other slices than this split tests there"):
        done(rows, {first: ("s1",)})
    with pytest.raises(UsageError, match="Take the split that they were made with"):
        done(rows, {first: ("s1", "s2", "s3")})


def test_a_slice_with_rows_of_several_folds_has_their_mean():
    rows = [replace(row(v, "s1"), trial=replace(FIRST, fold=fold)) for fold, v in enumerate((2, 9, 9))]
    rows.append(row(4, "s2"))
    assert values_of(rows, "dice", Convention("present")) == {
        ("s1", 0): ("g1", pytest.approx(2.0 / 3)),
        ("s2", 0): ("g1", pytest.approx(0.4)),
    }
