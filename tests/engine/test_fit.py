import csv
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import pytest
import torch
from torch import nn

from groundglass.batches import Labelled, Unlabelled
from groundglass.engine import checkpoint
from groundglass.engine.fit import STATE_FILE, fit, make_optimizer, rate_at
from groundglass.engine.loaders import Ahead, Pool
from groundglass.engine.log import LOG_FILE
from groundglass.errors import ReadError, TrainingError
from groundglass.io.atomic import PARTIAL
from groundglass.methods._method import Update
from tests.engine.toy import Plain, Toy, batches, jitter, load, training


def equal(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


class StopError(Exception):
    pass


def stop_after(step):
    def on_step(report):
        if report.step == step:
            raise StopError

    return on_step


@pytest.mark.parametrize("settings", [{}, {"optimizer": "sgd", "rate": 0.01}, {"accumulate": 2, "ema": 0.0}])
def test_a_run_that_was_stopped_ends_in_the_same_weights_bit_for_bit(tmp_path, settings):
    whole = fit(Toy(), batches(), training(**settings), tmp_path / "whole", identity="a")
    for step in (2, 5, 9):
        with pytest.raises(StopError):
            fit(Toy(), batches(), training(**settings), tmp_path / "cut", identity="a", on_step=stop_after(step))
    resumed = fit(Toy(), batches(), training(**settings), tmp_path / "cut", identity="a")
    assert equal(whole, resumed)
    assert (tmp_path / "whole" / LOG_FILE).read_bytes() == (tmp_path / "cut" / LOG_FILE).read_bytes()


def test_another_seed_gives_other_weights(tmp_path):
    first = fit(Toy(), batches(), training(), tmp_path / "a", identity="a")
    assert not equal(first, fit(Toy(), batches(seed=4), training(), tmp_path / "b", identity="a"))


def test_the_global_random_state_is_left_alone(tmp_path):
    before = torch.random.get_rng_state()
    fit(Toy(), batches(), training(), tmp_path, identity="a")
    assert torch.equal(before, torch.random.get_rng_state())


def test_accumulating_two_minibatches_is_one_of_both(tmp_path):
    """Without batch norm and dropout, the mean of two gradients is the gradient of the double batch."""
    double = fit(Plain(), batches(sizes=(4, 0), augment=None), training(), tmp_path / "a", identity="a")
    halves = fit(Plain(), batches(augment=None), training(accumulate=2), tmp_path / "b", identity="a")
    for name in double:
        torch.testing.assert_close(double[name], halves[name])


def test_weights_and_images_lie_channels_last_but_for_float32_on_a_processor(tmp_path):
    """Of 2 x 1 x 3 x 3 and 2 x 1 x 8 x 8 both layouts are one; these have two channels in."""
    seen = []

    class Watched(Toy):
        def __init__(self):
            super().__init__()
            self.net = nn.Conv2d(2, 2, 3)

        def updates(self, labelled, unlabelled, progress):
            image = labelled.image
            seen.append(
                [x.is_contiguous(memory_format=torch.channels_last) for x in (image, self.net.weight)]
                + [x.is_contiguous() for x in (image, self.net.weight)]
            )
            yield Update("net", {"mean": self.net(image).float().mean()})

        def after_step(self, progress):
            return

    def two(batch, generator):
        return replace(batch, image=batch.image.expand(-1, 2, -1, -1).contiguous())

    for precision in ("float32", "bf16"):
        settings = training(steps=1, precision=precision, ema=0.0)
        fit(Watched(), batches(augment=two), settings, tmp_path / precision, identity="a")
    assert seen == [[False, False, True, True], [True, True, False, False]]


def test_an_update_moves_its_module_alone(tmp_path):
    class Half(Toy):
        def updates(self, labelled, unlabelled, progress):
            # the loss depends on the critic too, but the update is of the net
            yield Update("net", {"both": self.critic(self.net(labelled.image)).float().square().mean()})

    start = {name: value.clone() for name, value in Half().state_dict().items()}
    ended = fit(Half(), batches(), training(ema=0.0), tmp_path, identity="a")
    assert torch.equal(start["critic.weight"], ended["critic.weight"])
    assert not torch.equal(start["net.0.weight"], ended["net.0.weight"])


def test_a_loss_that_is_not_finite_names_step_and_terms(tmp_path):
    class Broken(Toy):
        def updates(self, labelled, unlabelled, progress):
            loss = self.net(labelled.image).float().mean()
            yield Update("net", {"fine": loss, "bad": loss / (0.0 if progress.step == 3 else 1.0)})

    with pytest.raises(TrainingError, match=r"step 4 of 12: fine .*, bad (inf|-inf|nan)"):
        fit(Broken(), batches(), training(), tmp_path, identity="a")


def test_the_state_of_another_run_is_refused(tmp_path):
    fit(Toy(), batches(), training(), tmp_path, identity="a")
    with pytest.raises(ReadError, match="another recipe"):
        fit(Toy(), batches(), training(), tmp_path, identity="b")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_damaged_state_is_refused(tmp_path, share):
    fit(Toy(), batches(), training(), tmp_path, identity="a")
    content = (tmp_path / STATE_FILE).read_bytes()
    (tmp_path / STATE_FILE).write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ReadError, match="damaged"):
        fit(Toy(), batches(), training(), tmp_path, identity="a")


