import numpy as np
import pytest

from groundglass.errors import UsageError
from groundglass.preprocess.orient import ORIENTATIONS, check_orientation, inverse, orient

PLANE = np.arange(6).reshape(2, 3)


def test_the_eight_are_eight():
    assert len({orient(PLANE, name).tobytes() + bytes(orient(PLANE, name).shape) for name in ORIENTATIONS}) == 8


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_the_inverse_undoes_it(name):
    np.testing.assert_array_equal(orient(orient(PLANE, name), inverse(name)), PLANE)


def test_names_mean_what_they_say():
    np.testing.assert_array_equal(orient(PLANE, "transpose"), PLANE.T)
    np.testing.assert_array_equal(orient(PLANE, "anti-transpose"), PLANE[::-1, ::-1].T)
    np.testing.assert_array_equal(orient(PLANE, "turn-90"), np.rot90(PLANE, 1))
    np.testing.assert_array_equal(orient(PLANE, "flip-up-down"), PLANE[::-1])
    np.testing.assert_array_equal(orient(PLANE, "flip-left-right"), PLANE[:, ::-1])


def test_stacks_are_turned_plane_by_plane():
    stack = np.stack([PLANE, -PLANE])
    np.testing.assert_array_equal(orient(stack, "turn-90")[1], np.rot90(-PLANE))


def test_an_unknown_name_is_refused():
    with pytest.raises(UsageError, match="one of as-is, turn-90"):
        check_orientation("auto")
