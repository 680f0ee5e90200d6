import pytest
import torch

from groundglass.batches import Labelled, Progress, Unlabelled
from groundglass.errors import UsageError
from groundglass.losses.beta import dequantised, expected, log_density
from groundglass.losses.label_set import cross_entropy, focal_cross_entropy
from groundglass.losses.pseudo_labels import answered
from groundglass.losses.stitched import log_likelihood
from groundglass.methods._views import strong_view
from groundglass.methods.stitchnet import Config, StitchNet, swapped
from groundglass.networks.svae import SVAE

OUTPUTS = (1, 2, 4, 8)


def method(outputs=OUTPUTS, **settings):
    torch.manual_seed(0)
    return StitchNet(SVAE(1, len(outputs), widths=(8, 16)), outputs, Config(**settings))


def pictures(seed=0, count=2):
    return torch.rand((count, 1, 16, 16), generator=torch.Generator().manual_seed(seed))


def labels(count=2):
    sets = torch.full((count, 16, 16), 1, dtype=torch.uint8)
    sets[:, 4:], sets[:, 8:], sets[:, 12:] = 2, 4, 8
    return sets


def only(made, labelled=None, unlabelled=None, step=0):
    labelled = labelled or Labelled(pictures(), labels())
    (update,) = made.updates(labelled, unlabelled, Progress(step, 10))
    return update


def test_each_kind_of_pictures_has_its_terms_of_one_formula():
    """J_LAB and J_UN are the log of the sum over the set, of one pass of all pictures through the network."""
    update = only(method(), unlabelled=Unlabelled(pictures(1, 3)))
    image = torch.cat([pictures(), pictures(1, 3)])
    generator = torch.Generator().manual_seed(0)
    inferred = method().network.infer(image, generator)
    density = log_density(inferred.styles, dequantised(image, generator))
    sets = torch.cat([labels(), torch.full((3, 16, 16), 15, dtype=torch.uint8)])
    each = log_likelihood(inferred.logits, density, sets, OUTPUTS)
    assert set(update.losses) == {
        "labelled", "divergence_labelled", "unlabelled", "divergence_unlabelled", "focal",
    }  # fmt: skip
    torch.testing.assert_close(update.losses["labelled"], -each[:2].mean())
    torch.testing.assert_close(update.losses["unlabelled"], -each[2:].mean())
    focal = focal_cross_entropy(inferred.logits[:2], labels(), OUTPUTS, 2.0)
    torch.testing.assert_close(update.losses["focal"], 100 * focal)


def test_the_three_regimes():
    """From labels alone; from pictures alone, whatever labels they have; from both."""
    unlabelled = Unlabelled(pictures(1))
    assert set(only(method()).losses) == {"labelled", "divergence_labelled", "focal"}
    blind = method(labels=False)
    first = only(blind, Labelled(pictures(), labels()), unlabelled)
    other = only(method(labels=False), Labelled(pictures(), torch.full_like(labels(), 4)), unlabelled)
    assert set(first.losses) == {"unlabelled", "divergence_unlabelled"}
    assert torch.equal(first.losses["unlabelled"], other.losses["unlabelled"])
    assert set(only(method(), unlabelled=unlabelled).losses) >= {"labelled", "unlabelled", "focal"}


def test_an_unlabelled_weight_and_a_focal_weight_are_factors():
    unlabelled = Unlabelled(pictures(1))
    plain = only(method(), unlabelled=unlabelled).losses
    other = only(method(unlabelled=0.5, focal=10.0), unlabelled=unlabelled).losses
    for name, factor in (("labelled", 1), ("unlabelled", 0.5), ("divergence_unlabelled", 0.5), ("focal", 0.1)):
        torch.testing.assert_close(other[name], factor * plain[name])
    assert "focal" not in only(method(focal=0.0)).losses


def test_a_healthy_scan_is_a_labelled_one_without_lesions():
    """Its sets say "background or lung"; that teaches the network that there is no lesion, and no more."""
    made = method()
    moved = torch.optim.Adam(made.network.parameters(), 0.01)
    healthy = Labelled(pictures(), torch.full_like(labels(), 3))
    made.train()
    for step in range(30):
        moved.zero_grad()
        sum(only(made, healthy, step=step).losses.values()).backward()
        moved.step()
    with torch.no_grad():
        p = made.eval().predict(pictures())
    assert p[:, 2:].sum(dim=1).max() < 0.2
    assert p[:, :2].amax(dim=(0, 2, 3)).min() > 0.05


