"""JSON schemas of rows and answers, from a model's signature: what ``/docs`` shows."""

from collections.abc import Sequence
from typing import Any, Final

from modelservice.contract.signature import (
    ColumnContent,
    ColumnKind,
    Input,
    InputColumn,
    InputTensor,
    Output,
    Signature,
)
from modelservice.inference.explaining.plans import OCCLUSION, SHAPLEY
from modelservice.inference.explaining.tree_file import Scale
from modelservice.inference.explaining.tree_paths import TREE_PATHS
from modelservice.modalities.base import STRICT, Tolerance
from modelservice.modalities.parts import MAX_PATCH
from modelservice.modalities.tensors import BOOL, BYTES
from modelservice.serving.asked import MAX_TIMEOUT
from modelservice.serving.calls import MAX_ROWS
from modelservice.serving.protocols.base import Schema
from modelservice.serving.uploads import FORM, MEDIA_TYPES, takes_pictures

_SHOWN_CATEGORIES: Final = 20
_NUMBER: Final[Schema] = {"type": "number"}
_OF_IMAGES: Final[dict[str, Schema]] = {
    "patch": {
        "type": "integer",
        "minimum": 1,
        "maximum": MAX_PATCH,
        "description": "Side of a patch, in pixels. Default: an eighth of the longer side.",
    },
    "heat_map": {"type": "boolean", "description": "Also give the contributions as a PNG. Default false."},
}
_METHODS: Final = {
    OCCLUSION: "How; all but Occlusion, the default, need a label, and take evaluations as steps, default 64.",
    SHAPLEY: "How; Shapley is the default, and TreePaths follows the rows through the trees, without evaluations.",
}
"""What is said of the methods of a model, by the usual one."""
_OF_TREES: Final[dict[str, Schema]] = {
    "answer": {**_NUMBER, "description": "TreePaths: what the model answers."},
    "scale": {
        "enum": [str(scale) for scale in Scale],
        "description": "TreePaths: what value, base and contributions are of: the answer, its probability before a"
        " calibration, its log-odds, or its logit.",
    },
    "rows": {**_NUMBER, "description": "TreePaths: rows that a single tree was grown from."},
    "path": {
        "type": "array",
        "description": "TreePaths: the conditions that the row meets in a single tree, from the root on; with how many"
        " rows of training met all up to this one, and what was expected of them.",
        "items": {
            "type": "object",
            "required": ["column", "condition", "cell", "rows", "expected"],
            "properties": {
                "column": {"type": "string"},
                "condition": {"type": "string"},
                "cell": {"description": "Of the row; null where it is missing."},
                "rows": _NUMBER,
                "expected": _NUMBER,
            },
        },
    },
}
_CONTENTS: Final = {
    ColumnContent.BOOLEAN: (("boolean", "string"), "true or false; also yes and no, y and n, t and f, 1 and 0."),
    ColumnContent.TEXT: (("string",), "Free text."),
    ColumnContent.DATE: (("string",), "A date of ISO 8601, with time and zone where those of training have them."),
}
"""JSON types of a cell, and what it says."""


def predict_request(signature: Signature, tolerance: Tolerance = STRICT) -> Schema:
    """Schema of a ``:predict`` body; ``tolerance`` is what it may get wrong where it does not say."""
    return {
        "type": "object",
        "description": "Either instances or inputs.",
        "properties": {
            "instances": {
                "type": "array",
                "minItems": 1,
                "maxItems": MAX_ROWS,
                "items": _row(signature, tolerance),
            },
            "inputs": _rows_by_input(signature, tolerance),
            "signature_name": {"type": "string"},
            **_asked(tolerance),
        },
        "oneOf": [{"required": ["instances"]}, {"required": ["inputs"]}],
    }


def uploads(signature: Signature) -> dict[str, Schema]:
    """Schemas of what else a body may be, by media type: of a model of images a picture, or a form with pictures."""
    if not takes_pictures(signature):
        return {}
    picture: Schema = {"type": "string", "format": "binary"}
    form: Schema = {"type": "object", "required": ["image"], "properties": {"image": picture}}
    form["description"] = "PNG or JPEG files under any names, and other members of the request."
    return {**dict.fromkeys(MEDIA_TYPES, picture), FORM: form}


