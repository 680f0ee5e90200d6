"""Stages that hand on, and what a run that was killed in any of them comes to."""

import copy
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from groundglass import handover, runs
from groundglass.build import load_model, make_network, method_of
from groundglass.engine import checkpoint
from groundglass.engine.fit import Report
from groundglass.errors import LabelError, ReadError, UsageError
from groundglass.lookup import names
from groundglass.methods._both import Both
from groundglass.priors import refuse_truth
from groundglass.recipe import Network, Recipe
from groundglass.store import open_store
from tests.toy_store import make_store

TRAINING = {"steps": 2, "batch": 2, "unlabelled_batch": 2, "optimizer": "sgd", "rate": 0.01, "augmentation": "weak",
            "precision": "float32", "checkpoint_every": 1, "lookahead": 2}  # fmt: skip
INPAINTING = {
    "method": "inpainting",
    "settings": {"first": 2, "turn": 1, "epochs": 4},
    "training": TRAINING
    | {"steps": 7, "lookahead": 0, "checkpoint_every": 2, "modules": {"coach": {"optimizer": "adam", "rate": 1e-4}}},
}
QUICK = INPAINTING | {"settings": {"first": 1, "epochs": 1}, "training": INPAINTING["training"] | {
    "steps": 2, "checkpoint_every": 9}}  # fmt: skip
SINGLE = {"method": "inf_net", "settings": {"scales": [1.0]}, "training": TRAINING | {"optimizer": "adam"}}
MULTI = {"method": "inf_net_multi", "settings": {"focal": 2.0}, "training": TRAINING}
UNET = {"name": "unet", "settings": {"widths": [4, 8]}}
INF_NET = {"name": "inf_net", "settings": {"encoder": "resnet18", "channels": 8}}
PRIOR = {"folds": 2, "network": UNET, "stage": [SINGLE]}
TWO = {"name": "unet", "settings": {"widths": [4, 8], "in_channels": 2}}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return open_store(make_store(tmp_path_factory.mktemp("store") / "toy"))


def recipe(*stages, network=UNET, **more):
    return Recipe.parse({"data": {"store": "absent"}, "network": network, "stage": list(stages), **more})


class StopError(Exception):
    pass


def stop(stage, step):
    """Stops the run in a stage, by its place among all that are trained."""
    begun = []

    @contextmanager
    def watch(name, steps, folder):
        begun.append(name)

        def tell(told):
            if isinstance(told, Report) and (len(begun), told.step) == (stage, step):
                raise StopError

        yield tell

    return watch


@pytest.fixture
def handed(monkeypatch):
    """What each stage began and ended with."""
    seen, fit = [], runs.fit

    def watched(method, *args, **more):
        began = copy.deepcopy(method.predictor.state_dict())
        weights = fit(method, *args, **more)
        method.load_state_dict(weights)
        seen.append((began, copy.deepcopy(method.predictor.state_dict())))
        return weights

    monkeypatch.setattr(runs, "fit", watched)
    return seen


def test_a_network_that_inpainted_hands_on_every_layer_but_the_last_at_step_0(store, tmp_path, handed):
    runs.train(recipe(QUICK, SINGLE), store, tmp_path)
    (first, pretrained), (began, _) = handed
    kept = [name for name in began if not name.startswith("head.")]
    assert len(kept) == len(began) - 2
    assert all(torch.equal(began[name], pretrained[name]) for name in kept)
    weights = [name for name in kept if first[name].dim() == 4]
    assert all(not torch.equal(began[name], first[name]) for name in weights)  # and they had been trained
    assert began["head.weight"].shape[0] == 2
    assert pretrained["head.weight"].shape[0] == 1


def test_the_papers_network_hands_on_every_layer_but_the_last_of_each_of_its_five_answers():
    """Its heads have as many maps for one channel as for two, so that they would fit."""
    pretrained, network = (make_network(Network.model_validate(INF_NET), classes) for classes in (1, 2))
    own = copy.deepcopy(network.state_dict())
    handover.hand_on(pretrained.state_dict(), (15,), network, (3, 12))
    heads = {"decoder.head", "edge_head", *(f"reverse.side_{depth}.head" for depth in (3, 4, 5))}
    fresh = {name for name in own if any(name.startswith(f"{head}.") for head in heads)}
    for name, value in network.state_dict().items():
        assert torch.equal(value, own[name] if name in fresh else pretrained.state_dict()[name])
    weights = [name for name in own if own[name].dim() == 4]
    assert all(not torch.equal(own[name], pretrained.state_dict()[name]) for name in weights)
    assert {name.rsplit(".", 1)[0] for name in fresh if own[name].dim() == 4} == {
        "decoder.head", "edge_head.0", *(f"reverse.side_{depth}.head.0" for depth in (3, 4, 5)),
    }  # fmt: skip


