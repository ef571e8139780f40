"""JSON schemas and examples of the protocols, from a model's signature: what ``/docs`` shows."""

from typing import Any

from modelservice.contract.manifest import ColumnKind, InputColumn, Signature
from modelservice.serving.call import MAX_ROWS
from modelservice.serving.model import example_row, is_numeric
from modelservice.serving.protocol_v2 import MATRIX_NAME, OUTPUTS
from modelservice.serving.tensors import BYTES, NUMERIC

Schema = dict[str, Any]

_SHOWN_CATEGORIES = 20

ERROR: Schema = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string", "description": "What is wrong, and where."}},
}


def v1_example(signature: Signature) -> dict[str, Any]:
    """A request of one row that this model answers."""
    return {"instances": [example_row(signature)]}


def v1_request(signature: Signature) -> Schema:
    """Schema of a ``:predict`` body."""
    columns = {column.name: _value(column) for column in signature.inputs}
    by_name = {"type": "object", "required": list(columns), "properties": columns, "additionalProperties": False}
    by_position = {
        "type": "array",
        "description": f"Values in this order: {', '.join(columns)}.",
        "minItems": len(columns),
        "maxItems": len(columns),
        "items": {"type": ["number", "string", "null"]},
    }
    rows = {"type": "array", "minItems": 1, "maxItems": MAX_ROWS, "items": {"anyOf": [by_name, by_position]}}
    values = {name: {"type": "array", "items": schema} for name, schema in columns.items()}
    by_column = {"type": "object", "required": list(columns), "properties": values, "additionalProperties": False}
    return {
        "type": "object",
        "description": "Either instances or inputs.",
        "properties": {"instances": rows, "inputs": by_column, "signature_name": {"type": "string"}},
        "oneOf": [{"required": ["instances"]}, {"required": ["inputs"]}],
    }


def v1_response(signature: Signature) -> Schema:
    """Schema of the answer to ``instances``."""
    probability = {"type": "number", "minimum": 0, "maximum": 1}
    prediction = {
        "type": "object",
        "required": ["label", "probabilities"],
        "properties": {
            "label": {"type": "string", "enum": list(signature.labels), "description": signature.target},
            "probabilities": {"type": "object", "properties": dict.fromkeys(signature.labels, probability)},
        },
    }
    return {
        "type": "object",
        "required": ["predictions"],
        "properties": {"predictions": {"type": "array", "items": prediction}},
    }


def v2_example(signature: Signature) -> dict[str, Any]:
    """A request of one row that this model answers."""
    if is_numeric(signature):
        row = [column.example for column in signature.inputs]
        return {"inputs": [{"name": MATRIX_NAME, "datatype": "FP32", "shape": [1, len(row)], "data": row}]}
    return {
        "inputs": [
            {"name": column.name, "datatype": _datatype(column), "shape": [1], "data": [column.example]}
            for column in signature.inputs
        ]
    }


def v2_request(signature: Signature) -> Schema:
    """Schema of an ``infer`` body in JSON."""
    names = [column.name for column in signature.inputs]
    listed = ", ".join(f"{column.name} ({_datatype(column)})" for column in signature.inputs)
    matrix = f", or one matrix of numbers [rows, {len(names)}] under any name" if is_numeric(signature) else ""
    tensor = {
        "type": "object",
        "required": ["name", "datatype", "shape", "data"],
        "properties": {
            "name": {"type": "string"},
            "datatype": {"type": "string", "enum": [*NUMERIC, BYTES]},
            "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1, "maxItems": 2},
            "data": {"type": "array", "items": {}},
            "parameters": {"type": "object"},
        },
    }
    output = {
        "type": "object",
        "required": ["name"],
        "properties": {"name": {"type": "string", "enum": list(OUTPUTS)}, "parameters": {"type": "object"}},
    }
    return {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": {"type": "string", "description": "Comes back in the answer."},
            "inputs": {"type": "array", "items": tensor, "description": f"One tensor for each of {listed}{matrix}."},
            "outputs": {"type": "array", "items": output, "description": "Wanted outputs. Default: all."},
            "parameters": {"type": "object"},
        },
    }


def v2_response(signature: Signature) -> Schema:
    """Schema of the answer in JSON."""
    tensor = {
        "type": "object",
        "required": ["name", "datatype", "shape"],
        "properties": {
            "name": {"type": "string", "enum": list(OUTPUTS)},
            "datatype": {"type": "string", "enum": [BYTES, "FP32"]},
            "shape": {"type": "array", "items": {"type": "integer"}},
            "data": {
                "type": "array",
                "items": {},
                "description": f"Labels, or probabilities row by row in the order {', '.join(signature.labels)}.",
            },
        },
    }
    return {
        "type": "object",
        "required": ["model_name", "model_version", "outputs"],
        "properties": {
            "model_name": {"type": "string"},
            "model_version": {"type": "string", "description": "Start of the artifact's digest."},
            "id": {"type": "string"},
            "outputs": {"type": "array", "items": tensor},
        },
    }


def _value(column: InputColumn) -> Schema:
    if column.kind is ColumnKind.NUMERIC:
        return {"type": ["number", "null"], "examples": [column.example]}
    shown = ", ".join(column.categories[:_SHOWN_CATEGORIES])
    more = ", ..." if len(column.categories) > _SHOWN_CATEGORIES else ""
    return {
        "type": ["string", "null"],
        "examples": [column.example],
        "description": f"Seen in training: {shown}{more}.",
    }


def _datatype(column: InputColumn) -> str:
    return "FP64" if column.kind is ColumnKind.NUMERIC else BYTES
