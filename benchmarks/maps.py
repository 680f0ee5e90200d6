"""How well a model draws held-out slices, and whether its confidence is low where it errs.

    groundglass train recipes/jin2022/full.toml --store STORE352 --fold 0 -o RUN
    python -m benchmarks.maps STORE352 RUN/model.safetensors --fold 0

For the labelled slices of the fold, at the prepared size: PSNR and SSIM of the map ``reconstruction``, and the area
under the ROC of 1 - ``confidence`` as a detector of wrong pixels (known ones; slices in which nothing is wrong have
none). Mean, standard deviation and number of slices of each.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from groundglass.build import load_model
from groundglass.evaluation.confidence import error_area, wrong_pixels
from groundglass.evaluation.reconstruction import psnr, ssim
from groundglass.inference.predict import Model, decide, on_device, predict_batch
from groundglass.runs import SPLIT_SEED
from groundglass.splits import make_folds
from groundglass.store import Store, open_store


def measured(model: Model, store: Store, number: int) -> dict[str, float | None]:
    """The numbers of one slice, by name; those of maps that the model has not are absent."""
    top, left, bottom, right = store.frame(number).inner
    inner = slice(top, bottom), slice(left, right)
    image = torch.from_numpy(store.prepared(number))[None, None]
    with torch.inference_mode(), on_device(model.method, image) as seen:
        maps = {name: values[0].cpu().numpy()[inner] for name, values in model.method.maps(seen).items()}
    told: dict[str, float | None] = {}
    if "reconstruction" in maps:
        picture = store.prepared(number)[inner]
        told["PSNR, dB"] = psnr(maps["reconstruction"], picture)
        told["SSIM"] = ssim(maps["reconstruction"], picture)
    truth = store.prepared_label_set(number)
    if "confidence" in maps and truth is not None:
        found = decide(predict_batch(model.method, image)[0].numpy(), model.method.outputs, model.above)
        told["area of 1 - confidence for errors"] = error_area(
            maps["confidence"], *wrong_pixels(found[inner], truth[inner])
        )
    return told


def main() -> None:
    """Print the means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--fold", type=int, default=0)
    parser.add_argument("--folds", type=int, default=5)
    asked = parser.parse_args()
    store, model = open_store(asked.store), load_model(asked.model)
    held_out = make_folds(store.slices, asked.folds, SPLIT_SEED).fold(asked.fold, store.slices).test
    rows = [measured(model, store, store.number(name)) for name in held_out]
    for name in dict.fromkeys(name for row in rows for name in row):
        values = [value for row in rows if (value := row.get(name)) is not None]
        spread = np.std(values, ddof=1) if len(values) > 1 else float("nan")
        print(f"{name}: {np.mean(values):.3f} ± {spread:.3f} ({len(values)} slices)")


if __name__ == "__main__":
    main()
