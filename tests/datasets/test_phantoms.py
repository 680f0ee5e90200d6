from functools import cache

import numpy as np

from groundglass.datasets._phantoms import _labels, draw

SHAPE = (8, 40, 40)


@cache
def patient(seed, number):
    return draw(seed, number, SHAPE).loaders[number - 1]()


def test_a_patient_is_a_group_of_its_own_and_the_same_each_time():
    assert patient(7, 2).name == "patient-02"
    assert set(patient(7, 2).groups) == {"patient-02"}
    assert draw(7, 5, SHAPE).loaders[1]().digest() == patient(7, 2).digest()
    assert patient(7, 1).digest() != patient(7, 2).digest()


def test_labels_are_those_of_the_field():
    labels = [sets for number in (1, 2) for sets in patient(7, number).labels if sets is not None]
    assert {int(value) for sets in labels for value in np.unique(sets)} == {3, 4, 8}


def test_only_slices_that_plainly_show_the_disease_have_labels():
    codes = np.zeros((3, 10, 10), np.uint8)
    codes[0], codes[1:, :2] = 1, 1  # at most 100 pixels of lung: labelled from 3 infected ones
    codes[1, 0, :3] = 2, 2, 3
    codes[2, 0, :2] = 2
    assert [sets is not None for sets in _labels(codes)] == [False, True, False]
