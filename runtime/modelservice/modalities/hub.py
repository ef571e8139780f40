"""A model of a hub, ``hf://organisation/name@revision``: files of one commit, by the library ``huggingface_hub``.

The environment says where the hub or its mirror is (``HF_ENDPOINT``) and who asks (``HF_TOKEN``). Files are bytes here:
nothing of them is run, and nothing is kept on a disk.
"""

import os
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from modelservice.artifact.answers import sentence
from modelservice.artifact.patience import FIRST_WAIT_SECONDS, may_pass, told_when_slow, waits
from modelservice.contract.failure import DataError, StageError
from modelservice.contract.locations import HUB_SCHEME
from modelservice.modalities.objects import SECRET_FIELD, DataUnavailableError

if TYPE_CHECKING:
    from httpx2 import Response

ENDPOINT_ENV: Final = "HF_ENDPOINT"
TOKEN_ENV: Final = "HF_TOKEN"  # noqa: S105 - the name of a variable
MAX_RETRIES: Final = 5
_COMMIT_HEADER: Final = "X-Repo-Commit"
_COMMIT: Final = re.compile("[0-9a-f]{7,64}")
"""It becomes a part of paths, and of a note in the artifact."""
_SECONDS: Final = 60.0
"""Without a byte."""
_REFUSALS: Final = frozenset({401, 403})
_ENCODINGS: Final = frozenset({"", "identity", "gzip"})
"""Of an answer, though none was asked for: of two in each other a few bytes would be more than any memory."""
_SAID: Final = ("x-error-code", "x-error-message", "x-request-id")
_QUERY: Final = re.compile(r"(https?://[^\s?]+)\?[^\s'\"]+")
"""Of an address that the hub led on to: it opens what lies there to whoever has it."""


