"""The folder of a pretrained model, in the layout of Hugging Face: its files are bytes, and none is run."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from modelservice.contract.digests import sha256
from modelservice.contract.failure import DataError, StageError
from modelservice.contract.locations import FILE_SCHEME, HUB_SCHEME
from modelservice.modalities.files import read_bytes
from modelservice.modalities.hub import HubModel
from modelservice.modalities.objects import SECRET_FIELD, open_objects

CONFIG: Final = "config.json"
ENVIRONMENT: Final = "spec.artifacts.secretRef or spec.training.env"
"""What says keys to the store of an encoder."""
MAX_DOCUMENT: Final = 2**25
_FILE = f"{FILE_SCHEME}://"


@dataclass(frozen=True, kw_only=True)
class Folder:
    """Where a model is read from, and what section of the spec says so; ``hub`` where it is one of a hub.

    A document is read once, so that all that is said of it is of one moment.
    """

    uri: str
    section: str
    hub: HubModel | None = None
    _documents: dict[str, bytes] = field(default_factory=dict)

    @classmethod
    def of(cls, uri: str, *, section: str) -> "Folder":
        """The one of an address that the contract let through."""
        of_hub = uri.startswith(f"{HUB_SCHEME}://")
        return cls(uri=uri, section=section, hub=HubModel.of(uri, field=f"{section}.uri") if of_hub else None)

    @property
    def field(self) -> str:
        """What names it."""
        return f"{self.section}.uri"

    @property
    def origin(self) -> str:
        """The address, and of a hub the commit that it stood for."""
        commit = None if self.hub is None else self.hub.commit
        return self.uri if commit is None else f"{self.uri} (commit {commit})"

    def read(self, name: str) -> bytes:
        """A document, which is kept; for errors see ``load``."""
        if name not in self._documents:
            self._documents[name] = self.load(name, limit=MAX_DOCUMENT)
        return self._documents[name]

    def load(self, name: str, *, limit: int) -> bytes:
        """A file of so many bytes at most.

        Raises:
            StageError: it is not there, too large, or may not be read.
            DataUnavailableError: its store fails, as it may for a while.
            OSError: the file system fails.
        """
        try:
            if self.uri.startswith(_FILE):
                return read_bytes(Path(self.uri.removeprefix(_FILE)) / name, limit=limit, field=self.field)
            if self.hub is not None:
                return self.hub.read(name, limit=limit)
            objects = open_objects(f"{self.uri}/{name}", field=self.field)
            return objects.read(objects.path, limit=limit)
        except DataError as error:
            if error.reason == "DataNotFound":
                message = (
                    f"{self.uri} has no {name}: name a folder in the layout of Hugging Face that has it, or put it"
                    " there"
                )
                raise StageError("EncoderNotFound", message, field=self.field) from None
            # The store is opened by what the pod has, and not by the Secret of the data.
            said = error.message.replace(SECRET_FIELD, ENVIRONMENT)
            raise StageError("EncoderNotRead", said, field=self.field) from None

    def optional(self, name: str) -> bytes | None:
        """A document, None where there is none; for errors see ``load``."""
        try:
            return self.read(name)
        except StageError as error:
            if error.reason == "EncoderNotFound":
                return None
            raise

    def document(self, name: str) -> Any:
        """What a document of JSON says, None where there is none; for errors see ``load``."""
        content = self.optional(name)
        try:
            return None if content is None else json.loads(content)
        except (ValueError, RecursionError):
            raise self.invalid(f"{name} is no JSON") from None

    def invalid(self, problem: str) -> StageError:
        """The error of a folder that holds another model; ``problem`` begins with the name of the file."""
        return StageError("EncoderInvalid", f"{self.uri}/{problem}: name another model", field=self.field)

    def check_digest(self, name: str, content: bytes, asked: str | None) -> str:
        """The digest of a file of weights.

        Raises:
            StageError: it is another one than was asked for.
        """
        found = sha256(content)
        if asked is not None and asked != found:
            message = f"{self.uri}/{name} has the digest {found}, and {asked} is asked for: name the one that you mean"
            raise StageError("EncoderChanged", message, field=f"{self.section}.digest")
        return found
