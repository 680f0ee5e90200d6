"""``groundglass explain networks``: the table, what it computes and what it measures."""

import re
from itertools import pairwise
from pathlib import Path

import pytest

from groundglass.cli import explain_networks, network_cost
from groundglass.lookup import names

PAGE = (Path(__file__).parents[2] / "docs" / "networks.md").read_text(encoding="utf-8")
TINY = {"name": "plain_unet", "settings": {"widths": [4, 8]}}


def cells(line):
    return [cell.strip(" `") for cell in line.strip().strip("|").split("|")]


def table(markdown):
    return {cells(line)[0]: cells(line)[1:] for line in markdown.splitlines() if line.startswith("| `")}


@pytest.fixture(scope="module")
def computed(tmp_path_factory):
    """The Markdown of all networks, as far as it is computed."""
    path = tmp_path_factory.mktemp("table") / "networks.md"
    explain_networks.explain_networks([], 352, None, path, quiet=True)
    return path.read_text(encoding="utf-8")


def test_every_network_has_its_row(computed):
    assert {name.split(",")[0] for name in table(computed)} == set(names("groundglass.networks"))
    assert [name for name in table(computed) if "," in name] == [
        "unet_encoder, resnet34",
        "unet_encoder, resnext50_32x4d",
        "unet_encoder, mobilenet_v2",
    ]


def test_rows_by_hand(computed):
    """U-Net at 352: 9 C C' H W for each convolution of 3 x 3, 4 C C' (H/2)(W/2) for each up-convolution, the head."""
    widths = (64, 128, 256, 512, 1024)
    down = sum(9 * (a * b + b * b) / 4**i for i, (a, b) in enumerate(zip((1, *widths), widths, strict=False)))
    up = sum(9 * 3 * a * a / 4**i + 4 * a * b / 4 ** (i + 1) for i, (a, b) in enumerate(pairwise(widths)))
    multiply_adds = 352 * 352 * (down + up + 64 * 4)
    paper, parameters, counted = table(computed)["unet"]
    assert paper == "Ronneberger, Fischer and Brox, U-Net, MICCAI 2015, arXiv 1505.04597"
    assert parameters == "31,036,676"
    assert counted == f"{multiply_adds / 1e9:.2f}"


def test_the_page_has_what_the_command_computes(computed):
    told = table(PAGE.split("## The table")[1].split("\n## ")[0])
    assert {name: row[:3] for name, row in told.items()} == table(computed)
    assert all(len(row) == 6 and re.fullmatch(r"[\d.]+|–", row[-1]) for row in told.values())  # noqa: RUF001


def test_one_network_on_the_terminal_at_the_next_side_that_fits(run, tmp_path):
    ended = run("explain", "networks", "fcn8s", "plain_unet", "--size", "50", "--no-measure", "-o", tmp_path / "t.md")
    assert ended.code == 0
    assert ended.err == ""
    assert [line.split()[0] for line in ended.out.splitlines()[:3]] == ["network", "fcn8s", "plain_unet"]
    assert "(at 64)" in ended.out
    assert [path.name for path in tmp_path.iterdir()] == ["t.md"]
    assert table((tmp_path / "t.md").read_text(encoding="utf-8"))["plain_unet"][1] == "2,158,468"


def test_a_network_that_there_is_not_is_answered_with_the_nearest_and_nothing_is_written(run, tmp_path):
    ended = run("explain", "networks", "unett", "--no-measure", "-o", tmp_path / "t.md")
    assert ended.code == 2
    assert "There is no 'unett'" in ended.error
    assert "Did you mean 'unet'?" in ended.error
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written(run, tmp_path):
    ended = run("explain", "networks", "plain_unet", "--no-measure", "-o", tmp_path / "absent" / "t.md")
    assert ended.code == 1
    assert "could not be written" in ended.error
    assert "2,158,468" in ended.out  # what may have taken minutes is told


def test_what_is_measured_in_a_process_of_its_own_is_positive(run, tmp_path):
    """One network, small; how fast is no matter here. Memory is at least its images, weights, gradients and moments."""
    ended = run("explain", "networks", "unet_efficientnet", "--size", "32", "-o", tmp_path / "t.md")
    assert ended.code == 0, ended.err
    assert "unet_efficientnet: " in ended.err
    *_, memory, trained, predicted = table((tmp_path / "t.md").read_text(encoding="utf-8"))["unet_efficientnet"]
    assert float(memory) > 5_197_508 * 4 * 4 / 2**20
    assert float(trained) > 0
    assert float(predicted) > 0


def test_a_step_is_of_the_batch_that_was_asked_for_and_moves_the_weights(monkeypatch):
    from groundglass.methods.supervised import Supervised

    seen, weights = [], []
    updates, predict = Supervised.updates, Supervised.predict

    def watched(method, labelled, *rest):
        seen.append((tuple(labelled.image.shape), set(labelled.label_set.unique().tolist())))
        weights.append(method.network.head.weight.detach().clone())
        return updates(method, labelled, *rest)

    def predicted(method, image, prior=None):
        assert not method.training
        seen.append(tuple(image.shape))
        return predict(method, image, prior)

    monkeypatch.setattr(Supervised, "updates", watched)
    monkeypatch.setattr(Supervised, "predict", predicted)
    cost = network_cost.measure(TINY, 16, 3)
    assert seen == [((3, 1, 16, 16), {1, 2, 4, 8})] * 2 + [(3, 1, 16, 16)] * 2
    assert not weights[0].equal(weights[1])
    assert cost.precision in ("float32", "bf16")
    assert cost.threads >= 1


def test_a_network_that_does_not_end_leaves_the_others_their_numbers(monkeypatch, run, tmp_path):
    monkeypatch.setattr(network_cost.sys, "executable", "/bin/false")
    ended = run("explain", "networks", "plain_unet", "-o", tmp_path / "t.md")
    assert ended.code == 0
    assert table((tmp_path / "t.md").read_text(encoding="utf-8"))["plain_unet"][2:] == ["6.02", *"–––"]  # noqa: RUF001
