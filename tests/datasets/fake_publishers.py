"""Sets of NIfTI volumes and pictures, of a few pixels, in their publishers' layouts.

All show one thorax: four slices of 64 x 80 pixels, 8 x 4 x 4 mm, ground glass in the right lung of slice 1 towards the
back, consolidation in the left lung of slice 2 towards the front.
"""

import csv
from functools import cache

import nibabel
import numpy as np
from PIL import Image

from tests.thorax import draw, lungs

TRUE_WINDOW_HU = (-1135, 150)  # of fake Radiopaedia volumes, whose stated window is another
SPACING = (8.0, 4.0, 4.0)


def _few(array):
    return np.ascontiguousarray(array[20:28:2, ::2, ::2])


@cache
def hounsfield():
    """HU, int16 [z, y, x]."""
    hu = _few(draw(noise_hu=20).hu).copy()
    rng = np.random.default_rng(1)
    for code, value in ((1, -600), (2, 0)):
        where = lesions() == code
        hu[where] = value + rng.normal(0, 20, where.sum())
    return hu


@cache
def lesions():
    """1 ground glass, 2 consolidation, uint8 [z, y, x]."""
    codes = np.zeros((4, 64, 80), np.uint8)
    codes[1, 38:44, 20:28] = 1
    codes[2, 22:28, 52:60] = 2
    return codes


@cache
def sides():
    """1 left lung, 2 right lung, uint8 [z, y, x]."""
    right, left = lungs()
    return (_few(left) + 2 * _few(right)).astype(np.uint8)


@cache
def true_sets():
    """Label sets where lungs and both lesions are told apart."""
    sets = np.where(sides() > 0, 2, 1).astype(np.uint8)
    sets[lesions() == 1], sets[lesions() == 2] = 4, 8
    return sets


def grey(window_hu=TRUE_WINDOW_HU):
    """The thorax through a window, uint8 [z, y, x]."""
    black, white = window_hu
    return np.clip(np.rint((hounsfield() - float(black)) * 255 / (white - black)), 0, 255).astype(np.uint8)


def save(path, canonical, *, array="LAS", header=None):
    """A volume [z, y, x] as NIfTI, its array in one orientation, its header in the same or another."""
    values = canonical.transpose(2, 1, 0)[:, :: -1 if array[1] == "A" else 1, :: -1 if array[2] == "I" else 1]
    signs = [1 if letter in "RAS" else -1 for letter in header or array]
    affine = np.diag([*(sign * step for sign, step in zip(signs, SPACING[::-1], strict=True)), 1.0])
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.Nifti1Image(np.ascontiguousarray(values), affine).to_filename(path)


def table(path, *rows):
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows(rows)


def medseg(root):
    """Four slices in one stack; two are of one patient. The mask has a pixel of pleural effusion."""
    codes = lesions().copy()
    codes[0, 0, 0] = 3
    save(root / "tr_im.nii.gz", hounsfield() + 0.25, array="LPS", header="RAS")
    save(root / "tr_mask.nii.gz", codes.astype(float), array="LPS", header="RAS")
    save(root / "tr_lungmasks_updated.nii.gz", sides(), array="LPS", header="RAS")
    table(root / "groups.csv", ("slice", "group"), (0, "sirm-1"), (1, "sirm-2"), (2, "sirm-2"), (3, "sirm-3"))
    return root


def channels():
    """Masks as MedSeg's arrays hold them, (N, H, W, 4)."""
    sets = true_sets()
    return np.stack([sets == value for value in (4, 8, 2, 1)], axis=-1).astype(np.float32)


def medseg_arrays(root, name="medseg"):
    root.mkdir(parents=True, exist_ok=True)
    np.save(root / f"images_{name}.npy", hounsfield()[..., None].astype(np.float32))
    np.save(root / f"masks_{name}.npy", channels())
    return root


def radiopaedia9(root):
    """Two volumes, the second in grey values."""
    for number, values in (("1", hounsfield()), ("2", grey())):
        save(root / f"rp_im/{number}.nii.gz", values, array="LPS")
        save(root / f"rp_msk/{number}.nii.gz", lesions(), array="LPS")
        save(root / f"rp_lung_msk/{number}.nii.gz", (sides() > 0).astype(np.uint8), array="LPS")
    return root


