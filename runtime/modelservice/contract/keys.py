"""Keys: short hashes of what decides a result.

A key takes an allow-list of fields in canonical JSON and leaves out each value that equals its default. So a new
field, a new default elsewhere, another operator, image or GPU trains nothing again. Golden keys are committed.
"""

import base64
import gzip
import hashlib
import io
import json
import zlib
from collections.abc import Iterable, Mapping
from typing import Any, Final

from modelservice.contract.artifact_source import ArtifactSource
from modelservice.contract.base import Contract
from modelservice.contract.data import ClaimSource
from modelservice.contract.digests import sha256, written
from modelservice.contract.encoders import PretrainedModel
from modelservice.contract.resource import ModelServiceSpec

GZIP_MAGIC = b"\x1f\x8b"
MAX_INFLATED_BYTES = 256 << 20
"""A ConfigMap holds 1 MiB; gzip could make a thousand of it."""

PLACES_OF_TRAINING: Final[Mapping[str, Any]] = {
    "initialize": {"artifact": {"uri"}},
    "teacher": {"artifact": {"uri"}},
}
"""Where something lies whose digest is named beside it, which alone decides."""

_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)

KEY_LENGTH = 8
ATTEMPT_LENGTH = 4


def key_of(address: str) -> str:
    """The key that the address of an artifact ends with: the name of a folder, or the tag of an image."""
    return address.rpartition("/")[2].partition("@")[0].rpartition(":")[2]


def short_hash(value: Any, *, length: int) -> str:
    """The first characters (a-z, 2-7) of the sha256 of a value in canonical JSON."""
    return hash_of(_CANONICAL.encode(value).encode(), length=length)


def hash_of(content: bytes, *, length: int) -> str:
    """The first characters (a-z, 2-7) of the sha256 of some bytes."""
    enough = 5 * -(-length // 8)  # bytes: 5 of them are 8 characters
    return base64.b32encode(hashlib.sha256(content).digest()[:enough]).decode().lower()[:length]


def settled(model: Contract, *, without: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What was decided in a model: its values that differ from their defaults, under the names of the API."""
    return model.model_dump(mode="json", exclude_defaults=True, exclude=without)


def content_digest(content: bytes) -> str:
    """``sha256:...`` of a table's bytes, of the inflated ones where they are gzip.

    Raises:
        ValueError: the gzip is damaged, or inflates to more than ``MAX_INFLATED_BYTES``.
    """
    if not content.startswith(GZIP_MAGIC):
        return sha256(content)
    hasher, total = hashlib.sha256(), 0
    try:
        with gzip.open(io.BytesIO(content)) as inflated:
            while chunk := inflated.read(1 << 20):
                hasher.update(chunk)
                total += len(chunk)
                if total > MAX_INFLATED_BYTES:
                    raise ValueError(f"gzip inflates to more than {MAX_INFLATED_BYTES >> 20} MiB")
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError(f"gzip is damaged: {error}") from error
    return written(hasher)


def claim_digest(source: ClaimSource, version: str | None) -> str:
    """Stands for the content of a claim, which the operator cannot read: changes with place and declared version."""
    text = json.dumps([source.claim_name, source.path, version or ""])
    return sha256(text.encode())


def uri_digest(uri: str, version: str | None) -> str:
    """Stands for the content of objects, which the operator cannot read: changes with address and declared version."""
    text = json.dumps([uri, version or ""])
    return sha256(text.encode())


def train_key(spec: ModelServiceSpec, data_digest: str) -> str:
    """Key of the training stage: the data's digest, how it is read, the task, the model and the hyperparameters."""
    decided = {
        "data": data_digest,
        **_read_as(spec),
        "model": settled(spec.model),
        "training": settled(spec.training.hyperparameters, without=PLACES_OF_TRAINING),
    }
    return short_hash(decided, length=KEY_LENGTH)


def fetch_key(source: ArtifactSource, data_digest: str | None = None) -> str:
    """Key of what was made elsewhere: its digest, and that of the data where test rows are to judge it."""
    decided = {"artifact": source.digest, **({"data": data_digest} if data_digest else {})}
    return short_hash(decided, length=KEY_LENGTH)


def pretrained_key(pretrained: PretrainedModel) -> str:
    """Key of a pretrained model that is served as it is: its folder, what its weights must be, and how it reads."""
    return short_hash({"pretrained": settled(pretrained)}, length=KEY_LENGTH)


def elsewhere_digest(spec: ModelServiceSpec) -> str | None:
    """Stands for the data of a spec by which no stage reads any; None where one does."""
    if spec.reads_data:
        return None
    if spec.fetched is not None:
        return spec.fetched.digest
    assert spec.pretrained is not None  # noqa: S101 - all else reads data
    return uri_digest(spec.pretrained.uri, spec.pretrained.digest)


def compare_key(candidate: str, current: str, metrics: Iterable[str]) -> str:
    """Key of a comparison: the digests of both artifacts, and the metrics in any order.

    The data are those of the candidate, and what may be lost is asked of the result.
    """
    decided = {"candidate": candidate, "current": current, "metrics": sorted(set(metrics))}
    return short_hash(decided, length=KEY_LENGTH)


def compress_key(parent: str, spec: ModelServiceSpec) -> str:
    """Key of the compression stage: the key of what is compressed, and how.

    The key of what was trained elsewhere does not tell how its data is read, divided and weighed, nor the task.
    """
    assert spec.compression is not None  # noqa: S101 - asked for
    said = _read_as(spec) if spec.fetched is not None else {}
    return short_hash({"parent": parent, "compression": settled(spec.compression), **said}, length=KEY_LENGTH)


def _read_as(spec: ModelServiceSpec) -> dict[str, Any]:
    """How the data is read, divided and weighed, and the task where one is asked for."""
    reading = spec.known_data.model_dump(
        mode="json",
        include={
            *("format", "csv", "excel", "image", "text", "encoder", "target", "features", "columns"),
            *("missing", "missing_numbers", "scaling", "sample_weight", "split"),
        },
        exclude_defaults=True,
    )
    return {"reading": reading, **({"task": settled(spec.task)} if spec.task is not None else {})}
