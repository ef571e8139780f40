"""The damper: the same write a few times a minute, and never more."""

from tests.support.fake_clock import FakeClock

from modelservice_operator.machinery.damper import LIMIT, WINDOW_SECONDS, Damper


async def test_the_same_is_written_a_few_times_and_then_waits_for_room() -> None:
    clock = FakeClock()
    damper = Damper(clock=clock)
    for _ in range(LIMIT):
        assert damper.wait("a") == 0.0
        damper.count("a")
    assert damper.wait("a") == WINDOW_SECONDS
    assert damper.wait("b") == 0.0, "something else is not held up by it"
    await clock.advance(WINDOW_SECONDS - 1)
    assert damper.wait("a") == 1.0
    await clock.advance(1)
    assert damper.wait("a") == 0.0


async def test_what_is_written_now_and_then_never_waits() -> None:
    clock = FakeClock()
    damper = Damper(clock=clock)
    for _ in range(50):
        assert damper.wait("a") == 0.0
        damper.count("a")
        await clock.advance(WINDOW_SECONDS / LIMIT)


async def test_what_is_tried_and_never_written_is_no_fight() -> None:
    damper = Damper(clock=FakeClock())
    assert [damper.wait("a") for _ in range(2 * LIMIT)] == [0.0] * (2 * LIMIT)


async def test_what_changes_to_and_fro_is_no_fight_and_the_same_again_is() -> None:
    damper = Damper(clock=FakeClock())
    for number in range(4 * LIMIT):
        content = "ab"[number % 2]
        assert damper.wait("x", content) == 0.0
        damper.count("x", content)
    for _ in range(LIMIT - 1):
        damper.count("x", "b")
    assert damper.wait("x", "b") == WINDOW_SECONDS
    assert damper.wait("x", "a") == 0.0
