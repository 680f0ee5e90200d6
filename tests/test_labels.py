import numpy as np
import pytest

from groundglass.errors import LabelError
from groundglass.labels import (
    CODE_OF_TISSUE,
    COLOUR_OF_CODE,
    NAME_OF_CODE,
    UNKNOWN,
    Region,
    Tissue,
    check_label_sets,
    codes_from_sets,
    inside,
    outside,
    region_of_codes,
    sets_from_codes,
)


def u8(*values):
    return np.array(values, np.uint8)


def test_each_tissue_is_one_bit_and_unknown_is_all_of_them():
    assert [int(tissue) for tissue in Tissue] == [1, 2, 4, 8]
    assert int(UNKNOWN) == 15


def test_codes_names_and_colours_speak_of_the_same_tissues():
    assert set(CODE_OF_TISSUE.values()) == set(NAME_OF_CODE) == set(COLOUR_OF_CODE) == {0, 1, 2, 3}


def test_a_pixel_is_inside_a_region_outside_it_or_unknown():
    sets = u8(4, 12, 3, 6, 15)  # ggo; infection; not lesion; lung or ggo; anything
    assert inside(sets, Region.INFECTION).tolist() == [True, True, False, False, False]
    assert outside(sets, Region.INFECTION).tolist() == [False, False, True, False, False]


def test_infection_as_one_class_is_inside_infection_but_unknown_as_ground_glass():
    sets = u8(12)
    assert inside(sets, Region.INFECTION).all()
    assert not inside(sets, Region.GROUND_GLASS).any()
    assert not outside(sets, Region.GROUND_GLASS).any()


@pytest.mark.parametrize("value", [0, 16, 255])
def test_what_is_no_set_is_refused(value):
    with pytest.raises(LabelError, match=f"^{value} is no label set"):
        check_label_sets(u8(3, value))


def test_label_sets_are_bytes():
    with pytest.raises(LabelError, match="type int64"):
        check_label_sets(np.array([1]))


def test_codes_become_sets_by_the_publishers_table_and_back():
    table = {0: Tissue.BACKGROUND | Tissue.LUNG, 1: Tissue.GROUND_GLASS, 2: Tissue.CONSOLIDATION}
    assert sets_from_codes(np.array([[0, 1], [2, 0]]), table).tolist() == [[3, 4], [8, 3]]
    assert codes_from_sets(sets_from_codes(u8(0, 1, 2, 3))).tolist() == [0, 1, 2, 3]


def test_large_maps_of_bytes_take_the_fast_way_to_the_same_answer():
    codes = np.resize(u8(0, 1, 2, 3), (64, 64))
    assert (sets_from_codes(codes) == sets_from_codes(codes.astype(np.int32))).all()


def test_an_unknown_code_is_named():
    with pytest.raises(LabelError, match="Label code 7 is not in the table"):
        sets_from_codes(u8(0, 7))


def test_codes_that_are_not_whole_numbers_are_refused():
    with pytest.raises(LabelError, match="type float64"):
        sets_from_codes(np.array([0.5]))


def test_a_table_with_an_empty_set_is_refused():
    with pytest.raises(LabelError, match="0 is no label set"):
        sets_from_codes(u8(1), {1: Tissue(0)})


def test_a_set_of_several_tissues_has_no_code():
    with pytest.raises(LabelError, match="label set 3 holds several tissues"):
        codes_from_sets(u8(1, 3))


def test_regions_of_codes():
    codes = u8(0, 1, 2, 3)
    assert region_of_codes(codes, Region.LUNG_FIELD).tolist() == [False, True, True, True]
    assert region_of_codes(codes, Region.INFECTION).tolist() == [False, False, True, True]
    assert region_of_codes(codes, Region.GROUND_GLASS).tolist() == [False, False, True, False]
    assert region_of_codes(codes, Region.CONSOLIDATION).tolist() == [False, False, False, True]
