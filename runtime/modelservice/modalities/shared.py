"""Rows as the numbers that a shared encoder makes of them: a service of its own is asked, here and in training."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Final, NamedTuple, Protocol

from pydantic import Field

from modelservice.contract.base import ServiceName, Sha256
from modelservice.contract.documents import Document, ExactDocument
from modelservice.contract.failure import StageError
from modelservice.contract.manifest import SharedEncoder
from modelservice.modalities.base import Encoder, Features, Rows
from modelservice.modalities.tensors import BYTES, UINT8

FIELD: Final = "spec.model.encoder.service"


class Read(NamedTuple):
    """What an encoder reads, in words, and how many axes one of them has."""

    noun: str
    axes: int


READ: Final = {BYTES: Read("texts", 0), UINT8: Read("images", 3)}
"""By the datatype of its input."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SentRows:
    """Rows as a shared encoder is asked for them: one tensor of the Open Inference Protocol.

    Attributes:
        name: of the encoder's input.
        datatype: of the tensor.
        shape: of one row.
        rows: the bytes of each row in a binary tensor; equal bytes are equal rows.
    """

    name: str
    datatype: str
    shape: tuple[int, ...] = ()
    rows: Sequence[bytes | memoryview]

    def some(self, places: Sequence[int]) -> "SentRows":
        """Those at some places."""
        return replace(self, rows=[self.rows[place] for place in places])


Embed = Callable[[SentRows, float | None], Features]
"""Rows, and the seconds within which somebody wants the answer, to float32 [rows, width]."""


class EncoderInput(NamedTuple):
    """What an encoder says of its only input: the datatype of the tensor, and the shape of one row."""

    datatype: str
    shape: tuple[int, ...]


class SharedRows(Protocol):
    """Who makes numbers of the rows of a training: each different one is asked for once."""

    @property
    def encoder(self) -> SharedEncoder:
        """Which encoder it is."""

    @property
    def reads(self) -> EncoderInput:
        """What it takes; the datatype is one of ``READ``."""

    def embed(self, rows: SentRows) -> Features:
        """The numbers of rows, float32 [rows, width].

        Raises:
            StageError: the encoder gives none, and no waiting helps; or it was waited for long enough.
        """


class SharedPreprocessing(ExactDocument):
    """Which encoder makes numbers of a row.

    Attributes:
        encoder: name of the ModelService.
        digest: of its artifact.
        width: numbers of a row.
    """

    encoder: ServiceName
    digest: Sha256
    width: Annotated[int, Field(ge=1, le=65_536)]

    @property
    def shared(self) -> SharedEncoder:
        """The encoder as manifests have it."""
        return SharedEncoder(name=self.encoder, digest=self.digest, width=self.width)


class AskingEncoder(ABC):
    """The part of an ``Encoder`` that asks a shared one for the numbers of rows; that may be slow or away.

    Args:
        preprocessing: which encoder it is.
        embed: who is asked, None where nobody is yet.
    """

    def __init__(self, preprocessing: SharedPreprocessing, embed: Embed | None) -> None:
        self.shape: tuple[int, ...] = (preprocessing.width,)
        self.shared = preprocessing.shared
        self._embed = embed

    @abstractmethod
    def asking(self, embed: Embed) -> Encoder:
        """The same, which asks somebody."""

    @abstractmethod
    def sent(self, rows: Rows) -> SentRows:
        """What is asked for: rows of a request, checked.

        Raises:
            InputError: names the first row that is none.
        """

    def encode(self, rows: Rows) -> Features:
        """Rows to float32 [rows, width]; raises what ``embed`` does, beside what ``sent`` does."""
        return self.encode_within(rows, None)[0]

    def encode_counted(self, rows: Rows) -> tuple[Features, dict[str, int]]:
        """The same; nothing counts as unseen, since every row is new."""
        return self.encode_within(rows, None)

    def encode_within(self, rows: Rows, seconds: float | None) -> tuple[Features, dict[str, int]]:
        """The same; ``seconds`` are those in which somebody wants the answer, None where nobody says."""
        assert self._embed is not None  # noqa: S101 - who opens it says whom to ask
        return self._embed(self.sent(rows), seconds), {}


def asking(encoder: Encoder) -> AskingEncoder | None:
    """The encoder, if it asks a shared one."""
    return encoder if isinstance(encoder, AskingEncoder) else None


def shared_by(preprocessing: Document) -> SharedEncoder | None:
    """Which shared encoder a preprocessing names, if it names one."""
    return preprocessing.shared if isinstance(preprocessing, SharedPreprocessing) else None


def check_reads(asked: SharedRows, datatype: str) -> None:
    """Refuse an encoder that reads something else than the data holds.

    Args:
        asked: the encoder.
        datatype: of the tensor that rows of the data are, one of ``READ``.

    Raises:
        StageError: it does.
    """
    if asked.reads.datatype != datatype:
        read, held = READ[asked.reads.datatype].noun, READ[datatype].noun
        message = f"the encoder {asked.encoder.name} reads {read}, and the data holds {held}: name an encoder of {held}"
        raise StageError("EncoderUnsuited", f"{message} in {FIELD}", field=FIELD)
