"""What mypy learned is lent to one at a time."""

import subprocess
import sys
from pathlib import Path

from tests.support.typecheck import cache_of


def test_who_comes_second_does_not_wait_and_has_it_later(tmp_path: Path) -> None:
    with cache_of(tmp_path) as first, cache_of(tmp_path) as second:
        assert (first, second) == (tmp_path, None)
    with cache_of(tmp_path) as again:
        assert again == tmp_path


def test_what_a_killed_one_left_running_has_it_until_its_end(tmp_path: Path) -> None:
    with cache_of(tmp_path):
        left = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False)
    with cache_of(tmp_path) as second:
        assert second is None
    left.communicate(b"\n")
    with cache_of(tmp_path) as third:
        assert third == tmp_path
