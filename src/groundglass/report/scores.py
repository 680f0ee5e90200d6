"""Scores as a Markdown table: every number under the name of its convention."""

from __future__ import annotations

from collections.abc import Mapping

from groundglass.evaluation.evaluator import NO_SIZE, OVERALL, Mean, Scores
from groundglass.evaluation.metrics import METRICS


def number(mean: float | None) -> str:
    """Three decimals; a dash where there is none."""
    return "-" if mean is None else f"{mean:.3f}"


def unit_of(metric: str, scores: Scores) -> str:
    """The unit of a metric in these scores: pixels for mm where pictures have no size of a pixel."""
    unit = METRICS[metric].unit
    return "pixels" if unit == "mm" and NO_SIZE in scores.notes else unit


def markdown(scores: Scores, summary: Mapping[str, Mapping[str, Mapping[str, Mean]]]) -> str:
    """Regions and metrics as rows, the conventions that were asked for and then the others as columns."""
    names = list(next(iter(next(iter(summary.values())).values())))
    asked = {convention.name for convention in scores.setup.conventions}
    titles = {target.key: target.title for target in scores.setup.targets}
    overall = "Mean over classes"
    lines = [
        f"| region | metric | {' | '.join(names)} |",
        "|---|---" + "|---" * len(names) + "|",
    ]
    for region, metrics in summary.items():
        for metric, means in metrics.items():
            unit = unit_of(metric, scores)
            cells = [_cell(means[name], name in asked) for name in names]
            title = METRICS[metric].title + (f", {unit}" if unit else "")
            lines.append(f"| {overall if region == OVERALL else titles[region]} | {title} | {' | '.join(cells)} |")
    shown = ", ".join(f"`{name}`" for name in names if name in asked)
    lines += ["", f"Asked for: {shown}. In brackets: 95 % interval over groups, and the number of images or patients."]
    return "\n".join([*lines, *scores.notes]) + "\n"


def _cell(mean: Mean, asked: bool) -> str:
    if not asked or mean.ci_low is None or mean.ci_high is None:
        return number(mean.mean)
    return f"{number(mean.mean)} [{number(mean.ci_low)}, {number(mean.ci_high)}; {mean.n}]"
