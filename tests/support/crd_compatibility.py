"""What a newer CRD takes away from an older one: stored objects that it would refuse, clients that it would break."""

from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]

_LEAST = ("minimum", "minLength", "minItems", "minProperties")
_MOST = ("maximum", "maxLength", "maxItems", "maxProperties")
_SAME = (
    "type",
    "format",
    "default",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type",
)
"""What has to stay as it is: a type; a default, since it is stored; how the apiserver merges lists."""

_KEPT = ("x-kubernetes-preserve-unknown-fields", "nullable")
"""What may be granted, and not be taken back."""


def taken_away(old: Schema, new: Schema) -> Iterator[str]:
    """What differs between two CRDs to the worse, in words; nothing where what the old one took and gave stays."""
    before, after = old["spec"], new["spec"]
    names = (before["names"], after["names"])
    yield from (f"{name} was {before[name]}" for name in ("group", "scope") if before[name] != after[name])
    yield from (f"names.{name} was {names[0][name]}" for name in ("kind", "plural") if names[0][name] != names[1][name])
    for name in ("shortNames", "categories"):
        if gone := set(names[0].get(name, ())) - set(names[1].get(name, ())):
            yield f"names.{name} had {', '.join(sorted(gone))}"
    known = {one["name"]: one for one in after["versions"]}
    for version in before["versions"]:
        found = known.get(version["name"])
        if found is None or not found["served"]:
            yield f"version {version['name']} is not served"
            continue
        if gone := version.get("subresources", {}).keys() - found.get("subresources", {}).keys():
            yield f"version {version['name']}: subresource {', '.join(sorted(gone))} is gone"
        yield from narrowed(version["schema"]["openAPIV3Schema"], found["schema"]["openAPIV3Schema"])


def narrowed(old: Schema, new: Schema, path: str = "") -> Iterator[str]:
    """Where the newer of two structural schemas refuses what the older one took, each as a path and why.

    Rules (CEL) are not compared: whether another wording refuses more only shows in objects.
    """
    yield from (f"{path or '.'}: {words}" for words in _values(old, new))
    required = set(new.get("required", ())) - set(old.get("required", ()))
    yield from (f"{path}.{name} is required" for name in sorted(required))
    for name, schema in old.get("properties", {}).items():
        if name in new.get("properties", {}):
            yield from narrowed(schema, new["properties"][name], f"{path}.{name}")
        else:
            yield f"{path}.{name} is gone"
    for name in ("items", "additionalProperties"):
        if name in old:
            yield from narrowed(old[name], new[name], f"{path}[]") if name in new else (f"{path}: {name} is gone",)


def _values(old: Schema, new: Schema) -> Iterator[str]:
    """What is narrower of one value itself."""
    yield from (f"{name} was {old[name]!r}" for name in _SAME if name in old and new.get(name) != old[name])
    yield from (f"{name} was true" for name in _KEPT if old.get(name) and not new.get(name))
    for name, sign in (*((one, 1) for one in _LEAST), *((one, -1) for one in _MOST)):
        if name in new and (name not in old or (new[name] - old[name]) * sign > 0):
            yield f"{name} {new[name]} is narrower than {old.get(name)}"
    if "pattern" in new and new["pattern"] != old.get("pattern"):
        yield f"pattern was {old.get('pattern')!r}"
    if "enum" in new and ("enum" not in old or not set(old["enum"]) <= set(new["enum"])):
        yield f"enum had {old.get('enum')}"
