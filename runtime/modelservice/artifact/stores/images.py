"""An artifact as an OCI image of a registry: what a node pulls, keeps and mounts, and what a pod downloads elsewhere.

The image has one layer, a tar of the artifact's files, and is listed once for each architecture of nodes, since nodes
unpack only what is of theirs. Its tag is the key. All that is pushed before the tag is no artifact yet. Of two pods of
one key the later one has the tag in the end; both images are whole, and each pod reports the digest of its own.
"""

import json
import logging
import os
import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple, TypeVar

from pydantic import Field, ValidationError

from modelservice.artifact.errors import ArtifactError
from modelservice.artifact.files import document_bytes
from modelservice.artifact.image_layer import MAX_LAYER_BYTES, LayerReader, layer_pieces, layer_size
from modelservice.artifact.keys import NO_KEYS, Keys
from modelservice.artifact.load import Artifact, Hashed, verify
from modelservice.artifact.patience import told_when_slow
from modelservice.artifact.registry_credentials import find_credentials
from modelservice.artifact.stores.base import Checkpoints, StoreOptions
from modelservice.artifact.stores.forgiving import NoCheckpoints
from modelservice.contract.base import Sha256, Tolerant
from modelservice.contract.digests import sha256
from modelservice.contract.failure import StorageError
from modelservice.contract.manifest import MANIFEST_FILE, FileEntry, Manifest

if TYPE_CHECKING:
    from modelservice.artifact.registry import Registry, Stored

PLAIN_SCHEME: Final = "oci+http"
SCHEMES: Final = ("oci", PLAIN_SCHEME)
"""The second one leaves out TLS."""

INDEX: Final = "application/vnd.oci.image.index.v1+json"
MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
CONFIG: Final = "application/vnd.oci.image.config.v1+json"
LAYER: Final = "application/vnd.oci.image.layer.v1.tar"
ARCHITECTURES: Final = ("amd64", "arm64")
"""Of nodes that can serve: those that the images of trainer and server are made for."""
KEY_ANNOTATION: Final = "dev.modelservice.key"
"""Marks an image as an artifact: what lacks it is somebody else's."""

_ADDRESS: Final = re.compile(
    r"(oci|oci\+http)://([a-z0-9][-a-z0-9.]*(?::[0-9]{1,5})?)/([a-z0-9][-a-z0-9._/]*)"
    r"(?::([A-Za-z0-9_][-.\w]{0,127}))?(?:@(sha256:[0-9a-f]{64}))?"
)
_LOG = logging.getLogger(__name__)


class Address(NamedTuple):
    """The parts of an address; the digest, where it has one, says which image it is, whatever the tag."""

    plain_http: bool
    host: str
    repository: str
    tag: str | None
    digest: str | None

    @property
    def reference(self) -> str:
        """What names the image in its repository."""
        reference = self.digest or self.tag
        assert reference is not None  # noqa: S101 - ``parse_address`` wants one of them
        return reference


def parse_address(address: str) -> Address:
    """``oci://HOST[:PORT]/REPOSITORY:TAG``, or with ``@sha256:...`` besides or instead of the tag.

    Raises:
        ArtifactError: it is none.
    """
    match = _ADDRESS.fullmatch(address)
    if match is None or not (match[4] or match[5]):
        expected = "oci://registry.example/models/default/iris:qp2iu6b5, perhaps with @sha256:... behind it"
        raise ArtifactError(f"{address} is no address of an image such as {expected}")
    return Address(match[1] == PLAIN_SCHEME, match[2], match[3], match[4], match[5])


class _Descriptor(Tolerant):
    media_type: str
    digest: Sha256
    size: Annotated[int, Field(ge=0)]


class _Index(Tolerant):
    manifests: Annotated[tuple[_Descriptor, ...], Field(min_length=1, max_length=64)]
    annotations: Mapping[str, str] = {}


class _ImageManifest(Tolerant):
    layers: Annotated[tuple[_Descriptor, ...], Field(min_length=1, max_length=1)]


Document = TypeVar("Document", _Index, _ImageManifest)


