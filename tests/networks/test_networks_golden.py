"""With the same weights ours answer what the reference implementations answered (``golden/make_networks.py``)."""

import json
from unittest import mock

import pytest
import torch

from tests.networks.golden.make_encoders import figures, fill
from tests.networks.golden.make_networks import CASES, FILE, alike, answer, inputs


@pytest.mark.parametrize("name", CASES)
def test_answers_what_the_reference_answered(name):
    with (  # no random numbers for weights that are filled anyway
        mock.patch("torch.nn.init.kaiming_uniform_"),
        mock.patch("torch.nn.init.kaiming_normal_"),
    ):
        network = alike(fill(CASES[name].make()))
    found, expected = figures(answer(network, inputs(CASES[name]))), json.loads(FILE.read_text())[name]
    assert found["shape"] == expected["shape"]
    for figure in ("mean", "deviation", "values"):
        assert found[figure] == pytest.approx(expected[figure], rel=1e-4, abs=1e-5)


def test_every_case_has_its_figures_and_tells_answers_apart():
    golden = json.loads(FILE.read_text())
    assert set(golden) == set(CASES)
    assert all(figure["deviation"] > 0.01 for figure in golden.values())


def test_several_outputs_are_in_a_row():
    network = torch.nn.Identity()
    network.forward_all = lambda x: {"a": x, "b": x + 1}
    assert answer(network, (torch.zeros(1, 1, 1, 1),)).flatten().tolist() == [0, 1]
