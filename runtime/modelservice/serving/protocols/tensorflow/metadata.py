"""A model's signature as TensorFlow Serving says it: a ``SignatureDef``, and its JSON form for ``/metadata``."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from modelservice.contract.signature import InputColumn, Signature
from modelservice.modalities.tensors import BOOL, BYTES, describe
from modelservice.serving.errors import RequestError

SIGNATURE_NAME: Final = "serving_default"
"""The one signature that a model has."""
DTYPES: Final = {
    "INT8": "DT_INT8",
    "INT16": "DT_INT16",
    "INT32": "DT_INT32",
    "INT64": "DT_INT64",
    "UINT8": "DT_UINT8",
    "UINT16": "DT_UINT16",
    "UINT32": "DT_UINT32",
    "UINT64": "DT_UINT64",
    "FP16": "DT_HALF",
    "FP32": "DT_FLOAT",
    "FP64": "DT_DOUBLE",
    BOOL: "DT_BOOL",
    BYTES: "DT_STRING",
}
"""TensorFlow's name of each datatype of the Open Inference Protocol."""


METHOD_NAME: Final = "tensorflow/serving/predict"


class Described(NamedTuple):
    """A tensor of the signature: datatype of the Open Inference Protocol, and the shape of one row."""

    datatype: str
    shape: Sequence[int]

    @property
    def dtype(self) -> str:
        """TensorFlow's name of the datatype."""
        return DTYPES[self.datatype]


def described_inputs(signature: Signature) -> dict[str, Described]:
    """Inputs as ``{"inputs": {...}}`` of a request names them: a table has one for each column."""
    return {
        given.name: Described(given.datatype, () if isinstance(given, InputColumn) else given.shape)
        for given in signature.inputs
    }


def described_outputs(signature: Signature) -> dict[str, Described]:
    """Outputs by name."""
    return {output.name: Described(output.datatype, output.shape) for output in signature.outputs}


def check_signature(name: Any) -> None:
    """Refuse the name of another signature; an empty one is that of the only one.

    Raises:
        RequestError: the model has none of that name.
    """
    if not isinstance(name, str) or name not in {"", SIGNATURE_NAME}:
        raise RequestError(f"signature_name: {describe(name)} is no signature of this model; expected {SIGNATURE_NAME}")


def model_metadata(signature: Signature, *, name: str, version: str, digest: str) -> dict[str, Any]:
    """The answer to ``/metadata``, with the artifact's digest beside what TensorFlow Serving says."""
    signature_def = {
        "inputs": _tensors(described_inputs(signature)),
        "outputs": _tensors(described_outputs(signature)),
        "method_name": METHOD_NAME,
    }
    return {
        "model_spec": {"name": name, "signature_name": "", "version": version},
        "metadata": {"signature_def": {"signature_def": {SIGNATURE_NAME: signature_def}}},
        "digest": digest,
    }


def _tensors(described: Mapping[str, Described]) -> dict[str, Any]:
    """Tensors by name; int64 is text in protobuf's JSON."""
    return {
        name: {
            "dtype": tensor.dtype,
            "tensor_shape": {
                "dim": [{"size": str(size), "name": ""} for size in (-1, *tensor.shape)],
                "unknown_rank": False,
            },
            "name": name,
        }
        for name, tensor in described.items()
    }
