"""The training side of tables."""

from typing import Any, Final

from modelservice.contract.data import Format
from modelservice.modalities.base import FileOptions
from modelservice.modalities.table.csv_file import parse_csv
from modelservice.modalities.table.source import TableSource
from modelservice.modalities.table.table import table_of


class TableReader:
    """Reads CSV files, and frames."""

    format = Format.CSV
    limit = 2**30
    """pyarrow needs about seven times as much memory."""

    def read(self, content: bytes, *, options: FileOptions, field: str) -> TableSource:
        """Read a CSV file; for errors see ``parse_csv``."""
        return TableSource(parse_csv(content, options.csv, field=field))

    def from_frame(self, frame: Any) -> TableSource | None:
        """Take a pandas frame, an arrow table or an object of columns; for errors see ``table_of``."""
        table = table_of(frame)
        return None if table is None else TableSource(table)


TABLES: Final = TableReader()
