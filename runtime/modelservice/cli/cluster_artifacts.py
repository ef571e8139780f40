"""Commands of ``kubectl modelservice`` that bring artifacts here, and compare what they come to."""

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelservice.cli.terminal import print_json, transfer
from modelservice.contract.exit_codes import ExitCode

if TYPE_CHECKING:
    from modelservice.artifact.load import Artifact
    from modelservice.cluster.access import Access
    from modelservice.cluster.pulling import Pulled
    from modelservice.contract.data import Data
    from modelservice.contract.task import Task


def pull_artifact(parsed: argparse.Namespace, access: "Access") -> int:
    """The artifact of a revision in a folder."""
    from modelservice.artifact.stores.folder import folder_of  # noqa: PLC0415
    from modelservice.cluster.revisions import revision_of  # noqa: PLC0415

    revision = revision_of(access.service(parsed.name), parsed.revision)
    folder = folder_of(str(parsed.output))
    pulled = _pulled(access, parsed, revision, folder, force=parsed.force)
    size = sum(entry.size for entry in pulled.manifest.files.values())
    if parsed.format:
        digest, number = revision["digest"], revision["number"]
        said = {"name": parsed.name, "revision": number, "digest": digest, "folder": str(folder), "bytes": size}
        return print_json({**said, "origin": pulled.origin, "files": list(pulled.manifest.files)})
    came = "lay there already" if pulled.origin is None else f"came from {pulled.origin}"
    sys.stdout.write(f"revision {revision['number']} of {parsed.name} {came}: {size} bytes in {folder}\n")
    sys.stdout.write(f"digest {revision['digest']}, as the status says\n\nnext:\n")
    sys.stdout.write(f"  modelservice inspect {folder}\n  modelservice serve --model {folder} --name {parsed.name}\n")
    return ExitCode.DONE


def compare_revisions(parsed: argparse.Namespace, access: "Access") -> int:
    """A metric of two revisions on the same rows."""
    from modelservice.cluster.comparing import compare, revision  # noqa: PLC0415
    from modelservice.cluster.errors import ClusterError  # noqa: PLC0415
    from modelservice.comparing.models import check_alike  # noqa: PLC0415
    from modelservice.contract.metric_names import KnownMetric  # noqa: PLC0415

    numbers = parsed.first, parsed.second
    if parsed.data is None:
        raise ClusterError(
            "an artifact holds no rows to compare on: name with --data the file that both revisions were trained on,"
            " whose test rows are asked then, or rows that neither of them learned from"
        )
    if len(set(numbers)) == 1:
        raise ClusterError(f"revision {parsed.first} differs from itself in nothing: name two revisions")
    service = access.service(parsed.name)
    folders = _folders(parsed.artifact, numbers)
    first, second = (revision(one, _artifact(access, parsed, service, one, folders.get(one))) for one in numbers)
    check_alike(first, second)
    data, task = _settings(service, target=first.artifact.signature.target or "")
    metric = None if parsed.metric is None else KnownMetric(parsed.metric)
    found = compare(numbers, (first, second), file=parsed.data, data=data, task=task, metric=metric)
    if parsed.output:
        return print_json({"name": parsed.name, **found._asdict()})
    sys.stdout.write(f"{found.said}\n")
    if found.dropped:
        sys.stderr.write(f"{found.dropped} rows of {parsed.data} do not count: they have no target, or weight 0\n")
    if not found.tested:
        sys.stderr.write(
            f"nothing tells whether a revision learned from rows of {parsed.data}: one that did looks better\n"
        )
    return ExitCode.DONE


def _pulled(
    access: "Access", parsed: argparse.Namespace, revision: Mapping[str, Any], folder: Path, *, force: bool = False
) -> "Pulled":
    from modelservice.client.connecting import forwarded_trust  # noqa: PLC0415
    from modelservice.cluster.pulling import pull  # noqa: PLC0415

    with transfer(f"revision {revision['number']}") as told:
        trust = forwarded_trust(parsed.certificate, parsed.key)
        return pull(access, parsed.name, revision, folder, token=parsed.token, trust=trust, force=force, told=told)


def _artifact(
    access: "Access", parsed: argparse.Namespace, service: Mapping[str, Any], number: int, folder: Path | None
) -> "Artifact":
    """The artifact of a revision: of the folder that was named, or pulled for the moment."""
    from modelservice.artifact.stores import load_artifact  # noqa: PLC0415
    from modelservice.cluster.errors import ClusterError  # noqa: PLC0415
    from modelservice.cluster.revisions import revision_of  # noqa: PLC0415

    revision = revision_of(service, number)
    if folder is not None:
        return load_artifact(folder, digest=revision["digest"])
    with tempfile.TemporaryDirectory(prefix="modelservice-") as scratch:
        try:
            _pulled(access, parsed, revision, Path(scratch) / "artifact")
        except ClusterError as error:
            raise ClusterError(f"{error}; a folder that it was pulled into: --artifact {number}=DIR") from error
        return load_artifact(Path(scratch) / "artifact", digest=revision["digest"])


def _folders(named: Sequence[str], numbers: Sequence[int]) -> dict[int, Path]:
    """Folders by the number of their revision.

    Raises:
        ClusterError: one is not named in this way, or for another revision.
    """
    from modelservice.cluster.errors import ClusterError  # noqa: PLC0415

    folders: dict[int, Path] = {}
    for one in named:
        number, _, folder = one.partition("=")
        if not (number.isascii() and number.isdecimal() and folder) or int(number) not in numbers:
            asked = " or ".join(f"{number}=DIR" for number in numbers)
            raise ClusterError(f"--artifact {one}: write {asked}, of the revisions that are compared")
        folders[int(number)] = Path(folder)
    return folders


def _settings(service: Mapping[str, Any], *, target: str) -> "tuple[Data, Task | None]":
    """What the spec says of the data and the task; of data that it does not name, only the target.

    Raises:
        ClusterError: it has fields that this release does not know.
    """
    from pydantic import ValidationError  # noqa: PLC0415

    from modelservice.cluster.errors import ClusterError  # noqa: PLC0415
    from modelservice.contract.data import Data  # noqa: PLC0415
    from modelservice.contract.task import Task  # noqa: PLC0415

    spec = service.get("spec", {})
    given = spec.get("data") or {"configMap": {"name": "none"}, "target": target}
    try:
        return Data.model_validate(given), Task.model_validate(spec["task"]) if spec.get("task") else None
    except ValidationError as error:
        place = ".".join(map(str, error.errors()[0]["loc"]))
        name = service["metadata"]["name"]
        message = f"spec.data or spec.task of {name} is not known to this release ({place}): use that of the cluster"
        raise ClusterError(message) from error
