"""Hundreds of small cases in one test: pytest spends more on an item than each of them takes."""

from collections.abc import Callable, Iterable
from typing import TypeVar

import pytest

T = TypeVar("T")


def check_each(cases: Iterable[T], check: Callable[[T], object], *, name: Callable[[T], object] = str) -> None:
    """Check all cases, and fail at the end with the name and the error of each that failed.

    Raises:
        AssertionError: some failed, or there are none.
    """
    failed, given = list[str](), list(cases)
    assert given, "there is nothing to check"
    for case in given:
        try:
            check(case)
        except (Exception, pytest.fail.Exception) as error:  # what pytest.raises misses is no Exception
            failed.append(f"{name(case)}: {type(error).__name__}: {error}")
    assert not failed, "\n".join([f"{len(failed)} of {len(given)} failed", *failed])
