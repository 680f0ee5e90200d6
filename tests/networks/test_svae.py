import pytest
import torch

from groundglass.errors import UsageError
from groundglass.networks._normal import Normal, weighted
from groundglass.networks.svae import GENERATION, INFERENCE, SVAE, Block


def network(seed=0, **settings):
    torch.manual_seed(seed)
    made = SVAE(**{"widths": (8, 16, 24)} | settings)
    with torch.no_grad():
        for number in range(20):  # so that batch statistics are not those of an untrained network
            made.infer(pictures(number), torch.Generator().manual_seed(number))
    return made.eval()


def pictures(seed=0, count=2, side=16):
    return torch.rand((count, 1, side, side), generator=torch.Generator().manual_seed(seed))


def normal(mean, variance):
    return Normal(torch.tensor([mean]), torch.tensor([variance]))


def test_precision_weighting_by_hand():
    """Precisions 1 and 3 make 4: the mean lies three quarters of the way to the surer one."""
    both = weighted(normal(0.0, 1.0), normal(4.0, 1 / 3))
    assert both.mean.item() == pytest.approx(3)
    assert both.variance.item() == pytest.approx(1 / 4)


def test_precision_weighting_of_one_that_is_sure_is_that_one():
    both = weighted(normal(-2.0, 1e-30), normal(5.0, 1.0))
    assert both.mean.item() == pytest.approx(-2)
    assert both.variance.item() == pytest.approx(1e-30)


def test_a_draw_has_its_mean_and_variance_and_without_a_generator_is_the_mean():
    many = Normal(torch.full((200_000,), 3.0), torch.full((200_000,), 4.0))
    drawn = many.drawn(torch.Generator().manual_seed(0))
    assert drawn.mean().item() == pytest.approx(3, abs=0.02)
    assert drawn.var().item() == pytest.approx(4, rel=0.02)
    assert many.drawn(None) is many.mean


