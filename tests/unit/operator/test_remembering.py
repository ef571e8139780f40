"""What is remembered of pure functions: by the very object, for as long as there is room."""

import weakref

import pytest

from modelservice_operator.remembering import forget, remembered


class Counted:
    """A function that tells how often it really computed."""

    def __init__(self) -> None:
        self.made: list[dict[str, int]] = []

    def __call__(self, obj: dict[str, int], factor: int) -> int:
        self.made.append(obj)
        return obj["a"] * factor


def test_the_same_object_is_computed_once_and_an_equal_one_is_another() -> None:
    counted = Counted()
    look = remembered(8)(counted)
    obj = {"a": 2}
    assert [look(obj, 3), look(obj, 3), look(obj, 4)] == [6, 6, 8]
    assert len(counted.made) == 2
    assert look({"a": 2}, 3) == 6
    assert len(counted.made) == 3


def test_an_identity_is_never_taken_for_another_object_s() -> None:
    look = remembered(8)(Counted())
    for number in range(1000):  # each is free again at once, were it not held
        assert look({"a": number}, 1) == number


def test_what_was_asked_for_last_is_kept() -> None:
    counted = Counted()
    look = remembered(2)(counted)
    first, second, third = {"a": 1}, {"a": 2}, {"a": 3}
    for obj in (first, second, first, third, first):
        look(obj, 1)
    assert len(counted.made) == 3
    look(second, 1)
    assert len(counted.made) == 4


def test_what_is_raised_is_raised_each_time() -> None:
    look = remembered(2)(Counted())
    wrong: dict[str, int] = {}
    for _ in range(2):
        with pytest.raises(KeyError):
            look(wrong, 1)


def test_what_is_forgotten_is_computed_anew() -> None:
    counted = Counted()
    look = remembered(2)(counted)
    obj = {"a": 1}
    look(obj, 1)
    forget()
    look(obj, 1)
    assert len(counted.made) == 2


def test_a_result_goes_with_what_it_was_made_of() -> None:
    class Spec:
        """A spec of a ModelService: what is made of an older one is asked for by nobody."""

    class Result:
        """What is made of it."""

        def __init__(self, spec: Spec, factor: int) -> None:
            self.said = (type(spec), factor)

    look, spec = remembered(8)(Result), Spec()
    alive = weakref.ref(look(spec, 1))
    assert alive() is look(spec, 1)
    del spec
    assert alive() is None
