"""What holds for every method of the folder."""

from copy import deepcopy
from dataclasses import fields, replace

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from groundglass.batches import Labelled, Progress, Unlabelled
from groundglass.lookup import find, find_module, names
from groundglass.methods._ladder import OfLadder
from groundglass.methods._method import Method
from groundglass.methods._step import noise_of
from groundglass.methods.inpainting import Inpainting
from groundglass.networks.stichnet2020 import StichNet2020
from groundglass.networks.unet import UNet

PACKAGE = "groundglass.methods"
GROUPS = (3, 4, 8)


@pytest.fixture(params=names(PACKAGE))
def method(request):
    return make(find(PACKAGE, request.param), find_module(PACKAGE, request.param).Config())


def make(kind, config, seed=0):
    torch.manual_seed(seed)
    outputs = kind.outputs_for(GROUPS)
    if issubclass(kind, OfLadder):
        narrow = {"blocks": 8} if kind.takes is StichNet2020 else {}
        return kind(kind.takes(1, len(outputs), widths=(8, 16), **narrow), outputs, config)
    return kind(UNet(2 if kind.takes_prior else 1, len(outputs), widths=(8, 16)), outputs, config)


def again(method):
    """Another one of its kind, with other weights."""
    return make(type(method), method.config, seed=1)


def predict(method, batch):
    """Everybody is given a prior; who takes none does not look at it."""
    return method.predict(batch.image, batch.prior)


@pytest.fixture
def batches(method):
    """Two noisy images whose labels, a square and a bar each, neither the noise nor the prior tells."""
    large = hasattr(method, "coach") or hasattr(method, "discriminator")  # they halve the image four or five times
    side = 32 if large else 16
    generator = torch.Generator().manual_seed(3)
    sets = torch.full((2, side, side), 3, dtype=torch.uint8)
    sets[0, 2:8, 2:8], sets[0, 12:, :] = 4, 8
    sets[1, 8:14, 5:15], sets[1, :, :3] = 4, 8
    images = torch.rand((2, 2, 1, side, side), generator=generator)
    priors = torch.rand((2, 2, 2, side, side), generator=generator).softmax(dim=2)
    return Labelled(images[0], sets, priors[0]), Unlabelled(images[1], priors[1])


def train(method, batches, steps):
    """The loop's contract: an optimiser for each updated submodule, moved by that update's losses alone."""
    optimisers = {}
    method.train()
    for step in range(steps):
        for update in method.updates(*batches, Progress(step, steps)):
            weights = list(method.get_submodule(update.module).parameters())
            optimiser = optimisers.setdefault(update.module, torch.optim.Adam(weights))
            optimiser.param_groups[0]["lr"] = 0.01 * (1 - step / steps)  # an average of weights lags behind
            optimiser.zero_grad()
            sum(update.losses.values()).backward(inputs=weights)
            optimiser.step()
        method.after_step(Progress(step, steps))
    return optimisers


def test_is_a_method_that_states_its_outputs(method):
    """Disjoint, of every tissue, and none that the labels do not tell apart; asked for its own, it says the same."""
    assert isinstance(method, Method)
    assert sum(method.outputs) == 15
    assert all(group & told in (0, told) for group in method.outputs for told in GROUPS)
    assert method.outputs_for(method.outputs) == method.outputs


def test_predicts_a_distribution(method, batches):
    with torch.no_grad():
        p = predict(method.eval(), batches[0])
    assert (p.shape, p.dtype) == ((2, len(method.outputs), *batches[0].image.shape[2:]), torch.float32)
    assert p.min() >= 0
    torch.testing.assert_close(p.sum(dim=1), torch.ones_like(p[:, 0]))


def test_its_predictor_is_what_predicts(method, batches):
    train(method, batches, 2)
    image = batches[0].image
    seen = torch.cat([image, batches[0].prior[:, 1:]], dim=1) if method.takes_prior else image
    with torch.no_grad():
        p = predict(method.eval(), batches[0])
        torch.testing.assert_close(method.predictor(seen).softmax(dim=1), p)


