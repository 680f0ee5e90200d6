"""The page: one HTML file with pictures, measurements and how they came about. It loads nothing and runs nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from groundglass.evaluation.burden import Amount, Burden
from groundglass.evaluation.failure import Failure
from groundglass.inference.segmentation import Segmentation
from groundglass.labels import Region
from groundglass.provenance import Provenance
from groundglass.report import charts, demonstration, tables, views, words
from groundglass.report.demonstration import Demonstration
from groundglass.report.figures import WINDOW_HU, Picture
from groundglass.report.frame import page
from groundglass.scan import Notice, Scan

SIX_ZONE_SOURCE: Final = (
    "Each third of each lung's height has points for the infected share of its volume: 0 for none, 1 for under 25 %, "
    "2 from 25 %, 3 from 50 %, 4 from 75 %; the score is their sum, 0 to 24. After Ooi et al., Radiology "
    "2004;230:836-844, who judged by eye in zones bounded by anatomy. Other CT severity scores differ."
)
CLASS_OF_REGION: Final = {
    Region.LUNG_FIELD: "lung",
    Region.INFECTION: "infection",
    Region.GROUND_GLASS: "ggo",
    Region.CONSOLIDATION: "con",
}


@dataclass(frozen=True, eq=False)
class PageContent:
    """What a page tells.

    Attributes:
        case: what the case is called.
        scan: that was read.
        segmentation: of the scan.
        burden: measured in the segmentation.
        provenance: how this came about.
        seconds: of each phase, in order.
        notices: all that a reader has to know; only their text is shown.
        truth: true label codes on the scan's grid, where they are known.
        truth_burden: measured in the truth.
        agreement: of segmentation and truth, each in [0, 1], by its name or a region's key.
        failure: the slice where segmentation and truth differ most.
        demonstration: what came of training two methods, where that is what the page is about.
    """

    case: str
    scan: Scan
    segmentation: Segmentation
    burden: Burden
    provenance: Provenance
    seconds: Mapping[str, float]
    notices: tuple[Notice, ...] = ()
    truth: NDArray[np.uint8] | None = None
    truth_burden: Burden | None = None
    agreement: Mapping[str, float] | None = None
    failure: Failure | None = None
    demonstration: Demonstration | None = None


def render(content: PageContent) -> str:
    """The page as HTML, in one piece."""
    return page(
        "page.html",
        version=content.provenance.version,
        notices=tuple(dict.fromkeys(notice.text for notice in content.notices)),
        css=CLASS_OF_REGION,
        regions=Region,
        window=tuple(words.number(edge, 0) for edge in WINDOW_HU),
        content=content,
        **_findings(content.burden),
        **_pictures(content),
        **_tables(content),
        **_trainings(content.demonstration),
    )


def sentence(burden: Burden) -> str:
    """The finding, in one sentence."""
    zone = burden.zone()
    if zone is None or zone.amounts[Region.LUNG_FIELD].voxels == 0:
        if zone is not None and zone.amounts[Region.INFECTION].voxels:
            return "Infection was found, but no lung that it could be a share of."
        return "No lung was found, so nothing could be measured."
    lung, infection, *parts = (zone.amounts[region] for region in Region)
    if infection.voxels == 0:
        volume = "the lung" if lung.volume_ml is None else f"{words.ml(lung.volume_ml)} of lung"
        return f"No ground glass and no consolidation was found in {volume}."
    found = f"Infection in {words.percent(infection.percent_of_lung)} of the lung"
    names = ("ground glass", "consolidation")
    amounts = [
        f"{words.ml(part.volume_ml)} of {name}"
        for part, name in zip(parts, names, strict=True)
        if part.voxels and part.volume_ml is not None
    ]
    return f"{found}: {' and '.join(amounts)}." if amounts else f"{found}."


def _findings(burden: Burden) -> dict[str, Any]:
    zone = burden.zone()
    amounts = zone.amounts if zone else dict.fromkeys(Region, Amount(0, None, None, None))
    lung, infection, ground_glass, consolidation = (amounts[region] for region in Region)
    key_figures = [
        ("Infection", words.percent(infection.percent_of_lung).removesuffix(f"{words.SPACE}%"), "% of lung"),
        ("Ground glass", words.short_ml(ground_glass.volume_ml), "mL"),
        ("Consolidation", words.short_ml(consolidation.volume_ml), "mL"),
        ("Lung", words.short_ml(lung.volume_ml), "mL"),
        ("Six-zone score", words.number(burden.six_zone_score, 0), "of 24"),
        ("Lesions", str(burden.lesion_count), "found"),
    ]
    return {
        "sentence": sentence(burden),
        "has_lung": lung.voxels > 0,
        "has_infection": infection.voxels > 0,
        "key_figures": [figure for figure in key_figures if figure[1] != words.UNKNOWN],
    }


def _pictures(content: PageContent) -> dict[str, Any]:
    overview = views.look_over(content.segmentation.codes)
    viewer = views.Viewer(
        content.scan, content.segmentation, content.burden, overview, views.frame_lungs(overview, content.scan)
    )
    chosen = views.most_affected(content.burden.slice_scores, overview)
    montage = views.spread(overview, views.MONTAGE)
    many = len(content.scan.hu) > 1
    failed = content.failure
    return {
        "large": [viewer.axial(z, large=True) for z in chosen],
        "large_truth": [viewer.axial(z, large=True, truth=content.truth) for z in chosen if content.truth is not None],
        "failure": [viewer.axial(failed.index, large=True, truth=codes) for codes in (None, content.truth)]
        if failed
        else [],
        "failure_words": demonstration.failure_words(failed, len(content.scan.hu)) if failed else "",
        "reformatted": _sized([viewer.coronal(), viewer.sagittal()]) if viewer.has_height else [],
        "montage": [] if set(montage) <= set(chosen) else [viewer.axial(z, large=False) for z in montage],
        "profile": charts.profile(content.scan, overview, chosen),
        "many": many,
        "outlined": content.truth is not None or bool(overview.lung.any()),
        "slices_title": _slices_title(many, bool(overview.infected.any())),
    }


def _slices_title(many: bool, infected: bool) -> str:
    if not many:
        return "The slice"
    return "Most affected slices" if infected else "Slices"


def _sized(pictures: list[Picture]) -> list[tuple[Picture, int, int]]:
    """Pictures with their width and height in CSS pixels, at one scale, beside each other on the page."""
    scale = min(
        1040 / sum(picture.whole_width for picture in pictures), 520 / max(picture.height for picture in pictures)
    )
    return [(picture, round(picture.whole_width * scale), round(picture.height * scale)) for picture in pictures]


def _tables(content: PageContent) -> dict[str, Any]:
    burden, truth = content.burden, content.truth_burden
    scores = [
        ("Percentage of opacity (PO)", words.number(burden.opacity_percent), "%"),
        ("Six-zone score", words.number(burden.six_zone_score, 0), "of 24"),
        ("Lesions", str(burden.lesion_count), ""),
        ("Largest lesion", words.number(burden.largest_lesion_ml), "mL"),
        ("Score of the case", words.number(burden.case_score, 2), "of 1"),
    ]
    return {
        "measurements": tables.measurements(burden),
        "thirds": tables.thirds(burden),
        "scores": scores,
        "six_zones": [
            (third, burden.six_zone_points.get(("right", third)), burden.six_zone_points.get(("left", third)))
            for third in tables.THIRDS
        ],
        "six_zone_source": SIX_ZONE_SOURCE,
        "against_truth": tables.against_truth(burden, truth) if truth else (),
        "agreement": tables.agreement(content.agreement or {}),
        "read": tables.what_was_read(content.scan),
        "made": tables.how_it_was_made(content.provenance),
        "durations": tables.durations(content.seconds),
    }


def _trainings(made: Demonstration | None) -> dict[str, Any]:
    if made is None:
        return {"verdict": ""}
    return {
        "verdict": demonstration.verdict(made),
        "trained_regions": demonstration.SHOWN,
        "trained": demonstration.method_rows(made),
        "difference": demonstration.difference_row(made),
    }
