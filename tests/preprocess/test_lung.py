import numpy as np
import pytest

from groundglass.io import read
from groundglass.phantom import phantom
from groundglass.preprocess.airways import find_airways
from groundglass.preprocess.calibrate import calibrate, histogram
from groundglass.preprocess.grid import halve
from groundglass.preprocess.lung import LEFT, RIGHT, find_lungs, looks_cropped, lung_field
from groundglass.preprocess.preparation import Preparation
from groundglass.preprocess.slices import lung_boxes
from groundglass.scan import GreyImage, Scan, Source
from tests.thorax import AFFINE, SHAPE, draw, ellipsoid, grid, lungs, trachea


def _texts(field):
    return [notice.text for notice in field.notices]


def overlap(found, true):
    return 2 * (found & true).sum() / (found.sum() + true.sum())


@pytest.mark.parametrize("noise_hu", [0.0, 40.0])
def test_the_two_lungs_are_found_and_told_apart(noise_hu):
    field = find_lungs(draw(noise_hu=noise_hu))
    right, left = lungs()
    assert overlap(field.sides == RIGHT, right) > 0.97
    assert overlap(field.sides == LEFT, left) > 0.97
    assert field.notices == ()


def test_lungs_that_touch_are_told_apart():
    z, y, x = grid()
    bridge = (abs(x) < 25) & (abs(y + 30) < 5) & (abs(z) < 30)
    field = find_lungs(draw(bridge=(bridge, -850)))
    right, left = lungs()
    assert (field.sides[right] == RIGHT).mean() > 0.97
    assert (field.sides[left] == LEFT).mean() > 0.97


def test_the_trachea_is_no_lung_even_where_it_opens_into_one():
    z, y, x = grid()
    bronchus = (abs(z - 24) < 5) & ((y + 10) ** 2 < 5**2) & (x > 0) & (x < 40)
    scan = draw(bronchus=(bronchus, -1000))
    field = find_lungs(scan)
    assert not (field.mask & trachea()).any()
    assert field.airways[trachea(radius_mm=5)].all()


def test_without_a_dark_round_spot_there_are_no_airways():
    scan = draw(with_trachea=False)
    half = halve(scan.hu)
    assert not find_airways(half, half < -400, (4.0, 4.0, 4.0)).any()


def test_emphysema_does_not_make_the_airways_leak_into_the_lung():
    right, left = lungs()
    z, y, x = grid()
    bronchus = (abs(z - 24) < 5) & ((y + 10) ** 2 < 5**2) & (abs(x) < 40)
    emphysema = (right | left) & (z > -20)  # all of it would be as dark as gas
    scan = draw(emphysema=(emphysema, -990), airways=(bronchus | trachea(), -1000))
    assert find_lungs(scan).mask[right | left].mean() > 0.9


def test_gas_under_the_diaphragm_is_no_lung():
    stomach = ellipsoid((-90, -40, 40), (15, 30, 35))
    field = find_lungs(draw(stomach=(stomach, -980)))
    assert not (field.mask & stomach).any()


def test_the_couch_and_the_air_around_the_body_are_neither_lung_nor_body():
    _, y, x = grid()
    couch = (y > 114) & (y < 120) & (abs(x) < 140)
    contact = (y > 100) & (y < 116) & (abs(x) < 5)
    field = find_lungs(draw(couch=(couch, 0), contact=(contact, 0)))
    assert not field.body[couch].any()
    assert not field.mask[couch].any()
    assert not field.body[:, 0, 0].any()
    assert field.body[lungs()[0]].all()


def test_vessels_and_lesions_inside_a_lung_belong_to_it():
    z, y, x = grid()
    vessel = ((y - 5) ** 2 + (x + 60) ** 2 < 4**2) & (abs(z) < 50)
    lesion = ellipsoid((0, 20, 60), (10, 10, 10))
    field = find_lungs(draw(vessel=(vessel, 50), lesion=(lesion, 30)))
    assert field.mask[vessel].all()
    assert field.mask[lesion].all()


def test_a_vessel_that_leaves_the_lung_is_closed_over():
    z, y, x = grid()
    vessel = (abs(z) < 5) & (abs(y) < 5) & (x > -40) & (x < -10)  # open towards the mediastinum
    inside = vessel & lungs()[0] & (x < -20)
    assert find_lungs(draw(vessel=(vessel, 40))).mask[inside].all()


def test_closing_one_lung_does_not_swallow_what_lies_between_the_two():
    _, y, x = grid()
    gap = (abs(x) < 6) & (abs(y) < 40)
    assert not find_lungs(draw(with_trachea=False)).mask[gap].any()


def test_a_lung_that_is_all_solid_makes_percentages_a_guess():
    right, left = lungs()
    field = find_lungs(draw(with_trachea=False, solid=(left, 30)))
    assert (field.sides == LEFT).sum() == 0
    assert field.mask[right].mean() > 0.97
    assert "left lung that was found is implausibly small (0 mL" in field.notices[0].text
    assert "a guess" in field.notices[0].text


