from math import log

import pytest
import torch

from groundglass.errors import UsageError
from groundglass.networks.stichnet2020 import Gauss, StichNet2020, separated

LEVELS = 3


def network(seed=0, **settings):
    torch.manual_seed(seed)
    made = StichNet2020(**{"widths": (8, 8, 4), "blocks": 8} | settings)
    with torch.no_grad():
        for number in range(20):  # so that batch statistics are not those of an untrained network
            made.infer(pictures(number), torch.Generator().manual_seed(number))
    return made.eval()


def pictures(seed=0, count=2, side=16):
    return torch.rand((count, 1, side, side), generator=torch.Generator().manual_seed(seed))


def logs(*probabilities):
    return torch.tensor([log(p) for p in probabilities]).view(1, -1, 1, 1)


def test_lung_separation_by_hand():
    """3/4 in the lung, of which 1/2, 1/3 and 1/6: outside 1/4, then 3/8, 1/4, 1/8. Logits may be shifted."""
    found = separated(logs(0.25, 0.75) + 5, logs(1 / 2, 1 / 3, 1 / 6) - 2)
    assert found.exp().flatten().tolist() == pytest.approx([1 / 4, 3 / 8, 1 / 4, 1 / 8])
    assert found.softmax(dim=1).flatten().tolist() == pytest.approx([1 / 4, 3 / 8, 1 / 4, 1 / 8])


def test_no_lesion_lies_outside_of_the_lung_and_what_is_sure_keeps_its_gradient():
    fb = torch.tensor([200.0, -200.0]).view(1, 2, 1, 1).requires_grad_()
    tissue = torch.tensor([0.0, 300.0, 0.0]).view(1, 3, 1, 1).requires_grad_()
    found = separated(fb, tissue)
    assert found[0, 2].item() == -400
    found[0, 2].sum().backward()
    assert fb.grad.flatten().tolist() == [-1, 1]
    assert separated(fb.bfloat16(), tissue.bfloat16()).dtype == torch.float32


def test_gradients_of_the_separation_by_finite_differences():
    torch.manual_seed(0)
    both, weight, step = torch.randn(5, 1, 1), torch.randn(4, 1, 1), 1e-2  # fb's two logits and the tissues' three

    def cost(both):
        return (weight * separated(both[None, :2], both[None, 2:])).sum()

    (slopes,) = torch.autograd.grad(cost(both.requires_grad_()), both)
    for place in range(5):
        moved = torch.zeros(5, 1, 1)
        moved[place] = step
        change = (cost(both + moved) - cost(both - moved)) / (2 * step)
        assert change.item() == pytest.approx(slopes[place].item(), abs=1e-3)


def test_a_resblock_is_seven_layers_and_mu_and_sigma_have_one_each():
    """Two 3 x 3 convolutions, their norms, an addition and two activations; three blocks, and a 1 x 1 out of two."""
    weights = {name: tuple(weight.shape) for name, weight in Gauss(8, 2).named_parameters() if weight.dim() == 4}
    assert weights == {
        **{f"{block}.convs.{n}.weight": (8, 8, 3, 3) for block in ("shared", "mean.0", "variance.0") for n in (0, 1)},
        **{f"{block}.1.weight": (2, 8, 1, 1) for block in ("mean", "variance")},
    }


