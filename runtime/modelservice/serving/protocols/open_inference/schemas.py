"""JSON schemas of ``infer``, and a request that the model answers: what ``/docs`` shows."""

from typing import Any

from modelservice.contract.signature import InputColumn, Signature
from modelservice.modalities.image.requests import BASE64
from modelservice.modalities.tensors import BYTES, DATATYPES
from modelservice.serving.model import ServedModel
from modelservice.serving.protocols.base import Schema
from modelservice.serving.protocols.open_inference.tensors import MAX_RANK
from modelservice.serving.uploads import takes_pictures


def infer_example(model: ServedModel) -> dict[str, Any]:
    """A request of one row, as the model's metadata describe its inputs."""
    described, example = model.encoder.tensors(), model.encoder.example()
    columns = [column for column in model.signature.inputs if isinstance(column, InputColumn)]
    if len(described) == 1 and len(columns) != 1:
        data = [column.example for column in columns] if columns else [example]
        shape = [1, *described[0]["shape"][1:]]
        tensor = {"name": described[0]["name"], "datatype": described[0]["datatype"], "shape": shape, "data": data}
        if takes_pictures(model.signature) and isinstance(example, dict):
            tensor |= {"datatype": BYTES, "shape": [1], "data": [example[BASE64]]}
        return {"inputs": [tensor]}
    if not columns:
        return {
            "inputs": [
                {**tensor, "shape": [1, *tensor["shape"][1:]], "data": [example[tensor["name"]]]}
                for tensor in described
            ]
        }
    return {
        "inputs": [
            {"name": column.name, "datatype": column.datatype, "shape": [1], "data": [column.example]}
            for column in columns
        ]
    }


def infer_request(model: ServedModel) -> Schema:
    """Schema of an ``infer`` body in JSON."""
    described = ", ".join(
        f"{tensor['name']} ({tensor['datatype']} {tensor['shape']})" for tensor in model.encoder.tensors()
    )
    columns = [column for column in model.signature.inputs if isinstance(column, InputColumn)]
    each = ", or one tensor for each column" if columns and len(model.encoder.tensors()) == 1 else ""
    names = [output.name for output in model.signature.outputs]
    tensor = {
        "type": "object",
        "required": ["name", "datatype", "shape", "data"],
        "properties": {
            "name": {"type": "string"},
            "datatype": {"type": "string", "enum": list(DATATYPES)},
            "shape": {
                "type": "array",
                "items": {"type": "integer", "minimum": 0},
                "minItems": 1,
                "maxItems": MAX_RANK,
            },
            "data": {"type": "array", "items": {}},
            "parameters": {"type": "object"},
        },
    }
    output = {
        "type": "object",
        "required": ["name"],
        "properties": {"name": {"type": "string", "enum": names}, "parameters": {"type": "object"}},
    }
    return {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": {"type": "string", "description": "Comes back in the answer."},
            "inputs": {"type": "array", "items": tensor, "description": f"{described}{each}."},
            "outputs": {"type": "array", "items": output, "description": "Wanted outputs. Default: all."},
            "parameters": {"type": "object"},
        },
    }


def infer_response(signature: Signature) -> Schema:
    """Schema of the answer in JSON."""
    labels = f", values in the order {', '.join(signature.labels)}" if signature.labels else ""
    tensor = {
        "type": "object",
        "required": ["name", "datatype", "shape"],
        "properties": {
            "name": {"type": "string", "enum": [output.name for output in signature.outputs]},
            "datatype": {"type": "string", "enum": sorted({output.datatype for output in signature.outputs})},
            "shape": {"type": "array", "items": {"type": "integer"}},
            "data": {"type": "array", "items": {}, "description": f"Flat, row by row{labels}."},
        },
    }
    return {
        "type": "object",
        "required": ["model_name", "model_version", "outputs"],
        "properties": {
            "model_name": {"type": "string"},
            "model_version": {"type": "string", "description": "Number of the revision."},
            "id": {"type": "string"},
            "outputs": {"type": "array", "items": tensor},
        },
    }
