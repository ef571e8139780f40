"""Data in object storage or on a web server: the objects that ``spec.data.uri`` names, read whole or in parts.

Credentials, region and endpoint come from the environment, under each store's own standard names. Redirects are
followed, from https to https only.
"""

import hashlib
import io
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from modelservice.artifact.answers import Answer, Wrong, identity, plain_http, sentence, told_apart
from modelservice.artifact.patience import FIRST_WAIT_SECONDS, MAX_RETRIES, RETRY_SECONDS, retry_config
from modelservice.contract.digests import written
from modelservice.contract.failure import About, DataError, Retry, StageError
from modelservice.modalities.files import MAX_FILES, fits, inflate

if TYPE_CHECKING:
    from obstore import GetOptions, ObjectMeta
    from obstore.store import ClientConfig, ObjectStore

PART_BYTES: Final = 64 << 20
"""One request fetches so much: obstore ends each after 30 s, which a slow line needs for less than a large object."""
_WEB_SECONDS: Final = 600
"""The same for a web server, which is asked for all at once."""
_DIGESTED: Final = 8 << 20
"""Bytes that are held while an object is hashed that is too large to be held."""

URI_FIELD: Final = "spec.data.uri"
SECRET_FIELD: Final = "spec.data.secretRef"  # noqa: S105 - the name of a field
_WEB: Final = "https"


class DataUnavailableError(StageError):
    """The store of the data did not answer, or not as a store in order does: another try may go better."""

    ABOUT = About.STORAGE
    RETRY = Retry.SOON


@dataclass(frozen=True, kw_only=True)
class Objects:
    """The objects of a store that a URI names.

    Attributes:
        store: as obstore knows it.
        root: address of the store, for messages.
        path: of the object below it, with ``*`` for any text in its last part; empty where ``root`` is the object.
        field: what named it, for errors.
    """

    store: "ObjectStore"
    root: str
    path: str
    field: str = URI_FIELD

    @property
    def web(self) -> bool:
        """Whether the object is on a web server, of which not all can give parts."""
        return not self.path

    @property
    def many(self) -> bool:
        """Whether the URI may name several."""
        return "*" in self.path

    def address(self, path: str) -> str:
        """What people call an object."""
        return f"{self.root}/{path}" if path else self.root

    def paths(self) -> list[str]:
        """Paths of the objects in the order of their names; those that begin with a point are hidden.

        Raises:
            DataError: there are none, or too many, or they may not be listed.
            DataUnavailableError: the store fails.
        """
        if not self.many:
            return [self.path]
        folder, _, pattern = self.path.rpartition("/")
        with self._said(self.path):
            found = self.store.list_with_delimiter(folder or None)["objects"]
        paths = sorted(one["path"] for one in found if fits(pattern, one["path"].rpartition("/")[2]))
        if not paths:
            message = f"{self.address(self.path)} fits no object: {_put_there(self.field)}"
            raise DataError("DataNotFound", message, field=self.field)
        if len(paths) > MAX_FILES:
            message = f"{self.address(self.path)} fits {len(paths)} objects, at most {MAX_FILES} are read: use fewer"
            raise DataError("DataTooLarge", message, field=self.field)
        return paths

    def read(self, path: str, *, limit: int) -> bytes:
        """The inflated content of an object, plain or gzip; its size is looked at before it is fetched.

        Raises:
            DataError: there is none, it may not be read, has more than ``limit`` bytes, or is damaged.
            DataUnavailableError: the store fails.
        """
        with self._said(path):
            result = self.store.get(path)
            if (size := result.meta["size"]) > limit:
                message = f"{self.address(path)} has {size} bytes, at most {limit} can be read: give fewer rows"
                raise DataError("DataTooLarge", message, field=self.field)
            content = self._fetch(path, result.meta) if size > PART_BYTES and not self.web else bytes(result.bytes())
        return inflate(content, limit=limit, field=self.field)

    def random_access(self, path: str) -> "StoredObject":
        """An object that is read in parts, and not fetched; for errors see ``read``."""
        with self._said(path):
            return StoredObject(self, path, self.store.get(path).meta)

    def part(self, path: str, meta: "ObjectMeta", begin: int, end: int) -> bytes:
        """Bytes of an object, of the version that ``meta`` tells; for errors see ``read``."""
        options: GetOptions = {"range": (begin, end)}
        if meta["e_tag"]:
            options["if_match"] = meta["e_tag"]
        with self._said(path):
            return bytes(self.store.get(path, options=options).bytes())

    def _fetch(self, path: str, meta: "ObjectMeta") -> bytes:
        """A large object in parts, of which each is tried again by itself; all of one version."""
        size = meta["size"]
        begins = range(0, size, PART_BYTES)
        return b"".join(self.part(path, meta, begin, min(begin + PART_BYTES, size)) for begin in begins)

    def _said(self, path: str) -> AbstractContextManager[None]:
        return told_apart(lambda answer: data_error(self.address(path), answer, field=self.field))


