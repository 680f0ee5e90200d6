"""``groundglass explain samples``: what a generative method makes of slices and of nothing, and its collapse."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from groundglass.cli.run_state import State, last_state
from groundglass.evaluation import collapse
from groundglass.io import OutputFolder
from groundglass.methods._ladder import OfLadder, Shown, active
from groundglass.report.samples import Drawn, Row, names_of, sheet, table
from groundglass.report.sheets import spread
from groundglass.store import Store, open_store

METHODS: Final = ("svae", "stitchnet", "stichnet2020")
BATCH: Final = 4
DRAWN: Final = 8  # of a kind: numbers may be of more slices than anybody looks at


def run_samples(run: Path, store_path: Path, output: Path, slices: int, samples: int, seed: int) -> None:
    """Draw some slices of a store as the last state of a run makes them again, and some that it makes of nothing.

    Writes ``samples-STEP.png``, ``samples-STEP.csv`` with a row a slice and ``collapse-STEP.csv`` with one for each
    kind of slices: labelled, unlabelled and held out, as they were to the run, or, in another store, as they are there.
    Those of other steps stay.

    Args:
        run: a folder of groundglass train; it may still be training.
        store_path: whose slices are shown.
        output: the folder to write to.
        slices: how many of each kind; at most ``DRAWN`` are drawn.
        samples: how many of nothing.
        seed: of these, and of the posterior's noise.

    Raises:
        GroundglassError: no such state in the run, one that is damaged, or a store that does not fit.
    """
    state = last_state(run, METHODS, "generates slices")
    method, step = state.method, state.step
    assert isinstance(method, OfLadder)  # noqa: S101 - by its name
    store = open_store(store_path)
    generator = torch.Generator().manual_seed(seed)
    kinds = [
        _kind(method, store, name, spread(numbers, slices), generator)
        for name, numbers in _kinds(state, store).items()
        if numbers
    ]
    drawn = [one for kind in kinds for one in kind.drawn]
    if samples:
        drawn += _drawn(method.sampled(samples, store.preparation.size, generator), None)
    with OutputFolder(output) as results:
        title = f"step {step}, {store.dataset}; the last {samples} of nothing"
        results.path(f"samples-{step:06d}.png").write_bytes(sheet(drawn, method.tissues, title))
        for name, rows in (
            ("samples", [row for kind in kinds for row in kind.rows]),
            ("collapse", [kind.whole for kind in kinds]),
        ):
            results.path(f"{name}-{step:06d}.csv").write_text(table(rows), encoding="utf-8", newline="\n")
    for kind in kinds:
        sys.stdout.write(f"step {step}, {_line(kind.whole, method.unit)}\n")


def _kinds(state: State, store: Store) -> dict[str, Sequence[int]]:
    """Numbers of a store's slices, by what they were to the run, if it was of this store."""
    known = {info.id: number for number, info in enumerate(store.slices)}
    if state.slices and all(name in known for names in state.slices.values() for name in names):
        return {kind: sorted(known[name] for name in names) for kind, names in state.slices.items()}
    return {"labelled": store.labelled, "unlabelled": store.unlabelled}


@dataclass(frozen=True, eq=False)
class _Kind:
    """Slices of a kind: pictures, a row of numbers a slice, and one of them all."""

    drawn: list[Drawn]
    rows: list[Row]
    whole: Row


def _kind(method: OfLadder, store: Store, name: str, numbers: Sequence[int], generator: torch.Generator) -> _Kind:
    pictures = np.stack([store.prepared(number) for number in numbers])
    black, white = store.preparation.window_hu
    hu = white - black
    seen = np.stack([~store.frame(number).padding for number in numbers])
    parts = [slice(start, start + BATCH) for start in range(0, len(pictures), BATCH)]
    batches = [(torch.from_numpy(pictures[part])[:, None], torch.from_numpy(seen[part])) for part in parts]
    shown = _together([method.shown(image, seen=part) for image, part in batches])
    noisy = [_together([method.shown(image, generator) for image, _ in batches]) for _ in range(2)]
    first, second = (_array(one.styles) for one in noisy)
    styles, probability = _array(shown.styles), _array(shown.probability)
    error = np.abs(_array(shown.stitched)[:, 0] - pictures)

    def told(where: slice) -> dict[str, float | None]:
        samples = first[where], second[where]
        distance = collapse.closest(styles[where], samples, method.tissues, seen[where])
        return {
            method.unit: None if shown.bits is None else float(shown.bits[where].mean()),
            **{f"divergence_{name}": float(level[where].mean()) for name, level in shown.divergence.items()},
            "error_hu": hu * float(error[where][seen[where]].mean()),
            "styles_apart_hu": None if distance is None else hu * distance.apart,
            "noise_hu": None if distance is None else hu * distance.noise,
        }

    rows: list[Row] = [
        {"slice": store.slices[number].id, "kind": name, **told(slice(place, place + 1))}
        for place, number in enumerate(numbers)
    ]
    named = zip(names_of(method.tissues), collapse.shares(probability, seen), strict=True)
    whole = {
        "kind": name,
        "slices": str(len(numbers)),
        **told(slice(None)),
        **({f"active_{name}": active(means) for name, means in shown.means.items()} if len(numbers) > 1 else {}),
        "error_of_mean_picture_hu": hu * collapse.error_of_mean_picture(pictures, seen),
        **{f"share of {tissue}": share for tissue, share in named},
        "information_of_pictures": collapse.information_of_pictures(probability, seen),
        "information_of_grey_values": collapse.information_of_grey_values(pictures, probability, shown=seen),
    }
    drawn = _drawn(shown, pictures)
    return _Kind([drawn[place] for place in spread(range(len(drawn)), DRAWN)], rows, whole)


def _together(parts: Sequence[Shown]) -> Shown:
    bits = [part.bits for part in parts if part.bits is not None]
    return Shown(
        torch.cat([part.probability for part in parts]),
        torch.cat([part.styles for part in parts]),
        torch.cat([part.stitched for part in parts]),
        torch.cat(bits) if bits else None,
        {name: torch.cat([part.divergence[name] for part in parts]) for name in parts[0].divergence},
        {name: torch.cat([part.means[name] for part in parts]) for name in parts[0].means},
    )


def _drawn(shown: Shown, pictures: NDArray[np.float32] | None) -> list[Drawn]:
    stitched, classes, styles = (
        _array(part) for part in (shown.stitched[:, 0], shown.probability.argmax(dim=1), shown.styles)
    )
    return [
        Drawn(None if pictures is None else pictures[place], stitched[place], classes[place], styles[place])
        for place in range(len(stitched))
    ]


def _array(tensor: torch.Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = tensor.cpu().numpy()
    return array


def _line(whole: Row, unit: str) -> str:
    """What is told on the terminal of slices of a kind."""
    line = f"{whole['slices']} {whole['kind']} slices: {whole[unit]:.2f} {unit.replace('_', ' ')}"
    if whole["styles_apart_hu"] is None:
        return line
    return (
        f"{line}, {whole['error_hu']:.0f} HU off where the mean picture is {whole['error_of_mean_picture_hu']:.0f}, "
        f"styles {whole['styles_apart_hu']:.0f} HU apart against {whole['noise_hu']:.0f} of noise, "
        f"{whole['information_of_pictures']:.3f} bits between classes and pictures"
    )
