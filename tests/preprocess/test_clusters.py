import itertools

import numpy as np
import pytest
from scipy import ndimage
from scipy.cluster.vq import kmeans2
from skimage.filters import threshold_multiotsu

from groundglass.preprocess.clusters import (
    FLOOR_HU,
    Centres,
    clusters_of,
    disk,
    drop_border,
    largest_regions,
    line,
    normalised,
    our_steps,
    published_steps,
    refined,
    three_clusters,
    with_floor,
    without_specks,
)
from tests.thorax import SPACING, draw, ellipsoid, lungs

Z = 24  # the middle slice of the drawn thorax
IN_PLANE = SPACING[1:]


def plane(*values):
    return np.array([values], np.float32)


def test_hounsfield_units_are_clipped_to_air_and_bone():
    assert normalised(np.array([[-2000, -1000, 0, 400, 3000]])).tolist() == [[-1000, -1000, 0, 400, 400]]


def test_the_best_three_clusters_by_hand():
    # {-1000, -990}, {-800}, {-500, -490, -480}: no other two limits cost less than 50 + 0 + 200
    centres = three_clusters(plane(-1000, -990, -800, -500, -490, -480))
    assert centres.hu == (-995, -800, -490)
    assert centres.above_hu == (-800 - 490) / 2
    assert clusters_of(plane(-1000, -990, -800, -646, -645, -644, -480), centres).tolist() == [[0, 0, 1, 1, 1, 2, 2]]


def test_no_two_limits_are_better():
    rng = np.random.default_rng(0)
    values = np.sort(rng.integers(-1000, 400, 25)).astype(float)
    cost = min(
        sum(part.var() * len(part) for part in (values[:a], values[a:b], values[b:]))
        for a, b in itertools.combinations(range(1, 25), 2)
    )
    centres = np.array(three_clusters(values[None].astype(np.float32)).hu)
    assert ((values[:, None] - centres) ** 2).min(axis=1).sum() == pytest.approx(cost)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_clusters_are_those_of_scipys_k_means_and_of_otsus_multiple_thresholds(seed):
    rng = np.random.default_rng(seed)
    image = np.concatenate([rng.normal(middle, 40, 400) for middle in (-950, -700, -300)]).reshape(30, 40)
    image = np.clip(np.rint(image), -1000, 400).astype(np.float32)
    centres = three_clusters(image)
    theirs, _ = kmeans2(image.reshape(-1, 1).astype(float), np.array([[-950.0], [-700], [-300]]), minit="matrix")
    np.testing.assert_allclose(centres.hu, np.sort(theirs.ravel()), atol=0.5)
    # Otsu's limits may lie anywhere in an empty gap; what they part is the same
    theirs = np.digitize(image, threshold_multiotsu(image, 3, nbins=1401))
    assert (theirs == clusters_of(image, centres)).mean() > 0.99


@pytest.mark.parametrize(
    ("values", "hu"), [((-900,) * 4, (-900, np.nan, np.nan)), ((-900, -500), (-900, -500, np.nan))]
)
def test_fewer_greys_than_clusters_leave_the_last_empty(values, hu):
    centres = three_clusters(plane(*values))
    np.testing.assert_array_equal(centres.hu, hu)
    assert not (clusters_of(plane(*values), centres) == 2).any()
    assert with_floor(centres, -650) is centres


def test_a_floor_moves_the_third_centre_and_the_limit_with_it():
    assert with_floor(Centres((-1000, -850, -750), -800), -650) == Centres((-1000, -850, -650), -750)
    assert with_floor(Centres((-1000, -850, -600), -725), -650) == Centres((-1000, -850, -600), -725)


def test_largest_regions_touch_by_corners_and_ties_go_to_the_first():
    mask = np.array([[1, 0, 0, 1, 1], [0, 1, 0, 1, 1], [0, 0, 0, 0, 0], [1, 0, 0, 0, 1]], bool)
    assert (
        largest_regions(mask, 2).tolist()
        == np.array([[1, 0, 0, 1, 1], [0, 1, 0, 1, 1], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]], bool).tolist()
    )
    assert largest_regions(mask, 9).sum() == mask.sum()
    assert not largest_regions(np.zeros((3, 3), bool), 2).any()
    assert without_specks(mask, 4).sum() == 4


def test_what_touches_the_border_is_dropped():
    mask = np.zeros((6, 6), bool)
    mask[0, 0] = mask[1, 1] = mask[3, 3] = mask[4, 2] = True
    assert np.argwhere(drop_border(mask)).tolist() == [[3, 3], [4, 2]]