@dataclass(kw_only=True)
class HubModel:
    """One revision of a model.

    Attributes:
        uri: that names it.
        name: organisation and name.
        revision: a branch, a tag or a commit.
        field: what named it, for errors.
        commit: that the revision stood for when the first file was read, None before, or where the hub does not say.
    """

    uri: str
    name: str
    revision: str
    field: str
    commit: str | None = None

    @classmethod
    def of(cls, uri: str, *, field: str) -> "HubModel":
        """The one of an address that the contract let through."""
        name, _, revision = uri.removeprefix(f"{HUB_SCHEME}://").partition("@")
        return cls(uri=uri, name=name, revision=revision, field=field)

    def read(self, file: str, *, limit: int) -> bytes:
        """A file, of the commit that the first file was of.

        Raises:
            DataError: there is none, it may not be read, or has more than ``limit`` bytes.
            DataUnavailableError: the hub fails.
        """
        from httpx2 import HTTPError  # noqa: PLC0415 - a laptop that reads folders needs neither
        from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled  # noqa: PLC0415

        for left, wait in zip(reversed(range(MAX_RETRIES + 1)), waits(), strict=False):
            try:
                return self._read(file, limit=limit)
            except OfflineModeIsEnabled as error:
                message = f"{self.uri} cannot be read as it is set: {sentence(error)}"
                raise DataError("DataSettingsInvalid", message, field=self.field) from None
            except HTTPError as error:
                if not left or not isinstance(error, HfHubHTTPError) or not may_pass(error.response.status_code):
                    raise self._failed(file, error) from None
            # Not as long as the hub says, as its library would wait: that may be a year.
            time.sleep(wait)
        raise AssertionError

    def _read(self, file: str, *, limit: int) -> bytes:
        """The same, asked for once; what does not connect is tried again by the library."""
        from huggingface_hub import hf_hub_url  # noqa: PLC0415 - as above
        from huggingface_hub.utils import build_hf_headers, http_stream_backoff  # noqa: PLC0415

        endpoint = os.environ.get(ENDPOINT_ENV, "").rstrip("/") or None
        url = hf_hub_url(self.name, file, revision=self.commit or self.revision, endpoint=endpoint)
        headers = {**build_hf_headers(library_name="modelservice"), "Accept-Encoding": "identity"}
        with (
            told_when_slow(url),
            http_stream_backoff(
                "GET",
                url,
                max_retries=MAX_RETRIES,
                base_wait_time=FIRST_WAIT_SECONDS,
                retry_on_status_codes=(),
                headers=headers,
                timeout=_SECONDS,
            ) as response,
        ):
            self._check_way(response)
            _check_status(response)
            content = self._collected(file, response, limit=limit)
            self.commit = self.commit or self._commit_of(response)
            return content

    def _collected(self, file: str, response: "Response", *, limit: int) -> bytes:
        """What comes, as far as it may."""
        from httpx2 import HTTPError  # noqa: PLC0415 - as above

        if (encoding := response.headers.get("content-encoding", "").lower()) not in _ENCODINGS:
            message = f"{file} of {self.uri} comes as {encoding[:64]}, which nobody asked for: correct {ENDPOINT_ENV}"
            raise DataError("DataSettingsInvalid", message, field=self.field)
        content = bytearray()
        try:
            for part in response.iter_bytes():
                content += part
                if len(content) > limit:
                    message = f"{file} of {self.uri} has more than the {limit} bytes that are read: name another model"
                    raise DataError("DataTooLarge", message, field=self.field)
        except HTTPError as error:
            # Told here: the library would ask again for an answer that has begun already.
            raise self._failed(file, error) from None
        return bytes(content)

    def _check_way(self, response: "Response") -> None:
        """Refuse what came over plain HTTP, unless the hub itself does."""
        hops = [*response.history, response]
        schemes = [one.request.url.scheme for one in hops]
        if schemes[0] == "https" and "http" in schemes:
            message = f"{self.uri} leads on to plain HTTP: name another hub with {ENDPOINT_ENV}"
            raise DataError("DataSettingsInvalid", message, field=self.field)

    @staticmethod
    def _commit_of(response: "Response") -> str | None:
        """As the hub says it, which may then lead on to a store that knows nothing of it."""
        said = (one.headers.get(_COMMIT_HEADER, "") for one in (*response.history, response))
        return next(filter(_COMMIT.fullmatch, said), None)

    def _failed(self, file: str, error: Exception) -> StageError:
        from huggingface_hub.errors import (  # noqa: PLC0415 - as above
            EntryNotFoundError,
            GatedRepoError,
            RepositoryNotFoundError,
            RevisionNotFoundError,
        )

        said = _QUERY.sub(r"\1", sentence(error))
        response: Response | None = getattr(error, "response", None)
        status = None if response is None else response.status_code
        if isinstance(error, EntryNotFoundError):
            return DataError("DataNotFound", f"{self.uri} has no {file} ({said})", field=self.field)
        if isinstance(error, RevisionNotFoundError):
            message = f"{self.name} has no revision {self.commit or self.revision}: correct {self.field} ({said})"
            return DataError("DataSettingsInvalid", message, field=self.field)
        if isinstance(error, GatedRepoError | RepositoryNotFoundError) or status in _REFUSALS:
            message = (
                f"{self.uri} is not there, or may not be read: correct {self.field}, or give a token as {TOKEN_ENV}"
                f" with {SECRET_FIELD} ({said})"
            )
            return DataError("DataForbidden", message, field=self.field)
        if status is None or may_pass(status):
            return DataUnavailableError("DataUnavailable", f"{self.uri} does not answer as it should: {said}")
        message = f"{self.uri} cannot be read as it is set: correct {self.field}, or {ENDPOINT_ENV} ({said})"
        return DataError("DataSettingsInvalid", message, field=self.field)


def _check_status(response: "Response") -> None:
    """Raise the library's error of a refusal, by its status and headers: a body may have no end, or be no answer."""
    from httpx2 import Response  # noqa: PLC0415 - as above
    from huggingface_hub.utils import hf_raise_for_status  # noqa: PLC0415

    headers = {name: response.headers[name] for name in _SAID if name in response.headers}
    hf_raise_for_status(Response(response.status_code, headers=headers, request=response.request))
