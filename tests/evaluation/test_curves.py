import json
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat

from groundglass.errors import LabelError, UsageError
from groundglass.evaluation.curves import (
    Histogram,
    adaptive_threshold,
    precision_recall,
    roc,
    stretch,
    threshold_curve,
)
from groundglass.evaluation.structure import e_measure_curve
from tests.evaluation.golden.inputs import MAPS, SAMPLED

ANSWERS = json.loads((Path(__file__).parent / "golden" / "answers.json").read_text(encoding="utf-8"))
SCORES, TRUTH = np.array([0.0, 0.2, 0.6, 0.6, 1.0]), np.array([0, 1, 0, 1, 1], bool)
NAMES = ("dice", "iou", "recall", "specificity", "precision")


def test_a_level_holds_what_is_at_least_as_high():
    # five levels: 0, .25, .5, .75, 1
    histogram = Histogram.of(SCORES, TRUTH, levels=5)
    assert histogram.outside.tolist() == [1, 0, 1, 0, 0]
    assert histogram.inside.tolist() == [1, 0, 1, 0, 1]
    inside, outside = histogram.at_least()
    assert inside.tolist() == [1, 1, 2, 2, 3]
    assert outside.tolist() == [0, 0, 1, 1, 2]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("levels", [256, 1024])
def test_an_8_bit_map_loses_nothing(dtype, levels):
    grey = np.arange(256).astype(dtype) / dtype(255)
    histogram = Histogram.of(grey, np.ones(256, bool), levels=levels)
    assert histogram.inside.max() == 1
    if levels == 256:
        assert histogram.inside.min() == 1


def test_roc_by_hand():
    # pairs of the region's 0.2, 0.6, 1 with the others' 0, 0.6: won 1 + 1.5 + 2 of 6
    curve = roc(Histogram.of(SCORES, TRUTH))
    assert curve.area == pytest.approx(4.5 / 6)
    assert (curve.x[0], curve.y[0], curve.x[-1], curve.y[-1]) == (0, 0, 1, 1)


def test_average_precision_by_hand():
    # at 1: recall 1/3, precision 1; at 0.6: 2/3, 2/3; at 0.2: 1, 3/4; at 0: 1, 3/5
    curve = precision_recall(Histogram.of(SCORES, TRUTH))
    assert curve.area == pytest.approx((1 + 2 / 3 + 3 / 4) / 3)
    assert curve.y[-1] == pytest.approx(3 / 5)


def test_thresholds_that_find_nothing_have_no_precision():
    curve = precision_recall(Histogram.of(np.array([0.0, 0.5]), np.array([0, 1], bool), levels=5))
    assert curve.y == pytest.approx([1, 1, 0.5])
    assert curve.area == 1


def test_a_threshold_that_finds_wrongly_alone_has_precision_0():
    curve = precision_recall(Histogram.of(np.array([0.0, 0.5, 1]), np.array([0, 1, 0], bool), levels=3))
    assert (curve.x.tolist(), curve.y) == ([0, 1, 1], pytest.approx([0, 1 / 2, 1 / 3]))
    assert curve.area == pytest.approx(1 / 2)


def test_without_both_classes_there_is_no_curve():
    for truth in (np.zeros(5, bool), np.ones(5, bool), TRUTH):
        known = np.zeros(5, bool) if truth is TRUTH else None
        assert roc(Histogram.of(SCORES, truth, known)) is None
        assert precision_recall(Histogram.of(SCORES, truth, known)) is None


def test_images_pool_by_adding_histograms():
    (first, one), (second, other) = MAPS["good"], MAPS["noisy truth"]
    pooled = Histogram.of(first, one) + Histogram.of(second, other)
    whole = Histogram.of(np.concatenate([first, second]), np.concatenate([one, other]))
    np.testing.assert_array_equal(pooled.inside, whole.inside)
    np.testing.assert_array_equal(pooled.outside, whole.outside)
    with pytest.raises(UsageError, match="256 and 8"):
        pooled + Histogram.of(first, one, levels=8)


