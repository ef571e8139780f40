"""What a modality answers: how data is read and encoded for training, and how a request is.

Two sides, since a server must not load what only training needs: an ``Encoder`` (numpy) from ``modalities.encoders``,
and a ``Source`` (pyarrow where it helps) from ``modalities.sources``.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from modelservice.contract.data import ColumnSettings, Data, Format
from modelservice.contract.documents import Document
from modelservice.contract.failure import DataError
from modelservice.contract.formats import CSV, Excel, ImageSize
from modelservice.contract.signature import Input
from modelservice.contract.task import Loss as AskedLoss
from modelservice.modalities.errors import InputError
from modelservice.modalities.parts import WHOLE_PARTS, PartOptions, Parts
from modelservice.modalities.scaling import NumberRules
from modelservice.modalities.tensors import Tensor
from modelservice.tasks.base import Target, TargetCells, Task, Weights

__all__ = [
    "STRICT",
    "Dataset",
    "Encoder",
    "Examples",
    "Features",
    "FileOptions",
    "InputError",
    "Measure",
    "Opener",
    "Profile",
    "Reader",
    "Rows",
    "Side",
    "Source",
    "Stream",
    "Tolerance",
    "Tolerated",
    "Variable",
    "merge_rows",
    "together",
]

Features = NDArray[np.float32]
"""What models take: float32 [rows, *shape]."""
Groups = NDArray[np.int64]
"""Of each row the number of its group, such as the rows of a customer or equal rows, int64 [rows]."""
Rows = list[Any] | NDArray[Any]
"""Rows of a request before encoding, in the modality's own terms; a list, or an array whose first axis is rows."""


Measure = Callable[[Sequence[Any]], Sequence[Any]]
"""Cells of a column to what they say: numbers, NaN where one is missing, or texts, None where one is."""


Tolerated = Mapping[str | None, int]
"""How many cells were taken for missing, by the column that was not there, and left out, under None."""


def _forget(_: Tolerated) -> None:
    """Count nothing."""


class Tolerance(NamedTuple):
    """What a request may get wrong about the columns of a table without being refused.

    Attributes:
        unknown: columns that the model does not have are left out.
        missing: columns that are not there are taken for missing values.
        record: is told what was tolerated, from any thread.
    """

    unknown: bool = False
    missing: bool = False
    record: Callable[[Tolerated], None] = _forget

    @property
    def strict(self) -> bool:
        """Whether nothing is tolerated."""
        return not (self.unknown or self.missing)


STRICT: Final = Tolerance()
"""Every column, and no other."""


def merge_rows(parts: Sequence[Rows]) -> Rows:
    """The rows of several requests in one batch; arrays stay an array where all of them are."""
    if len(parts) == 1:
        return parts[0]
    arrays = [part for part in parts if isinstance(part, np.ndarray)]
    if len(arrays) == len(parts):
        return np.concatenate(arrays)
    rows: list[Any] = []
    for part in parts:
        rows += part.tolist() if isinstance(part, np.ndarray) else part
    return rows