def test_latents_are_at_halves_and_named_by_hierarchy():
    made = StichNet2020()
    with torch.no_grad():
        inferred = made.infer(pictures(side=64))
    assert [tuple(z.shape[1:]) for z in inferred.z] == 2 * [(1, 64 // 2**n, 64 // 2**n) for n in range(1, 6)]
    assert made.levels == ("z1", "z2", "z3", "z4", "z5", "k1", "k2", "k3", "k4", "k5")
    assert inferred.styles.shape == inferred.logits.shape == (2, 4, 64, 64)


def test_every_posterior_is_what_is_seen_and_what_is_expected_weighted_by_precision():
    """The coarsest prior is standard normal; every other is of the next coarser latent alone (eq. 11)."""
    made, seen = network(), {}
    for name in "zk":
        for level, gauss in enumerate(getattr(made, name).seen):
            gauss.register_forward_hook(lambda module, inputs, out, key=(name, level): seen.__setitem__(key, out))
    inferred = made.infer(pictures())
    for place, (q, p) in enumerate(zip(inferred.posterior, inferred.prior, strict=True)):
        found = seen["zk"[place // LEVELS], place % LEVELS]
        precision = 1 / found.variance + 1 / p.variance
        torch.testing.assert_close(q.variance, 1 / precision)
        torch.testing.assert_close(q.mean * precision, found.mean / found.variance + p.mean / p.variance)
        if place % LEVELS == LEVELS - 1:
            assert not p.mean.any()
            assert (p.variance == 1).all()
        else:
            own = made.z if place < LEVELS else made.k
            wanted = own.expected[place % LEVELS](inferred.z[place + 1])
            torch.testing.assert_close(p.mean, wanted.mean)
            torch.testing.assert_close(p.variance, wanted.variance)


def test_two_encoders_and_a_decoder_for_each_style_the_lung_and_its_tissues():
    made = network()
    assert made.z.encoder is not made.k.encoder
    assert len(made.styles) + 2 == 6
    names = {name.split(".")[0] for name, _ in made.named_parameters()}
    assert names == {"z", "k", "styles", "lung", "tissue"}


def test_tissue_is_of_k_alone_and_all_else_of_both():
    """Moving z moves fb, so outside against the lung, but no lung tissue against another; k moves all."""
    made = network()
    latents = [z.detach() for z in made.infer(pictures()).z]
    before = made.generate(latents)
    of_z = made.generate([*(z + 1 for z in latents[:LEVELS]), *latents[LEVELS:]])
    of_k = made.generate([*latents[:LEVELS], *(k + 1 for k in latents[LEVELS:])])

    def within(made):
        return made.logits[:, 1:] - made.logits[:, 1:].logsumexp(dim=1, keepdim=True)

    torch.testing.assert_close(within(of_z), within(before))
    assert not torch.allclose(of_z.logits[:, 0], before.logits[:, 0])
    assert not torch.allclose(within(of_k), within(before))
    assert not torch.allclose(of_k.logits[:, 0], before.logits[:, 0])
    for moved in (of_z, of_k):
        assert all(not torch.allclose(moved.styles[:, s], before.styles[:, s]) for s in range(4))


def test_nothing_but_latents_leads_to_what_is_made_and_every_level_is_heard():
    made = network()
    image = pictures(1).requires_grad_()
    inferred = made.infer(image)
    again = made.generate(inferred.z)
    assert torch.equal(again.logits, inferred.logits)
    assert torch.equal(again.styles, inferred.styles)
    free = made.generate([z.detach() for z in inferred.z])
    assert torch.autograd.grad(free.logits.sum() + free.styles.sum(), image, allow_unused=True) == (None,)
    for place in range(2 * LEVELS):
        moved = [z + (number == place) for number, z in enumerate(inferred.z)]
        assert not torch.equal(made.generate(moved).styles, inferred.styles)


def test_without_a_generator_it_answers_by_means_and_with_one_by_samples():
    made, x = network(), pictures()
    inferred = made.infer(x)
    assert all(torch.equal(z, q.mean) for z, q in zip(inferred.z, inferred.posterior, strict=True))
    one, same, other = (made.infer(x, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(one.logits, same.logits)
    assert not torch.equal(one.logits, other.logits)


def test_samples_are_of_the_priors():
    made = network()
    with torch.no_grad():
        z = made.z.sample(400, (16, 16), torch.Generator().manual_seed(0))
        sample = made.sample(3, (16, 16), torch.Generator().manual_seed(0))
    assert [tuple(part.shape) for part in z] == [(400, 1, 8, 8), (400, 1, 4, 4), (400, 1, 2, 2)]
    assert z[2].mean().item() == pytest.approx(0, abs=0.1)
    assert z[2].var().item() == pytest.approx(1, rel=0.1)
    prior = made.z.expected[0](z[1])
    whitened = (z[0] - prior.mean) / prior.variance.sqrt()
    assert whitened.var().item() == pytest.approx(1, rel=0.05)
    assert sample.styles.shape == (3, 4, 16, 16)


def test_a_class_of_outside_and_healthy_lung_has_two_styles_and_both_probabilities():
    made = network(classes=3, styles_of=(2, 1, 1))
    p, q = made.infer(pictures()).logits.softmax(dim=1), made(pictures()).softmax(dim=1)
    torch.testing.assert_close(q, torch.stack([p[:, 0] + p[:, 1], p[:, 2], p[:, 3]], dim=1))
    two = network(classes=2)
    assert two.tissue is None
    torch.testing.assert_close(two(pictures()).exp().sum(dim=1), torch.ones(2, 16, 16))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"styles_of": (2, 1, 1)}, "StichNet2020 has 4 classes, of .2, 1, 1. styles"),
        ({"classes": 1}, "got one class. Expected two classes or more"),
    ],
)
def test_settings_that_cannot_be(settings, says):
    with pytest.raises(UsageError, match=says):
        StichNet2020(**{"widths": (8, 8, 4)} | settings)
