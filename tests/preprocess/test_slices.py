import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from groundglass.errors import LabelError, UsageError
from groundglass.labels import UNKNOWN
from groundglass.preprocess.preparation import Preparation
from groundglass.preprocess.slices import frame, lung_boxes, prepare_image, prepare_labels, restore, tiles

PREPARATION = Preparation(size=(96, 96))
WINDOW = PREPARATION.window_hu
SHAPE, BOX = (200, 240), (30, 20, 150, 210)


def blobs(shape=SHAPE, seed=0):
    """A mask of a few smooth lesions, some tens of pixels wide."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 12)
    return noise > np.quantile(noise, 0.8)


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


@pytest.mark.parametrize("fit", ["letterbox", "stretch"])
@pytest.mark.parametrize(("size", "least"), [((288, 288), 0.99), ((224, 320), 0.99), ((96, 96), 0.96)])
def test_a_mask_survives_the_way_there_and_back(fit, size, least):
    where = frame(SHAPE, BOX, replace(PREPARATION, size=size, fit=fit))
    mask = blobs()
    mask[: BOX[0]] = mask[BOX[2] :] = False
    mask[:, : BOX[1]] = mask[:, BOX[3] :] = False
    prepared = prepare_labels(np.where(mask, 4, 3).astype(np.uint8), where) == 4
    back = restore(prepared[None].astype(np.float32), where)[0]
    assert back.shape == SHAPE
    assert dice(back > 0.5, mask) > least


@pytest.mark.parametrize("size", [(288, 288), (50, 64)])
def test_nothing_is_shifted_by_half_a_pixel(size):
    """Centres of mass stay where they are, to a twentieth of a pixel."""
    where = frame(SHAPE, BOX, replace(PREPARATION, size=size))
    rows, columns = np.indices(SHAPE)
    spot = np.exp(-((rows - 80) ** 2 + (columns - 110) ** 2) / (2 * 9**2))
    hu = WINDOW[0] + spot * (WINDOW[1] - WINDOW[0])
    back = restore(prepare_image(hu, where, WINDOW)[None], where)[0]
    np.testing.assert_allclose(ndimage.center_of_mass(back), (80, 110), atol=0.05)


def test_letterboxing_keeps_proportions_and_stretching_does_not():
    assert frame(SHAPE, BOX, PREPARATION).inner == (17, 0, 78, 96)  # 120 x 190 to 60.6 x 96, and 17 or 18 above
    assert frame(SHAPE, BOX, replace(PREPARATION, fit="stretch")).inner == (0, 0, 96, 96)
    assert frame(SHAPE, None, PREPARATION).box == (0, 0, 200, 240)


def test_padding_is_air_of_unknown_label():
    where = frame(SHAPE, BOX, PREPARATION)
    image = prepare_image(np.zeros(SHAPE, np.int16), where, WINDOW)
    labels = prepare_labels(np.full(SHAPE, 3, np.uint8), where)
    np.testing.assert_array_equal(image == 0, labels == UNKNOWN)
    assert set(np.unique(labels)) == {3, UNKNOWN}
    assert (labels[0] == UNKNOWN).all()


def test_the_window_goes_from_0_to_1_and_is_cut_off_before_resizing():
    hu = np.full((40, 40), -600.0)
    hu[::2] = 3000  # metal: as bright as 150 HU, not brighter
    image = prepare_image(hu, frame((40, 40), None, replace(PREPARATION, size=(20, 20))), (-1350, 150))
    np.testing.assert_allclose(image[5:-5], (0.5 + 1) / 2, atol=0.02)
    plain = prepare_image(np.array([[-1350.0, -600, 150]] * 16), frame((16, 3), None, PREPARATION), (-1350, 150))
    assert (plain.min(), plain.max()) == (0, 1)


def test_labels_take_the_set_that_has_most_of_a_pixel():
    codes = np.full((64, 64), 3, np.uint8)
    codes[:, 20:] = 8  # 1.25 of four columns: the pixel of columns 20 to 23 is 8, the one before is 3
    small = prepare_labels(codes, frame((64, 64), None, replace(PREPARATION, size=(16, 16))))
    assert set(np.unique(small)) == {3, 8}
    assert (small[0, :5] == 3).all()
    assert (small[0, 5:] == 8).all()


def test_what_lies_beyond_the_crop_is_said():
    where = frame(SHAPE, BOX, PREPARATION)
    whole = restore(np.full((2, 96, 96), 0.5, np.float32), where, outside=(1, 0))
    assert whole[:, 0, 0].tolist() == [1, 0]
    assert whole[:, 60, 60].tolist() == [0.5, 0.5]


def test_the_empty_set_is_refused():
    with pytest.raises(LabelError, match="0 is no label set"):
        prepare_labels(np.zeros(SHAPE, np.uint8), frame(SHAPE, BOX, PREPARATION))


def test_crops_hold_the_lungs_and_a_margin_and_are_never_tiny():
    lungs = np.zeros((4, 100, 120), bool)
    lungs[1, 20:80, 10:110] = True  # 60 x 100
    lungs[2, 40:50, 40:60] = True  # 10 x 20: widened to half of the scan's box
    lungs[3, 40, 40:43] = True  # three pixels are no slice of lung
    boxes = lung_boxes(lungs, Preparation(margin=0.02, smallest=0.5))
    assert boxes == (None, (18, 8, 82, 112), (30, 25, 60, 75), None)
    assert lung_boxes(lungs[1:2], Preparation(margin=0.5, smallest=0)) == ((0, 0, 100, 120),)
    assert lung_boxes(lungs[:1], Preparation()) == (None,)


def test_a_preparation_survives_json():
    made = Preparation(window_hu=(-1000.0, 400.0), size=(64, 128), fit="stretch", intensity="calibrated")
    assert Preparation.from_json(json.loads(json.dumps(made.as_json()))) == made


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"window_hu": [150, -1350]}, "black below white"),
        ({"size": [8, 8]}, "16 to 4096"),
        ({"fit": "crop"}, "one of"),
        ({"crop": "chest"}, "one of"),
        ({"margin": -1}, "a share"),
        ({"size": ["a", "b"]}, "numbers where numbers belong"),
        ({"extra": 1}, "size"),
    ],
)
def test_an_impossible_preparation_is_refused(change, expected):
    with pytest.raises(UsageError, match=expected):
        Preparation.from_json({**Preparation().as_json(), **change})


def test_squares_cover_a_crop_once_at_its_own_resolution():
    """120 x 190 pixels in 2 x 2 squares of 96: 96 and 24 rows, 96 and 94 columns, what is left of a square air."""
    squares = tiles(frame(SHAPE, BOX, PREPARATION))
    assert [square.box for square in squares] == [
        (30, 20, 126, 116), (30, 116, 126, 210), (126, 20, 150, 116), (126, 116, 150, 210),
    ]  # fmt: skip
    hu = np.random.default_rng(0).uniform(*WINDOW, SHAPE)
    whole = np.zeros(SHAPE)
    for square in squares:
        picture = prepare_image(hu, square, WINDOW)
        assert picture.shape == (96, 96)
        assert not picture[square.inner[2] :].any()
        assert not picture[:, square.inner[3] :].any()
        whole += restore(picture[None], square)[0]
    inside = np.zeros(SHAPE, bool)
    inside[30:150, 20:210] = True
    np.testing.assert_allclose(whole[inside], ((hu - WINDOW[0]) / 1500)[inside], atol=1e-6)
    assert not whole[~inside].any()


def test_a_crop_smaller_than_a_square_is_not_magnified():
    (square,) = tiles(frame(SHAPE, (30, 20, 60, 50), PREPARATION))
    assert (square.box, square.inner) == ((30, 20, 60, 50), (0, 0, 30, 30))
