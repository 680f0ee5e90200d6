"""DRSegUNet's tables 12 to 15 beside what was measured, and its figures 20 to 25 as SVG.

The thesis's numbers are marked as such. Its Dice and F1 differ in every table, though the formula is one; which
slices were scored, and whether they were trained on, it does not say. So every row of ours has four numbers: of the
lesions alone and with background (and lung) as a class, of held-out slices and of these with the training slices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log10
from typing import Final
from xml.sax.saxutils import escape

from groundglass.evaluation.inflation import Means
from groundglass.report.study import COLOURS, DASHES

BINS: Final = 20
# Name of a recipe: table, row, the thesis's F1, Dice and IoU.
THESIS: Final[Mapping[str, tuple[int, str, str, str, str]]] = {
    "table12_1": (12, "30 epochs, rate 0.01", "0.89", "0.88", "0.87"),
    "table12_2": (12, "15 epochs, rate 0.01", "0.94", "0.92", "0.86"),
    "table12_3": (12, "15 epochs, rate 0.00098", "0.8", "0.85", "0.8"),
    "table12_4": (12, "40 epochs, rate 0.00098", "0.9", "0.93", "0.91"),
    "table12_5": (12, "40 epochs, rate 0.0000098", "0.98", "0.96", "0.94"),
    "table13_unet": (13, "U-Net", "0.9600", "0.9324", "0.9132"),
    "table13_transposed": (13, "DRSegUNet, transposed convolutions", "0.9923", "0.9841", "0.9735"),
    "table13_nearest": (13, "DRSegUNet, up-sampling, nearest", "0.9822", "0.9689", "0.9543"),
    "table13_bilinear": (13, "DRSegUNet, up-sampling, bilinear", "0.9822", "0.9689", "0.9543"),
    "table14": (14, "DRSegUNet", "", "0.89", ""),
    "table15": (15, "the level that was kept last", "0.93", "0.92", "0.89"),
}
TITLES: Final = {
    12: "Table 12, epochs and learning rates (thesis: MedSeg's 100 slices)",
    13: "Table 13, networks and decoders (thesis: Radiopaedia's 829 slices; it does not say which up-sampling)",
    14: "Table 14, ground glass (thesis: MedSeg; the others' are Inf-Net's, of 48 slices and another convention)",
    15: "Table 15, levels (thesis: MosMed; level 1 F1 0.95, Dice 0.94, IoU 0.92)",
}
RIVALS: Final = (
    ("DeepLab-v3+ (stride 8)", "0.375"),
    ("DeepLab-v3+ (stride 16)", "0.443"),
    ("FCN8s", "0.471"),
    ("Semi-Inf-Net + FCN8s", "0.646"),
    ("TV-UNet", "0.655"),
)


@dataclass(frozen=True)
class Run:
    """A recipe on a fold.

    Attributes:
        recipe: its name.
        fold: that was held out.
        minutes: of the training.
        losses: cross-entropy of each step, for each stage.
        levels: rows of ``levels.csv``, where the recipe has levels.
        histogram: numbers of probabilities in equal bins from 0 to 1, of held-out slices.
        above: the limit of section 4.5.
    """

    recipe: str
    fold: int
    minutes: float
    losses: tuple[tuple[float, ...], ...]
    levels: tuple[Mapping[str, str], ...]
    histogram: tuple[int, ...]
    above: float


def tables(runs: Sequence[Run], means: Mapping[str, Means], heading: str) -> str:
    """All tables in Markdown, the substitute data in every heading; ``means`` are of each recipe, over its folds."""
    lines = []
    for number, title in TITLES.items():
        chosen = [name for name in means if THESIS.get(name, (0,))[0] == number]
        if not chosen:
            continue
        lines += [
            f"## {title}; here {heading}",
            "",
            "| row | thesis F1 | thesis Dice | thesis IoU | ground glass | infection | + background "
            "| + background, IoU | + background, training slices too | min |",
            "|---|---|---|---|---|---|---|---|---|---|",
            *(_row(name, [run for run in runs if run.recipe == name], means[name]) for name in chosen),
            *([f"| {name} | | {dice} | | | | | | | |" for name, dice in RIVALS] if number == 14 else []),
            "",
        ]
    lines += _honest(means, heading) + _levels(runs, heading)
    lines += [
        "Thesis: as printed there. The rest was measured: Dice (`present`: the mean over slices that have the class, "
        "then over classes) where the largest probability is above 0.5, at native resolution, of held-out slices "
        "unless it says otherwise. + background: background (or lung), ground glass and consolidation. Minutes are of "
        "a training.",
    ]
    return "\n".join(lines) + "\n"


def _row(name: str, runs: Sequence[Run], means: Means) -> str:
    _, row, *thesis = THESIS[name]
    numbers = (
        means.ground_glass,
        means.infection,
        means.with_background,
        means.with_background_iou,
        means.with_background_trained_too,
    )
    minutes = sum(run.minutes for run in runs) / len(runs)
    return f"| {' | '.join([row, *thesis, *map(_number, numbers), f'{minutes:.1f}'])} |"


def _honest(means: Mapping[str, Means], heading: str) -> list[str]:
    """Where 0.97 comes from: the same predictions in four ways."""
    lines = [
        f"## The same predictions, counted four ways; {heading}",
        "",
        "| recipe | lesions, held out | lesions, training slices too | + background, held out "
        "| + background, training slices too | background alone, held out |",
        "|---|---|---|---|---|---|",
    ]
    for name, one in means.items():
        cells = (
            one.lesions,
            one.lesions_trained_too,
            one.with_background,
            one.with_background_trained_too,
            one.background,
        )
        lines.append(f"| {name} | {' | '.join(map(_number, cells))} |")
    return [*lines, ""]


def _levels(runs: Sequence[Run], heading: str) -> list[str]:
    rows = [(run, level) for run in runs for level in run.levels]
    if not rows:
        return []
    lines = [
        f"## Levels; {heading}",
        "",
        "| recipe | fold | level | slices | agreement | confidence | kept | ground glass | infection |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for run, level in rows:
        numbers = [level[key] and f"{float(level[key]):.3f}" for key in ("agreement", "confidence")]
        dice = [level[key] and f"{float(level[key]):.3f}" for key in ("dice_ground_glass", "dice_infection")]
        kept = "yes" if level["kept"] == "1" else "no"
        cells = [run.recipe, str(run.fold), level["stage"], level["slices"], *numbers, kept, *dice]
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, ""]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


WIDE, HIGH, LEFT, BELOW, TOP = 720, 380, 56, 40, 40


def _frame(title: str, heading: str) -> list[str]:
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDE} {HIGH}" font-family="sans-serif" font-size="11">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDE}" height="{HIGH}" fill="#fff"/>',
        f'<text x="{LEFT}" y="15" font-size="13">{escape(title)}</text>',
        f'<text x="{LEFT}" y="30" fill="#555">{escape(heading)}</text>',
        f'<path d="M{LEFT} {HIGH - BELOW}H{WIDE - 10}" stroke="#888"/>',
    ]


def losses(runs: Sequence[Run], heading: str) -> str:
    """Cross-entropy over the training, in means of twentieths, on a logarithmic axis (figures 23 and 25)."""
    low, high = -3.0, 1.0

    def down(value: float) -> float:
        share = (min(max(log10(max(value, 1e-12)), low), high) - low) / (high - low)
        return HIGH - BELOW - share * (HIGH - BELOW - TOP)

    parts = _frame("Cross-entropy over the training", heading)
    for power in range(int(low), int(high) + 1):
        at = down(10.0**power)
        parts.append(f'<path d="M{LEFT} {at:.1f}H{WIDE - 10}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{10.0**power:g}</text>')
    first = min(run.fold for run in runs)
    shown = [run for run in runs if run.fold == first and run.losses]
    for number, run in enumerate(shown):
        values = _means([value for stage in run.losses for value in stage], BINS)
        step = (WIDE - 190 - LEFT) / max(len(values) - 1, 1)
        path = "L".join(f"{LEFT + place * step:.1f} {down(value):.1f}" for place, value in enumerate(values))
        colour, dash = COLOURS[number % len(COLOURS)], DASHES[number // len(COLOURS) % len(DASHES)]
        parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="1.6" stroke-dasharray="{dash}"/>')
        y = TOP + 12 + 15 * number
        parts.append(
            f'<path d="M{WIDE - 175} {y - 4}h24" stroke="{colour}" stroke-width="1.6" stroke-dasharray="{dash}"/>'
        )
        parts.append(f'<text x="{WIDE - 146}" y="{y}">{escape(run.recipe)}</text>')
    parts.append(f'<text x="{LEFT}" y="{HIGH - 14}">start</text>')
    parts.append(
        f'<text x="{WIDE - 190}" y="{HIGH - 14}" text-anchor="end">end of the training, fold {first}</text></svg>'
    )
    return "\n".join(parts) + "\n"


def _means(values: Sequence[float], parts: int) -> list[float]:
    """Means of consecutive parts of equal length; each value by itself where there are fewer."""
    size = max(len(values) // parts, 1)
    return [sum(values[i : i + size]) / len(values[i : i + size]) for i in range(0, len(values), size)]


def histogram(runs: Sequence[Run], heading: str, *, after: bool) -> str:
    """Probabilities of all classes on held-out slices (figure 20), or what section 4.5 makes of them (figure 21)."""
    counts = [sum(run.histogram[place] for run in runs) for place in range(BINS)]
    if after:
        limit = round(runs[0].above * BINS)
        counts = [sum(counts[:limit]), *[0] * (BINS - 2), sum(counts[limit:])]
    total, top = max(sum(counts), 1), max(*counts, 1)
    title = "after section 4.5: 1 where a probability is above 0.5, else 0" if after else "as softmax gives them"
    parts = _frame(f"Probabilities of all classes, {title}", heading)
    width = (WIDE - LEFT - 20) / BINS
    for place, number in enumerate(counts):
        tall = number / top * (HIGH - BELOW - TOP - 14)
        x, y = LEFT + place * width, HIGH - BELOW - tall
        parts.append(f'<rect x="{x + 1:.1f}" y="{y:.1f}" width="{width - 2:.1f}" height="{tall:.1f}" fill="#0072b2"/>')
        if number:
            share = f"{100 * number / total:.1f} %"
            parts.append(
                f'<text x="{x + width / 2:.1f}" y="{y - 3:.1f}" text-anchor="middle" font-size="8">{share}</text>'
            )
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(f'<text x="{LEFT + tick * BINS * width:.1f}" y="{HIGH - 24}" text-anchor="middle">{tick:g}</text>')
    parts.append("</svg>")
    return "\n".join(parts) + "\n"
