import numpy as np
import pytest

from groundglass.errors import UsageError
from groundglass.evaluation.conventions import RULES, Convention, Scored, sample
from groundglass.evaluation.metrics import METRICS, Evidence, examine, examine_curve, value
from groundglass.evaluation.overlap import Counts

KNOWN = np.ones((3, 6, 6), bool)


def image(name, counts, group=None, **alone):
    return Scored(name, group or name, "infection", {"fixed": Evidence(Counts(*counts), alone=alone)})


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("cut", ["", "curve+", "adaptive+"])
@pytest.mark.parametrize("background", ["", "+background"])
def test_a_convention_is_called_what_it_is_parsed_from(rule, cut, background):
    text = f"{cut}{rule}{background}"
    if cut == "curve+" and rule in ("pooled", "patient", "volume"):
        with pytest.raises(UsageError, match="a curve is of one image"):
            Convention.parse(text)
    else:
        assert Convention.parse(text).name == text


def test_a_cut_alone_is_as_in_inf_nets_evaluator():
    assert Convention.parse("curve").name == "curve+empty-zero"
    assert Convention.parse("adaptive").name == "adaptive+empty-zero"


@pytest.mark.parametrize("text", ["", "background", "present+present", "curve+adaptive+present", "fixed"])
def test_what_is_no_convention(text):
    with pytest.raises(UsageError, match="no convention"):
        Convention.parse(text)


def test_a_distance_is_no_share():
    images = [
        image("there", (4, 1, 1, 9), hausdorff_95=2.0),
        image("missed", (0, 0, 2, 9), hausdorff_95=None),
        image("healthy", (0, 0, 0, 9), hausdorff_95=None),
    ]
    drawn = {rule: sample("hausdorff_95", images, images, Convention(rule)).values for rule in RULES}
    assert drawn["present"] == drawn["defined"] == drawn["volume"] == (2.0,)
    # no number is right for an empty image, and distances of several cannot be pooled
    assert drawn["empty-zero"] == drawn["empty-one"] == drawn["pooled"] == drawn["patient"] == ()


def test_pooling_is_exact_whatever_the_order():
    images = [image("a", (1, 2, 3, 4)), image("b", (5, 0, 1, 2)), image("c", (0, 3, 0, 9))]
    # both 6, found only 5, true only 4
    assert sample("dice", images, (), Convention("pooled")).values == (pytest.approx(12 / 21),)
    assert sample("dice", images[::-1], (), Convention("pooled")).values == (pytest.approx(12 / 21),)
    assert sample("dice", (), (), Convention("pooled")).mean is None


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_has_its_best_value_for_the_truth_itself(name):
    true = np.zeros((3, 6, 6), bool)
    true[1, 1:4, 2:5] = True
    evidence = examine(true, true, KNOWN, [name], (2.0, 1.0, 1.0), true.astype(np.float32))
    plane = examine(true[1], true[1], KNOWN[1], [name], (2.0, 1.0, 1.0), true[1].astype(np.float32))
    for told in (plane, evidence) if name != "s_measure" else (plane,):
        best = {"high": 1.0, "low": 0.0, "zero": 0.0}[METRICS[name].better]
        # the E-measure divides by N - 1
        assert value(name, told) == pytest.approx(best, abs=0.04 if name.startswith("e_") else 1e-9)


@pytest.mark.parametrize("name", [name for name, metric in METRICS.items() if metric.of is not None])
def test_every_metric_made_of_sums_is_the_same_for_an_image_pooled_with_its_double(name):
    rng = np.random.default_rng(1)
    true, scores = rng.random((3, 6, 6)) < 0.3, rng.random((3, 6, 6)).astype(np.float32)
    one = examine(scores > 0.5, true, KNOWN, [name], (1.0, 1.0, 1.0), scores)
    twice = 2 if METRICS[name].unit in ("mL", "lesions") else 1
    assert value(name, one + one) == pytest.approx(twice * value(name, one))


@pytest.mark.parametrize("name", METRICS)
def test_what_was_not_measured_is_no_0(name):
    """Of the truth itself no share can be 0: each is 1, nearly 1, or has no number."""
    truth = np.zeros((6, 6), bool)
    truth[2:4, 2:5] = True
    images = [
        Scored(name, group, "infection", {"fixed": examine(truth, truth, KNOWN[0], [metric], (2.0, 1.0, 1.0), scores)})
        for metric, scores in ((name, truth.astype(np.float32)), (name, None))
        for group in ("a", "b")
    ]
    for rule in RULES:
        for chosen in (images[:2], images[2:]):
            drawn = sample(name, chosen, chosen, Convention(rule)).values
            assert not METRICS[name].is_share or all(number > 0.9 for number in drawn), rule


def test_a_curve_says_nothing_of_what_is_not_cut():
    truth = np.eye(6, dtype=bool)
    image = Scored("a", "a", "infection", {"curve": examine_curve(truth.astype(np.float32), truth, KNOWN[0])})
    told = {name: sample(name, [image], [image], Convention("present", "curve")).mean for name in METRICS}
    assert told["accuracy"] == pytest.approx((255 + 6 / 36) / 256)  # all is found at the last threshold
    assert {name for name, mean in told.items() if mean is not None} == {
        "dice", "iou", "precision", "recall", "specificity", "accuracy", "s_measure", "e_mean", "e_max",
        "mean_absolute_error",
    }  # fmt: skip


def test_unknown_pixels_do_not_change_what_is_said_of_the_others():
    rng = np.random.default_rng(0)
    truth, scores = rng.random((8, 8)) < 0.3, rng.random((8, 8)).astype(np.float32) * 0.8
    known = np.ones((8, 8), bool)
    known[:, 6:] = False
    wide, narrow = examine_curve(scores, truth, known), examine_curve(scores[:, :6], truth[:, :6], known[:, :6])
    for name in ("dice", "specificity", "e_mean", "e_max", "mean_absolute_error"):
        assert wide.alone[name] == pytest.approx(narrow.alone[name]), name


@pytest.mark.parametrize("text", ["present", "defined", "empty-zero", "empty-one"])
def test_counts_of_single_images_make_these(text):
    assert Convention.parse(text).is_of_counts
    assert not Convention.parse(f"{text}+background").is_of_counts
    assert not Convention.parse(f"curve+{text}").is_of_counts


@pytest.mark.parametrize("text", ["pooled", "patient", "volume", "adaptive"])
def test_counts_of_single_images_do_not_make_these(text):
    assert not Convention.parse(text).is_of_counts
