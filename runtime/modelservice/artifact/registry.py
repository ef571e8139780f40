"""A repository of an OCI registry: its manifests and blobs, asked again while a failure may pass.

See https://github.com/opencontainers/distribution-spec.
"""

import hashlib
import http.client
import time
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from typing import Final, NamedTuple, TypeVar

from modelservice.artifact.download import Piece
from modelservice.artifact.errors import ArtifactError, StorageUnavailableError
from modelservice.artifact.patience import RETRY_SECONDS, waits
from modelservice.artifact.registry_client import (
    MAX_ANSWER_BYTES,
    RefusedError,
    RegistryClient,
    UnansweredError,
    with_query,
)
from modelservice.artifact.registry_credentials import Credentials
from modelservice.contract.digests import sha256, written
from modelservice.contract.failure import StorageError

_FIELD: Final = "spec.artifacts.image"
_REPOSITORY_FIELD: Final = "spec.artifacts.image.repository"
_READ_BYTES: Final = 1 << 20
_BYTES: Final = {"Content-Type": "application/octet-stream"}

Result = TypeVar("Result")


class Stored(NamedTuple):
    """A manifest as it lies there, and the digest of just these bytes."""

    body: bytes
    digest: str


class Registry:
    """One repository."""

    def __init__(
        self,
        host: str,
        repository: str,
        *,
        plain_http: bool = False,
        credentials: Callable[[], Credentials | None] = lambda: None,
        seconds: float = RETRY_SECONDS,
    ) -> None:
        """Args: host with port, the repository, whether TLS is left out, what opens it, and how long is tried."""
        self.place = f"{host}/{repository}"
        self._seconds = seconds
        self._client = RegistryClient(host, repository, plain_http=plain_http, credentials=credentials)

    def may_push(self) -> None:
        """Begin an upload and take it back.

        Raises:
            StorageError: it is refused, or fails.
        """
        client = self._client
        upload = self._again(lambda: client.location("POST", "blobs/uploads/", action="push", data=b""), "push")
        try:
            client.ask("DELETE", upload, action="push")
        except (RefusedError, UnansweredError):
            return  # not every registry takes one back; it ends by itself

    def manifest(self, reference: str, media_types: Iterable[str]) -> Stored | None:
        """A manifest by its tag or digest, None where none is.

        Raises:
            ArtifactError: it is too large, or not that of the digest.
            StorageError: it is refused, or fails.
        """
        headers = {"Accept": ", ".join(media_types)}

        def ask() -> bytes | None:
            try:
                return self._client.ask("GET", f"manifests/{reference}", headers=headers)
            except RefusedError as error:
                if error.status != HTTPStatus.NOT_FOUND:
                    raise
                return None

        if (body := self._again(ask, "pull")) is None:
            return None
        if len(body) > MAX_ANSWER_BYTES:
            raise ArtifactError(f"the manifest {reference} in {self.place} has more than {MAX_ANSWER_BYTES} bytes")
        digest = sha256(body)
        if ":" in reference and digest != reference:
            raise ArtifactError(f"the manifest {reference} in {self.place} has digest {digest}")
        return Stored(body, digest)

    def put_manifest(self, reference: str, body: bytes, media_type: str) -> None:
        """Store a manifest under its digest, or under a tag, whatever that was before.

        Raises:
            StorageError: it is refused, or fails.
        """
        path, headers = f"manifests/{reference}", {"Content-Type": media_type}
        self._again(lambda: self._client.ask("PUT", path, action="push", headers=headers, data=body), "push")

    def delete_manifest(self, digest: str) -> None:
        """Remove a manifest, and with it its tags; nothing happens where there is none.

        Raises:
            StorageError: it is refused, or fails.
        """

        def ask() -> None:
            try:
                self._client.ask("DELETE", f"manifests/{digest}", action="delete")
            except RefusedError as error:
                if error.status != HTTPStatus.NOT_FOUND:
                    raise

        self._again(ask, "push")

    def blob(self, digest: str, size: int) -> Iterator[Piece]:
        """The bytes of a blob, exactly so many; one that breaks off is gone on with where it was.

        Raises:
            ArtifactError: it is not there, is shorter, or is another one, which is known at the end.
            StorageError: it is refused, or fails.
        """
        state, at = hashlib.sha256(), 0
        while at < size:
            begun = at
            with self._again(lambda begin=at: self._blob_from(digest, begin), "pull") as response:  # type: ignore[misc]
                try:
                    while at < size and (piece := response.read(min(_READ_BYTES, size - at))):
                        at += len(piece)
                        state.update(piece)
                        yield piece
                except (OSError, http.client.HTTPException) as error:
                    if at == begun:
                        raise self._unavailable(str(error)) from None
                else:
                    if at == begun and response.length:  # it said that there is more, and left
                        raise self._unavailable(f"{response.length} bytes of the blob {digest} did not come")
                    if at == begun:
                        raise ArtifactError(f"the blob {digest} in {self.place} ends before its {size} bytes")
        if written(state) != digest:
            raise ArtifactError(f"the blob {digest} in {self.place} is another one: it has digest {written(state)}")

    def upload(self, pieces: Callable[[], Iterable[Piece]], size: int) -> str:
        """Store a blob, which is hashed on its way, and give its digest.

        Args:
            pieces: gives all of it, anew for each try, perhaps in other bytes.
            size: in bytes.

        Raises:
            StorageError: it is refused, or fails.
        """
        return self._again(lambda: self._upload(pieces(), size), "push")

    def _upload(self, pieces: Iterable[Piece], size: int) -> str:
        client, state = self._client, hashlib.sha256()
        upload = client.location("POST", "blobs/uploads/", action="push", data=b"")
        headers = {**_BYTES, "Content-Length": str(size)}
        upload = client.location("PATCH", upload, action="push", headers=headers, data=_hashed(pieces, state))
        digest = written(state)
        client.ask("PUT", with_query(upload, {"digest": digest}), action="push", headers=_BYTES, data=b"")
        return digest

    def _blob_from(self, digest: str, begin: int) -> http.client.HTTPResponse:
        """The answer that gives a blob from a place on; a registry that gives no parts gives what is before it, too."""
        headers = {"Range": f"bytes={begin}-"} if begin else {}
        try:
            response = self._client.open("GET", f"blobs/{digest}", headers=headers)
        except RefusedError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            raise ArtifactError(f"the blob {digest} is missing in {self.place}") from None
        left = 0 if response.status == HTTPStatus.PARTIAL_CONTENT else begin
        try:
            while left and (dropped := response.read(min(_READ_BYTES, left))):
                left -= len(dropped)
        except (OSError, http.client.HTTPException) as error:
            response.close()
            raise UnansweredError(str(error)) from None
        return response

    def _again(self, ask: Callable[[], Result], action: str) -> Result:
        """What a request gives, made again while its failure may pass; ``action``: what it needs the right to.

        Time counts from the first failure: one upload may take longer than all tries of another one.
        """
        deadline = float("inf")
        for wait in waits():
            try:
                return ask()
            except RefusedError as error:
                raise self._storage_error(error, action) from None
            except UnansweredError as error:
                deadline = min(deadline, time.monotonic() + self._seconds)
                if time.monotonic() + wait > deadline:
                    raise self._unavailable(str(error)) from None
            time.sleep(wait)
        raise AssertionError

    def _unavailable(self, said: str) -> StorageUnavailableError:
        return StorageUnavailableError("StorageUnavailable", f"{self.place} does not answer as it should: {said}")

    def _storage_error(self, error: RefusedError, action: str) -> StorageError:
        """What a refusal means: whether rights, repository or settings must change."""
        if error.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            # A pod that trains looks first whether its artifact is there, with the Secret that pushes.
            rights, secrets = "pull and push", f"{_FIELD}.pushSecretRef"
            if action == "pull":
                rights, secrets = "pull", f"{_FIELD}.pullSecretRef, and of a pod that trains in pushSecretRef"
            message = (
                f"{self.place} refuses: name a Secret of type kubernetes.io/dockerconfigjson that may {rights} there in"
                f" {secrets}; on a laptop docker login (credential helpers are not asked): {error.said}"
            )
            return StorageError("StorageForbidden", message, field=_FIELD if action == "pull" else secrets)
        if error.status == HTTPStatus.NOT_FOUND:
            remedy = f"create it, or correct {_REPOSITORY_FIELD}"
            message = f"{self.place}: there is no such repository: {remedy}: {error.said}"
            return StorageError("RepositoryNotFound", message, field=_REPOSITORY_FIELD)
        message = f"{self.place} cannot be used as it is set: correct {_FIELD}: {error.said}"
        return StorageError("StorageSettingsInvalid", message, field=_FIELD)


def _hashed(pieces: Iterable[Piece], state: "hashlib._Hash") -> Iterator[bytes]:
    for piece in pieces:
        state.update(piece)
        yield piece  # type: ignore[misc]  # http.client sends any buffer
