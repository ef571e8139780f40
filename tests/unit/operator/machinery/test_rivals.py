"""Releases over the same namespaces: overlap, signs of life, and waiting until a rival is gone."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from tests.support.fake_clock import FakeClock, settle

from modelservice_operator.machinery.errors import Forbidden, KubeError
from modelservice_operator.machinery.rivals import (
    ALL,
    FORGOTTEN_SECONDS,
    HANDOVER_SECONDS,
    LOOK_SECONDS,
    SILENCE_SECONDS,
    Release,
    Rivals,
    Scope,
    Sighting,
    is_alive,
    overlap,
    sighting,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
EVERYWHERE: Scope = frozenset()


def scope(*names: str) -> Scope:
    return frozenset(names)


def rival(namespace: str = "other", *, holder: str = "pod", of: Scope = EVERYWHERE, version: str = "1") -> Release:
    return Release(namespace=namespace, version=version, holder=holder, renewed=NOW, account="operator", scope=of)


class Board:
    """The Leases of all releases; ``honest`` are the releases whose ServiceAccount has the rights that they say."""

    def __init__(self, *releases: Release) -> None:
        self.releases = {one.namespace: one for one in releases}
        self.honest = {one.namespace for one in releases}
        self.asked: list[tuple[str, str]] = []
        self.error: KubeError | None = None
        self.looks = 0

    async def list(self) -> Sequence[Release]:
        self.looks += 1
        if self.error is not None:
            raise self.error
        return list(self.releases.values())

    async def proven(self, release: Release, namespace: str) -> bool:
        self.asked.append((release.namespace, namespace))
        return release.namespace in self.honest

    def put(self, made: Release) -> None:
        """A Lease as it is written: under a new version."""
        before = self.releases.get(made.namespace)
        version = "1" if before is None else str(int(before.version) + 1)
        self.releases[made.namespace] = replace(made, version=version)
        self.honest.add(made.namespace)


def rivals_of(board: Board, clock: FakeClock, *, namespace: str = "own", of: Scope = EVERYWHERE) -> Rivals:
    return Rivals(releases=board, namespace=namespace, scope=of, clock=clock, jitter=lambda seconds: seconds)


def alone(clock: FakeClock) -> Rivals:
    """A release that has the cluster for itself."""
    return rivals_of(Board(), clock)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.mark.parametrize(
    ("ours", "theirs", "common"),
    [
        (EVERYWHERE, EVERYWHERE, (ALL,)),
        (EVERYWHERE, scope("b", "a"), ("a", "b")),
        (scope("b", "a"), EVERYWHERE, ("a", "b")),
        (scope("a", "b"), scope("b", "c"), ("b",)),
        (scope("a"), scope("b"), ()),
    ],
)
def test_what_two_releases_have_in_common(ours: Scope, theirs: Scope, common: tuple[str, ...]) -> None:
    assert overlap(ours, theirs) == common


@pytest.mark.parametrize(
    ("holder", "held", "unchanged", "alive"),
    [
        ("pod", True, 0, True),
        ("pod", True, SILENCE_SECONDS - 1, True),
        ("pod", True, SILENCE_SECONDS, False),
        ("", False, 0, False),
        ("", True, HANDOVER_SECONDS - 1, True),
        ("", True, HANDOVER_SECONDS, False),
    ],
)
def test_signs_of_life(holder: str, held: bool, unchanged: float, alive: bool) -> None:
    seen = Sighting(version="1", since=100, held=held)
    assert is_alive(rival(holder=holder), seen, monotonic=100 + unchanged, now=NOW) is alive


@pytest.mark.parametrize(
    ("age", "alive"), [(-FORGOTTEN_SECONDS, True), (FORGOTTEN_SECONDS, True), (FORGOTTEN_SECONDS + 1, False)]
)
def test_clocks_may_differ_but_not_by_an_hour(age: float, alive: bool) -> None:
    seen = Sighting(version="1", since=100, held=True)
    assert is_alive(rival(), seen, monotonic=100, now=NOW + timedelta(seconds=age)) is alive


def test_a_lease_that_was_never_renewed_is_no_sign_of_life() -> None:
    seen = Sighting(version="1", since=100, held=True)
    assert not is_alive(replace(rival(), renewed=None), seen, monotonic=100, now=NOW)


def test_a_new_version_is_a_new_sign_of_life_and_a_holder_is_remembered() -> None:
    first = sighting(rival(), None, 100)
    assert first == Sighting(version="1", since=100, held=True)
    assert sighting(rival(), first, 130) == first
    assert sighting(rival(holder="", version="2"), first, 130) == Sighting(version="2", since=130, held=True)
    assert sighting(rival(holder=""), None, 100) == Sighting(version="1", since=100, held=False)


async def test_a_rival_is_named_with_what_is_in_common_and_what_to_do(clock: FakeClock) -> None:
    board = Board(rival("team-ops", of=scope("a", "b", "c", "d", "e")))
    rivals = rivals_of(board, clock)
    assert not await rivals.look()
    assert rivals.problem == (
        "the release in namespace team-ops already works in namespaces a, b, c and 2 more, where the one in namespace"
        " own is to work too: uninstall one of the two, or set watch.namespaces of both so that they have none in"
        " common"
    )
    everywhere = rivals_of(Board(rival()), clock)
    assert not await everywhere.look()
    assert "already works in all namespaces, where" in str(everywhere.problem)
    board.releases.clear()
    assert await rivals.look()
    assert rivals.problem is None


async def test_neither_ones_own_lease_nor_that_of_other_namespaces_is_a_rivals(clock: FakeClock) -> None:
    board = Board(rival("own"), rival("other", of=scope("c")))
    assert await rivals_of(board, clock, of=scope("a", "b")).look()
    assert board.asked == []


async def test_a_lease_that_somebody_forged_stops_nobody(clock: FakeClock) -> None:
    board = Board(rival("tenant"))
    board.honest.clear()
    assert await rivals_of(board, clock).look()
    assert board.asked == [("tenant", ALL)]


async def test_however_many_namespaces_a_lease_names_one_question_is_asked(clock: FakeClock) -> None:
    board = Board(rival("tenant", of=scope(*(f"n{number:03}" for number in range(1000)))))
    board.honest.clear()
    assert await rivals_of(board, clock).look()
    assert board.asked == [("tenant", "n000")]


async def test_what_cannot_be_seen_counts_as_a_rival(clock: FakeClock) -> None:
    board = Board()
    board.error = Forbidden("leases is forbidden")
    rivals = rivals_of(board, clock)
    assert not await rivals.look()
    assert rivals.problem == (
        "it cannot be seen whether another release works in the same namespaces: leases is forbidden"
    )


async def test_it_waits_as_long_as_the_rival_shows_life(clock: FakeClock) -> None:
    board = Board(rival())
    rivals = rivals_of(board, clock)
    waiting = asyncio.create_task(rivals.wait_until_none(asyncio.Event()))
    for _ in range(30):
        await clock.advance(LOOK_SECONDS)
        board.put(rival())
    assert not waiting.done()
    await clock.advance(SILENCE_SECONDS - LOOK_SECONDS)
    assert not waiting.done(), "its only pod may be on the way"
    await clock.advance(2 * LOOK_SECONDS)
    assert await waiting
    assert board.looks < 50


async def test_a_rivals_upgrade_is_no_chance(clock: FakeClock) -> None:
    board = Board(rival())
    waiting = asyncio.create_task(rivals_of(board, clock).wait_until_none(asyncio.Event()))
    await settle()
    board.put(rival(holder=""))
    await clock.advance(LOOK_SECONDS)
    board.put(rival(holder="the next pod"))
    await clock.advance(3 * LOOK_SECONDS)
    assert not waiting.done()
    board.put(rival(holder=""))
    await clock.advance(HANDOVER_SECONDS + 2 * LOOK_SECONDS)
    assert await waiting


async def test_what_was_released_before_the_first_look_delays_nothing(clock: FakeClock) -> None:
    assert await rivals_of(Board(rival(holder="")), clock).look()


async def test_a_stop_ends_the_waiting(clock: FakeClock) -> None:
    stop = asyncio.Event()
    waiting = asyncio.create_task(rivals_of(Board(rival()), clock).wait_until_none(stop))
    await settle()
    stop.set()
    assert await waiting is False