@pytest.mark.parametrize(("hu", "missing"), [(-850, True), (-990, False)])
def test_air_below_the_lungs_may_be_a_part_of_them_if_it_is_no_gas(hu, missing):
    z, _, _ = grid()
    right, left = lungs()
    below = ellipsoid((-65, 0, 60), (28, 50, 40))
    field = find_lungs(draw(diaphragm=((right | left) & (z < -30), 40), below=(below, hu)))
    assert not (field.mask & below).any()
    assert any("Part of the lung may be missing: 241 mL" in text for text in _texts(field)) == missing


def test_a_slice_without_air_that_cuts_the_lungs_in_two_is_told():
    scan = draw()
    hu = scan.hu.copy()
    hu[24] = np.random.default_rng(0).integers(0, 80, hu[24].shape)
    assert any("Part of the lung may be missing" in text for text in _texts(find_lungs(Scan(hu, AFFINE))))


@pytest.mark.parametrize("value", [0, -1024])
def test_a_blank_slice_has_the_lungs_of_its_neighbours(value):
    scan = draw()
    hu = scan.hu.copy()
    hu[24] = value
    field = find_lungs(Scan(hu, AFFINE))
    assert overlap(field.mask[24], lungs()[0][24] | lungs()[1][24]) > 0.97
    np.testing.assert_array_equal(np.delete(field.sides, 24, axis=0), np.delete(find_lungs(scan).sides, 24, axis=0))
    assert _texts(field) == ["Slice 25 is blank (one grey value): the lungs there are taken from its neighbours."]
    assert (hu[24] == value).all()


def test_blank_slices_at_an_end_count_as_not_there():
    hu = draw().hu.copy()
    hu[:2], hu[24:] = 0, -1024
    field = find_lungs(Scan(hu, AFFINE))
    np.testing.assert_array_equal(field.sides[2:24], find_lungs(Scan(hu[2:24], AFFINE)).sides)
    assert field.sides.shape == SHAPE
    assert not field.sides[24:].any()
    assert _texts(field)[:2] == [
        "Slices 1 to 2 are blank (one grey value): not looked at.",
        "Slices 25 to 48 are blank (one grey value): not looked at.",
    ]
    assert "The lungs reach the last slice (head)" in _texts(field)[2]


@pytest.mark.parametrize(
    ("slices", "reached"),
    [
        (slice(0, 24), "last slice (head)"),
        (slice(24, 48), "first slice (feet)"),
        (slice(19, 29), "first slice (feet) and the last slice (head)"),
        (slice(5, 43), None),  # 0.12 and 0.10 of the largest
        (slice(20, 29), None),  # too few to be taken for whole lungs
    ],
)
def test_lungs_that_the_scan_cuts_off_are_told(slices, reached):
    field = find_lungs(Scan(draw().hu[slices], AFFINE))
    assert _texts(field) == (
        [
            f"The lungs reach the {reached}: the scan does not hold all of them. "
            "Volumes are of what was scanned, and there is no six-zone score."
        ]
        if reached
        else []
    )


def test_pictures_are_not_expected_to_hold_whole_lungs():
    assert _texts(find_lungs(Scan(draw().hu[:24], AFFINE, Source(format="image")))) == []


@pytest.mark.parametrize("wide_mm", [4, 8])
def test_a_tube_from_the_trachea_to_the_skin_is_cut(wide_mm):
    z, y, x = grid()
    bronchus = (abs(z - 24) < 5) & ((y + 10) ** 2 < 5**2) & (abs(x) < 40)
    tube = (abs(z - 50) <= wide_mm / 2) & (abs(x) <= wide_mm / 2) & (y < -10)
    airways = (bronchus | trachea(), -1000)
    field = find_lungs(draw(airways=airways, tube=(tube, -1000)))
    np.testing.assert_array_equal(field.sides, find_lungs(draw(airways=airways)).sides)
    assert len(field.notices) == 1
    assert "open to the air around the body" in field.notices[0].text


def test_where_the_field_of_view_cuts_the_lungs_off_this_may_be_why_none_is_found():
    scan = draw()
    field = find_lungs(Scan(scan.hu[:, :, 30:-30], AFFINE))
    assert not field.mask.any()
    assert "the field of view cuts it off, or an airway is open" in field.notices[0].text


def _couch_of_foam(top):
    """(couch, foam in it, as light as lung, a thin way from the foam to the side)."""
    _, y, x = grid()
    foam = (y > top + 4) & (y < 124)
    return (y > top) & (abs(x) < 126), foam & (abs(x) < 116), foam & (y > 120) & (x > 110) & (x < 130)


@pytest.mark.parametrize("top", [116, 72])  # a thin mattress; thick foam under what is left of the body
def test_foam_in_the_couch_is_no_lung_though_its_way_out_is_thin(top):
    _, y, _ = grid()
    right, left = lungs()
    couch, foam, way = _couch_of_foam(top)
    solid, off = (right | left | trachea(), 40), (y > top - 6, -1000)
    assert not find_lungs(draw(solid=solid, off=off, couch=(couch, 0), foam=(foam | way, -890))).mask.any()


