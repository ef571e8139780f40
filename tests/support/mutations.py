"""Every bound of the CRD, broken one at a time: values just outside of what a field may hold."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.support.reference import root_schema

Schema = dict[str, Any]
Steps = tuple[str | int, ...]


@dataclass(frozen=True, kw_only=True)
class Mutation:
    """A ModelService of which one field is out of bounds; ``field`` has dots before names and keys."""

    field: str
    keyword: str
    document: dict[str, Any]


def spec_schema() -> Schema:
    """The schema of ``spec``, to be read only."""
    schema: Schema = root_schema()["properties"]["spec"]
    return schema


def field_path(steps: Steps) -> str:
    """Steps as a path."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).removeprefix(".")


def visit(schema: Schema, value: Any, steps: Steps) -> Iterator[tuple[Steps, Schema, Any]]:
    """Every set field below a value, with its schema."""
    yield steps, schema, value
    if isinstance(value, dict) and "properties" in schema:
        for name, child in value.items():
            yield from visit(schema["properties"][name], child, (*steps, name))
    elif isinstance(value, dict):
        for name, child in value.items():
            yield from visit(schema["additionalProperties"], child, (*steps, name))
    elif isinstance(value, list) and "items" in schema:
        for index, child in enumerate(value):
            yield from visit(schema["items"], child, (*steps, index))


def mutations(document: dict[str, Any]) -> Iterator[Mutation]:
    """All mutations of a document, each of which must be refused."""
    for steps, schema, value in visit(spec_schema(), document["spec"], ("spec",)):
        if "x-kubernetes-preserve-unknown-fields" in schema:
            continue  # the apiserver takes whatever it is
        for keyword, bad in _beyond(schema, value):
            yield Mutation(field=field_path(steps), keyword=keyword, document=_with(document, steps, bad))
        yield from _without_required(document, steps, schema)


def _beyond(schema: Schema, value: Any) -> Iterator[tuple[str, Any]]:
    kind = schema.get("type", "int-or-string")
    yield "type", "text" if kind in {"object", "array"} else ["a list"]
    step = 1 if kind == "integer" else 0.001
    if kind in {"integer", "number"}:
        if "minimum" in schema:
            yield "minimum", schema["minimum"] - (0 if schema.get("exclusiveMinimum") else step)
        if "maximum" in schema:
            yield "maximum", schema["maximum"] + (0 if schema.get("exclusiveMaximum") else step)
    if "enum" in schema:
        yield "enum", "Unknown"
    if schema.get("minLength"):
        yield "minLength", ""
    if "maxLength" in schema:
        yield "maxLength", "a" * (schema["maxLength"] + 1)
    if schema.get("minItems"):
        yield "minItems", []
    if "maxItems" in schema and value:
        yield "maxItems", [value[0]] * (schema["maxItems"] + 1)
    if "maxProperties" in schema and value:
        content = next(iter(value.values()))
        yield "maxProperties", {f"key-{number}": content for number in range(schema["maxProperties"] + 1)}


def _without_required(document: dict[str, Any], steps: Steps, schema: Schema) -> Iterator[Mutation]:
    for name in schema.get("required", ()):
        parent: Any = document
        for step in steps:
            parent = parent[step]
        left = {one: value for one, value in parent.items() if one != name}
        yield Mutation(field=field_path((*steps, name)), keyword="required", document=_with(document, steps, left))


def _with(value: Any, steps: Steps, new: Any) -> Any:
    """What has another value there; all else is the same, and not a copy."""
    if not steps:
        return new
    changed = copy.copy(value)
    changed[steps[0]] = _with(value[steps[0]], steps[1:], new)
    return changed
