"""Rows that may come compressed, as pictures do: decoding makes many bytes of few, and takes longer than parsing."""

from abc import ABC, abstractmethod

from modelservice.modalities.base import Encoder, Rows


class DecodingEncoder(ABC):
    """The part of an ``Encoder`` whose rows may be compressed.

    Rows as its ``from_...`` functions give them are not decoded yet, so that a server says where that is done;
    ``encode`` takes them either way.

    Attributes:
        compressed_noun: what compressed rows are, in words.
    """

    compressed_noun: str

    @property
    @abstractmethod
    def row_bytes(self) -> int:
        """Of a decoded row, as it is held, or sent to who makes numbers of it."""

    @abstractmethod
    def compressed(self, rows: Rows) -> int:
        """How many of the rows are compressed."""

    @abstractmethod
    def decoded(self, rows: Rows) -> Rows:
        """The same rows, of which none is compressed.

        Raises:
            InputError: names the first row that cannot be decoded.
        """


def decoding(encoder: Encoder) -> DecodingEncoder | None:
    """The encoder, if its rows may be compressed."""
    return encoder if isinstance(encoder, DecodingEncoder) else None
