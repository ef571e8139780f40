"""Files at rest: what any change to what is stored does, and how much memory it takes."""

import os
import tracemalloc
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelservice.artifact import sealing
from modelservice.artifact.errors import ArtifactError
from modelservice.artifact.sealing import PLAIN, Sealed, sealed_with

KEY, OTHER = b"k" * 32, b"o" * 32
HEADER, TAG, CHUNK = 56, 16, 8
CONTENT = b"abcdefgh12345678ABCDEFGHxyz"
"""Three whole chunks and one of 3 bytes."""


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "CHUNK_BYTES", CHUNK)


def stored(content: bytes = CONTENT, *, name: str = "model.onnx", key: bytes = KEY) -> bytes:
    return b"".join(Sealed(key).store(name, [content]))


def restored(raw: bytes, *, name: str = "model.onnx", key: bytes = KEY) -> bytes:
    return b"".join(Sealed(key).restore(name, [raw]))


@given(content=st.binary(max_size=40), cuts=st.lists(st.integers(0, 40), max_size=5), steps=st.integers(1, 70))
def test_what_is_stored_in_pieces_comes_back_in_others(content: bytes, cuts: list[int], steps: int) -> None:
    places = [0, *sorted(min(cut, len(content)) for cut in cuts), len(content)]
    pieces = [memoryview(content)[begin:end] for begin, end in pairwise(places)]
    raw = b"".join(Sealed(KEY).store("a", pieces))
    assert len(raw) == Sealed(KEY).size(len(content))
    parts = [raw[at : at + steps] for at in range(0, len(raw), steps)]
    assert b"".join(Sealed(KEY).restore("a", parts)) == content


def chunk(raw: bytes, number: int) -> bytes:
    begin = HEADER + number * (CHUNK + TAG)
    return raw[begin : begin + CHUNK + TAG]


CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "the last chunk is cut off": lambda raw: raw[: HEADER + 3 * (CHUNK + TAG)],
    "half a chunk is cut off": lambda raw: raw[:-TAG],
    "all chunks are cut off": lambda raw: raw[:HEADER],
    "the header is cut": lambda raw: raw[: HEADER - 1],
    "nothing is left": lambda _: b"",
    "the first chunk is left out": lambda raw: raw[:HEADER] + raw[HEADER + CHUNK + TAG :],
    "two chunks change places": lambda raw: (
        raw[:HEADER] + chunk(raw, 1) + chunk(raw, 0) + raw[HEADER + 2 * (CHUNK + TAG) :]
    ),
    "a chunk comes twice": lambda raw: raw[: HEADER + CHUNK + TAG] + raw[HEADER:],
    "a chunk of another file": lambda raw: (
        raw[:HEADER] + chunk(stored(), 0) + raw[HEADER + CHUNK + TAG :]
    ),
    "the header of another file": lambda raw: stored()[:HEADER] + raw[HEADER:],
    "bytes are added": lambda raw: raw + b"\0",
    "a chunk is added": lambda raw: raw + chunk(raw, 3),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_each_change_is_noticed(change: str) -> None:
    raw = stored()
    changed = CHANGES[change](raw)
    assert changed != raw
    with pytest.raises(ArtifactError, match=r"model\.onnx (was changed|is not encrypted as its manifest is)"):
        restored(changed)


def test_each_bit_counts() -> None:
    raw = stored()
    for place in range(len(raw)):
        changed = bytearray(raw)
        changed[place] ^= 1
        with pytest.raises(ArtifactError):
            restored(bytes(changed))


def test_a_file_is_bound_to_its_name_and_key() -> None:
    with pytest.raises(ArtifactError, match=r"weights\.safetensors was changed since it was encrypted, or is another"):
        restored(stored(), name="weights.safetensors")
    with pytest.raises(ArtifactError, match="not encrypted as its manifest is"):
        restored(stored(), key=OTHER)


def test_equal_contents_show_nothing_of_each_other() -> None:
    first, second = stored(), stored()
    assert first[: HEADER - 32] == second[: HEADER - 32]  # the key's id
    same = sum(a == b for a, b in zip(first[HEADER:], second[HEADER:], strict=True))
    assert same < len(CONTENT) // 2  # by chance 1 of 256
    digest = "sha256:" + "0" * 64
    names = {form.identify(digest) for form in (PLAIN, Sealed(KEY), Sealed(OTHER))}
    assert len(names) == 3
    assert {len(name) for name in names} == {64}


def test_the_key_s_id_tells_the_key_and_gives_none_of_it() -> None:
    assert sealed_with(stored()) == Sealed(KEY).key_id != Sealed(OTHER).key_id
    assert sealed_with(b"{}") is None
    assert KEY[:8] not in stored()


def test_a_known_answer() -> None:
    """The format is for ever: computed once, from header to last tag, with the salt given."""
    salt = bytes(range(32))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "urandom", lambda count: salt[:count])
        raw = stored(b"abcdefgh123")
    key_id = "4aec698a0d11ad6f09d752b6797e3d36"
    chunks = "64aab3a81752d2a4059739c7020da60ec435063cb176d79f", "6ad75d7125eb8958061d96a69f90e26ef49e14"
    assert raw.hex() == b"MSVCSEA1".hex() + key_id + salt.hex() + "".join(chunks)


def test_memory_stays_small_whatever_the_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "CHUNK_BYTES", 1 << 16)
    content, form = bytes(1 << 23), Sealed(KEY)
    tracemalloc.start()
    try:
        taken = sum(map(len, form.restore("a", form.store("a", [content]))))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken == len(content)
    assert peak < 1 << 20
