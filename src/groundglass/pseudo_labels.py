"""Label maps that a run makes itself, of slices that nobody labelled: files that the next training reads.

    FOLDER/made_by.json     what decided them: labeller, weights, recipe, store; written first
    FOLDER/000012.png       label sets of slice 12 of the store as the network sees it, grey value = set
    FOLDER/index.csv        slice, file, hash and mean confidence; written last

Soft labels are the probabilities of the groups, one plane below the other in the picture, 255 is certain; all are 0
where nothing is known. The groups stand in made_by.json.

A folder without its index was cut short and is made again, to the same bytes.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from groundglass import __version__
from groundglass.engine.checkpoint import remove_partial
from groundglass.errors import LabelError, ReadError, UsageError
from groundglass.inference.kmeans import label_by_kmeans
from groundglass.inference.predict import decide, predicted
from groundglass.io.atomic import make_folder, write_file
from groundglass.labels import UNKNOWN, check_label_sets
from groundglass.methods._method import Method
from groundglass.preprocess.slices import prepare_labels
from groundglass.recipe import Labels, Recipe
from groundglass.scan import Scan, Source
from groundglass.store import Store

MADE_BY: Final = "made_by.json"
INDEX: Final = "index.csv"
_COLUMNS: Final = ("number", "slice", "file", "hash", "confidence")
Sets = NDArray[np.uint8]
Planes = NDArray[np.uint8]
CERTAIN: Final = 255  # of soft labels


@dataclass(frozen=True)
class Guess:
    """What a labeller says of a slice.

    Attributes:
        number: of the slice in the store.
        planes: of the prepared picture: label sets, uint8 (height, width), or soft labels, uint8 (K, height, width).
        confidence: mean of the pixels' largest probabilities, None where there are none.
    """

    number: int
    planes: Planes
    confidence: float | None


@dataclass(frozen=True)
class Labelling:
    """How far labelling is: for a progress bar."""

    done: int
    of: int


# Of the numbers of slices: a guess of each.
Labeller = Callable[[Sequence[int]], Iterator[Guess]]


@dataclass(frozen=True, eq=False)
class PseudoLabels:
    """Label maps in a folder.

    Attributes:
        folder: that holds them.
        files: number of a slice in the store -> its file and the file's hash.
        digest: of all of them.
        groups: of soft labels' planes; None for label sets.
    """

    folder: Path
    files: Mapping[int, tuple[str, str]]
    digest: str
    groups: tuple[int, ...] | None = None

    def read(self, number: int) -> Sets:
        """Label sets of a slice, uint8 (height, width); of soft labels those of the most probable groups.

        Raises:
            ReadError: the file is gone, damaged or was changed.
        """
        if self.groups is None:
            return self._picture(number)
        planes = self.read_soft(number)
        return decide(planes, self.groups)

    def read_soft(self, number: int) -> NDArray[np.float32]:
        """Soft labels of a slice, (K, height, width); they sum to 1, or to 0 where nothing is known.

        Raises:
            ReadError: as ``read``.
        """
        picture = self._picture(number)
        planes = picture.reshape(len(self.groups or ()), -1, picture.shape[1]).astype(np.float32)
        soft: NDArray[np.float32] = planes / np.maximum(planes.sum(axis=0), 1)
        return soft

    def _picture(self, number: int) -> Planes:
        """The picture of a slice, if it is as it was written."""
        name, digest = self.files[number]
        try:
            content = (self.folder / name).read_bytes()
            if _hash(content) != digest:
                raise ValueError("changed")
            picture = np.array(Image.open(io.BytesIO(content)))
            if self.groups is not None and len(picture) % len(self.groups) == 0:
                return picture
            return check_label_sets(picture)
        except (OSError, ValueError, UnidentifiedImageError, LabelError):
            raise ReadError(
                f"The label map {name} that the run made is damaged, missing, or was changed.",
                expected="the file as it was written",
                remedy=f"Remove the folder {self.folder.name} of the stage; it is made again.",
            ) from None


def of_round(
    recipe: Recipe,
    place: tuple[int, int],
    method: Method,
    store: Store,
    free: Sequence[int],
    identity: str,
    folder: Path,
    before: Sequence[int],
    weights: str | None = None,
    tell: Callable[[Labelling], object] = lambda labelling: None,  # noqa: ARG005
) -> PseudoLabels | None:
    """The labels that a round of a stage makes; None where no slice is left.

    Args:
        recipe: that says how.
        place: number of the stage, from 0, and of its round, from 1.
        method: the weights so far.
        store: of the slices.
        free: those that nobody labelled.
        identity: of the run.
        folder: for the label maps.
        before: what rounds before have labelled.
        weights: digest of the weights so far, where ``method`` has not got them: then nothing can be labelled anew.
        tell: told of every slice that is labelled.

    Raises:
        UsageError: there is no slice to label at all.
        ReadError: the folder holds label maps of another run.
    """
    number, turn = place
    wanted = recipe.stage[number].labels
    if wanted is None:
        raise ValueError("a stage without labels of its own")
    numbers = choose(store, free, before, wanted, (recipe.seed, number, turn))
    if not numbers:
        if before:
            return None
        raise UsageError(
            f"Stage {number + 1} finds no slice that it could label.",
            expected="slices without labels in the store, of groups that are not held out",
            remedy="Prepare some, or look at stage.labels.offsets.",
        )
    network = wanted.by == "network"
    made_by = {
        "labels": wanted.model_dump(),
        "stage": number + 1,
        "round": turn,
        "run": _hash(identity.encode()),
        "recipe": recipe.digest,
        "seed": recipe.seed,
        "store": store.content,
        "weights": (weights or digest_of(method)) if network else None,
        "version": __version__,
    }
    groups = method.outputs if wanted.soft else None
    if groups is not None:
        made_by["groups"] = list(groups)
    labeller = by_network(store, method, wanted) if network else by_kmeans(store)
    return make(store, numbers, labeller, folder, made_by, groups, tell)


def digest_of(method: Method) -> str:
    """Hash of all weights."""
    digest = hashlib.blake2b(digest_size=16)
    for name, value in method.state_dict().items():
        digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def by_network(store: Store, method: Method, wanted: Labels) -> Labeller:
    """A network's answers: the most probable group, or all their probabilities.

    Unknown where none is above a limit, and in the padding, of which nobody has taught the network anything.
    """

    def label(numbers: Sequence[int]) -> Iterator[Guess]:
        method.eval()
        for number, probability in predicted(store, method, numbers, wanted.views):
            largest, seen = probability.max(axis=0), ~store.frame(number).padding
            planes = (
                np.rint(CERTAIN * probability * (seen & (largest > wanted.confidence))).astype(np.uint8)
                if wanted.soft
                else np.where(seen, decide(probability, method.outputs, wanted.confidence), np.uint8(UNKNOWN))
            )
            yield Guess(number, planes, float(largest[seen].mean()))

    return label


def by_kmeans(store: Store) -> Labeller:
    """Clusters of grey values, at native resolution; a scan's slices are looked at together, pictures alone."""

    def label(numbers: Sequence[int]) -> Iterator[Guess]:
        asked = set(numbers)
        for together in _volumes(store, asked):
            made = label_by_kmeans(_scan(store, together))
            for number, sets in zip(together, made, strict=True):
                if number in asked:
                    yield Guess(number, prepare_labels(sets, store.frame(number)), None)

    return label


