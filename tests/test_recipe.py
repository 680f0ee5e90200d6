"""Recipes that extend another, and those that the repository ships."""

import re
from pathlib import Path

import pytest
import torch

from groundglass.build import make_network, method_of
from groundglass.cli.reproduce import _scaled
from groundglass.cli.study import _digest
from groundglass.errors import ReadError, UsageError
from groundglass.evaluation.published import read_paper
from groundglass.evaluation.trials import read_rows
from groundglass.lookup import find, names
from groundglass.methods._both import Both
from groundglass.methods.stitchnet import Config as StitchNet
from groundglass.recipe import load

SHIPPED = Path(__file__).parents[1] / "recipes"
BASELINES = sorted((SHIPPED / "baselines").glob("*.toml"))
COMMON = """
seed = 3
[data]
store = "store"
unlabelled = false
[[stage]]
method = "supervised"
settings = { dice = 0.5 }
[stage.training]
steps = 7
rate = 1e-2
"""
OWN = 'extends = "common.toml"\n[network]\nname = "unet"\nsettings = { widths = [4, 8] }\n'


@pytest.fixture
def write(tmp_path):
    (tmp_path / "common.toml").write_text(COMMON)

    def made(text, name="own.toml"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return made


def test_an_extension_is_the_recipe_that_says_the_same_in_one_file(write):
    whole = COMMON + OWN.split("\n", 1)[1]
    recipe = load(write(OWN))
    assert recipe == load(write(whole, "whole.toml"))
    assert recipe.digest == load(write(whole, "whole.toml")).digest
    assert recipe.network.settings == {"widths": [4, 8]}


def test_what_it_says_itself_stands_over_the_other_key_by_key_and_stage_by_stage(write):
    own = OWN + '[data]\nstore = "mine"\n[[stage]]\n[stage.training]\nrate = 5.0\n[[stage]]\nmethod = "mean_teacher"\n'
    recipe = load(write(own + "[stage.training]\nsteps = 2\n"))
    assert (recipe.seed, recipe.data.store, recipe.data.unlabelled) == (3, "mine", False)
    first, second = recipe.stage
    assert (first.method, first.settings, first.training.steps, first.training.rate) == (
        "supervised",
        {"dice": 0.5},
        7,
        5.0,
    )
    assert (second.method, second.settings, second.training.steps, second.training.rate) == (
        "mean_teacher",
        {},
        2,
        2e-3,
    )


def test_what_the_common_part_says_is_part_of_the_digest(write, tmp_path):
    before = load(write(OWN)).digest
    (tmp_path / "common.toml").write_text(COMMON.replace("steps = 7", "steps = 8"))
    assert load(write(OWN)).digest != before


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"common.toml"', '"absent.toml"', "There is no recipe called absent.toml"),
        ('"common.toml"', "3", "own.toml extends 3. Expected the path of a recipe"),
        ('"common.toml"', '"own.toml"', "own.toml, which own.toml extends, extends another"),
        ("extends", "extend", "no key extend. Expected extends, perhaps"),
        ('name = "unet"', "", "The recipe lacks network.name"),
    ],
)
def test_an_extension_that_cannot_be(write, old, new, says):
    with pytest.raises(UsageError) as caught:
        load(write(OWN.replace(old, new)))
    assert says in str(caught.value)


def test_a_common_part_that_is_no_toml(write, tmp_path):
    (tmp_path / "common.toml").write_text("seed =")
    with pytest.raises(ReadError, match=r"common\.toml is no recipe"):
        load(write(OWN))


@pytest.mark.parametrize(
    "path", [*sorted(SHIPPED.glob("*/**/*.toml")), SHIPPED / "quickstart.toml"], ids=lambda p: p.stem
)
def test_a_shipped_recipe_can_be_read_and_its_network_made(path):
    recipe = load(path)
    assert recipe.command
    assert recipe.stage
    with torch.device("meta"):
        assert make_network(recipe.network, 3, pretrained=False).classes == 3


def test_every_network_that_needs_no_prior_has_a_baseline():
    assert {load(path).network.name for path in BASELINES} == set(names("groundglass.networks")) - {"inf_net_multi"}


