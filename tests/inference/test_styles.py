import numpy as np
import pytest

from groundglass.errors import UsageError
from groundglass.inference.segmentation import Segmentation
from groundglass.inference.styles import Dial, Views
from groundglass.inference.threshold import CARD
from groundglass.labels import Tissue
from groundglass.scan import Scan

# A row of a right lung's four voxels, one outside, and a left lung's two.
SIDES = np.array([1, 1, 1, 1, 0, 2, 2], np.uint8).reshape(1, 1, 7)
LIKELY = np.array([0.1, 0.9, 0.3, 0.3, 1.0, 0.2, 0.6], np.float32).reshape(1, 1, 7)


def volume(value):
    return np.full((1, 1, 7), value, np.int16)


def views(sides=SIDES):
    codes = (sides > 0).astype(np.uint8)
    styles = volume(-1000), volume(-900), volume(-500), volume(20)
    return Views((3, 3, 4, 8), styles, volume(-850), volume(-870), LIKELY, Segmentation(codes, sides, CARD), {})


@pytest.mark.parametrize(
    ("share", "wanted"),
    [
        (0, [-870, -870, -870, -870, 7, -870, -870]),
        (0.25, [-870, -500, -870, -870, 7, -870, -870]),  # a quarter of two voxels rounds to none
        (0.5, [-870, -500, -500, -870, 7, -870, -500]),  # of equals the first
        (1, [-500, -500, -500, -500, 7, -500, -500]),
    ],
)
def test_the_dial_turns_the_likeliest_voxels_of_each_lung_first(share, wanted):
    hu, codes = Dial(Scan(volume(7), np.diag([-1.0, -1, 1, 1])), views(), Tissue.GROUND_GLASS).at(share)
    assert hu.ravel().tolist() == wanted
    assert codes.ravel().tolist() == [{-870: 1, -500: 2, 7: 0}[value] for value in wanted]


def test_consolidation_has_its_own_style_and_code():
    hu, codes = Dial(Scan(volume(7), np.diag([-1.0, -1, 1, 1])), views(), Tissue.CONSOLIDATION).at(1)
    assert hu[SIDES > 0].tolist() == [20] * 6
    assert codes[SIDES > 0].tolist() == [3] * 6


def test_without_a_lung_there_is_nothing_to_turn():
    with pytest.raises(UsageError, match=r"No lung was found in the scan\. Expected a lung"):
        Dial(Scan(volume(7), np.diag([-1.0, -1, 1, 1])), views(np.zeros_like(SIDES)), Tissue.GROUND_GLASS)
