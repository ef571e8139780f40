"""What the bench itself says to the apiserver: a few requests on one connection."""

import http.client
import json
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

Object = dict[str, Any]
Body = Object | list[Object]

_APPLY, _MERGE = "application/apply-patch+yaml", "application/merge-patch+json"


class ApiError(Exception):
    """The apiserver refused a request; the text is its answer."""


class NotFoundError(ApiError):
    """There is no such object."""


class Api:
    """One user of an apiserver on the loopback."""

    def __init__(self, *, port: int, token: str, authority: Path) -> None:
        self._connection = http.client.HTTPSConnection(
            "127.0.0.1", port, timeout=30, context=ssl.create_default_context(cafile=str(authority))
        )
        self._token = token

    def get(self, path: str) -> Object:
        """The JSON of a GET."""
        return self._request("GET", path)

    def find(self, path: str) -> Object | None:
        """The JSON of a GET, or None where nothing stands."""
        try:
            return self.get(path)
        except NotFoundError:
            return None

    def create(self, collection: str, obj: Object) -> Object:
        """Make an object that is not there yet; ``collection`` is the URL path of its siblings."""
        return self._request("POST", collection, body=obj, content_type="application/json")

    def delete(self, path: str) -> Object:
        """Delete one object."""
        return self._request("DELETE", path)

    def apply(self, collection: str, obj: Object) -> Object:
        """Server-side apply; ``collection`` is the URL path of the object's siblings."""
        query = urlencode({"fieldManager": "bench", "force": "true"})
        path = f"{collection}/{obj['metadata']['name']}?{query}"
        return self._request("PATCH", path, body=obj, content_type=_APPLY)

    def merge(self, path: str, change: Object) -> Object:
        """Change some fields, as ``kubectl patch --type=merge`` does."""
        return self._request("PATCH", path, body=change, content_type=_MERGE)

    def append(self, path: str, pointer: str, value: Any) -> Object:
        """Add an item to a list of an object, or a key to a map; ``pointer`` says where, as JSON Pointer has it."""
        operations = [{"op": "add", "path": pointer, "value": value}]
        return self._request("PATCH", path, body=operations, content_type="application/json-patch+json")

    def is_ready(self) -> bool:
        """Whether the apiserver serves."""
        try:
            self._send("GET", "/readyz", None, {})
        except (OSError, http.client.HTTPException, ApiError):
            self._connection.close()
            return False
        return True

    def close(self) -> None:
        """End the connection; another request would begin another one."""
        self._connection.close()

    def _request(self, method: str, path: str, *, body: Body | None = None, content_type: str = "") -> Object:
        headers = {"Content-Type": content_type} if body is not None else {}
        answer: Object = json.loads(self._send(method, path, json.dumps(body) if body is not None else None, headers))
        return answer

    def _send(self, method: str, path: str, body: str | None, headers: dict[str, str]) -> bytes:
        try:
            response = self._ask(method, path, body, headers)
        except (ConnectionError, ssl.SSLEOFError):  # closed by the apiserver, which was left alone for some minutes
            self._connection.close()
            if method != "GET" and headers.get("Content-Type") not in (_APPLY, _MERGE):
                raise  # done twice, it would be another thing
            response = self._ask(method, path, body, headers)
        payload = response.read()
        if response.status >= http.HTTPStatus.MULTIPLE_CHOICES:
            error = NotFoundError if response.status == http.HTTPStatus.NOT_FOUND else ApiError
            raise error(f"{method} {path}: {response.status} {payload.decode(errors='replace')[:1000]}")
        return payload

    def _ask(self, method: str, path: str, body: str | None, headers: dict[str, str]) -> http.client.HTTPResponse:
        self._connection.request(method, path, body=body, headers={"Authorization": f"Bearer {self._token}", **headers})
        return self._connection.getresponse()
