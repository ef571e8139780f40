"""A large object in parts: in order whatever comes first, few at a time, and no more of them than are wanted."""

import threading

import pytest

from modelservice.artifact import download
from modelservice.artifact.download import REQUESTS, in_parts

CONTENT = bytes(range(250)) * 4


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "PART_BYTES", 10)


class Source:
    """Gives parts, of each two the second one first if ``crosswise``; counts those under way."""

    def __init__(self, *, crosswise: bool = False, broken: frozenset[int] = frozenset()) -> None:
        self.asked: list[tuple[int, int]] = []
        self.most = 0
        self._crosswise = crosswise
        self._broken = broken
        self._given = {begin: threading.Event() for begin in range(0, 1_100, 10)}
        self._under_way = 0
        self._lock = threading.Lock()

    def __call__(self, begin: int, end: int) -> bytes:
        with self._lock:
            self.asked.append((begin, end))
            self._under_way += 1
            self.most = max(self.most, self._under_way)
        if self._crosswise and begin % 20 == 0 and begin + 10 < len(CONTENT):
            assert self._given[begin + 10].wait(timeout=60)
        self._given[begin].set()
        with self._lock:
            self._under_way -= 1
        if begin in self._broken:
            raise OSError(f"part at {begin}")
        return CONTENT[begin:end]


@pytest.mark.parametrize("begin", [0, 970, 990, 1_000])
def test_parts_come_in_order_and_several_at_a_time(begin: int) -> None:
    source = Source(crosswise=True)
    assert b"".join(in_parts(source, begin=begin, size=1_000)) == CONTENT[begin:]
    assert source.most <= REQUESTS
    assert begin > 0 or source.most > 1
    assert sorted(source.asked) == [(at, at + 10) for at in range(begin, 1_000, 10)]


def test_of_two_errors_the_earlier_part_s_is_raised_and_the_rest_left() -> None:
    source = Source(broken=frozenset({20, 30}))
    with pytest.raises(OSError, match="part at 20"):
        list(in_parts(source, begin=0, size=1_000))
    assert len(source.asked) <= 3 + REQUESTS


def test_who_has_enough_ends_it() -> None:
    source = Source()
    pieces = in_parts(source, begin=0, size=995)
    assert next(pieces) == CONTENT[:10]
    pieces.close()  # type: ignore[attr-defined]
    assert len(source.asked) <= 1 + REQUESTS
