"""``docs/reference.md``: every field of the CRD, with the defaults of the contract that it is made from."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from tests.support.helm import ROOT

from modelservice.contract.resource import API_VERSION, KIND, ModelServiceSpec
from modelservice_operator.crd.crd import build_crd

REFERENCE = ROOT / "docs" / "reference.md"

Schema = dict[str, Any]

_HEADER = f"""\
# Reference: every field

<!-- Made by `make generate` from the contract; do not edit. -->

`{API_VERSION}`, kind `{KIND}`, as the CRD has it. In a terminal `kubectl explain modelservice.spec` says the same, and
the [examples](../README.md#the-custom-resource-by-example) say what it is for.

- A default below an object that is left out counts once the object is there. Where there is none in its column, the
  meaning says what leaving the field out comes to.
- `[]` stands for each item of a list, `*` for each entry of a map.
- Rules are looked at by the apiserver and, in the same words, by a laptop. Their expressions are CEL, in which `self`
  is the field in front of the rule, or else what the section is about.
- What is not here is refused: by a laptop always, by the apiserver with `--validate=strict`, as kubectl does by itself.
"""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A field: its path from the root, its schema, whether it must be set, and its default, None where it has none."""

    path: str
    schema: Schema
    required: bool
    default: Any


def entries() -> Iterator[Entry]:
    """All fields of ``spec`` and ``status``, parents before their children, in the order of the contract."""
    root = root_schema()["properties"]
    document = ModelServiceSpec.model_json_schema(mode="validation")
    yield from _walk("spec", root["spec"], _Origin(document, document["$defs"]), required=True)
    yield from _walk("status", root["status"], None, required=False)


@cache
def root_schema() -> Schema:
    """The schema of a whole ModelService, to be read only: making it takes pydantic a fifth of a second."""
    schema: Schema = build_crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


@dataclass(frozen=True)
class _Origin:
    """Where a field of the CRD comes from in pydantic's schema, which has the defaults that the CRD leaves out."""

    schema: Schema
    definitions: dict[str, Schema]

    @property
    def default(self) -> Any:
        return self.schema.get("default")

    def child(self, name: str) -> "_Origin":
        return _Origin(self._resolved()["properties"][name], self.definitions)

    def content(self) -> "_Origin":
        schema = self._resolved()
        inner = schema.get("items") or next(iter(schema.get("prefixItems", ())), None)
        inner = inner or schema.get("additionalProperties") or next(iter(schema.get("patternProperties", {}).values()))
        return _Origin(inner, self.definitions)

    def _resolved(self) -> Schema:
        schema = self.schema
        while "$ref" in schema or "anyOf" in schema:
            if "$ref" in schema:
                schema = self.definitions[schema["$ref"].removeprefix("#/$defs/")]
            else:
                schema = next(one for one in schema["anyOf"] if one != {"type": "null"})
        return schema


def _walk(path: str, schema: Schema, origin: _Origin | None, *, required: bool) -> Iterator[Entry]:
    default = origin.default if origin is not None else None
    yield Entry(path=path, schema=schema, required=required, default=default)
    for name, child in schema.get("properties", {}).items():
        source = origin.child(name) if origin is not None else None
        yield from _walk(f"{path}.{name}", child, source, required=name in schema.get("required", ()))
    for mark, inner in (("[]", schema.get("items")), (".*", schema.get("additionalProperties"))):
        if isinstance(inner, dict):
            source = origin.content() if origin is not None else None
            yield from _walk(f"{path}{mark}", inner, source, required=False)


def reference_markdown() -> str:
    """The page."""
    found = list(entries())
    sections = ["spec", *(f"spec.{name}" for name in root_schema()["properties"]["spec"]["properties"]), "status"]
    scalars = {one.path for one in found if one.path in sections and not _has_fields(one.schema)}
    parts = [_HEADER]
    for title in sections:
        if title in scalars:
            continue
        own = [one for one in found if _section(one.path, sections, scalars) == title]
        parts.append("\n".join(_written(title, own)))
    return "\n".join(parts) + "\n"


def _has_fields(schema: Schema) -> bool:
    return "properties" in schema


def _section(path: str, sections: list[str], scalars: set[str]) -> str:
    """The longest title that a path is below; of what has no fields of its own, the title above it."""
    titles = [one for one in sections if one not in scalars and (path == one or re.match(rf"{one}[.\[]", path))]
    return max(titles, key=len)


def _written(title: str, own: list[Entry]) -> Iterator[str]:
    head = next(one for one in own if one.path == title)
    yield f"## {title}\n"
    yield f"{_prose(head.schema.get('description', ''))}\n".lstrip("\n")
    yield "| field | type | default | allowed | meaning |"
    yield "|---|---|---|---|---|"
    for one in own:
        if one is not head and not _is_plain_content(one):
            yield _row(one, title)
    rules = [(one.path.removeprefix(f"{title}.").removeprefix(title), one.schema) for one in own]
    if title == "spec":
        rules.insert(0, ("", root_schema()))
    lines = [
        f"- {f'`{path}`: ' if path else ''}{_prose(rule['message'])}: `` {rule['rule']} ``"
        for path, schema in rules
        for rule in schema.get("x-kubernetes-validations", ())
    ]
    if lines:
        yield f"\nRules of `{title}`:\n"
        yield from lines
    yield ""


def _is_plain_content(one: Entry) -> bool:
    """Items and values without a word of their own, which the row of their list or map describes."""
    return one.path.endswith(("[]", ".*")) and not _allowed(one.schema) and not one.schema.get("description")


def _row(one: Entry, title: str) -> str:
    name = one.path.removeprefix(f"{title}.")
    shown = _default(one.default)
    default = "required" if one.required else f"`{shown}`" if shown else ""
    meaning = one.schema.get("description", "")
    if shown:  # it stands in its column
        meaning = re.sub(rf" ?\bDefault {re.escape(shown)}\.(?= |$)", "", meaning).strip()
    cells = [f"`{name}`", _type(one.schema), default, _allowed(one.schema), _prose(meaning)]
    return f"| {' | '.join(cells)} |"


def _default(value: Any) -> str:
    """A default that one can write; of objects each field says its own."""
    if value is None or isinstance(value, dict) or value == []:
        return ""
    if isinstance(value, float) and value == int(value):
        value = int(value)
    return value if isinstance(value, str) else json.dumps(value)


def _type(schema: Schema) -> str:
    if schema.get("x-kubernetes-int-or-string"):
        return "quantity"
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        return "any"
    if "items" in schema:
        return f"[]{_type(schema['items'])}"
    if isinstance(schema.get("additionalProperties"), dict):
        return f"map of {_type(schema['additionalProperties'])}"
    return str(schema["type"])


_UNITS = {"Length": "characters", "Items": "items", "Properties": "entries"}


def _allowed(schema: Schema) -> str:
    """Values, bounds and patterns, in words."""
    said = []
    if "enum" in schema:
        said.append(", ".join(f"`{value}`" for value in schema["enum"]))
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None:
        said.append(f"{'>' if schema.get('exclusiveMinimum') else '>='} {_number(low)}")
    if high is not None:
        said.append(f"{'<' if schema.get('exclusiveMaximum') else '<='} {_number(high)}")
    for name, unit in _UNITS.items():
        least, most = schema.get(f"min{name}"), schema.get(f"max{name}")
        if most is not None and "enum" not in schema:
            said.append(f"{least} to {_number(most)} {unit}" if least else f"at most {_number(most)} {unit}")
    if "pattern" in schema:
        said.append(f"`{_cell(schema['pattern'])}`")
    if "format" in schema:
        said.append(schema["format"])
    if keys := schema.get("x-kubernetes-list-map-keys"):
        said.append(f"one for each {', '.join(keys)}")
    if choices := schema.get("oneOf"):
        said.append(f"exactly one of {', '.join(f'`{name}`' for one in choices for name in one['required'])}")
    return ", ".join(said)


def _number(value: float) -> str:
    return f"{int(value):,}" if value == int(value) else f"{value:g}"


def _prose(text: str) -> str:
    """A description as Markdown of one line: what stands in backticks is code, nothing else has a meaning."""
    parts = re.split(r"(`[^`]*`)", " ".join(text.split()))
    return "".join(_cell(one) if one.startswith("`") else re.sub(r"([*_<|\[\]~^])", r"\\\1", one) for one in parts)


def _cell(code: str) -> str:
    return code.replace("|", "\\|")
