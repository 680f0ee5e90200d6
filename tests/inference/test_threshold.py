import numpy as np
import pytest

from groundglass.evaluation.overlap import dice
from groundglass.inference.threshold import CARD, segment_by_threshold
from groundglass.labels import Region
from groundglass.phantom import phantom
from groundglass.scan import Scan
from tests.thorax import SHAPE, draw, ellipsoid, grid, lungs

HAZE = ellipsoid((0, 35, -60), (24, 20, 24))
SOLID = ellipsoid((0, 10, 70), (16, 14, 14))


def test_haze_becomes_ground_glass_and_a_solid_lesion_consolidation():
    result = segment_by_threshold(draw(haze=(HAZE, -600), solid=(SOLID, 0)))
    truth = np.zeros(SHAPE, np.uint8)
    truth[lungs()[0] | lungs()[1]], truth[HAZE], truth[SOLID] = 1, 2, 3
    assert dice(result.codes, truth, Region.GROUND_GLASS) > 0.85
    assert dice(result.codes, truth, Region.CONSOLIDATION) > 0.85


@pytest.mark.parametrize(("hu", "code"), [(-760, 1), (-700, 2), (-410, 2), (-340, 3)])
def test_the_ranges_are_those_stated(hu, code):
    result = segment_by_threshold(draw(lesion=(HAZE, hu)))
    middle = ellipsoid((0, 35, -60), (10, 8, 10))
    assert (result.codes[middle] == code).mean() > 0.99


def test_a_healthy_lung_stays_clean():
    assert not (segment_by_threshold(draw(noise_hu=40)).codes > 1).any()


def test_vessels_are_no_lesions():
    z, y, x = grid()
    tree = np.zeros(SHAPE, bool)
    for height, depth in [(-30, -20), (0, 10), (30, 25)]:
        tree |= ((z - height) ** 2 + (y - depth) ** 2 < 3**2) & (abs(x) > 20) & (abs(x) < 90)
    assert not (segment_by_threshold(draw(vessels=(tree, 40))).codes > 1).any()


def test_specks_are_removed():
    speck = ellipsoid((0, 20, -60), (4, 4, 4))  # 0.3 mL
    assert not (segment_by_threshold(draw(speck=(speck, -600))).codes > 1).any()


def test_lung_is_told_from_body_and_each_voxel_of_lung_has_a_side():
    result = segment_by_threshold(draw())
    right, left = lungs()
    assert dice(result.codes, (right | left).astype(np.uint8), Region.LUNG_FIELD) > 0.97
    assert ((result.sides > 0) == (result.codes > 0)).all()
    assert result.model is CARD


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 64, 64), (3, 31, 45)])
@pytest.mark.parametrize("hu", [-1000, -850, 0])
def test_nothing_to_see_is_no_error(shape, hu):
    result = segment_by_threshold(Scan(np.full(shape, hu, np.int16), np.diag([-2.0, -2, 4, 1])))
    assert result.codes.shape == shape
    assert not (result.codes > 1).any()


def test_float_and_integer_scans_give_the_same_map():
    scan = draw(haze=(HAZE, -600), noise_hu=30)
    first = segment_by_threshold(scan).codes
    np.testing.assert_array_equal(first, segment_by_threshold(Scan(scan.hu.astype(np.float32), scan.affine)).codes)


def test_phases_are_told_in_order():
    told = []
    segment_by_threshold(draw(), told.append)
    assert told == ["lung field", "lesions"]


def test_on_a_phantom_it_is_better_than_calling_the_whole_lung_infected():
    made = phantom(0, severity=0.15, shape=(48, 160, 160))
    result = segment_by_threshold(made.scan)
    whole_lung = np.where(made.codes > 0, 2, 0).astype(np.uint8)
    floor = dice(whole_lung, made.codes, Region.INFECTION)
    assert dice(result.codes, made.codes, Region.INFECTION) > floor + 0.2
