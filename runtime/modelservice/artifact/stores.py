"""Where artifacts are kept; the address says which store: a folder, or an object storage's URI."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from modelservice.artifact.load import Artifact
from modelservice.contract.manifest import Manifest


class Store(Protocol):
    """Reads and writes the artifact at one address."""

    def prepare(self) -> None:
        """Find out before the work whether its result can be stored there.

        Raises:
            StorageError, OSError: it cannot, or not now.
        """

    def load(self, *, digest: str | None = None) -> Artifact | None:
        """The verified artifact, None where there is none.

        Raises:
            ArtifactError: what lies there is damaged, or not the wanted one.
        """

    def publish(self, manifest: Manifest, files: Mapping[str, bytes]) -> str:
        """Store an artifact, the manifest last, and give its digest.

        Raises:
            ArtifactError: what lies there is no artifact, and not ours to replace.
            StorageError, OSError: the store refuses, or fails.
        """

    def discard(self) -> None:
        """Remove a damaged artifact of ours."""


def open_store(address: str | Path, *, scratch: str = "") -> Store:
    """The store of an address: ``s3://``, ``gs://``, ``az://``, or the path of a folder.

    ``scratch`` makes temporary names unique between pods.
    """
    raise NotImplementedError
