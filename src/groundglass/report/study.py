"""A study's tables in Markdown, and its curve of scores against numbers of labels as an SVG."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from statistics import stdev
from typing import Final
from xml.sax.saxutils import escape

from groundglass.evaluation.failure import Poor
from groundglass.evaluation.labels_needed import Needed
from groundglass.evaluation.statistics import FEW, TOO_FEW, Summary
from groundglass.evaluation.trials import ALL, Entry
from groundglass.labels import Region
from groundglass.report import words

TITLES: Final = {region.key: region.title for region in Region}


def markdown(table: Sequence[Entry], heading: str) -> str:
    """A row for each number of labels, region and recipe; differences are from the first recipe."""
    lines = [
        f"{heading}.",
        "",
        "| labels | region | recipe | mean [95 %], slices, groups | SD over seeds | difference [95 %], pairs "
        "| t-test p | Wilcoxon p | d_z | min |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for entry in table:
        against = entry.against_first
        difference = ["", "", "", ""]
        if against is not None:
            interval = _interval(against.ci_low, against.ci_high, signed=True)
            difference = [
                f"{against.mean_difference:+.3f}{interval}, {against.pairs}",
                *(words.p_value(p) for p in (entry.t_p, entry.wilcoxon_p)),
                _number(against.effect_size),
            ]
        seeds = list(entry.seed_means.values())
        cells = [
            entry.labels,
            TITLES.get(entry.region, entry.region),
            entry.recipe,
            _score(entry),
            _number(stdev(seeds)) if len(seeds) > 1 else "",
            *difference,
            f"{entry.minutes:.1f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    folds = sorted({fold for entry in table for fold in entry.folds})
    notes = sorted({entry.score.note for entry in table if entry.score and entry.score.note})
    held_out = f"Held out: folds {', '.join(map(str, folds))}, by group."
    of_groups = "A slice's score is averaged over seeds; intervals and pairs are of groups."
    lines += ["", f"{held_out} {of_groups} p-values are corrected over a region's rows (Holm)."]
    return "\n".join([*lines, *notes]) + "\n"


def overview(table: Sequence[Entry], heading: str) -> str:
    """A row for each number of labels and recipe, a column for each region: means with their intervals."""
    regions = list(dict.fromkeys(entry.region for entry in table))
    names = [TITLES.get(region, region) for region in regions]
    lines = [
        f"{heading}. Mean [95 %].",
        "",
        f"| labels | recipe | {' | '.join(names)} | min |",
        "|---" * (len(names) + 3) + "|",
    ]
    for labels, recipe in dict.fromkeys((entry.labels, entry.recipe) for entry in table):
        own = {entry.region: entry for entry in table if (entry.labels, entry.recipe) == (labels, recipe)}
        scores = [_mean(own[region].score) if region in own else "-" for region in regions]
        minutes = next(iter(own.values())).minutes
        lines.append(f"| {' | '.join([labels, recipe, *scores, f'{minutes:.1f}'])} |")
    return "\n".join(lines) + "\n"


def failures(of_recipe: Mapping[tuple[str, str], Sequence[Poor]], heading: str) -> str:
    """The slices that each recipe at a number of labels did worst on, and which kinds of pixels were wrong."""
    lines = [f"{heading}. The slices of least infection Dice; pixels of all seeds together.", ""]
    for (labels, recipe), poor in of_recipe.items():
        regions = list(dict.fromkeys(key for one in poor for key in one.dice))
        names = [TITLES.get(region, region) for region in regions]
        lines += [
            f"## {recipe}, {labels} labels",
            "",
            f"| slice | group | infected | {' | '.join(names)} | missed | overcalled | of the other kind |",
            "|---" * (len(names) + 6) + "|",
        ]
        for one in poor:
            dice = [_number(one.dice.get(region)) for region in regions]
            shares = [_percent(share) for share in (one.missed, one.overcalled, one.of_other_kind)]
            lines.append(f"| {' | '.join([one.slice, one.group, _percent(one.infected), *dice, *shares])} |")
        lines.append("")
    lines.append(
        "Infected: of the slice. Missed, overcalled, of the other kind (ground glass called consolidation, the other "
        "way round, or sure of neither): of its infection."
    )
    return "\n".join(lines) + "\n"


def needed(told: Sequence[Needed], first: str) -> str:
    """How many labels each recipe needs to be as good as the first by its most."""
    lines = [
        f"Labels with which a recipe is first as good as {first} by its most.",
        "",
        f"| region | {first} | by labels | recipe | needs [95 %] | slices, groups |",
        "|---|---|---|---|---|---|",
    ]
    for one in told:
        interval = f"{_labels(one, one.labels)} [{_labels(one, one.low)}, {_labels(one, one.high)}]"
        region, most = TITLES.get(one.region, one.region), str(one.most)
        cells = [region, f"{one.goal:.3f}", most, one.recipe, interval, f"{one.slices}, {one.groups}"]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "Between numbers that were trained on, scores lie on lines over the logarithm of the number."]
    few = [TOO_FEW] if any(one.groups < FEW for one in told) else []
    return "\n".join([*lines, *few]) + "\n"


def _labels(needed: Needed, number: float) -> str:
    """A number of labels; of the smallest and the largest that were trained on it is known only that it is beyond."""
    if math.isinf(number):
        return f"more than {needed.numbers[-1]}"
    return f"{needed.numbers[0]} or fewer" if number <= needed.numbers[0] else str(math.ceil(number - 1e-9))


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"


def _score(entry: Entry) -> str:
    score = entry.score
    return _mean(score) if score is None else f"{_mean(score)}, {score.n}, {score.units}"


def _mean(score: Summary | None) -> str:
    return "-" if score is None else f"{score.mean:.3f}{_interval(score.ci_low, score.ci_high)}"


def _interval(low: float | None, high: float | None, *, signed: bool = False) -> str:
    if low is None or high is None:
        return ""
    return f" [{low:+.3f}, {high:+.3f}]" if signed else f" [{low:.3f}, {high:.3f}]"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


WIDE, HIGH, LEFT, BELOW, NAMES = 800, 360, 50, 40, 190
COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")  # Okabe and Ito
DASHES: Final = ("", "6 3", "2 3", "8 3 2 3")


def curve(table: Sequence[Entry], heading: str) -> str:
    """Infection against the number of labels (the first region where there is none), whiskers the 95 % intervals."""
    regions = [entry.region for entry in table]
    region = Region.INFECTION.key if Region.INFECTION.key in regions else regions[0]
    shown = [entry for entry in table if entry.region == region and entry.score is not None]
    labels = list(dict.fromkeys(entry.labels for entry in shown))
    recipes = list(dict.fromkeys(entry.recipe for entry in shown))
    step = (WIDE - NAMES - LEFT - 50) / max(len(labels) - 1, 1)

    def across(entry: Entry) -> float:
        # recipes a little apart, or their whiskers would lie on each other
        return LEFT + 10 + labels.index(entry.labels) * step + 4 * recipes.index(entry.recipe)

    def down(value: float) -> float:
        return HIGH - BELOW - value * (HIGH - BELOW - 30)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDE} {HIGH}" font-family="sans-serif" font-size="12">',
        f"<title>{escape(heading)}, {TITLES.get(region, region)}</title>",
        f'<rect width="{WIDE}" height="{HIGH}" fill="#fff"/>',
    ]
    for tick in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0):
        parts.append(f'<path d="M{LEFT} {down(tick):.1f}H{WIDE - NAMES}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{down(tick) + 4:.1f}" text-anchor="end">{tick:.1f}</text>')
    for place, label in enumerate(labels):
        name = "all" if label == ALL else label
        parts.append(f'<text x="{LEFT + 10 + place * step:.1f}" y="{HIGH - 18}" text-anchor="middle">{name}</text>')
    for number, recipe in enumerate(recipes):
        parts += _line([entry for entry in shown if entry.recipe == recipe], number, recipe, across, down)
    parts.append(f'<text x="{(WIDE - NAMES) / 2}" y="{HIGH - 3}" text-anchor="middle">labelled slices</text></svg>')
    return "\n".join(parts) + "\n"


def _line(
    entries: Sequence[Entry],
    number: int,
    recipe: str,
    across: Callable[[Entry], float],
    down: Callable[[float], float],
) -> list[str]:
    colour, dash = COLOURS[number % len(COLOURS)], DASHES[number % len(DASHES)]
    points = [(across(entry), entry.score) for entry in entries if entry.score is not None]
    path = "L".join(f"{x:.1f} {down(score.mean):.1f}" for x, score in points)
    parts = [f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"/>']
    for x, score in points:
        parts.append(f'<circle cx="{x:.1f}" cy="{down(score.mean):.1f}" r="3" fill="{colour}"/>')
        if score.ci_low is not None and score.ci_high is not None:
            parts.append(f'<path d="M{x:.1f} {down(score.ci_low):.1f}V{down(score.ci_high):.1f}" stroke="{colour}"/>')
    parts.append(f'<text x="{WIDE - NAMES + 10}" y="{35 + 16 * number}" fill="{colour}">{escape(recipe)}</text>')
    return parts
