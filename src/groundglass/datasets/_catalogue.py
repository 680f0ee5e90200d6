"""The public data sets: where each is got, under which terms, and what its publisher says is in it.

What a set looks like inside and how each fact was checked stands in its reader's docstring. Here stand addresses, and
numbers to hold a copy against: only those that the publisher or its paper gives, and that a reader's cases can meet.
No publisher's page could be asked when this was written: addresses, hashes and terms are as public programs use and
quote them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Final

from groundglass.errors import UsageError
from groundglass.io.files import hidden, shown

LOOKED_AT: Final = 2000  # folders, in search of a layout
_DEPTH: Final = 3


@dataclass(frozen=True)
class Remote:
    """A file that can be fetched.

    Attributes:
        name: what to call it.
        url: where it is.
        folder: where it is unpacked, below the set's own folder; empty for that folder itself.
        digest: its hash by its publisher, ``md5:`` or ``sha256:`` and hex digits.
    """

    name: str
    url: str
    folder: str = ""
    digest: str | None = None


@dataclass(frozen=True)
class Card:
    """What a publisher says is in a set; None where nobody says, or a copy may rightly have less.

    Attributes:
        cases: volumes, or collections of pictures.
        slices: of all cases.
        labelled: slices with labels.
        groups: patients.
        sets: the label sets that may occur.
    """

    cases: int | None = None
    slices: int | None = None
    labelled: int | None = None
    groups: int | None = None
    sets: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Entry:
    """A data set.

    Attributes:
        name: of its reader.
        what: is in it, one sentence.
        size: of the download, in words.
        terms: of use, in words.
        home: where its publisher tells of it.
        layout: patterns of names, any of which tells the set's folder.
        card: what its publisher says is in it.
        files: what can be fetched; empty where its publisher wants a form filled or a page clicked through.
        steps: what is to be done by hand.
    """

    name: str
    what: str
    size: str
    terms: str
    home: str
    layout: tuple[str, ...]
    card: Card = Card()
    files: tuple[Remote, ...] = ()
    steps: tuple[str, ...] = field(default=(), repr=False)

    def is_at(self, folder: Path) -> bool:
        """Whether a folder has this set's layout."""
        return any(next(folder.glob(pattern), None) is not None for pattern in self.layout)

    def find_in(self, root: Path) -> Path | None:
        """The folder with this set's layout: the root, or the first below it, to a depth of three."""
        return next((folder for folder in islice(_folders(root), LOOKED_AT) if self.is_at(folder)), None)


def entry(name: str) -> Entry:
    """The set of that name.

    Raises:
        UsageError: there is none; the message names the nearest.
    """
    plain = name.replace("-", "_")
    if plain not in ENTRIES:
        near = get_close_matches(plain, ENTRIES, n=1)
        raise UsageError(
            f"No data set is called {shown(name)!r}.",
            expected=f"one of {', '.join(ENTRIES)}",
            remedy=f"Did you mean {near[0]!r}?" if near else "Take one of these.",
        )
    return ENTRIES[plain]


def guess(root: Path) -> str:
    """The name of the set, or ``folder``, whose layout a folder has.

    Raises:
        UsageError: of none, or of several.
    """
    found = [name for name, one in ENTRIES.items() if one.is_at(root)]
    found = found or (["folder"] if (root / "images").is_dir() else [])
    if len(found) != 1:
        raise UsageError(
            f"{shown(root.name)} has the layout of {' and of '.join(found) or 'no data set that is known'}.",
            expected="the folder that a reader takes, as docs/datasets.md shows it",
            remedy=f"Say which it is, before the folder: folder, {', '.join(ENTRIES)}.",
        )
    return found[0]


def _folders(root: Path) -> Iterator[Path]:
    """A folder and those below it, nearest first; hidden ones left out."""
    waiting = deque([(root, 0)] if root.is_dir() else [])
    while waiting:
        folder, depth = waiting.popleft()
        yield folder
        if depth < _DEPTH:
            below = (child for child in folder.iterdir() if not hidden(child.name) and child.is_dir())
            waiting += [(child, depth + 1) for child in sorted(islice(below, LOOKED_AT))]


_ZENODO: Final = "https://zenodo.org/record/3757476/files"
_CNCB: Final = "https://download.cncb.ac.cn/covid-ct"
_CC_CCII_SCANS: Final = (("COVID19", 31), ("CP", 32), ("Normal", 27))

