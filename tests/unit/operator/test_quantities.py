"""Quantities: the value never changes, and the canonical form is a fixed point."""

from decimal import Decimal

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from modelservice.contract.base import problems
from modelservice.contract.pods import Resources
from modelservice.contract.quantities import canonical_quantity, quantity_value

SUFFIXES = ["", "m", "k", "M", "G", "T", "Ki", "Mi", "Gi", "Ti"]


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("1000m", "1"),
        ("1500m", "1500m"),
        ("0.5", "500m"),
        ("1024Mi", "1Gi"),
        ("1536Mi", "1536Mi"),
        ("1.5Gi", "1536Mi"),
        ("1000M", "1G"),
        ("0", "0"),
        ("250m", "250m"),
        ("2", "2"),
        ("1000", "1k"),
        ("1e9", "1G"),
        ("1.5E3", "1500"),
        ("2E", "2E"),
    ],
)
def test_canonical_form_is_what_the_apiserver_gives_back(written: str, canonical: str) -> None:
    assert canonical_quantity(written) == canonical


@given(st.integers(0, 10**6), st.sampled_from(SUFFIXES))
def test_canonical_form_keeps_the_value_and_is_a_fixed_point(number: int, suffix: str) -> None:
    canonical = canonical_quantity(f"{number}{suffix}")
    assert quantity_value(canonical) == quantity_value(f"{number}{suffix}")
    assert canonical_quantity(canonical) == canonical


def test_what_is_no_quantity_is_named() -> None:
    with pytest.raises(ValueError, match="'1Zi' is not a quantity such as"):
        quantity_value("1Zi")
    assert quantity_value("1500m") == Decimal("1.5")


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("1", "1"),
        ("1.0", "1"),
        ("1e9", "1e9"),
        ("1.0e+9", "1000000000"),
        ("'1e9'", "1e9"),
        ("0x10", "16"),
        ("'0.5'", "0.5"),
        ("500m", "500m"),
    ],
)
def test_what_the_apiserver_takes_without_quotes_a_laptop_takes(written: str, text: str) -> None:
    limits = yaml.safe_load(f"limits: {{cpu: {written}}}")
    assert Resources.model_validate(limits).limits == {"cpu": text}


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("0.5", "0.5: must be of type integer,string: what is not whole is written as 500m, or in quotes"),
        ("1.0e-3", "0.001: must be of type integer,string: what is not whole is written as 500m, or in quotes"),
        ("1.0e+30", "1e+30: must be of type integer,string: what is not whole is written as 500m, or in quotes"),
        (".nan", "nan: must be of type integer,string: what is not whole is written as 500m, or in quotes"),
        (".inf", "inf: must be of type integer,string: what is not whole is written as 500m, or in quotes"),
        ("true", "True: must be of type integer,string: what is not whole is written as 500m, or in quotes"),
        ("-1", "-1: should be greater than or equal to 0"),
        ("2GB", "'2GB': must be a quantity such as 2, 500m or 1.5Gi"),
        ('"1\\n"', "'1\\n': must be a quantity such as 2, 500m or 1.5Gi"),
    ],
)
def test_what_the_apiserver_refuses_a_laptop_refuses_in_its_words(written: str, words: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Resources.model_validate(yaml.safe_load(f"limits: {{cpu: {written}}}"))
    assert problems(refused.value) == [f"limits.cpu: {words}"]
