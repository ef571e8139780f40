"""mypy, with what it learned in any checkout: a file that has the content that it had there is not checked again.

In a clean checkout it would take a minute and a half for files that did not change. What it learned is in the user's
cache folder, for one at a time, since two that write there at once spoil it: who finds another one there begins with
what the checkout itself has.
"""

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.cluster.paths import CACHE, ROOT

CACHE_ENV = "MYPY_CACHE_DIR"


@contextmanager
def cache_of(common: Path) -> Iterator[Path | None]:
    """The folder of all checkouts, until the block ends; None while another one has it."""
    common.mkdir(parents=True, exist_ok=True)
    with (common / "lock").open("w") as lock:
        os.set_inheritable(lock.fileno(), True)  # mypy has it until it ends, also where what began it was killed
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
        else:
            yield common


def check(arguments: Sequence[str], *, common: Path = CACHE / "mypy") -> int:
    """Run mypy; a folder that ``MYPY_CACHE_DIR`` names is the caller's own affair."""
    command = [str(Path(sys.executable).parent / "mypy"), *arguments]
    if CACHE_ENV in os.environ:
        return subprocess.run(command, cwd=ROOT, check=False).returncode
    with cache_of(common) as folder:
        environment = {**os.environ, **({} if folder is None else {CACHE_ENV: str(folder)})}
        return subprocess.run(command, cwd=ROOT, env=environment, check=False, close_fds=False).returncode


if __name__ == "__main__":
    sys.exit(check(sys.argv[1:]))
