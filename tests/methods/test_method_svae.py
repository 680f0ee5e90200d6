from math import log

import pytest
import torch

from groundglass.batches import Labelled, Progress, Unlabelled
from groundglass.errors import UsageError
from groundglass.losses.beta import dequantised, expected, log_density
from groundglass.methods import svae as methods
from groundglass.methods._ladder import OfLadder, active
from groundglass.networks.svae import SVAE
from groundglass.networks.unet import UNet


def method(**settings):
    torch.manual_seed(0)
    return methods.SVAE(SVAE(1, 1, widths=(8, 16)), (15,), methods.Config(**settings))


def pictures(seed=0, count=3, side=16):
    """Of a smooth field and some noise."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand((count, 1, 3, 3), generator=generator)
    fine = torch.nn.functional.interpolate(coarse, (side, side), mode="bilinear")
    return (0.8 * fine + 0.05 * torch.rand((count, 1, side, side), generator=generator)).clamp(0, 1)


def labelled(image):
    return Labelled(image, torch.full(image[:, 0].shape, 4, dtype=torch.uint8))


def only(made, step=0, by_labels=None, unlabelled=None):
    (update,) = made.updates(by_labels or labelled(pictures()), unlabelled, Progress(step, 10))
    return update


def test_the_bound_is_put_together_from_one_sample():
    """Per pixel: log Beta(x) under what z becomes, less log q(z) - log p(z) by torch's own densities."""
    made, image = method(), pictures()
    update = only(made)
    generator = torch.Generator().manual_seed(0)
    made = method()
    inferred = made.network.infer(image, generator)
    x = dequantised(image, generator)
    density = log_density(inferred.styles, x)
    torch.testing.assert_close(update.losses["likelihood"], -density.mean())
    apart = torch.zeros(())
    for z, q, p in zip(inferred.z, inferred.posterior, inferred.prior, strict=True):
        sides = [torch.distributions.Normal(side.mean, side.variance.sqrt()) for side in (q, p)]
        apart = apart + (sides[0].log_prob(z) - sides[1].log_prob(z)).sum()
    torch.testing.assert_close(update.losses["divergence"], apart / (3 * 16 * 16))
    bits = (update.losses["divergence"] + update.losses["likelihood"]).item() / log(2) + 8
    assert update.told["bits_per_pixel"].item() == pytest.approx(bits, abs=1e-5)


def test_the_divergence_by_formula_is_that_of_all_levels():
    update = only(method(divergence="formula"))
    levels = sum(update.told[f"divergence_{level}"] for level in (1, 2))
    torch.testing.assert_close(update.losses["divergence"].detach(), levels / 256)
    with pytest.raises(UsageError, match=r"The setting divergence is 'samples'\. Expected one of sample, formula"):
        methods.Config(divergence="samples")


def test_a_style_may_be_a_mean_and_a_strength():
    """Both the likelihood and the picture are of what the setting says the channels are."""
    update = only(method(beta="mean"))
    made, generator = method(beta="mean"), torch.Generator().manual_seed(0)
    inferred = made.network.infer(pictures(), generator)
    density = log_density(inferred.styles, dequantised(pictures(), generator), "mean")
    torch.testing.assert_close(update.losses["likelihood"], -density.mean())
    shown = made.eval().shown(pictures())
    torch.testing.assert_close(shown.styles, expected(made.network.infer(pictures()).styles, "mean").detach())
    with pytest.raises(UsageError, match=r"The setting beta is 'strength'\. Expected one of shapes, mean"):
        methods.Config(beta="strength")


def test_latents_of_equal_pictures_are_not_active_and_those_of_different_ones_are():
    """At every level: the means are of means, in which no sample of a coarser one is."""
    made = method().eval()
    flat, told = made.shown(pictures(count=1).expand(4, 1, 16, 16)).means, made.shown(pictures()).means
    assert flat.keys() == told.keys() == set(made.network.levels)
    assert [active(1e3 * flat[level]) for level in flat] == [0, 0]
    assert all(active(1e3 * told[level]) > 0 for level in told)
    by_hand = torch.tensor([[0.0, 1.0, 0.0], [0.0, -1.0, 0.1]]).view(2, 1, 1, 3)  # variances 0, 2, 0.005
    assert active(by_hand) == pytest.approx(1 / 3)


def test_labels_are_not_looked_at_and_unlabelled_pictures_are():
    known, other = pictures(), pictures(1)
    everywhere = Labelled(known, torch.full((3, 16, 16), 8, dtype=torch.uint8))
    assert torch.equal(only(method()).losses["likelihood"], only(method(), by_labels=everywhere).losses["likelihood"])
    both = only(method(), unlabelled=Unlabelled(other)).losses["likelihood"]
    assert torch.equal(both, only(method(), by_labels=labelled(torch.cat([known, other]))).losses["likelihood"])


def test_it_learns_to_say_pictures_in_fewer_bits_and_to_draw_some():
    made, image = method(), pictures(count=8)
    moved = torch.optim.Adam(made.network.parameters(), 0.01)
    made.train()
    bits = []
    for step in range(120):
        update = only(made, step, labelled(image))
        moved.zero_grad()
        sum(update.losses.values()).backward()
        torch.nn.utils.clip_grad_norm_(made.network.parameters(), 1.0)
        moved.step()
        bits.append(update.told["bits_per_pixel"].item())
    assert min(bits[:5]) > 7.5
    assert sum(bits[-10:]) / 10 < 6.5
    shown = made.eval().shown(image)
    assert (shown.stitched - image).abs().mean() < 0.5 * (image - image.mean()).abs().mean()
    drawn = made.sampled(5, (16, 24), torch.Generator().manual_seed(0))
    assert drawn.stitched.shape == (5, 1, 16, 24)
    assert torch.equal(drawn.stitched, made.sampled(5, (16, 24), torch.Generator().manual_seed(0)).stitched)
    assert (drawn.stitched[0] - drawn.stitched[1]).abs().max() > 0.01


def test_what_is_shown_is_of_means_unless_a_sample_is_asked_for():
    made, image = method().eval(), pictures()
    first, second = made.shown(image), made.shown(image)
    assert torch.equal(first.stitched, second.stitched)
    assert torch.equal(first.bits, second.bits)
    assert len(first.divergence) == 2
    assert not torch.equal(made.shown(image, torch.Generator().manual_seed(0)).styles, first.styles)


def test_a_network_that_generates_nothing_is_refused():
    with pytest.raises(UsageError, match=r"UNet, which does not generate as it does\. Expected the network svae"):
        OfLadder.__subclasses__()[0](UNet(1, 1, widths=(4, 8)), (15,))