def test_baselines_differ_in_their_network_and_in_what_their_files_say_why():
    """TV-UNet's loss is its paper's; pre-trained weights and FCN-8s have rates of their own; all else is common."""
    recipes = {path.stem: load(path) for path in BASELINES}
    assert len({recipe.digest for recipe in recipes.values()}) == len(recipes)
    pretrained = {name for name, recipe in recipes.items() if recipe.network.weights}
    assert pretrained == {"unet_efficientnet_imagenet"}
    assert pretrained == {name for name, recipe in recipes.items() if recipe.stage[0].training.encoder_rate}
    assert {name for name, recipe in recipes.items() if "total_variation" in recipe.stage[0].settings} == {"tv_unet"}
    rates = {name: recipe.stage[0].training.rate for name, recipe in recipes.items()}
    assert {name for name, rate in rates.items() if rate != rates["unet"]} == {"fcn8s"}
    own = {"settings": {"total_variation"}, "training": {"encoder_rate", "rate"}}
    rest = [recipe.model_dump(exclude={"network": True, "stage": {0: own}}) for recipe in recipes.values()]
    assert all(table == rest[0] for table in rest)


def test_a_default_that_is_said_changes_no_digest(write):
    assert load(write(OWN + "\n[[stage]]\n[stage.training]\nclip = 1.0\n")).digest == load(write(OWN)).digest
    assert load(write(OWN + "\n[[stage]]\n[stage.training]\nclip = 2.0\n")).digest != load(write(OWN)).digest


def test_what_came_of_a_recipe_did_not_come_of_those_that_extend_it(write, tmp_path):
    common = tmp_path / "common.toml"
    common.write_text('got = "0.7"\ncost = "an hour"\n' + common.read_text())
    recipe = load(write(OWN))
    assert (recipe.got, recipe.cost) == ("", "an hour")


SHARES = {"ssinfnet": (0.3,), "jin2022": (None, 0.15)}  # `study reproduce PAPER --small`, with `--share` or without


def test_results_are_of_recipes_that_are_shipped():
    """A recipe whose digest changes begins its table again: then its rows go, or the digest stays."""
    shipped = [load(path) for path in SHIPPED.glob("*/**/*.toml")]
    for results in SHIPPED.parent.glob("results/*.csv"):
        paper = results.name.removesuffix("_covid_semiseg.csv")
        made = shipped
        if paper in SHARES:
            small = read_paper(SHIPPED, paper).scales["small"]
            scales = [small.model_copy(update={"share": share or small.share}) for share in SHARES[paper]]
            made = [_scaled(recipe, scale) for recipe in shipped for scale in scales]
        assert {row.trial.digest for row in read_rows(results)} <= {_digest(recipe) for recipe in made}


SSINFNET = sorted((SHIPPED / "ssinfnet").glob("**/*.toml"))


def test_ssinfnets_small_recipes_keep_the_papers_proportions():
    """Every row has both; of each epoch that the network inpaints, the coach has its share, in turns as long."""
    paper = {path.stem: load(path) for path in SSINFNET if path.parent.name == "ssinfnet"}
    small = {path.stem: load(path) for path in SSINFNET if path.parent.name == "small"}
    assert paper.keys() == small.keys()
    assert len({recipe.digest for recipe in (*paper.values(), *small.values())}) == 2 * len(paper)
    for name, recipe in paper.items():
        same = [[stage.method, stage.settings, stage.training.lookahead] for stage in small[name].stage]
        assert [[stage.method, stage.settings, stage.training.lookahead] for stage in recipe.stage] == same
        for one in (recipe, small[name]):
            assert bool(one.prior) == (name.startswith("multi") and "unet" not in name)
            inpainting = [stage.training for stage in one.stage if stage.method == "inpainting"]
            assert bool(inpainting) == ("ssinfnet" in name)
            assert all(training.steps % 39 == 0 for training in inpainting)  # so each turn has as many steps
            assert all(training.schedule == "constant" for training in inpainting)
            assert one.stage[-1].training.steps % (one.stage[-1].training.lookahead or 1) == 0


