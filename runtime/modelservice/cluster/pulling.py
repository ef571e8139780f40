"""``pull``: the artifact of a revision into a folder, from a pod that serves it, or from the bucket where it lies."""

import os
import time
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from ssl import SSLContext
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from modelservice.artifact.errors import ArtifactError
from modelservice.artifact.load import Artifact
from modelservice.artifact.stores import load_artifact
from modelservice.artifact.stores.folder import FolderStore, check_replaceable
from modelservice.cluster.access import SERVING, Access, Object
from modelservice.cluster.errors import ClusterError
from modelservice.cluster.forwarding import forwarded, is_ready, target_of
from modelservice.cluster.resuming import Archive, Told
from modelservice.cluster.unpacking import unpack
from modelservice.contract.locations import CLAIM_SCHEME
from modelservice.contract.manifest import Manifest
from modelservice.contract.server_flags import DIGEST, REVISION

TIMEOUT: Final = 60.0
"""Seconds without a byte after which a transfer has failed."""


class Pulled(NamedTuple):
    """An artifact that lies in a folder; ``origin`` is None where it lay there before."""

    folder: Path
    manifest: Manifest
    origin: str | None


def pull(
    access: Access,
    name: str,
    revision: Mapping[str, Any],
    folder: Path,
    *,
    token: str | None = None,
    trust: SSLContext | None = None,
    force: bool = False,
    told: Told = lambda _done, _total: None,
) -> Pulled:
    """Have the artifact of a revision in a folder, whole and verified, or not at all.

    Args:
        access: to the cluster.
        name: of the ModelService.
        revision: as its status has it.
        folder: where it shall lie; what lies there of the same digest stays.
        token: an API key or a token, where the model asks for one.
        trust: how TLS is spoken with a pod; None: without a certificate to show, and looking at none.
        force: put it in the place of another artifact.
        told: of progress.

    Raises:
        ClusterError: no pod that serves it gives it away, and no bucket holds it; or another artifact lies there.
        ArtifactError, StorageError: what comes is not the artifact; its store refuses.
        OSError: the folder cannot be written.
    """
    digest: str = revision["digest"]
    found = _there(folder)
    if found is not None and found.digest == digest:
        return Pulled(folder, found.manifest, None)
    if found is not None and not force:
        raise ClusterError(
            f"{folder} holds another artifact ({found.manifest.name}, {found.digest}): name another folder with"
            " --output, or give --force to replace it"
        )
    pod = serving_pod(access.pods(name, stage=SERVING), digest)
    if pod is not None:
        return _from_pod(access, name, pod, folder, digest=digest, token=token, trust=trust, told=told)
    uri: str = revision.get("uri", "")
    if not uri or uri.startswith(f"{CLAIM_SCHEME}:"):
        raise ClusterError(_unreachable(name, revision))
    artifact = load_artifact(uri, digest=digest)
    store = FolderStore(folder, scratch=str(os.getpid()), now=time.time)
    store.prepare()
    store.publish(artifact.manifest, artifact.contents, raw=artifact.manifest_bytes)
    return Pulled(folder, artifact.manifest, uri)


def serving_pod(pods: list[Object], digest: str) -> Object | None:
    """The first ready pod that is told to serve this artifact."""
    return next((pod for pod in pods if is_ready(pod) and _flags(pod).get(DIGEST) == digest), None)


def _from_pod(
    access: Access,
    name: str,
    pod: Object,
    folder: Path,
    *,
    digest: str,
    token: str | None,
    trust: SSLContext | None,
    told: Told,
) -> Pulled:
    import httpx  # noqa: PLC0415 - nothing else here needs it

    target = target_of([pod], name)
    version = _flags(pod).get(REVISION, "")
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    with (
        forwarded(access, target) as address,
        # By the apiserver's own TLS, and the digest decides what is taken.
        httpx.Client(
            base_url=address, headers=headers, timeout=TIMEOUT, trust_env=False, verify=trust or False
        ) as http,
    ):
        path = f"/v2/models/{quote(name, safe='')}/versions/{quote(version, safe='')}/artifact"
        archive = Archive(http, path, folder, digest=digest, told=told)
        try:
            manifest = unpack(archive.pieces(), folder, digest=digest)
        except ArtifactError:
            archive.forget()
            raise
        except httpx.HTTPStatusError as error:
            raise ClusterError(_refused(name, error.response)) from error
        except httpx.HTTPError as error:
            said = f"pod {target.pod} stopped after {archive.come} bytes: {error or type(error).__name__}"
            raise ClusterError(f"{said}; run the same again, and it goes on from there") from error
        archive.forget()
    return Pulled(folder, manifest, f"pod/{target.pod}")


def _there(folder: Path) -> Artifact | None:
    """The artifact that lies in a folder, None where there is none, or a damaged one, which is replaced.

    Raises:
        ArtifactError: anything else lies there.
    """
    check_replaceable(folder)
    if not folder.exists() or not any(folder.iterdir()):
        return None
    try:
        return load_artifact(folder)
    except ArtifactError:
        return None


def _flags(pod: Object) -> dict[str, str]:
    arguments = (one for container in pod["spec"]["containers"] for one in container.get("args", ()))
    return dict(str(one).partition("=")[::2] for one in arguments)


def _refused(name: str, response: Any) -> str:
    try:
        said = str(response.json()["error"])
    except (ValueError, KeyError, TypeError):
        said = response.text[:200] or response.reason_phrase
    remedy = "; give an API key or a token with --token" if response.status_code == HTTPStatus.UNAUTHORIZED else ""
    return f"{name} refuses: {said} (HTTP {response.status_code}){remedy}"


def _unreachable(name: str, revision: Mapping[str, Any]) -> str:
    number, uri = revision["number"], revision.get("uri") or "an unknown place"
    serve = f"kubectl modelservice rollback {name} {number} --apply"
    return (
        f"no ready pod serves revision {number}, and its artifact lies in {uri}, which only pods read: serve it"
        f" ({serve}, and back with promote), and pull it then"
    )