CT_SEG = ("coronacases_001", "radiopaedia_10_85902_1", "radiopaedia_10_85902_3", "radiopaedia_7_85703_0")
CT_SEG_KAGGLE = (
    "coronacases_org_001",
    "radiopaedia_org_covid-19-pneumonia-10_85902_1-dcm",
    "radiopaedia_org_covid-19-pneumonia-10_85902_3-dcm",
    "radiopaedia_org_covid-19-pneumonia-7_85703_0-dcm",
)


def ct_seg_volume(path, values, stem):
    """A file as it lies: of Radiopaedia volumes the header has front and back (and in one feet and head) exchanged."""
    array = "LAS" if "coronacases" in stem else "LPI" if "7_85703_0" in stem else "LPS"
    save(path, values, array=array, header="LAS")


def covid19_ct_seg(root, images="COVID-19-CT-Seg_20cases", names=CT_SEG, masks="Lung_and_Infection_Mask"):
    """Four volumes of three patients; one mask with both, or lungs and infection in two."""
    infected = np.where(lesions() > 0, 1, 0).astype(np.uint8)
    both = np.where(infected > 0, 3, sides()).astype(np.uint8)
    folders = {masks: both} if masks else {"Lung_Mask": sides(), "Infection_Mask": infected}
    for name, stem in zip(names, CT_SEG, strict=True):
        suffix = ".nii" if names is CT_SEG_KAGGLE else ".nii.gz"
        ct_seg_volume(root / images / f"{name}{suffix}", hounsfield() if "coronacases" in stem else grey(), stem)
        for folder, values in folders.items():
            ct_seg_volume(root / folder / f"{stem}{suffix}", values, stem)
    return root


def mosmed(root):
    """A study without findings, one with a mask, one without."""
    for place in ("CT-0/study_0001", "CT-1/study_0255", "CT-4/study_1110"):
        save(root / f"studies/{place}.nii.gz", hounsfield())
    save(root / "masks/study_0255_mask.nii.gz", (lesions() > 0).astype(np.uint8))
    return root


def picture(path, number, window_hu=(-1250, 250)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(grey(window_hu)[number]).save(path, **({"quality": 95} if path.suffix == ".jpg" else {}))


def ictcf(root):
    """Two patients, one with two folders that are called otherwise."""
    for number in range(4):
        picture(root / f"Patient 2/CT/IMG-0001-{number + 1:05d}.jpg", number)
    picture(root / "Patient 10/0.jpg", 1)
    picture(root / "Patient%2010/10.jpg", 3)
    picture(root / "Patient%2010/9.jpg", 2)
    table(
        root / "data.csv",
        ("patient", "age", "gender", "covid", "ct", "morbidity", "mortality"),
        ("Patient 2", 61, "male", "Positive", "Positive", "Critically ill", "Cured"),
        ("Patient 7", 50, "female", "N/A", "N/A", "", "Unknown"),
    )
    return root


def cc_ccii(root):
    """One outlined scan of two slices, one of them with a mask; two scans of one patient; one healthy."""
    for number in (1, 2):
        picture(root / f"image/0/{number + 83}.jpg", number)
    (root / "mask/0").mkdir(parents=True)
    Image.fromarray(cc_ccii_codes()).save(root / "mask/0/84.png")
    for place in ("NCP/328/1805", "NCP/328/1806", "Normal/1999/900"):
        for number in range(2):
            picture(root / f"{place}/{number:04d}.{'png' if number else 'jpg'}", number + 1)
    table(root / "lesions_slices.csv", ("imgpath",), ("NCP/328/1805/0001.png",))
    table(
        root / "unzip_filenames.csv",
        ("zip_file", "label", "patient_id", "scan_id", "n_slice"),
        ("COVID19-1.zip", "NCP", 328, 1805, 2),
        ("COVID19-1.zip", "NCP", 328, 1806, 40),
    )
    return root


def cc_ccii_codes():
    """0 background, 1 lung, 2 ground glass, 3 consolidation, uint8 (y, x), of slice 1."""
    table_of_codes = np.zeros(9, np.uint8)
    table_of_codes[[1, 2, 4, 8]] = range(4)
    return table_of_codes[true_sets()[1]]


ALL = {
    "medseg": medseg,
    "radiopaedia9": radiopaedia9,
    "covid19_ct_seg": covid19_ct_seg,
    "mosmed": mosmed,
    "ictcf": ictcf,
    "cc_ccii": cc_ccii,
}
