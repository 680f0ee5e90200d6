import pytest
import torch

from groundglass.errors import UsageError
from groundglass.networks._coach import Coach, enlarged, kept


def scores(*values):
    return torch.tensor(values, dtype=torch.float32).view(1, 1, 1, -1)


def test_eq_2_and_3_by_hand():
    """Of 4, 3, 2, 1 three quarters are kept: the third, 2, is taken away, and its own sigmoid is 1/2."""
    mask = kept(scores(1, 4, 2, 3), share=0.75, sharpness=1.0)
    assert mask.flatten().tolist() == pytest.approx([x.sigmoid().item() for x in torch.tensor([-1.0, 2.0, 0.0, 1.0])])


def test_sharp_it_keeps_the_share_and_erases_the_rest():
    mask = kept(torch.randperm(100).float().view(1, 1, 10, 10), share=0.75, sharpness=100.0)
    assert (mask > 0.5).sum() == 74
    assert (mask == 0.5).sum() == 1
    assert (mask < 1e-6).sum() == 25


def test_each_picture_has_its_own_threshold_and_a_shift_of_its_scores_changes_nothing():
    torch.manual_seed(0)
    two = torch.randn(2, 1, 4, 4)
    moved = two + torch.tensor([5.0, -3.0]).view(2, 1, 1, 1)
    torch.testing.assert_close(kept(moved, 0.75, 1.0), kept(two, 0.75, 1.0))


def test_cells_are_16_pixels_wide():
    big = enlarged(scores(1, 2))
    assert big.shape == (1, 1, 16, 32)
    assert (big[..., :16] == 1).all()
    assert (big[..., 16:] == 2).all()


def test_a_score_for_each_cell_and_a_divergence_of_the_head_alone():
    torch.manual_seed(0)
    coach = Coach().eval()
    image = torch.rand(2, 1, 32, 48)
    with torch.no_grad():
        told, divergence = coach(image, None)
        assert told.shape == (2, 1, 2, 3)
        for head in (coach.mean, coach.log_variance):
            head.weight.zero_()
            head.bias.zero_()
        assert coach(image, None)[1] == 0
        coach.mean.bias.fill_(2.0)  # 1/2 of 2^2, in 100 channels and 6 cells
        assert coach(image, None)[1].item() == pytest.approx(0.5 * 4 * 100 * 6)
    assert divergence > 0


def test_noise_is_the_generators():
    coach, image = Coach().eval(), torch.rand(1, 1, 32, 32)
    with torch.no_grad():
        drawn = [coach(image, torch.Generator().manual_seed(seed))[0] for seed in (1, 1, 2)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_a_size_without_whole_cells_is_refused():
    with pytest.raises(UsageError, match=r"cells of 16 x 16 pixels; the pictures have \(24, 32\)"):
        Coach()(torch.rand(1, 1, 24, 32), None)
