"""HTTP to a registry: one request at a time, with the tokens that registries ask for, and what an answer means.

The standard library is enough: what a server without torch installs stays small.
"""

import base64
import http.client
import json
import re
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlencode, urljoin, urlsplit

from modelservice.artifact.patience import may_pass
from modelservice.artifact.registry_credentials import Credentials

MAX_ANSWER_BYTES: Final = 1 << 20
"""Of whatever is no blob; registries take manifests of up to 4 MiB, and ours has a thousandth of that."""

_ANSWER_SECONDS: Final = 60.0
"""Registries hash a large blob once more before they answer."""
_PARAMETER: Final = re.compile(r'(\w+)="([^"]*)"')
_TOKEN: Final = re.compile(r"[!-~]+")
_ACTIONS: Final = {"pull": "pull", "push": "pull,push", "delete": "delete,pull,push"}
_NO_TLS: Final = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST"})

NO_ANSWER: Final = 0
"""In place of a status, where something was refused before it was asked."""


class RefusedError(Exception):
    """The registry answered, and not what was hoped for: the status, and its words."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(said)
        self.status, self.said = status, said


class UnansweredError(Exception):
    """Another try may go better."""


class RegistryClient:
    """Requests about one repository; none is made twice, but for one that a token lacked."""

    def __init__(
        self, host: str, repository: str, *, plain_http: bool, credentials: Callable[[], Credentials | None]
    ) -> None:
        """Args: host with port, the repository, whether TLS is left out, and what opens it."""
        self._repository = repository
        self._scheme = "http" if plain_http else "https"
        self._base = f"{self._scheme}://{host}/v2/{repository}/"
        self._credentials = credentials
        self._authorizations: dict[str, str] = {}
        https = urllib.request.HTTPSHandler(context=ssl.create_default_context())
        self._opener = urllib.request.build_opener(https, _Redirects(self._scheme))

    def ask(self, method: str, path: str, **options: Any) -> bytes:
        """The body of an answer, or one byte more than ``MAX_ANSWER_BYTES`` of it; see ``open``."""
        with self.open(method, path, **options) as response:
            return _read(response)

    def location(self, method: str, path: str, **options: Any) -> str:
        """Where an answer says that an upload goes on; see ``open``."""
        with self.open(method, path, **options) as response:
            _read(response)
            said = response.headers.get("Location", "")
        with _addresses(said):
            return urljoin(self._base, said)

    def open(
        self,
        method: str,
        path: str,
        *,
        action: str = "pull",
        headers: Mapping[str, str] | None = None,
        data: bytes | Iterable[bytes] | None = None,
    ) -> http.client.HTTPResponse:
        """Make one request, with a token once the registry asked for one.

        Args:
            method: of HTTP.
            path: below the repository, or a whole URL.
            action: what the token is to be for: pull, push or delete.
            headers: besides the token.
            data: the body; of pieces the headers say the length.

        Raises:
            RefusedError: the registry will not.
            UnansweredError: it does not answer, or is not able to now.
        """
        url = urljoin(self._base, path)
        authorization = self._authorizations.get(action)
        try:
            return self._send(method, url, headers=headers, data=data, authorization=authorization)
        except _UnauthorizedError as error:
            if _origin(error.url) != _origin(self._base):
                raise  # whoever blobs lie with says nothing of who gets the password
            self._authorizations[action] = self._authorization(error.challenge, action, error)
        if not isinstance(data, bytes | None):
            raise UnansweredError("a token ended in the middle of an upload")  # its pieces are gone
        return self._send(method, url, headers=headers, data=data, authorization=self._authorizations[action])

    def _send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        data: bytes | Iterable[bytes] | None = None,
        authorization: str | None = None,
    ) -> http.client.HTTPResponse:
        """Authorization goes to the registry alone: where uploads and blobs lie elsewhere, their URLs say enough."""
        with _addresses(url):
            own = _origin(url) == _origin(self._base)
        return self._opened(method, url, headers or {}, data, authorization if own else None)

    def _opened(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        data: bytes | Iterable[bytes] | None,
        authorization: str | None,
    ) -> http.client.HTTPResponse:
        with _addresses(url):
            if urlsplit(url).scheme not in {"https", self._scheme}:
                raise RefusedError(NO_ANSWER, f"it leads to {url[:200]}, which is not {self._scheme}")
            request = urllib.request.Request(url, data=data, headers=dict(headers), method=method)  # noqa: S310 - see above
        if authorization is not None:
            request.add_unredirected_header("Authorization", authorization)
        try:
            with _addresses(url):  # those that it leads on to, too
                response: http.client.HTTPResponse = self._opener.open(request, timeout=_ANSWER_SECONDS)
        except urllib.error.HTTPError as error:
            with error:
                raise _answered(error) from None
        except (OSError, http.client.HTTPException) as error:
            raise _unreached(error) from None
        return response

    def _authorization(self, challenge: str, action: str, refused: RefusedError) -> str:
        """The header that a registry asks for: name and password, or a token that another server gives for them."""
        given = self._credentials()
        kind, _, said = challenge.partition(" ")
        basic = None
        if given is not None:
            basic = f"Basic {base64.b64encode(f'{given.user}:{given.password}'.encode()).decode()}"
        if kind.lower() == "basic" and basic is not None:
            return basic
        parameters = dict(_PARAMETER.findall(said))
        if kind.lower() != "bearer" or "realm" not in parameters:
            raise refused
        query = {"scope": f"repository:{self._repository}:{_ACTIONS[action]}"}
        if "service" in parameters:
            query["service"] = parameters["service"]
        with _addresses(parameters["realm"]):
            url = with_query(parameters["realm"], query)
        return f"Bearer {self._token(url, basic)}"

    def _token(self, url: str, basic: str | None) -> str:
        with self._opened("GET", url, {}, None, basic) as response:
            body = _read(response)
        try:
            said = json.loads(body)
            token = str(said.get("token") or said["access_token"])
        except (ValueError, KeyError, AttributeError, RecursionError):
            token = ""
        # Python would complain of others, and say which one it is.
        if _TOKEN.fullmatch(token) is None:
            raise RefusedError(NO_ANSWER, f"{urlsplit(url).hostname} gives no token")
        return token


class _UnauthorizedError(RefusedError):
    """It wants to know who asks: ``challenge`` says in which way, ``url`` where."""

    def __init__(self, said: str, challenge: str, url: str) -> None:
        super().__init__(HTTPStatus.UNAUTHORIZED, said)
        self.challenge, self.url = challenge, url


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Blobs may lie elsewhere, but never where what was asked with TLS would come without."""

    def __init__(self, scheme: str) -> None:
        self._scheme = scheme

    def redirect_request(  # noqa: PLR0917 - as urllib calls it
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        """Follow to HTTPS, and to HTTP where that was asked."""
        if urlsplit(newurl).scheme not in {"https", self._scheme}:
            return None
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def with_query(url: str, query: Mapping[str, str]) -> str:
    """A URL with these parameters besides its own."""
    return f"{url}{'&' if urlsplit(url).query else '?'}{urlencode(query)}"


def _origin(url: str) -> tuple[str | None, int | None]:
    """Host and port, whether or not the port is said."""
    parts = urlsplit(url)
    return parts.hostname, parts.port or {"https": 443, "http": 80}.get(parts.scheme)


@contextmanager
def _addresses(said: str) -> Iterator[None]:
    """Addresses that a server names, and that may be none."""
    try:
        yield
    except ValueError:
        raise RefusedError(NO_ANSWER, f"it leads to {said[:200]!r} or on from there, which is no address") from None


def _read(response: http.client.HTTPResponse) -> bytes:
    """A body, as it comes: one that drips has to be there in time as a whole, and one that breaks off is none."""
    body, whole, end = bytearray(), response.length, time.monotonic() + _ANSWER_SECONDS
    most = MAX_ANSWER_BYTES + 1 if whole is None else min(MAX_ANSWER_BYTES + 1, whole)
    try:
        while len(body) < most and (piece := response.read1(most - len(body))):
            body += piece
            if time.monotonic() > end:
                raise UnansweredError(f"an answer had not come after {_ANSWER_SECONDS:g} s")
    except (OSError, http.client.HTTPException) as error:
        raise _unreached(error) from None
    if whole is not None and len(body) < most:
        raise UnansweredError(f"{whole - len(body)} bytes of an answer did not come")
    return bytes(body)


def _answered(error: urllib.error.HTTPError) -> Exception:
    body = b""
    with suppress(OSError, http.client.HTTPException):
        body = error.read(MAX_ANSWER_BYTES)
    said = f"{error.code} {_words(body) or error.reason}"
    if may_pass(error.code):
        return UnansweredError(said)
    if error.code == HTTPStatus.UNAUTHORIZED:
        return _UnauthorizedError(said, error.headers.get("WWW-Authenticate", ""), error.url)
    return RefusedError(error.code, said)


def _words(body: bytes) -> str:
    """What the errors of an answer say, in one line."""
    try:
        errors = json.loads(body)["errors"]
        return "; ".join(f"{one.get('code', '')} {one.get('message', '')}".strip() for one in errors)[:512]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return ""


def _unreached(error: Exception) -> Exception:
    """What is wrong with the way to a registry."""
    reason = getattr(error, "reason", error)
    if isinstance(reason, ssl.SSLCertVerificationError):
        return RefusedError(
            NO_ANSWER, f"its certificate is not trusted: {reason.verify_message} (SSL_CERT_FILE names others)"
        )
    if isinstance(reason, ssl.SSLError) and reason.reason in _NO_TLS:
        return RefusedError(NO_ANSWER, "it does not speak TLS: set plainHttp (oci+http://) if that is meant")
    return UnansweredError(str(reason) or type(reason).__name__)