class Encoder(Protocol):
    """Encodes rows of requests after a fitted preprocessing; immutable and safe to share between threads."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one encoded row."""

    @property
    def inputs(self) -> tuple[Input, ...]:
        """The signature's inputs."""

    def encode(self, rows: Rows) -> Features:
        """Encode rows.

        Raises:
            InputError: names the first row, and column where there is one, that is wrong.
        """

    def encode_counted(self, rows: Rows) -> tuple[Features, dict[str, int]]:
        """Encode rows, and count how many values of each input are unlike those of training.

        These are categories that it never saw, and numbers that are far from nearly all that it saw.

        Raises:
            InputError: as ``encode``.
        """

    def example(self) -> Any:
        """One row that ``from_instances`` takes and JSON can hold."""

    def from_instances(self, instances: list[Any], tolerance: Tolerance = STRICT) -> Rows:
        """Rows of TensorFlow Serving's ``instances``.

        Raises:
            InputError: a row is no row at all.
        """

    def from_inputs(self, inputs: Any, tolerance: Tolerance = STRICT) -> Rows:
        """Rows of TensorFlow Serving's ``inputs`` (by column or as one tensor); errors as above."""

    def from_tensors(self, tensors: Sequence[Tensor], tolerance: Tolerance = STRICT) -> Rows:
        """Rows of Open Inference tensors; errors as above, ``InputError.tensor`` says which."""

    @property
    def measures(self) -> Mapping[str, Measure]:
        """For inputs that are columns, by name: what their cells say, for statistics."""

    def cells(self, rows: Rows) -> list[list[Any]]:
        """Rows of columns as lists in the order of the inputs, None where a cell is missing by a word.

        Raises:
            InputError: a row has not the columns of the model; an input is no column.
        """

    def parts(self, rows: Rows, options: PartOptions = WHOLE_PARTS) -> Sequence[Parts]:
        """Each row in parts that can be hidden, for explanations.

        Raises:
            InputError: a row is none.
        """

    def tensors(self) -> list[dict[str, Any]]:
        """The inputs as Open Inference metadata: name, datatype, shape (-1 first), parameters where they help."""

    def from_frame(self, frame: Any) -> Rows:
        """Rows of a pandas frame, an arrow table, an object of columns, an array, or a list of rows.

        Raises:
            InputError: it is none of these.
        """


@dataclass(frozen=True, kw_only=True)
class Opener:
    """The serving side of a modality: a member of ``encoders.OPENERS``.

    ``document`` is what its preprocessing is stored as, ``build`` makes an encoder of it.
    """

    name: str
    """As signature and manifest name it, such as Table."""
    document: type[Document]
    build: Callable[[Any], Encoder]


@dataclass(frozen=True, kw_only=True, eq=False)
class Side:
    """Encoded rows of one side of a split.

    ``features`` float32 [rows, *shape], ``values`` as in ``Target``; ``weights``, where rows do not count alike;
    ``told`` float32 [rows, width], raw outputs of a teacher, where there is one; ``groups`` hold rows together when
    they are divided once more, None where each row stands alone.
    """

    features: Features
    values: NDArray[Any]
    weights: Weights | None = None
    told: Features | None = None
    groups: Groups | None = None

    def take(self, rows: slice) -> "Side":
        """Some of the rows."""
        return Side(
            features=self.features[rows],
            values=self.values[rows],
            weights=None if self.weights is None else self.weights[rows],
            told=None if self.told is None else self.told[rows],
            groups=None if self.groups is None else self.groups[rows],
        )

    @property
    def relative_weights(self) -> Weights | None:
        """The weights, 1 on the mean of these rows."""
        return None if self.weights is None else self.weights / self.weights.mean()


def together(first: Side, second: Side) -> Side:
    """The rows of two sides of one split, those of the first before those of the second."""
    weights, told = (
        None if one is None or other is None else np.concatenate([one, other])
        for one, other in ((first.weights, second.weights), (first.told, second.told))
    )
    return Side(
        features=np.concatenate([first.features, second.features]),
        values=np.concatenate([first.values, second.values]),
        weights=weights,
        told=told,
        groups=groups_together(first, second),
    )


def groups_together(*sides: Side) -> Groups | None:
    """The groups of the rows of some sides; None where each is the only one of its own."""
    known = [side.groups for side in sides if side.groups is not None]
    if len(known) < len(sides):
        return None
    groups = np.concatenate(known)
    return groups if len(np.unique(groups)) < len(groups) else None


