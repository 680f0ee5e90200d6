import numpy as np
import pytest
from PIL import Image

from groundglass.errors import UsageError
from groundglass.io import write_labels
from groundglass.preprocess.orient import ORIENTATIONS, check_orientation, inverse, orient, oriented
from groundglass.scan import GreyImage

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


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_label_maps_of_turned_pictures_go_back_the_way_the_files_lie(name, tmp_path):
    grey = np.arange(2 * 3 * 5, dtype=np.uint8).reshape(2, 3, 5)
    turned = oriented(GreyImage(grey), name)
    np.testing.assert_array_equal(turned.grey, orient(grey, name))
    write_labels(tmp_path / "labels", (turned.grey % 4).astype(np.uint8), turned)
    for number, plane in enumerate(grey, 1):
        with Image.open(tmp_path / "labels" / f"{number:04d}.png") as picture:
            np.testing.assert_array_equal(np.array(picture), plane % 4)
