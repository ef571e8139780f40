"""What commands print on a terminal: JSON for programs, tables as kubectl has them, and how far a transfer is."""

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TextIO

from modelservice.contract.exit_codes import ExitCode

SHOWN_AFTER: Final = 2.0
"""Seconds after which a transfer shows how far it is: a shorter one is over before anybody reads it."""


def print_json(value: Any) -> int:
    """A value as JSON."""
    sys.stdout.write(json.dumps(value, indent=1, ensure_ascii=False) + "\n")
    return ExitCode.DONE


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, empty: str) -> int:
    """As kubectl prints tables; ``empty`` is said where there are no rows."""
    if not rows:
        sys.stderr.write(f"{empty}\n")
        return ExitCode.DONE
    widths = [max(len(row[place]) for row in (header, *rows)) for place in range(len(header))]
    for row in (header, *rows):
        line = "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        sys.stdout.write(f"{line.rstrip()}\n")
    return ExitCode.DONE


@contextmanager
def transfer(
    what: str, *, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
) -> Iterator[Callable[[int, int], None]]:
    """A bar of a transfer that takes more than ``SHOWN_AFTER`` seconds; nothing where nobody looks.

    Args:
        what: is transferred.
        stream: that people look at; None for stderr.
        clock: monotonic seconds.

    Yields:
        What is told how many bytes have come, and of how many.
    """
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn  # noqa: PLC0415

    console = Console(file=stream or sys.stderr)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    task, since = bar.add_task(what, total=None), clock()

    def told(done: int, total: int) -> None:
        bar.update(task, completed=done, total=total or None)
        if not bar.live.is_started and clock() - since > SHOWN_AFTER:
            bar.start()

    try:
        yield told
    finally:
        bar.stop()
