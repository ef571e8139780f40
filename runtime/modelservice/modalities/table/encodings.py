"""The bytes of a text file as UTF-8: which encoding they are in, where that is certain; else a sentence that asks."""

import re
import unicodedata
from typing import Final

from modelservice.cells import quoted
from modelservice.contract.failure import DataError
from modelservice.contract.formats import Encoding
from modelservice.modalities.table.quotes import line_at

ENCODING_FIELD = "spec.data.csv.encoding"
MARK = b"\xef\xbb\xbf"
"""The byte order mark in UTF-8."""
_WIDE_MARKS: Final[tuple[tuple[bytes, str], ...]] = (
    (b"\xff\xfe\x00\x00", "UTF-32"),
    (b"\x00\x00\xfe\xff", "UTF-32"),
    (b"\xff\xfe", Encoding.UTF_16LE),
    (b"\xfe\xff", Encoding.UTF_16BE),
)
"""UTF-32 first: in little endian its mark begins with that of UTF-16."""
_CODECS: Final[dict[str, str]] = {"Macintosh": "mac-roman", "IBM850": "cp850"}
"""Those that Python does not know by our name."""
_LIKELY: Final = (
    Encoding.WINDOWS_1252,
    Encoding.WINDOWS_1250,
    Encoding.WINDOWS_1251,
    Encoding.GB18030,
    Encoding.SHIFT_JIS,
    Encoding.EUC_KR,
    Encoding.BIG5,
)
_WIDE: Final = (Encoding.UTF_16, Encoding.UTF_16LE, Encoding.UTF_16BE)
_UNSEEN = re.compile("[\u0080-\u0084\u0086-\u009f]")
"""Control characters that no text holds: bytes of another encoding read as ISO-8859 become these."""
_APART = re.compile(r"[\s,;|\"]")
_JAPANESE = frozenset({"CJK", "HIRAGANA", "KATAKANA"})
_READINGS, _LOOK = 3, 200


def as_utf8(content: bytes, encoding: Encoding | None, *, field: str) -> tuple[bytes, tuple[str, ...]]:
    """A file in UTF-8, and what is worth a word.

    Args:
        content: the file.
        encoding: ``spec.data.csv.encoding``; None takes UTF-8, or UTF-16 with a byte order mark, and nothing else: of
            other encodings several read the same bytes, each as another text.
        field: what errors name as the field to change, where it is not the encoding.

    Raises:
        DataError: the file is not in this encoding; names the line.
    """
    marked = next((name for mark, name in _WIDE_MARKS if content.startswith(mark)), None)
    if encoding is None:
        return _inferred(content, marked, field)
    _check_mark(content, encoding, marked)
    text, notes = _decoded(content, encoding), tuple[str, ...]()
    if encoding not in {Encoding.UTF_8, *_WIDE} and not content.isascii() and _is_utf8(content):
        notes = (f"the file can be read as UTF-8, too; it was read as {encoding}, as {ENCODING_FIELD} says",)
    return text.removeprefix("\ufeff").encode(), notes


def _inferred(content: bytes, marked: str | None, field: str) -> tuple[bytes, tuple[str, ...]]:
    if marked is not None:
        if marked not in _WIDE:
            raise DataError("NotUTF8", f"line 1: the file is {marked}: save it as CSV in UTF-8", field=field)
        text = _decoded(content, Encoding(marked)).removeprefix("\ufeff")
        return text.encode(), ("the file is UTF-16, as its byte order mark says",)
    if (zero := content.find(b"\0")) >= 0:
        raise _zeros(content, zero, field)
    try:
        content.decode()
    except UnicodeDecodeError as error:
        line = line_at(content, error.start)
        message = f"line {line}: the file is not UTF-8 text{_readings(content, error.start)}: set {ENCODING_FIELD}"
        raise DataError("NotUTF8", f"{message}, or save it as CSV in UTF-8", field=field) from None
    return content, ()


