"""Which rows learn, choose and test: by their content or by a column, and whether that leaves enough on each side."""

import numpy as np
from numpy.typing import NDArray

from modelservice.cells import quoted
from modelservice.contract.data import Split as Shares
from modelservice.contract.failure import DataError
from modelservice.modalities.split import Split, divide
from modelservice.modalities.split_columns import ColumnSplit, Deciding, divide_by_column
from modelservice.tasks.base import Target


def divide_target(
    target: Target, digests: list[bytes], shares: Shares, *, by: tuple[ColumnSplit, Deciding] | None
) -> tuple[Split, tuple[str, ...]]:
    """Divide rows that have a target.

    Args:
        target: of these rows.
        digests: what identifies each row's content, its target included.
        shares: ``spec.data.split``.
        by: the split that a column decides, and the column; None where each row's content decides.

    Returns:
        The sides, and sentences about what they are and what they cannot promise.

    Raises:
        DataError: a side has no rows, or nothing can be learned from the training rows.
    """
    split, said = _by_content(digests, target, shares) if by is None else _by_column(*by, digests, target, shares)
    check_training(split, target)
    return split, said


def _by_content(digests: list[bytes], target: Target, shares: Shares) -> tuple[Split, tuple[str, ...]]:
    """The split by hashes of rows, and sentences about classes that it cannot test."""
    split = divide(digests, target.strata.tolist(), validation=shares.validation, test=shares.test)
    return split, check_tested(split, target)


def check_tested(split: Split, target: Target) -> tuple[str, ...]:
    """Sentences about classes that a split by hashes of rows cannot test.

    Raises:
        DataError: a side has no rows.
    """
    if not len(split.validation) or not len(split.test):
        few = "no class has three different rows" if target.labels else "there are no three different rows"
        raise DataError("TooFewRows", f"{few}, so none are left to choose and to test a model with: add rows")
    untested = _absent(target, split.test)
    return tuple(f"class {label} is not tested: all its rows are equal" for label in untested)


def _by_column(
    chosen: ColumnSplit, deciding: Deciding, digests: list[bytes], target: Target, shares: Shares
) -> tuple[Split, tuple[str, ...]]:
    """The split by a column, and sentences about what it is and what it cannot promise."""
    split, said = divide_by_column(chosen, deciding, target.strata, shares)
    untested = (f"class {label} is not tested: no test row has it" for label in _absent(target, split.test))
    learned = {digests[row] for row in (*split.train, *split.validation)}
    copies = sum(digests[row] in learned for row in split.test)
    copied = (f"{copies} test rows equal rows that were learned from",) if copies else ()
    return split, (said, *untested, *copied)


def _absent(target: Target, rows: NDArray[np.int64]) -> list[str]:
    """Labels of the classes that none of some rows has."""
    present = set(target.values[rows].tolist())
    return [label for code, label in enumerate(target.labels) if code not in present]


def check_training(split: Split, target: Target) -> None:
    """Refuse training rows from which nothing, or less than all, can be learned.

    Raises:
        DataError: they all have one value, or a class has none of them.
    """
    train = target.values[split.train]
    if (train == train[0]).all():
        message = f"all training rows have the same value of {target.name}, so there is nothing to learn: add rows"
        raise DataError("SingleValue", message)
    if unknown := _absent(target, split.train):
        message = f"no training row has the class {quoted(unknown[0])}, so it cannot be learned"
        raise DataError("ClassUntrained", f"{message}: add rows of it, remove it, or divide the rows in another way")