def test_the_log_tells_bits_styles_and_shares_of_each_kind():
    update = only(method(), unlabelled=Unlabelled(pictures(1)))
    inferred = method().network.infer(torch.cat([pictures(), pictures(1)]), torch.Generator().manual_seed(0))
    styles = expected(inferred.styles)[2:]
    pairs = [(styles[:, a] - styles[:, b]).abs().mean() for a in range(4) for b in range(a)]
    assert update.told["styles_apart_unlabelled"].item() == pytest.approx(sum(pairs).item() / 6, rel=1e-4)
    share = inferred.logits[2:].softmax(dim=1).mean(dim=(0, 2, 3))
    assert [update.told[f"share_{place}_unlabelled"].item() for place in range(4)] == pytest.approx(share.tolist())
    assert update.told["bits_per_pixel_labelled"].isfinite()
    assert "bits_per_pixel_unlabelled" not in only(method()).told


def test_there_is_a_style_for_each_group_that_labels_tell_apart():
    made = method((3, 4, 8))
    assert made.shown(pictures()).styles.shape == (2, 3, 16, 16)
    assert made.outputs == (3, 4, 8)


def test_a_group_may_have_two_styles_and_a_set_that_holds_it_holds_both():
    torch.manual_seed(0)
    made = StitchNet(SVAE(1, 3, widths=(8, 16), styles_of=(2, 1, 1)), (3, 4, 8), Config())
    assert made.tissues == (3, 3, 4, 8)
    assert made.shown(pictures()).styles.shape == (2, 4, 16, 16)
    healthy = torch.full_like(labels(), 3)
    made.eval()
    with torch.no_grad():
        inferred = made.network.infer(pictures())
        assert made.predict(pictures()).shape == (2, 3, 16, 16)
    found = made.bound(pictures(), healthy, torch.Generator().manual_seed(0), "sample")
    density = log_density(found.inferred.styles, x_of(found, pictures()))
    two = (found.inferred.logits.log_softmax(dim=1) + density)[:, :2].exp().sum(dim=1).log()
    torch.testing.assert_close(found.likelihood, two.mean(dim=(1, 2)))
    assert inferred.logits.shape[1] == 4


def x_of(bound, image):
    """Dequantised as the bound's pictures were: by the generator that drew its latents before."""
    generator = torch.Generator().manual_seed(0)
    for z in reversed(bound.inferred.z):
        torch.randn(z.shape, generator=generator)
    return dequantised(image, generator)


def test_a_stitched_picture_takes_each_pixel_from_its_style():
    shown = method().eval().shown(pictures())
    taken = shown.styles.gather(1, shown.probability.argmax(dim=1, keepdim=True))
    assert torch.equal(shown.stitched, taken)
    assert shown.bits.shape == (2,)


def test_the_same_picture_gets_the_same_bits_alone_and_among_others():
    """Batch statistics are those of training, latents are means, and each picture passes the network by itself."""
    made = method().eval()
    with torch.no_grad():
        together = made.predict(torch.cat([pictures(), pictures(1, 6)]))
        assert torch.equal(made.predict(torch.cat([pictures(), pictures(1, 6)])), together)
        among = made.predict(torch.cat([pictures(2, 6), pictures()]))
        alone = torch.cat([made.predict(one) for one in pictures().split(1)])
    assert torch.equal(among[6:], together[:2])
    assert torch.equal(alone, together[:2])


def test_classes_may_learn_nothing_from_the_unlabelled_pictures_likelihood():
    """Its value is the same; styles and latents learn from it, and classes from labelled pictures as before."""
    unlabelled = Unlabelled(pictures(1))
    plain, held = method(), method(held=True)
    losses = [only(made, unlabelled=unlabelled).losses for made in (plain, held)]
    weights = [(made.network.head.weight, made.network.styles.weight) for made in (plain, held)]
    slopes = {}
    for kind in ("labelled", "unlabelled"):
        torch.testing.assert_close(losses[0][kind], losses[1][kind])
        slopes[kind] = [
            torch.autograd.grad(own[kind], pair, retain_graph=True, allow_unused=True)
            for own, pair in zip(losses, weights, strict=True)
        ]
    torch.testing.assert_close(slopes["labelled"][0], slopes["labelled"][1])
    (classes, styles), (held_classes, held_styles) = slopes["unlabelled"]
    assert classes.any()
    assert held_classes is None or not held_classes.any()
    torch.testing.assert_close(styles, held_styles)


