"""What a phantom promises: seeded, plausible, and a truth that the image agrees with."""

from functools import cache

import numpy as np
import pytest
from scipy import ndimage

from groundglass.errors import UsageError
from groundglass.labels import Region
from groundglass.phantom import Phantom, phantom, phantom_slices
from groundglass.phantom.fields import Grid, centred, draw_field
from groundglass.phantom.tubes import Tubes, fill

SMALL = (32, 96, 96)
SEEDS = (0, 1, 2)


@cache
def small(seed=0, hard=None, severity=None, noise_hu=None) -> Phantom:
    return phantom(seed, shape=SMALL, hard=hard, severity=severity, noise_hu=noise_hu)


def share(made: Phantom, region: Region) -> float:
    return made.volumes_ml[region] / made.volumes_ml[Region.LUNG_FIELD]


def test_the_same_seed_gives_the_same_bytes():
    again = phantom(np.random.default_rng(0), shape=SMALL)
    assert again.scan.hu.tobytes() == small().scan.hu.tobytes()
    assert again.codes.tobytes() == small().codes.tobytes()


def test_another_seed_gives_another_patient():
    assert np.mean(small(0).codes != small(1).codes) > 0.02


def test_a_seed_is_one_patient_whatever_the_lesions():
    assert np.array_equal(small(0).codes > 0, small(0, hard="healthy").codes > 0)


def test_the_scan_is_int16_and_not_below_air():
    hu = small().scan.hu
    assert hu.dtype == np.int16
    assert hu.min() >= -1024
    assert small().codes.dtype == np.uint8
    assert small().codes.shape == small().sides.shape == hu.shape


def test_a_given_spacing_is_the_scans():
    made = phantom(0, shape=(4, 32, 48), spacing_mm=(7.5, 9.0, 8.0))
    assert made.scan.spacing_mm == pytest.approx((7.5, 9.0, 8.0))
    assert made.scan.hu.shape == (4, 32, 48)


def test_the_truth_is_read_only():
    with pytest.raises(ValueError, match="read-only"):
        small().codes[0, 0, 0] = 1


@pytest.mark.parametrize("seed", SEEDS)
def test_an_adult_has_two_lungs_of_plausible_volume(seed):
    made = small(seed)
    right, left = (float((made.sides == side).sum()) * made.scan.voxel_ml for side in (1, 2))
    assert 2500 < right + left < 7000
    assert 0.7 < left / right < 1.1


def test_lung_volume_hardly_depends_on_the_sampling():
    fine = phantom(0, shape=(48, 160, 160))
    assert small().volumes_ml[Region.LUNG_FIELD] == pytest.approx(fine.volumes_ml[Region.LUNG_FIELD], rel=0.02)


def test_the_patients_right_lung_lies_at_low_x():
    made = small()
    assert np.nonzero(made.sides == 1)[2].mean() < np.nonzero(made.sides == 2)[2].mean()


def test_lungs_narrow_towards_the_head():
    area = (small().codes > 0).sum(axis=(1, 2))
    present = np.flatnonzero(area)
    assert area[present[-1]] < 0.4 * area.max()
    assert area[present[-6]] > 0.4 * area.max()


@pytest.mark.parametrize(("code", "low", "high"), [(1, -920, -740), (2, -720, -420), (3, -120, 90)])
def test_tissues_have_their_hounsfield_units(code, low, high):
    for seed in SEEDS:
        made = small(seed, severity=0.3, noise_hu=0)
        inner = ndimage.binary_erosion(made.codes == code, np.ones((1, 3, 3)))
        if inner.sum() > 30:
            assert low < np.median(made.scan.hu[inner]) < high


def test_the_truth_orders_the_image():
    made = small(0, severity=0.3, noise_hu=0)
    means = [made.scan.hu[made.codes == code].mean() for code in (1, 2, 3)]
    assert means[0] < means[1] - 100 < means[2] - 200


def test_there_is_bone_fat_muscle_and_air_around_the_lungs():
    around = small(0, noise_hu=0).scan.hu[small(0, noise_hu=0).codes == 0]
    for low, high in ((-1024, -980), (-130, -80), (30, 80), (200, 900)):
        assert np.mean((around > low) & (around < high)) > 0.002


@pytest.mark.parametrize("seed", SEEDS[:2])
def test_trachea_and_both_lungs_are_one_component_of_air_that_leaves_at_the_top(seed):
    made = small(seed, hard="healthy", noise_hu=10.0)
    parts, _ = ndimage.label(made.scan.hu < -500)
    inside = parts[(made.codes == 1) & (parts > 0)]
    largest = np.bincount(inside).argmax()
    assert {1, 2} <= set(np.unique(made.sides[parts == largest]))
    assert ((parts == largest) & (made.codes == 0))[-1].any()
    assert largest not in parts[:, 0]


