"""What holds for every augmentation of the folder: each file with a class of its name."""

from dataclasses import replace

import pytest
import torch

from groundglass.augment.strong import Strong
from groundglass.batches import Labelled, Unlabelled
from groundglass.errors import UsageError
from groundglass.lookup import find, names

PACKAGE = "groundglass.augment"


def found():
    for name in names(PACKAGE):
        try:
            yield find(PACKAGE, name)
        except UsageError:  # a file of parts
            continue


@pytest.fixture(params=list(found()), ids=lambda kind: kind.__name__)
def augment(request):
    return request.param()


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def batch():
    generator = seeded(7)
    sets = torch.tensor([3, 4, 8], dtype=torch.uint8)[torch.randint(0, 3, (6, 32, 32), generator=generator)]
    image = torch.rand((6, 1, 32, 32), generator=generator)
    return Labelled(image, sets, torch.rand((6, 3, 32, 32), generator=generator).softmax(dim=1))


def test_there_are_two():
    assert {kind.__name__ for kind in found()} >= {"Weak", "Strong"}


def test_gives_an_image_in_0_to_1_label_sets_and_a_prior_that_sums_to_1(augment, batch):
    for seed in range(5):
        new = augment(batch, seeded(seed))
        assert (new.image.shape, new.image.dtype) == (batch.image.shape, torch.float32)
        assert new.image.min() >= 0
        assert new.image.max() <= 1
        assert (new.label_set.shape, new.label_set.dtype) == (batch.label_set.shape, torch.uint8)
        assert set(new.label_set.unique().tolist()) <= {3, 4, 8, 15}
        torch.testing.assert_close(new.prior.sum(dim=1), torch.ones(6, 32, 32))


def test_changes_images_and_leaves_the_batch_it_was_given(augment, batch):
    before = batch.image.clone(), batch.label_set.clone(), batch.prior.clone()
    new = augment(batch, seeded())
    assert not torch.equal(new.image, batch.image)
    assert all(torch.equal(*pair) for pair in zip(before, (batch.image, batch.label_set, batch.prior), strict=True))


def test_random_numbers_come_from_the_generator_alone(augment, batch):
    state = torch.get_rng_state()
    one, again, other = (augment(batch, seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(one.image, again.image)
    assert torch.equal(one.label_set, again.label_set)
    assert not torch.equal(one.image, other.image)
    assert torch.equal(torch.get_rng_state(), state)


def test_an_unlabelled_batch_stays_one_and_gets_the_same_image(augment, batch):
    new = augment(Unlabelled(batch.image), seeded())
    assert isinstance(new, Unlabelled)
    assert torch.equal(new.image, augment(batch, seeded()).image)


def test_what_is_shown_moves_with_the_image(augment, batch):
    """Slices that are white where they are shown and black in the padding: hidden pixels are not brighter."""
    shown = torch.zeros(6, 32, 32, dtype=torch.bool)
    shown[:, 6:26] = True
    calm = replace(
        augment, brightness=0.0, contrast=0.0, **{n: 0.0 for n in ("noise", "cutout_share") if hasattr(augment, n)}
    )
    for seed in range(5):
        new = calm(Unlabelled(shown[:, None].float(), shown=shown), seeded(seed))
        assert new.shown.dtype == torch.bool
        assert 0.3 < new.shown.float().mean() < 0.8
        assert ((new.image.squeeze(1) > 0.5) == new.shown).float().mean() > 0.95
    assert augment(batch, seeded()).shown is None


def test_oblong_images_are_served(augment):
    new = augment(Labelled(torch.rand(2, 1, 32, 48), torch.full((2, 32, 48), 3, dtype=torch.uint8)), seeded())
    assert new.image.shape == (2, 1, 32, 48)
    assert new.label_set.shape == (2, 32, 48)


def test_jitters_brightness_at_least_as_much_as_calibration_errs(augment):
    assert 1500 * augment.brightness >= 60


def test_everything_can_be_turned_off(batch):
    nothing = dict.fromkeys(
        ("rotation_degrees", "scale", "shift", "elastic", "brightness", "contrast", "gamma", "noise"), 0.0
    )
    off = Strong(symmetry=False, blur_share=0, cutout_share=0, cutmix_share=0, **nothing)
    torch.testing.assert_close(off(batch, seeded()).image, batch.image)


def test_holes_keep_their_labels(batch):
    holes = Strong(symmetry=False, rotation_degrees=0, scale=0, shift=0, elastic=0, cutout_share=1, cutmix_share=0)
    assert torch.equal(holes(batch, seeded()).label_set, batch.label_set)


def test_soft_labels_move_as_the_picture_does_and_know_nothing_outside(augment, batch):
    sure = torch.ones(6, 3, 32, 32) / 3
    new = augment(replace(batch, soft=sure), seeded())
    assert new.soft.shape == sure.shape
    total = new.soft.sum(dim=1)
    assert total.max() <= 1 + 1e-5
    inside = augment(replace(batch, prior=None), seeded()).label_set != 15
    assert (total[inside] > 0.2).all()  # at the edge a pixel is between known and unknown
    assert total[~inside].mean() < 0.3
