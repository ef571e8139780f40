"""Bytes become text in one encoding, which is certain or given; what others would read is shown, never taken."""

import codecs
import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelservice.contract.data import Format
from modelservice.contract.failure import DataError
from modelservice.contract.formats import CSV, Encoding
from modelservice.modalities.base import FileOptions
from modelservice.modalities.sources import read_source
from modelservice.modalities.table.csv_file import parse_csv
from modelservice.modalities.table.encodings import as_utf8

CODECS = {"Macintosh": "mac_roman", "IBM850": "cp850", "UTF-16": "utf-16"}
SAMPLES = {
    Encoding.WINDOWS_1251: "Пример",
    Encoding.SHIFT_JIS: "東京へ",
    Encoding.EUC_JP: "東京へ",
    Encoding.EUC_KR: "서울",
    Encoding.GB18030: "你好世界",
    Encoding.BIG5: "台北",
    Encoding.WINDOWS_1250: "Łódź",
    Encoding.ISO_8859_2: "Łódź",
    Encoding.WINDOWS_1254: "İstanbul",
}


def codec(encoding: Encoding) -> str:
    return CODECS.get(encoding, encoding)


@pytest.mark.parametrize("encoding", Encoding)
def test_every_encoding_that_can_be_given_is_read(encoding: Encoding) -> None:
    word = SAMPLES.get(encoding, "grün")
    content = f"a,b\n1,{word}\n".encode(codec(encoding))
    table = parse_csv(content, CSV(encoding=encoding))
    assert table.columns["b"].to_pylist() == [word]
    assert table.notes == ()
    assert table.sha256 == f"sha256:{hashlib.sha256(content).hexdigest()}"


@pytest.mark.parametrize("name", ["utf-16-le", "utf-16-be"])
def test_a_byte_order_mark_says_the_encoding_and_that_is_said(name: str) -> None:
    table = parse_csv("\ufeffa;b\n1;gr\u00fcn\n".encode(name))
    assert table.columns["b"].to_pylist() == ["gr\u00fcn"]
    assert table.notes == ("the file is UTF-16, as its byte order mark says", "columns are separated by semicolons")
    assert table.place(0) == "line 2"


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (
            "gr\u00fcn".encode("cp1252"),
            "(it reads 'gr\u00fcn' as Windows-1252): set spec.data.csv.encoding, or save it as CSV in UTF-8",
        ),
        ("Пример".encode("cp1251"), "'Пример' as Windows-1251"),
        ("你好世界".encode("gb18030"), "'你好世界' as GB18030"),
        ("東京へ".encode("shift_jis"), "'東京へ' as Shift_JIS"),
        ("5\u20ac".encode("cp1252"), "'5\u20ac' as Windows-1252"),
        (b"x\x81\xff\x81", "the file is not UTF-8 text: set spec.data.csv.encoding, or save"),
    ],
)
def test_how_likely_encodings_read_a_word_is_shown(raw: bytes, words: str) -> None:
    with pytest.raises(DataError) as caught:
        as_utf8(b"a,b\n1," + raw + b"\n2,x\n", None, field="spec.data")
    assert caught.value.reason == "NotUTF8"
    assert caught.value.message.startswith("line 2: the file is not UTF-8 text")
    assert words in caught.value.message


@pytest.mark.parametrize(("name", "encoding"), [("utf-16-le", "UTF-16LE"), ("utf-16-be", "UTF-16BE")])
def test_utf16_without_a_mark_is_asked_for(name: str, encoding: str) -> None:
    with pytest.raises(DataError, match=f"set spec.data.csv.encoding to {encoding}") as caught:
        as_utf8("a,b\n1,2\n".encode(name), None, field="spec.data")
    assert caught.value.reason == "NotUTF8"


@pytest.mark.parametrize(
    ("content", "encoding", "words"),
    [
        (b"a,b\n1,x\x81\n", Encoding.WINDOWS_1252, "line 2: the bytes 81 are no character of Windows-1252"),
        (
            "a\ngr\u00fcn\n".encode("cp1252"),
            Encoding.UTF_8,
            "line 2: the bytes fc are no character of UTF-8 (it reads 'gr",
        ),
        (b"a\n5\x80\n", Encoding.ISO_8859_1, "line 2: the file has the control character U+0080 in ISO-8859-1"),
        (
            codecs.BOM_UTF8 + b"a\n1\n",
            Encoding.WINDOWS_1252,
            "line 1: the file begins with the byte order mark of UTF-8",
        ),
        ("a\n1\n".encode("utf-16"), Encoding.UTF_8, "line 1: the file begins with the byte order mark of UTF-16LE"),
        ("a\n1\n".encode("utf-16-le"), Encoding.UTF_16, "line 1: the file has no byte order mark"),
        (
            "a\n1\n\u0a0a".encode("utf-16-le") + b"x",
            Encoding.UTF_16LE,
            "line 3: the bytes 78 are no character of UTF-16LE",
        ),
    ],
)
def test_a_file_that_is_not_in_the_encoding_that_is_given_is_refused(
    content: bytes, encoding: Encoding, words: str
) -> None:
    with pytest.raises(DataError) as caught:
        parse_csv(content, CSV(encoding=encoding))
    assert (caught.value.reason, caught.value.field) == ("NotInEncoding", "spec.data.csv.encoding")
    assert words in caught.value.message


def test_what_is_utf8_as_well_is_said() -> None:
    table = parse_csv("a,b\n1,gr\u00fcn\n".encode(), CSV(encoding=Encoding.WINDOWS_1252))
    assert table.columns["b"].to_pylist() == ["gr\u00c3\u00bcn"]
    assert table.notes == (
        "the file can be read as UTF-8, too; it was read as Windows-1252, as spec.data.csv.encoding says",
    )


def test_what_is_said_of_csv_means_nothing_for_another_format() -> None:
    with pytest.raises(DataError, match=r"the file is read as NPZ, and spec\.data\.csv says") as caught:
        read_source(b"", format=Format.NPZ, options=FileOptions(csv=CSV(separator=";")))
    assert (caught.value.reason, caught.value.field) == ("OptionNotForFormat", "spec.data.csv")


@given(st.binary(max_size=60), st.sampled_from([None, *Encoding]))
def test_whatever_bytes_there_are_they_are_text_or_refused(content: bytes, encoding: Any) -> None:
    try:
        text, _ = as_utf8(content, encoding, field="spec.data")
    except DataError as error:
        if error.reason not in {"NotUTF8", "NotInEncoding"}:
            raise
        return
    text.decode()