def test_unknown_pixels_are_left_out():
    known = np.array([1, 1, 0, 1, 1], bool)
    scores = np.where(known, SCORES, 7.0)
    assert Histogram.of(scores, TRUTH, known).outside.sum() == 1
    expected, found = threshold_curve(SCORES[known], TRUTH[known]), threshold_curve(scores, TRUTH, known)
    np.testing.assert_array_equal(found.dice, expected.dice)
    assert adaptive_threshold(scores, known) == adaptive_threshold(SCORES[known])


@pytest.mark.parametrize("levels", ["256", "1024"])
def test_areas_as_scikit_learn_has_them(levels):
    for name, expected in ANSWERS["ranking"][levels].items():
        histogram = Histogram.of(*MAPS[name], levels=int(levels))
        assert roc(histogram).area == pytest.approx(expected["roc"], abs=1e-9), name
        assert precision_recall(histogram).area == pytest.approx(expected["average_precision"], abs=1e-9), name


def test_stretching_by_hand():
    assert stretch(np.array([0.2, 0.4, 0.6])) == pytest.approx([0, 0.5, 1])
    assert stretch(np.array([0.4, 0.4])).tolist() == [0.4, 0.4]
    assert stretch(np.array([0.2, 0.4, 0.6, 1.0]), np.array([1, 1, 1, 0], bool)) == pytest.approx([0, 0.5, 1, 2])


def test_the_adaptive_threshold_is_twice_the_mean_and_at_most_1():
    assert adaptive_threshold(np.array([0.2, 0.2, 0.2, 0.7])) == pytest.approx(2 * 0.25)
    assert adaptive_threshold(np.array([0.0, 1, 1])) == 1
    assert adaptive_threshold(np.zeros(3)) == 0
    assert adaptive_threshold(np.zeros(0)) is None


def test_the_curve_by_hand():
    # stretched 0, .5, 1, truth 1 0 1: from threshold 255 down to 128 one pixel is found, to 1 two, then all
    curve = threshold_curve(np.array([0.1, 0.3, 0.5]), np.array([1, 0, 1], bool))
    assert curve.thresholds[[0, 127, 255]] == pytest.approx([1, 128 / 255, 0])
    spans = {"one": slice(0, 128), "two": slice(128, 255), "all": slice(255, 256)}
    expected = {
        "one": {"dice": 2 / 3, "iou": 1 / 2, "recall": 1 / 2, "specificity": 1, "precision": 1, "accuracy": 2 / 3},
        "two": {"dice": 2 / 4, "iou": 1 / 3, "recall": 1 / 2, "specificity": 0, "precision": 1 / 2, "accuracy": 1 / 3},
        "all": {"dice": 4 / 5, "iou": 2 / 3, "recall": 1, "specificity": 0, "precision": 2 / 3, "accuracy": 2 / 3},
    }
    for span, values in expected.items():
        for name, value in values.items():
            assert getattr(curve, name)[spans[span]] == pytest.approx(value), (span, name)


def test_without_a_true_positive_all_is_0_even_specificity():
    curve = threshold_curve(np.array([0.0, 0.4, 1]), np.array([0, 1, 0], bool))
    assert all(getattr(curve, name)[0] == 0 for name in NAMES)  # only the third pixel is found
    assert curve.specificity[-2] == pytest.approx(1 / 2)
    curve = threshold_curve(np.array([0.0, 0.4, 1]), np.zeros(3, bool))
    assert not any(getattr(curve, name).any() for name in NAMES)


@pytest.mark.parametrize(("value", "finding"), [(0.0, 1), (0.5, 128), (1.0, 256)])
def test_a_constant_map_finds_everything_from_its_value_downwards(value, finding):
    curve = threshold_curve(np.full(4, value), np.array([1, 0, 0, 0], bool))
    assert np.flatnonzero(curve.recall).tolist() == list(range(256 - finding, 256))
    assert curve.precision[-1] == pytest.approx(1 / 4)


def test_a_full_truth_has_specificity_0_and_no_nan():
    curve = threshold_curve(np.array([0.0, 1]), np.ones(2, bool))
    assert not curve.specificity.any()
    assert curve.dice[[0, -1]] == pytest.approx([2 / 3, 1])


