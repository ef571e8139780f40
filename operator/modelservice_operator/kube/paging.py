"""Lists in pages whose bytes are bounded: ``limit`` bounds only their number, and a tenant writes what is in them."""

from collections.abc import Mapping

import structlog

from modelservice_operator.kube.transport import ANSWER_BYTES, Transport, parsed
from modelservice_operator.machinery.errors import NotFound, TooLarge
from modelservice_operator.machinery.reflector import Page
from modelservice_operator.objects import Kind

log = structlog.get_logger(__name__)

OBJECTS, METADATA_OBJECTS = 100, 500
"""Objects in the first page; those of later ones are as many as fit."""

LAST_BYTES = 4 * ANSWER_BYTES
"""Of the metadata of one object, which is read whatever it is: etcd takes no object whose JSON is as long."""

METADATA = {"Accept": "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"}
METADATA_LIST = {"Accept": "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"}


class Pager:
    """One list, read page by page. ``metadata_only`` asks for ``PartialObjectMetadata``.

    A page that is too large is asked for again with half of the objects; an object that alone is too large comes with
    its metadata only.
    """

    def __init__(
        self, *, transport: Transport, kind: Kind, path: str, params: Mapping[str, str], metadata_only: bool
    ) -> None:
        self._transport = transport
        self._kind = kind
        self._path = path
        self._params = params
        self._metadata_only = metadata_only
        self._most = METADATA_OBJECTS if metadata_only else OBJECTS
        self._limit = self._most
        self._token: str | None = ""

    async def next(self) -> Page | None:
        """The next page, or None after the last.

        Raises:
            Expired: The rest of the list is gone: begin again.
            NotFound: The apiserver serves no such kind.
            KubeError: The apiserver did not answer well.
        """
        while self._token is not None:
            try:
                return await self._ask()
            except TooLarge:
                if self._limit == 0:
                    raise
                self._limit //= 2
        return None

    async def _ask(self) -> Page:
        last = self._limit == 0
        params = {**self._params, "limit": str(self._limit or 1), **({"continue": self._token} if self._token else {})}
        headers = METADATA_LIST if self._metadata_only or last else {}
        what = f"list {self._kind.kind} {self._path}"
        try:
            payload = await self._transport.read(
                "list",
                "GET",
                self._kind,
                self._path,
                params=params,
                headers=headers,
                limit_bytes=LAST_BYTES if last else ANSWER_BYTES,
            )
        except NotFound as error:
            raise NotFound(f"{self._kind.resource} is not served, is what defines it installed? {error}") from error
        answer = parsed(payload, what)
        items, metadata = answer.get("items") or [], answer.get("metadata") or {}
        if last:
            for item in items:
                found = item["metadata"]
                log.warning("too large", kind=self._kind.kind, namespace=found["namespace"], name=found["name"])
        if 2 * len(payload) <= ANSWER_BYTES:
            self._limit = min(max(1, 2 * self._limit), self._most)
        self._token = metadata.get("continue") or None
        return Page(items=items, version=metadata.get("resourceVersion", ""))
