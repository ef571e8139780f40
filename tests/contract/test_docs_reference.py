"""docs/reference.md is the whole CRD, and the defaults that it shows are those that descriptions speak of."""

import json
import re

from tests.support.mutations import Schema
from tests.support.reference import REFERENCE, Entry, entries, root_schema

TEXT = REFERENCE.read_text(encoding="utf-8")
ENTRIES = list(entries())
_SAID = re.compile(r"\bDefault (-?[0-9][0-9.]*|true|false|[A-Z][A-Za-z0-9]*)(?=[.;] |\.$|;)")


def rows() -> dict[str, list[str]]:
    """The cells after the name of each field, by its path."""
    found: dict[str, list[str]] = {}
    title = ""
    for line in TEXT.splitlines():
        if line.startswith("## "):
            title = line.removeprefix("## ")
        elif line.startswith("| `"):
            name, *cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            found[f"{title}.{name.strip('`')}"] = cells
    return found


def test_every_field_has_a_row_of_its_own() -> None:
    fields = [one.path for one in ENTRIES if not one.path.endswith(("[]", ".*"))]
    titles = re.findall(r"^## (\S+)$", TEXT, re.MULTILINE)
    assert len(fields) == len(set(fields)) > 500
    assert set(fields) <= {*rows(), *titles}


def test_every_rule_is_there() -> None:
    def rules(schema: Schema) -> list[str]:
        own = [rule["rule"] for rule in schema.get("x-kubernetes-validations", ())]
        inner = [*schema.get("properties", {}).values(), schema.get("items"), schema.get("additionalProperties")]
        return own + [rule for one in inner if isinstance(one, dict) for rule in rules(one)]

    shown = re.findall(r"^- .*: `` (.*) ``$", TEXT, re.MULTILINE)
    assert sorted(shown) == sorted(rules(root_schema()))
    assert len(shown) > 100


def test_defaults_are_those_that_descriptions_name() -> None:
    named = {one.path: found[1] for one in ENTRIES if (found := _SAID.search(one.schema.get("description", "")))}
    shown = {one.path: _shown(one) for one in ENTRIES if one.path in named and one.default is not None}
    assert len(shown) > 100
    assert shown == {path: value for path, value in named.items() if path in shown}


def _shown(one: Entry) -> str:
    cell = rows()[one.path][1].strip("`")
    return cell or json.dumps(one.default)


def test_a_row_says_type_default_bounds_and_meaning() -> None:
    found = rows()
    assert found["spec.training.epochs"][:3] == ["integer", "`60`", ">= 1, <= 100,000"]
    assert found["spec.training.optimizer.adam.learningRate"][:3] == ["number", "`0.01`", "> 0, <= 10"]
    assert found["spec.serving.resources.limits"][0] == "map of quantity"
    assert found["spec.data.target"][:2] == ["string", "required"]
    assert "`Recreate`" not in found["spec.serving.rollout"][2]