def test_there_is_gas_below_the_diaphragm_that_is_no_lung():
    found = 0
    for seed in SEEDS:
        made = small(seed, hard="healthy", noise_hu=10.0)
        lower = made.scan.hu[: SMALL[0] // 3] < -700
        parts, _ = ndimage.label(lower)
        outside = {*np.unique(parts[:, 0]), *np.unique(parts[:, -1]), *np.unique(parts[:, :, 0])}
        lung = np.unique(parts[made.codes[: SMALL[0] // 3] > 0])
        found += sum(1 for n in np.unique(parts) if n and n not in outside and n not in lung)
    assert found >= 2


def test_vessels_stay_visible_through_haze():
    made = small(0, hard="diffuse_haze", noise_hu=0)
    hu = made.scan.hu[made.codes == 2]
    assert hu.max() > -150
    assert np.median(hu) < -400


@pytest.mark.parametrize("severity", [0.02, 0.1, 0.4])
def test_lesions_take_the_share_asked_for(severity):
    assert share(small(2, severity=severity), Region.INFECTION) == pytest.approx(severity, rel=0.12)


def test_drawn_severity_is_between_2_and_40_percent():
    for seed in SEEDS:
        assert 0.02 <= small(seed).severity <= 0.4


def test_healthy_lungs_have_no_lesion():
    healthy = small(0, hard="healthy")
    assert set(np.unique(healthy.codes)) == {0, 1}
    assert healthy.lesions_ml == ()


@pytest.mark.parametrize("seed", SEEDS)
def test_the_pleural_mass_has_60_ml(seed):
    mass = small(seed, hard="pleural_mass")
    assert mass.volumes_ml[Region.CONSOLIDATION] == pytest.approx(60, rel=0.05)
    assert mass.lesions_ml[0] == pytest.approx(60, rel=0.05)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_pleural_mass_touches_the_chest_wall(seed):
    mass = small(seed, hard="pleural_mass")
    around = ndimage.binary_dilation(mass.codes == 3) & (mass.codes == 0)
    assert around.sum() * mass.scan.voxel_ml > 3


@pytest.mark.parametrize("seed", SEEDS)
def test_the_solid_third_is_a_third_of_one_lung_and_its_back(seed):
    made = small(seed, hard="solid_third")
    (side,) = np.unique(made.sides[made.codes == 3])
    lung = made.sides == side
    assert (made.codes == 3).sum() / lung.sum() == pytest.approx(1 / 3, abs=0.03)
    back = np.nonzero(made.codes == 3)[1].mean()
    assert back > np.nonzero(lung & (made.codes == 1))[1].mean() + 15


@pytest.mark.parametrize("seed", SEEDS)
def test_diffuse_haze_takes_60_percent(seed):
    made = small(seed, hard="diffuse_haze")
    assert share(made, Region.GROUND_GLASS) == pytest.approx(0.6, abs=0.03)
    assert not (made.codes == 3).any()


def test_lesions_prefer_back_and_periphery():
    behind, outside = [], []
    for seed in SEEDS:
        made = small(seed, severity=0.1)
        lung, lesion = made.codes > 0, made.codes > 1
        depth = ndimage.distance_transform_edt(lung, sampling=made.scan.spacing_mm)
        behind.append(np.nonzero(lesion)[1].mean() - np.nonzero(lung)[1].mean())
        outside.append(depth[lung].mean() - depth[lesion].mean())
    assert np.mean(behind) > 3
    assert np.mean(outside) > 3


def test_lesions_are_in_both_lungs_and_several():
    made = small(0, severity=0.1)
    assert {1, 2} == set(np.unique(made.sides[made.codes > 1]))
    assert len(made.lesions_ml) > 3
    assert sum(made.lesions_ml) == pytest.approx(made.volumes_ml[Region.INFECTION])


def test_noise_has_the_standard_deviation_asked_for():
    quiet, noisy = small(0, noise_hu=0), small(0, noise_hu=30.0)
    body = quiet.scan.hu > -200
    difference = (noisy.scan.hu.astype(float) - quiet.scan.hu)[body]
    assert difference.std() == pytest.approx(30, rel=0.1)


def test_slices_are_seeded_and_hold_lung():
    slices = phantom_slices(7, 3, size=96)
    assert slices.hu.shape == slices.codes.shape == (3, 96, 96)
    assert slices.hu.dtype == np.int16
    assert (slices.codes > 0).any(axis=(1, 2)).all()
    assert slices.hu.tobytes() == phantom_slices(7, 3, size=96).hu.tobytes()


@pytest.mark.parametrize(
    "wrong",
    [
        {"severity": 1.5},
        {"severity": -0.1},
        {"hard": "no_such_case"},
        {"hard": "healthy", "severity": 0.2},
        {"shape": (0, 8, 8)},
        {"spacing_mm": (1.0, 0.0, 1.0)},
    ],
)
def test_what_cannot_be_is_refused(wrong):
    with pytest.raises(UsageError):
        phantom(0, **{"shape": (4, 16, 16), **wrong})


def test_a_field_has_unit_variance_and_is_the_same_at_points_and_on_grids():
    field = draw_field(np.random.default_rng(0), 10.0)
    grid = Grid(centred(40, 4.1), centred(40, 4.1), centred(40, 4.1), 1.0)
    values = field.on(grid)
    points = np.stack([np.full(40, grid.z[7]), np.full(40, grid.y[9]), grid.x], axis=1)
    assert values.std() == pytest.approx(1, abs=0.05)
    np.testing.assert_allclose(field.at(points), values[7, 9], atol=1e-5)


def test_a_tube_fills_its_own_volume():
    grid = Grid(centred(40, 1.0), centred(40, 1.0), centred(40, 1.0), 1.0)
    ends = np.array([[-40, 0, 0], [40, 0, 0]], np.float32)
    tube = Tubes(ends[:1], ends[1:], np.full((1, 2), 5, np.float32))
    assert fill(tube, grid).sum() == pytest.approx(np.pi * 25 * 40, rel=0.02)
