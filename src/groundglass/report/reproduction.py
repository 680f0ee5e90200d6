"""A paper's tables beside what was measured, in Markdown: what is printed there is marked as such."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import Any, Final

from groundglass.evaluation.cells import Cell, Told
from groundglass.evaluation.costs import Cost
from groundglass.evaluation.curves import Histogram
from groundglass.evaluation.published import Paper, Spread, Table
from groundglass.evaluation.statistics import Comparison
from groundglass.evaluation.trials import Trial
from groundglass.report.words import p_value

BINS: Final = 20
MAPS: Final = {"psnr_db": "PSNR, dB", "ssim": "SSIM", "error_area": "area of 1 - confidence for errors"}
PERPLEXITY: Final = "perplexity of "  # in logs, before a codebook's name
TRUSTED: Final = "trusted"
SPREADS: Final[Mapping[Spread, str]] = {
    "errors": "1.96 standard errors",
    "deviation": "the population's standard deviation",
}


@dataclass(frozen=True, eq=False)
class Run:
    """A trial, but its scores.

    Attributes:
        trial: recipe, seed, fold.
        costs: of each phase.
        logs: of each stage.
        levels: rows of ``levels.csv``, where the recipe has levels.
        histogram: numbers of probabilities in ``BINS`` equal bins from 0 to 1, of held-out slices.
        infection: pixels inside and outside of it at each level of its probability; None where it is not told.
        above: what a label's probability is above.
        maps: by name, what was measured of held-out slices that the method draws again or is sure of.
    """

    trial: Trial
    costs: Mapping[str, Cost]
    logs: tuple[Sequence[Mapping[str, Any]], ...]
    levels: tuple[Mapping[str, str], ...]
    histogram: tuple[int, ...]
    infection: Histogram | None
    above: float
    maps: Mapping[str, Sequence[float]] = field(default_factory=dict)


def page(paper: Paper, told: Mapping[str, Sequence[Told]], runs: Sequence[Run], data: str, heading: str) -> str:
    """All tables.

    Args:
        paper: what is reproduced.
        told: title of a table -> its rows.
        runs: all trials.
        data: which, and how large: it stands in every heading.
        heading: the same, how much of the paper's training there was, and what was held out.
    """
    ran = {run.trial.recipe for run in runs}
    lines = [f"# {paper.title}", "", f"Here {heading}.", ""]
    for table in paper.table:
        rows = [one for one in told[table.title] if one.row.recipe is None or one.row.recipe in ran]
        if any(one.row.recipe for one in rows):
            lines += _table(paper, table, rows, data) + _differences(paper, table, rows)
    against: dict[str, str] = {}  # of several the first, the paper's own
    for row in (row for table in paper.table for row in table.row if row.recipe and row.against):
        against.setdefault(row.recipe or "", row.against or "")
    lines += _shown(runs, data) + _costs(runs, against, data) + _levels(runs, data)
    lines += [
        f"{paper.whose.capitalize()}: as printed there. The rest was measured, under the convention "
        f"`{paper.convention}`, at native resolution, of held-out slices unless it says otherwise: mean ± "
        f"{SPREADS[paper.spread]} over slices, which count as independent there and are not. A pixel is of its most "
        "probable class. A column of several classes is the mean over them.",
        *([paper.notes] if paper.notes else []),
    ]
    return "\n".join(lines) + "\n"


def _table(paper: Paper, table: Table, rows: Sequence[Told], data: str) -> list[str]:
    printed, measured = paper.printed_of(table), paper.measured_of(table)
    columns = ["row", *(f"{paper.whose} {name}" for name in printed), *(column.title for column in measured)]
    lines = [f"## {table.title}; here {data}", "", *_head([*columns, "slices, groups"])]
    for one in rows:
        cells = [one.row.label, *(one.row.cells or [""] * len(printed)), *(_cell(cell) for cell in one.cells)]
        lines.append(_line([*cells, "{}, {}".format(*one.slices) if one.row.recipe else ""]))
    return [*lines, ""]


def _cell(cell: Cell | None) -> str:
    if cell is None:
        return ""
    margin = "" if cell.margin is None else f" ± {cell.margin:.3f}"
    return f"{cell.mean:.3f}{margin}" + ("" if cell.seeds is None else f", seeds ± {cell.seeds:.3f}")


def _differences(paper: Paper, table: Table, rows: Sequence[Told]) -> list[str]:
    titles = [column.title for column in paper.measured_of(table)]
    told = [
        (one, title, difference)
        for one in rows
        for title, difference in zip(titles, one.differences, strict=True)
        if difference is not None
    ]
    if not told:
        return []
    columns = ["row", "less", "column", "difference [95 %], pairs of groups", "t-test p", "Wilcoxon p", "d_z"]
    lines = [*_head(columns)]
    for one, title, difference in told:
        tests = (p_value(difference.t_p), p_value(difference.wilcoxon_p), _number(difference.effect_size))
        lines.append(_line([one.row.label, one.row.against or "", title, _difference(difference), *tests]))
    return [*lines, ""]


def _difference(found: Comparison) -> str:
    interval = "" if found.ci_low is None or found.ci_high is None else f" [{found.ci_low:+.3f}, {found.ci_high:+.3f}]"
    return f"{found.mean_difference:+.3f}{interval}, {found.pairs}"


def _shown(runs: Sequence[Run], data: str) -> list[str]:
    """What methods show of themselves: of held-out slices, and of the log at the end of a training or over it."""
    logs = [(run, _logged(run)) for run in runs]
    ended = list(dict.fromkeys(key for _, log in logs for key in log if key.startswith(PERPLEXITY)))
    lines = []
    for name in dict.fromkeys(run.trial.recipe for run in runs):
        own = [(run, log) for run, log in logs if run.trial.recipe == name]
        values = [[value for run, _ in own for value in run.maps.get(key, ())] for key in MAPS]
        logged = [[log[key][-1] for _, log in own if key in log] for key in ended]
        trusted = [fmean(log[TRUSTED]) for _, log in own if TRUSTED in log]
        if any((*values, *logged, trusted)):
            cells = [_mean(one, "slices") for one in values], [_mean(one) for one in (*logged, trusted)]
            lines.append(_line([name, *cells[0], *cells[1]]))
    if not lines:
        return []
    head = [f"## What they show of themselves; {data}", "", *_head(["recipe", *MAPS.values(), *ended, TRUSTED])]
    note = (
        "Of held-out slices, over all folds and seeds: mean ± standard deviation. Perplexities are of the codes' use "
        f"at the end of a training; `{TRUSTED}` is the share of unlabelled pixels that taught, the mean over the steps "
        "that asked. Both ± over trainings."
    )
    return [*head, *lines, "", note, ""]


def _logged(run: Run) -> dict[str, list[float]]:
    """Every number of all stages' logs by its name, in the order of steps."""
    told: dict[str, list[float]] = {}
    for log in run.logs:
        for row in log:
            for key, value in row.items():
                told.setdefault(key, []).append(value)
    return told


