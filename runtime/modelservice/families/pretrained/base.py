"""What a kind of pretrained models answers: which folders are its, and what a model makes of rows."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from modelservice.contract.documents import Document
from modelservice.contract.encoders import PretrainedModel as Served
from modelservice.families.pretrained.folder import Folder
from modelservice.modalities.base import Features

MODEL_SECTION: Final = "spec.model.encoder"
COLUMNS_SECTION: Final = "spec.data.encoder"
_SLICE: Final = 32
"""Rows that are read at once."""


class Reading(Protocol):
    """A pretrained model before rows of one preprocessing."""

    def embed(self, rows: Features) -> Features:
        """The numbers of rows, float32 [rows, width]; each different row is read once in a process."""

    def compute(self, rows: Features) -> Features:
        """The numbers of rows, all at once and nothing kept: bit for bit what the graph makes of the same rows."""

    def append_to(self, graph: Any) -> str:
        """Write the nodes from rows, the newest value of a ``Graph``, to numbers, and give their name back."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on what it does to rows, where somebody might not expect it."""


class PretrainedEncoder(Protocol):
    """A pretrained model that was read: everything of it is data."""

    @property
    def modality(self) -> str:
        """Of the rows that it reads, such as Text."""

    @property
    def digest(self) -> str:
        """Of the file of weights, ``sha256:...``."""

    @property
    def origin(self) -> str:
        """Where it was read from, for people."""

    @property
    def width(self) -> int:
        """Numbers of a row."""

    @property
    def parameters(self) -> int:
        """Number of weights that are used."""

    def alone(self, settings: Served, *, section: str | None) -> Document:
        """How requests become rows where it is served as it is.

        Args:
            settings: what ``spec.model.pretrained`` says.
            section: that says so, None where no spec does.

        Raises:
            StageError: it cannot be served so.
        """

    def reading(self, preprocessing: Document) -> Reading:
        """It before rows of its modality, which were encoded so.

        Raises:
            StageError: it does not read such rows.
        """


class Kind(Protocol):
    """One kind of pretrained models. Members are stateless values in ``pretrained.KINDS``."""

    def claims(self, folder: Folder) -> bool:
        """Whether a folder is of this kind; for errors see ``Folder.load``."""

    def read(self, folder: Folder, digest: str | None) -> PretrainedEncoder:
        """Read a model whose weights have to have that digest, None for any.

        Raises:
            StageError: it cannot be read, is of another kind, or other than was said.
            DataUnavailableError: its store fails, as it may for a while.
            OSError: the file system fails.
        """


@dataclass(frozen=True, eq=False)
class Known:
    """The numbers of rows that were read before, by a hash of each row."""

    _numbers: dict[bytes, NDArray[np.float32]] = field(default_factory=dict)

    def numbers(
        self,
        rows: NDArray[Any],
        compute: Callable[[NDArray[Any]], Features],
        *,
        width: int,
        sizes: Sequence[int] | None = None,
    ) -> Features:
        """The numbers of rows, float32 [rows, width]: those that are not known are computed, some together.

        Args:
            rows: of any type; equal bytes are equal rows.
            compute: rows to numbers.
            width: numbers of a row.
            sizes: what each row costs, where the costliest of some decides for all of them.
        """
        if not len(rows):
            return np.zeros((0, width), np.float32)
        keys = [hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in rows]
        new = {key: place for place, key in enumerate(keys) if key not in self._numbers}
        places = sorted(new.values(), key=lambda place: (0 if sizes is None else sizes[place], place))
        for start in range(0, len(places), _SLICE):
            some = places[start : start + _SLICE]
            self._numbers.update(zip((keys[place] for place in some), compute(rows[some]), strict=True))
        return np.stack([self._numbers[key] for key in keys])