class ImageArtifactStore:
    """The artifact that is an image; the last of two artifacts of one key has the tag."""

    def __init__(self, registry: "Registry", address: str, *, keys: Keys = NO_KEYS) -> None:
        """Args: the repository, the address of an image in it, and keys."""
        self._registry = registry
        self._where = address
        self._address = parse_address(address)
        self._keys = keys
        self._stored_as: str | None = None

    @property
    def stored_as(self) -> str | None:
        """The digest of the image that was loaded or published last; see ``Store``."""
        return self._stored_as

    def prepare(self) -> None:
        """Begin an upload and take it back, and look whose image has the tag; see ``Store``."""
        with told_when_slow(self._where):
            self._registry.may_push()
            self._find_own()

    def load(self, *, digest: str | None = None) -> Artifact | None:
        """Download the layer, whose files are verified as they come; see ``Store``."""
        with told_when_slow(self._where):
            found = self._find()
            if found is None:
                return None
            layer = self._layer(found)
        reader = LayerReader(self._registry.blob(layer.digest, layer.size), where=self._where)
        stored = reader.manifest()
        raw, form = self._keys.opened(MANIFEST_FILE, stored, where=self._where, pinned=digest is not None)

        def read(files: Mapping[str, FileEntry]) -> Iterator[Hashed]:
            return reader.files(files, form)

        artifact = verify(raw, read, where=self._where, digest=digest)
        self._stored_as = found.digest
        return artifact

    def publish(self, manifest: Manifest, files: Mapping[str, bytes], *, raw: bytes | None = None) -> str:
        """Push the layer, then what describes it, the tag last; see ``Store``."""
        if (tag := self._address.tag) is None:
            raise ArtifactError(f"{self._where} has no tag under which an artifact could be stored")
        raw, form, registry = raw or document_bytes(manifest), self._keys.form, self._registry
        listed = {name: files[name] for name in manifest.files}
        size = layer_size(form.size(len(content)) for content in (raw, *listed.values()))
        layer = registry.upload(lambda: layer_pieces(raw, listed, form), size)
        images = [self._push_image(architecture, layer, size) for architecture in ARCHITECTURES]
        index = _document(
            {"schemaVersion": 2, "mediaType": INDEX, "manifests": images, "annotations": {KEY_ANNOTATION: tag}}
        )
        registry.put_manifest(tag, index, INDEX)
        self._stored_as = sha256(index)
        return sha256(raw)

    def discard(self) -> None:
        """Delete the image, if it is an artifact; where that is not allowed it stays until it is replaced.

        See ``Store``.
        """
        found = self._find_own()
        if found is None:
            return
        try:
            self._registry.delete_manifest(found.digest)
        except StorageError as error:
            _LOG.warning("%s is damaged and cannot be deleted, so its tag is to be replaced: %s", self._where, error)

    def _push_image(self, architecture: str, layer: str, size: int) -> dict[str, Any]:
        """Push what describes the layer to nodes of an architecture, and give its entry in the index."""
        platform = {"architecture": architecture, "os": "linux"}
        config = _document({**platform, "config": {}, "rootfs": {"type": "layers", "diff_ids": [layer]}})
        image = _document(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": _descriptor(CONFIG, self._registry.upload(lambda: [config], len(config)), len(config)),
                "layers": [_descriptor(LAYER, layer, size)],
            }
        )
        digest = sha256(image)
        self._registry.put_manifest(digest, image, MANIFEST)
        return {**_descriptor(MANIFEST, digest, len(image)), "platform": platform}

    def _find(self) -> "Stored | None":
        return self._registry.manifest(self._address.reference, (INDEX, MANIFEST))

    def _find_own(self) -> "Stored | None":
        """What may be replaced.

        Raises:
            ArtifactError: it is somebody's.
        """
        found = self._find()
        if found is not None and KEY_ANNOTATION not in _annotations(found):
            raise ArtifactError(
                f"{self._where} is an image that is no artifact: name another spec.artifacts.image.repository, or"
                " delete it"
            )
        return found

    def _layer(self, found: "Stored") -> _Descriptor:
        """The layer of an image, by whichever of its manifests: all have the same one.

        Raises:
            ArtifactError: it is no artifact, or a part of it is missing.
        """
        body = found.body
        if "manifests" in _parsed(body, self._where):
            image = self._read(body, _Index).manifests[0]
            stored = self._registry.manifest(image.digest, (MANIFEST,))
            if stored is None:
                raise ArtifactError(f"the manifest {image.digest} of {self._where} is missing")
            body = stored.body
        layer = self._read(body, _ImageManifest).layers[0]
        if layer.media_type != LAYER:
            raise ArtifactError(f"{self._where} is no artifact: its layer is {layer.media_type}, not {LAYER}")
        if layer.size > MAX_LAYER_BYTES:
            most = f"at most {MAX_LAYER_BYTES} are read"
            raise ArtifactError(f"the layer of {self._where} has {layer.size} bytes, {most}")
        return layer

    def _read(self, body: bytes, kind: type[Document]) -> Document:
        try:
            return kind.model_validate_json(body)
        except ValidationError:
            raise ArtifactError(f"{self._where} is no artifact: an image of one layer is expected") from None


def open_images(address: str, options: StoreOptions) -> ImageArtifactStore:
    """The store of an address.

    Raises:
        ArtifactError: it is none of an image.
    """
    from modelservice.artifact.registry import Registry  # noqa: PLC0415 - ssl and urllib, for few

    parts = parse_address(address)
    credentials = partial(find_credentials, f"{parts.host}/{parts.repository}", os.environ)
    registry = Registry(parts.host, parts.repository, plain_http=parts.plain_http, credentials=credentials)
    return ImageArtifactStore(registry, address, keys=options.keys)


def open_image_checkpoints(_address: str, _options: StoreOptions) -> Checkpoints:
    """None: a registry keeps all that was pushed until somebody collects its garbage."""
    return NoCheckpoints()


def _document(value: Mapping[str, Any]) -> bytes:
    """The same value gives the same bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _descriptor(media_type: str, digest: str, size: int) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest, "size": size}


def _parsed(body: bytes, where: str) -> Mapping[str, Any]:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        raise ArtifactError(f"{where} is no artifact: its manifest is no JSON object")
    return said


def _annotations(found: "Stored") -> Mapping[str, str]:
    try:
        return _Index.model_validate_json(found.body).annotations
    except ValidationError:
        return {}
