"""Turns: so many at a time, in order, and none is lost."""

from modelservice_operator.machinery.turns import Turns


def test_turns_are_had_in_order_and_handed_on() -> None:
    called: list[str] = []
    turns = Turns[str](limit=2, on_turn=called.append)
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
    turns = Turns[str](limit=1, on_turn=called.append)
    assert turns.ask("a")
    assert not turns.ask("b")
    turns.leave("b")
    turns.leave("a")
    turns.leave("a")
    assert called == []
    assert turns.ask("c")
