from dataclasses import replace

import pytest

from groundglass.evaluation.cells import cell, difference, tell
from groundglass.evaluation.conventions import Convention
from groundglass.evaluation.overlap import Counts
from groundglass.evaluation.published import Measured, Paper, Scale, Table
from groundglass.evaluation.published import Row as Printed
from groundglass.evaluation.trials import Row, read_rows, write_rows
from tests.evaluation.test_trials import FIRST, row

PRESENT = Convention("present")
LESIONS = Measured(title="", regions=["ground_glass", "consolidation"])
ONE = Measured(title="", regions=["infection"])


def test_eq_12_and_13_by_hand():
    # 0.2, 0.4, 0.6: mean 0.4, sample deviation 0.2, standard error 0.2 / sqrt(3)
    told = cell([row(v, f"s{v}", f"g{v}") for v in (2, 4, 6)], ONE, PRESENT)
    assert told.mean == pytest.approx(0.4)
    assert told.margin == pytest.approx(1.96 * 0.2 / 3**0.5)
    assert told.seeds is None
    assert cell([row(2)], ONE, PRESENT).margin is None
    assert cell([], ONE, PRESENT) is None


def test_several_regions_are_a_mean_of_means_however_many_slices_each_has():
    rows = [
        *(row(v, f"s{v}", region="ground_glass") for v in (2, 4, 6)),  # 0.4
        row(8, "s2", region="consolidation"),
        replace(row(0, "s4", region="consolidation"), counts=Counts(0, 0, 0, 9)),  # 0/0: left out
    ]
    for rule in ("present", "defined"):
        told = cell(rows, LESIONS, Convention(rule))
        assert told.mean == pytest.approx((0.4 + 0.8) / 2)
        assert told.margin is None  # of one slice there is none


def test_slices_that_have_nothing_of_a_column_are_not_counted():
    rows = [row(2, "s1", "g1"), row(4, "s2", "g2"), replace(row(0, "s3", "g3"), counts=Counts(0, 0, 0, 9))]
    table = Table(title="T", row=[Printed(label="a", recipe="a")])
    paper = Paper(title="P", measured=[ONE], scales={"full": Scale(recipes=["x"], size=64)}, table=[table])
    for convention, counted in (("present", (2, 2)), ("empty-one", (3, 3))):
        (told,) = tell(paper.model_copy(update={"convention": convention}), table, {"a": rows}, {})
        assert told.slices == counted


def test_seeds_are_averaged_in_a_slice_and_their_own_means_spread():
    rows = [row(v, name, seed=seed) for name, values in (("a", (2, 4)), ("b", (6, 8))) for seed, v in enumerate(values)]
    told = cell(rows, ONE, PRESENT)
    assert told.mean == pytest.approx(0.5)
    assert told.margin == pytest.approx(1.96 * (0.08 / 2) ** 0.5)  # of 0.3 and 0.7
    assert told.seeds == pytest.approx(0.02**0.5)  # of 0.4 and 0.6


def test_a_metric_of_the_map_is_read_from_its_column():
    rows = [replace(row(2, name), values={"roc_auc": value}) for name, value in (("a", 0.5), ("b", 1.0), ("c", None))]
    told = cell(rows, Measured(title="", metric="roc_auc", regions=["infection"]), Convention("defined"))
    assert told.mean == 0.75


def test_a_pair_is_a_group_and_has_the_mean_of_its_regions():
    def both(recipe, less):
        return [
            row(5 - less, "s1", "g1", recipe, region="ground_glass"),
            row(7 - less, "s2", "g1", recipe, region="ground_glass"),
            row(9 - 2 * less, "s1", "g1", recipe, region="consolidation"),
            row(4, "s3", "g2", recipe, region="ground_glass"),
        ]

    # g1: ground glass 0.1 less, consolidation 0.2 less; g2: as before
    told = difference(both("second", 1), both("first", 0), LESIONS, PRESENT)
    assert told.pairs == 2
    assert told.mean_difference == pytest.approx(-(0.15 + 0.0) / 2)
    assert difference(both("second", 1), [], LESIONS, PRESENT) is None


def test_slices_that_were_trained_on_count_where_a_column_says_so():
    too = Measured(title="too", regions=["infection"], slices="both")
    table = Table(title="T", row=[Printed(label="a", recipe="a"), Printed(label="b", recipe="b", against="a"),
                                  Printed(label="rival")])  # fmt: skip
    paper = Paper(title="P", measured=[ONE, too], scales={"full": Scale(recipes=["x"], size=64)}, table=[table])
    held_out = {"a": [row(2, "s1", "g1")], "b": [row(4, "s1", "g1")]}
    trained = {"a": [row(8, "s2", "g2")], "b": [row(8, "s2", "g2")]}
    a, b, rival = tell(paper, table, held_out, trained)
    assert [one.mean for one in a.cells] == [pytest.approx(0.2), pytest.approx(0.5)]
    assert a.differences == (None, None)
    assert [one.mean_difference for one in b.differences] == [pytest.approx(0.2), pytest.approx(0.1)]
    assert (a.slices, rival.slices) == ((1, 1), (0, 0))
    assert rival.cells == (None, None)


def test_a_table_may_be_of_the_slices_that_were_trained_on():
    table = Table(title="T", slices="trained", row=[Printed(label="a", recipe="a")])
    both = ONE.model_copy(update={"slices": "both"})
    paper = Paper(title="P", measured=[ONE, both], scales={"full": Scale(recipes=["x"], size=64)}, table=[table])
    assert paper.trained_too
    (told,) = tell(paper, table, {"a": [row(2, "s1")]}, {"a": [row(6, "s2"), row(8, "s3", "g2")]})
    assert [one.mean for one in told.cells] == [pytest.approx(0.7), pytest.approx(1.6 / 3)]
    assert told.slices == (2, 2)


def test_behind_a_mean_may_stand_the_populations_deviation():
    """Of 0.2, 0.4 and 0.6: the root of 0.08 / 3."""
    told = cell([row(v, f"s{v}", f"g{v}") for v in (2, 4, 6)], ONE, PRESENT, "deviation")
    assert told.margin == pytest.approx((0.08 / 3) ** 0.5)


def test_a_file_tells_what_was_not_measured_from_what_is_0_by_0(tmp_path):
    told = [{"roc_auc": 0.5}, {"roc_auc": None}, {}]
    rows = [Row(FIRST, 1.0, "s", "g", "infection", Counts(1, 1, 1, 1), values) for values in told]
    write_rows(tmp_path / "results.csv", rows)
    assert [one.values for one in read_rows(tmp_path / "results.csv")] == told
    assert cell([rows[2]], Measured(title="", metric="roc_auc", regions=["infection"]), PRESENT) is None


def test_a_mean_of_classes_is_of_all_of_them_or_there_is_none():
    """A network that never finds consolidation has no precision there, and none overall."""
    precision = LESIONS.model_copy(update={"metric": "precision"})
    rows = [row(5, "s1", region="ground_glass"), replace(row(0, region="consolidation"), counts=Counts(0, 0, 5, 9))]
    assert cell(rows, precision, Convention("defined")) is None
    found = [*rows, *(replace(one, trial=replace(one.trial, seed=1)) for one in rows[:1]),
             row(7, seed=1, region="consolidation")]  # fmt: skip
    told = cell(found, precision, Convention("defined"))
    assert told.mean == pytest.approx((0.5 + 0.7) / 2)
    assert told.seeds is None  # seed 0 has no number
