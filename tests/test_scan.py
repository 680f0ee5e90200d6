import itertools

import numpy as np
import pytest

from groundglass.errors import ScanError
from groundglass.scan import Axes, GreyImage, Scan, canonical_axes

LPS = np.diag([-0.7, -0.7, 2.0, 1.0])


def zeros(shape=(2, 3, 4), dtype=np.int16):
    return np.zeros(shape, dtype)


def every_orientation():
    """All 48 ways to lay three axes out, as an affine with spacing 1, 2, 3 mm along i, j, k."""
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            affine = np.eye(4)
            affine[:3, :3] = 0
            for axis, (world, sign) in enumerate(zip(order, signs, strict=True)):
                affine[world, axis] = sign * (axis + 1)
            affine[:3, 3] = (10, 20, 30)
            yield affine


@pytest.mark.parametrize("affine", list(every_orientation()))
def test_every_voxel_keeps_its_place_in_the_patient(affine):
    array = np.arange(24).reshape(2, 3, 4)
    axes, canonical = canonical_axes(affine, array.shape)
    hu = axes.to_canonical(array).astype(np.int16)
    Scan(hu, canonical)  # refuses an affine that is not canonical
    for z, y, x in np.ndindex(hu.shape):
        ijk = np.argwhere(array == hu[z, y, x])[0]
        np.testing.assert_allclose(canonical @ [x, y, z, 1], affine @ [*ijk, 1])
    np.testing.assert_array_equal(axes.from_canonical(hu), array)


def test_voxels_are_counted_towards_left_back_and_head():
    # x of the file grows to the right, y to the front, z to the feet: all three turn round
    axes, canonical = canonical_axes(np.diag([1.0, 1, -1, 1]), (2, 2, 2))
    assert axes == Axes((2, 1, 0), (True, True, True))
    np.testing.assert_array_equal(np.sign(np.diag(canonical)[:3]), [-1, -1, 1])


def test_spacing_is_z_y_x_and_a_voxel_is_in_millilitres():
    scan = Scan(zeros(), np.diag([-0.5, -0.6, 2.0, 1.0]))
    assert scan.spacing_mm == pytest.approx((2.0, 0.6, 0.5))
    assert scan.voxel_ml == pytest.approx(0.0006)


def test_a_scan_cannot_be_changed():
    scan = Scan(zeros(), LPS)
    with pytest.raises(ValueError, match="read-only"):
        scan.hu[0, 0, 0] = 1
    with pytest.raises(ValueError, match="read-only"):
        scan.affine[0, 0] = 1


def test_making_a_scan_leaves_the_callers_array_writeable():
    hu = zeros()
    Scan(hu, LPS)
    hu[0, 0, 0] = 1


@pytest.mark.parametrize(
    ("hu", "affine", "says"),
    [
        (zeros((3, 4)), LPS, "shape"),
        (zeros((0, 3, 4)), LPS, "shape"),
        (zeros(dtype=np.float64), LPS, "float64"),
        (zeros(dtype=np.uint8), LPS, "uint8"),
        (np.full((1, 1, 1), np.nan, np.float32), LPS, "not finite"),
        (np.full((1, 1, 1), np.inf, np.float32), LPS, "not finite"),
        (zeros(), np.zeros((4, 4)), "invertible"),
        (zeros(), np.full((4, 4), np.nan), "invertible"),
        (zeros(), np.eye(4), "Voxel axes run towards"),
    ],
)
def test_what_is_no_scan_is_refused(hu, affine, says):
    with pytest.raises(ScanError, match=says):
        Scan(hu, affine)


def test_a_stated_window_makes_hounsfield_units():
    scan = GreyImage(np.array([[[0, 51, 255]]], np.uint8)).with_window(-1350, 150)
    np.testing.assert_allclose(scan.hu[0, 0], [-1350, -1050, 150], atol=1e-3)
    assert not scan.source.spacing_known
    assert not scan.source.sides_known


def test_a_window_that_is_upside_down_is_refused():
    with pytest.raises(ScanError, match="black below white"):
        GreyImage(np.zeros((1, 2, 2), np.uint8)).with_window(100, -100)


@pytest.mark.parametrize("grey", [np.zeros((2, 2), np.uint8), np.zeros((1, 2, 2), np.int16)])
def test_what_is_no_picture_is_refused(grey):
    with pytest.raises(ScanError, match="grey image"):
        GreyImage(grey)
