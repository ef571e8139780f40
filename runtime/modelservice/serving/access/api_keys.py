"""API keys from a Secret: an entry for each caller, a key on each of its lines."""

import logging
import re
from codecs import BOM_UTF8
from hashlib import sha256
from hmac import compare_digest
from typing import Final, NamedTuple

from modelservice.serving.access.attempts import GUESSES
from modelservice.serving.access.folder import Folder
from modelservice.serving.callers import Caller, Credential
from modelservice.serving.errors import UnauthenticatedError

MIN_CHARACTERS: Final = 16
"""A shorter key can be guessed; it is left out, and the log says so: one that only its digest tells once it is sent."""
_DIGEST: Final = b"sha256:"
_HASHED: Final = re.compile(_DIGEST + rb"([0-9a-f]{64})", re.IGNORECASE)
_UNSENDABLE: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
"""What no header can hold; UTF-16 has it between letters."""

_LOG = logging.getLogger(__name__)


class _Known(NamedTuple):
    digest: bytes
    caller: Caller


class ApiKeys:
    """Keys by their sha256, so that looking one up takes the same time however much of it was guessed."""

    ready: Final = True
    allowance: Final = GUESSES

    def __init__(self, folder: Folder) -> None:
        """Read the keys.

        Raises:
            OSError: the folder cannot be read.
            ValueError: there is no key in it.
        """
        self._folder = folder
        with folder.changed():
            self._known = _read(folder)
        if not self._known:
            raise ValueError(f"{folder.path} holds no API key: one a line, of at least {MIN_CHARACTERS} characters")

    def caller_of(self, credential: Credential) -> Caller:
        """Whose key it is.

        Raises:
            UnauthenticatedError: nobody's.
        """
        known = self._known.get(credential.digest)
        if known is None or not compare_digest(known.digest, credential.digest):
            raise UnauthenticatedError("the API key is not known", tried=True)
        if len(credential.text) < MIN_CHARACTERS:  # as of a variable that was empty when its digest was made
            del self._known[credential.digest]
            said = "API key %s: a digest is that of fewer than %d characters; left out"
            _LOG.warning(said, known.caller.subject, MIN_CHARACTERS)
            raise UnauthenticatedError("the API key is not known", tried=True)
        return known.caller

    async def refresh(self) -> None:
        """Take over what the Secret holds now, also where that is nothing: keys are taken back so."""
        with self._folder.changed() as changed:
            if not changed:
                return
            self._known = _read(self._folder)
        callers = {one.caller for one in self._known.values()}
        _LOG.info("API keys were read again: %d of %d callers", len(self._known), len(callers))
        if not callers:
            _LOG.warning("%s holds no API key any more: every caller is refused until it does", self._folder.path)


def _read(folder: Folder) -> dict[bytes, _Known]:
    known: dict[bytes, _Known] = {}
    for name, content in folder.read().items():
        caller = Caller(name)
        for number, line in enumerate(content.removeprefix(BOM_UTF8).splitlines(), start=1):
            key = line.strip()
            if not key or key.startswith(b"#"):
                continue
            hashed = _HASHED.fullmatch(key)
            if hashed is None and (wrong := _wrong(key)) is not None:
                _LOG.warning("API key %s, line %d: %s; left out", name, number, wrong)
                continue
            digest = sha256(key).digest() if hashed is None else bytes.fromhex(hashed[1].decode())
            if digest in known and known[digest].caller != caller:
                said = "API key %s, line %d: is a key of %s too; whoever sends it counts as %s"
                _LOG.warning(said, name, number, known[digest].caller.subject, name)
            known[digest] = _Known(digest, caller)
    return known


def _wrong(key: bytes) -> str | None:
    """Why a line that is no digest is no key either; None where it is one."""
    if key[: len(_DIGEST)].lower() == _DIGEST:
        return "sha256: and 64 digits, and nothing else"
    if len(key) < MIN_CHARACTERS:
        return f"shorter than {MIN_CHARACTERS} characters"
    if _UNSENDABLE.search(key) is not None:
        return "holds what no header can; write it as ASCII or UTF-8"
    return None
