"""Cuts a status to what its schema takes: pods, and whoever writes Events, must not have it refused as a whole."""

import re
from typing import Any, Final

from modelservice_operator.crd.schema import Schema, structural_schema
from modelservice_operator.crd.status import MAX_REASON_LENGTH, REASON_PATTERN, ModelServiceStatus
from modelservice_operator.objects import Object

_SCHEMA: Final = structural_schema(ModelServiceStatus)
_LARGEST: Final = 2**63 - 1
"""Beyond it an integer is a floating-point number to the apiserver, which then refuses the type."""

_REASON: Final = re.compile(REASON_PATTERN)
_NO_REASON: Final = "Unknown"


def clamped(status: Object) -> Object:
    """The status with integers within their bounds, and texts and lists within their lengths."""
    within: Object = _clamp(status, _SCHEMA)
    return within


def clamped_reason(reason: str) -> str:
    """A reason as a condition takes it; controllers and whoever writes Events may say anything."""
    return reason if len(reason) <= MAX_REASON_LENGTH and _REASON.fullmatch(reason) else _NO_REASON


def _clamp(value: Any, schema: Schema) -> Any:
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        return {name: _clamp(part, properties.get(name, {})) for name, part in value.items()}
    if isinstance(value, list):
        return [_clamp(part, schema.get("items", {})) for part in value[: schema.get("maxItems")]]
    if isinstance(value, str):
        return value[: schema.get("maxLength")]
    if isinstance(value, int) and schema.get("type") == "integer":
        return max(schema.get("minimum", -_LARGEST), min(schema.get("maximum", _LARGEST), value))
    return value
