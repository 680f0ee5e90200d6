import numpy as np
import pytest

from groundglass.errors import UsageError
from groundglass.evaluation.conventions import RULES, Convention, Scored, sample
from groundglass.evaluation.metrics import METRICS, Evidence, examine, value
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
