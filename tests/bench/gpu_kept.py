"""What the bench of a GPU measured so far: it goes on where it was stopped, and its table is made where no GPU is.

What is missing there is left out of the table, and said.
"""

import json
import re
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.bench.record import Figure


class NotMeasuredError(Exception):
    """Something is missing, and there is no GPU to measure it."""


class Kept:
    """A folder of JSON files, one for each measurement."""

    def __init__(self, folder: Path, *, measures: bool) -> None:
        """Args: the folder, which need not be there; whether what is missing can be measured."""
        self._folder, self.measures = folder, measures

    def __call__(self, name: str, work: Callable[[], Any]) -> Any:
        """What some work came to, as JSON has it; it is done where that is not known.

        Raises:
            NotMeasuredError: it would have to be, and cannot.
        """
        place = self._folder / f"{re.sub(r'[^A-Za-z0-9]+', '-', name)}.json"
        if not place.exists():
            if not self.measures:
                raise NotMeasuredError(name)
            found = json.dumps(work())
            sys.stderr.write(f"{name}: {found}\n")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(found, encoding="utf-8")
        return json.loads(place.read_text(encoding="utf-8"))

    def figures(self, name: str, work: Callable[[], list[Figure]]) -> list[Figure]:
        """Figures that are kept themselves, none where they are not known and cannot be measured."""
        return self.made(name, lambda: [Figure(**one) for one in self(name, lambda: [asdict(one) for one in work()])])

    def made(self, name: str, work: Callable[[], list[Figure]]) -> list[Figure]:
        """Figures made of what is kept, none where a part of that is not known and cannot be measured."""
        try:
            return work()
        except NotMeasuredError:
            sys.stderr.write(f"not measured, and left out: {name}\n")
            return []
