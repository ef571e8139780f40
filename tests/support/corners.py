"""Specs with what is unusual and allowed, made from the CRD's schema: empty, zero, false, the smallest, the largest."""

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations, product
from typing import Any

from modelservice_operator.crd.crd import build_crd

Object = dict[str, Any]
Path = tuple[str, ...]
Holds = Callable[[Object], bool]

ITEM = "[]"
"""In a path: the items of the list before it."""

QUANTITIES = (0, "0", "1", "1000m", "0.5", "1e3", "1024Ki", "1.5Gi", "0.1E")
"""Forms that the apiserver may write in another way than they came."""

_TEXTS = ("a", "s3://aaa", "a:1", "https://a/b", "training.l1", f"sha256:{'0' * 64}")
_ANYTHING = (1, 0.5, "a", True, [8])
"""Where a schema has no type, since a field may be of several."""
_KEYS = ("a", "cpu", "x.y/z")
_TINY = 1e-6
_COMPANIONS = 3


def spec_schema() -> Object:
    """The schema of ``spec``."""
    (version,) = build_crd()["spec"]["versions"]
    schema: Object = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return schema


def optional_paths(schema: Object, path: Path = ()) -> Iterator[Path]:
    """All fields that may be left out."""
    for name, field in schema.get("properties", {}).items():
        if name not in schema.get("required", ()):
            yield (*path, name)
        yield from optional_paths(field, (*path, name))
    if "items" in schema:
        yield from optional_paths(schema["items"], (*path, ITEM))


def corners(schema: Object, base: Object, *, holds: Holds, others: Sequence[Object] = ()) -> dict[Path, list[Object]]:
    """For each optional field, specs that are ``base`` with that field at its corners, and that hold.

    Where a corner needs other fields beside it, the first ones that make it hold are taken; where it needs them beside
    the object that it is in, those that this one came with; where it does not go with the base, one of the ``others``.
    """
    found: dict[Path, list[Object]] = {}
    for path in optional_paths(schema):
        found[path] = []
        starts = (base, *found.get(path[:-1], ())[:1], *others)
        # Wherever fewer companions do, more are not tried: each one more is a hundred times as many specs.
        for number, values, start in product(range(_COMPANIONS), (_values, _fuller), starts):
            chosen = list(values(_at(schema, path)))
            specs = [_with_companions(schema, start, path, value, holds, number=number) for value in chosen]
            if any(specs):
                if values is _values and number + 1 < _COMPANIONS:  # some of its own corners may need one more
                    pairs = zip(chosen, specs, strict=True)
                    specs = [
                        spec or _with_companions(schema, start, path, value, holds, number=number + 1)
                        for value, spec in pairs
                    ]
                found[path] = [spec for spec in specs if spec is not None]
                break
    return found


def packed(specs: Sequence[Object], base: Object, *, holds: Holds) -> list[Object]:
    """The same corners in fewer specs: what does not touch the same fields, and holds together, goes into one."""
    packs: list[Object] = []
    for spec in specs:
        for number, pack in enumerate(packs):
            together = _merged(pack, spec, base)
            if together is not None and holds(together):
                packs[number] = together
                break
        else:
            packs.append(spec)
    return packs


def _values(schema: Object) -> list[Any]:
    """Corners of one field; what its own bounds and patterns do not take is left out."""
    if "enum" in schema:
        return list(schema["enum"])
    if schema.get("x-kubernetes-int-or-string"):
        return list(QUANTITIES)
    if "additionalProperties" in schema:
        values = _values(schema["additionalProperties"])
        return [{}, *({key: value} for key in _KEYS for value in values)]
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        return list(_ANYTHING)
    match schema["type"]:
        case "boolean":
            values = [False, True]
        case "array":
            values = [[], *([value] for value in (_simple(schema["items"]), *_values(schema["items"])))]
        case "object":
            values = [_smallest(schema)]
        case "string":
            values = _texts(schema)
        case _:
            values = _numbers(schema)
    return values


def _numbers(schema: Object) -> list[Any]:
    step = 1 if schema["type"] == "integer" else _TINY
    low = schema.get("minimum", 0) + (step if schema.get("exclusiveMinimum") else 0)
    high = schema.get("maximum", low) - (step if schema.get("exclusiveMaximum") else 0)
    return list(dict.fromkeys(number for number in (low, 0, high) if low <= number <= high))


