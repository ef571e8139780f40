"""Where artifacts are kept, and what work under way leaves beside them: what a store answers."""

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from modelservice.artifact.keys import NO_KEYS, Keys
from modelservice.artifact.load import Artifact
from modelservice.contract.manifest import Manifest

if TYPE_CHECKING:
    from modelservice.artifact.cache import Cache

_CHECKPOINT_NAME: Final = re.compile(r"[a-z0-9][-.a-z0-9]{0,63}")


@dataclass(frozen=True, kw_only=True)
class StoreOptions:
    """What a store is told besides its address.

    Attributes:
        scratch: makes temporary names unique between pods.
        now: the time as file systems have it, for what is stale.
        cache: where what is downloaded is kept; None to keep nothing.
        keys: what files are encrypted with.
    """

    scratch: str = "local"
    now: Callable[[], float] = time.time
    cache: "Cache | None" = None
    keys: Keys = NO_KEYS


class Store(Protocol):
    """Reads and writes the artifact at one address."""

    @property
    def stored_as(self) -> str | None:
        """The digest that the store itself knows what was loaded or published last by; None where it knows none."""

    def prepare(self) -> None:
        """Find out before the work whether its result can be stored there.

        Raises:
            ArtifactError: what lies there is no artifact, and not ours to replace.
            StorageError, OSError: the store refuses, or fails.
        """

    def load(self, *, digest: str | None = None) -> Artifact | None:
        """The verified artifact, None where there is none.

        Raises:
            ArtifactError: what lies there is damaged, or not the wanted one.
            StorageError, OSError: the store refuses, or fails.
        """

    def publish(self, manifest: Manifest, files: Mapping[str, bytes], *, raw: bytes | None = None) -> str:
        """Store an artifact, the manifest last, and give the digest of what lies there now.

        ``raw`` are the bytes of a manifest that was written elsewhere, perhaps by another release: it stays as it is.

        That is another than the given one's where the store keeps the first of two artifacts of one key, and another
        pod was faster.

        Raises:
            ArtifactError: what lies there is no artifact, and not ours to replace.
            StorageError, OSError: the store refuses, or fails.
        """

    def discard(self) -> None:
        """Remove a damaged artifact; nothing happens where there is none.

        Raises:
            ArtifactError: more lies there than an artifact can hold, so it may be somebody's data; nothing was removed.
            StorageError, OSError: the store refuses, or fails.
        """


class Checkpoints(Protocol):
    """What work under way has come to, beside the artifact that will come of it, under names of the work's own.

    It is never part of an artifact. A tenant can write the store: whoever reads must doubt what he reads.
    """

    def read(self, name: str, *, limit: int) -> bytes | None:
        """What was written last under a name, None where nothing was.

        Args:
            name: see ``checkpoint_name``.
            limit: most bytes that are read.

        Raises:
            ArtifactError: it has more bytes, or is no plain file.
            StorageError, OSError: the store refuses, or fails.
        """

    def write(self, name: str, *content: bytes | memoryview) -> None:
        """Put this in the place of what was written before, whole or not at all; parts follow each other.

        Raises:
            StorageError, OSError: the store refuses, or fails, a full disk included.
        """

    def discard(self) -> None:
        """Remove all of them.

        Raises:
            StorageError, OSError: the store refuses, or fails.
        """


def sealed_name(key: str, name: str) -> str:
    """What an encrypted checkpoint is bound to: one of another key, or another one of this key, is not taken for it."""
    return f"checkpoints/{key}/{name}"


def checkpoint_name(name: str) -> str:
    """The name itself, if it is one: up to 64 of a-z, 0-9, dot and hyphen, a letter or digit in front.

    Raises:
        ValueError: it is none.
    """
    if _CHECKPOINT_NAME.fullmatch(name) is None:
        raise ValueError(f"{name!r} is no name of a checkpoint")
    return name
