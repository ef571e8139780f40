"""Turns: so many at a time, in order, and none is lost."""

import asyncio

from tests.support.fake_clock import FakeClock

from modelservice_operator.machinery.turns import TURN_SECONDS, Turns


def test_turns_are_had_in_order_and_handed_on() -> None:
    called: list[str] = []
    turns = Turns[str](limit=2, on_turn=called.append, clock=FakeClock())
    assert [turns.ask(one) for one in "abcd"] == [True, True, False, False]
    assert turns.ask("a")
    assert not turns.ask("c"), "asking again is not standing in line anew"
    turns.leave("b")
    assert (called, "b" in turns, "c" in turns, "d" in turns) == (["c"], False, True, False)
    turns.leave("c")
    turns.leave("a")
    assert called == ["c", "d"]


def test_who_waits_and_leaves_is_not_called_and_a_free_turn_is_taken_at_once() -> None:
    called: list[str] = []
    turns = Turns[str](limit=1, on_turn=called.append, clock=FakeClock())
    assert turns.ask("a")
    assert not turns.ask("b")
    turns.leave("b")
    turns.leave("a")
    turns.leave("a")
    assert called == []
    assert turns.ask("c")


def test_a_turn_is_over_after_a_while_counted_from_when_it_was_had() -> None:
    clock = FakeClock()
    turns = Turns[str](limit=1, on_turn=lambda _: None, clock=clock)
    assert [turns.ask(one) for one in "ab"] == [True, False]
    asyncio.run(clock.advance(TURN_SECONDS))
    assert [turns.is_over(one) for one in "ab"] == [True, False]
    turns.leave("a")
    asyncio.run(clock.advance(TURN_SECONDS - 1))
    assert [turns.is_over(one) for one in "ab"] == [False, False]