def _texts(schema: Object) -> list[Any]:
    rules = (rule["rule"] for rule in schema.get("x-kubernetes-validations", ()))
    patterns = [re.compile(found[1]) for rule in rules if (found := re.fullmatch(r"self\.matches\(r'(.*)'\)", rule))]
    longest = ("a" * schema["maxLength"], f"s3://{'a' * 63}/{'a' * 128}", f"a:1/{'a' * 124}")
    texts = dict.fromkeys(("", ";", *_TEXTS, *longest))
    bounds = range(schema.get("minLength", 0), schema["maxLength"] + 1)
    return [text for text in texts if len(text) in bounds and all(one.search(text) for one in patterns)]


def _smallest(schema: Object) -> Object:
    """An object with nothing but what it needs; of alternatives the first one."""
    needed = [*schema.get("required", ()), *_alternatives(schema)[:1]]
    smallest = {name: _simple(schema["properties"][name]) for name in needed}
    if smallest.keys() == {"min", "max"}:  # the first below the second, and both within what a share may be
        smallest["max"] += 1 if smallest["max"] == 0 else 0.5
    return smallest


def _fuller(schema: Object) -> Iterator[Any]:
    """The smallest object with one more field, for those that are refused without any."""
    if "items" in schema:
        yield from ([one] for one in _fuller(schema["items"]))
    if "additionalProperties" in schema:
        yield from ({_KEYS[0]: one} for one in _fuller(schema["additionalProperties"]))
    for name, field in schema.get("properties", {}).items():
        for value in (*_values(field), *_fuller(field)):
            yield {**_smallest(schema), name: value}


def _simple(schema: Object) -> Any:
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        return _ANYTHING[0]
    if schema.get("x-kubernetes-int-or-string"):
        return "1"
    match schema["type"]:
        case "object":
            return _smallest(schema)
        case "array":
            return [_simple(schema["items"])]
        case "string":
            taken = schema.get("enum") or [text for text in _TEXTS if text in _texts(schema)]
            return taken[0] if taken else _TEXTS[0]
        case _:
            return _numbers(schema)[0]


def _at(schema: Object, path: Path) -> Object:
    for step in path:
        schema = schema["items"] if step == ITEM else schema["properties"][step]
    return schema


def _with_companions(
    schema: Object, base: Object, path: Path, value: Any, holds: Holds, *, number: int
) -> Object | None:
    """A spec with the field at this value, and with so many of its neighbours as make it hold."""
    fields = {
        name: [*_values(field), *(_fuller(field) if "additionalProperties" in field else ())]
        for name, field in _at(schema, path[:-1])["properties"].items()
        if name != path[-1]
    }
    for names in combinations(fields, number):
        for chosen in product(*(fields[name] for name in names)):
            beside = dict(zip(names, chosen, strict=True))
            if holds(spec := _placed(schema, base, path, {path[-1]: value, **beside})):
                return spec
    return None


def _placed(schema: Object, base: Object, path: Path, fields: Object) -> Object:
    """``base`` with these fields in the object that the path's last step is in."""
    if len(path) == 1:
        return _with(schema, base, fields)
    step, *rest = path
    inner = schema["properties"][step]
    if rest[0] == ITEM:
        value: Any = [_placed(inner["items"], _smallest(inner["items"]), tuple(rest[1:]), fields)]
    else:
        value = _placed(inner, base.get(step) or _smallest(inner), tuple(rest), fields)
    return _with(schema, base, {step: value})


def _with(schema: Object, base: Object, fields: Object) -> Object:
    """``base`` with these fields, for which their alternatives make room."""
    alternatives = _alternatives(schema)
    chosen = any(name in alternatives for name in fields)
    return {**{name: value for name, value in base.items() if not (chosen and name in alternatives)}, **fields}


def _alternatives(schema: Object) -> Sequence[str]:
    """The fields of which exactly one is to be there."""
    if "oneOf" in schema:
        return [name for one in schema["oneOf"] for name in one["required"]]
    rules = (rule["rule"] for rule in schema.get("x-kubernetes-validations", ()))
    return [name for rule in rules if rule.endswith(".size() == 1") for name in re.findall(r"has\(self\.(\w+)\)", rule)]


def _merged(one: Object, other: Object, base: Object) -> Object | None:
    """Both, where they say the same or one says nothing beyond ``base``; else None."""
    merged = dict(one)
    for name, value in other.items():
        if name not in merged or merged[name] == base.get(name, merged):
            merged[name] = value
        elif merged[name] == value or value == base.get(name, merged):
            continue
        elif isinstance(value, dict) and isinstance(merged[name], dict):
            below = _merged(merged[name], value, base.get(name) or {})
            if below is None:
                return None
            merged[name] = below
        else:
            return None
    return merged
