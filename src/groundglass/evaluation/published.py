"""A paper's tables as printed, and what of ours stands beside each number: ``recipes/PAPER.tables``.

A paper that is reproduced is that file and its recipes; no code is of one paper. It is TOML of another suffix, so that
nobody who looks for recipes takes it for one. A row has the printed cells, and the
recipe that it is of, or none: then it is a rival's.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from groundglass.errors import ReadError, UsageError
from groundglass.evaluation.conventions import PER_IMAGE, Convention
from groundglass.evaluation.metrics import METRICS
from groundglass.labels import NOT_LESION, Region, Tissue

SUFFIX: Final = ".tables"
BACKGROUND: Final = "background"
Slices = Literal["held_out", "trained", "both"]
Spread = Literal["errors", "deviation"]
# What is scored, by name. Papers have background (and lung, where labels do not part them) as a class beside lesions.
CLASSES: Final[Mapping[str, Region | Tissue]] = {
    BACKGROUND: NOT_LESION,
    **{region.key: region for region in Region},
}


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Measured(_Part):
    """A column of ours.

    Attributes:
        title: over it.
        metric: one of ``groundglass.evaluation.metrics``.
        regions: names of ``CLASSES``; of several, the mean over them. The table's if empty.
        slices: that are scored: ``held_out``, those that were ``trained`` on, or ``both``. The table's if None.
    """

    title: str
    metric: str = "dice"
    regions: list[str] = []
    slices: Slices | None = None


class Row(_Part):
    """A row.

    Attributes:
        label: as printed.
        recipe: that it is of; None for what is only printed.
        against: the recipe that it is compared with.
        cells: as printed, one a printed column, or none at all.
    """

    label: str
    recipe: str | None = None
    against: str | None = None
    cells: list[str] = []


class Table(_Part):
    """A table.

    Attributes:
        title: its number and what it is of.
        printed: names of the printed columns; the paper's if None.
        measured: our columns; the paper's if None.
        regions: of our columns that say none.
        slices: likewise.
        row: its rows.
    """

    title: str
    printed: list[str] | None = None
    measured: list[Measured] | None = None
    regions: list[str] = []
    slices: Slices = "held_out"
    row: list[Row]


class Figure(_Part):
    """A figure.

    Attributes:
        kind: ``losses`` over a training, ``probabilities`` of all classes, ``roc`` of infection, ``panels`` of slices.
        file: its name, without its suffix.
        title: over it.
        recipes: that it shows; all if empty.
        column: of ``losses``, another column of the log, from 0 to 1.
    """

    kind: Literal["losses", "probabilities", "roc", "panels"]
    file: Annotated[str, Field(pattern=r"^[a-z0-9-]+$")]
    title: str
    recipes: list[str] = []
    column: str | None = None


class Scale(_Part):
    """How large a reproduction is.

    Attributes:
        recipes: folders of its recipes, in that of all recipes; of one name the first counts.
        size: side of the prepared pictures, in pixels.
        share: of the steps of every stage, and of the slices that it labels itself.
        rate: factor of the learning rates of every network that segments or inpaints, for what few steps cannot reach.
        batch: the most slices of a kind in a step; None: as many as the recipes say.
        folds: that are held out; all if empty.
        seeds: how many, from 0.
        more_seeds: of single recipes, by their names.
    """

    recipes: Annotated[list[str], Field(min_length=1)]
    size: Annotated[int, Field(ge=16)]
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    rate: Annotated[float, Field(gt=0)] = 1.0
    batch: Annotated[int, Field(ge=1)] | None = None
    folds: list[Annotated[int, Field(ge=0)]] = []
    seeds: Annotated[int, Field(ge=1)] = 1
    more_seeds: dict[str, Annotated[int, Field(ge=1)]] = {}

    def seeds_of(self, recipe: str) -> int:
        """How many of a recipe."""
        return self.more_seeds.get(recipe, self.seeds)


class Paper(_Part):
    """A paper.

    Attributes:
        title: of the page.
        whose: what its numbers are called: ``paper`` or ``thesis``.
        notes: to be read with the tables.
        window_hu: HU of black and white.
        crop: ``lungs`` or ``none``.
        folds: number of folds, by group.
        convention: of our means (``groundglass.evaluation.conventions``), one that is of each image by itself.
        spread: what stands behind a mean: 1.96 standard ``errors``, or the images' population ``deviation``.
        printed: columns of tables that say none.
        measured: likewise.
        scales: ``full``, and ``small`` and ``fast`` where there are such.
        table: its tables.
        figure: its figures.
    """

    title: str
    whose: Literal["paper", "thesis"] = "paper"
    notes: str = ""
    window_hu: tuple[float, float] = (-1350.0, 150.0)
    crop: Literal["lungs", "none"] = "lungs"
    folds: Annotated[int, Field(ge=2)] = 5
    convention: str = "present"
    spread: Spread = "errors"
    printed: list[str] = []
    measured: list[Measured] = []
    scales: dict[Literal["full", "small", "fast"], Scale]
    table: Annotated[list[Table], Field(min_length=1)]
    figure: list[Figure] = []

    @model_validator(mode="after")
    def _whole(self) -> Self:
        convention = Convention.parse(self.convention)
        if not convention.is_of_counts:
            raise ValueError(f"the convention {self.convention}, of {', '.join(PER_IMAGE)}")
        recipes = set(self.recipes)
        for scale in self.scales.values():
            if unknown := scale.more_seeds.keys() - recipes:
                raise ValueError(f"more seeds of {min(unknown)}, which no row has")
        for table in self.table:
            for row in table.row:
                if row.cells and len(row.cells) != len(self.printed_of(table)):
                    raise ValueError(f"{table.title}, {row.label}: {len(row.cells)} cells")
                if row.against is not None and row.against not in recipes:
                    raise ValueError(f"{table.title}, {row.label}: no row has the recipe {row.against}")
            for column in self.measured_of(table):
                strange = [name for name in column.regions if name not in CLASSES]
                if column.metric not in METRICS or strange or not column.regions:
                    raise ValueError(f"{table.title}, {column.title}: {column.metric} of {column.regions}")
        return self

    @property
    def recipes(self) -> list[str]:
        """Names of all recipes, in the order of the rows."""
        return list(dict.fromkeys(row.recipe for table in self.table for row in table.row if row.recipe))

    @property
    def metrics(self) -> list[str]:
        """Names of all metrics."""
        return list(dict.fromkeys(column.metric for table in self.table for column in self.measured_of(table)))

    @property
    def examined(self) -> list[str]:
        """Those of the metrics that counts of pixels do not make."""
        return [name for name in self.metrics if METRICS[name].kind != "overlap"]

    @property
    def trained_too(self) -> bool:
        """Whether slices that were trained on are scored anywhere."""
        return any(column.slices != "held_out" for table in self.table for column in self.measured_of(table))

    def printed_of(self, table: Table) -> list[str]:
        """Names of a table's printed columns."""
        return self.printed if table.printed is None else table.printed

    def measured_of(self, table: Table) -> list[Measured]:
        """Our columns of a table, each with its regions and slices."""
        columns = self.measured if table.measured is None else table.measured
        return [
            column.model_copy(
                update={"regions": column.regions or table.regions, "slices": column.slices or table.slices}
            )
            for column in columns
        ]