class Stream(Protocol):
    """The rows of a table that is too large to be held, which are read anew each time."""

    @property
    def rows(self) -> tuple[int, int, int]:
        """How many there are of training, validation and test."""

    @property
    def classes(self) -> NDArray[np.int64] | None:
        """How many of them each class has, int64 [3, classes]; None of numbers."""

    def training(self, seed: int) -> Iterator[Side]:
        """The training rows, piece by piece, in an order that the seed decides.

        Raises:
            DataError: the data is damaged, or a number is too far from the others.
            PassingError: it was changed.
            OSError: the file system fails.
        """

    def test(self) -> Iterator[Side]:
        """The test rows, piece by piece; errors as above."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """Everything that a family needs to learn, and the artifact needs to say of it.

    ``preprocessing`` was measured on training rows only; an encoder of it gave the features of all sides. ``codes``
    are as ``Examples.codes`` has them; ``loss`` is what ``spec.task`` says of it. Where there is a ``stream``, its
    training rows are to be learned from, and the sides are some rows of each, chosen by hash.
    """

    modality: str
    task: Task
    target: str
    labels: tuple[str, ...]
    inputs: tuple[Input, ...]
    preprocessing: Document
    train: Side
    validation: Side
    test: Side
    sha256: str
    rows: int
    dropped: int
    features: int
    notes: tuple[str, ...]
    codes: NDArray[np.bool_] | None = None
    loss: AskedLoss | None = None
    stream: Stream | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one encoded row."""
        return tuple(self.train.features.shape[1:])


class Variable(NamedTuple):
    """What the cells of an input say, for statistics.

    Attributes:
        values: float64 [rows] numbers, NaN is missing; or int32 [rows] codes of ``texts``, -1 is missing.
        texts: different texts; None of numbers.
        unit: what the numbers are of, where the cells themselves hold none.
    """

    values: NDArray[Any]
    texts: tuple[str, ...] | None = None
    unit: str | None = None

    @property
    def missing(self) -> NDArray[np.bool_]:
        """Which values are missing, bool [rows]."""
        return np.isnan(self.values) if self.texts is None else self.values < 0


@dataclass(frozen=True, kw_only=True, eq=False)
class Profile:
    """An input over some rows, for reports on them.

    Attributes:
        name: of the input.
        kind: how it is encoded.
        width: how many numbers of an encoded row it becomes.
        missing: number of missing values.
        distinct: number of different values, missing ones aside.
        variable: gives what its cells say; nothing is kept, since all columns at once may be more than the data.
    """

    name: str
    kind: str
    width: int
    missing: int
    distinct: int
    variable: Callable[[], Variable]


class Examples(Protocol):
    """The inputs of those rows that have a target."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences about what was left out."""

    @property
    def features(self) -> int:
        """Number of columns, or of values of a tensor."""

    @property
    def told_apart_by(self) -> tuple[str, ...]:
        """What ``digests`` are made from besides the target, in words: digests of other data are of the same things."""

    def digests(self, target: Target, *, seed: int) -> list[bytes]:
        """What identifies each row's content, its target included; decides its side of the split."""

    def by_rules(self, rules: NumberRules) -> "Examples":
        """The same, whose columns of numbers are scaled and filled in another way than by default.

        Raises:
            DataError: there are no columns.
        """

    def fit(self, train: NDArray[np.int64]) -> tuple[Document, tuple[Input, ...]]:
        """Preprocessing and inputs, measured on the training rows."""

    def encode(self, preprocessing: Document, rows: NDArray[np.int64]) -> Features:
        """Encode some rows, by the encoder that serving uses."""

    def codes(self, preprocessing: Document) -> NDArray[np.bool_] | None:
        """Which numbers of an encoded row are no standardised measurements, bool [*shape]; None where all are."""

    def profiles(self, preprocessing: Document, rows: NDArray[np.int64]) -> tuple[Profile, ...]:
        """What some rows hold, input by input in the order of an encoded row; none where inputs are no columns."""


