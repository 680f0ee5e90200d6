from math import log

import pytest
import torch

from groundglass.batches import Labelled, Progress, Unlabelled
from groundglass.errors import UsageError
from groundglass.losses.bernoulli import log_density
from groundglass.losses.divergence import divergence, sampled_divergence
from groundglass.methods.stichnet2020 import Config, StichNet2020
from groundglass.networks import stichnet2020
from groundglass.networks.svae import SVAE

OUTPUTS = (1, 2, 4, 8)


def method(outputs=OUTPUTS, **settings):
    torch.manual_seed(0)
    styles_of = (2, 1, 1) if len(outputs) == 3 else None
    network = stichnet2020.StichNet2020(1, len(outputs), widths=(8, 8), blocks=8, styles_of=styles_of)
    return StichNet2020(network, outputs, Config(**settings))


def pictures(seed=0, count=2):
    return torch.rand((count, 1, 16, 16), generator=torch.Generator().manual_seed(seed))


def labels(count=2):
    sets = torch.full((count, 16, 16), 1, dtype=torch.uint8)
    sets[:, 4:], sets[:, 8:], sets[:, 12:] = 2, 4, 8
    return sets


def test_a_bernoulli_has_no_strength():
    with pytest.raises(UsageError, match=r"beta is 'mean'\. Expected none: stichnet2020's density is a Bernoulli"):
        Config(beta="mean")


def test_both_objectives_are_sums_over_the_sets_of_a_bernoulli_and_psi():
    """J_LAB of four labels one a row, J_UN of all four, written out; and one sample of the divergence."""
    (update,) = method().updates(Labelled(pictures(), labels()), Unlabelled(pictures(1)), Progress(0, 10))
    assert set(update.losses) == {"labelled", "divergence_labelled", "unlabelled", "divergence_unlabelled"}
    image = torch.cat([pictures(), pictures(1)])
    inferred = method().network.infer(image, torch.Generator().manual_seed(0))
    joint = inferred.logits.softmax(dim=1) * log_density(inferred.styles, image).exp()  # p(y) p(x given y)
    own = torch.stack([joint[:2, n, 4 * n : 4 * n + 4] for n in range(4)])
    torch.testing.assert_close(update.losses["labelled"], -own.log().mean())
    torch.testing.assert_close(update.losses["unlabelled"], -joint[2:].sum(dim=1).log().mean())
    apart = [
        sampled_divergence(z, q.mean, q.variance, p.mean, p.variance)[2:].sum() / 2 / 256
        for z, q, p in zip(inferred.z, inferred.posterior, inferred.prior, strict=True)
    ]
    torch.testing.assert_close(update.losses["divergence_unlabelled"], sum(apart))


def test_labels_that_say_no_lesion_leave_both_of_their_styles_possible():
    (update,) = method((3, 4, 8)).updates(Labelled(pictures(), torch.full_like(labels(), 3)), None, Progress(0, 10))
    inferred = method((3, 4, 8)).network.infer(pictures(), torch.Generator().manual_seed(0))
    joint = inferred.logits.softmax(dim=1) * log_density(inferred.styles, pictures()).exp()
    torch.testing.assert_close(update.losses["labelled"], -joint[:, :2].sum(dim=1).log().mean())


def test_the_log_names_each_hierarchys_levels_and_says_that_its_bits_are_a_bernoullis():
    (update,) = method().updates(Labelled(pictures(), labels()), Unlabelled(pictures(1)), Progress(0, 10))
    inferred = method().network.infer(torch.cat([pictures(), pictures(1)]), torch.Generator().manual_seed(0))
    for place, name in enumerate(("z1", "z2", "k1", "k2")):
        q, p = inferred.posterior[place], inferred.prior[place]
        wanted = divergence(q.mean, q.variance, p.mean, p.variance).sum() / 4
        torch.testing.assert_close(update.told[f"divergence_{name}"], wanted)
    bound = (update.losses["divergence_unlabelled"] + update.losses["unlabelled"]).item() / log(2)
    assert update.told["bernoulli_bits_unlabelled"].item() == pytest.approx(bound, rel=1e-5)
    assert not any("bits_per_pixel" in name for name in update.told)


def test_its_styles_are_probabilities_and_a_stitched_picture_takes_each_pixel_from_one():
    made = method().eval()
    shown = made.shown(pictures())
    torch.testing.assert_close(shown.styles, made.network.infer(pictures()).styles.sigmoid())
    assert torch.equal(shown.stitched, shown.styles.gather(1, shown.probability.argmax(dim=1, keepdim=True)))
    assert list(shown.divergence) == ["z1", "z2", "k1", "k2"]


def test_the_same_picture_gets_the_same_bits_alone_and_among_others():
    made = method().eval()
    with torch.no_grad():
        together = made.predict(torch.cat([pictures(), pictures(1, 5)]))
        among = made.predict(torch.cat([pictures(2, 6), pictures()]))
        alone = torch.cat([made.predict(one) for one in pictures().split(1)])
    assert torch.equal(among[6:], together[:2])
    assert torch.equal(alone, together[:2])


def test_the_ways_out_of_collapse_are_stitchnets():
    settings = {"shares": 1.0, "swap": 1.0, "focal": 2.0}
    (update,) = method(**settings).updates(Labelled(pictures(), labels()), Unlabelled(pictures(1)), Progress(0, 10))
    assert set(update.losses) >= {"shares", "swap", "focal"}
    assert all(update.losses[name] > 0 for name in ("shares", "swap", "focal"))


def test_another_ladder_is_refused_and_this_one_elsewhere():
    with pytest.raises(UsageError, match=r"got the network SVAE.* Expected the network stichnet2020"):
        StichNet2020(SVAE(1, 4, widths=(8, 16)), OUTPUTS)