def _volumes(store: Store, asked: set[int]) -> Iterator[list[int]]:
    """The slices of each scan that some are asked of, feet to head; each picture by itself."""
    cases: dict[str, list[int]] = {}
    for number, info in enumerate(store.slices):
        cases.setdefault(info.case if info.source == "scan" else info.id, []).append(number)
    for numbers in cases.values():
        if asked.intersection(numbers):
            yield sorted(numbers, key=lambda number: store.slices[number].position)


def _scan(store: Store, numbers: Sequence[int]) -> Scan:
    info = store.slices[numbers[0]]
    z, y, x = info.spacing_mm or (1.0, 1.0, 1.0)
    source = Source(format="memory" if info.source == "scan" else "image", spacing_known=info.spacing_mm is not None)
    return Scan(np.stack([store.image(number) for number in numbers]), np.diag([-x, -y, z, 1.0]), source)


def choose(store: Store, free: Sequence[int], before: Sequence[int], wanted: Labels, seed: Sequence[int]) -> list[int]:
    """The slices that a round labels, ascending.

    Args:
        store: of the slices.
        free: numbers of those that nobody labelled.
        before: of these, what rounds before have labelled.
        wanted: how many, and which.
        seed: of the draw.
    """
    old = set(before)
    new = [number for number in _near_middle(store, free, wanted.offsets) if number not in old]
    if wanted.count is not None:
        drawn = np.random.default_rng(list(seed)).permutation(len(new))[: wanted.count]
        new = [new[place] for place in drawn]
    return sorted([*new, *old] if wanted.again else new)


