"""stdout and stderr as they are found: closed, or of an encoding that has not all characters."""

import codecs
import io
import os
import sys
from typing import Final

_ESCAPED: Final = "modelservice.escaped"
_WITH_GAPS: Final = frozenset({"strict", "backslashreplace"})
"""What Python does by itself: it raises on stdout, and writes escapes on stderr that JSON does not know."""


def settle_streams() -> None:
    r"""Let everything that is printed be written: what an encoding does not have as ``\uXXXX``, as JSON has it.

    What nobody is to read goes nowhere, as after ``>&-`` in a shell: without a stream there is no print.
    """
    codecs.register_error(_ESCAPED, _escaped)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: PTH123, SIM115 - a device, for as long as the process lives
        elif isinstance(stream, io.TextIOWrapper) and stream.errors in _WITH_GAPS:
            stream.reconfigure(errors=_ESCAPED)


def _escaped(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4)), error.end
