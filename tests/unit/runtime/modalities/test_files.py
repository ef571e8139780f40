import errno
import gzip
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelservice.contract.failure import DataError
from modelservice.modalities.files import inflate, read_bytes

LIMIT = 1 << 20


def test_the_digest_is_that_of_the_inflated_content(tmp_path: Path) -> None:
    plain, packed = tmp_path / "a.csv", tmp_path / "a.csv.gz"
    plain.write_bytes(b"a,b\n1,2\n")
    packed.write_bytes(gzip.compress(b"a,b\n1,2\n"))
    assert read_bytes(plain, limit=LIMIT) == read_bytes(packed, limit=LIMIT)


def test_a_gzip_bomb_stops_at_the_limit() -> None:
    with pytest.raises(DataError, match="more than 1000 bytes"):
        inflate(gzip.compress(b"0" * 10_000_000), limit=1000)


@pytest.mark.parametrize("damage", [lambda raw: raw[:-6], lambda raw: raw[:12] + b"\0\0\0\0" + raw[16:]])
def test_damaged_gzip_is_said_to_be(damage: Callable[..., Any]) -> None:
    with pytest.raises(DataError) as caught:
        inflate(damage(gzip.compress(b"a,b\n1,2\n" * 100)), limit=LIMIT)
    assert caught.value.reason == "DamagedGzip"


def test_a_file_that_is_not_there_names_the_field(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read_bytes(tmp_path / "no.csv", limit=LIMIT, field="spec.data.persistentVolumeClaim.path")
    assert (caught.value.reason, caught.value.field) == ("DataNotFound", "spec.data.persistentVolumeClaim.path")


def test_a_file_system_that_fails_is_no_fault_of_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stale(*_: Any) -> int:
        raise OSError(errno.ESTALE, "Stale file handle")

    monkeypatch.setattr(os, "open", stale)
    with pytest.raises(OSError, match=r"Stale file handle: '.*a\.csv'"):
        read_bytes(tmp_path / "a.csv", limit=LIMIT)


def test_a_named_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="not a plain file"):
        read_bytes(tmp_path / "pipe", limit=LIMIT)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Is a directory"):
        read_bytes(tmp_path, limit=LIMIT)
