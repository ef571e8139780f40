"""``spec.data.csv``, ``excel`` and ``image``: how a file is to be read, where that cannot be seen in it."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from modelservice.contract.base import Contract, Worded


class Encoding(StrEnum):
    """How the characters of a text are bytes, by the names that browsers know."""

    UTF_8 = "UTF-8"
    UTF_16 = "UTF-16"
    UTF_16LE = "UTF-16LE"
    UTF_16BE = "UTF-16BE"
    WINDOWS_1250 = "Windows-1250"
    WINDOWS_1251 = "Windows-1251"
    WINDOWS_1252 = "Windows-1252"
    WINDOWS_1254 = "Windows-1254"
    ISO_8859_1 = "ISO-8859-1"
    ISO_8859_2 = "ISO-8859-2"
    ISO_8859_15 = "ISO-8859-15"
    IBM850 = "IBM850"
    MACINTOSH = "Macintosh"
    SHIFT_JIS = "Shift_JIS"
    EUC_JP = "EUC-JP"
    EUC_KR = "EUC-KR"
    GB18030 = "GB18030"
    BIG5 = "Big5"


TAB = "Tab"
SeparatorText = Annotated[
    str,
    StringConstraints(min_length=1, max_length=3),
    Worded(r"^(Tab|[,;|:~^#&@! ])$", "must be Tab, or one of , ; | : ~ ^ # & @ ! and the blank"),
]


class CSV(Contract):
    """How a CSV file is written. What is left out is found in the file, and said; what is unclear is refused."""

    separator: SeparatorText | None = Field(
        default=None,
        description="What stands between cells: Tab, or one of , ; | : ~ ^ # & @ ! and the blank, in quotes. Default:"
        " the one of , ; | and tabs that divides the header. A change trains again.",
    )
    decimal: Literal[".", ","] | None = Field(
        default=None,
        description="The mark before the fraction of all numbers, in quotes; the other one may stand between thousands."
        " Default: found for each column. A change trains again.",
    )
    encoding: Encoding | None = Field(
        default=None,
        description="How characters are bytes. Default: UTF-8, or UTF-16 where the file begins with its byte order"
        " mark. A change trains again.",
    )


class Excel(Contract):
    """Where the table stands in an Excel workbook."""

    sheet: Annotated[str, StringConstraints(min_length=1, max_length=31)] | None = Field(
        default=None, description="Name of the sheet. Default: the first that is not hidden. A change trains again."
    )


class ImageSize(Contract):
    """The size that the pictures of a folder are brought to, in training and in requests."""

    height: int = Field(ge=1, le=1024, description="Rows of pixels. A change trains again.")
    width: int = Field(ge=1, le=1024, description="Pixels of a row. A change trains again.")
    channels: Literal[1, 3, 4] | None = Field(
        default=None,
        description="1 grey, 3 RGB, 4 RGB and transparency. Default: 3, or 1 where every picture is grey. A change"
        " trains again.",
    )