def test_jins_ablation_has_all_eight_rows_and_what_is_compared_learns_by_cross_entropy_alone():
    recipes = {path.stem: load(path) for path in sorted((SHIPPED / "jin2022").glob("*.toml"))}
    ablation = "backbone", "vvm", "prop", "ssa", "vvm_prop", "ssa_prop", "vvm_ssa", "full"
    rows = {}
    for name in ablation:
        settings = recipes[name].stage[0].settings
        branch, second = recipes[name].network.name == "vq_unet", settings["first_phase"] < 1
        rows[branch, settings["proportions"] > 0, second] = name
        assert recipes[name].data.unlabelled == second
        assert settings.get("dice", 0) == 0
    assert len(rows) == 8
    assert rows[True, True, True] == "full"
    varied = {name: recipes[name] for name in recipes if name.startswith("full_")}
    full = recipes["full"]
    asked = {name: recipe.stage[0].settings.items() - full.stage[0].settings.items() for name, recipe in varied.items()}
    assert asked == {
        "full_t01": {("threshold", 0.1)},
        "full_t03": {("threshold", 0.3)},
        "full_lambda01": {("proportions", 0.1)},
        "full_lambda1": {("proportions", 1.0)},
    }
    assert all((recipe.network, recipe.data) == (full.network, full.data) for recipe in varied.values())
    for name in recipes.keys() - set(ablation) - {"dice"} - varied.keys():
        assert recipes[name].network.name == name
        assert recipes[name].stage[0].settings == {"first_phase": 1.0, "proportions": 0.0}
    assert len(recipes) == 8 + 8 + 1 + 4
    assert len({recipe.digest for recipe in recipes.values()}) == len(recipes)
    for recipe in recipes.values():
        assert recipe.stage[0].training.steps * recipe.stage[0].settings["first_phase"] in (1000, 4000)


STITCHNET = sorted((SHIPPED / "stitchnet2022").glob("**/*.toml"))


def test_stitchnets_regimes_differ_in_what_is_learnt_from_and_in_nothing_else():
    """Labels alone, both, pictures alone: one network, as many steps and slices a step, at either size."""
    for folder in ("stitchnet2022", "small"):
        found = {path.stem: load(path) for path in STITCHNET if path.parent.name == folder}
        three = [found[name] for name in ("supervised", "both", "unlabelled")]
        assert [recipe.data.unlabelled for recipe in three] == [False, True, True]
        assert [recipe.stage[0].settings for recipe in three] == [{}, {}, {"labels": False}]
        read = [
            training.batch + recipe.data.unlabelled * training.unlabelled_batch
            for recipe in three
            for training in (recipe.stage[0].training,)
        ]
        assert len(set(read)) == 1
        amounts = {"batch", "unlabelled_batch"}
        assert all(recipe.network == three[0].network for recipe in three)
        rest = [recipe.stage[0].training.model_dump(exclude=amounts) for recipe in found.values()]
        assert all(table == rest[0] for table in rest)


def test_each_way_out_of_stitchnets_collapse_is_a_recipe_and_all_together_are_one():
    """Training is stitchnet2022's small ones', but longer and of more slices, and one of all of them.

    Narrow densities and held classes stand alone (docs/repair.md).
    """
    found = {path.stem: load(path) for path in sorted((SHIPPED / "repair").glob("*.toml"))}
    small, both = load(SHIPPED / "stitchnet2022" / "small" / "both.toml"), found["both"]
    anchored, low = found.pop("anchored"), found.pop("low_supervised")
    repaired, alone = found.pop("repaired"), found.pop("repaired_supervised")
    assert (low.data, low.stage) == (found["supervised"].data, found["supervised"].stage)
    assert low.network == found["low_resolution"].network
    amounts = {"steps", "batch", "unlabelled_batch"}
    stages = *both.stage, *anchored.stage, *repaired.stage, *alone.stage, *small.stage
    assert all(
        stage.training.model_dump(exclude=amounts) == stages[0].training.model_dump(exclude=amounts) for stage in stages
    )
    assert [stage.settings for stage in anchored.stage] == 2 * [both.stage[0].settings]
    assert anchored.network == both.network
    assert [stage.training for stage in repaired.stage] == [stage.training for stage in anchored.stage]
    less = both.stage[0].settings | {"evidence": 0.25}
    assert [stage.settings for stage in (*repaired.stage, *alone.stage)] == 3 * [less]
    assert repaired.network == alone.network == low.network
    assert not alone.data.unlabelled
    assert all(recipe.stage[0].training == both.stage[0].training for recipe in found.values())
    assert [name for name, recipe in found.items() if not recipe.data.unlabelled] == ["supervised"]
    assert found["supervised"].stage == both.stage
    plain = {"focal": 50.0, "answer": "picture", "styles_at": 0}
    said = {
        name: recipe.stage[0].settings | {"styles_at": recipe.network.settings.get("styles_at", 0)}
        for name, recipe in found.items()
    }
    assert said["both"] == said["supervised"] == plain
    config = StitchNet(**found["published"].stage[0].settings)
    assert (config, found["published"].network) == (StitchNet(), small.network)
    every = dict(plain)
    for name in ("rise", "warm_up", "shares", "swap", "agree", "low_resolution"):
        own = dict(said[name].items() - plain.items())
        assert len(own) == 1
        every |= own
    assert said["all"] == every
    assert said["sharp"] == plain | {"beta": "mean"}
    assert said["held"] == plain | {"held": True}


