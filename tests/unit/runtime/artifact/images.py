"""Artifacts in the small registry of tests: how they are put there, and what is made of them since."""

import json
from typing import Any

from tests.support.registry_server import RegistryServer

from modelservice.artifact.stores import open_store
from modelservice.artifact.stores.images import ImageArtifactStore
from modelservice.contract.digests import sha256
from modelservice.stages.base import Produced

NAME = "models/default/iris"


def address_in(server: RegistryServer, *, tag: str = "abc") -> str:
    return f"oci+http://{server.host}/{NAME}:{tag}"


def published(server: RegistryServer, produced: Produced) -> ImageArtifactStore:
    store = open_store(address_in(server))
    assert isinstance(store, ImageArtifactStore)
    store.publish(produced.manifest, produced.files)
    return store


def described(server: RegistryServer) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The index of the tag, and its images."""
    index = json.loads(server.manifests[server.tags[f"{NAME}:abc"]][1])
    return index, [json.loads(server.manifests[one["digest"]][1]) for one in index["manifests"]]


def layer_of(server: RegistryServer) -> str:
    digest: str = described(server)[1][0]["layers"][0]["digest"]
    return digest


def put(server: RegistryServer, index: dict[str, Any] | bytes) -> None:
    """Something else under the tag."""
    body = index if isinstance(index, bytes) else json.dumps(index).encode()
    server.manifests[sha256(body)] = ("application/vnd.oci.image.index.v1+json", body)
    server.tags[f"{NAME}:abc"] = sha256(body)


def put_layer(server: RegistryServer, layer: bytes, *, size: int | None = None) -> None:
    """The image of this layer under the tag."""
    index, (image, *_) = described(server)
    server.blobs[sha256(layer)] = layer
    image["layers"][0] |= {"digest": sha256(layer), "size": len(layer) if size is None else size}
    body = json.dumps(image).encode()
    server.manifests[sha256(body)] = ("application/vnd.oci.image.manifest.v1+json", body)
    index["manifests"] = [{**index["manifests"][0], "digest": sha256(body), "size": len(body)}]
    put(server, index)


def changed(layer: bytes) -> bytes:
    """One bit of the last file."""
    at = len(layer.rstrip(b"\0")) - 1
    return layer[:at] + bytes([layer[at] ^ 1]) + layer[at + 1 :]
