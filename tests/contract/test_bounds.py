"""The CRD and the contract draw the same lines: what is just outside of a bound is refused by both."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from pydantic import ValidationError
from tests.support.cases import check_each
from tests.support.mutations import Mutation, Schema, mutations, spec_schema, visit
from tests.support.samples import FULL, dotted, field_path, model_service

from modelservice.contract.resource import ModelService

DOCUMENTS = [model_service(path) for path in sorted(FULL.glob("*.yaml"))]


@cache
def all_mutations() -> list[Mutation]:
    return [mutation for document in DOCUMENTS for mutation in mutations(document)]


def test_the_full_samples_set_every_field() -> None:
    set_fields = {_place(steps) for document in DOCUMENTS for steps, _, _ in visit(spec_schema(), document["spec"], ())}
    assert set(_places(spec_schema(), ())) - set_fields == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document["metadata"]["name"])
def test_the_full_samples_are_good(document: dict[str, Any]) -> None:
    ModelService.model_validate(document)


def test_there_are_bounds_to_break() -> None:
    assert {"minimum", "maximum", "enum", "maxLength", "maxItems", "maxProperties", "required"} <= {
        mutation.keyword for mutation in all_mutations()
    }


def test_pydantic_refuses_what_is_out_of_bounds() -> None:
    check_each(all_mutations(), check_refused, name=lambda mutation: f"{mutation.field}-{mutation.keyword}")


def check_refused(mutation: Mutation) -> None:
    with pytest.raises(ValidationError) as refused:
        ModelService.model_validate(mutation.document)
    assert dotted(mutation.field) in {field_path(error["loc"]) for error in refused.value.errors()}


def _places(schema: Schema, place: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for name, child in schema.get("properties", {}).items():
        yield (*place, name)
        yield from _places(child.get("items", child), (*place, name))


def _place(steps: tuple[str | int, ...]) -> tuple[str, ...]:
    return tuple(step for step in steps if isinstance(step, str))
