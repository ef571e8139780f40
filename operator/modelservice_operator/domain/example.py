"""``status.example``: a request that runs, with this model's columns."""

import json

from modelservice_operator.domain.metadata import Owner
from modelservice_operator.domain.names import service_url
from modelservice_operator.domain.revisions import Revision


def example_request(owner: Owner, revision: Revision) -> str:
    """A curl whose values are medians and modes, never a real row.

    A signature too large for the report is not known here; then the curl asks the model for its columns.
    """
    url = f"{service_url(owner.name, owner.namespace)}/v1/models/{owner.name}"
    if revision.signature is None:
        return f"curl -s {url.replace('/v1/', '/v2/')}"
    row = {column.name: column.example for column in revision.signature.inputs}
    body = json.dumps({"instances": [row]}, ensure_ascii=True).replace("'", "\\u0027")
    return f"curl -s {url}:predict -H 'content-type: application/json' -d '{body}'"
