"""How the rows of a training were divided, as far as a later comparison has to know."""

from typing import Annotated, Final

from pydantic import Field, StringConstraints

from modelservice.contract.base import Sha256, Tolerant

MAX_MOVED: Final = 4096
"""Rows that are named; there are fewer than classes."""

RowMark = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{8}$")]
"""The first 32 bits of the hash that tells a row from others."""


class Division(Tolerant):
    """Says of every row, whether it was there or not, that it was tested or was not.

    Of a split by the content of rows alone: ``rule`` is the sha256 of all that decides what a row's side is, such as
    the seed, the share of the test and the columns that tell rows apart. ``moved`` are rows that the rule says were
    tested, and that were learned from, since each class was to have some of those (see ``modalities.split``).
    """

    rule: Sha256
    moved: Annotated[tuple[RowMark, ...], Field(max_length=MAX_MOVED)] = ()