def test_predicts_float32_under_autocast(method, batches):
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        p = predict(method.eval(), batches[0])
    assert p.dtype == torch.float32
    torch.testing.assert_close(p.sum(dim=1), torch.ones_like(p[:, 0]))


def test_moves_every_trained_weight_and_no_other_by_its_optimisers(method, batches):
    before = {name: weight.clone() for name, weight in method.named_parameters()}
    updated = train(method, batches, 2)
    trained = {f"{module}.{name}" for module in updated for name, _ in method.get_submodule(module).named_parameters()}
    assert trained == {name for name, weight in method.named_parameters() if weight.requires_grad}
    assert [name for name, weight in method.named_parameters() if torch.equal(weight, before[name])] == []


def test_keeps_every_networks_batch_statistics_in_step(method, batches):
    train(method, batches, 3)
    norms = {name: module for name, module in method.named_modules() if isinstance(module, nn.BatchNorm2d)}
    assert norms
    assert [name for name, norm in norms.items() if not norm.running_mean.any() or norm.num_batches_tracked == 0] == []


def test_learns_two_images_by_heart(method, batches):
    if len(method.outputs) == 1:
        pytest.skip("learns no labels")
    if hasattr(method.config, "scales"):
        method.config = replace(method.config, scales=(1.0,))  # noise at another size is other noise
    if hasattr(method.config, "passes"):
        method.config = replace(method.config, passes=1)  # no more than it takes
    labelled, _ = batches
    train(method, batches, 250)
    with torch.no_grad():
        p = predict(method.eval(), labelled)
    answer = torch.tensor(method.outputs, dtype=torch.uint8)[p.argmax(dim=1)]
    assert ((answer & labelled.label_set) == labelled.label_set).float().mean() > 0.97


def test_losses_are_finite_scalars(method, batches):
    for update in method.train().updates(*batches, Progress(0, 10)):
        assert update.losses
        assert all(loss.shape == () and loss.isfinite() for loss in update.losses.values())


UNSHOWN = {  # what a batch of nothing but padding costs nothing of
    "bcp": (),  # of two mixed slices: tests/methods/test_bcp.py
    "cps": ("cross_first", "cross_second"),
    "entropy_minimisation": ("entropy",),
    "fixmatch": ("strong",),
    "inpainting": ("logits",),
    "jin2022": ("semi_supervised", "adversarial"),
    "mean_teacher": ("consistency",),
    "stichnet2020": ("labelled", "unlabelled", "swap", "shares", "agree"),
    "stitchnet": ("labelled", "unlabelled", "swap", "shares", "agree"),
    "svae": ("likelihood",),
    "ua_mt": ("consistency",),
    "unimatch": ("features", "strong"),
}


def losses_of(method, batches, seen):
    """With so much of the slices shown; None: nothing is said of it."""
    there = {field.name for field in fields(method.config)}
    sure = 1.0 if "passes" in there else 0.1  # of doubt, of confidence
    wanted = {"swap": 1.0, "shares": 1.0, "agree": 1.0, "sure": 0.1, "threshold": sure}
    method.config = replace(method.config, **{name: wanted[name] for name in there & wanted.keys()})
    shown = None if seen is None else torch.full_like(batches[0].label_set, seen, dtype=torch.bool)
    both = [replace(batch, shown=shown) for batch in batches]
    with torch.no_grad():
        updates = list(method.train().updates(*both, Progress(0 if isinstance(method, Inpainting) else 6, 10)))
    return {name: loss for update in updates for name, loss in update.losses.items()}


def test_padding_costs_nothing(method, batches):
    """Of a method that looks at slices without labels; the rest never learns from what has none."""
    name = type(method).__module__.rpartition(".")[2]
    assert (name in UNSHOWN) == method.takes_unlabelled
    nothing, everything = losses_of(method, batches, False), losses_of(method, batches, True)
    for loss in UNSHOWN.get(name, ()):
        assert nothing[loss] == 0
        assert everything[loss] != 0