def test_latents_have_one_channel_and_the_papers_sizes():
    """Table 2 of the paper, at a quarter of its size: 352 makes 176, 88, 44, 22 and 11."""
    made = SVAE()
    with torch.no_grad():
        inferred = made.infer(pictures(count=2, side=96))
    assert [tuple(z.shape[1:]) for z in inferred.z] == [(1, 96 // 2**n, 96 // 2**n) for n in range(1, 6)]
    assert inferred.styles.shape == (2, 8, 96, 96)


def test_one_module_maps_d_to_z_in_both_directions():
    """What is inferred and what is expected are both said by ``latents``: every use is the same object."""
    made, used = network(), []
    for level, latent in enumerate(made.latents):
        latent.register_forward_pre_hook(
            lambda module, inputs, level=level: used.append((level, module, module.mean.weight, inputs[1]))
        )
    made.infer(pictures())
    for level in range(2):
        uses = [(module, weight) for place, module, weight, _ in used if place == level]
        assert len(uses) == 2
        assert uses[0][0] is uses[1][0]
        assert uses[0][1] is uses[1][1]
    assert {(level, direction) for level, *_, direction in used} == {
        (0, INFERENCE), (0, GENERATION), (1, INFERENCE), (1, GENERATION), (2, INFERENCE),
    }  # fmt: skip


def test_weights_of_a_shared_mapping_learn_from_both_directions():
    made = network()
    inferred = made.infer(pictures())
    weight = made.latents[0].mean.weight
    (by_prior,) = torch.autograd.grad(inferred.prior[0].mean.sum(), weight, retain_graph=True)
    (by_posterior,) = torch.autograd.grad(inferred.posterior[0].mean.sum(), weight)
    assert by_prior.any()
    assert not torch.equal(by_prior, by_posterior)


def test_statistics_of_a_shared_mapping_are_of_each_direction():
    """In evaluation each direction is normalised as it was in training; one average of both would not do it."""
    block = Block(8, directions=2)
    one, other = (torch.randn(4, 8, 6, 6) * scale for scale in (1, 30))
    for norm in (part for part in block.modules() if isinstance(part, torch.nn.BatchNorm2d)):
        norm.momentum = 1.0
    trained = block(one, INFERENCE), block(other, GENERATION)
    block.eval()
    for answer, x, direction in zip(trained, (one, other), (INFERENCE, GENERATION), strict=True):
        torch.testing.assert_close(block(x, direction), answer, rtol=0.02, atol=0.02)
    assert (block(other, INFERENCE) - trained[1]).abs().max() > 1


def test_blocks_by_their_weights():
    """Two 3 x 3 up to 64 channels; above, 1 x 1 to a quarter, 3 x 3, 1 x 1 back, without a last ReLU."""
    assert [tuple(conv.weight.shape) for conv in Block(64).convs] == [(64, 64, 3, 3)] * 2
    wide = Block(128)
    assert [tuple(conv.weight.shape) for conv in wide.convs] == [(32, 128, 1, 1), (32, 32, 3, 3), (128, 32, 1, 1)]
    assert wide(torch.randn(2, 128, 4, 4)).min() < 0
    assert Block(64)(torch.randn(2, 64, 4, 4)).min() == 0


def test_what_comes_in_is_added_before_the_last_activation():
    block = Block(8)
    torch.nn.init.zeros_(block.norms[-1].weight)
    x = torch.randn(2, 8, 4, 4)
    torch.testing.assert_close(block(x), x.relu())


def test_every_posterior_is_what_is_seen_and_what_is_expected_weighted_the_coarsest_prior_being_standard_normal():
    made, seen = network(), {}
    for level, latent in enumerate(made.latents):
        latent.register_forward_hook(
            lambda module, inputs, answer, level=level: (
                seen.__setitem__(level, answer) if inputs[1] == INFERENCE else None
            )
        )
    inferred = made.infer(pictures())
    for level, (q, p) in enumerate(zip(inferred.posterior, inferred.prior, strict=True)):
        precision = 1 / seen[level].variance + 1 / p.variance
        torch.testing.assert_close(q.variance, 1 / precision)
        torch.testing.assert_close(q.mean * precision, seen[level].mean / seen[level].variance + p.mean / p.variance)
    assert not inferred.prior[-1].mean.any()
    assert (inferred.prior[-1].variance == 1).all()


def test_nothing_but_z_leads_to_what_is_made():
    """With z fixed another picture changes nothing; with z detached the picture has no gradient."""
    made = network()
    image = pictures(1).requires_grad_()
    inferred = made.infer(image)
    again = made.generate(inferred.z)
    assert torch.equal(again.logits, inferred.logits)
    assert torch.equal(again.styles, inferred.styles)
    assert torch.autograd.grad(again.styles.sum(), image, retain_graph=True)[0].any()
    free = made.generate([z.detach() for z in inferred.z])
    assert torch.autograd.grad((free.logits.sum() + free.styles.sum()), image, allow_unused=True) == (None,)

    elsewhere = network()
    held = iter(reversed([z.detach() for z in inferred.z]))
    elsewhere._descend = lambda draw: SVAE._descend(
        elsewhere, lambda level, coarser: (draw(level, coarser), next(held))[1]
    )
    other = elsewhere.infer(pictures(2))  # it looks at another picture, and its latents are those of the first
    assert torch.equal(other.logits, inferred.logits)
    assert torch.equal(other.styles, inferred.styles)


def test_every_level_is_heard():
    made = network()
    z = list(made.infer(pictures()).z)
    before = made.generate(z)
    for level in range(3):
        moved = [part + (place == level) for place, part in enumerate(z)]
        assert not torch.equal(made.generate(moved).styles, before.styles)


def test_styles_of_low_resolution_do_not_hear_finer_latents():
    made = network(styles_at=2)
    z = list(made.infer(pictures()).z)
    before = made.generate(z)
    moved = made.generate([z[0] + 1, *z[1:]])
    assert torch.equal(moved.styles, before.styles)
    assert not torch.equal(moved.logits, before.logits)
    assert not torch.equal(made.generate([z[0], z[1] + 1, z[2]]).styles, before.styles)
    assert before.styles.shape == (2, 8, 16, 16)


def test_without_a_generator_it_answers_by_means_and_with_one_by_samples():
    made, x = network(), pictures()
    inferred = made.infer(x)
    assert all(torch.equal(z, q.mean) for z, q in zip(inferred.z, inferred.posterior, strict=True))
    assert torch.equal(made(x), inferred.logits)
    one, same, other = (made.infer(x, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(one.logits, same.logits)
    assert not torch.equal(one.logits, other.logits)


def test_samples_are_drawn_from_the_prior():
    """Given the coarser latents of a sample, the finest one lies about what the network expects of them."""
    made = network()
    seen = []
    descend = made._descend

    def watched(draw):
        return descend(lambda level, coarser: seen.append((level, draw(level, coarser))) or seen[-1][1])

    made._descend = watched
    with torch.no_grad():
        sample = made.sample(300, (16, 16), torch.Generator().manual_seed(0))
    assert sample.styles.shape == (300, 8, 16, 16)
    assert [level for level, _ in seen] == [2, 1, 0]
    top = seen[0][1]
    assert tuple(top.shape) == (300, 1, 2, 2)
    assert top.mean().item() == pytest.approx(0, abs=0.1)
    assert top.var().item() == pytest.approx(1, rel=0.1)


def test_one_level_is_a_plain_autoencoder():
    inferred = network(widths=(8,)).infer(pictures())
    assert [tuple(z.shape) for z in inferred.z] == [(2, 1, 8, 8)]
    assert not inferred.prior[0].mean.any()


def test_of_one_class_it_has_no_segmentation():
    made = network(classes=1, styles_of=(2, 1, 1))  # as in a recipe whose next stage tells tissues apart
    assert made.head is None
    assert not made(pictures()).any()
    assert made.forward_all(pictures())["styles"].shape == (2, 2, 16, 16)


def test_a_class_of_two_styles_is_as_probable_as_both():
    made = network(classes=3, styles_of=(2, 1, 1))
    fine = made.infer(pictures())
    assert fine.logits.shape[1] == 4
    assert fine.styles.shape[1] == 8
    p, q = fine.logits.softmax(dim=1), made(pictures()).softmax(dim=1)
    torch.testing.assert_close(q, torch.stack([p[:, 0] + p[:, 1], p[:, 2], p[:, 3]], dim=1))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"styles_of": (2, 1, 1)}, "SVAE has 4 classes, of .2, 1, 1. styles. Expected a number for each class"),
        ({"encoder": "mobilenet_v3"}, "There is no encoder"),
        ({"styles_at": 4}, "SVAE has no level 4. Expected 0, the picture's size, to 3"),
    ],
)
def test_settings_that_cannot_be(settings, says):
    with pytest.raises(UsageError, match=says):
        SVAE(**{"widths": (8, 16, 24)} | settings)