def test_peers_stand_on_one_footing():
    """One network, as many slices a step, the same rates; every method for both kinds of slices is there."""
    found = {path.stem: load(path) for path in sorted((SHIPPED / "peers").glob("*.toml"))}
    assert len({recipe.digest for recipe in found.values()}) == len(found)
    both = {name for name in names("groundglass.methods") if issubclass(method_of(name), Both)}
    assert {recipe.stage[-1].method for recipe in found.values()} == both | {"supervised"}
    for name, recipe in found.items():
        assert recipe.network == found["supervised"].network
        assert recipe.data.unlabelled == (name != "supervised")
        for stage in recipe.stage:
            averaged = stage.training.ema or stage.settings["ema"]  # a teacher, or else the weights
            assert (averaged, bool(stage.training.ema)) == (0.96, "ema" not in stage.settings)
            alike = ("batch", "rate", "encoder_rate", "augmentation")
            first = found["supervised"].stage[0].training
            assert [getattr(stage.training, key) for key in alike] == [getattr(first, key) for key in alike]
            if stage.method in both:
                assert (stage.training.unlabelled_batch, stage.training.unlabelled_augmentation) == (4, "weak")


def test_the_peers_steps_are_of_equal_minutes_by_the_page_s_seconds_a_step():
    """Of what a step costs (docs/peers.md), each recipe's come to three minutes, give or take a twentieth."""
    page = (SHIPPED.parent / "docs" / "peers.md").read_text(encoding="utf-8")
    table = page.split("## What a step costs")[1].split("\n## ")[0]
    seconds = {name: float(cost) for name, cost in re.findall(r"^\| `(\w+)`.* \| ([0-9.]+) \|$", table, re.MULTILINE)}
    for path in sorted((SHIPPED / "peers").glob("*.toml")):
        spent = 0.0
        for stage in load(path).stage:
            labelled = stage.labels.count * seconds["pseudo_labels"] if stage.labels else 0.0
            spent += stage.rounds * (stage.training.steps * seconds[stage.method] + labelled)
        assert spent == pytest.approx(180, rel=0.05), path.stem


def test_the_systems_have_the_peers_training_and_their_encoder_where_it_is_free():
    peer = load(SHIPPED / "peers" / "supervised.toml")
    found = {path.stem: load(path) for path in sorted((SHIPPED / "systems").glob("*.toml"))}
    assert len({recipe.digest for recipe in found.values()}) == len(found)
    own = {"drsegunet", "stichnet2020"}  # their networks are what they propose
    for name, recipe in found.items():
        assert (recipe.network.weights is None) == (name in own)
        if name not in own:
            encoder = recipe.network.settings.get("encoder", "efficientnet_lite0")
            assert (recipe.network.weights, encoder) == ("imagenet", "efficientnet_lite0")
        for stage in recipe.stage:
            if stage.method != "inpainting":  # released with a training of its own
                training = stage.training
                first = peer.stage[0].training
                assert (training.batch, training.augmentation, training.ema) == (first.batch, "strong", first.ema)
    assert found["groundglass"].network == peer.network


def test_the_peers_page_names_the_networks_whose_features_can_be_changed():
    page = (SHIPPED.parent / "docs" / "peers.md").read_text(encoding="utf-8")
    (told,) = re.findall(r"take networks that let it:(.*?)\. Others", page, re.DOTALL)
    package = "groundglass.networks"
    assert set(re.findall(r"`(\w+)`", told)) == {name for name in names(package) if find(package, name).changeable}


def test_stichnets_rows_are_asked_in_tiles_and_its_down_sized_row_differs_in_that_alone():
    for folder in ("stichnet2020", "stichnet2020/small"):
        found = {path.stem: load(path) for path in (SHIPPED / folder).glob("*.toml")}
        assert {name for name, recipe in found.items() if not recipe.tiles} == {"downsized", "supervised"}
        tiled = found["stichnet"].model_dump(exclude={"command", "cost", "expected", "got", "tiles"})
        assert found["downsized"].model_dump(exclude={"command", "cost", "expected", "got", "tiles"}) == tiled
        read = [
            training.batch + recipe.data.unlabelled * training.unlabelled_batch
            for recipe in (found["stichnet"], found["supervised"])
            for training in (recipe.stage[0].training,)
        ]
        assert read[0] == read[1]
        unet, first = (found[name].stage[0].training for name in ("unet", "unet_pl"))
        assert first.model_dump(exclude={"unlabelled_batch"}) == unet.model_dump(exclude={"unlabelled_batch"})
