"""Which task a target is for: the one that ``spec.task`` asks for, or the one that its values suggest."""

from modelservice import tasks
from modelservice.contract.task import Task as AskedTask
from modelservice.tasks.base import TargetCells, Task
from modelservice.tasks.labels import profile_of


def choose_task(asked: AskedTask | None, cells: TargetCells) -> tuple[Task, tuple[str, ...]]:
    """Choose a task for a target.

    Args:
        asked: ``spec.task``, or None to infer the task.
        cells: the target.

    Returns:
        The task, and sentences that say what was inferred. Where no member suits what was asked for, the last of that
        choice is given, whose ``read`` says what is wrong with the target.
    """
    profile = profile_of(cells)
    members = [task for task in tasks.TASKS if asked is None or task.choice == asked.choice]
    for task in members:
        reason = task.suits(profile, asked=asked is not None)
        if reason is not None:
            return task, () if asked is not None else (f"task: {task.choice}, since {reason}",)
    return members[-1], ()
