"""Reading Parquet: typed columns become texts or numbers, as a table has them."""

import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from modelservice.cells import decimal_text
from modelservice.contract.data import Format
from modelservice.contract.digests import sha256
from modelservice.contract.failure import DataError
from modelservice.modalities.table.magic import PARQUET, check_magic
from modelservice.modalities.table.table import Table, check_cells, check_names

Convert = Callable[[pa.Array], pa.Array]
"""An array of a file to cells of a table: texts, integers or float64."""
MAX_INFLATED = 2**32
"""Bytes of all columns without compression, as the file declares them."""
MAX_TEXT = 2**31 - 1
"""Bytes of one column of texts: arrow counts them by int32."""
_INDEX = re.compile(r"__index_level_\d+__")
"""What pandas calls the index of a frame that has no name."""


def parse_parquet(content: bytes, *, field: str = "spec.data") -> Table:
    """Read a table.

    Integers and floats stay numbers. Decimals are the texts that requests make of such numbers; times and dates become
    texts (ISO 8601, in UTC where they have a time zone), true and false True and False, as frames have them. NaN is
    missing. Lists, objects and bytes are unreadable.

    Args:
        content: the inflated file.
        field: what errors name as the field to change.

    Raises:
        DataError: no Parquet, damaged, too large, without rows, or with two columns of one name.
    """
    check_magic(content, Format.PARQUET)
    if not content.startswith(PARQUET):
        message = "the file is no Parquet file, which begins with PAR1: correct its name, or set spec.data.format"
        raise DataError("NotParquet", message, field="spec.data.format")
    if not content.endswith(PARQUET):
        message = "the Parquet file is cut off, since it does not end with PAR1: copy it again"
        raise DataError("DamagedParquet", message, field=field)
    try:
        read = _read(content, field)
    except pa.ArrowMemoryError:
        raise
    except (pa.ArrowException, OSError) as error:
        raise damaged(error, field=field) from None
    layout = layout_of(read.schema, field=field)
    columns = {name: convert(_whole(name, read.column(at), field)) for name, (at, convert) in layout.columns.items()}
    return Table(columns=columns, unreadable=layout.unreadable, sha256=sha256(content), notes=layout.notes)


class Layout(NamedTuple):
    """What a schema holds.

    Attributes:
        columns: place in the schema, and what makes cells of an array of it, by name.
        unreadable: why other columns, by name, cannot be read.
        notes: sentences about what is left out.
    """

    columns: dict[str, tuple[int, "Convert"]]
    unreadable: dict[str, str]
    notes: tuple[str, ...]


def layout_of(schema: pa.Schema, *, field: str) -> Layout:
    """Which columns of a file can be read.

    Raises:
        DataError: there are too many, or two of one name.
    """
    columns: dict[str, tuple[int, Convert]] = {}
    unreadable: dict[str, str] = {}
    notes = []
    for at, name in enumerate(check_names(schema.names, field=field)):
        if not name:
            notes.append(f"ignored column {at + 1}: it has no name")
        elif _INDEX.fullmatch(name):
            notes.append(f"ignored column {name}: it is the index of a pandas frame")
        elif (convert := _converter(schema.types[at])) is None:
            held = f"column {name} holds {schema.types[at]}"
            unreadable[name] = f"{held}, and a cell holds one number, text, date or time"
        else:
            columns[name] = (at, convert)
    return Layout(columns, unreadable, tuple(notes))


def damaged(error: Exception, *, field: str) -> DataError:
    """What to say where a file cannot be read on."""
    cause = str(error).strip().partition("\n")[0]
    return DataError("DamagedParquet", f"the Parquet file is damaged: {cause}: write it again", field=field)


def _read(content: bytes, field: str) -> pa.Table:
    source = pa.BufferReader(content)
    schema = pyarrow.parquet.read_schema(source)
    # By dictionary a text that stands in many rows is held once: a small file cannot become a large one.
    texts = [one.name for one in schema if _is_text(one.type)]
    file = pyarrow.parquet.ParquetFile(source, read_dictionary=texts)
    metadata = file.metadata
    if metadata.num_rows == 0:
        raise DataError("EmptyTable", "the table has no rows: add at least three of each class", field=field)
    check_cells(metadata.num_rows, metadata.num_columns, field=field)
    inflated = sum(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
    if inflated > MAX_INFLATED:
        message = f"the table inflates to more than {MAX_INFLATED} bytes: give fewer rows"
        raise DataError("DataTooLarge", message, field=field)
    return file.read()


def _whole(name: str, column: pa.ChunkedArray, field: str) -> pa.Array:
    """One array of a column, no dictionary."""
    if not pa.types.is_dictionary(column.type):
        return column.combine_chunks()
    array = column.unify_dictionaries().combine_chunks()
    array = array.chunk(0) if isinstance(array, pa.ChunkedArray) else array
    if _is_text(array.type.value_type):
        _check_texts(name, array, field)
    return array.dictionary_decode()


def _check_texts(name: str, array: pa.DictionaryArray, field: str) -> None:
    try:
        array.dictionary.validate(full=True)
    except pa.ArrowInvalid:
        message = f"column {name} holds bytes that are not UTF-8 text: write it again"
        raise DataError("NotUTF8", message, field=field) from None
    size = pc.sum(pc.binary_length(array.dictionary).cast(pa.int64()).take(array.indices)).as_py() or 0
    if size > MAX_TEXT:
        raise DataError("DataTooLarge", f"column {name} has more than {MAX_TEXT} bytes: give fewer rows", field=field)


def _is_text(type_: pa.DataType) -> bool:
    return bool(pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_string_view(type_))


def _text(array: pa.Array) -> pa.Array:
    return array.cast(pa.string())


def _decimal(array: pa.Array) -> pa.Array:
    encoded = array.dictionary_encode()
    texts = [None if number is None else decimal_text(number) for number in encoded.dictionary.to_pylist()]
    return pa.array(texts, type=pa.string()).take(encoded.indices)


def _float(array: pa.Array) -> pa.Array:
    numbers = array.cast(pa.float64())
    return pc.if_else(pc.is_nan(numbers), None, numbers)


def _truth(array: pa.Array) -> pa.Array:
    return pc.if_else(array, "True", "False")


def _time(array: pa.Array) -> pa.Array:
    """ISO 8601, with as many digits of a second as there are."""
    texts = pc.replace_substring(array.cast(pa.string()), " ", "T", max_replacements=1)
    texts = pc.replace_substring_regex(texts, r"\.0+$", "")
    return pc.replace_substring_regex(texts, r"(\.[0-9]*[1-9])0+$", r"\1")


def _moment(array: pa.Array) -> pa.Array:
    if array.type.tz is None:
        return _time(array)
    return pc.binary_join_element_wise(_time(array.cast(pa.timestamp(array.type.unit))), "Z", "")


_CONVERTERS: Final[tuple[tuple[Callable[[Any], bool], Convert], ...]] = (
    (_is_text, _text),
    (pa.types.is_integer, lambda array: array),
    (pa.types.is_floating, _float),
    (pa.types.is_boolean, _truth),
    (pa.types.is_decimal, _decimal),
    (pa.types.is_date, _text),
    (pa.types.is_timestamp, _moment),
    (pa.types.is_time, _time),
    (pa.types.is_null, _text),
)


def _converter(type_: pa.DataType) -> Convert | None:
    if pa.types.is_dictionary(type_):
        type_ = type_.value_type
    return next((convert for is_of, convert in _CONVERTERS if is_of(type_)), None)