_ALL: Final = (
    Entry(
        name="covid_semiseg",
        what="COVID-SemiSeg (Inf-Net): 50 labelled training slices (ground glass, consolidation), 1,600 unlabelled",
        size="about 35 MB",
        terms="non-commercial use only",
        home="https://github.com/DengPingFan/Inf-Net",
        layout=("TrainingSet/MultiClassInfection-Train/Imgs",),
        card=Card(cases=21, slices=1650, labelled=50, sets=(3, 4, 8)),
        steps=(
            "Open https://github.com/DengPingFan/Inf-Net and follow its link to the COVID-SemiSeg data set.",
            "Download COVID-SemiSeg.zip in the browser.",
            "Unpack it into the folder named below; Dataset/TrainingSet has to be somewhere in it.",
        ),
    ),
    Entry(
        name="covid_ct_md",
        what="COVID-CT-MD: 305 DICOM volumes, 169 of COVID-19, 60 of other pneumonia, 76 healthy; no masks",
        size="about 11 GB, reckoned from two patients",
        terms="public use, citation asked (Scientific Data 8:121)",
        home="https://figshare.com/s/c20215f3d42c98f09ad0",
        layout=(
            *(f"{patient}[0-9]*/*.dcm" for patient in ("P", "cap", "normal")),
            *(f"{group}*/{patient}[0-9]*/*.dcm" for group, patient in (("COVID-19", "P"), ("C[Aa][Pp]", "cap"))),
        ),
        card=Card(cases=305, labelled=0, groups=305, sets=()),
        steps=(
            "Open https://figshare.com/s/c20215f3d42c98f09ad0 in a browser (the link is for people, not for programs).",
            "Choose 'Download all'.",
            "Unpack it into the folder named below, a folder for each patient.",
        ),
    ),
    Entry(
        name="medseg",
        what="MedSeg-100: 100 labelled axial slices of more than 40 patients (ground glass, consolidation)",
        size="about 170 MB",
        terms="free to use, acknowledgement asked (CC0 by the record, as a public program quotes it)",
        home="https://figshare.com/articles/dataset/MedSeg_Covid_Dataset_1/13521488",
        layout=("tr_im.nii*", "images_medseg.npy"),
        card=Card(cases=100, slices=100, labelled=100, sets=(1, 2, 3, 4, 8)),
        files=(Remote("MedSeg_Covid_Dataset_1.zip", "https://figshare.com/ndownloader/articles/13521488/versions/2"),),
        steps=(
            "For lungs too: tr_lungmasks_updated.nii.gz of https://medicalsegmentation.com/covid19/, put beside tr_im.",
        ),
    ),
    Entry(
        name="radiopaedia9",
        what="Radiopaedia-9: 829 labelled slices, 9 volumes (ground glass, consolidation)",
        size="not stated",
        terms="free to use, acknowledgement asked; the volumes are cases of Radiopaedia",
        home="https://figshare.com/articles/dataset/Covid_Dataset_2/13521509",
        layout=("rp_im/*.nii*", "images_radiopedia.npy"),
        card=Card(slices=829, labelled=829, sets=(1, 2, 3, 4, 8)),
        files=(Remote("Covid_Dataset_2.zip", "https://figshare.com/ndownloader/articles/13521509/versions/2"),),
    ),
    Entry(
        name="covid19_ct_seg",
        what="COVID-19-CT-Seg: 20 labelled volumes (lungs, infection)",
        size="not stated",
        terms="CC BY 4.0 by the record, as public programs quote it; CC BY-NC-SA in the authors' benchmark repository",
        home="https://zenodo.org/record/3757476",
        layout=("COVID-19-CT-Seg_20cases/*.nii*", "ct_scans/*.nii*"),
        card=Card(cases=20, groups=18),
        files=tuple(
            Remote(f"{stem}.zip", f"{_ZENODO}/{stem}.zip?download=1", stem, digest)
            for stem, digest in (
                ("COVID-19-CT-Seg_20cases", "md5:873617e1fdcbe92f8aa0ce83a4798a1f"),
                ("Lung_and_Infection_Mask", None),
                ("Lung_Mask", "md5:972b3d9b4c7b64d2c518b936bd98cb47"),
                ("Infection_Mask", None),
            )
        ),
    ),
    Entry(
        name="mosmed",
        what="MosMedData: 1,110 volumes graded by severity, 50 of them labelled (infection)",
        size="not stated",
        terms="CC BY-NC-ND 3.0: non-commercial, and nothing derived from it may be passed on",
        home="https://mosmed.ai/datasets/covid191110",
        layout=("studies/CT*/study_*.nii*", "CT*/study_*.nii*"),
        card=Card(cases=1110, groups=1110, sets=(3, 12)),
        steps=(
            "Open https://mosmed.ai/en/datasets/covid191110 in a browser; its links hold for a day only.",
            "Download COVID19_1110 (7z, or zip).",
            "Unpack it into the folder named below (7z x COVID19_1110.7z): it holds studies/CT-0 to CT-4 and masks.",
        ),
    ),
    Entry(
        name="ictcf",
        what="iCTCF (HUST-19): CT pictures and clinical features of 1,521 patients; no masks",
        size="300 to 400 GB, as a public program says",
        terms="open, by its paper (Nature Biomedical Engineering 4, 2020); the site's own could not be seen",
        home="https://ngdc.cncb.ac.cn/ictcf",
        layout=("[Pp]atient*[0-9]",),
        card=Card(labelled=0, sets=()),
        steps=(
            "Open https://ngdc.cncb.ac.cn/ictcf in a browser (once http://ictcf.biocuckoo.cn/HUST-19.php).",
            "Each patient is an archive of its own, from 'Patient 1.zip' on: download those you need.",
            "Unpack them into the folder named below, a folder for each patient.",
        ),
    ),
    Entry(
        name="cc_ccii",
        what="CC-CCII: 444,034 slices of 2,778 people; 750 labelled of 150 (lung, ground glass, consolidation)",
        size="not stated; the labelled part alone is small (--only ct_lesion_seg.zip)",
        terms="the publisher's (Cell 181, 2020); they could not be seen",
        home="https://download.cncb.ac.cn/covid-ct",
        layout=("image/*/*.jpg", "NCP/*/*/*", "CP/*/*/*", "Normal/*/*/*"),
        card=Card(labelled=750, sets=(1, 2, 4, 8)),
        files=(
            Remote("ct_lesion_seg.zip", f"{_CNCB}/ct_lesion_seg.zip", digest="md5:0c0cab8f929c58a2c8749ac879daa52d"),
            Remote("unzip_filenames.csv", f"{_CNCB}/unzip_filenames.csv"),
            Remote("lesions_slices.csv", f"{_CNCB}/lesions_slices.csv"),
            *(
                Remote(f"{kind}-{number}.zip", f"{_CNCB}/{kind}-{number}.zip")
                for kind, count in _CC_CCII_SCANS
                for number in range(1, count + 1)
            ),
        ),
    ),
)
ENTRIES: Final[Mapping[str, Entry]] = {one.name: one for one in _ALL}
