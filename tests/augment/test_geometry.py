import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from groundglass.augment._geometry import sampling_grid, symmetries, symmetry, warp
from groundglass.batches import Labelled, Unlabelled

STILL = {"rotation_degrees": 0, "scale": 0, "shift": 0, "elastic": 0, "elastic_nodes": 5}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def drawn(image):
    """A batch whose labels can be read off the image: set = 15 * intensity, in 1 to 14."""
    sets = (1 + 14 * torch.rand(image, generator=seeded())).to(torch.uint8)
    return Labelled(sets.unsqueeze(1) / 15, sets)


def moved(pixels, size=(16, 16)):
    """A grid that looks ``pixels`` (x, y) farther."""
    theta = torch.tensor([[1, 0, 2 * pixels[0] / size[1]], [0, 1, 2 * pixels[1] / size[0]]]).unsqueeze(0)
    return F.affine_grid(theta, [1, 1, *size], align_corners=False)


@pytest.mark.parametrize(
    ("which", "expected"),
    [
        (0, [[1, 2], [3, 4]]),
        (1, [[2, 1], [4, 3]]),
        (2, [[3, 4], [1, 2]]),
        (3, [[4, 3], [2, 1]]),
        (4, [[1, 3], [2, 4]]),
        (5, [[3, 1], [4, 2]]),
        (6, [[2, 4], [1, 3]]),
        (7, [[4, 2], [3, 1]]),
    ],
)
def test_the_eight_symmetries_of_the_square(which, expected):
    assert symmetry(torch.tensor([[1, 2], [3, 4]]), which).tolist() == expected


def test_symmetries_turn_image_labels_and_prior_alike_and_exactly():
    batch = drawn((64, 6, 6))
    found = symmetries(Labelled(batch.image, batch.label_set, batch.image), seeded())
    assert torch.equal(found.image, found.label_set.unsqueeze(1) / 15)
    assert torch.equal(found.prior, found.image)


def test_all_eight_occur_in_squares_and_four_in_oblong_images():
    square = torch.arange(4.0).view(1, 1, 2, 2).expand(200, -1, -1, -1)
    oblong = torch.arange(6.0).view(1, 1, 2, 3).expand(200, -1, -1, -1)
    assert len(symmetries(Unlabelled(square), seeded()).image.unique(dim=0)) == 8
    found = symmetries(Unlabelled(oblong), seeded()).image
    assert found.shape == oblong.shape
    assert len(found.unique(dim=0)) == 4


def test_a_grid_that_stands_still_changes_nothing():
    batch = drawn((2, 16, 24))
    found = warp(batch, sampling_grid(2, (16, 24), seeded(), **STILL))
    assert torch.equal(found.label_set, batch.label_set)
    torch.testing.assert_close(found.image, batch.image, rtol=0, atol=1e-5)


def test_what_lies_outside_is_0_unknown_and_undecided():
    batch = drawn((1, 16, 16))
    prior = torch.tensor([0.7, 0.2, 0.1]).view(1, 3, 1, 1).expand(-1, -1, 16, 16)
    everything = torch.ones(1, 16, 16, dtype=torch.bool)
    found = warp(Labelled(batch.image, batch.label_set, prior, shown=everything), moved((3, 0)))
    assert found.shown[..., :13].all()
    assert not found.shown[..., 13:].any()
    assert torch.equal(found.label_set[..., :13], batch.label_set[..., 3:])
    assert (found.label_set[..., 13:] == 15).all()
    torch.testing.assert_close(found.image[..., :13], batch.image[..., 3:], rtol=0, atol=1e-5)
    assert found.image[..., 13:].max() < 1e-5
    torch.testing.assert_close(found.prior[0, :, 0, 0], torch.tensor([0.7, 0.2, 0.1]))
    torch.testing.assert_close(found.prior[0, :, 0, 15], torch.full((3,), 1 / 3))


@pytest.mark.parametrize("seed", range(10))
def test_every_set_of_a_warp_occurs_in_the_input_or_is_unknown(seed):
    sets = torch.tensor([3, 4, 8], dtype=torch.uint8)[torch.randint(0, 3, (4, 32, 40), generator=seeded(seed))]
    wild = {"rotation_degrees": 45, "scale": 0.5, "shift": 0.2, "elastic": 0.1, "elastic_nodes": 4}
    grid = sampling_grid(4, (32, 40), seeded(seed), **wild)
    found = warp(Labelled(torch.rand(4, 1, 32, 40), sets), grid).label_set
    assert found.dtype == torch.uint8
    assert set(found.unique().tolist()) == {3, 4, 8, 15}