def papers(recipes: Path) -> list[str]:
    """Names of the papers that a folder of recipes has the tables of."""
    return sorted(path.stem for path in recipes.glob(f"*{SUFFIX}"))


def read_paper(recipes: Path, name: str) -> Paper:
    """The tables of a paper.

    Args:
        recipes: the folder of all recipes.
        name: of the paper.

    Raises:
        UsageError: there is none of that name.
        ReadError: its file says what cannot be.
    """
    known = papers(recipes)
    if not known:
        raise UsageError(
            "There are no published tables where they are looked for.",
            expected=f"the folder recipes of the repository, with PAPER{SUFFIX} in it",
            remedy="Go to the repository's folder, or say where they are with --recipes.",
        )
    if name not in known:
        near = get_close_matches(name, known, 1)
        raise UsageError(
            f"There is no {name!r} to reproduce.",
            expected=f"one of {', '.join(known)}",
            remedy=f"Did you mean {near[0]!r}?" if near else "Take one of these.",
        )
    try:
        table: dict[str, Any] = tomllib.loads((recipes / f"{name}{SUFFIX}").read_text(encoding="utf-8"))
        return Paper.model_validate(table)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        told = str(error) if isinstance(error, tomllib.TOMLDecodeError) else "it cannot be read"
    except ValidationError as error:
        fault = error.errors(include_url=False, include_context=False)[0]
        told = f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}".removeprefix(": ")
    raise ReadError(
        f"{name}{SUFFIX} holds no published tables: {told}.",
        expected="the keys of groundglass.evaluation.published, cells for each column, metrics and regions that exist",
        remedy="Compare it with another.",
    )
