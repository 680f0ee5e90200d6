import torch

from groundglass.augment._cutmix import boxes, cutmix, cuts
from groundglass.batches import Labelled, Unlabelled


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_a_box_comes_from_the_partner_and_the_rest_stays():
    image = torch.arange(4.0).view(4, 1, 1, 1).expand(-1, -1, 10, 10)
    cut = cuts(tuple(image.shape), seeded())
    found = cut.paste(image)
    assert torch.equal(found == image, ~cut.box)
    assert (found[cut.box] == cut.partner.view(4, 1, 1, 1).expand_as(image)[cut.box]).all()


def test_image_labels_and_prior_are_cut_alike():
    sets = (1 + 15 * torch.rand((16, 12, 20), generator=seeded())).to(torch.uint8)
    image = sets.unsqueeze(1) / 15
    found = cutmix(Labelled(image, sets, image), seeded())
    assert torch.equal(found.image, found.label_set.unsqueeze(1) / 15)
    assert torch.equal(found.prior, found.image)
    assert not torch.equal(found.image, image)


def test_nobody_is_its_own_partner_and_everybody_is_somebodys():
    for seed in range(20):
        partner = cuts((5, 1, 8, 8), seeded(seed)).partner
        assert (partner != torch.arange(5)).all()
        assert sorted(partner.tolist()) == list(range(5))


def test_a_sample_alone_stays_what_it_is():
    image = torch.rand(1, 1, 8, 8)
    assert torch.equal(cutmix(Unlabelled(image), seeded()).image, image)


def test_boxes_are_rectangles_that_hold_half_of_an_image_on_average():
    box = cuts((1000, 1, 40, 60), seeded()).box.squeeze(1)
    tall, wide = box.any(dim=2).sum(dim=1), box.any(dim=1).sum(dim=1)
    assert (box.sum(dim=(1, 2)) == tall * wide).all()
    assert 0.46 < box.float().mean() < 0.54


def test_a_share_of_the_samples_is_cut():
    cut = cuts((1000, 1, 40, 40), seeded(), share=0.3).box.flatten(1).any(dim=1)
    assert 0.25 < cut.float().mean() < 0.33


def test_boxes_of_a_stated_size_lie_anywhere_inside():
    tall, wide = torch.full((2000, 1), 1 / 2), torch.full((2000, 1), 1 / 4)
    box = boxes((8, 12), tall, wide, seeded())
    assert (box.shape, box.dtype) == ((2000, 1, 8, 12), torch.bool)
    assert (box.any(dim=3).sum(dim=2) == 4).all()
    assert (box.any(dim=2).sum(dim=2) == 3).all()
    assert len({tuple(one.nonzero()[0].tolist()) for one in box[:, 0]}) == 5 * 10
