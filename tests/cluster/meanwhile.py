"""A command beside others: its output is shown in one piece, as soon as it has ended."""

import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence

from tests.cluster.paths import ROOT
from tests.cluster.shell import console


class Meanwhile:
    """A command of the project that has begun."""

    def __init__(self, command: Sequence[str]) -> None:
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed once it is shown
        self._process = subprocess.Popen(
            command, stdout=self._said, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd=ROOT
        )
        self._showing = threading.Thread(target=self._show, name="shows what was said meanwhile")
        self._showing.start()

    @property
    def is_well(self) -> bool:
        """Whether it has not failed so far."""
        return self._process.poll() in {None, 0}

    def end(self) -> int:
        """Wait until it has ended and was shown; return its exit code."""
        self._showing.join()
        return self._process.wait()

    def _show(self) -> None:
        self._process.wait()
        with self._said:
            self._said.seek(0)
            said = self._said.read().decode(errors="replace")
        console.rule("meanwhile", align="left")
        sys.stderr.write(said)
        console.rule("no longer meanwhile", align="left")
