"""Data sets of a few pixels, in their publishers' layouts."""

import csv

import numpy as np
from PIL import Image

from groundglass.io import write_series
from tests.thorax import draw

SEMISEG_LABELLED = {"0": "g0", "3": "g1", "11": "g1"}


def grey(shape, seed):
    """Dark lung, bright tissue, noise."""
    rng = np.random.default_rng(seed)
    picture = np.where(np.indices(shape).sum(axis=0) % 24 < 12, 60, 210) + rng.normal(0, 6, shape)
    return np.clip(picture, 0, 255).astype(np.uint8)


def palette(codes):
    picture = Image.frombytes("P", (codes.shape[1], codes.shape[0]), codes.astype(np.uint8).tobytes())
    picture.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0, *range(30)])
    return picture


def semiseg_codes(stem):
    """As the file lies: taller than wide, ground glass top left, consolidation top right."""
    codes = np.zeros((40 + int(stem), 32), np.uint8)
    codes[2:8, 3:9] = 1
    codes[2:6, 20:30] = 2
    return codes


def semiseg(root):
    """Three labelled slices and two volumes of two and three."""
    classes, doctor = root / "TrainingSet/MultiClassInfection-Train", root / "TrainingSet/LungInfection-Train"
    folders = [
        classes / "Imgs",
        classes / "GT",
        classes / "Prior",
        doctor / "Doctor-label/GT",
        doctor / "Pseudo-label/Imgs",
    ]
    for folder in folders:
        folder.mkdir(parents=True)
    for stem in SEMISEG_LABELLED:
        codes = semiseg_codes(stem)
        Image.fromarray(grey(codes.shape, int(stem))).save(folders[0] / f"{stem}.jpg", quality=95)
        palette(codes).save(folders[1] / f"{stem}.png")
        Image.fromarray((codes > 0).astype(np.uint8) * 255).save(folders[3] / f"{stem}.png")
    for k in (2, 10):
        picture = grey((30 + k, 44), k)
        Image.fromarray(picture).save(folders[4] / f"Data-1_coronacases_org_001_{k}.jpg", quality=95)
    for number, name in enumerate(("10_85902_1-dcm_3", "10_85902_3-dcm_1", "10_85902_3-dcm_2")):
        picture = grey((44, 30), 20 + number)
        name = f"Data-1_radiopaedia_org_covid-19-pneumonia-{name}.jpg"
        Image.fromarray(picture).save(folders[4] / name, quality=95)
    with (root / "groups.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("slice", "group"), *SEMISEG_LABELLED.items()])
    return root


def ct_md(root, table=True):
    """Two patients as DICOM; the table says that the upper half of the first is infected."""
    for name in ("P001", "normal001"):
        write_series(draw(noise_hu=10), root / "subjects" / name)
    if table:
        rows = [(name, k, int(name == "P001" and k >= 24), 0) for name in ("P001", "normal001") for k in range(48)]
        with (root / "slice_labels.csv").open("w", newline="") as stream:
            csv.writer(stream).writerows([("case", "k", "infected", "LLL"), *rows])
    return root
