"""What mypy learned is lent to one at a time."""

from pathlib import Path

from tests.support.typecheck import cache_of


def test_who_comes_second_does_not_wait_and_has_it_later(tmp_path: Path) -> None:
    with cache_of(tmp_path) as first, cache_of(tmp_path) as second:
        assert (first, second) == (tmp_path, None)
    with cache_of(tmp_path) as again:
        assert again == tmp_path
