"""Quantities: the value never changes, and the canonical form is a fixed point."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
