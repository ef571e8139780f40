"""What a kind of pretrained models answers: which folders are its, and what a model makes of rows."""

from typing import Any, Final, Protocol

from modelservice.contract.documents import Document
from modelservice.contract.encoders import PretrainedModel as Served
from modelservice.families.pretrained.folder import Folder
from modelservice.modalities.base import Features

MODEL_SECTION: Final = "spec.model.encoder"
COLUMNS_SECTION: Final = "spec.data.encoder"


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