def _mean(values: Sequence[float], of: str = "") -> str:
    if not values:
        return ""
    deviation = f" ± {stdev(values):.3g}" if len(values) > 1 else ""
    return f"{fmean(values):.3g}{deviation}" + (f" ({len(values)} {of})" if of else "")


def _costs(runs: Sequence[Run], against: Mapping[str, str], data: str) -> list[str]:
    """Steps and minutes of a trial, phase by phase, and how often those of the recipe that it is compared with."""
    phases = list(dict.fromkeys(phase for run in runs for phase in run.costs))
    names = list(dict.fromkeys(run.trial.recipe for run in runs))
    own = {name: [run.costs for run in runs if run.trial.recipe == name] for name in names}
    minutes = {name: fmean(sum(cost.minutes for cost in one.values()) for one in own[name]) for name in names}
    lines = [
        f"## Steps and minutes of a training; {data}",
        "",
        *_head(["recipe", *phases, "all, min", "times", "compared with"]),
    ]
    for name in names:
        cells = [
            f"{told[0].steps}, {fmean(cost.minutes for cost in told):.1f} min" if told else ""
            for told in ([one[phase] for one in own[name] if phase in one] for phase in phases)
        ]
        other = against.get(name, "")
        times = f"{minutes[name] / minutes[other]:.1f}" if minutes.get(other) else ""
        lines.append(_line([name, *cells, f"{minutes[name]:.1f}", times, other if times else ""]))
    return [*lines, "", "A prior's minutes count for each recipe that uses it, though it was trained once.", ""]


def _levels(runs: Sequence[Run], data: str) -> list[str]:
    rows = [(run, level) for run in runs for level in run.levels]
    if not rows:
        return []
    columns = ["recipe", "seed", "fold", "level", "round", "slices", "agreement", "confidence", "kept", "ground glass"]
    lines = [f"## Levels; {data}", "", *_head([*columns, "infection"])]
    for run, level in rows:
        numbers = [level[key] and f"{float(level[key]):.3f}" for key in ("agreement", "confidence")]
        dice = [level[key] and f"{float(level[key]):.3f}" for key in ("dice_ground_glass", "dice_infection")]
        place = [run.trial.recipe, str(run.trial.seed), str(run.trial.fold), level["stage"], level["round"]]
        lines.append(_line([*place, level["slices"], *numbers, "yes" if level["kept"] == "1" else "no", *dice]))
    return [*lines, ""]


def _head(columns: Sequence[str]) -> list[str]:
    return [_line(columns), "|---" * len(columns) + "|"]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
