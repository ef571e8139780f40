"""pydantic models → structural schemas, the part of OpenAPI v3 that a CustomResourceDefinition takes.

What is not known here is refused, not passed on, so that a contract never says more than the apiserver enforces.
Patterns need no check of their own: pydantic's regex engine knows no more than RE2 does (no look-around, no back
references).
"""

import copy
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from modelservice.contract.base import PATTERN_WORDS

Schema = dict[str, Any]

STORED_DEFAULT = "x-stored-default"
"""Marks a field whose default the apiserver writes into the stored object; all other defaults stay in pydantic."""

_INT_OR_STRING = "x-kubernetes-int-or-string"
_RULES = "x-kubernetes-validations"
_KEPT = (
    "type", _INT_OR_STRING, "format", "pattern", "enum",
    "minimum", "maximum", "multipleOf", "minLength", "maxLength",
    "minItems", "maxItems", "minProperties", "maxProperties",
    "x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-map-type", "required", _RULES,
    "x-kubernetes-preserve-unknown-fields", "oneOf",
)  # fmt: skip
_TRANSLATED = frozenset(
    {
        "description", "properties", "items", "prefixItems", "const", "exclusiveMinimum", "exclusiveMaximum",
        "additionalProperties", "patternProperties", "propertyNames", STORED_DEFAULT, PATTERN_WORDS,
    }
)  # fmt: skip
_DROPPED = frozenset({"title", "default"})
_BOUNDS = {"string": "maxLength", "array": "maxItems"}


class SchemaError(ValueError):
    """A contract that a CustomResourceDefinition cannot express; names the field and the remedy."""


def structural_schema(model: type[BaseModel]) -> Schema:
    """The structural schema of a model: self-contained, every string, list and map bounded.

    Raises:
        SchemaError: The model is recursive, a field has no bound, or a keyword has no counterpart.
    """
    document = model.model_json_schema(mode="validation")
    return _Converter(document.pop("$defs", {})).convert(document, model.__name__, ())


class _Converter:
    """Inlines references; ``path`` says where in the resource, ``open_refs`` which models it stands inside of."""

    def __init__(self, definitions: Mapping[str, Schema]) -> None:
        self._definitions = definitions

    def convert(self, source: Schema, path: str, open_refs: tuple[str, ...]) -> Schema:
        source, open_refs = self._resolve(source, path, open_refs)
        if unknown := source.keys() - set(_KEPT) - _TRANSLATED - _DROPPED:
            raise SchemaError(f"{path}: {', '.join(sorted(unknown))} has no counterpart in a structural schema")
        schema: Schema = {}
        if description := source.get("description"):
            schema["description"] = description
        # Copied, because a model that is used twice would become a YAML alias.
        schema.update({key: copy.deepcopy(source[key]) for key in _KEPT if key in source})
        _translate_scalars(source, schema)
        kind = schema.get("type")
        if kind == "array":
            schema["items"] = self.convert(_items(source, path), f"{path}[]", open_refs)
        elif kind == "object" and "properties" in source:
            schema["properties"] = self._properties(source["properties"], path, open_refs)
        elif kind == "object":
            self._map(source, schema, path, open_refs)
        _require_bound(schema, path)
        return schema

    def _resolve(self, source: Schema, path: str, open_refs: tuple[str, ...]) -> tuple[Schema, tuple[str, ...]]:
        """Follow ``$ref`` and take ``null`` out of ``anyOf``: an optional field is one that may be left out."""
        while "$ref" in source or "anyOf" in source:
            siblings = {key: value for key, value in source.items() if key not in {"$ref", "anyOf"}}
            if "$ref" in source:
                name = source["$ref"].removeprefix("#/$defs/")
                if name in open_refs:
                    raise SchemaError(f"{path}: {name} contains itself; a structural schema is finite")
                open_refs = (*open_refs, name)
                target = self._definitions[name]
            else:
                alternatives = [one for one in source["anyOf"] if one != {"type": "null"}]
                if len(alternatives) != 1:
                    raise SchemaError(f"{path}: a union has no structural schema; use a one-of object")
                target = alternatives[0]
            source = {**target, **siblings, "description": _described(siblings, target)}
        return source, open_refs

    def _properties(self, properties: Mapping[str, Schema], path: str, open_refs: tuple[str, ...]) -> Schema:
        converted = {}
        for name, source in properties.items():
            field = self.convert(source, f"{path}.{name}", open_refs)
            if source.get(STORED_DEFAULT):
                field["default"] = source["default"]
            elif _reaches_stored_default(field) and isinstance(source.get("default"), dict):
                # A default is stored only where its parent is, so the parent must come to be as well.
                if field.get("required"):
                    raise SchemaError(f"{path}.{name}: cannot default to {{}} because it has required fields")
                field["default"] = {}
            converted[name] = field
        return converted

    def _map(self, source: Schema, schema: Schema, path: str, open_refs: tuple[str, ...]) -> None:
        patterns = source.get("patternProperties", {})
        values = source.get("additionalProperties") or next(iter(patterns.values()), None)
        if len(patterns) > 1 or not isinstance(values, dict):
            raise SchemaError(f"{path}: a map needs one schema for all of its values")
        schema["additionalProperties"] = self.convert(values, f"{path}.*", open_refs)
        if rule := _key_rule(next(iter(patterns), None), source.get("propertyNames", {})):
            schema[_RULES] = [*schema.get(_RULES, ()), rule]