def test_a_pretrained_checkpoint_does_the_same_and_segments_nothing(store, tmp_path, handed):
    runs.train(recipe(QUICK), store, tmp_path / "first")
    assert load_model(tmp_path / "first" / "model.safetensors").method.outputs == (15,)
    start = SINGLE | {"start_from": str(tmp_path / "first" / "model.safetensors")}
    runs.train(recipe(start), store, tmp_path / "second")
    (_, pretrained), (began, _) = handed
    kept = [name for name in began if not name.startswith("head.")]
    assert all(torch.equal(began[name], pretrained[name]) for name in kept)


def test_stages_that_answer_the_same_hand_on_everything(store, tmp_path, handed):
    runs.train(recipe(SINGLE, SINGLE), store, tmp_path)
    (_, ended), (began, _) = handed
    assert all(torch.equal(began[name], ended[name]) for name in began)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"settings": {"absent": 1}}, "no setting 'absent'"),
        ({"training": TRAINING | {"augmentation": "absent"}}, r"no 'absent' in groundglass\.augment"),
        ({"training": TRAINING | {"unlabelled_augmentation": "absent"}}, r"no 'absent' in groundglass\.augment"),
        ({"training": TRAINING | {"frozen": ["absent"]}}, "no part 'absent'"),
    ],
)
@pytest.mark.parametrize("of_prior", [False, True])
def test_what_cannot_be_in_a_later_stage_is_told_before_anything_is_trained(store, tmp_path, wrong, says, of_prior):
    plain = {"method": "supervised", "training": TRAINING}
    stages = [plain, plain | wrong]
    made = recipe(MULTI, network=TWO, prior=PRIOR | {"stage": stages}) if of_prior else recipe(*stages)
    with pytest.raises(UsageError, match=says):
        runs.train(made, store, tmp_path / "out", lambda *_: pytest.fail("it trained"))
    assert not (tmp_path / "out").exists()


def test_a_later_stage_that_cannot_start_is_told_before_anything_is_trained(store, tmp_path):
    stages = SINGLE, SINGLE | {"start_from": str(tmp_path / "absent.safetensors")}
    with pytest.raises(UsageError, match=r"no checkpoint absent\.safetensors where a stage is to start"):
        runs.train(recipe(*stages), store, tmp_path / "out", lambda *_: pytest.fail("it trained"))
    assert not (tmp_path / "out").exists()


def test_stages_that_answer_otherwise_are_refused(store, tmp_path):
    plain = {"method": "supervised", "training": TRAINING | {"steps": 1}}
    with pytest.raises(UsageError, match="Stage 2 answers otherwise than the one before"):
        runs.train(recipe(SINGLE, plain), store, tmp_path)


def test_killed_in_each_phase_it_ends_in_the_same_weights_and_its_log_tells_of_both(store, tmp_path):
    """While the coach learns, before the last turn of the network, and in the fine-tuning."""
    made = recipe(INPAINTING, SINGLE)
    runs.train(made, store, tmp_path / "whole")
    for stage, step in ((1, 3), (1, 6), (2, 1)):
        with pytest.raises(StopError):
            runs.train(made, store, tmp_path / "cut", stop(stage, step))
    runs.train(made, store, tmp_path / "cut")
    same(tmp_path / "whole", tmp_path / "cut")
    log, other = (tmp_path / run / "stage-1" / "log.csv" for run in ("whole", "cut"))
    assert log.read_bytes() == other.read_bytes()
    lines = log.read_text().splitlines()
    assert lines[0] == "step,rate,logits,erased,coach,divergence"
    rows = [dict(zip(lines[0].split(","), line.split(","), strict=True)) for line in lines[1:]]
    assert ["coach" if row["coach"] else "network" for row in rows] == [
        "network", "network", "coach", "coach", "network", "coach", "network",
    ]  # fmt: skip
    assert all(0.1 < float(row["erased"]) < 0.6 for row in rows)