def test_labels_stay_where_the_image_shows_them():
    """A disc of radius 40: the centres of image and label, half a pixel apart if 'nearest' shifted, agree better."""
    places = torch.arange(128) - 70.0
    distance = (places[:, None] ** 2 + places[None] ** 2).sqrt().expand(8, 1, -1, -1)
    image = (40.5 - distance).clamp(0, 1)
    sets = torch.where(distance < 40, 4, 3).to(torch.uint8).squeeze(1)
    grid = sampling_grid(8, (128, 128), seeded(), **STILL | {"rotation_degrees": 30, "scale": 0.2, "elastic": 0.01})
    found = warp(Labelled(image, sets), grid)
    shown, told = found.image.squeeze(1) > 0.5, found.label_set == 4
    for axis in (1, 2):
        along = torch.arange(128.0).view((1, -1, 1) if axis == 1 else (1, 1, -1))
        gap = (shown * along).sum((1, 2)) / shown.sum((1, 2)) - (told * along).sum((1, 2)) / told.sum((1, 2))
        assert gap.abs().max() < 0.2
        assert gap.mean().abs() < 0.05
    assert (shown != told).sum() < 0.015 * told.sum()


def test_a_rotation_turns_pixels_of_oblong_images_too():
    """Neighbours stay one pixel apart, and rows stay at right angles to columns."""
    size = torch.tensor([48.0, 24.0]) / 2
    pixels = sampling_grid(3, (24, 48), seeded(), **STILL | {"rotation_degrees": 40}) * size
    right, down = pixels[:, 0, 1] - pixels[:, 0, 0], pixels[:, 1, 0] - pixels[:, 0, 0]
    torch.testing.assert_close(right.norm(dim=1), torch.ones(3))
    torch.testing.assert_close(down.norm(dim=1), torch.ones(3))
    torch.testing.assert_close((right * down).sum(1), torch.zeros(3), rtol=0, atol=1e-4)
    assert right[:, 1].abs().max() > 0.1  # they do turn


def test_scale_and_shift_reach_their_limits_and_no_farther():
    pixels = sampling_grid(500, (20, 20), seeded(), **STILL | {"scale": 0.25}) * 10
    step = (pixels[:, 0, 1] - pixels[:, 0, 0]).norm(dim=1)
    assert step.min() == pytest.approx(1 / 1.25, rel=0.02)
    assert step.max() == pytest.approx(1.25, rel=0.02)
    middle = (sampling_grid(500, (20, 20), seeded(), **STILL | {"shift": 0.1}) * 10).mean(dim=(1, 2)).abs()
    assert middle.max() == pytest.approx(2, rel=0.02)  # a tenth of 20 pixels


def test_a_bend_is_smooth():
    still = sampling_grid(20, (64, 64), seeded(), **STILL)
    bend = (sampling_grid(20, (64, 64), seeded(), **STILL | {"elastic": 0.02}) - still) * 32
    assert 0.5 < bend.std() < 64 * 0.02  # pixels; between the nodes it is less than at them
    assert (bend[:, 1:] - bend[:, :-1]).abs().max() < 1  # nothing folds


def test_a_crop_is_a_square_of_whole_pixels_anywhere_in_the_image():
    pixels = sampling_grid(400, (20, 30), seeded(), **STILL, crop=8) * torch.tensor([15.0, 10.0])
    assert pixels.shape == (400, 8, 8, 2)
    torch.testing.assert_close(pixels[:, 0, 1] - pixels[:, 0, 0], torch.tensor([1.0, 0.0]).expand(400, -1))
    torch.testing.assert_close(pixels[:, 1, 0] - pixels[:, 0, 0], torch.tensor([0.0, 1.0]).expand(400, -1))
    corner = pixels[:, 0, 0] - 0.5 + torch.tensor([15.0, 10.0])  # from 0 to 22 and to 12
    assert corner.min() >= -1e-4
    assert (corner.amax(0) - torch.tensor([22.0, 12.0])).abs().max() < 0.3
    assert corner.amin(0).max() < 0.3


def test_a_crop_shows_what_the_image_does_at_the_same_size():
    """Turned or bent as much as a whole image would be: neighbours lie as far apart."""
    wild = STILL | {"rotation_degrees": 40, "scale": 0.2, "elastic": 0.01}
    whole, crop = (
        sampling_grid(64, (64, 96), seeded(), **wild, crop=c) * torch.tensor([48.0, 32.0]) for c in (None, 32)
    )
    whole_step, crop_step = ((grid[:, :, 1:] - grid[:, :, :-1]).norm(dim=-1) for grid in (whole, crop))
    assert crop_step.mean().item() == pytest.approx(whole_step.mean().item(), rel=0.02)
    assert crop_step.std().item() == pytest.approx(whole_step.std().item(), rel=0.15)
    image = torch.zeros(1, 1, 64, 96)
    image[..., 20:40, 30:60] = 1
    sets = torch.where(image[:, 0] > 0, 4, 3).to(torch.uint8)
    found = warp(Labelled(image.expand(64, -1, -1, -1), sets.expand(64, -1, -1)), crop / torch.tensor([48.0, 32.0]))
    inside = found.label_set != 15
    assert ((found.image[:, 0] > 0.5) == (found.label_set == 4))[inside].float().mean() > 0.98
