"""The formats of files that hold a table, one member each."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from modelservice.contract.data import Format
from modelservice.modalities.base import FileOptions
from modelservice.modalities.table.csv_file import parse_csv
from modelservice.modalities.table.json_lines import parse_json_lines
from modelservice.modalities.table.parquet_file import parse_parquet
from modelservice.modalities.table.table import Table


@dataclass(frozen=True, kw_only=True)
class TableFormat:
    """How files of one format become a table.

    Attributes:
        format: as ``spec.data.format`` spells it.
        parse: takes the inflated file, how it is written, and what errors name as the field to change.
            Raises ``DataError`` where it cannot be read whole, with the place and the remedy.
    """

    format: Format
    parse: Callable[[bytes, FileOptions, str], Table]


def _excel(content: bytes, options: FileOptions, field: str) -> Table:
    from modelservice.modalities.table.excel_file import parse_excel  # noqa: PLC0415 - openpyxl takes long to import

    return parse_excel(content, options.excel, field=field)


FORMATS: Final[tuple[TableFormat, ...]] = (
    TableFormat(format=Format.CSV, parse=lambda content, options, field: parse_csv(content, options.csv, field=field)),
    TableFormat(
        format=Format.JSON_LINES, parse=lambda content, _options, field: parse_json_lines(content, field=field)
    ),
    TableFormat(format=Format.PARQUET, parse=lambda content, _options, field: parse_parquet(content, field=field)),
    TableFormat(format=Format.EXCEL, parse=_excel),
)
