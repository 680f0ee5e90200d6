from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from groundglass.inference.postprocess import _sides, complete, keep_lesions
from groundglass.inference.threshold import CARD
from groundglass.phantom import phantom
from groundglass.preprocess.lung import LEFT, RIGHT, LungField, find_lungs
from tests.thorax import SHAPE, draw, ellipsoid, lungs


def field_with(lung, body=None, side=RIGHT):
    return LungField((lung * np.uint8(side)), np.zeros_like(lung), np.ones_like(lung) if body is None else body, ())


def cube(low, high, shape=(8, 8, 8)):
    mask = np.zeros(shape, bool)
    mask[low:high, low:high, low:high] = True
    return mask


def test_a_lesion_with_a_face_at_the_field_is_kept_whole():
    lesion = np.zeros((8, 8, 8), bool)
    lesion[4:8, :4, :4] = True
    assert (keep_lesions(lesion, field_with(cube(0, 4))) == lesion).all()


def test_a_lesion_that_touches_the_field_at_a_corner_only_is_dropped():
    # 37 voxels of its 64 have a face to what is no lesion (the scan ends at the others), and 1 of them touches: 2.7 %
    assert not keep_lesions(cube(4, 8), field_with(cube(0, 4))).any()


@pytest.mark.parametrize(("length", "kept"), [(10, True), (11, False)])
def test_a_tenth_of_the_surface_has_to_touch(length, kept):
    lesion = np.zeros((3, 3, 20), bool)
    lesion[1, 1, 2 : 2 + length] = True  # a rod: all of it is surface, and its first voxel touches
    lung = np.zeros_like(lesion)
    lung[1, 1, 1] = True
    assert keep_lesions(lesion, field_with(lung)).any() == kept


def test_a_lesion_apart_from_the_field_is_dropped():
    assert not keep_lesions(cube(5, 8), field_with(cube(0, 4))).any()


def test_a_lesion_that_lies_outside_the_body_is_dropped():
    field = field_with(cube(0, 4), body=cube(0, 4))
    assert not keep_lesions(cube(4, 8), field).any()
    assert keep_lesions(cube(1, 3), field).any()


def test_one_component_of_two_is_kept():
    lesions = cube(1, 2) | cube(6, 8)
    assert (keep_lesions(lesions, field_with(cube(0, 4))) == cube(1, 2)).all()


def test_without_lung_no_lesion_is_kept():
    assert not keep_lesions(cube(1, 3), field_with(np.zeros((8, 8, 8), bool))).any()


def test_lung_is_the_field_and_the_kept_lesions_together():
    left = lungs()[1]
    lesion = ellipsoid((0, 60, 60), (25, 20, 25)) & left  # solid, at the pleura behind
    scan = draw(lesion=(lesion, 40))
    field = find_lungs(scan)
    assert not field.mask[lesion].all()
    result = complete((lesion * np.uint8(3)), field, scan, CARD)
    assert (result.codes[lesion] == 3).all()
    assert (result.sides[lesion] == LEFT).all()
    assert ((result.codes == 1) == (field.mask & ~lesion)).all()
    assert ((result.sides > 0) == (result.codes > 0)).all()


def test_in_a_crop_lung_that_a_model_knows_is_lung_unless_it_is_an_airway_and_in_whole_slices_the_field_alone():
    lung, airways = cube(0, 4), np.zeros((8, 8, 8), bool)
    more = cube(5, 8)
    airways[5, 5, 5] = True
    scan = draw()
    field = replace(field_with(lung, side=LEFT), airways=airways)
    nothing = np.zeros(lung.shape, np.uint8)
    assert ((complete(nothing, field, scan, CARD, lung | more).codes == 1) == lung).all()
    crop = replace(field, cropped=True)
    result = complete(nothing, crop, scan, CARD, lung | more)
    assert ((result.codes == 1) == (lung | (more & ~airways))).all()
    assert (result.sides[result.codes == 1] == LEFT).all()
    assert ((complete(nothing, crop, scan, CARD).codes == 1) == lung).all()


def test_a_kept_voxel_goes_to_the_lung_that_is_nearer_in_millimetres():
    rng, spacing = np.random.default_rng(0), (3.0, 1.0, 0.5)
    sides = np.where(rng.random((9, 12, 12)) < 0.05, rng.integers(1, 3, (9, 12, 12)), 0).astype(np.uint8)
    field = LungField(sides, np.zeros(sides.shape, bool), np.ones(sides.shape, bool), cropped=True)
    right, left = (ndimage.distance_transform_edt(sides != side, sampling=spacing) for side in (RIGHT, LEFT))
    kept = (sides == 0) & (rng.random(sides.shape) < 0.5)
    assert (_sides(field, kept, spacing) == np.where(kept, np.where(left < right, LEFT, RIGHT), sides)).all()


@pytest.mark.parametrize("hard", ["pleural_mass", "solid_third"])
@pytest.mark.parametrize("seed", [0, 1])
def test_at_least_95_percent_of_a_true_pleural_lesion_survives(hard, seed):
    made = phantom(seed, hard=hard, shape=(48, 160, 160))
    lesions = np.where(made.codes >= 2, made.codes, 0).astype(np.uint8)
    result = complete(lesions, find_lungs(made.scan), made.scan, CARD)
    assert (result.codes[lesions > 0] == lesions[lesions > 0]).mean() >= 0.95
    outside = lesions > 0
    assert (result.sides[outside] == made.sides[outside]).mean() >= 0.95


def test_shapes_agree_with_the_scan():
    scan = draw()
    assert complete(np.zeros(SHAPE, np.uint8), find_lungs(scan), scan, CARD).codes.shape == SHAPE