def test_where_everything_is_shown_all_is_as_without_a_mask(method, batches):
    other = deepcopy(method)  # a step moves batch statistics
    plain, told = losses_of(method, batches, None), losses_of(other, batches, True)
    assert plain.keys() == told.keys()
    for name, loss in plain.items():
        torch.testing.assert_close(told[name], loss, msg=name)


def test_learns_from_slices_of_which_nothing_is_known_without_breaking(method, batches):
    labelled, unlabelled = batches
    unknown = Labelled(labelled.image, torch.full_like(labelled.label_set, 15), labelled.prior)
    train(method, (unknown, unlabelled), 2)
    assert all(weight.isfinite().all() for weight in method.parameters())


def test_survives_a_save(method, batches, tmp_path):
    train(method, batches, 3)
    save_file(method.state_dict(), tmp_path / "weights.safetensors")
    read = again(method)
    read.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    with torch.no_grad():
        assert torch.equal(predict(read.eval(), batches[0]), predict(method.eval(), batches[0]))


def test_a_resumed_training_ends_at_the_same_weights(method, batches):
    """Each step depends on the state and the step's number alone (plain descent: its optimiser has no state)."""

    def steps(method, first, last):
        method.train()
        for step in range(first, last):
            for update in method.updates(*batches, Progress(step, 6)):
                weights = list(method.get_submodule(update.module).parameters())
                slopes = torch.autograd.grad(sum(update.losses.values()), weights)
                with torch.no_grad():
                    for weight, slope in zip(weights, slopes, strict=True):
                        weight -= 0.01 * slope
            method.after_step(Progress(step, 6))
        return method

    state = {name: tensor.clone() for name, tensor in method.state_dict().items()}
    steps(method, 0, 6)
    resumed = again(method)
    resumed.load_state_dict(state)
    saved = steps(resumed, 0, 3).state_dict()
    resumed = again(method)
    resumed.load_state_dict(saved)
    steps(resumed, 3, 6)
    assert all(
        torch.equal(a, b) for a, b in zip(method.state_dict().values(), resumed.state_dict().values(), strict=True)
    )


def test_in_eval_mode_a_slice_alone_gets_the_answer_it_gets_in_a_batch(method, batches):
    train(method, batches, 3)
    image, prior = (torch.cat([getattr(batch, name) for batch in batches]) for name in ("image", "prior"))
    method.eval()
    with torch.no_grad():
        together = method.predict(image, prior)
        assert torch.equal(method.predict(image, prior), together)
        each = zip(image.split(1), prior.split(1), strict=True)
        alone = torch.cat([method.predict(*one) for one in each])
    torch.testing.assert_close(alone, together, rtol=1e-4, atol=1e-6)


def test_predicting_changes_no_state(method, batches):
    train(method, batches, 2)
    before = {name: tensor.clone() for name, tensor in method.state_dict().items()}
    with torch.no_grad():
        predict(method.eval(), batches[0])
    assert all(torch.equal(tensor, before[name]) for name, tensor in method.state_dict().items())


def test_its_maps_are_of_the_images_size_in_0_to_1_and_change_no_state(method, batches):
    train(method, batches, 2)
    before = {name: tensor.clone() for name, tensor in method.state_dict().items()}
    with torch.no_grad():
        shown = method.eval().maps(batches[0].image, batches[0].prior)
    for values in shown.values():
        assert (values.shape, values.dtype) == ((2, *batches[0].image.shape[2:]), torch.float32)
        assert 0 <= values.min() <= values.max() <= 1
    assert all(torch.equal(tensor, before[name]) for name, tensor in method.state_dict().items())


def test_minibatches_of_a_step_have_random_numbers_of_their_own():
    """And the first one those that it would have alone."""
    drawn = [torch.rand(3, generator=noise_of(1, Progress(4, 9, place))) for place in range(3)]
    assert torch.equal(drawn[0], torch.rand(3, generator=noise_of(1, Progress(4, 9))))
    assert not any(torch.equal(a, b) for a, b in ((drawn[0], drawn[1]), (drawn[1], drawn[2]), (drawn[0], drawn[2])))
