from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from groundglass.errors import LabelError
from groundglass.evaluation.burden import measure
from groundglass.inference.predict import (
    Model,
    answers,
    channels_of,
    needs,
    parts,
    predict_batch,
    segment_by_model,
    segment_pictures,
)
from groundglass.inference.threshold import CARD
from groundglass.labels import Region
from groundglass.methods.supervised import Supervised
from groundglass.phantom import phantom
from groundglass.preprocess.lung import find_lungs
from groundglass.preprocess.preparation import Preparation
from groundglass.preprocess.slices import frame, lung_boxes, prepare_image
from groundglass.report.page import sentence
from groundglass.scan import GreyImage, Scan
from groundglass.store import open_store
from tests.toy_store import make_store

PREPARATION = Preparation(size=(64, 64))


class Grey(nn.Module):
    """Says ground glass where a picture is between -750 and -350 HU, consolidation above, as sure as it can."""

    def __init__(self):
        super().__init__()
        self.sharp = nn.Parameter(torch.tensor(100.0))

    def forward(self, image):
        hu = image.float() * 1500 - 1350
        haze = torch.minimum(hu + 750, -350 - hu) / 100
        return self.sharp * torch.cat([-hu / 100 - 7.5, haze, (hu + 350) / 100], dim=1)


class Leftmost(nn.Module):
    """Says consolidation in the left half of a picture, whatever is on it."""

    def __init__(self):
        super().__init__()
        self.sure = nn.Parameter(torch.tensor(4.0))

    def forward(self, image):
        columns = torch.arange(image.shape[3]).expand(image.shape[0], image.shape[2], -1)
        left = torch.where(columns < image.shape[3] // 2, self.sure, -self.sure)
        return torch.stack([torch.zeros_like(left), torch.full_like(left, -9), left], dim=1)


def model(network, outputs=(3, 4, 8), preparation=PREPARATION):
    return Model(Supervised(network, outputs).eval(), preparation, CARD)


@pytest.fixture(scope="module")
def made():
    return phantom(3, shape=(24, 96, 96), severity=0.2)


def test_a_slice_and_its_crop_are_one_picture_to_the_network(made):
    lungs = find_lungs(made.scan).mask
    boxes = [(z, box) for z, box in enumerate(lung_boxes(lungs, PREPARATION)) if box is not None]
    assert len(boxes) > 12
    for z, box in boxes:
        whole = made.scan.hu[z]
        crop = whole[box[0] : box[2], box[1] : box[3]]
        from_whole = prepare_image(whole, frame(whole.shape, box, PREPARATION), PREPARATION.window_hu)
        from_crop = prepare_image(crop, frame(crop.shape, None, PREPARATION), PREPARATION.window_hu)
        np.testing.assert_array_equal(from_whole, from_crop)


def test_probabilities_are_those_of_the_regions_that_the_model_tells(made):
    result = segment_by_model(made.scan, model(Grey()), probabilities=True)
    assert set(result.probabilities) == {Region.INFECTION, Region.GROUND_GLASS, Region.CONSOLIDATION}
    for levels in result.probabilities.values():
        assert levels.dtype == np.uint8
        assert levels.shape == made.scan.hu.shape
    sure = result.probabilities[Region.GROUND_GLASS] > 250
    assert sure.sum() > 100
    assert (result.codes[sure & find_lungs(made.scan).mask] == 2).mean() > 0.9
    total = result.probabilities[Region.GROUND_GLASS].astype(int) + result.probabilities[Region.CONSOLIDATION]
    assert np.abs(total - result.probabilities[Region.INFECTION]).max() <= 1  # each was rounded
    assert not segment_by_model(made.scan, model(Grey())).probabilities


def test_mirrored_views_are_mirrored_back_and_averaged():
    # left half sure of consolidation (logits 0, -9, 4), the other half sure of none (0, -9, -4): averaged over
    # left and right they are the same everywhere
    image = torch.zeros(1, 1, 4, 8)
    one = predict_batch(model(Leftmost()).method, image)
    two = predict_batch(model(Leftmost()).method, image, 2)
    torch.testing.assert_close(two, (one + one.flip(3)) / 2)
    torch.testing.assert_close(two[..., 0], two[..., -1])
    four = predict_batch(model(Leftmost()).method, image, 4)
    torch.testing.assert_close(four, two)
    # transposed, its left half is the picture's upper one: with all eight each quarter is told the same
    square = torch.zeros(1, 1, 8, 8)
    upper = predict_batch(model(Leftmost()).method, square).mT
    eight = predict_batch(model(Leftmost()).method, square, 8)
    four = predict_batch(model(Leftmost()).method, square, 4)
    torch.testing.assert_close(eight, (four + (upper + upper.flip(2)) / 2) / 2)


def test_by_eight_views_an_answer_turns_with_its_picture():
    image = torch.rand(1, 1, 8, 12, generator=torch.Generator().manual_seed(0))
    network = nn.Conv2d(1, 3, (1, 3), padding=(0, 1))  # what it sees has a direction
    torch.nn.init.normal_(network.weight, generator=torch.Generator().manual_seed(1))
    method = model(network).method
    for views, same in ((4, False), (8, True)):
        straight = predict_batch(method, image, views)
        turned = predict_batch(method, image.rot90(1, (2, 3)), views)
        assert torch.allclose(turned, straight.rot90(1, (2, 3)), atol=1e-6) == same


def test_the_answer_does_not_depend_on_whether_the_processor_has_bf16(monkeypatch):
    network = nn.Conv2d(1, 3, 3, padding=1)
    image = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    exact = model(network).method.predict(image)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    torch.testing.assert_close(predict_batch(model(network).method, image), exact, atol=1e-6, rtol=0)


def test_many_pictures_have_each_the_answer_that_it_has_alone(made):
    infected = np.argsort((made.codes >= 2).sum(axis=(1, 2)))[-9:]  # more than are predicted together
    pictures = [GreyImage(np.full((1, 50, 60), 2, np.uint8))]  # air: no lung, and no crop
    for number, z in enumerate(infected):
        plane = made.scan.hu[z, : 96 - number].repeat(3, axis=0).repeat(3, axis=1)  # of other sizes
        pictures.append(GreyImage(np.clip((plane + 1350.0) / 1500 * 255, 0, 255).astype(np.uint8)[None]))
    scans = [picture.with_window(-1350, 150) for picture in pictures]
    found = list(segment_pictures(iter(scans), model(Grey()), probabilities=True))
    for scan, together in zip(scans, found, strict=True):
        alone = segment_by_model(scan, model(Grey()), probabilities=True)
        np.testing.assert_array_equal(together.codes, alone.codes)
        assert (together.cropped, together.notices) == (alone.cropped, alone.notices)
        for region, levels in alone.probabilities.items():
            np.testing.assert_array_equal(together.probabilities[region], levels)
    assert not any(each.cropped for each in found)
    assert not found[0].codes.any()
    assert not found[0].lung_known
    assert sum((each.codes >= 2).sum() for each in found) > 1000


@pytest.mark.parametrize("cropped", [True, False])
def test_crops_around_the_lungs_are_seen_whole_and_keep_all_lesions(made, cropped):
    z = int(np.argmax((made.codes >= 2).sum(axis=(1, 2))))
    box = lung_boxes(find_lungs(made.scan).mask, PREPARATION)[z]
    crop = made.scan.hu[z, box[0] : box[2], box[1] : box[3]]
    grey = np.clip((crop + 1350.0) / 1500 * 255, 0, 255).astype(np.uint8)[None]
    picture = GreyImage(grey).with_window(-1350, 150)
    result = segment_by_model(picture, model(Grey()), cropped=cropped)  # not said, it is found out
    assert result.codes.shape == grey.shape
    truth = made.codes[z, box[0] : box[2], box[1] : box[3]] >= 2
    assert (result.codes[0] >= 2)[truth].mean() > 0.7
    taken = [notice for notice in result.notices if "crop around the lungs" in notice.text]
    assert len(taken) == (not cropped)


def test_a_picture_without_lung_keeps_its_lesions_and_has_no_share_of_lung():
    grey = np.full((1, 40, 40), 230, np.uint8)  # as dense as water
    picture = GreyImage(grey).with_window(-1350, 150)
    result = segment_by_model(picture, model(Grey()), cropped=True)
    assert (result.codes == 3).all()
    assert not result.lung_known
    burden = measure(picture, result.codes, result.sides, lung_known=result.lung_known)
    assert burden.opacity_percent is None
    assert burden.zones[0].amounts[Region.CONSOLIDATION].voxels == 1600
    assert sentence(burden) == "Infection was found, but no lung that it could be a share of."


def test_a_scan_without_lung_is_not_taken_for_a_crop():
    scan = Scan(np.full((4, 40, 40), 40, np.int16), np.diag([-1.0, -1.0, 2.0, 1.0]))
    result = segment_by_model(scan, model(Grey()))
    assert not result.codes.any()
    assert not result.lung_known


def test_what_was_never_told_apart_is_not_answered(made):
    with pytest.raises(LabelError, match="never taught to tell ground-glass opacity"):
        segment_by_model(made.scan, model(nn.Identity(), outputs=(3, 12)))
    assert channels_of((3, 12)) == {Region.INFECTION: [1]}
    assert channels_of((1, 2, 4, 8))[Region.LUNG_FIELD] == [1, 2, 3]
    needs((3, 4, 8), Region.INFECTION)


def test_a_model_of_whole_slices_is_asked_about_each(made):
    whole = replace(PREPARATION, crop="none")
    result = segment_by_model(made.scan, model(Grey(), preparation=whole), probabilities=True)
    assert result.probabilities[Region.INFECTION].any(axis=(1, 2)).all()


@pytest.mark.parametrize(
    ("size", "lengths"),
    [((64, 64), [8, 8, 1]), ((352, 352), [8, 8, 1]), ((512, 512), [3, 3, 3, 3, 3, 2]), ((2048, 1024), [1] * 17)],
)
def test_the_larger_slices_are_the_fewer_are_predicted_together(size, lengths):
    found = list(parts(range(17), size))
    assert [len(part) for part in found] == lengths
    assert [number for part in found for number in part] == list(range(17))


def test_in_tiles_a_slice_is_answered_at_its_own_resolution(made):
    """A network that looks at single pixels finds each where it is; resized to 32 pixels it finds them blurred."""
    asked = model(Grey(), preparation=Preparation(size=(32, 32), crop="none"))
    plain, tiled = (segment_by_model(made.scan, replace(asked, tiles=tiles)) for tiles in (False, True))
    hu = made.scan.hu
    haze = (hu > -749) & (hu < -351) & (plain.codes > 0) & (tiled.codes > 0)
    assert haze.sum() > 100
    assert (tiled.codes[haze] == 2).all()
    assert (plain.codes[haze] == 2).mean() < 0.95


def test_in_tiles_each_square_is_a_picture_by_itself(made):
    """What a network says of a picture's left half it says of each of the 3 x 3 squares of 96 pixels."""
    asked = replace(model(Leftmost(), preparation=Preparation(size=(32, 32), crop="none")), tiles=True)
    found = segment_by_model(made.scan, asked, probabilities=True).probabilities[Region.CONSOLIDATION]
    likely = found[0] > 127
    assert np.array_equal(likely, np.tile(np.arange(96) % 32 < 16, (96, 1)))


def test_a_stores_slices_are_answered_in_tiles_or_resized(tmp_path):
    """40 x 48 pixels in four squares of 32, the last ones padded; what the network sees is the same crop, resized."""
    store = open_store(make_store(tmp_path / "toy"))
    method = Supervised(Grey(), (3, 4, 8)).eval()
    ((_, resized, plain),) = answers(store, method, [0])
    ((number, seen, whole),) = answers(store, method, [0], in_tiles=True)
    assert (number, whole.shape, seen.shape) == (0, (3, 40, 48), resized.shape)
    np.testing.assert_allclose(whole.sum(axis=0), 1, atol=1e-5)
    inner = store.frame(0).inner
    np.testing.assert_allclose(seen[:, inner[0] : inner[2]].sum(axis=0), 1, atol=1e-5)
    hu = store.image(0)
    sure = (np.abs(hu + 750) > 5) & (np.abs(hu + 350) > 5)
    wanted = np.digitize(hu, [-750, -350])
    assert (whole.argmax(axis=0) == wanted)[sure].all()
    assert not (plain.argmax(axis=0) == wanted)[sure].all()
