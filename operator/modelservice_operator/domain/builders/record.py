"""ControllerRevisions that keep what came of a stage or of a comparison, and the templates of serving pods."""

from modelservice.contract.documents import Document, read_document
from modelservice.contract.keys import short_hash
from modelservice_operator.constants import ANNOTATION_TURN
from modelservice_operator.domain.metadata import Owner
from modelservice_operator.domain.names import keyed_name, template_name
from modelservice_operator.domain.records import (
    ComparisonRecord,
    Revision,
    ServingTemplate,
    StageRecord,
    StoredTemplate,
    TemplateRevision,
)
from modelservice_operator.objects import Object
from modelservice_operator.remembering import remembered

_READ = 512
"""Documents that are remembered: each stays as it is, and a ModelService at work is looked at many times."""


def build_record(owner: Owner, revision: Revision) -> Object:
    """The record, owned by its ModelService by UID.

    Kubernetes lets ``data`` never change, but ``revision`` may: what was an intermediate result gets its number when
    it becomes the last one. So what is recorded already is said again word for word.
    """
    data = revision.obj["data"] if revision.obj else revision.record.model_dump(mode="json", exclude_none=True)
    metadata = owner.metadata(keyed_name(owner.name, revision.key), key=revision.key)
    if revision.turn > revision.number:
        metadata["annotations"] = {ANNOTATION_TURN: str(revision.turn)}
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": metadata,
        "revision": revision.number,
        "data": data,
    }


@remembered(_READ)
def parse_record(obj: Object) -> Revision:
    """The result that a ControllerRevision records.

    Raises:
        DocumentError: this release cannot read it.
    """
    name = f"ControllerRevision {obj['metadata']['name']}"
    record = read_document(name, obj.get("data") or {}, StageRecord)
    number, turn = numbered(obj)
    return Revision(number=number, record=record, obj=obj, turn=turn)


def numbered(obj: Object) -> tuple[int, int]:
    """Number and turn of a recorded revision."""
    number, again = int(obj.get("revision", 0)), obj["metadata"].get("annotations", {}).get(ANNOTATION_TURN, "")
    return number, max(number, int(again) if again.isascii() and again.isdecimal() else 0)


def build_template(
    owner: Owner,
    key: str,
    stored: StoredTemplate,
    *,
    number: int,
    failed: str | None = None,
    canary: int | None = None,
) -> Object:
    """The ControllerRevision of a pod template; ``number`` is higher than that of each one before.

    ``failed``: why its rollout was taken back; ``canary``: the step that begins with it.
    """
    document = ServingTemplate(key=key, serving=stored, failed=failed, canary=canary)
    data = document.model_dump(mode="json", exclude_none=True)
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": owner.metadata(template_name(owner.name, key, short_hash(data, length=10)), key=key),
        "revision": number,
        "data": data,
    }


@remembered(_READ)
def parse_template(obj: Object) -> TemplateRevision:
    """The pod template that a ControllerRevision stores.

    Raises:
        DocumentError: this release cannot read it.
    """
    name = f"ControllerRevision {obj['metadata']['name']}"
    document = read_document(name, obj.get("data") or {}, ServingTemplate)
    return TemplateRevision(number=int(obj.get("revision", 0)), document=document, obj=obj)


def is_template(obj: Object) -> bool:
    """Whether a ControllerRevision stores a pod template, whether or not this release can read it."""
    return _is_of(obj, ServingTemplate)


def is_foreign(obj: Object) -> bool:
    """Whether a ControllerRevision is one of Kubernetes' own, of a StatefulSet or a DaemonSet.

    Whoever may make such has revisions with any labels and many names; their data are a template, and say no kind.
    """
    data = obj.get("data")
    return isinstance(data, dict) and "kind" not in data


def build_comparison(owner: Owner, record: ComparisonRecord) -> Object:
    """What came of a comparison, as a ControllerRevision of its own; it is no revision and has no number."""
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": owner.metadata(keyed_name(owner.name, record.key), key=record.key),
        "revision": 0,
        "data": record.model_dump(mode="json", exclude_none=True),
    }


def parse_comparison(obj: Object) -> ComparisonRecord:
    """The comparison that a ControllerRevision records.

    Raises:
        DocumentError: this release cannot read it.
    """
    return read_document(f"ControllerRevision {obj['metadata']['name']}", obj.get("data") or {}, ComparisonRecord)


def is_comparison(obj: Object) -> bool:
    """Whether a ControllerRevision records a comparison, whether or not this release can read it."""
    return _is_of(obj, ComparisonRecord)


def _is_of(obj: Object, model: type[Document]) -> bool:
    data = obj.get("data")
    return isinstance(data, dict) and data.get("kind") == model.model_fields["kind"].default