def test_the_log_has_a_row_a_step(tmp_path):
    fit(Toy(), batches(), training(), tmp_path, identity="a")
    with (tmp_path / LOG_FILE).open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [int(row["step"]) for row in rows] == list(range(1, 13))
    assert set(rows[0]) == {"step", "rate", "mse", "critic"}


def test_the_rate_rises_and_falls_by_hand():
    plan = training(steps=10, warmup=0.2)
    assert rate_at(0, plan) == pytest.approx(1 / 3)
    assert rate_at(1, plan) == pytest.approx(2 / 3)
    assert rate_at(2, plan) == pytest.approx(1)
    assert rate_at(6, plan) == pytest.approx(0.5)  # half of the eight steps after warm-up
    assert rate_at(5, training(schedule="constant")) == 1


def test_the_encoder_has_its_own_rate():
    module = nn.ModuleDict({"encoder": nn.Linear(1, 1), "head": nn.Linear(1, 1)})
    groups = make_optimizer(module, training(rate=0.1, encoder_rate=0.01)).param_groups
    assert [(len(group["params"]), group["lr"]) for group in groups] == [(2, 0.1), (2, 0.01)]


def test_every_slice_is_drawn_once_a_turn():
    seen = Counter()
    source = batches(labelled=Pool(7, lambda i: (seen.update([i]), load(i))[1]), sizes=(7, 0))
    source.at(0)
    assert seen == dict.fromkeys(range(7), 1)
    source.at(1)
    assert seen == dict.fromkeys(range(7), 2)


def test_processes_share_what_one_would_draw():
    drawn = []
    pool = Pool(8, lambda i: (drawn.append(i), load(i))[1])
    for rank in (0, 1):
        batches(labelled=pool, processes=2, rank=rank).at(0)
    parted, drawn[:] = list(drawn), []
    batches(labelled=pool, sizes=(4, 0)).at(0)
    assert parted == drawn


def test_an_unlabelled_batch_has_no_label():
    labelled, unlabelled = batches(unlabelled=Pool(5, load), sizes=(2, 3)).at(0)
    assert isinstance(labelled, Labelled)
    assert isinstance(unlabelled, Unlabelled)
    assert unlabelled.image.shape == (3, 1, 8, 8)
    assert not hasattr(unlabelled, "label_set")


def test_a_batch_takes_so_many_slices_of_a_second_pool_and_every_one_of_each_in_turn():
    drawn = []
    pools = [
        Pool(count, lambda i, name=name: (drawn.append((name, i)), load(i))[1]) for name, count in (("a", 4), ("b", 9))
    ]
    made = batches(labelled=pools[0], guessed=(pools[1], 3), sizes=(5, 0))
    assert len(made.at(0)[0].image) == 5
    assert [name for name, _ in drawn] == list("aabbb")
    for number in (1, 2):
        made.at(number)
    assert sorted(i for name, i in drawn if name == "b") == list(range(9))
    times = Counter(i for name, i in drawn if name == "a")
    assert (len(times), max(times.values())) == (4, 2)  # six draws of four


