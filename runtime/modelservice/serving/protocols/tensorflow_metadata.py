"""A model's signature as TensorFlow Serving's ``/metadata`` says it: the JSON form of a ``SignatureDef``."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from modelservice.contract.signature import Input, InputColumn, Signature
from modelservice.modalities.tensors import BOOL, BYTES

SIGNATURE_NAME: Final = "serving_default"
"""The one signature that a model has."""
_DTYPES: Final = {
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


def model_metadata(signature: Signature, *, name: str, version: str, digest: str) -> dict[str, Any]:
    """The answer to ``/metadata``, with the artifact's digest beside what TensorFlow Serving says.

    Inputs are named as in ``{"inputs": {...}}`` of a request: a table has one for each column.
    """
    signature_def = {
        "inputs": _tensors(map(_input, signature.inputs)),
        "outputs": _tensors((output.name, output.datatype, output.shape) for output in signature.outputs),
        "method_name": "tensorflow/serving/predict",
    }
    return {
        "model_spec": {"name": name, "signature_name": "", "version": version},
        "metadata": {"signature_def": {"signature_def": {SIGNATURE_NAME: signature_def}}},
        "digest": digest,
    }


def _input(given: Input) -> tuple[str, str, Sequence[int]]:
    if isinstance(given, InputColumn):
        return given.name, given.datatype, ()
    return given.name, given.datatype, given.shape


def _tensors(described: Iterable[tuple[str, str, Sequence[int]]]) -> dict[str, Any]:
    """Tensors by name, from name, datatype and the shape of one row; int64 is text in protobuf's JSON."""
    return {
        name: {
            "dtype": _DTYPES[datatype],
            "tensor_shape": {
                "dim": [{"size": str(size), "name": ""} for size in (-1, *shape)],
                "unknown_rank": False,
            },
            "name": name,
        }
        for name, datatype, shape in described
    }
