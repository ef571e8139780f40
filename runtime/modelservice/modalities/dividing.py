"""Which rows learn, choose and test: by their content or by a column, and whether that leaves enough on each side."""

import numpy as np
from numpy.typing import NDArray

from modelservice.cells import quoted
from modelservice.contract.failure import DataError
from modelservice.contract.split import Split as Shares
from modelservice.modalities.split import SIDES_OF_FILES, TRAIN, Split, divide
from modelservice.modalities.split_columns import SPLIT_FIELD, ColumnSplit, Deciding, divide_by_column, said_of_sides
from modelservice.tasks.base import Target


def divide_target(
    target: Target,
    digests: list[bytes],
    shares: Shares,
    *,
    by: tuple[ColumnSplit, Deciding] | None,
    given: NDArray[np.int8] | None = None,
) -> tuple[Split, tuple[str, ...]]:
    """Divide rows that have a target.

    Args:
        target: of these rows.
        digests: what identifies each row's content, its target included.
        shares: ``spec.data.split``.
        by: the split that a column decides, and the column; None where each row's content decides.
        given: of each row the side of its file, ``TRAIN`` where content decides; None where no side has files.

    Returns:
        The sides, and sentences about what they are and what they cannot promise.

    Raises:
        DataError: a side has no rows, or nothing can be learned from the training rows.
    """
    if given is not None:
        split, said = _by_files(given, digests, target, shares)
    elif by is not None:
        split, said = _by_column(*by, digests, target, shares)
    else:
        split, said = _by_content(digests, target, shares)
    check_training(split, target)
    return split, said


def _by_content(digests: list[bytes], target: Target, shares: Shares) -> tuple[Split, tuple[str, ...]]:
    """The split by hashes of rows, and sentences about classes that it cannot test."""
    split = divide(digests, target.strata.tolist(), **shares.shares)
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
    return split, (said, *untested_notes(split, target), *_copied(split, digests))


def _by_files(
    given: NDArray[np.int8], digests: list[bytes], target: Target, shares: Shares
) -> tuple[Split, tuple[str, ...]]:
    """The split by files; rows of a side without files are chosen by their hash, among those of no side."""
    chosen = np.flatnonzero(given == TRAIN)
    split = divide([digests[row] for row in chosen], target.strata[chosen].tolist(), **shares.shares)
    sides = {side: chosen[getattr(split, side)] for side in SIDES_OF_FILES if side not in shares.given_files}
    sides |= {side: np.flatnonzero(given == SIDES_OF_FILES[side]) for side in shares.given_files}
    split = Split(train=chosen[split.train], **sides)
    said = check_files((len(split.train), len(split.validation), len(split.test)), target, shares)
    return split, (said, *untested_notes(split, target), *_copied(split, digests))


def check_files(rows: tuple[int, int, int], target: Target, shares: Shares) -> str:
    """What is said of so many rows of training, validation and test, of which at least one side has files.

    Raises:
        DataError: a side has no rows.
    """
    for side, count in zip(("train", *SIDES_OF_FILES), rows, strict=True):
        if not count and side in shares.given_files:
            message = f"no row of {shares.given_files[side]} has a value in {target.name}: fill in some, or name others"
            raise DataError("SideEmpty", message, field=f"{SPLIT_FIELD}.files.{side}")
        if not count:
            message = f"the files of training leave no rows for {side}: add rows to them"
            raise DataError("SideEmpty", message, field=f"{SPLIT_FIELD}.files")
    return f"split by files: {said_of_sides(rows)}"


def untested_notes(split: Split, target: Target) -> tuple[str, ...]:
    """Sentences about classes that no test row has."""
    return tuple(f"class {label} is not tested: no test row has it" for label in _absent(target, split.test))


def _copied(split: Split, digests: list[bytes]) -> tuple[str, ...]:
    learned = {digests[row] for row in (*split.train, *split.validation)}
    return copied_note(sum(digests[row] in learned for row in split.test))


def copied_note(copies: int, *, exact: bool = True) -> tuple[str, ...]:
    """What is said of test rows that equal rows of training or validation, if there are any."""
    about = "" if exact else "about "
    return (f"{about}{copies} test rows equal rows that were learned from",) if copies else ()


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
