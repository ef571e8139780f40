"""An artifact in object storage: S3 and what speaks like it, Google Cloud Storage, Azure Blob Storage.

Below the address lie ``manifest.json`` and each file under the start of its own sha256. So two pods that store the same
key at the same time cannot mix their files, and of two manifests the first one stays (create-only put).
Credentials, region and endpoint come from the environment, under each store's own standard names.
"""

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Final

from modelservice.artifact.answers import (
    Answer,
    Wrong,
    identity,
    is_missing_object,
    plain_http,
    sentence,
    told_apart,
)
from modelservice.artifact.download import REQUESTS, Piece, in_parts, is_one_part
from modelservice.artifact.errors import ArtifactError, StorageUnavailableError
from modelservice.artifact.files import MAX_MANIFEST_BYTES, check_size, document_bytes
from modelservice.artifact.keys import NO_KEYS, Keys
from modelservice.artifact.load import Artifact, Hashed, collected, verify
from modelservice.artifact.patience import FIRST_WAIT_SECONDS, MAX_RETRIES, RETRY_SECONDS, retry_config, told_when_slow
from modelservice.artifact.sealing import PLAIN, Form
from modelservice.artifact.stores.base import StoreOptions
from modelservice.contract.digests import sha256
from modelservice.contract.failure import StorageError
from modelservice.contract.manifest import KNOWN_FILES, MANIFEST_FILE, FileEntry, Manifest

if TYPE_CHECKING:
    from obstore import GetOptions
    from obstore.store import ObjectStore

    from modelservice.artifact.cache import Cache, Entry

SCHEMES: Final = ("s3", "gs", "az")

CHECKPOINTS: Final = "checkpoints"
"""Folder below an artifact's address for what work under way leaves."""
_PROBE = ".write-test"
_MOST_OBJECTS: Final = 10_000
"""Below an artifact's address: its files, a few times over where pods were killed in the middle, and checkpoints."""
_PUT_AT_ONCE: Final = 5 << 20
"""Bytes, as of one part in a store."""
_DIGEST_LENGTH = 16
_OURS = re.compile(
    rf"{re.escape(MANIFEST_FILE)}|{re.escape(_PROBE)}-[^/]*|{CHECKPOINTS}/[^/]+"
    rf"|[0-9a-f]{{{_DIGEST_LENGTH}}}/({'|'.join(map(re.escape, sorted(KNOWN_FILES)))})"
)
"""Names below an artifact's address that this release writes."""
_SECRET_FIELD = "spec.artifacts.secretRef"  # noqa: S105 - the name of a field
_URI_FIELD = "spec.artifacts.uri"


