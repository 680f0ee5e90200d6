import numpy as np
import pytest
from scipy import stats

from groundglass.evaluation.conventions import Convention
from groundglass.evaluation.evaluator import Setup, evaluate, targets_of
from groundglass.evaluation.metrics import METRICS
from groundglass.evaluation.pairs import DEFAULT_CODES, Pair, parse_codes
from groundglass.evaluation.side_by_side import amounts, best_of, difference, items, most_different, place_of, tables

TABLE = parse_codes(DEFAULT_CODES)
SETS = np.array([1, 2, 4, 8, 15], np.uint8)  # the label set of each code; 4 here: nobody knows


def sets(*slices):
    """Label sets [z, 1, x] of slices written as codes."""
    return SETS[np.array([[[int(code) for code in text.split()]] for text in slices])]


def scored(found, truth, *, metrics=("dice",), conventions=("present",), groups=None, spacing=None, region="infection"):
    """The scores of one method: name -> slices found and true."""
    pairs = [
        Pair(name, (groups or {}).get(name, name), sets(*truth[name]), sets(*slices), None, spacing)
        for name, slices in found.items()
    ]
    asked = tuple(Convention.parse(text) for text in conventions)
    return evaluate(pairs, Setup(targets_of([TABLE], [region]), tuple(metrics), asked))


TRUTH = {name: ["2 2 0 0"] for name in "abc"}
# Dice 1, 2/3, 0 and 1, 1, 2/3
WEAK = {"a": ["2 2 0 0"], "b": ["2 0 0 0"], "c": ["0 0 0 0"]}
GOOD = {"a": ["2 2 0 0"], "b": ["2 2 0 0"], "c": ["2 0 0 0"]}


def test_differences_from_the_first_method_by_hand():
    methods = {"weak": WEAK, "good": GOOD, "weak again": WEAK}
    (table,) = tables({name: scored(found, TRUTH) for name, found in methods.items()})
    (column,) = table.columns
    weak, good, again = column.cells
    assert (table.region, column.metric, column.convention, column.number) == ("infection", "dice", "present", 3)
    assert (weak.mean.mean, good.mean.mean) == (pytest.approx(5 / 9), pytest.approx(8 / 9))
    assert [cell.best for cell in column.cells] == [False, True, False]
    assert weak.difference is weak.t_p is weak.wilcoxon_p is None
    # differences 0, 1/3, 2/3: mean 1/3, standard deviation 1/3, t = sqrt(3); p of t with 2 degrees of freedom is
    # 1 - t / sqrt(2 + t²) = 1 - sqrt(3/5); the half width of the interval is t_{0.975, 2} / 3 / sqrt(3)
    told = good.difference
    assert (told.mean_difference, told.effect_size, told.pairs) == (pytest.approx(1 / 3), pytest.approx(1), 3)
    assert told.t_p == pytest.approx(1 - 0.6**0.5)
    assert told.ci_high - 1 / 3 == pytest.approx(4.302653 / 3 / 3**0.5, rel=1e-6)
    # two tests in this table: twice the smaller p; the other method is the same, so its p is 1
    assert good.t_p == pytest.approx(2 * (1 - 0.6**0.5))
    assert (again.difference.mean_difference, again.t_p, again.wilcoxon_p) == (0, 1, 1)


def test_correction_runs_over_all_columns_of_a_region():
    scores = {
        name: scored(found, TRUTH, metrics=("dice", "iou", "recall")) for name, found in (("w", WEAK), ("g", GOOD))
    }
    (table,) = tables(scores)
    raw = [column.cells[1].difference.t_p for column in table.columns]
    # IoU and recall differ by 0, 1/2, 1/2; Dice has the smaller p by hand: sqrt(3) against 2
    assert raw == [pytest.approx(1 - 0.6**0.5), *[pytest.approx(1 - 2 / 6**0.5)] * 2]
    assert [column.cells[1].t_p for column in table.columns] == pytest.approx([3 * raw[1]] * 3)


def test_images_of_a_group_are_one_pair():
    rng = np.random.default_rng(0)
    names = [str(number) for number in range(24)]
    groups = {name: f"p{int(name) % 8}" for name in names}
    truth = {name: ["2 2 2 2 2 2 2 2"] for name in names}
    found = [
        {name: [" ".join("2" if on else "0" for on in rng.random(8) < share)] for name in names} for share in (0.5, 0.8)
    ]
    one, other = (scored(part, truth, groups=groups) for part in found)
    told = tables({"one": one, "other": other})[0].columns[0].cells[1].difference
    dice = np.array(
        [[2 * n / (8 + n) for n in (part[name][0].count("2") for name in names)] for part in found]
    )  # image k is of patient k mod 8
    patients = dice.reshape(2, 3, 8).mean(axis=1)
    assert told.pairs == 8
    assert told.t_p == pytest.approx(stats.ttest_rel(patients[1], patients[0]).pvalue)
    assert told.wilcoxon_p == pytest.approx(stats.wilcoxon(patients[1] - patients[0]).pvalue)
    assert told.mean_difference == pytest.approx((dice[1] - dice[0]).mean())


def test_slices_of_a_scan_are_one_pair_even_without_groups():
    truth = {"a": ["2 2", "2 2"], "b": ["2 2", "2 2"]}
    one = scored({"a": ["2 0", "2 0"], "b": ["2 0", "2 0"]}, truth)
    other = scored({"a": ["2 2", "2 0"], "b": ["2 2", "2 2"]}, truth)
    told = tables({"one": one, "other": other})[0].columns[0].cells[1]
    # a: (1/3 + 0) / 2, b: 1/3, mean 1/4
    assert (told.difference.pairs, told.difference.mean_difference) == (2, pytest.approx(1 / 4))
    assert told.mean.n == 4