def test_what_one_slice_of_a_pool_has_all_have():
    whole = load(0).image >= 0
    for lacking in ((), (0,)):
        pool = Pool(2, lambda i, lacking=lacking: replace(load(i), shown=None if i in lacking else whole))
        if not lacking:
            assert all(batch.shown.all() for batch in batches(labelled=pool, unlabelled=pool, sizes=(2, 2)).at(0))
            continue
        with pytest.raises(ValueError, match="some have what others lack"):
            batches(labelled=pool).at(0)


def test_unlabelled_slices_are_augmented_by_their_own():
    pools = {"labelled": Pool(1, load), "unlabelled": Pool(1, load), "sizes": (1, 1)}
    plain = torch.from_numpy(load(0).image)
    for own, changed in ((None, (True, False)), (jitter, (True, True))):
        found = batches(**pools, augment_unlabelled=own).at(0)
        assert tuple(not torch.equal(batch.image[0, 0], plain) for batch in found) == changed


def test_batches_come_in_order_and_a_fault_in_making_one_is_raised():
    assert sum(1 for _ in Ahead(batches(), 2, 6)) == 4

    def fail(_):
        raise ReadError("Bad.", expected="good", remedy="Mend.")

    with pytest.raises(ReadError):
        next(iter(Ahead(batches(labelled=Pool(3, fail)), 0, 1)))


def test_checkpoints_hold_what_was_written(tmp_path):
    tensors = {"a": torch.arange(6.0).reshape(2, 3).t(), "n": torch.tensor(3)}
    checkpoint.write(tmp_path / "c.safetensors", tensors, {"step": 1, "words": "é"})
    read, record = checkpoint.read(tmp_path / "c.safetensors")
    assert equal(read, tensors)
    assert record == {"step": 1, "words": "é"}


KILLED = """
import os, random, signal, sys, time
from pathlib import Path
from tests.engine.toy import Toy, batches, training
from groundglass.engine.fit import fit
rng = random.Random(7)
for _ in range(10):
    told, tell = os.pipe()
    child = os.fork()  # one import of torch for all; nothing has computed yet, so there are no threads to lose
    if not child:
        fit(Toy(), batches(), training(steps=80, checkpoint_every=2), Path(sys.argv[1]), identity="a",
            on_step=lambda report: os.write(tell, b"."))
        os._exit(0)
    for _ in range(rng.randint(2, 8)):
        os.read(told, 1)
    time.sleep(rng.uniform(0, 0.02))  # anywhere in a step, or in what is written after it
    os.kill(child, signal.SIGKILL)
    print(os.waitpid(child, 0)[1])
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_killed_ten_times_at_random_moments_it_ends_in_the_same_weights(tmp_path):
    plan = training(steps=80, checkpoint_every=2)
    whole = fit(Toy(), batches(), plan, tmp_path / "whole", identity="a")
    ended = subprocess.run([sys.executable, "-c", KILLED, tmp_path / "cut"], capture_output=True, text=True, check=True)
    assert ended.stdout.split() == ["9"] * 10  # none had got to its end
    assert 0 < checkpoint.read(tmp_path / "cut" / STATE_FILE)[1]["step"] < 80
    resumed = fit(Toy(), batches(), plan, tmp_path / "cut", identity="a")
    assert equal(whole, resumed)
    assert (tmp_path / "whole" / LOG_FILE).read_bytes() == (tmp_path / "cut" / LOG_FILE).read_bytes()
    assert {path.name for path in (tmp_path / "cut").iterdir()} == {STATE_FILE, LOG_FILE}


def test_what_a_killed_run_left_half_written_is_removed_and_what_a_living_one_writes_is_not(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    dead, living, other = (tmp_path / f"{PARTIAL}{mark}" for mark in (f"{ended.pid}-log.csv", f"{os.getpid()}-x", "y"))
    for path in (dead, living, other):
        path.touch()
    checkpoint.remove_partial(tmp_path)
    assert set(tmp_path.iterdir()) == {living, other}


TWO = """
import sys
from pathlib import Path
import torch
from lightning_fabric import Fabric
from tests.engine.toy import Plain, Toy, batches, training
from groundglass.engine.fit import fit
from groundglass.errors import TrainingError
torch.set_num_threads(1)
fabric = Fabric(accelerator="cpu", devices=2, strategy="ddp", precision="32-true")
fabric.launch()
rank, folder = fabric.global_rank, Path(sys.argv[1])
source = batches(rank=rank, processes=2)
ended = fit(Toy(), source, training(), folder / "toy", identity="a", fabric=fabric)
torch.save(ended, folder / f"rank{rank}.pt")
if rank == 0:
    plain = fit(Plain(), source, training(), folder / "plain", identity="a", fabric=fabric)
    torch.save(plain, folder / "plain.pt")
