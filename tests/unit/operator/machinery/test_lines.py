"""Lines of a stream: the same however it is cut into chunks, and none longer than the limit."""

from hypothesis import given
from hypothesis import strategies as st

from modelservice_operator.machinery.lines import HEAD_BYTES, Lines


def split(chunks: list[bytes], limit: int = 5) -> tuple[list[bytes], list[bytes]]:
    """The lines that came, and the heads of those that were dropped."""
    heads: list[bytes] = []
    lines = Lines(limit=limit, on_dropped=heads.append)
    return [line for chunk in chunks for line in lines.feed(chunk)], heads


def test_lines_come_as_soon_as_they_are_whole() -> None:
    lines = Lines(limit=10, on_dropped=lambda _: None)
    assert list(lines.feed(b"a")) == []
    assert list(lines.feed(b"b\nc\n\nd")) == [b"ab", b"c"]
    assert list(lines.feed(b"\n")) == [b"d"]


def test_what_is_too_long_is_left_out_up_to_its_end() -> None:
    assert split([b"one\nlonger", b"and", b"longer\ntwo\n"]) == ([b"one", b"two"], [b"longer"])
    assert split([b"123456\n"]) == ([], [b"123456"])
    assert split([b"12345\n"]) == ([b"12345"], [])


def test_of_what_is_left_out_the_head_is_shown() -> None:
    head = b'{"name":"a"' + b"x" * HEAD_BYTES
    _, heads = split([head, b"x" * HEAD_BYTES, b"\n"], limit=2 * HEAD_BYTES)
    assert heads == [head[:HEAD_BYTES]]


@given(st.lists(st.binary(max_size=9).map(lambda line: line.replace(b"\n", b".")), max_size=8), st.data())
def test_how_a_stream_is_cut_changes_nothing(lines: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(line + b"\n" for line in lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    chunks = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    got, dropped = split(chunks)
    assert got == [line for line in lines if 0 < len(line) <= 5]
    assert len(dropped) == sum(len(line) > 5 for line in lines)
