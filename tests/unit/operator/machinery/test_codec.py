"""JSON to and from the apiserver, also what the fast parser refuses."""

import json
from typing import Any

import pytest

from modelservice_operator.machinery.codec import dump_json, parse_json

DEEP = 5_000
"""The apiserver takes twice of it."""


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [{"a": [1, 2.5, None, True, "ü", "\U0001f600"]}, {"half": "\ud800"}, {"large": 2**70}, nested(300)],
    ids=["plain", "half a surrogate pair", "a large number", "nested"],
)
def test_what_is_written_is_read_again(value: Any) -> None:
    assert parse_json(dump_json(value)) == value


def test_what_is_nested_as_deeply_as_the_apiserver_takes_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    text = b"[" * DEEP + b"]" * DEEP
    tried = []
    monkeypatch.setattr(json, "loads", lambda payload: tried.append(len(payload)))
    parse_json(text)
    assert tried == [2 * DEEP], "Python's own parser is asked, whose limit the process sets"


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b"{'a': 1}"])
def test_what_is_no_json_is_told(text: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - both parsers' own
        parse_json(text)