def predict_response(signature: Signature) -> Schema:
    """Schema of the answer to ``instances``."""
    outputs = {output.name: output_schema(output, signature) for output in signature.outputs}
    prediction: Schema = {"type": "object", "required": list(outputs), "properties": outputs}
    if len(outputs) == 1:
        (prediction,) = outputs.values()
    return {
        "type": "object",
        "required": ["predictions"],
        "properties": {"predictions": {"type": "array", "items": prediction}},
    }


def explain_request(signature: Signature, tolerance: Tolerance = STRICT, methods: Sequence[str] = ()) -> Schema:
    """Schema of an ``:explain`` body; see ``predict_request``. ``methods`` may be named, the usual one first."""
    predict = predict_request(signature, tolerance)
    said = ("instances", "inputs", "signature_name", "unknown_columns", "missing_columns", "timeout")
    labels, images = list(signature.labels), takes_pictures(signature)
    label = {"label": {"enum": labels, "description": "Explain its probability. Default: the one that is answered."}}
    return {
        **predict,
        "properties": {
            **{name: predict["properties"][name] for name in said},
            **(label if labels else {}),
            "evaluations": {
                "type": "integer",
                "minimum": 0,
                "maximum": MAX_ROWS,
                "description": "Most rows that the model answers for each instance: all coalitions of columns, where"
                " these are as many or fewer, or random orders of them; of images and texts one for each part, and two."
                " Default 1024.",
            },
            "seed": {"type": "integer", "minimum": 0, "description": "Of the random orders. Default 0."},
            **(_OF_IMAGES if images else {}),
            **({"method": {"enum": list(methods), "description": _METHODS[methods[0]]}} if len(methods) > 1 else {}),
        },
    }


def explain_response(signature: Signature, methods: Sequence[str]) -> Schema:
    """Schema of the answer to it."""
    explanation: Schema = {
        "type": "object",
        "required": ["output", "value", "base", "contributions"],
        "properties": {
            "output": {"type": "string"},
            **({"label": {"enum": list(signature.labels)}} if signature.labels else {}),
            "value": {**_NUMBER, "description": "Of the instance."},
            "base": {
                **_NUMBER,
                "description": "Where all parts are hidden: of a row of medians and modes; TreePaths: what was expected"
                " of the rows of training.",
            },
            **_contributions(signature),
            **(_OF_TREES if TREE_PATHS in methods else {}),
        },
    }
    return {
        "type": "object",
        "required": ["explanations", "method", "exact"],
        "properties": {
            "explanations": {"type": "array", "items": explanation},
            "method": {"enum": list(methods)},
            "exact": {"type": "boolean", "description": "Whether none of them is estimated."},
        },
    }


def _contributions(signature: Signature) -> dict[str, Schema]:
    """Members of an explanation, by what the model takes."""
    rows: Schema = {"type": "array", "items": {"type": "array", "items": _NUMBER}}
    if takes_pictures(signature):
        png: Schema = {"type": "object", "properties": {"b64": {"type": "string", "contentEncoding": "base64"}}}
        return {
            "contributions": {**rows, "description": "What is lost where a patch is hidden, by rows of patches."},
            "patch": {"type": "integer", "description": "Side of a patch, in pixels."},
            "heat_map": {**png, "description": "A PNG: red adds to the answer, blue takes away. Where asked for."},
        }
    by_column = {"type": "object", "properties": dict.fromkeys(_by_name(signature.inputs), _NUMBER)}
    by_word: Schema = {
        "type": "object",
        "properties": {"word": {"type": "string"}, "contribution": _NUMBER},
    }
    said = "What each column adds: with base, they sum up to value. Of a text: what is lost where a word is left out."
    return {"contributions": {"anyOf": [by_column, {"type": "array", "items": by_word}], "description": said}}


def output_schema(output: Output, signature: Signature) -> Schema:
    """Schema of one output of one row; an output with labels is an object by label."""
    described = {} if signature.target is None else {"description": signature.target}
    if output.datatype == BYTES:
        values = {"enum": list(signature.labels)} if signature.labels else {}
        return {"type": "string", **values, **described}
    value: Schema = {"type": "boolean" if output.datatype == BOOL else "number"}
    if output.labels is not None:
        return {"type": "object", "properties": dict.fromkeys(output.labels, value)}
    if not output.shape:
        return {**value, **described}
    return nested(value, output.shape)


def nested(value: Schema, shape: tuple[int, ...]) -> Schema:
    """Schema of a nested array of one shape."""
    for size in reversed(shape):
        value = {"type": "array", "minItems": size, "maxItems": size, "items": value}
    return value


