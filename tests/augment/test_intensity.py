import pytest
import torch

from groundglass.augment._intensity import blur, cutout, gamma, noise, rescale


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def grey(value, count=500, size=4):
    return torch.full((count, 1, size, size), value)


def test_brightness_shifts_by_at_most_60_of_1500_hu_and_reaches_it(generator):
    hu = 1500 * (rescale(grey(0.5), generator, shift=0.04, contrast=0.0) - 0.5)
    assert -60.001 < hu.min() < -58
    assert 58 < hu.max() < 60.001


def test_contrast_turns_about_the_middle(generator):
    image = torch.tensor([0.25, 0.5, 0.75]).view(1, 1, 1, 3).expand(500, -1, -1, -1)
    low, middle, high = rescale(image, generator, shift=0.0, contrast=0.25).unbind(dim=-1)
    torch.testing.assert_close(middle, torch.full_like(middle, 0.5))
    torch.testing.assert_close(0.5 - low, high - 0.5)
    assert 4 * (high - 0.5).min() == pytest.approx(1 / 1.25, rel=0.02)
    assert 4 * (high - 0.5).max() == pytest.approx(1.25, rel=0.02)


def test_what_leaves_the_window_is_cut(generator):
    image = rescale(torch.cat([grey(0.0), grey(1.0)]), generator, shift=0.1, contrast=0.5)
    assert image.min() == 0
    assert image.max() == 1


def test_gamma_keeps_both_ends_and_moves_the_middle(generator):
    for end in (0.0, 1.0):
        assert (gamma(grey(end), generator, gamma=0.5) == end).all()
    found = gamma(grey(0.25), generator, gamma=0.5)
    assert found.min() == pytest.approx(0.25**1.5, rel=0.02)
    assert found.max() == pytest.approx(0.25 ** (1 / 1.5), rel=0.02)


def test_a_blur_spreads_a_point_alike_in_all_directions_and_keeps_its_sum(generator):
    point = torch.zeros(20, 1, 21, 21)
    point[..., 10, 10] = 1
    found = blur(point, generator, sigma_pixels=1.5, share=1.0)
    torch.testing.assert_close(found, found.transpose(-1, -2))
    torch.testing.assert_close(found, found.flip(-1))
    torch.testing.assert_close(found.sum(dim=(1, 2, 3)), torch.ones(20))
    along = torch.arange(21) - 10.0
    sigma = (found.squeeze(1).sum(dim=1) * along**2).sum(dim=1).sqrt()
    assert sigma.min() < 0.5
    assert 1.2 < sigma.max() < 1.5


def test_a_blur_repeats_edges_and_takes_a_share(generator):
    assert torch.allclose(blur(grey(0.3), generator, sigma_pixels=1.5, share=1.0), grey(0.3))
    image = torch.rand(400, 1, 8, 8, generator=generator)
    changed = (blur(image, generator, sigma_pixels=5.0, share=0.25) != image).flatten(1).any(dim=1)
    assert 0.18 < changed.float().mean() < 0.3
    assert torch.equal(blur(image, generator, sigma_pixels=1.0, share=0.0), image)


def test_noise_is_white_and_as_strong_as_drawn(generator):
    found = noise(grey(0.5, count=300, size=32), generator, noise=0.1) - 0.5
    strength = found.flatten(1).std(dim=1)
    assert strength.max() == pytest.approx(0.1, rel=0.1)
    assert strength.min() < 0.01
    assert abs(found.mean()) < 1e-3
    assert abs((found[..., 1:] * found[..., :-1]).mean() / found.var()) < 0.02


def test_a_hole_is_one_grey_rectangle_no_larger_than_said(generator):
    image = 2 + torch.rand(200, 1, 20, 20, generator=generator)  # no grey of a hole occurs in it
    found = cutout(image, generator, side=0.3, share=0.5)
    holes = (found != image).squeeze(1)
    assert 0.3 < holes.flatten(1).any(dim=1).float().mean() < 0.6
    assert holes.any(dim=1).sum(dim=1).max() <= 6
    assert holes.any(dim=2).sum(dim=1).max() <= 6
    for sample, hole in zip(found.squeeze(1), holes, strict=True):
        if hole.any():
            assert len(sample[hole].unique()) == 1
            assert hole.sum() == hole.any(dim=0).sum() * hole.any(dim=1).sum()