def _zeros(content: bytes, zero: int, field: str) -> DataError:
    remedy = "save it as CSV in UTF-8"
    for encoding, place in ((Encoding.UTF_16LE, 1), (Encoding.UTF_16BE, 0)):
        if len(content) % 2 == 0 and zero % 2 == place and _reads(content, encoding):
            remedy = f"set {ENCODING_FIELD} to {encoding}, or {remedy}"
    line = line_at(content, zero)
    return DataError("NotUTF8", f"line {line}: the file has zero bytes, as UTF-16 has: {remedy}", field=field)


def _check_mark(content: bytes, encoding: Encoding, marked: str | None) -> None:
    """A byte order mark says what a file is in; UTF-16 needs one, since its halves may stand either way."""
    if encoding is Encoding.UTF_16:
        if marked not in _WIDE:
            remedy = f"set {ENCODING_FIELD} to {Encoding.UTF_16LE} or {Encoding.UTF_16BE}"
            raise _wrong(f"line 1: the file has no byte order mark, which {encoding} begins with: {remedy}")
        return
    found = Encoding.UTF_8 if content.startswith(MARK) else marked
    if found is not None and found != encoding:
        raise _wrong(f"line 1: the file begins with the byte order mark of {found}, and is no {encoding}: correct it")


def _decoded(content: bytes, encoding: Encoding) -> str:
    codec = _codec(encoding)
    try:
        text = content.decode(codec)
    except UnicodeDecodeError as error:
        line = _line_after(content[: error.start].decode(codec, "ignore"))
        cause = f"line {line}: the bytes {content[error.start : error.end].hex(' ')} are no character of {encoding}"
        raise _wrong(f"{cause}{_readings(content, error.start)}: correct {ENCODING_FIELD}") from None
    if encoding in _WIDE or encoding is Encoding.UTF_8:
        return text
    if unseen := _UNSEEN.search(text):
        line, character = _line_after(text[: unseen.start()]), f"U+{ord(unseen[0]):04X}"
        cause = f"line {line}: the file has the control character {character} in {encoding}, which no text has"
        raise _wrong(f"{cause}: correct {ENCODING_FIELD}, as to {Encoding.WINDOWS_1252}")
    return text


def _wrong(message: str) -> DataError:
    return DataError("NotInEncoding", message, field=ENCODING_FIELD)


def _readings(content: bytes, start: int) -> str:
    """The word around a byte that is not UTF-8, as encodings read it that read the whole file."""
    words: dict[str, Encoding] = {}
    for encoding in _LIKELY:
        if _reads(content, encoding) and (word := _word(content, start, encoding)) and _has_one_script(word):
            words.setdefault(word, encoding)
    letters_first = sorted(words.items(), key=lambda reading: not reading[0].isalpha())
    listed = [f"{quoted(word)} as {encoding}" for word, encoding in letters_first[:_READINGS]]
    return f" (it reads {' or '.join(listed)})" if listed else ""


def _word(content: bytes, start: int, encoding: Encoding) -> str:
    """The text without blanks or separators around a byte that begins a character."""
    codec = _codec(encoding)
    begin = max(content.rfind(b"\n", 0, start), content.rfind(b"\r", 0, start)) + 1
    before = content[begin:start].decode(codec, "ignore")
    after = content[start : start + _LOOK].decode(codec, "ignore")
    return _APART.split(before)[-1] + _APART.split(after)[0]


def _has_one_script(word: str) -> bool:
    """Bytes that are read in a wrong encoding mostly mix alphabets."""
    scripts = {unicodedata.name(character, "?").split()[0] for character in word if character.isalpha()}
    return len(scripts) <= 1 or scripts <= _JAPANESE


def _reads(content: bytes, encoding: Encoding) -> bool:
    try:
        return _UNSEEN.search(content.decode(_codec(encoding))) is None
    except UnicodeDecodeError:
        return False


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _codec(encoding: Encoding) -> str:
    return _CODECS.get(encoding, encoding)


def _line_after(text: str) -> int:
    raw = text.encode()
    return line_at(raw, len(raw))
