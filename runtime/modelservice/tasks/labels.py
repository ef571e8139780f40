"""A target's texts as classes: which are one, which are missing, and in which order they stand."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelservice.cells import is_number_text, quoted
from modelservice.contract.failure import DataError
from modelservice.tasks.base import Target, TargetCells, TargetProfile

FIELD = "spec.data.target"
TASK_FIELD = "spec.task"
POSITIVE_FIELD = "spec.task.classification.positiveLabel"
MAX_CLASSES = 100
_TWO_CLASSES = 2
_SHOWN_CLASSES = 5
MIN_ROWS_OF_A_CLASS = 2
_SHOWN_MERGES = 3

_WHOLE = re.compile(r"(-?(?:0|[1-9][0-9]{0,999}))(?:\.0*)?", re.ASCII)
"""A whole number whose value is certain from its text; 0101, +1 and 1e3 may be codes, and so may 1,000 digits."""
_CODE = re.compile(r"[+-]?0[0-9]", re.ASCII)


def missing_codes(cells: TargetCells) -> frozenset[int]:
    """Codes of the texts that mean a missing value: NA and its kin, where all other texts are numbers."""
    words = frozenset(code for code, text in enumerate(cells.texts) if text.lower() in cells.words)
    others = len(cells.texts) - len(words)
    if not words or not others:
        return frozenset()
    numbers = all(is_number_text(text) for code, text in enumerate(cells.texts) if code not in words)
    return words if numbers else frozenset()


def profile_of(cells: TargetCells) -> TargetProfile:
    """What a target holds."""
    cells = cells.as_numbers()
    missing = missing_codes(cells)
    texts = [text for code, text in enumerate(cells.texts) if code not in missing]
    numeric = [is_number_text(text) and not _CODE.match(text) for text in texts]
    whole = bool(texts) and all(map(_is_whole, texts))
    return TargetProfile(
        name=cells.name,
        distinct=len({_whole_text(text) for text in texts} if whole else set(texts)),
        numbers=bool(texts) and all(numeric),
        whole=whole,
        mostly_numbers=_mostly_numbers(cells),
    )


def read_labels(cells: TargetCells) -> Target:
    """The target as class codes, in the order of numbers where all labels are numbers, of texts otherwise.

    Raises:
        DataError: there are too many or too few classes, too few rows of one, or they are measurements.
    """
    missing = missing_codes(cells)
    label_of, notes = _labels(cells.name, [text for code, text in enumerate(cells.texts) if code not in missing])
    labels = tuple(sorted(set(label_of.values()), key=_order(label_of.values())))
    code_of = {label: code for code, label in enumerate(labels)}
    lookup = np.array(
        [*(-1 if code in missing else code_of[label_of[text]] for code, text in enumerate(cells.texts)), -1],
        dtype=np.int64,
    )
    codes = lookup[cells.codes]
    _check_classes(cells, labels, np.bincount(codes[codes >= 0], minlength=len(labels)))
    return Target(name=cells.name, values=codes, present=codes >= 0, strata=codes, labels=labels, notes=notes)


def codes_among(cells: TargetCells, labels: Sequence[str]) -> NDArray[np.int64]:
    """Class codes of rows for which the classes are known, int64 [rows]; -1 is missing.

    Args:
        cells: the target, of any rows: not every class need be among them.
        labels: class labels by code.

    Raises:
        ValueError: a cell holds none of them; the message says where, and which there are.
    """
    code_of = {label: code for code, label in enumerate(labels)}
    whole, numbers = (all(map(tells, labels)) for tells in (_is_whole, is_number_text))
    lookup = np.full(len(cells.texts) + 1, -1, dtype=np.int64)
    for code, text in enumerate(cells.texts):
        if numbers and text.lower() in cells.words:
            continue
        label = _whole_text(text) if whole and _is_whole(text) else text
        if label not in code_of:
            place = cells.place(int(np.flatnonzero(cells.codes == code)[0]))
            known = ", ".join(map(quoted, labels[:_SHOWN_CLASSES])) + (" ..." if len(labels) > _SHOWN_CLASSES else "")
            message = (
                f"{place}, {cells.noun} {cells.name}: {quoted(text)} is no class of the model, which knows {known}"
            )
            raise ValueError(f"{message}: correct the cell, or leave the row out")
        lookup[code] = code_of[label]
    return np.asarray(lookup[cells.codes])


def with_positive(target: Target, label: str) -> Target:
    """The target of two classes with one of them as the second, as ``spec.task.classification.positiveLabel`` says.

    Raises:
        DataError: there is no such class, or there are not two.
    """
    if label not in target.labels or len(target.labels) != _TWO_CLASSES:
        found = f"{target.name} has the classes {', '.join(map(quoted, target.labels[:_SHOWN_CLASSES]))}"
        more = f" and {len(target.labels) - _SHOWN_CLASSES} more" if len(target.labels) > _SHOWN_CLASSES else ""
        remedy = (
            f"write one of them in {POSITIVE_FIELD}"
            if len(target.labels) == _TWO_CLASSES
            else f"leave {POSITIVE_FIELD} out, which is for two classes"
        )
        raise DataError(
            "NotAPositiveLabel",
            f"{found}{more}, and {quoted(label)} is to be the positive one: {remedy}",
            field=POSITIVE_FIELD,
        )
    if target.labels[1] == label:
        return target
    codes = np.where(target.values < 0, target.values, 1 - target.values)
    return replace(target, values=codes, strata=codes, labels=target.labels[::-1])


def _labels(name: str, texts: list[str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """The label of each text, and notes about texts that are another's label."""
    if not all(map(_is_whole, texts)):
        return {text: text for text in texts}, ()
    label_of = {text: _whole_text(text) for text in texts}
    changed = [f"{text} as {label}" for text, label in label_of.items() if text != label]
    if not changed:
        return label_of, ()
    more = f" and {len(changed) - _SHOWN_MERGES} more" if len(changed) > _SHOWN_MERGES else ""
    return label_of, (f"labels of {name} are whole numbers: read {', '.join(changed[:_SHOWN_MERGES])}{more}",)


