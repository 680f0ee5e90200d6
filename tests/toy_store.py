"""A store of a few tiny slices with discs of haze and solid lesions: enough to train a tiny network on."""

import numpy as np

from groundglass.preprocess.preparation import Preparation
from groundglass.preprocess.slices import frame, prepare_image, prepare_labels
from groundglass.provenance import Provenance, this_machine
from groundglass.store import Collection, SliceInfo, StoreWriter
from groundglass.store.index import slice_hash

PREPARATION = Preparation(size=(32, 32), crop="none")


def slice_of(seed):
    """HU (40, 48) of lung with a disc of haze and a solid one, and its label sets."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:40, :48]
    hu = rng.normal(-850, 20, (40, 48))
    sets = np.full((40, 48), 3, np.uint8)
    for value, level, radius in ((4, -600, 9), (8, 0, 6)):
        y, x = rng.uniform(10, 30), rng.uniform(10, 38)
        disc = (rows - y) ** 2 + (columns - x) ** 2 < radius**2
        hu[disc], sets[disc] = level, value
    return hu.astype(np.int16), sets


def make_store(path, labelled=10, unlabelled=6, groups=5, preparation=PREPARATION):
    """A store whose labelled slices are in groups; sets 3, 4 and 8."""
    images, labels, infos = [], [], []
    for number in range(labelled + unlabelled):
        hu, sets = slice_of(number)
        known = sets if number < labelled else None
        images.append(hu)
        labels.append(known)
        where = frame(hu.shape, None, preparation)
        infos.append(
            SliceInfo(
                id=f"toy/{number}",
                case="toy",
                row=number,
                group=f"g{number % groups}" if number < labelled else f"u{number}",
                source="scan",
                position=number,
                height=hu.shape[0],
                width=hu.shape[1],
                spacing_mm=None,
                box=where.box,
                sets=() if known is None else tuple(int(value) for value in np.unique(known)),
                black_hu=None,
                white_hu=None,
                how="hu",
                hash=slice_hash(hu, known, b""),
            )
        )
    where = frame((40, 48), None, preparation)
    collection = Collection(
        name="toy",
        digest="toy",
        slices=tuple(infos),
        images=tuple(images),
        labels=tuple(labels),
        prepared=tuple(prepare_image(hu, where, preparation.window_hu) for hu in images),
        prepared_labels=tuple(None if sets is None else prepare_labels(sets, where) for sets in labels),
    )
    with StoreWriter(path, "toy", preparation) as writer:
        writer.add(collection)
        writer.finish(Provenance("0", "prepare", {}, "none", None, None, {}, this_machine()))
    return path


def make_thorax_store(path, scan, slices, preparation=PREPARATION):
    """A store of some slices of a scan, none of them labelled."""
    where = frame(scan.hu.shape[1:], None, preparation)
    planes = [scan.hu[z] for z in slices]
    infos = tuple(
        SliceInfo(
            id=f"thorax/{z}",
            case="thorax",
            row=row,
            group="thorax",
            source="scan",
            position=z,
            height=scan.hu.shape[1],
            width=scan.hu.shape[2],
            spacing_mm=scan.spacing_mm,
            box=where.box,
            sets=(),
            black_hu=None,
            white_hu=None,
            how="hu",
            hash=slice_hash(scan.hu[z], None, b""),
        )
        for row, z in enumerate(slices)
    )
    nothing = (None,) * len(planes)
    prepared = tuple(prepare_image(hu, where, preparation.window_hu) for hu in planes)
    with StoreWriter(path, "thorax", preparation) as writer:
        writer.add(Collection("thorax", "thorax", infos, planes, nothing, prepared, nothing))
        writer.finish(Provenance("0", "prepare", {}, "none", None, None, {}, this_machine()))
    return path