def same(first, second):
    (a, told_a), (b, told_b) = (checkpoint.read(folder / "model.safetensors") for folder in (first, second))
    assert told_a == told_b
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)


LONG = {"training": TRAINING | {"steps": 4, "checkpoint_every": 2}}
PLAIN = {"method": "supervised"} | LONG
ROUNDS = PLAIN | {"rounds": 2, "labels": {"count": 3}}
SOFT = PLAIN | {"rounds": 2, "labels": {"count": 3, "soft": True}}
SHARED = PLAIN | {"rounds": 2, "labels": {"count": 3, "soft": True, "share": 0.5, "views": 2}}
WEAK = LONG["training"] | {"augmentation": "strong", "unlabelled_augmentation": "weak"}
OF_BOTH = [name for name in names("groundglass.methods") if issubclass(method_of(name), Both)]


@pytest.mark.parametrize(
    ("made", "training"),
    [
        (recipe(SINGLE | LONG), 1),
        (recipe(MULTI | LONG, network=TWO, prior=PRIOR), 4),
        (recipe(PLAIN, ROUNDS), 2),
        (recipe(PLAIN, ROUNDS), 3),
        (recipe(PLAIN, SOFT), 3),
        (recipe(PLAIN, SHARED), 3),
        *(
            (recipe({"method": name, "training": WEAK | {"ema": 0.0 if method_of(name).is_average else 0.9}}), 1)
            for name in OF_BOTH
        ),
    ],
    ids=["single", "multi", "first round", "second round", "soft round", "soft round, shared", *OF_BOTH],
)
def test_killed_between_two_checkpoints_of_a_phase_it_ends_in_the_same_weights(store, tmp_path, made, training):
    """Killed in step 3, it goes on from step 2; inpainting and its coach have a test of their own, above."""
    runs.train(made, store, tmp_path / "whole")
    with pytest.raises(StopError):
        runs.train(made, store, tmp_path / "cut", stop(training, 3))
    state = max((tmp_path / "cut").glob("stage-*/state.safetensors"))
    assert checkpoint.read(state)[1]["step"] == 2
    runs.train(made, store, tmp_path / "cut")
    same(tmp_path / "whole", tmp_path / "cut")


def test_runs_share_priors_that_are_made_alike(store, tmp_path):
    """Of two recipes that differ in what the prior does not look at; of another seed, or other folds, not."""
    told = []

    @contextmanager
    def watch(name, steps, folder):
        told.append(folder.relative_to(tmp_path).parts[0])
        yield lambda report: None

    unseen = {"unlabelled_batch": 1, "unlabelled_augmentation": "none"}
    with_unlabelled = [SINGLE | {"training": SINGLE["training"] | unseen}]
    first = recipe(MULTI, network=TWO, prior=PRIOR)
    second = recipe(MULTI, network=TWO, prior=PRIOR | {"stage": with_unlabelled}, above=0.5)
    for name, made in (("first", first), ("second", second), ("alone", second)):
        runs.train(made, store, tmp_path / name, watch, shared=None if name == "alone" else tmp_path / "shared")
    assert told == ["shared"] * 3 + ["first"] + ["shared"] + ["second"] + ["alone"] * 4
    (a, _), (b, _) = (checkpoint.read(tmp_path / name / "model.safetensors") for name in ("second", "alone"))
    assert all(torch.equal(a[name], b[name]) for name in a)
    for number, other in enumerate((PRIOR | {"folds": 3}, PRIOR), 2):
        made = recipe(MULTI, network=TWO, prior=other, seed=number - 2 + (other is PRIOR))
        runs.train(made, store, tmp_path / f"other {number}", shared=tmp_path / "shared")
        assert len(list((tmp_path / "shared").iterdir())) == number


