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
from groundglass.scan import GreyImage, Scan
from tests.thorax import SHAPE, draw, ellipsoid, grid, lungs, trachea


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
    scan = draw(emphysema=(right | left, -990), airways=(bronchus | trachea(), -1000))
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