def _is_whole(text: str) -> bool:
    return _WHOLE.fullmatch(text) is not None


def _whole_text(text: str) -> str:
    matched = _WHOLE.fullmatch(text)
    assert matched is not None  # noqa: S101 - callers looked
    return "0" if matched[1] == "-0" else matched[1]


def _order(labels: Iterable[str]) -> Callable[[str], Any]:
    known = list(labels)
    if all(map(_is_whole, known)):
        return int
    if all(is_number_text(label) and not _CODE.match(label) for label in known):
        return lambda label: (float(label), label)
    return str


def _mostly_numbers(cells: TargetCells) -> bool:
    counts = np.bincount(cells.codes[cells.codes >= 0], minlength=len(cells.texts))
    numbers = sum(int(count) for text, count in zip(cells.texts, counts, strict=True) if is_number_text(text))
    return numbers > 0 and 2 * numbers >= int(counts.sum())


def _check_classes(cells: TargetCells, labels: tuple[str, ...], rows: NDArray[np.int64]) -> None:
    what = f"{cells.noun} {cells.name}"
    if not labels:
        raise DataError("EmptyTarget", f"{what} is empty in every row: fill in the classes", field=FIELD)
    if len(labels) == 1:
        raise DataError(
            "SingleClass",
            f"{what} holds only the class {quoted(labels[0])}, so there is nothing to tell apart: add rows of other"
            " classes",
            field=FIELD,
        )
    smallest = int(rows.argmin())
    if len(labels) <= MAX_CLASSES and rows[smallest] >= MIN_ROWS_OF_A_CLASS:
        return
    numbers = all(map(is_number_text, labels))
    measured = next((label for label in labels if not _is_whole(label)), None) if numbers else None
    if measured is not None:
        raise DataError(
            "ContinuousTarget",
            f"{what} holds measurements such as {measured}, which are no classes: set {TASK_FIELD} to regression, or"
            " replace the numbers by classes such as low and high",
            field=TASK_FIELD,
        )
    way_out = f", or set {TASK_FIELD} to regression to predict the number itself" if numbers else ""
    if len(labels) > MAX_CLASSES:
        raise DataError(
            "TooManyClasses",
            f"{what} has {len(labels)} different values, and at most {MAX_CLASSES} classes can be predicted: name a"
            f" {cells.noun} of classes{way_out}",
            field=FIELD,
        )
    raise DataError(
        "ClassTooSmall",
        f"{what} has the class {quoted(labels[smallest])} in one row only, and one to learn from and one to test with"
        f" are needed: add rows of it, remove it, or name another {cells.noun}{way_out}",
        field=FIELD,
    )