def test_only_images_with_a_number_of_both_are_paired():
    scores = {
        name: scored(found, TRUTH, metrics=("precision",), conventions=("defined",))
        for name, found in (("weak", WEAK), ("good", GOOD))
    }
    (column,) = tables(scores)[0].columns
    assert [cell.mean.n for cell in column.cells] == [2, 3]  # weak found nothing in c
    assert column.number is None
    assert column.cells[1].difference.pairs == 2
    assert difference({"a": (1.0, "a")}, {"b": (1.0, "b")}) is None


@pytest.mark.parametrize(
    ("convention", "expected"),
    [
        ("present", {"a#1": (2 / 3, "p"), "a#2": (1.0, "p"), "b": (0.0, "q")}),
        ("volume", {"a": (0.8, "p"), "b": (0.0, "q")}),  # a: 2·2 / (2 + 3)
        ("patient", {"p": (0.8, "p"), "q": (0.0, "q")}),
        ("pooled", {"all": (4 / 6, "all")}),  # 2·2 / (2 found + 4 true)
    ],
)
def test_what_a_convention_averages(convention, expected):
    truth = {"a": ["2 2", "2 0"], "b": ["2 0"]}
    found = {"a": ["2 0", "2 0"], "b": ["0 0"]}
    scores = scored(found, truth, conventions=(convention,), groups={"a": "p", "b": "q"})
    drawn = items(scores, "infection", "dice", Convention.parse(convention))
    assert {name: group for name, (_, group) in drawn.items()} == {name: group for name, (_, group) in expected.items()}
    assert [value for value, _ in drawn.values()] == pytest.approx([value for value, _ in expected.values()])


@pytest.mark.parametrize("convention", ["present", "empty-one", "defined", "pooled", "patient", "volume"])
def test_values_make_the_mean_that_evaluate_says(convention):
    truth = {"a": ["2 2", "2 0"], "b": ["2 0"], "c": ["0 0"]}
    found = {"a": ["2 0", "2 0"], "b": ["0 0"], "c": ["0 0"]}
    scores = scored(found, truth, conventions=(convention,), groups={"a": "p", "b": "p", "c": "q"})
    for cell in tables({"one": scores, "other": scores})[0].columns[0].cells:
        assert np.mean(cell.values) == pytest.approx(cell.mean.mean)
        assert len(cell.values) == cell.mean.n


def test_the_mean_over_classes_has_no_test():
    targets = targets_of([TABLE], ["ground_glass", "consolidation"])
    pair = Pair("a", "a", sets("2 2 3 3"), sets("2 0 3 3"), None, None)
    scores = evaluate([pair], Setup(targets, ("dice",), (Convention.parse("present"),)))
    overall = tables({"one": scores, "other": scores})[-1]
    assert (overall.region, overall.title) == ("overall", "Mean over classes")
    cell = overall.columns[0].cells[1]
    assert cell.mean.mean == pytest.approx((2 / 3 + 1) / 2)
    assert (cell.values, cell.difference, cell.t_p) == ((), None, None)


@pytest.mark.parametrize(
    ("metric", "means", "best"),
    [
        ("dice", {"a": 0.7, "b": 0.8}, {"b"}),
        ("hausdorff_95", {"a": 7.0, "b": 8.0}, {"a"}),
        ("volume_difference", {"a": -1.0, "b": 0.5, "c": -0.4}, {"c"}),
        ("dice", {"a": 0.7, "b": 0.80001, "c": 0.80002}, {"b", "c"}),  # both are shown as 0.800
        ("dice", {"a": 0.7, "b": 0.7}, set()),
        ("dice", {"a": None, "b": None}, set()),
        ("dice", {"a": None, "b": 0.7, "c": 0.6}, {"b"}),
    ],
)
def test_the_best(metric, means, best):
    assert metric in METRICS
    assert best_of(metric, means) == best


def test_amounts_are_millilitres_of_a_file_where_its_voxels_have_a_size():
    # voxels of 10 x 10 x 5 mm are 0.5 mL; in two slices 3 are found and 2 true
    truth, found = {"a": ["2 0 0", "2 0 0"]}, {"a": ["2 2 0", "2 0 0"]}
    (told,) = amounts({"one": scored(found, truth, spacing=(5.0, 10.0, 10.0))})
    assert (told.title, told.unit, told.of_method) == ("Infection", "mL", {"one": ([1.5], [1.0])})


def test_amounts_of_pictures_are_percent_of_the_known_pixels():
    # 4 of 5 are known; 1 of them found, 2 true
    (told,) = amounts({"one": scored({"a": ["2 0 0 0 2"]}, {"a": ["2 2 0 0 4"]})})
    assert (told.unit, told.of_method) == ("% of the pixels", {"one": ([25.0], [50.0])})


def test_most_different_images_and_who_found_what_is_not_there():
    truth = {"a": ["2 2 0 0"], "b": ["0 0 0 0"], "c": ["2 2 0 0"], "d": ["0 0 0 0"]}
    one = scored({"a": ["2 0 0 0"], "b": ["0 0 0 0"], "c": ["2 2 0 0"], "d": ["0 0 0 0"]}, truth)
    other = scored({"a": ["2 2 0 0"], "b": ["0 0 0 2"], "c": ["2 2 0 0"], "d": ["0 0 0 0"]}, truth)
    chosen = most_different({"one": one, "other": other}, "infection", 6)
    assert [image for image, _ in chosen] == ["b", "a"]
    assert chosen[0][1] == {"one": 1.0, "other": 0.0}
    assert most_different({"one": one, "other": other}, "infection", 1) == chosen[:1]


def test_the_slice_of_an_image():
    assert place_of("a#3", {"a"}) == ("a", 2)
    assert place_of("a#3", {"a#3"}) == ("a#3", 0)