class ObjectArtifactStore:
    """The artifact below a prefix of a bucket; the first of two artifacts of one key stays."""

    stored_as: str | None = None

    def __init__(
        self,
        objects: "ObjectStore",
        *,
        address: str,
        scratch: str = "local",
        cache: "Cache | None" = None,
        keys: Keys = NO_KEYS,
    ) -> None:
        """Args: the prefix as obstore knows it, its address for messages, a name for what is only tried, and more.

        For ``cache`` and ``keys`` see ``StoreOptions``.
        """
        self._objects = objects
        self._cache = cache
        self._keys = keys
        self._address = address
        self._probe = f"{_PROBE}-{scratch}"

    def prepare(self) -> None:
        """Write and remove an empty object; see ``Store``."""
        with told_when_slow(self._address), self._said():
            self._objects.put(self._probe, b"")
        with contextlib.suppress(StorageError), self._said():  # one who may only add can store an artifact, too
            self._objects.delete(self._probe)

    def load(self, *, digest: str | None = None) -> Artifact | None:
        """Download the manifest, then each file that it lists, and verify them; see ``Store``.

        With a cache, an artifact of a known digest that was downloaded before is asked of nobody.
        """
        for raw, form in self._kept_manifests(digest):
            # It may have been stored again since, with another key.
            with contextlib.suppress(ArtifactError, StorageError):
                return self._verified(raw, form, digest)
        with told_when_slow(self._address):
            stored = self._get(MANIFEST_FILE, MANIFEST_FILE)
        if stored is None:
            return None
        raw, form = self._opened(stored, digest)
        if self._cache is not None and sha256(raw) == digest:
            self._cache.put(form.identify(digest), stored)
        return self._verified(raw, form, digest)

    def publish(self, manifest: Manifest, files: Mapping[str, bytes], *, raw: bytes | None = None) -> str:
        """Upload the files, then the manifest if there is none; see ``Store``."""
        from obstore.exceptions import AlreadyExistsError  # noqa: PLC0415

        form = self._keys.form
        with self._said():
            for name, content in files.items():
                path = object_name(name, manifest.files[name], form)
                if form is PLAIN:
                    self._objects.put(path, content)
                else:
                    put_pieces(self._objects, path, form.store(name, [content]), size=form.size(len(content)))
        raw = raw or document_bytes(manifest)
        sealed = b"".join(form.store(MANIFEST_FILE, [raw]))
        try:
            with self._said():
                self._objects.put(MANIFEST_FILE, sealed, mode="create")
        except AlreadyExistsError:
            if (found := self._intact(manifest.key)) is not None:
                return found
            with self._said():
                self._objects.put(MANIFEST_FILE, sealed)
        return sha256(raw)

    def discard(self) -> None:
        """Remove the manifest, which makes the artifact none, then its files; see ``Store``."""
        with self._said():
            found = (str(one["path"]) for batch in self._objects.list() for one in batch)
            paths = list(islice(found, _MOST_OBJECTS + 1))
        if len(paths) > _MOST_OBJECTS:
            raise ArtifactError(f"{self._address} holds more than {_MOST_OBJECTS} objects: no artifact does, move them")
        if foreign := sorted(path for path in paths if not _OURS.fullmatch(path)):
            raise ArtifactError(
                f"{self._address} also holds {foreign[0]!r}, which is no part of an artifact: move it first"
            )
        for path in sorted(paths, key=lambda path: path != MANIFEST_FILE):
            with self._said(), contextlib.suppress(FileNotFoundError):
                self._objects.delete(path)

    def _intact(self, key: str) -> str | None:
        """The digest of the artifact of this key that somebody else stored, None if it cannot be trusted."""
        try:
            found = self.load()
        except ArtifactError:
            return None
        return found.digest if found is not None and found.manifest.key == key else None

    def _verified(self, raw: bytes, form: Form, digest: str | None) -> Artifact:
        """The artifact of a manifest; several files are fetched at a time, since most are small, and far away."""
        pool = ThreadPoolExecutor(max_workers=REQUESTS, thread_name_prefix="files")

        def read(files: Mapping[str, FileEntry]) -> Iterator[Hashed]:
            return pool.map(partial(self._file, form), files, files.values())

        try:
            return verify(raw, read, where=self._address, digest=digest)
        finally:
            pool.shutdown(cancel_futures=True)

    def _kept_manifests(self, digest: str | None) -> Iterator[tuple[bytes, Form]]:
        """The bytes of the manifest of this digest in each form that the cache has, and how its files are stored."""
        if self._cache is None or digest is None:
            return
        forms: tuple[Form, ...] = (*self._keys.known.values(), PLAIN)
        for form in forms:
            stored = self._cache.find(form.identify(digest), limit=MAX_MANIFEST_BYTES)
            if stored is None:
                continue
            with contextlib.suppress(ArtifactError, StorageError):
                raw, found = self._opened(stored, digest)
                if found is form and sha256(raw) == digest:
                    yield raw, form

    def _opened(self, manifest: bytes, digest: str | None) -> tuple[bytes, Form]:
        return self._keys.opened(MANIFEST_FILE, manifest, where=self._address, pinned=digest is not None)

    def _file(self, form: Form, name: str, entry: FileEntry) -> Hashed:
        """A listed file, of which as much is downloaded as the cache does not hold.

        It is downloaded once more where that is not it: what was kept may be anything, and another pod may have stored
        the file again in the middle, encrypted anew.
        """
        fetch = partial(self._pieces, form, name, entry)
        with contextlib.suppress(ArtifactError):
            found = self._through_cache(form, name, entry, fetch)
            if found.sha256 == entry.sha256:
                return found
        return collected(form.restore(name, fetch(0)))

    def _through_cache(
        self, form: Form, name: str, entry: FileEntry, fetch: Callable[[int], Iterator[Piece]]
    ) -> Hashed:
        with self._entry(form, entry) as kept:
            if kept is None:
                return collected(form.restore(name, fetch(0)))
            try:
                found = collected(form.restore(name, kept.pieces(fetch)))
            except ArtifactError:
                kept.drop()
                raise
            if found.sha256 == entry.sha256:
                kept.keep()
            else:
                kept.drop()
            return found

    def _entry(self, form: Form, entry: FileEntry) -> AbstractContextManager["Entry | None"]:
        if self._cache is None:
            return contextlib.nullcontext()
        return self._cache.entry(form.identify(entry.sha256), form.size(entry.size))

    def _pieces(self, form: Form, name: str, entry: FileEntry, begin: int) -> Iterator[Piece]:
        """What is stored of a listed file from a place on; in parts of one version, where it is large."""
        path, size = object_name(name, entry, form), form.size(entry.size)
        version = None if is_one_part(begin=begin, size=size) else self._version(path)

        def fetch(start: int, end: int) -> Piece:
            content = self._get(path, name, expected=size, part=(start, end), version=version)
            if content is None:
                raise ArtifactError(
                    f"{name} is missing in {self._address}, where it is stored as {path}: if a folder was copied there,"
                    " name it in spec.model.artifact, which reads that, too; else put the whole artifact there"
                )
            return content

        yield from in_parts(fetch, begin=begin, size=size)

    def _version(self, path: str) -> str | None:
        """The version of an object that is there now (ETag), if the store tells one."""
        with self._said():
            try:
                return self._objects.head(path)["e_tag"]
            except FileNotFoundError:
                return None  # which the first part says better

    def _get(
        self,
        path: str,
        name: str,
        *,
        expected: int | None = None,
        part: tuple[int, int] | None = None,
        version: str | None = None,
    ) -> bytes | None:
        """An object or a part of it, None if it is not there; its size is checked before it is read.

        Raises:
            ArtifactError: it has another size, or is not of this version any more.
            StorageError: the store refuses or fails.
        """
        from obstore.exceptions import PreconditionError  # noqa: PLC0415

        options: GetOptions = {} if part is None or part == (0, expected) else {"range": part}
        if version is not None:
            options["if_match"] = version
        with self._said():
            try:
                result = self._objects.get(path, options=options)
            except PreconditionError:
                raise ArtifactError(f"{name} in {self._address} was stored again while it was read") from None
            except FileNotFoundError as error:
                if not is_missing_object(error):
                    raise  # no bucket, for one
                return None
            check_size(name, result.meta["size"], expected=expected)
            return bytes(result.bytes())

    def _said(self) -> AbstractContextManager[None]:
        """Errors of obstore in the words of an artifact store."""
        return told_apart(lambda answer: storage_error(self._address, answer))


