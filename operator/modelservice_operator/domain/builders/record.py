"""The ControllerRevision that keeps the record of a stage's result."""

from modelservice.contract.documents import read_document
from modelservice_operator.domain.metadata import Owner
from modelservice_operator.domain.names import keyed_name
from modelservice_operator.domain.records import Revision, StageRecord
from modelservice_operator.objects import Object


def build_record(owner: Owner, revision: Revision) -> Object:
    """The record, owned by its ModelService by UID.

    Kubernetes lets ``data`` never change, but ``revision`` may: what was an intermediate result gets its number when
    it becomes the last one. So what is recorded already is said again word for word.
    """
    data = revision.obj["data"] if revision.obj else revision.record.model_dump(mode="json", exclude_none=True)
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": owner.metadata(keyed_name(owner.name, revision.key), key=revision.key),
        "revision": revision.number,
        "data": data,
    }


def parse_record(obj: Object) -> Revision:
    """The result that a ControllerRevision records.

    Raises:
        DocumentError: this release cannot read it.
    """
    name = f"ControllerRevision {obj['metadata']['name']}"
    record = read_document(name, obj.get("data") or {}, StageRecord)
    return Revision(number=int(obj.get("revision", 0)), record=record, obj=obj)
