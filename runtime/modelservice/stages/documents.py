"""A ModelService and its data as files: what the cluster reads from the apiserver, a laptop reads from YAML."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from modelservice.cells import is_unicode, quoted
from modelservice.contract.base import near_names, problems
from modelservice.contract.resource import API_VERSION, KIND, ModelService
from modelservice.yaml_documents import load_documents

MAX_DOCUMENT_BYTES = 16 * 2**20


class ResourceError(Exception):
    """The file or object is no ModelService that can be run; ``str()`` has one line for each thing that is wrong."""


@dataclass(frozen=True, kw_only=True)
class Resource:
    """A ModelService and the ConfigMaps that stand in the same file, by name."""

    service: ModelService
    config_maps: Mapping[str, Mapping[str, Any]]

    def config_map_data(self, key: str | None = None) -> tuple[str, bytes]:
        """Key and bytes, plain or gzip, of a file of the ConfigMap: by default of the one that ``spec.data`` means.

        Raises:
            ResourceError: the file does not stand beside the ModelService.
        """
        data = self.service.spec.known_data
        source = data.config_map
        if source is None:
            raise ResourceError("spec.data.persistentVolumeClaim is in a cluster: give a copy of the file with --data")
        config_map = self.config_maps.get(source.name)
        if config_map is None:
            raise ResourceError(
                f"spec.data.configMap.name: no ConfigMap {source.name!r} stands in the same file: give the data with"
                " --data, or put the ConfigMap there"
            )
        plain, binary = (_texts_of(config_map, field, source.name) for field in ("data", "binaryData"))
        keys = [*plain, *binary]
        key = key or source.chosen_key(keys, beside=data.split.given_files.values())
        if key is None:
            found = ", ".join(keys) or "none"
            raise ResourceError(f"spec.data.configMap.key: must be set, since there is not exactly one key: {found}")
        if key not in keys:
            raise ResourceError(f"ConfigMap {source.name!r} has no key {key!r}, but {', '.join(keys) or 'no key'}")
        if key in plain:
            return key, plain[key].encode()
        try:
            # The apiserver takes line breaks, as base64 prints them.
            return key, base64.b64decode(binary[key].replace("\r", "").replace("\n", ""), validate=True)
        except (binascii.Error, ValueError) as error:
            raise ResourceError(f"binaryData.{key} of ConfigMap {source.name!r} is not base64: {error}") from None


def read_resource(source: str | Path | Mapping[str, Any]) -> Resource:
    """Read a ModelService from a YAML file, or take one that is an object already.

    Raises:
        ResourceError: there is none, there are several, or it is not valid.
    """
    documents = [dict(source)] if isinstance(source, Mapping) else _documents(Path(source))
    services = [document for document in documents if document.get("kind") == KIND]
    if len(services) != 1:
        count = "no" if not services else f"{len(services)}"
        raise ResourceError(f"{_named(source)} holds {count} documents of kind {KIND}: exactly one is needed")
    if services[0].get("apiVersion") != API_VERSION:
        found = services[0].get("apiVersion")
        shown = quoted(found) if isinstance(found, str) else f"a {type(found).__name__}"  # whose repr may be endless
        raise ResourceError(f"apiVersion: {shown} is not known, use {API_VERSION}")
    try:
        service = ModelService.model_validate(services[0])
    except ValidationError as error:
        raise ResourceError("\n".join(problems(error, suggest=near_names(ModelService)))) from None
    maps = {
        str(document["metadata"].get("name")): document
        for document in documents
        if document.get("kind") == "ConfigMap" and isinstance(document.get("metadata"), dict)
    }
    return Resource(service=service, config_maps=maps)


def _texts_of(config_map: Mapping[str, Any], field: str, name: str) -> Mapping[str, str]:
    """The files of a ConfigMap, which are texts by name: the apiserver takes nothing else.

    Raises:
        ResourceError: they are not.
    """
    files = config_map.get(field) or {}
    if not isinstance(files, Mapping):
        raise ResourceError(f"{field} of ConfigMap {name!r} must be an object of files by name")
    for key, text in files.items():
        if not isinstance(key, str) or not isinstance(text, str) or not is_unicode(key + text):
            raise ResourceError(f"{field}.{quoted(key)} of ConfigMap {name!r} must be a text by its name, in quotes")
    return files


def default_output(name: str) -> Path:
    """Where a model is put, and looked for, if nothing else is said."""
    return Path("out") / name


def _documents(path: Path) -> list[dict[str, Any]]:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_DOCUMENT_BYTES + 1)
    except OSError as error:
        raise ResourceError(f"{path} cannot be read: {error.strerror}") from None
    if len(content) > MAX_DOCUMENT_BYTES:
        raise ResourceError(f"{path} has more than {MAX_DOCUMENT_BYTES} bytes: give the data with --data")
    try:
        return [document for document in load_documents(content) if isinstance(document, dict)]
    # No UTF-8, a date such as 2026-13-45, a tag that does not fit its value, nesting: PyYAML raises what it trips over.
    except Exception as error:
        raise ResourceError(f"{path} is not YAML: {' '.join(str(error).split())}") from None


def _named(source: str | Path | Mapping[str, Any]) -> str:
    return "the object" if isinstance(source, Mapping) else str(source)
