"""The ControllerRevision that keeps a revision's record."""

from typing import Any

from modelservice_operator.domain.metadata import Object, Owner
from modelservice_operator.domain.names import keyed_name
from modelservice_operator.domain.revisions import Revision


def build_record(owner: Owner, revision: Revision) -> Object:
    """An immutable record, owned by its ModelService by UID."""
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": owner.metadata(keyed_name(owner.name, revision.key), key=revision.key),
        "revision": revision.number,
        "data": revision.model_dump(mode="json", exclude_none=True),
    }


def parse_record(obj: dict[str, Any]) -> Revision:
    """The revision that a ControllerRevision records.

    Raises:
        pydantic.ValidationError: the record was not written by this project.
    """
    return Revision.model_validate(obj["data"])