@pytest.mark.parametrize("styles_of", [(1, 1, 1), (2, 1, 1)])
@pytest.mark.parametrize("evidence", [1.0, 0.25])
def test_a_prediction_may_be_by_the_picture(styles_of, evidence):
    """p(y given x, z) of each style by Bayes' rule, a group's the sum of its styles'; unlike p(y given z)."""
    torch.manual_seed(0)
    network = SVAE(1, 3, widths=(8, 16), styles_of=styles_of)
    made = StitchNet(network, (3, 4, 8), Config(answer="picture", evidence=evidence)).eval()
    with torch.no_grad():
        found, inferred = made.predict(pictures()), network.infer(pictures())
        latents = StitchNet(network, (3, 4, 8), Config()).predict(pictures())
    each = inferred.logits.softmax(dim=1) * log_density(inferred.styles, dequantised(pictures())).exp() ** evidence
    of_style = each / each.sum(dim=1, keepdim=True)
    wanted = torch.stack([part.sum(dim=1) for part in of_style.split(list(styles_of), dim=1)], dim=1)
    torch.testing.assert_close(found, wanted)
    assert (found - latents).abs().max() > 0.01
    with pytest.raises(UsageError, match=r"The setting answer is 'image'\. Expected one of latents, picture"):
        Config(answer="image")


@pytest.mark.parametrize("evidence", [-0.1, 1.1, float("nan")])
def test_an_answer_takes_no_more_evidence_than_there_is(evidence):
    with pytest.raises(UsageError, match=r"The setting evidence is .*\. Expected a number from 0 to 1\."):
        Config(evidence=evidence)


def test_while_it_warms_up_the_unlabelled_pictures_weigh_less():
    """At the first of ten steps e^-5, from the fourth on 1; labelled pictures always 1."""
    unlabelled = Unlabelled(pictures(1))
    for step, factor in ((0, torch.tensor(-5.0).exp()), (4, 1.0)):
        plain = only(method(), unlabelled=unlabelled, step=step).losses
        rising = only(method(warm_up=0.4), unlabelled=unlabelled, step=step).losses
        for name in ("unlabelled", "divergence_unlabelled"):
            torch.testing.assert_close(rising[name], factor * plain[name])
        torch.testing.assert_close(rising["labelled"], plain["labelled"])


def test_the_divergence_may_rise_evenly_over_a_share_of_the_training():
    """Over half of ten steps: nothing at the first, 3/5 at the fourth, all from the sixth on; not the likelihood."""
    for step, factor in ((0, 0.0), (3, 0.6), (5, 1.0), (9, 1.0)):
        plain = only(method(), step=step).losses
        rising = only(method(rise=0.5), step=step).losses
        torch.testing.assert_close(rising["divergence_labelled"], factor * plain["divergence_labelled"])
        torch.testing.assert_close(rising["labelled"], plain["labelled"])


def test_the_prior_on_shares_is_of_unlabelled_pictures_and_by_labelled_ones():
    """A quarter of the labels each: against the mean probabilities of the unlabelled pictures."""
    unlabelled = Unlabelled(pictures(1))
    update = only(method(shares=3.0), unlabelled=unlabelled)
    inferred = method().network.infer(torch.cat([pictures(), pictures(1)]), torch.Generator().manual_seed(0))
    mean = inferred.logits[2:].softmax(dim=1).mean(dim=(0, 2, 3))
    torch.testing.assert_close(update.losses["shares"], 3 * (0.25 * (0.25 / mean).log()).sum())
    assert "shares" not in only(method(shares=3.0)).losses
    unknown = Labelled(pictures(), torch.full_like(labels(), 15))
    assert "shares" not in only(method(shares=3.0), unknown, unlabelled).losses


def test_a_swapped_picture_has_one_pictures_styles_and_the_others_label():
    """Styles of grey 63.5, 127.5 and 191.5; the label tells the last in one row, in another one of the first two."""
    alpha = torch.tensor([1.0, 2, 3])
    wanted = torch.cat([alpha, 4 - alpha]).view(1, 6, 1, 1).expand(1, 6, 2, 2) - 0.1
    styles = (wanted + torch.log(-torch.expm1(-wanted))).requires_grad_()
    logits = torch.tensor([[0.0, 0.0], [0.0, 2.0]]).expand(1, 3, 2, 2).clone()
    logits[:, 1] = torch.tensor([[5.0, 5.0], [1.0, 0.0]])
    sets = torch.tensor([[[8, 8], [3, 3]]], dtype=torch.uint8)
    image = swapped(expected(styles), logits, sets, (3, 3, 8))
    assert (255 * image[0, 0]).tolist() == [pytest.approx([191.5, 191.5]), pytest.approx([127.5, 63.5])]
    (slope,) = torch.autograd.grad(image.sum(), styles)
    assert slope[0, 2, 0].all()
    assert not slope[0, 2, 1].any()


