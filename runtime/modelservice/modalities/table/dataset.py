"""What is learned from: a table after ``spec.data`` was applied to it."""

import difflib
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from modelservice.contract.data import Data
from modelservice.data.cells import quoted
from modelservice.data.columns import Column, NumericColumn, read_column
from modelservice.data.errors import DataError
from modelservice.data.preprocessing import MAX_CATEGORIES
from modelservice.data.split import Split, divide, row_digests
from modelservice.data.table import Table
from modelservice.data.target import FIELD as TARGET_FIELD
from modelservice.data.target import Target, read_target

FEATURES_FIELD = "spec.data.features"
_LISTED = 20


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """Feature columns and target of the rows that have a target, and their division.

    ``notes`` say in sentences what was left out.
    """

    columns: tuple[Column, ...]
    target: Target
    split: Split
    notes: tuple[str, ...]

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.target.codes)


def build_dataset(table: Table, data: Data) -> Dataset:
    """Choose, read and divide.

    Raises:
        DataError: the table does not hold what ``spec.data`` says, or nothing can be learned from it.
    """
    names = _feature_names(table, data)
    target = read_target(data.target, table.columns[data.target])
    rows = np.flatnonzero(target.codes >= 0)
    notes = list(table.notes)
    if dropped := table.rows - len(rows):
        notes.append(f"dropped {dropped} rows without a value in {target.name}")
    target = Target(name=target.name, codes=target.codes[rows], labels=target.labels)
    kept = pa.array(rows)
    columns, hashed = [], []
    for name in names:
        column = read_column(name, table.columns[name].take(kept), place=lambda row: table.place(int(rows[row])))
        reason = _useless(column)
        if reason is None:
            columns.append(column)
            _check_categories(column)
        else:
            notes.append(f"ignored column {name}: {reason}")
        if reason != _IDENTIFIER:
            # A constant column changes no comparison between rows now, and must not when appended rows make it vary.
            hashed.append(column)
    if not columns:
        raise DataError(
            "NoFeatures",
            f"no column is left to predict {target.name} from: add columns that vary",
            field=FEATURES_FIELD,
        )
    labels = [target.labels[code] for code in target.codes]
    split = divide(
        row_digests(hashed, labels, seed=data.split.seed),
        target.codes.tolist(),
        validation=data.split.validation,
        test=data.split.test,
    )
    notes += _check_split(split, target)
    return Dataset(columns=tuple(columns), target=target, split=split, notes=tuple(notes))


def _feature_names(table: Table, data: Data) -> tuple[str, ...]:
    if data.target not in table.columns:
        raise _not_found("TargetNotFound", data.target, table, TARGET_FIELD)
    for name in data.features:
        if name not in table.columns:
            raise _not_found("FeatureNotFound", name, table, FEATURES_FIELD)
    return tuple(dict.fromkeys(data.features)) or tuple(name for name in table.columns if name != data.target)


def _not_found(reason: str, name: str, table: Table, field: str) -> DataError:
    names = list(table.columns)
    listed = ", ".join(names[:_LISTED]) + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")
    message = f"the table has no column {quoted(name)}; it has {listed}"
    if len(names) == 1 and any(separator in names[0] for separator in ";\t|"):
        message += ": the columns of the file must be separated by commas"
    elif close := difflib.get_close_matches(name.lower(), [known.lower() for known in names], n=1):
        meant = next(known for known in names if known.lower() == close[0])
        message += f": did you mean {meant}?"
    else:
        message += f": name one of them in {field}"
    return DataError(reason, message, field=field)


_IDENTIFIER = "every value differs"


def _useless(column: Column) -> str | None:
    """Why nothing can be learned from a column, if so."""
    distinct = column.distinct
    present = _rows(column) - column.missing
    if distinct == 0:
        return "it is empty"
    if not isinstance(column, NumericColumn) and distinct == present and distinct > 1:
        return _IDENTIFIER
    if distinct == 1 and column.missing == 0:
        return "every value is the same"
    return None


def _rows(column: Column) -> int:
    return len(column.values) if isinstance(column, NumericColumn) else len(column.codes)


def _check_categories(column: Column) -> None:
    if not isinstance(column, NumericColumn) and column.distinct > MAX_CATEGORIES:
        raise DataError(
            "TooManyCategories",
            f"column {column.name} has {column.distinct} different texts, at most {MAX_CATEGORIES} can be told apart:"
            f" list the columns to use, without it, in {FEATURES_FIELD}",
            field=FEATURES_FIELD,
        )


def _check_split(split: Split, target: Target) -> list[str]:
    if not len(split.validation) or not len(split.test):
        raise DataError(
            "TooFewRows",
            "no class has three different rows, so none are left to choose and to test a model with: add rows",
        )
    absent = sorted(set(range(len(target.labels))) - set(target.codes[split.test].tolist()))
    return [f"class {target.labels[code]} is not tested: all its rows are equal" for code in absent]
