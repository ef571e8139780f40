"""Kinds of answers: classes and numbers. numpy only."""

from typing import Final

from modelservice.contract.documents import DocumentError
from modelservice.tasks.base import Task
from modelservice.tasks.binary import BINARY
from modelservice.tasks.multiclass import MULTICLASS
from modelservice.tasks.regression import REGRESSION

TASKS: Final[tuple[Task, ...]] = (BINARY, MULTICLASS, REGRESSION)
"""The first that suits a target is taken, so special ones stand first."""


def task_named(name: str) -> Task:
    """A task by its name in signature and manifest.

    Raises:
        DocumentError: this release does not know it.
    """
    for task in TASKS:
        if task.name == name:
            return task
    known = ", ".join(task.name for task in TASKS)
    raise DocumentError(f"task {name[:64]!r} is not known here, but {known}: use a newer release")