def test_a_swapped_label_is_asked_back_and_leaves_the_statistics_alone():
    """Each unlabelled picture is paired with a labelled one, in turn; the loss moves styles and encoder."""
    unlabelled = Unlabelled(pictures(1, 3))
    made, plain = method(swap=2.0), method()
    update = only(made, unlabelled=unlabelled)
    only(plain, unlabelled=unlabelled)
    statistics = {name: value for name, value in plain.state_dict().items() if "running" in name or "batches" in name}
    assert statistics
    assert all(torch.equal(made.state_dict()[name], value) for name, value in statistics.items())

    other = method()
    generator = torch.Generator().manual_seed(0)
    inferred = other.network.infer(torch.cat([pictures(), pictures(1, 3)]), generator)
    dequantised(torch.cat([pictures(), pictures(1, 3)]), generator)
    pairs = [0, 1, 0]
    image = swapped(expected(inferred.styles[2:]), inferred.logits[pairs], labels()[pairs], OUTPUTS)
    found = other.network.infer(image, generator).logits
    torch.testing.assert_close(update.losses["swap"], 2 * cross_entropy(found, labels()[pairs], OUTPUTS))
    weights = [made.network.styles.weight, made.network.encoder.features[0][0].weight]
    assert all(slope.any() for slope in torch.autograd.grad(update.losses["swap"], weights))
    assert "swap" not in only(method(swap=2.0)).losses


@pytest.mark.parametrize("answer", ["latents", "picture"])
def test_a_strong_view_has_to_be_what_the_picture_surely_is(answer):
    """By either answer: the cross-entropy over all pixels, with a gradient."""
    unlabelled = Unlabelled(pictures(1))
    made = method(agree=2.0, sure=0.0, answer=answer)
    update = only(made, unlabelled=unlabelled)
    other = method()
    generator = torch.Generator().manual_seed(0)
    both = torch.cat([pictures(), pictures(1)])
    inferred = other.network.infer(both, generator)
    dequantised(both, generator)
    by_picture = inferred.logits.log_softmax(dim=1) + log_density(inferred.styles, dequantised(both))
    said = {"latents": answered(inferred.logits[2:], OUTPUTS), "picture": answered(by_picture[2:], OUTPUTS)}
    assert not torch.equal(said["latents"], said["picture"])
    image, wanted = strong_view(unlabelled, said[answer], generator, 0.5)
    found = other.network.infer(image, generator).logits
    torch.testing.assert_close(update.losses["agree"], 2 * cross_entropy(found, wanted, OUTPUTS))
    assert torch.autograd.grad(update.losses["agree"], [made.network.encoder.features[0][0].weight])[0].any()


def test_a_strong_view_learns_nothing_where_the_picture_is_unsure_or_hidden():
    unlabelled = Unlabelled(pictures(1))
    assert only(method(agree=2.0), unlabelled=unlabelled).losses["agree"] == 0
    hidden = Unlabelled(pictures(1), shown=torch.zeros_like(pictures(1)[:, 0], dtype=torch.bool))
    assert only(method(agree=2.0, sure=0.0), unlabelled=hidden).losses["agree"] == 0


def test_with_every_repair_a_training_resumes_to_the_same_weights():
    """What repairs draw is of the step's number alone, and they have no state."""
    batches = Labelled(pictures(), labels()), Unlabelled(pictures(1))

    def steps(made, first, last):
        for step in range(first, last):
            update = only(made.train(), *batches, step=step)
            weights = list(made.network.parameters())
            slopes = torch.autograd.grad(sum(update.losses.values()), weights)
            with torch.no_grad():
                for weight, slope in zip(weights, slopes, strict=True):
                    weight -= 0.001 * slope
        return made

    settings = {"warm_up": 0.5, "shares": 1.0, "swap": 1.0, "agree": 1.0, "sure": 0.0}
    whole = steps(method(**settings), 0, 4).state_dict()
    half = steps(method(**settings), 0, 2).state_dict()
    resumed = method(**settings)
    resumed.load_state_dict(half)
    assert all(
        torch.equal(a, b) for a, b in zip(whole.values(), steps(resumed, 2, 4).state_dict().values(), strict=True)
    )
