import numpy as np

from groundglass.preprocess.lung_labels import narrow

BACKGROUND, LUNG, EITHER, GROUND_GLASS, UNKNOWN = 1, 2, 3, 4, 15


def test_the_field_decides_between_background_and_lung_and_nothing_else():
    sets = np.full((1, 9), EITHER, np.uint8)
    sets[0, 1], sets[0, 2] = GROUND_GLASS, UNKNOWN
    hu = np.full((1, 9), 40, np.int16)
    hu[0, :3], hu[0, 6], hu[0, 8] = -800, -900, -1000
    lungs, body = np.zeros((1, 9), bool), np.ones((1, 9), bool)
    lungs[0, :4] = True  # a vessel at 3
    body[0, 8] = False
    # at 4 is its rim; at 6 air outside of it
    assert narrow(sets, hu, lungs, body).tolist() == [
        [LUNG, GROUND_GLASS, UNKNOWN, LUNG, EITHER, BACKGROUND, EITHER, BACKGROUND, BACKGROUND]
    ]
    assert sets[0, 0] == EITHER  # what was given stays


def test_where_no_lung_was_found_nothing_is_decided():
    sets = np.full((2, 2), EITHER, np.uint8)
    assert (narrow(sets, np.zeros((2, 2), np.int16), np.zeros((2, 2), bool), np.ones((2, 2), bool)) == EITHER).all()