def test_priors_are_out_of_fold_and_the_model_brings_its_own(store, tmp_path, monkeypatch):
    made, trained = recipe(MULTI, network=TWO, prior=PRIOR), []
    batches = runs._batches

    def watched(recipe, number, run, dealt, *more):
        trained.append(dealt)
        return batches(recipe, number, run, dealt, *more)

    monkeypatch.setattr(runs, "_batches", watched)
    method, dealt = runs.train(made, store, tmp_path)
    groups = [{store.slices[number].group for number in one.train} for one in trained]
    everything = {store.slices[number].group for number in dealt.train}
    assert groups[2] == groups[3] == everything
    held_out = [everything - one for one in groups[:2]]
    assert held_out[0] | held_out[1] == everything  # every group once, as it was
    assert not held_out[0] & held_out[1]
    predicted, told = checkpoint.read(tmp_path / "prior" / "predictions.safetensors")
    assert set(predicted) == {store.slices[number].id for number in dealt.train}
    assert all(p.shape == (32, 32) and p.dtype == torch.uint8 for p in predicted.values())
    assert told["provenance"]["command"] == "train"
    assert {path.name for path in (tmp_path / "prior").iterdir()} == {"predictions.safetensors", "all"}
    image = torch.rand(2, 1, 32, 32)
    read = load_model(tmp_path / "model.safetensors").method
    with torch.no_grad():
        p = read.predict(image)
        torch.testing.assert_close(p, method.predict(image))  # its weights lie otherwise in memory
        assert not torch.allclose(p, read.predict(image, torch.full((2, 2, 32, 32), 0.5)))  # the prior counts
    assert p.shape == (2, 3, 32, 32)


def test_killed_while_priors_are_made_or_used_it_ends_in_the_same_weights(store, tmp_path):
    """In either fold, in the training on all slices, in the multi-class network's; the folds are gone by then."""
    made = recipe(MULTI, network=TWO, prior=PRIOR)
    runs.train(made, store, tmp_path / "whole")
    for training, step in ((1, 1), (2, 1), (3, 1), (2, 1)):
        with pytest.raises(StopError):
            runs.train(made, store, tmp_path / "cut", stop(training, step))
    runs.train(made, store, tmp_path / "cut")
    same(tmp_path / "whole", tmp_path / "cut")


def test_a_multi_class_network_inpaints_before_it_takes_priors(store, tmp_path, handed):
    runs.train(recipe(QUICK, MULTI, network=TWO, prior=PRIOR), store, tmp_path)
    *_, (_, pretrained), (began, _) = handed
    kept = [name for name in began if not name.startswith("head.")]
    assert all(torch.equal(began[name], pretrained[name]) for name in kept)


