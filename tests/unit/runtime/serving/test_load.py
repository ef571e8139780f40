"""What an autoscaler goes by: how many requests there are at a time, and how long each waits."""

import pytest

from modelservice.serving.load import WINDOW, Load


class Time:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def busy(load: Load, time: Time, *, seconds: float, at_once: int, each: float, waits: float) -> None:
    """So many requests at a time, each of which takes so long, of which it waits a part, one round after the other."""
    for _ in range(round(seconds / each)):
        begun = [load.begin() for _ in range(at_once)]
        time.now += waits
        load.take(begun, time.now)
        time.now += each - waits
        for _ in begun:
            load.end()


def test_nothing_is_nothing() -> None:
    time = Time()
    load = Load(time)
    assert (load.requests_in_flight, load.wait_seconds) == (0, 0)
    time.now += 100
    assert (load.requests_in_flight, load.wait_seconds) == (0, 0)


@pytest.mark.parametrize(("at_once", "each", "waits"), [(1, 0.01, 0.0), (8, 0.05, 0.03), (3, 4.0, 1.0)])
def test_a_steady_load_is_what_it_is_whenever_it_is_asked(at_once: int, each: float, waits: float) -> None:
    time = Time()
    load = Load(time)
    busy(load, time, seconds=20 * WINDOW, at_once=at_once, each=each, waits=waits)
    assert load.requests_in_flight == pytest.approx(at_once, rel=1e-3)
    assert load.wait_seconds == pytest.approx(waits, rel=1e-3)
    assert load.requests_in_flight == pytest.approx(at_once, rel=1e-3), "to ask changes nothing"


def test_half_of_the_time_is_half_of_the_load_though_the_queue_is_empty_at_each_scrape() -> None:
    time, seen = Time(), []
    load = Load(time)
    for second in range(200):
        busy(load, time, seconds=0.5, at_once=4, each=0.1, waits=0.1)
        time.now += 0.5
        if second >= 100:
            seen.append(load.requests_in_flight)
    assert seen == pytest.approx([2.0] * 100, rel=0.1)


def test_how_often_it_is_asked_makes_no_difference() -> None:
    time = Time()
    rare, often = Load(time), Load(time)
    for _ in range(60):
        for load in (rare, often):
            load.take([load.begin()], time.now)
        time.now += 0.25
        often.requests_in_flight  # noqa: B018 - a scrape
        time.now += 0.25
        for load in (rare, often):
            load.end()
    assert often.requests_in_flight == pytest.approx(rare.requests_in_flight, rel=0.01)


def test_what_comes_after_a_silence_counts_as_much_as_after_a_scrape() -> None:
    time = Time()
    asked, left = Load(time), Load(time)
    for _ in range(3):
        time.now += 4 * WINDOW
        asked.requests_in_flight  # noqa: B018 - a scrape
        begun = [load.begin() for load in (asked, left)]
        time.now += 5.0
        for load, one in zip((asked, left), begun, strict=True):
            load.take([one], time.now)
        time.now += 0.5
        for load in (asked, left):
            load.end()
        assert left.wait_seconds == pytest.approx(asked.wait_seconds, rel=0.01)
        assert left.wait_seconds == pytest.approx(5.0, rel=0.1)
        assert left.requests_in_flight == pytest.approx(asked.requests_in_flight, rel=0.01)


def test_a_request_that_hangs_counts_before_it_is_answered() -> None:
    time = Time()
    load = Load(time)
    load.begin()
    time.now += 20 * WINDOW
    assert load.requests_in_flight == pytest.approx(1, rel=1e-3)


def test_what_was_is_forgotten_when_nothing_comes_any_more() -> None:
    time = Time()
    load = Load(time)
    busy(load, time, seconds=100, at_once=4, each=0.1, waits=0.1)
    before = load.requests_in_flight
    time.now += WINDOW
    assert load.requests_in_flight == pytest.approx(before / 2.718, rel=0.01)
    assert load.wait_seconds == pytest.approx(0.1, rel=0.01), "those that came waited as long as they did"
    time.now += 20 * WINDOW
    assert load.requests_in_flight == pytest.approx(0, abs=1e-3)
    assert load.wait_seconds == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("is_over", [True, False])
def test_who_waits_before_the_queue_is_one_of_those_of_which_the_mean_is(is_over: bool) -> None:
    time = Time()
    load = Load(time)
    for _ in range(4):
        load.begin()
        time.now += 0.1
        load.wait(0.1, is_over=is_over)
        load.end()
        if not is_over:
            load.take([load.begin()], time.now)
            load.end()
    assert load.wait_seconds == pytest.approx(0.1, rel=0.05)
