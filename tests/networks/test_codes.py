from math import exp, log

import pytest
import torch

from groundglass.networks._codes import Codebook

LINE = torch.tensor([[0.0], [10.0], [20.0]])


def book(codes=LINE, *, moving_average=True, share=1 / 3):
    """Codes that are there already, each with its weight; of one number, so that distances can be seen."""
    made = Codebook(*codes.shape, moving_average=moving_average)
    with torch.no_grad():
        made.codes.copy_(codes)
        made.share.fill_(share)
    return made


def row(*values):
    return torch.tensor(values).view(1, 1, 1, -1)


def test_eq_1_each_feature_gets_the_nearest_code():
    quantised = book().eval()(row(1.0, 4.9, 5.1, 99.0))
    assert quantised.numbers.flatten().tolist() == [0, 0, 1, 2]
    assert quantised.values.flatten().tolist() == [0.0, 0.0, 10.0, 20.0]


def test_eq_2_by_hand():
    """Off by 1 and 3, squared 1 and 9, mean 5: a quarter of it, and without moving averages the whole beside."""
    x = row(1.0, 13.0)
    assert book().eval()(x).loss.item() == pytest.approx(0.25 * 5)
    assert book(moving_average=False).eval()(x).loss.item() == pytest.approx(1.25 * 5)


def test_the_gradient_goes_straight_through_and_commitment_pulls_to_the_code():
    x = row(1.0, 13.0).requires_grad_()
    quantised = book().eval()(x)
    quantised.values.backward(torch.tensor([[[[2.0, 3.0]]]]), retain_graph=True)
    assert x.grad.flatten().tolist() == [2.0, 3.0]
    x.grad = None
    quantised.loss.backward()
    assert x.grad.flatten().tolist() == pytest.approx([0.25 * 2 * 1 / 2, 0.25 * 2 * 3 / 2])


def test_the_codebook_loss_moves_the_codes_and_the_features_do_not_feel_it():
    x = row(1.0, 13.0).requires_grad_()
    made = book(moving_average=False).eval()
    loss = made(x).loss
    loss.backward()
    assert made.codes.grad.flatten().tolist() == pytest.approx([-1.0, -3.0, 0.0])
    assert x.grad.flatten().tolist() == pytest.approx([0.25, 0.75])


def test_codes_are_moving_averages_of_what_chose_them_by_hand():
    """Weights 1/3; half of the batch at 2 chose 0, half at 14 chose 10: c = (.99/3 c + .01/2 x) / (.99/3 + .01/2)."""
    made = book().train()
    made(row(2.0, 14.0))
    weight = 0.99 / 3 + 0.005
    assert made.codes.flatten().tolist() == pytest.approx([0.005 * 2 / weight, (3.3 + 0.07) / weight, 20.0])
    assert made.share.tolist() == pytest.approx([weight, weight, 0.33])
    assert made.used.tolist() == pytest.approx([0.005, 0.005, 0.0])


def test_a_rare_code_is_put_where_a_feature_lies_and_the_others_stay():
    """Below a tenth of a third; the drawn place is a function of torch's random state."""
    made = book().train()
    made.share[2] = 0.03
    torch.manual_seed(0)
    made(row(2.0, 14.0))
    assert min(abs(made.codes[2].item() - place) for place in (2.0, 14.0)) < 1e-5
    given = 0.1 / 3 / 0.99**20
    assert made.share[2].item() == pytest.approx(0.99 * given + 0.01 * 0.5)  # one of two features chose it
    other = book().train()
    other.share[2] = 0.04
    other(row(2.0, 14.0))
    assert other.codes[2].item() == pytest.approx(20.0)
    again = book().train()
    again.share[2] = 0.03
    torch.manual_seed(0)
    again(row(2.0, 14.0))
    assert torch.equal(again.codes, made.codes)


def test_a_code_that_was_put_elsewhere_has_twenty_batches_to_be_chosen():
    made = book(torch.tensor([[0.0], [10.0], [1000.0]])).train()
    made.share[2] = 0.1 / 3 / 0.99**20 * 0.9999
    for batch in range(1, 22):
        made(row(0.0, 10.0))
        assert (made.codes[2].item() > 999) == (batch <= 20)


def test_the_first_batch_gives_all_codes():
    torch.manual_seed(0)
    made = Codebook(64, 2).train()
    features = torch.rand(1, 2, 8, 8)
    quantised = made(features)
    flat = features.permute(0, 2, 3, 1).reshape(-1, 2)
    assert quantised.values.min() >= features.min()
    assert (torch.cdist(quantised.values.permute(0, 2, 3, 1).reshape(-1, 2), flat).amin(dim=1) < 1e-3).all()


def test_perplexity_is_of_use_alone():
    made = book()
    assert made.perplexity() == pytest.approx(1.0)  # nothing used yet
    made.used.copy_(torch.tensor([0.1, 0.1, 0.0]))
    assert made.perplexity().item() == pytest.approx(2.0)
    made.used.copy_(torch.tensor([0.2, 0.1, 0.1]))
    assert made.perplexity().item() == pytest.approx(exp(0.5 * log(2) + 2 * 0.25 * log(4)))
    made.share.copy_(torch.tensor([1.0, 0.0, 0.0]))
    made.train()(row(0.0, 0.0))
    assert made.used.tolist() == pytest.approx([0.2 * 0.99 + 0.01, 0.099, 0.099])


def test_in_eval_mode_nothing_moves():
    made = book().eval()
    before = {name: value.clone() for name, value in made.state_dict().items()}
    made(row(2.0, 14.0))
    assert all(torch.equal(value, before[name]) for name, value in made.state_dict().items())
    assert set(before) == {"codes", "share", "used"}


def test_under_autocast_distances_are_those_of_float32():
    """1000.5 is nearer to 1001 than to 999.9; in bfloat16 both are 1000."""
    made = book(torch.tensor([[999.9], [1001.0]])).eval()
    with torch.autocast("cpu", torch.bfloat16):
        quantised = made(row(1000.5))
        assert made(row(1000.5).bfloat16()).values.dtype == torch.bfloat16
    assert quantised.numbers.item() == 1
    assert quantised.loss.dtype == torch.float32


def test_codes_of_two_colours_are_found():
    """Features around two places: after some batches two codes lie there and are used alike."""
    torch.manual_seed(0)
    made = Codebook(2, 3).train()
    places = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    for _ in range(400):
        features = places[torch.randint(2, (64,))] + 0.05 * torch.randn(64, 3)
        made(features.T.reshape(1, 3, 8, 8))
    distance = torch.cdist(made.codes, places)
    assert distance.amin(dim=1).max() < 0.05
    assert distance.argmin(dim=1).tolist() in ([0, 1], [1, 0])
    assert made.perplexity().item() == pytest.approx(2, abs=0.05)
