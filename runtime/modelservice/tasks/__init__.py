"""Kinds of answers: classes, numbers, and whatever a packed model gives. numpy only."""

from typing import Final

from modelservice.contract.documents import DocumentError
from modelservice.contract.signature import Signature
from modelservice.tasks.base import ServedTask, Task
from modelservice.tasks.binary import BINARY
from modelservice.tasks.multiclass import MULTICLASS
from modelservice.tasks.regression import REGRESSION
from modelservice.tasks.tensors import TENSORS
from modelservice.tasks.threshold import BINARY_THRESHOLD

TASKS: Final[tuple[Task, ...]] = (BINARY, BINARY_THRESHOLD, MULTICLASS, REGRESSION)
"""The first that suits a target is taken, so special ones stand first."""
SERVED: Final[tuple[ServedTask, ...]] = (TENSORS,)
"""What can be served beside these, though not learned."""
_TWO_CLASSES: Final = frozenset({BINARY.name, BINARY_THRESHOLD.name})


def answer_alike(one: str, other: str) -> bool:
    """Whether models of two tasks, by name, say the same of a row: a threshold is a setting of two classes."""
    return one == other or {one, other} <= _TWO_CLASSES


def served_task_of(signature: Signature) -> ServedTask:
    """The task of a model that is served, with what its signature says of the outputs.

    Raises:
        DocumentError: this release does not know it.
    """
    for task in SERVED:
        if task.name == signature.task:
            return task.of_outputs(signature.outputs)
    return task_of(signature)


def task_of(signature: Signature) -> Task:
    """The task that a model learned, with what its signature says of the outputs.

    Raises:
        DocumentError: this release does not know it.
    """
    return task_named(signature.task).of_outputs(signature.outputs)


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
