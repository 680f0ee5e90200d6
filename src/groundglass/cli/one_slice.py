"""A scan for a command that explains one of its slices."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from groundglass.cli.key import load_key
from groundglass.cli.phases import Phases
from groundglass.cli.segment import Options as SegmentOptions
from groundglass.cli.segment import check_options, in_hounsfield, turned
from groundglass.errors import UsageError
from groundglass.io import read
from groundglass.provenance import case_name, content_hash
from groundglass.scan import GreyImage, Scan


@dataclass(frozen=True)
class SliceOptions:
    """What such a command was called with, but the scan and the folder.

    Attributes:
        slice: number of the slice, from 1, feet to head; None: the command chooses.
        series: which DICOM series.
        window: HU of black and white, for pictures.
        cropped: the pictures are crops around the lungs.
        orientation: what turns pictures until the front is up.
        key: of the hash that the case is called by.
        quiet: show no progress.
    """

    slice: int | None = None
    series: str | None = None
    window: str | None = None
    cropped: bool = False
    orientation: str | None = None
    key: Path | None = None
    quiet: bool = False

    @property
    def as_segment(self) -> SegmentOptions:
        """What ``segment`` would have been called with."""
        return SegmentOptions(
            series=self.series, window=self.window, cropped=self.cropped, orientation=self.orientation
        )


@dataclass(frozen=True, eq=False)
class Opened:
    """A scan that was read.

    Attributes:
        case: what it is called.
        found: as it was read.
        scan: turned, and in Hounsfield units.
    """

    case: str
    found: Scan | GreyImage
    scan: Scan


def opened(source: str, options: SliceOptions, phases: Phases) -> Opened:
    """Read the scan.

    Raises:
        GroundglassError: an option that cannot be, a scan that cannot be read, or one without that slice.
    """
    window = check_options([source], options.as_segment)
    phases.begin("reading")
    found = read(source, series=options.series, progress=phases.advance)
    key, _ = load_key(options.key)
    scan = in_hounsfield(turned(found, options.as_segment), window)
    if options.slice is not None and not 1 <= options.slice <= len(scan.hu):
        raise UsageError(
            f"There is no slice {options.slice}.",
            expected=f"1 to {len(scan.hu)}, counted from the feet",
            remedy="Choose one of these.",
        )
    return Opened(case_name(content_hash(found, key)), found, scan)
