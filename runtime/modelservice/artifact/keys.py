"""The keys that artifacts and checkpoints are encrypted with: files of 32 random bytes in base64.

The environment names them (``places.ENCRYPTION_KEYS_ENV``), as it does the credentials of stores: paths of files, and
of folders all of whose files are keys, as a Secret is mounted. What is named first encrypts, if it is a file; all of
them decrypt. Which key a file was encrypted with is told by an id that follows from the key itself, whatever its file
is called.
"""

import base64
import binascii
import io
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from modelservice.artifact.errors import ArtifactError
from modelservice.artifact.sealing import KEY_BYTES, PLAIN, Form, Sealed, sealed_with
from modelservice.contract.failure import StorageError
from modelservice.contract.places import ENCRYPTION_KEYS_ENV

_FIELD: Final = "spec.artifacts.encryption.secretRef"
_MAX_FILE_BYTES: Final = 1024


@dataclass(frozen=True, kw_only=True)
class Keys:
    """All keys that are given, ``known`` by their ids; in ``form`` files are stored, which one of them encrypts."""

    known: Mapping[bytes, Sealed] = field(default_factory=dict)
    form: Form = PLAIN

    def opened(self, name: str, stored: bytes, *, where: str, pinned: bool = False) -> tuple[bytes, Form]:
        """The content of a small file, and how the files that belong to it are stored.

        Args:
            name: of the file, as it was stored.
            stored: all of its bytes.
            where: its address, for messages.
            pinned: the digest of its content is known, so that one that is not encrypted is believed, too.

        Raises:
            StorageError: the key that it was encrypted with is not given.
            ArtifactError: it was changed, or is not encrypted where it has to be.
        """
        if (key_id := sealed_with(stored)) is None:
            if self.form is not PLAIN and not pinned:
                raise ArtifactError(
                    f"{name} in {where} is not encrypted, so anybody may have written it: on a laptop leave"
                    " --encryption-key out, or ask for it by its digest"
                )
            return stored, PLAIN
        if (form := self.known.get(key_id)) is None:
            raise _missing(name, where, key_id, self.known, pinned=pinned)
        content = io.BytesIO()  # which gives its bytes without a copy: a checkpoint may be large
        try:
            content.writelines(form.restore(name, [stored]))
            return content.getvalue(), form
        except ArtifactError as error:
            raise ArtifactError(f"{error} ({where})") from None


NO_KEYS: Final = Keys()


def read_keys(environment: Mapping[str, str]) -> Keys:
    """The keys that an environment names.

    Raises:
        StorageError: one is not there, or is no key.
    """
    paths = [Path(path) for path in environment.get(ENCRYPTION_KEYS_ENV, "").split(os.pathsep) if path]
    files = [path for path in paths if not path.is_dir()]
    for folder in (path for path in paths if path.is_dir()):
        # In the mount of a Secret all that begins with a point is the kubelet's.
        held = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
        if not held:
            message = (
                f"the folder {folder} of encryption keys is empty: put a key into the Secret of {_FIELD}; on a laptop"
                " name the file of a key, or the folder that has it, with --encryption-key"
            )
            raise StorageError("EncryptionKeyMissing", message, field=_FIELD)
        files += held
    forms = [Sealed(_read_key(path)) for path in files]
    encrypts = bool(paths) and not paths[0].is_dir()
    return Keys(known={form.key_id: form for form in forms}, form=forms[0] if encrypts else PLAIN)


def _read_key(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_FILE_BYTES)
    except OSError as error:
        message = (
            f"the encryption key {path} cannot be read: {error.strerror}: correct the name in {_FIELD}.key, or put the"
            " key into the Secret; on a laptop name its file with --encryption-key"
        )
        raise StorageError("EncryptionKeyMissing", message, field=_FIELD) from None
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except binascii.Error:
        key = b""
    if len(key) != KEY_BYTES:
        message = f"{path} is no encryption key: {KEY_BYTES} bytes in base64 are one, as of `openssl rand -base64 32`"
        raise StorageError("EncryptionKeyInvalid", message, field=_FIELD)
    return key


def _missing(name: str, where: str, key_id: bytes, known: Mapping[bytes, Sealed], *, pinned: bool) -> StorageError:
    given = ", ".join(sorted(one.hex() for one in known)) or "none"
    # What is meant by its digest cannot be made again.
    lost = "" if pinned else f", or delete what lies in {where} if the key is lost, and it is made again"
    message = (
        f"{name} in {where} is encrypted with the key of id {key_id.hex()}, which is not given (given: {given}): keep"
        f" the keys of older artifacts in the Secret of {_FIELD}{lost}; on a laptop name its file with --encryption-key"
    )
    return StorageError("EncryptionKeyMissing", message, field=_FIELD)