def _asked(tolerance: Tolerance) -> dict[str, Schema]:
    unknown, missing = "Ignore" if tolerance.unknown else "Error", "Missing" if tolerance.missing else "Error"
    said = "What a column is that is not there; Missing: a missing value."
    return {
        "unseen": {"type": "boolean", "description": "Also say, for each row, which categories training never saw."},
        "far": {"type": "boolean", "description": "Also say, for each row, which numbers are far from training's."},
        "unknown_columns": {
            "enum": ["Error", "Ignore"],
            "description": f"What a column is that the model does not have. Default {unknown}.",
        },
        "missing_columns": {"enum": ["Error", "Missing"], "description": f"{said} Default {missing}."},
        "timeout": {
            "type": "integer",
            "minimum": 0,
            "maximum": MAX_TIMEOUT,
            "description": "Microseconds that the request may wait for its answer. Default 0: as long as it takes.",
        },
    }


def _object(columns: dict[str, Any], tolerance: Tolerance) -> Schema:
    """An object of columns: which have to be there, and whether there may be others."""
    required = {} if tolerance.missing else {"required": list(columns)}
    return {"type": "object", **required, "properties": columns, "additionalProperties": tolerance.unknown}


def _row(signature: Signature, tolerance: Tolerance) -> Schema:
    inputs, tensors = signature.inputs, _tensors(signature.inputs)
    if len(tensors) == 1:
        encoded = [_encoded(tensors[0])] if takes_pictures(signature) else []
        return {"anyOf": [*_values(tensors[0]), *encoded]}
    if tensors:
        named = {tensor.name: {"anyOf": _values(tensor)} for tensor in tensors}
        return {"type": "object", "required": list(named), "properties": named, "additionalProperties": False}
    columns = _by_name(inputs)
    by_position: Schema = {
        "type": "array",
        "description": f"Values in this order: {', '.join(columns)}.",
        "minItems": len(columns),
        "maxItems": len(columns),
        "items": {"type": ["number", "string", "boolean", "null"]},
    }
    return {"anyOf": [_object(columns, tolerance), by_position]}


def _rows_by_input(signature: Signature, tolerance: Tolerance) -> Schema:
    inputs, tensors = signature.inputs, _tensors(signature.inputs)
    rows: Schema = {"type": "array", "minItems": 1, "maxItems": MAX_ROWS}
    if len(tensors) == 1:
        return {**rows, "items": _row(signature, tolerance)}
    if tensors:
        named = {tensor.name: {**rows, "items": {"anyOf": _values(tensor)}} for tensor in tensors}
        return {"type": "object", "required": list(named), "properties": named, "additionalProperties": False}
    columns = _by_name(inputs)
    return _object({name: {**rows, "items": schema} for name, schema in columns.items()}, tolerance)


def _tensors(inputs: tuple[Input, ...]) -> list[InputTensor]:
    return [given for given in inputs if isinstance(given, InputTensor)]


def _values(tensor: InputTensor) -> list[Schema]:
    """Schemas of a tensor of one row: nested arrays; a single value may stand alone."""
    value: Schema = {"type": "boolean" if tensor.datatype == BOOL else "number"}
    return [nested(value, tensor.shape), *([value] if tensor.shape == (1,) else [])]


def _encoded(tensor: InputTensor) -> Schema:
    text = {"type": "string", "contentEncoding": "base64", "description": f"A file that holds {tensor.name}."}
    return {"type": "object", "required": ["b64"], "properties": {"b64": text}, "additionalProperties": False}


def _by_name(inputs: tuple[Input, ...]) -> dict[str, Any]:
    return {column.name: _cell(column) for column in inputs if isinstance(column, InputColumn)}


def _cell(column: InputColumn) -> Schema:
    if column.type is ColumnKind.NUMBER:
        return {"type": "number" if column.required else ["number", "null"], "examples": [column.example]}
    if column.content is not None:
        types, description = _CONTENTS[column.content]
        return {"type": [*types, "null"], "examples": [column.example], "description": description}
    shown = ", ".join(column.categories[:_SHOWN_CATEGORIES])
    more = ", ..." if len(column.categories) > _SHOWN_CATEGORIES else ""
    return {
        "type": ["string", "null"],
        "examples": [column.example],
        "description": f"Seen in training: {shown}{more}.",
    }