class Source(Protocol):
    """Data that was read and not yet interpreted."""

    @property
    def modality(self) -> str:
        """Name of the modality that reads requests for a model of this data."""

    @property
    def sha256(self) -> str:
        """``sha256:...`` of the (inflated) content."""

    @property
    def given(self) -> NDArray[np.int8] | None:
        """Of each row the side of the file that it stands in, as ``split`` numbers them; None where all may learn."""

    def target(
        self, name: str, missing: Sequence[str] | None = None, *, unread: NDArray[np.bool_] | None = None
    ) -> TargetCells:
        """The target's cells.

        Args:
            name: of the target.
            missing: ``spec.data.missing``: texts that mean a missing value, None for the usual ones.
            unread: bool [rows], whose cells are missing whatever they hold; None for no row.

        Raises:
            DataError: there is no such column or array.
        """

    def aside(self, name: str, missing: Sequence[str] | None = None, *, field: str) -> TargetCells:
        """The cells of a column or array that is neither target nor, by itself, a feature.

        Args:
            name: of the column.
            missing: as above.
            field: what names it, for messages.

        Raises:
            DataError: there is no such column or array.
        """

    def examples(
        self,
        features: tuple[str, ...],
        target: Target,
        missing: Sequence[str] | None = None,
        columns: Mapping[str, ColumnSettings] | None = None,
        aside: Collection[str] = (),
    ) -> Examples:
        """The inputs (all but the target, where none are listed) of the rows whose target is present.

        Args:
            features: ``spec.data.features``.
            target: what is predicted.
            missing: as above.
            columns: ``spec.data.columns``: what is known of some columns.
            aside: names of cells that were given by ``aside``: no features where none are listed.

        Raises:
            DataError: there are none, or they cannot be read.
        """


@dataclass(frozen=True, kw_only=True)
class FileOptions:
    """What ``spec.data`` says of how a file is written; each format takes its own part."""

    csv: CSV | None = None
    excel: Excel | None = None
    image: ImageSize | None = None

    @classmethod
    def of(cls, data: Data) -> "FileOptions":
        """Those of ``spec.data``."""
        return cls(csv=data.csv, excel=data.excel, image=data.image)

    def check(self, format: Format) -> None:  # noqa: A002 - the field's own word
        """Refuse what has no meaning for a format that the name of the file tells.

        Raises:
            DataError: names the field.
        """
        for name, options, of in (
            ("csv", self.csv, Format.CSV),
            ("excel", self.excel, Format.EXCEL),
            ("image", self.image, Format.IMAGE_FOLDER),
        ):
            if options is not None and format is not of:
                message = f"the file is read as {format}, and spec.data.{name} says how one of format {of} is written"
                raise DataError("OptionNotForFormat", f"{message}: leave it out", field=f"spec.data.{name}")


class Reader(Protocol):
    """The training side of a modality: a member of ``sources.READERS``."""

    @property
    def formats(self) -> tuple[Format, ...]:
        """As ``spec.data.format`` spells them."""

    @property
    def limit(self) -> int:
        """Bytes of an inflated file at most."""

    def read(self, content: bytes, *, format: Format, options: FileOptions, field: str) -> Source:  # noqa: A002
        """Read an inflated file.

        Args:
            content: the file.
            format: one of the reader's.
            options: how it is written, where that is said.
            field: what errors name as the field to change.

        Raises:
            DataError: it is not of this format, or too large; names ``field``.
        """

    def join(self, sources: Mapping[str, Any], *, sides: Sequence[int], field: str) -> Source:
        """One source of several that were read from files.

        Args:
            sources: what ``read`` made of each file, by the file's name, in order.
            sides: of the rows of each file, as ``split`` numbers them.
            field: what errors name as the field to change.

        Raises:
            DataError: the files do not belong together, or the modality reads one file only.
        """

    def from_frame(self, frame: Any) -> Source | None:
        """Take data that stands in memory already; None where it is nothing of this modality.

        Raises:
            DataError: it is of this modality, and nothing can be learned from it as it is.
        """
