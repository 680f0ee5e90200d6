"""How well a model's slice scores rank slices by whether a reader saw infection in them.

    python -m benchmarks.by_slice slice_labels.csv P002=RESULTS/CASE normal002=RESULTS/CASE

LABELS is a CSV with the columns case, k (from 0, feet to head) and infected; each NAME=FOLDER is a case of it and the
folder that ``groundglass segment`` made of it. Area under the ROC of all cases together, and within each that has both
kinds of slices. Slices of one patient are alike, so there is no interval: patients are what a sample is of.
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import numpy as np

from benchmarks.words import cases_of
from groundglass.cli.ending import ending
from groundglass.errors import ReadError, UsageError
from groundglass.evaluation.curves import Histogram, roc

LEVELS = 1_000_001  # scores have six digits


def area(scores: np.ndarray, infected: np.ndarray) -> float | None:
    """The chance that an infected slice has the higher score, equal ones counting half; None without both kinds."""
    curve = roc(Histogram.of(scores, infected, levels=LEVELS))
    return None if curve is None else curve.area


def main(words: list[str]) -> None:
    """The table."""
    if len(words) < 2:
        raise UsageError(f"{len(words)} words.", expected="labels and cases", remedy="Say LABELS.csv NAME=FOLDER...")
    cases = cases_of(words[1:])
    with Path(words[0]).open(newline="", encoding="utf-8") as stream:
        told = {(row["case"], int(row["k"])): row["infected"] == "1" for row in csv.DictReader(stream)}
    all_scores, all_infected = [], []
    print("| case | slices | infected | area under the ROC | infection, mL |")
    print("|---|---|---|---|---|")
    for name, folder in cases.items():
        with (folder / "slices.csv").open(newline="", encoding="utf-8") as stream:
            scores = np.array([float(row["infection_score"]) for row in csv.DictReader(stream)])
        if missing := [k for k in range(len(scores)) if (name, k) not in told]:
            raise ReadError(
                f"The labels say nothing of {len(missing)} of the {len(scores)} slices of {name}.",
                expected="a row of each",
                remedy="Name the case as the labels do.",
            )
        infected = np.array([told[name, k] for k in range(len(scores))])
        zones = json.loads((folder / "measurements.json").read_text(encoding="utf-8"))["zones"]
        whole = next(zone for zone in zones if (zone["side"], zone["third"]) == ("both", "all"))
        millilitres = whole["regions"]["infection"]["volume_ml"]
        print(f"| {name} | {len(scores)} | {infected.sum()} | {_told(area(scores, infected))} | {millilitres:.1f} |")
        all_scores.append(scores)
        all_infected.append(infected)
    pooled, infected = np.concatenate(all_scores), np.concatenate(all_infected)
    print(f"| all | {len(pooled)} | {infected.sum()} | {_told(area(pooled, infected))} | |")


def _told(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


if __name__ == "__main__":
    with ending():
        main(sys.argv[1:])