def test_foam_in_the_couch_is_no_missing_part_of_the_lung():
    couch, foam, _ = _couch_of_foam(top=112)
    assert _texts(find_lungs(draw(couch=(couch, 0), foam=(foam, -890)))) == []


@pytest.mark.parametrize("radius_mm", [34, 45])
def test_gas_in_the_gut_is_no_lung_where_there_is_none(radius_mm):
    right, left = lungs()
    pockets = ellipsoid((0, -20, -60), (radius_mm,) * 3) | ellipsoid((0, -20, 60), (radius_mm,) * 3)
    assert not find_lungs(draw(with_trachea=False, abdomen=(right | left, 40), gas=(pockets, -990))).mask.any()


def test_gas_beside_a_lung_is_no_second_lung():
    right, left = lungs()
    field = find_lungs(draw(solid=(left, 40), gas=(ellipsoid((0, 0, 60), (60, 45, 30)), -990)))
    assert field.mask[right].mean() > 0.97
    assert not (field.sides == LEFT).any()


def test_lungs_are_found_beside_gas_that_is_larger():
    right, left = lungs()
    small = ellipsoid((0, 0, -80), (40, 40, 25)), ellipsoid((0, 0, 80), (40, 40, 25))
    gas = ellipsoid((0, 0, 0), (45, 45, 45))
    scan = draw(with_trachea=False, solid=(right | left, 40), small=(small[0] | small[1], -850), gas=(gas, -990))
    field = find_lungs(scan)
    assert overlap(field.sides == RIGHT, small[0]) > 0.95
    assert overlap(field.sides == LEFT, small[1]) > 0.95


@pytest.mark.parametrize("hu", [-1000, 0, 40, 3000])
def test_where_there_is_no_lung_none_is_found(hu):
    field = find_lungs(Scan(np.full(SHAPE, hu, np.int16), np.diag([-2.0, -2, 4, 1])))
    assert not field.mask.any()
    assert "No lung was found" in field.notices[0].text


def test_a_head_is_no_chest():
    skull = ellipsoid((0, 0, 0), (90, 100, 75))
    sinus = ellipsoid((-20, -60, 0), (12, 12, 12))
    hu = np.full(SHAPE, -1000, np.int16)
    hu[skull], hu[sinus] = 40, -990
    assert not find_lungs(Scan(hu, np.diag([-2.0, -2, 4, 1]))).mask.any()


@pytest.mark.parametrize("shape", [(1, 64, 64), (1, 1, 1), (2, 3, 2), (5, 33, 47)])
def test_any_shape_will_do(shape):
    hu = np.random.default_rng(0).integers(-1000, 100, shape).astype(np.int16)
    assert find_lungs(Scan(hu, np.diag([-2.0, -2, 4, 1]))).sides.shape == shape


def test_one_slice_is_enough():
    scan = draw()
    middle = Scan(scan.hu[24:25], scan.affine)
    field = find_lungs(middle)
    assert overlap(field.sides[0] == RIGHT, lungs()[0][24]) > 0.95
    assert overlap(field.sides[0] == LEFT, lungs()[1][24]) > 0.95


def test_a_picture_whose_border_is_no_air_is_a_crop_around_the_lungs():
    scan = phantom(0, shape=(12, 96, 96)).scan
    boxes = lung_boxes(find_lungs(scan).mask, Preparation())
    looked_at = [(z, box) for z, box in enumerate(boxes) if box is not None]
    assert len(looked_at) > 6
    for z, box in looked_at:
        grey = np.clip((scan.hu[z] + 1350.0) / 1500 * 255, 0, 255).astype(np.uint8)[None]
        grey = grey.repeat(3, axis=1).repeat(3, axis=2)  # lungs of so few pixels would be too small
        top, left, bottom, right = (3 * edge for edge in box)
        whole, crop = (GreyImage(part).with_window(-1350, 150) for part in (grey, grey[:, top:bottom, left:right]))
        assert not looks_cropped(whole)
        assert not lung_field(whole).cropped
        assert looks_cropped(crop)
        assert lung_field(crop).cropped
    assert not lung_field(scan).cropped  # of a scan nothing is guessed


@pytest.mark.real
def test_real_pictures_are_told_apart(data):
    training = data / "covid_semiseg" / "TrainingSet"
    crops = sorted(training.rglob("Imgs/*.jpg"))[::40]
    assert len(crops) > 40
    assert all(looks_cropped(_scan_of(read(path).grey)) for path in crops)
    for plane in read(data / "covid_ct_md" / "P002").hu[::15]:
        for black, white in ((-1350.0, 150.0), (-1000.0, 400.0)):
            grey = np.clip((plane - black) / (white - black) * 255, 0, 255).astype(np.uint8)[None]
            assert not looks_cropped(_scan_of(grey))


def _scan_of(grey):
    made = calibrate(histogram(grey))
    return GreyImage(grey).with_window(made.black_hu, made.white_hu)