else:
    fit(Plain(), source, training(), folder / "plain", identity="a", fabric=fabric)

class Apart(Plain):
    def after_step(self, progress):
        self.net.weight.data += rank  # what a method must not do

try:
    fit(Apart(), source, training(), folder / "apart", identity="a", fabric=fabric)
except TrainingError as error:
    print(error)
"""


def test_two_processes_end_with_the_same_weights(tmp_path):
    """And in those of one that accumulates two minibatches, where no dropout and no running average comes between."""
    script = tmp_path / "two.py"
    script.write_text(TWO)
    ended = subprocess.run(
        [sys.executable, script, tmp_path],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    first, second = (torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in (0, 1))
    assert equal(first, second)
    assert ended.stdout.count("do not have the same weights") == 2  # the method that comes apart
    parted = torch.load(tmp_path / "plain.pt", weights_only=True)
    alone = fit(Plain(), batches(), training(accumulate=2), tmp_path / "alone", identity="a")
    for name in alone:
        torch.testing.assert_close(parted[name], alone[name])


def test_a_process_sees_what_one_that_accumulates_sees_in_its_turn():
    for step, rank in ((0, 0), (0, 1), (3, 1)):
        shared, _ = batches(rank=rank, processes=2).at(step)
        turn, _ = batches().at(2 * step + rank)
        assert torch.equal(shared.image, turn.image)  # drawn and augmented alike


def moved_by(tmp_path, name, rate=1.0, told=None, **settings):
    """How far a weight goes in one step of descent, its gradient being 4."""

    class Pulled(Toy):
        def updates(self, labelled, unlabelled, progress):
            yield Update("critic", {"pull": 4 * self.critic.bias.sum()}, rate=rate, told=told or {})

    start = Pulled().critic.bias.clone()
    plan = {"optimizer": "sgd", "rate": 0.5, "steps": 1, "warmup": 0.0, "ema": 0.0, "clip": None, "weight_decay": 0.0}
    ended = fit(Pulled(), batches(), training(**plan | settings), tmp_path / name, identity="a")
    return (start - ended["critic.bias"]).item()


def test_a_gradient_is_clamped_number_by_number(tmp_path):
    assert moved_by(tmp_path, "free") == pytest.approx(0.5 * 4)
    assert moved_by(tmp_path, "clamped", clamp=0.5) == pytest.approx(0.5 * 0.5)


def test_an_update_may_change_the_rate_and_tell_the_log_a_number(tmp_path):
    assert moved_by(tmp_path, "a", rate=0.1, told={"share": torch.tensor(0.25)}) == pytest.approx(0.1 * 0.5 * 4)
    with (tmp_path / "a" / LOG_FILE).open(newline="") as stream:
        (row,) = csv.DictReader(stream)
    assert row["share"] == "0.25"


@pytest.mark.parametrize("kind", ["adam", "adamw"])
def test_beta2_by_hand(kind):
    """After a step with gradient 2 the average of squares is (1 - beta2) 4."""
    module = nn.Linear(1, 1, bias=False)
    optimiser = make_optimizer(module, training(optimizer=kind, beta2=0.9, weight_decay=0.0))
    module.weight.grad = torch.full((1, 1), 2.0)
    optimiser.step()
    assert optimiser.state[module.weight]["exp_avg_sq"].item() == pytest.approx(0.4)
    assert training().beta2 == 0.999


def test_a_method_is_told_which_minibatch_it_is(tmp_path):
    seen = []

    class Told(Toy):
        def updates(self, labelled, unlabelled, progress):
            seen.append((progress.step, progress.minibatch))
            yield from super().updates(labelled, unlabelled, progress)

    fit(Told(), batches(), training(steps=2, accumulate=3), tmp_path, identity="a")
    assert seen == [(step, minibatch) for step in range(2) for minibatch in range(3)]