def object_name(name: str, entry: FileEntry, form: Form = PLAIN) -> str:
    """Where a file lies below the artifact's prefix."""
    return f"{form.identify(entry.sha256)[:_DIGEST_LENGTH]}/{name}"


def put_pieces(objects: "ObjectStore", path: str, pieces: Iterable[Piece], *, size: int) -> None:
    """Upload an object of so many bytes, of which at most a few parts are in memory.

    Pieces that are put one by one take three requests, together they take one.
    """
    objects.put(path, b"".join(pieces) if size <= _PUT_AT_ONCE else iter(pieces))


def open_objects(address: str, options: StoreOptions) -> ObjectArtifactStore:
    """The store of a URI; see ``objects_at``.

    Raises:
        StorageError: what the environment says cannot be.
    """
    objects = objects_at(address, seconds=RETRY_SECONDS)
    return ObjectArtifactStore(
        objects, address=address, scratch=options.scratch, cache=options.cache, keys=options.keys
    )


def objects_at(address: str, *, seconds: float) -> "ObjectStore":
    """What lies below a URI, with what the environment says of it; a store that is away is asked for so many seconds.

    An endpoint of one's own (``AWS_ENDPOINT_URL``) is asked by path (``endpoint/bucket/key``), as obstore does unless
    ``AWS_VIRTUAL_HOSTED_STYLE_REQUEST`` says otherwise; plain HTTP wants ``AWS_ALLOW_HTTP``.

    Raises:
        StorageError: what the environment says cannot be.
    """
    from obstore.exceptions import BaseError  # noqa: PLC0415
    from obstore.store import from_url  # noqa: PLC0415

    try:
        # The union of obstore's stores, of which HTTP is not among our schemes.
        objects: ObjectStore = from_url(
            address,
            retry_config=retry_config(retries=MAX_RETRIES, seconds=seconds, first_wait=FIRST_WAIT_SECONDS),
        )
    except (BaseError, ValueError) as error:
        raise _settings_error(address, sentence(error)) from error
    return objects


def storage_error(address: str, answer: Answer) -> StorageError:
    """What an answer means for artifacts: whether rights, address or settings must change, or time must pass."""
    said = answer.said
    if answer.wrong is Wrong.RIGHTS:
        message = (
            f"{address} refuses these credentials: give keys that may get, put, list and delete objects there with"
            f" {_SECRET_FIELD}, or the pods' ServiceAccount the right to ({said})"
        )
        return StorageError("StorageForbidden", message, field=_SECRET_FIELD)
    if answer.wrong in {Wrong.IDENTITY, Wrong.NO_IDENTITY}:
        message = identity(address, answer, secret=_SECRET_FIELD)
        refused = answer.wrong is Wrong.IDENTITY
        kind, reason = (
            (StorageError, "StorageForbidden") if refused else (StorageUnavailableError, "StorageUnavailable")
        )
        return kind(reason, message, field=_SECRET_FIELD)
    if answer.wrong is Wrong.BUCKET:
        message = f"{address}: there is no such bucket: create it, or correct {_URI_FIELD} ({said})"
        return StorageError("BucketNotFound", message, field=_URI_FIELD)
    if answer.wrong is Wrong.PASSING:
        return StorageUnavailableError("StorageUnavailable", f"{address} does not answer as it should: {said}")
    if answer.wrong is Wrong.PLAIN_HTTP:
        return _settings_error(address, plain_http(address))
    return _settings_error(address, said)


def _settings_error(address: str, said: str) -> StorageError:
    message = f"{address} cannot be used as it is set: correct region, endpoint or keys with {_SECRET_FIELD}: {said}"
    return StorageError("StorageSettingsInvalid", message, field=_SECRET_FIELD)
