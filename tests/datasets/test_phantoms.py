from functools import cache

import numpy as np

from groundglass.datasets._phantoms import SEVERITY, _labels, draw
from groundglass.datasets._preparing import prepare_into
from groundglass.phantom import PLAIN, phantom
from groundglass.preprocess.preparation import Preparation
from groundglass.store import open_store

SHAPE = (8, 40, 40)


@cache
def patient(seed, number):
    return draw(seed, number, SHAPE).loaders[number - 1]()


def phantom_of(seed, number, shape):
    """The true codes of a patient."""
    rng = np.random.default_rng([seed, number])
    return phantom(rng, shape=shape, severity=rng.uniform(*SEVERITY), looks=PLAIN).codes


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


def test_the_classical_field_tells_lung_in_labels_that_leave_it_open_and_labels_nothing_else(tmp_path):
    shape = (12, 96, 96)
    cases, truth = draw(7, 1, shape), phantom_of(7, 1, shape)
    stores = {}
    for lungs in (False, True):
        path = tmp_path / f"{lungs}"
        prepare_into(path, "phantom", cases, Preparation(size=(48, 48)), key=b"", lungs=lungs)
        stores[lungs] = open_store(path)
    plain, narrowed = stores[False], stores[True]
    assert narrowed.labelled == plain.labelled
    assert plain.content != narrowed.content
    sets, codes = (
        np.stack(planes)
        for planes in zip(
            *((narrowed.label_set(n), truth[narrowed.slices[n].position - 1]) for n in narrowed.labelled), strict=True
        )
    )
    assert (sets[codes >= 2] >= 4).all()  # lesions stay what they are
    undecided, told = sets == 3, codes < 2
    assert (undecided & told).sum() < 0.1 * told.sum()
    decided = told & ~undecided
    assert (sets[decided] == np.where(codes[decided] == 1, 2, 1)).mean() > 0.98
    # another run into the same folder does not keep what the other kind of labels has made
    prepare_into(tmp_path / "False", "phantom", cases, Preparation(size=(48, 48)), key=b"", lungs=True)
    assert open_store(tmp_path / "False").content == narrowed.content
