"""What is known of the data before a pod reads it: one function for each kind of source."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from modelservice.contract.artifact_source import ArtifactSource
from modelservice.contract.data import ClaimSource, ConfigMapSource, Data
from modelservice.contract.failure import About
from modelservice.contract.keys import claim_digest, elsewhere_digest, uri_digest
from modelservice.contract.locations import CLAIM_SCHEME
from modelservice.contract.places import DATA_ENV_PREFIX
from modelservice.contract.pods import NameReference
from modelservice.contract.resource import ModelServiceSpec
from modelservice_operator.domain.problem import Problem
from modelservice_operator.objects import Object

_NO_FILES: Final[Mapping[str, str]] = {}


@dataclass(frozen=True, kw_only=True)
class DataState:
    """What keys, orders and pods need of the data, or why there is none.

    ``digest`` is what keys are made from. ``content_digest`` is that of the content, None where nobody saw it yet.
    ``volume`` is the source of the pods' volume, ``file`` the path below it; both are None where pods fetch the data
    themselves, with the variables of ``env_from``, from ``address`` where no key stands for that. ``known``: whether
    somebody could look; if not, nothing need be wrong with the data. ``needed``: whether any stage reads data; if not,
    the digest is that of what is fetched.
    """

    digest: str | None = None
    content_digest: str | None = None
    file: str | None = None
    volume: Object | None = None
    env_from: tuple[Object, ...] = ()
    address: str | None = None
    problem: Problem | None = None
    known: bool = True
    needed: bool = True


def declared_data(spec: ModelServiceSpec) -> DataState | None:
    """What the spec says by itself, since only pods see the content; None where the data is in the cluster to see."""
    if (declared := elsewhere_digest(spec)) is not None:
        return DataState(digest=declared, needed=False)
    data = spec.known_data
    if data.persistent_volume_claim is not None:
        return claim_data(data.persistent_volume_claim, data.version)
    return uri_data(data) if data.uri is not None else None


def claim_data(source: ClaimSource, version: str | None) -> DataState:
    """A file on a claim, whose content only pods see."""
    volume = {"persistentVolumeClaim": {"claimName": source.claim_name, "readOnly": True}}
    return DataState(digest=claim_digest(source, version), file=source.path, volume=volume)


def artifact_data(source: ArtifactSource) -> DataState:
    """What the pod reads that fetches an artifact: a claim that it mounts, or a store that it asks."""
    scheme, _, rest = source.uri.partition("://")
    if scheme == CLAIM_SCHEME:
        claim, _, folder = rest.partition("/")
        volume = {"persistentVolumeClaim": {"claimName": claim, "readOnly": True}}
        return DataState(digest=source.digest, file=folder, volume=volume)
    # The address is in no key, and a corrected one is to be tried.
    return DataState(digest=source.digest, env_from=_secret_of(source.secret_ref), address=source.uri)


def uri_data(data: Data) -> DataState:
    """Objects of a store, which pods fetch with the variables of the Secret, under a prefix of their own."""
    assert data.uri is not None  # noqa: S101 - the choice that led here
    return DataState(digest=uri_digest(data.uri, data.version), env_from=_secret_of(data.secret_ref))


def _secret_of(secret: NameReference | None) -> tuple[Object, ...]:
    return () if secret is None else ({"prefix": DATA_ENV_PREFIX, "secretRef": {"name": secret.name}},)


@dataclass(frozen=True, kw_only=True)
class ConfigMapContent:
    """What was found in a ConfigMap: the names of its keys, and the digest of those that are meant, if all are there.

    ``digest`` is a Problem where that key cannot be read.
    """

    keys: tuple[str, ...]
    digest: str | Problem | None = None


def config_map_data(
    source: ConfigMapSource, found: ConfigMapContent | Problem | None, given: Mapping[str, str] = _NO_FILES
) -> DataState:
    """A key of a ConfigMap, and those of single sides of the split.

    Args:
        source: where the spec points.
        found: what is there, or why it cannot be known; None where there is no such ConfigMap.
        given: keys of single sides, by the name of the side.
    """
    field = "spec.data.configMap"
    if isinstance(found, Problem):
        return DataState(problem=found, known=False)
    if found is None:
        return _problem(
            "ConfigMapNotFound", f"ConfigMap {source.name!r} does not exist: make it, or change {field}.name"
        )
    keys = ", ".join(sorted(found.keys)) or "none"
    key = source.chosen_key(found.keys, beside=given.values())
    if key is None:
        return _problem("KeyNotClear", f"ConfigMap {source.name!r} has the keys {keys}: name one in {field}.key")
    named = {f"{field}.key": key, **{f"spec.data.split.files.{side}": one for side, one in given.items()}}
    for setting, one in named.items():
        if one not in found.keys:
            return _problem(
                "KeyNotFound", f"ConfigMap {source.name!r} has no key {one!r}: change {setting}; its keys are: {keys}"
            )
    if isinstance(found.digest, Problem):
        return DataState(problem=found.digest)
    items = [{"key": one, "path": one} for one in dict.fromkeys(named.values())]
    volume = {"configMap": {"name": source.name, "items": items}}
    return DataState(digest=found.digest, content_digest=found.digest, file=key, volume=volume)


def _problem(reason: str, message: str) -> DataState:
    """Data that only its owner can mend."""
    return DataState(problem=Problem(reason=reason, message=message, waits_for_change=True, about=About.DATA))
