"""pydantic to structural schema, on models as small as each case allows."""

from enum import StrEnum
from typing import Annotated, Literal

import pytest
from pydantic import Field, StringConstraints

from modelservice.contract.base import Contract, Quantity, Worded
from modelservice_operator.crd.schema import SchemaError, structural_schema

Text = Annotated[str, StringConstraints(max_length=8)]


class Colour(StrEnum):
    RED = "Red"
    BLUE = "Blue"


class Inner(Contract):
    """What it is."""

    size: int = Field(default=1, json_schema_extra={"x-stored-default": True})
    other: int = 2


class Node(Contract):
    children: Annotated[tuple["Node", ...], Field(max_length=2)] = ()


def test_scalars_keep_bounds_and_lose_titles_and_defaults() -> None:
    class Model(Contract):
        ratio: float = Field(default=0.5, gt=0, lt=1, description="A share.")
        colour: Colour = Colour.RED
        kind: Literal["A"] = "A"
        name: Text | None = None

    assert structural_schema(Model) == {
        "type": "object",
        "properties": {
            "ratio": {
                "description": "A share.",
                "type": "number",
                "minimum": 0,
                "exclusiveMinimum": True,
                "maximum": 1,
                "exclusiveMaximum": True,
            },
            "colour": {"type": "string", "enum": ["Red", "Blue"]},
            "kind": {"type": "string", "enum": ["A"]},
            "name": {"type": "string", "maxLength": 8},
        },
    }


def test_a_field_says_what_it_is_for_and_then_what_its_type_is() -> None:
    class Model(Contract):
        inner: Inner = Field(default=Inner(), description="What it is for.")

    assert structural_schema(Model)["properties"]["inner"]["description"] == "What it is for. What it is."


def test_a_stored_default_makes_its_parents_default_to_an_empty_object() -> None:
    class Middle(Contract):
        inner: Inner = Inner()

    class Model(Contract):
        middle: Middle = Middle()
        optional: Inner | None = None

    properties = structural_schema(Model)["properties"]
    assert properties["middle"]["default"] == {}
    assert properties["middle"]["properties"]["inner"]["default"] == {}
    assert properties["middle"]["properties"]["inner"]["properties"]["size"]["default"] == 1
    assert "default" not in properties["middle"]["properties"]["inner"]["properties"]["other"]
    # What is left out on purpose must stay left out, such as the alternatives of a one-of.
    assert "default" not in properties["optional"]


def test_a_default_parent_must_not_have_required_fields() -> None:
    class Middle(Contract):
        needed: int
        inner: Inner = Inner()

    class Model(Contract):
        middle: Middle = Middle(needed=1)

    with pytest.raises(SchemaError, match=r"Model\.middle: cannot default"):
        structural_schema(Model)


def test_maps_carry_a_rule_for_their_keys() -> None:
    class Model(Contract):
        labels: Annotated[
            dict[Annotated[str, StringConstraints(max_length=5), Worded("^[a-z]+$", "must be low")], Text],
            Field(max_length=3),
        ] = Field(default={})

    assert structural_schema(Model)["properties"]["labels"] == {
        "type": "object",
        "maxProperties": 3,
        "additionalProperties": {"type": "string", "maxLength": 8},
        "x-kubernetes-validations": [
            {
                "rule": "self.all(key, key.size() <= 5 && key.matches(r'^[a-z]+$'))",
                "message": "each key must have at most 5 characters and must be low",
            }
        ],
    }


def test_a_pattern_with_words_becomes_a_rule() -> None:
    class Model(Contract):
        plain: Annotated[str, StringConstraints(max_length=5, pattern="^a+$")] = "a"
        said: Annotated[str, StringConstraints(max_length=5), Worded("^a+$", "must be all a")] = "a"

    properties = structural_schema(Model)["properties"]
    assert properties["plain"]["pattern"] == "^a+$"
    assert "pattern" not in properties["said"]
    assert properties["said"]["x-kubernetes-validations"] == [
        {"rule": "self.matches(r'^a+$')", "message": "must be all a"}
    ]


def test_a_quantity_is_an_integer_or_a_string() -> None:
    class Model(Contract):
        size: Quantity = "1"

    schema = structural_schema(Model)["properties"]["size"]
    assert "type" not in schema
    assert schema["x-kubernetes-int-or-string"] is True
    assert schema["x-kubernetes-validations"][0]["rule"].startswith("type(self) == int || self.matches(")


def test_a_fractional_bound_is_repeated_as_a_rule() -> None:
    class Model(Contract):
        share: float = Field(default=0.1, ge=0.01)

    assert structural_schema(Model)["properties"]["share"]["x-kubernetes-validations"] == [
        {"rule": "self >= 0.01", "message": "should be greater than or equal to 0.01"}
    ]


def test_a_tuple_of_one_type_is_a_list_of_that_length() -> None:
    class Model(Contract):
        interval: tuple[float, float] = (0.0, 1.0)

    assert structural_schema(Model)["properties"]["interval"] == {
        "type": "array",
        "minItems": 2,
        "maxItems": 2,
        "items": {"type": "number"},
    }


def test_nothing_in_it_is_shared() -> None:
    class Model(Contract):
        one: Inner = Inner()
        two: Inner = Inner()

    properties = structural_schema(Model)["properties"]
    properties["one"]["properties"]["size"]["type"] = "changed"
    assert properties["two"]["properties"]["size"]["type"] == "integer"


class Unbounded(Contract):
    text: str = ""


class UnboundedList(Contract):
    numbers: tuple[int, ...] = ()


class UnboundedMap(Contract):
    labels: dict[str, Text] = Field(default={})


class Union(Contract):
    value: int | Text = 1


class MixedTuple(Contract):
    pair: tuple[int, Text] = (1, "a")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Unbounded, r"Unbounded\.text: add maxLength"),
        (UnboundedList, r"UnboundedList\.numbers: add maxItems"),
        (UnboundedMap, r"UnboundedMap\.labels: add maxProperties"),
        (Union, r"Union\.value: a union has no structural schema"),
        (MixedTuple, r"MixedTuple\.pair: the items of a tuple must have one type"),
        (Node, r"Node.*: Node contains itself"),
    ],
)
def test_refuses_what_a_crd_cannot_say(model: type[Contract], message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        structural_schema(model)
