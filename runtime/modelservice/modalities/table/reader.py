"""The training side of tables."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from modelservice.contract.data import Format
from modelservice.modalities.base import FileOptions
from modelservice.modalities.table.formats import FORMATS
from modelservice.modalities.table.join import join_tables
from modelservice.modalities.table.source import TableSource
from modelservice.modalities.table.table import table_of


class TableReader:
    """Reads files of all ``FORMATS``, and frames."""

    formats = tuple(one.format for one in FORMATS)
    limit = 2**30
    """pyarrow needs about seven times as much memory for CSV."""

    def read(
        self,
        content: bytes,
        *,
        format: Format,  # noqa: A002 - the field's own word
        options: FileOptions,
        field: str,
    ) -> TableSource:
        """Read a file; for errors see the format's ``parse``."""
        parse = next(one.parse for one in FORMATS if one.format is format)
        return TableSource(parse(content, options, field))

    def join(self, sources: Mapping[str, TableSource], *, sides: Sequence[int], field: str) -> TableSource:
        """The rows of all files, one after the other; for errors see ``join_tables``."""
        tables = {name: source.table for name, source in sources.items()}
        joined = join_tables(tables, field=field)
        if not any(sides):  # all are ``TRAIN``
            return TableSource(joined)
        rows = [table.rows for table in tables.values()]
        return TableSource(joined, given=np.repeat(np.array(sides, dtype=np.int8), rows))

    def from_frame(self, frame: Any) -> TableSource | None:
        """Take a pandas frame, an arrow table or an object of columns; for errors see ``table_of``."""
        table = table_of(frame)
        return None if table is None else TableSource(table)


TABLES: Final = TableReader()