def _near_middle(store: Store, numbers: Sequence[int], offsets: Sequence[int]) -> list[int]:
    """Those of some slices that lie so many places from the middle one of their volume; all without offsets."""
    if not offsets:
        return list(numbers)
    cases: dict[str, list[int]] = {}
    for number, info in enumerate(store.slices):
        cases.setdefault(info.case, []).append(number)
    chosen: set[int] = set()
    for case in cases.values():
        ordered = sorted(case, key=lambda number: store.slices[number].position)
        places = (len(ordered) // 2 + offset for offset in offsets)
        chosen.update(ordered[place] for place in places if 0 <= place < len(ordered))
    return [number for number in numbers if number in chosen]


def make(
    store: Store,
    numbers: Sequence[int],
    labeller: Labeller,
    folder: Path,
    made_by: Mapping[str, Any],
    groups: tuple[int, ...] | None = None,
    tell: Callable[[Labelling], object] = lambda labelling: None,  # noqa: ARG005
) -> PseudoLabels:
    """Label slices into a folder, or read what an earlier run put there.

    Args:
        store: of the slices.
        numbers: which.
        labeller: what says their labels; not asked where the folder is whole.
        folder: of the label maps.
        made_by: all that decides them; a folder of another is refused.
        groups: of soft labels' planes; None for label sets.
        tell: told of every slice that is labelled.

    Raises:
        ReadError: the folder holds label maps of another recipe, store, version or network.
        WriteError: it cannot be written to.
    """
    make_folder(folder)
    remove_partial(folder)
    record = json.dumps({**made_by, "slices": list(numbers)}, indent=2, sort_keys=True) + "\n"
    if (folder / MADE_BY).exists():
        _check(folder / MADE_BY, record)
    write_file(folder / MADE_BY, record.encode())
    if not (folder / INDEX).exists():
        rows = []
        for guess in labeller(numbers):
            name, content = f"{guess.number:06d}.png", _png(guess.planes)
            write_file(folder / name, content)
            confidence = "" if guess.confidence is None else f"{guess.confidence:.6f}"
            rows.append((guess.number, store.slices[guess.number].id, name, _hash(content), confidence))
            tell(Labelling(len(rows), len(numbers)))
        write_file(folder / INDEX, _csv(sorted(rows)).encode())
    return replace(_read(folder, numbers), groups=groups)


def _check(path: Path, record: str) -> None:
    try:
        same = path.read_text(encoding="utf-8") == record
    except (OSError, UnicodeDecodeError):
        same = False
    if not same:
        raise ReadError(
            "The folder holds label maps of another recipe, store, version or network.",
            expected="the run that is to be resumed, or an empty folder",
            remedy="Choose another folder, or remove this one.",
        )


def _read(folder: Path, numbers: Sequence[int]) -> PseudoLabels:
    try:
        text = (folder / INDEX).read_text(encoding="utf-8")
        files = {int(row["number"]): (row["file"], row["hash"]) for row in csv.DictReader(io.StringIO(text))}
        if set(files) != set(numbers):
            raise ValueError("other slices")
    except (OSError, ValueError, KeyError, TypeError, csv.Error):
        raise ReadError(
            "The index of the label maps that the run made is damaged.",
            expected=f"the {INDEX} that it wrote",
            remedy=f"Remove the folder {folder.name} of the stage; it is made again.",
        ) from None
    return PseudoLabels(folder, files, _hash(text.encode()))


def _png(planes: Planes) -> bytes:
    picture = check_label_sets(planes) if planes.ndim == 2 else planes.reshape(-1, planes.shape[2])
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "PNG", optimize=True)
    return stream.getvalue()


def _csv(rows: Sequence[tuple[Any, ...]]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows(rows)
    return stream.getvalue()


def _hash(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()
