"""``status.example``: a request that runs, with this model's inputs."""

import json
import math

from modelservice.contract.signature import InputColumn, InputTensor, Signature
from modelservice_operator.domain.metadata import Owner
from modelservice_operator.domain.records import StageRecord

_MOST_VALUES = 4096
"""A tensor with more values makes no example that anybody would read or paste."""


def example_request(owner: Owner, record: StageRecord, base: str, *, key: bool, certificate: bool) -> str:
    """A curl whose values are medians and modes, or an empty tensor, never a real row.

    ``base`` is the URL of the Service; with ``key`` the curl sends an API key or a token, which its user puts in, and
    with ``certificate`` it shows one of its user's.

    A signature too large for the report is not known here; then the curl asks the model for its inputs.
    """
    curl = "curl -s --cacert ca.crt" if base.startswith("https:") else "curl -s"
    curl += " --cert tls.crt --key tls.key" if certificate else ""
    shown = ' -H "authorization: Bearer $KEY"' if key else ""
    url = f"{base}/v1/models/{owner.name}"
    instance = _instance(record.signature) if record.signature else None
    if instance is None:
        return f"{curl} {url.replace('/v1/', '/v2/')}{shown}"
    body = json.dumps({"instances": [instance]}, ensure_ascii=True).replace("'", "\\u0027")
    return f"{curl} {url}:predict{shown} -H 'content-type: application/json' -d '{body}'"


def _instance(signature: Signature) -> object | None:
    """One row: values by name of the column, or nested lists where the only input is a tensor."""
    columns = [one for one in signature.inputs if isinstance(one, InputColumn)]
    tensors = [one for one in signature.inputs if isinstance(one, InputTensor)]
    if not tensors:
        return {column.name: column.example for column in columns}
    if columns or len(tensors) > 1 or math.prod(tensors[0].shape) > _MOST_VALUES:
        return None
    return _zeros(tensors[0].shape)


def _zeros(shape: tuple[int, ...]) -> object:
    return [_zeros(shape[1:]) for _ in range(shape[0])] if shape else 0