def test_priors_that_are_the_truth_are_refused(store):
    number = store.labelled[0]
    truth = store.prepared_label_set(number)
    lesion = np.where((truth & 3) == 0, 255, 0).astype(np.uint8)
    with pytest.raises(LabelError, match=rf"prior of slice {store.slices[number].id} is the truth: .* 100.0%"):
        refuse_truth({number: lesion}, store)
    rows, columns = np.nonzero(lesion)
    rough = lesion.copy()
    rough[rows[: len(rows) // 4], columns[: len(rows) // 4]] = 0
    refuse_truth({number: rough}, store)


def test_priors_of_another_run_are_refused(store, tmp_path):
    runs.train(recipe(MULTI, network=TWO, prior=PRIOR), store, tmp_path)
    with pytest.raises(ReadError, match="priors of another recipe"):
        runs.train(recipe(MULTI, network=TWO, prior=PRIOR, seed=1), store, tmp_path)


def test_a_method_with_and_a_recipe_without_a_prior_and_the_reverse(store, tmp_path):
    with pytest.raises(UsageError, match="'inf_net_multi' takes a prior, and the recipe has none"):
        runs.train(recipe(MULTI, network=TWO), store, tmp_path / "a")
    with pytest.raises(UsageError, match="none of its methods takes one"):
        runs.train(recipe(SINGLE, prior=PRIOR), store, tmp_path / "b")
    assert not list(tmp_path.iterdir())


def batches_of(made, store, place, groups=(3, 4, 8)):
    dealt = runs.roles(made, store)
    run = runs._Run(store, groups, "", None, runs.ALONE)
    return runs._batches(made, place, run, dealt, None, {})


def test_no_stage_and_no_round_repeats_the_batches_of_another(store):
    """The first has the seed of the recipe, whatever follows."""
    plain = {"method": "mean_teacher", "training": TRAINING}
    made = recipe(plain, plain | {"rounds": 2, "labels": {}}, seed=3)
    seen = [batches_of(made, store, place) for place in ((0, 1), (1, 1), (1, 2))]
    assert seen[0].seed == 3
    first = [one.at(0)[1].image for one in seen]
    assert not any(torch.equal(a, b) for a, b in ((first[0], first[1]), (first[1], first[2]), (first[0], first[2])))
    assert torch.equal(first[2], batches_of(made, store, (1, 2)).at(0)[1].image)


@pytest.mark.parametrize("method", [name for name in names("groundglass.methods") if method_of(name).is_average])
def test_no_average_is_kept_over_a_method_that_is_one(store, tmp_path, method):
    with pytest.raises(UsageError, match=f"'{method}' predicts by a moving average.* Expected training.ema = 0"):
        runs.train(recipe({"method": method, "training": TRAINING | {"ema": 0.9}}), store, tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_a_run_with_priors_labels_nothing_itself(store, tmp_path):
    own = MULTI | {"labels": {"count": 2}}
    with pytest.raises(UsageError, match="labels slices itself, of which there is no prior"):
        runs.train(recipe(MULTI, own, network=TWO, prior=PRIOR), store, tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_a_rate_of_an_encoder_wants_an_encoder(store, tmp_path):
    plain = {"method": "supervised", "training": TRAINING | {"encoder_rate": 1e-4}}
    with pytest.raises(UsageError, match="has an encoder_rate, and the network no encoder"):
        runs.train(recipe(plain), store, tmp_path / "run")
    encoded = {"name": "unet_encoder", "settings": {"encoder": "resnet18", "widths": [8, 8, 8, 8, 8]}}
    runs.train(recipe(plain, network=encoded), store, tmp_path / "other")


def test_methods_that_look_at_unlabelled_slices_are_told_what_is_padding(store):
    """Of squares of oblong slices a part is; supervised training, which learns of no unknown pixel, is not told."""
    plain = {"training": TRAINING | {"augmentation": "none", "unlabelled_augmentation": "none"}}
    both = batches_of(recipe({"method": "mean_teacher"} | plain), store, (0, 1)).at(0)
    paddings = [store.frame(number).padding for number in range(len(store))]
    for batch in both:
        for shown, image in zip(batch.shown, batch.image, strict=True):
            assert any(np.array_equal(~shown.numpy(), padding) for padding in paddings)
            assert not image[0][~shown].any()
    assert batches_of(recipe({"method": "supervised"} | plain), store, (0, 1)).at(0)[0].shown is None


def test_a_stage_may_leave_unlabelled_slices_alone(store, tmp_path):
    """One that cannot do without them says so."""
    alone = {"training": TRAINING | {"unlabelled_batch": 0}}
    made = recipe({"method": "stitchnet"} | alone, {"method": "stitchnet", "training": TRAINING})
    assert [batches_of(made, store, (stage, 1)).at(0)[1] is None for stage in (0, 1)] == [True, False]
    with pytest.raises(UsageError, match=r"MeanTeacher got no unlabelled slices\..*training\.unlabelled_batch"):
        runs.train(recipe({"method": "mean_teacher"} | alone), store, tmp_path / "run")


def test_squares_are_cut_out_of_labelled_and_unlabelled_slices_alike(store, tmp_path):
    made = recipe({"method": "mean_teacher", "training": TRAINING | {"crop": 16}})
    labelled, bare = batches_of(made, store, (0, 1)).at(0)
    assert labelled.image.shape == bare.image.shape == (2, 1, 16, 16)
    assert labelled.label_set.shape == (2, 16, 16)
    method, _ = runs.train(made, store, tmp_path / "run")
    assert method.predict(torch.zeros(1, 1, 32, 32)).shape == (1, 3, 32, 32)


@pytest.mark.parametrize(
    ("training", "says"),
    [
        ({"crop": 40}, "Squares of 40 pixels out of pictures of 32 x 32"),
        ({"crop": 16, "augmentation": "none"}, "A crop without"),
    ],
)
def test_squares_that_cannot_be_cut(store, tmp_path, training, says):
    with pytest.raises(UsageError, match=says):
        runs.train(recipe({"method": "supervised", "training": TRAINING | training}), store, tmp_path / "run")
