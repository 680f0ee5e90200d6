"""Options that several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Optional

import typer

Series = Annotated[
    Optional[str],  # noqa: UP045 - typer reads this at run time
    typer.Option(metavar="N|UID", help="Which DICOM series, where there are several."),
]
Window = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(metavar="BLACK,WHITE", help="Hounsfield units of black and white, for 8-bit pictures."),
]
Cropped = Annotated[bool, typer.Option("--cropped", help="The pictures are crops around the lungs.")]
Orientation = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(metavar="NAME", help="What turns pictures until the front is up, such as transpose."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]
Key = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(metavar="FILE", help="Key of the hash that cases are called by; by default one of your own."),
]

OUR_CODES: Final = "0=background,1=lung,2=ground_glass,3=consolidation"
Kind = Annotated[str, typer.Option("--prediction-kind", help="labels, or map: of one --region, bytes or 0 to 1.")]
Codes = Annotated[
    str, typer.Option("--prediction-codes", metavar="NAME|TABLE", help="What the predictions' codes mean.")
]
TruthCodes = Annotated[
    str,
    typer.Option(
        metavar="NAME|TABLE",
        help="What the truth's codes mean, such as covid_semiseg, or 0=background|lung,1=ground_glass.",
    ),
]
Regions = Annotated[
    list[str], typer.Option("--region", help="What to score, again for more; all that the codes tell by default.")
]
Conventions = Annotated[
    list[str],
    typer.Option("--convention", help="How images are averaged, again for more, such as present or curve+present."),
]
Metrics = Annotated[list[str], typer.Option("--metric", help="Such as dice or hausdorff_95, again for more.")]
Groups = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--groups", metavar="CSV", help="Image and patient, for intervals and tests over patients."),
]
Threshold = Annotated[float, typer.Option(help="Above which a map is the region.")]
Resize = Annotated[bool, typer.Option(help="Bring predictions of another size to the truth's.")]
