"""Where artifacts are kept: what a store answers."""

from collections.abc import Mapping
from typing import Protocol

from modelservice.artifact.load import Artifact
from modelservice.contract.manifest import Manifest


class Store(Protocol):
    """Reads and writes the artifact at one address."""

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

    def publish(self, manifest: Manifest, files: Mapping[str, bytes]) -> str:
        """Store an artifact, the manifest last, and give the digest of what lies there now.

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