@pytest.mark.parametrize("name", MAPS)
def test_the_curve_as_counted_threshold_by_threshold(name):
    scores, truth = MAPS[name]
    curve = threshold_curve(scores, truth)
    for index, threshold in enumerate(range(255, -1, -1)):
        found = 255 * stretch(scores) >= threshold - 1e-4  # what lies so near to a level is on it
        tp, fp, fn = (found & truth).sum(), (found & ~truth).sum(), (~found & truth).sum()
        tn = truth.size - tp - fp - fn
        parts = [(2 * tp, 2 * tp + fp + fn), (tp, tp + fp + fn), (tp, tp + fn), (tn, tn + fp), (tp, tp + fp)]
        expected = [part / max(whole, 1) if tp else 0 for part, whole in parts]
        assert [getattr(curve, name)[index] for name in NAMES] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", MAPS)
def test_the_curve_as_py_sod_metrics_has_it(name):
    scores, truth = MAPS[name]
    if not truth.any():
        pytest.skip("theirs has 1s and 0s of its own for an empty truth")
    curve = threshold_curve(scores, truth)
    for metric, expected in ANSWERS["py_sod_curves"][name].items():
        assert getattr(curve, metric)[SAMPLED] == pytest.approx(expected, abs=1e-6), metric


def test_what_is_no_map_is_refused():
    with pytest.raises(UsageError, match="from 0 to 255"):
        Histogram.of(255.0 * TRUTH, TRUTH)
    with pytest.raises(UsageError, match="nan"):
        threshold_curve(np.where(TRUTH, np.inf, 0.5), TRUTH)
    with pytest.raises(UsageError, match="nan"):
        adaptive_threshold(np.array([np.nan, 0.5]))
    with pytest.raises(LabelError, match=r"\(5,\), \(4,\)"):
        threshold_curve(SCORES, TRUTH[:4])
    with pytest.raises(LabelError, match=r"\(5,\), \(5,\), \(1,\)"):
        threshold_curve(SCORES, TRUTH, np.array([True]))


@pytest.fixture(scope="module")
def published(data):
    folder = data / "published_curves"
    if not folder.is_dir():
        pytest.skip("no published curves here")
    return {path.stem: loadmat(path) for path in sorted(folder.glob("*.mat"))}


@pytest.mark.real
def test_published_curves_begin_and_end_as_ours_do(published):
    scores, truth = MAPS["good"]
    ours, ours_e = threshold_curve(scores, truth), e_measure_curve(scores, truth, comparison=">")
    truths = {"LungInfection-Test-1": 48, "MultiClassInfection-Test-1": 48, "MultiClassInfection-Test-2": 38}
    for name, theirs in published.items():
        column = {key: theirs[f"column_{key}"][0] for key in ("Dic", "Sen", "Spe", "Pr", "E")}
        assert column["Dic"].shape == ours.dice.shape == ours_e.shape
        with_region = truths[name.split("__")[0]] / 48  # images without it have 0 everywhere
        assert (np.diff(column["Sen"]) > -1e-12).all()
        assert (np.diff(ours.recall) >= 0).all()
        assert column["Sen"][-1] / with_region == pytest.approx(ours.recall[-1])
        assert column["Spe"][-1] == ours.specificity[-1] == 0
        # nothing is above threshold 1: 1/4, and 1 of an image without the region (N / (N - 1) of them)
        size = truth.size
        assert column["E"][0] == pytest.approx(with_region / 4 + (1 - with_region), abs=1e-4)
        assert ours_e[0] == pytest.approx(size / (size - 1) / 4)
        assert theirs["meanDic"].item() == pytest.approx(column["Dic"].mean())


@pytest.mark.real
def test_published_masks_have_the_same_curve_at_all_but_one_threshold(published):
    ours = threshold_curve(*MAPS["binary"]).dice
    ours_e = e_measure_curve(*MAPS["binary"], comparison=">")
    assert np.ptp(ours[:-1]) == np.ptp(ours_e[1:]) == 0
    assert ours[-1] != ours[0]
    assert ours_e[0] != ours_e[1]
    for name, theirs in published.items():
        if name.startswith("MultiClass"):
            assert np.ptp(theirs["column_Dic"][0, :-1]) < 1e-12, name
            assert theirs["column_Dic"][0, -1] < theirs["column_Dic"][0, 0] - 0.01, name
            assert np.ptp(theirs["column_E"][0, 1:]) < 1e-12, name
