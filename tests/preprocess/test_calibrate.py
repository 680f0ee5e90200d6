import numpy as np
import pytest

from groundglass.errors import ScanError
from groundglass.io import read
from groundglass.phantom import phantom
from groundglass.preprocess.calibrate import CLIPPED_WINDOW_HU, USUAL_WINDOW_HU, calibrate, histogram
from groundglass.preprocess.lung import find_lungs
from groundglass.preprocess.preparation import Preparation
from groundglass.preprocess.slices import lung_boxes

WINDOWS = [(-1350, 150), (-1000, 400), (-1400, 200), (-1150, 350), (-1024, 1500)]
PLACES = np.array([-950.0, -850, -600, -300, 40])  # HU at which the error is asked for


def drawn(hu, window):
    black, white = window
    return np.clip(np.rint((hu - np.float32(black)) / (white - black) * 255), 0, 255).astype(np.uint8)


def crops(scan):
    boxes = lung_boxes(find_lungs(scan).mask, Preparation())
    return [
        plane[box[0] : box[2], box[1] : box[3]].astype(np.float32)
        for plane, box in zip(scan.hu, boxes, strict=True)
        if box is not None
    ]


def errors_hu(calibration, window):
    black, white = window
    share = (PLACES - black) / (white - black)
    return calibration.black_hu + share * (calibration.white_hu - calibration.black_hu) - PLACES


def two_peaks(lung_hu=-860, soft_hu=40, window=(-1350, 150), dark_share=0.005):
    rng = np.random.default_rng(0)
    hu = np.concatenate(
        [rng.normal(lung_hu, 40, 60_000), rng.normal(soft_hu, 25, 40_000), np.full(int(100_000 * dark_share), -1005)]
    )
    return drawn(hu.astype(np.float32), window)


@pytest.mark.parametrize("window", WINDOWS)
def test_two_peaks_give_the_window_back(window):
    found = calibrate(histogram([two_peaks(window=window)]))
    assert found.how == "peaks"
    assert abs(errors_hu(found, window)).max() < 25


def test_haze_in_all_of_the_lung_is_not_taken_for_healthy_lung():
    window = (-1350, 150)
    found = calibrate(histogram([two_peaks(lung_hu=-600, window=window)]))
    assert abs(errors_hu(found, window)).max() < 60  # 260 if the peak were taken to be lung


def test_the_soft_tissue_peak_lies_where_it_should():
    found = calibrate(histogram([two_peaks()]))
    assert found.black_hu + found.soft_grey / 255 * (found.white_hu - found.black_hu) == pytest.approx(40)


def test_clipped_soft_tissue_falls_back_to_the_stated_window_else_to_one_in_which_it_is_white():
    clipped = histogram([two_peaks(window=(-1200, -100))])
    assert (found := calibrate(clipped, (-1100.0, 50.0))).how == "stated"
    assert (found.black_hu, found.white_hu) == (-1100, 50)
    assert (found := calibrate(clipped)).how == "prior"
    assert (found.black_hu, found.white_hu) == CLIPPED_WINDOW_HU
    flat = calibrate(np.full(256, 10))  # nothing clipped, and no peak
    assert (flat.how, flat.black_hu, flat.white_hu) == ("prior", *USUAL_WINDOW_HU)


def test_without_a_lung_peak_a_usual_window_is_moved_to_fit_soft_tissue():
    rng = np.random.default_rng(0)
    hu = np.concatenate([rng.uniform(-900, -100, 30_000), rng.normal(40, 25, 40_000)]).astype(np.float32)
    found = calibrate(histogram([drawn(hu, (-1150, 350))]))
    assert found.how == "prior"
    assert abs(errors_hu(found, (-1150, 350))).max() < 120


def test_grey_becomes_hu_by_the_straight_line():
    found = calibrate(histogram([two_peaks()]))
    hu = found.to_hu(np.array([[0, 255]], np.uint8))
    assert hu.dtype == np.int16
    assert hu.tolist() == [[round(found.black_hu), round(found.white_hu)]]


def test_no_image_and_an_impossible_window_are_refused():
    with pytest.raises(ScanError, match="No grey values"):
        calibrate(histogram([]))
    with pytest.raises(ScanError, match="black below white"):
        calibrate(histogram([two_peaks()]), (100, 100))


def test_one_colour_only_is_answered_too():
    assert calibrate(histogram([np.full((4, 4), 7, np.uint8)])).how == "prior"


@pytest.fixture(scope="module", params=range(3))
def haze(request):
    return crops(phantom(request.param, shape=(32, 192, 192), hard="diffuse_haze").scan)


@pytest.mark.parametrize("window", WINDOWS)
def test_a_phantom_with_haze_in_most_of_its_lung(haze, window):
    found = calibrate(histogram([drawn(plane, window) for plane in haze]))
    assert abs(errors_hu(found, window)).max() < 125  # worst: the widest window; the others stay within 60


@pytest.fixture(scope="module", params=["P002", "normal002"])
def real_crops(request, data):
    return crops(read(data / "covid_ct_md" / request.param))


@pytest.mark.real
@pytest.mark.parametrize("window", WINDOWS)
def test_lung_crops_of_real_ct(real_crops, window):
    pictures = [drawn(plane, window) for plane in real_crops]
    assert abs(errors_hu(calibrate(histogram(pictures)), window)).max() < 35
    single = np.array([errors_hu(calibrate(histogram([picture])), window) for picture in pictures])
    assert abs(single).mean() < 35
