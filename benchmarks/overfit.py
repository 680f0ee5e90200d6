"""Every network learns four real slices by heart, to an infection Dice above 0.9, or something is wrong with it.

    groundglass prepare covid_semiseg ROOT -o STORE96 --size 96
    python -m benchmarks.overfit STORE96 [NAME...]

fcn8s, inf_net and psp_net need a store at 192 pixels: they answer at an eighth of the image's size, and the best map of
12 x 12 values that can be drawn of these slices, enlarged, has a Dice of 0.87 (of 24 x 24: 0.94).

The four are the labelled slices with the most infection. Training is that of recipes/baselines.toml, but at a constant
rate, with all four in every step, without augmentation and moving average. Every 20 steps the predictions (evaluation
mode, p > 0.5, at the prepared size) are scored, mean of the four; above 0.9 it ends. Exit code 1 if a network does not
reach that in 400 steps.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import nn

from groundglass.batches import Labelled, Progress
from groundglass.build import make_network
from groundglass.engine.depthwise import FastGradients
from groundglass.engine.fit import make_optimizer
from groundglass.evaluation.overlap import METRICS, count
from groundglass.inference.predict import channels_of, predict_batch
from groundglass.labels import Region, inside, outside
from groundglass.lookup import names
from groundglass.losses.groups import tissue_groups
from groundglass.methods.supervised import Config, Supervised
from groundglass.recipe import Network, Training
from groundglass.store import Store, open_store

SLICES: Final = 4
WANTED: Final = 0.9
STEPS, EVERY = 400, 20
RATES: Final = {"fcn8s": 1e-4}  # of recipes/baselines, where not the default


def four(store: Store) -> Labelled:
    """The labelled slices with the most infection, as one minibatch."""
    shown = {number: store.prepared_label_set(number) for number in store.labelled}
    most = sorted(shown, key=lambda number: -inside(shown[number], Region.INFECTION).sum())[:SLICES]
    image = torch.from_numpy(np.stack([store.prepared(number) for number in most]))[:, None]
    return Labelled(image, torch.from_numpy(np.stack([shown[number] for number in most])))


def score(method: Supervised, batch: Labelled) -> float:
    """Mean Dice of infection."""
    method.eval()
    p = predict_batch(method, batch.image)[:, channels_of(method.outputs)[Region.INFECTION]].sum(dim=1)
    found = []
    for one, sets in zip(p.numpy(), batch.label_set.numpy(), strict=True):
        true = inside(sets, Region.INFECTION)
        found.append(METRICS["dice"](count(one > 0.5, true, true | outside(sets, Region.INFECTION))) or 0.0)
    return float(np.mean(found))


def learn(name: str, batch: Labelled) -> tuple[int, float]:
    """Steps until the Dice is above 0.9, 400 at most, and the Dice."""
    torch.manual_seed(0)
    outputs = tissue_groups(batch.label_set.unique().tolist())
    network = make_network(Network(name=name), len(outputs))
    method = Supervised(network, outputs, Config(deep_supervision=True))
    training = Training(steps=STEPS, rate=RATES.get(name, 2e-3))
    optimizer = make_optimizer(network, training)
    for step in range(1, STEPS + 1):
        method.train()
        with FastGradients():
            (update,) = method.updates(batch, None, Progress(step - 1, STEPS))
        torch.stack(list(update.losses.values())).sum().backward()
        nn.utils.clip_grad_norm_(network.parameters(), training.clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if step % EVERY == 0 and (dice := score(method, batch)) > WANTED:
            break
    return step, dice


def main() -> None:
    """Print a row a network."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overfit", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("store", type=Path)
    parser.add_argument("names", nargs="*", default=names("groundglass.networks"))
    asked = parser.parse_args()
    batch = four(open_store(asked.store))
    print("| network | steps | infection Dice | minutes |\n|---|---|---|---|", flush=True)
    failed = []
    for name in asked.names:
        began = time.perf_counter()
        steps, dice = learn(name, batch)
        print(f"| `{name}` | {steps} | {dice:.3f} | {(time.perf_counter() - began) / 60:.1f} |", flush=True)
        failed += [name] if dice <= WANTED else []
    if failed:
        raise SystemExit(f"Not learnt: {', '.join(failed)}")


if __name__ == "__main__":
    main()