def _described(outer: Schema, inner: Schema) -> str:
    """What the field is for, then what its type is, unless the latter says all of the former."""
    of_field, of_type = (" ".join(one.get("description", "").split()).replace("``", "`") for one in (outer, inner))
    return of_type if of_type.startswith(of_field.removesuffix(".")) else f"{of_field} {of_type}".strip()


def _key_rule(pattern: str | None, bounds: Schema) -> Schema | None:
    """A structural schema says nothing about the keys of a map, so a rule does."""
    checks, words = [], []
    if maximum := bounds.get("maxLength"):
        checks.append(f"key.size() <= {maximum}")
        words.append(f"must have at most {maximum} characters")
    if pattern:
        checks.append(f"key.matches(r'{pattern}')")
        words.append(bounds.get(PATTERN_WORDS, f"must match {pattern}"))
    return _rule(f"self.all(key, {' && '.join(checks)})", f"each key {' and '.join(words)}") if checks else None


def _rule(expression: str, message: str) -> Schema:
    return {"rule": expression, "message": message}


def _translate_scalars(source: Schema, schema: Schema) -> None:
    if "const" in source:
        schema["enum"] = [source["const"]]
    for exclusive, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if exclusive in source:
            schema[bound] = source[exclusive]
            schema[exclusive] = True
    rules = list(schema.pop(_RULES, ()))
    if words := source.get(PATTERN_WORDS):
        # The apiserver shows a bare pattern as it is; a rule says it in words.
        matches = f"self.matches(r'{schema.pop('pattern')}')"
        rules.append(_rule(f"type(self) == int || {matches}" if schema.get(_INT_OR_STRING) else matches, words))
    if (minimum := schema.get("minimum", 0)) != int(minimum):
        # The apiserver cuts a bound to an integer before it compares an integer with it: 0 would pass 0.01.
        rules.append(_rule(f"self >= {minimum}", f"should be greater than or equal to {minimum}"))
    if schema.get(_INT_OR_STRING):
        schema.pop("type", None)
    if rules:
        schema[_RULES] = rules


def _items(source: Schema, path: str) -> Schema:
    if "prefixItems" not in source:
        return dict(source["items"])
    first, *others = source["prefixItems"]
    if any(other != first for other in others):
        raise SchemaError(f"{path}: the items of a tuple must have one type")
    return dict(first)


def _require_bound(schema: Schema, path: str) -> None:
    kind = schema.get("type")
    if kind == "string" and "enum" in schema:
        return
    bound = "maxProperties" if "additionalProperties" in schema else _BOUNDS.get(str(kind))
    if bound and bound not in schema:
        raise SchemaError(f"{path}: add {bound} (max_length); without it the apiserver cannot bound the cost of rules")


def _reaches_stored_default(schema: Schema) -> bool:
    return any("default" in field for field in schema.get("properties", {}).values())