class StoredObject:
    """An object as a file of which any part can be read, all of one version; a ``RandomAccess``."""

    ahead = 64 << 20

    def __init__(self, objects: Objects, path: str, meta: "ObjectMeta") -> None:
        self._objects, self._path, self._meta = objects, path, meta

    def open(self) -> io.RawIOBase:
        """See ``RandomAccess``."""
        return _Parts(partial(self._objects.part, self._path, self._meta), self._meta["size"])

    def version(self) -> Hashable:
        """Of the store: a part of another one is not read."""
        return self._meta["e_tag"]

    def sha256(self) -> str:
        """See ``RandomAccess``."""
        state, size = hashlib.sha256(), self._meta["size"]
        for begin in range(0, size, _DIGESTED):
            state.update(self._objects.part(self._path, self._meta, begin, min(begin + _DIGESTED, size)))
        return written(state)


class _Parts(io.RawIOBase):
    """What is read is fetched, no more and no less."""

    def __init__(self, fetch: Callable[[int, int], bytes], size: int) -> None:
        self._fetch, self._size, self._at = fetch, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        end = min(self._at + len(buffer), self._size)
        if end <= self._at:
            return 0
        content = self._fetch(self._at, end)
        buffer[: len(content)] = content
        self._at += len(content)
        return len(content)


def _put_there(field: str) -> str:
    return f"correct {field}, or put it there, and change spec.data.version where it is to be looked for again"


def open_objects(uri: str, *, field: str = URI_FIELD) -> Objects:
    """The objects of a URI, with what the environment says of their store.

    Args:
        uri: the address.
        field: what named it, for errors.

    Raises:
        DataError: what the environment says cannot be.
    """
    from obstore.exceptions import BaseError  # noqa: PLC0415
    from obstore.store import HTTPStore, from_url  # noqa: PLC0415

    retries = retry_config(retries=MAX_RETRIES, seconds=RETRY_SECONDS, first_wait=FIRST_WAIT_SECONDS)
    scheme, _, below = uri.partition("://")
    bucket, _, path = below.partition("/")
    try:
        if scheme == _WEB:
            options: ClientConfig = {"timeout": timedelta(seconds=_WEB_SECONDS)}
            server = HTTPStore.from_url(uri, client_options=options, retry_config=retries)
            return Objects(store=server, root=uri, path="", field=field)
        root = f"{scheme}://{bucket}"
        # The union of obstore's stores, of which HTTP is not among the schemes that are left.
        store: ObjectStore = from_url(root, retry_config=retries)
        return Objects(store=store, root=root, path=path, field=field)
    except (BaseError, ValueError) as error:
        raise data_error(uri, Answer(Wrong.SETTINGS, sentence(error)), field=field) from error


def data_error(address: str, answer: Answer, *, field: str = URI_FIELD) -> StageError:
    """What an answer means for data: whether rights, address or settings must change, or time must pass."""
    said, web = answer.said, address.startswith(f"{_WEB}:")
    if answer.wrong is Wrong.NO_IDENTITY:
        message = identity(address, answer, secret=SECRET_FIELD)
        return DataUnavailableError("DataUnavailable", message, field=SECRET_FIELD)
    if answer.wrong is Wrong.IDENTITY:
        return DataError("DataForbidden", identity(address, answer, secret=SECRET_FIELD), field=SECRET_FIELD)
    if answer.wrong is Wrong.PASSING:
        return DataUnavailableError("DataUnavailable", f"{address} does not answer as it should: {said}")
    if answer.wrong in {Wrong.BUCKET, Wrong.OBJECT}:
        what = "bucket" if answer.wrong is Wrong.BUCKET else "object"
        return DataError(
            "DataNotFound", f"{address}: there is no such {what}: {_put_there(field)} ({said})", field=field
        )
    if answer.wrong is Wrong.RIGHTS:
        remedy = (
            f"name an address in {field} that anybody may read"
            if web
            else f"give keys that may get and list objects there with {SECRET_FIELD}, or the pods' ServiceAccount the"
            " right to; S3 says the same of an object that is not there to those who may not list"
        )
        message = f"{address} refuses to be read: {remedy} ({said})"
        return DataError("DataForbidden", message, field=field if web else SECRET_FIELD)
    if answer.wrong is Wrong.PLAIN_HTTP:
        said = "it leads on to plain HTTP" if web else plain_http(address)
    remedy = f"name another address in {field}" if web else f"correct region, endpoint or keys with {SECRET_FIELD}"
    message = f"{address} cannot be read as it is set: {remedy}: {said}"
    return DataError("DataSettingsInvalid", message, field=field if web else SECRET_FIELD)