def test_a_line_of_length_8_at_50_degrees():
    assert line(8, 50).astype(int).tolist() == [
        [0, 0, 0, 0, 1],
        [0, 0, 0, 1, 0],
        [0, 0, 0, 1, 0],
        [0, 0, 1, 0, 0],
        [0, 1, 0, 0, 0],
        [0, 1, 0, 0, 0],
        [1, 0, 0, 0, 0],
    ]
    assert line(5, 0).astype(int).tolist() == [[1, 1, 1, 1, 1]]
    assert line(3, 90).tolist() == [[True], [True], [True]]


def test_opening_keeps_what_a_line_fits_into_and_closing_fills_what_a_disk_does_not():
    mask = np.zeros((60, 60), bool)
    mask[10:40, 10:25] = True
    mask[10:40, 30:45] = True  # 5 pixels apart
    mask[50:53, 5:55] = True  # lower than the line is high
    opened, closed = refined(mask)
    assert not opened[50:53].any()
    np.testing.assert_array_equal(closed, ndimage.binary_closing(np.pad(opened, 20), disk(6))[20:-20, 20:-20])
    assert closed[20:30, 25:30].all()
    assert not opened[20:30, 25:30].any()


HAZE = ellipsoid((0, 0, -60), (30, 26, 24))


def test_as_published_the_air_outside_is_one_of_the_two_largest_regions():
    scan = draw(haze=(HAZE, -600))
    steps = published_steps(scan.hu[Z])
    by_name = {step.name: step.image for step in steps.steps}
    assert by_name["regions"][0, 0]
    right, left = (lung[Z] for lung in lungs())
    assert not (by_name["regions"] & left).any()  # two regions: the air and the larger lung
    first = published_steps(scan.hu[Z], without_border=True)
    assert not first.lung[0, 0]
    assert (first.lung & (right | left)).sum() > 0.99 * (right | left).sum()
    found, true = first.ground_glass, HAZE[Z]
    assert 2 * (found & true).sum() / (found.sum() + true.sum()) > 0.9


def ours(scan):
    lung = (lungs()[0] | lungs()[1])[Z]
    return our_steps(scan.hu[Z], lung, IN_PLANE)


def test_ours_finds_haze():
    steps = ours(draw(haze=(HAZE, -600), noise_hu=20))
    found, true = steps.ground_glass, HAZE[Z]
    assert 2 * (found & true).sum() / (found.sum() + true.sum()) > 0.9
    assert steps.centres.hu == pytest.approx((-1000, -850, -600), abs=15)


def test_a_lung_without_lesions_has_no_ground_glass_thanks_to_the_floor():
    # the lower side is a little denser: three clusters always find a third
    _, y, _ = np.mgrid[:48, :128, :160]
    lung = lungs()[0] | lungs()[1]
    scan = draw(lower=(lung & (y > 64), -790), noise_hu=20)
    centres = three_clusters(np.where(lung[Z], scan.hu[Z], -1000).astype(np.float32))
    assert (np.where(lung[Z], scan.hu[Z], -1000) > centres.above_hu).sum() > 1000
    steps = ours(scan)
    assert steps.centres.hu[2] == FLOOR_HU
    assert not steps.ground_glass.any()


def test_a_vessel_is_solid_with_a_rim_and_no_ground_glass():
    vessel = ellipsoid((0, 20, -60), (60, 5, 5))
    blurred = ellipsoid((0, 20, -60), (60, 8, 8))
    steps = ours(draw(rim=(blurred, -600), vessel=(vessel, 40)))
    assert not steps.ground_glass.any()
    assert (steps.solid == vessel[Z]).all()
    beside = ndimage.binary_dilation(vessel[Z]) & ~vessel[Z]  # 2 mm off
    assert steps.rim[beside].all()
    assert not steps.rim[55, 30:40].any()  # far off


def test_each_step_is_a_picture_of_the_slice():
    scan = draw(haze=(HAZE, -600))
    for steps in (published_steps(scan.hu[Z]), published_steps(scan.hu[Z], without_border=True), ours(scan)):
        assert all(step.image.shape == scan.hu[Z].shape for step in steps.steps)
        assert len({step.name for step in steps.steps}) == len(steps.steps)
        np.testing.assert_array_equal(steps.steps[-1].image, steps.ground_glass)
