"""Documents typed into a shell, from top to bottom, in a folder that looks like a checkout of the repository."""

import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support.cluster import cluster_environment, kubectl
from tests.support.documents import Command, File
from tests.support.helm import ROOT
from tests.support.tables import IRIS

CHECKOUT = ("charts", "docs", "manifests", "tests")
"""What commands of documents name of the repository."""
_MARK = "--- next"
_END = "END OF FILE"
_LEAVE = "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT"
"""What stays in the background ends with the shell."""


@dataclass(frozen=True, kw_only=True)
class Shell:
    """Somebody's terminal: a folder, and what the environment has."""

    folder: Path
    environment: Mapping[str, str]

    def type(
        self, steps: Iterable[Command | File], *, instead: Mapping[str, str], timeout: float = 600
    ) -> dict[str, str]:
        """Type commands in order into one shell, which ends with the first that fails.

        Args:
            steps: commands, and files that are written where they stand.
            instead: what is put in the place of what documents leave open, such as names of hosts; each is found.
            timeout: seconds, of all together.

        Returns:
            what each command printed on stdout, by its words in the document.

        Raises:
            AssertionError: a command failed, or something to be replaced is nowhere.
        """
        steps = tuple(steps)
        text = "\n".join(step.text if isinstance(step, Command) else step.content for step in steps)
        assert [old for old in instead if old not in text] == []
        commands = [step for step in steps if isinstance(step, Command)]
        done = subprocess.run(
            ["bash", "-euc", "\n".join([_LEAVE, *(_typed(step, instead) for step in steps)])],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        answers = done.stdout.split(f"{_MARK}\n")[1:]
        at = commands[max(len(answers) - 1, 0)]
        assert done.returncode == 0, f"{at.page}:{at.line}: {at.text}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        return {command.text: answer for command, answer in zip(commands, answers, strict=True)}


@contextmanager
def checkout(**more: str) -> Iterator[Shell]:
    """A shell in a new folder with what documents name of the repository; ``more`` is of its environment."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{more.pop('PATH', os.environ['PATH'])}"
    with TemporaryDirectory() as folder:
        for name in CHECKOUT:
            (Path(folder) / name).symlink_to(ROOT / name)
        environment = {**os.environ, **more, "PATH": path, "COLUMNS": "200"}
        yield Shell(folder=Path(folder), environment=environment)


@contextmanager
def terminal(kubeconfig: Path, namespace: str, **more: str) -> Iterator[Shell]:
    """Such a shell with tables, and a kubeconfig of its own that stands on a namespace."""
    with checkout(**{**cluster_environment(), **more}) as shell:
        own = shell.folder / "kubeconfig"
        own.touch(mode=0o600)
        own.write_bytes(kubeconfig.read_bytes())
        placed = kubectl("config", "set-context", "--current", f"--namespace={namespace}", kubeconfig=own)
        assert placed.returncode == 0, placed.stderr
        for name, target in (("iris.csv", "species"), ("churn.csv", "churned")):
            (shell.folder / name).write_text(IRIS.replace("species", target), encoding="utf-8")
        yield Shell(folder=shell.folder, environment={**shell.environment, "KUBECONFIG": str(own)})


def without_comment(command: str) -> str:
    """A command without what is said about it."""
    return re.sub(r"\s+# .*$", "", command)


def _typed(step: Command | File, instead: Mapping[str, str]) -> str:
    text = step.content if isinstance(step, File) else step.text
    for old, new in instead.items():
        text = text.replace(old, new)
    if isinstance(step, File):
        return f"cat > {step.name} <<'{_END}'\n{text.rstrip()}\n{_END}"
    return f"echo '{_MARK}'\n{text}"
