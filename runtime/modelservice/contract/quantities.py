"""Quantities as numbers, and in the canonical form that the apiserver gives back, so that comparing never loops."""

import re
from decimal import Decimal

_BINARY = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "Ei": 2**60}
_DECIMAL = {"m": Decimal("0.001"), "": Decimal(1), "k": Decimal(10**3), "M": Decimal(10**6), "G": Decimal(10**9)} | {
    "T": Decimal(10**12),
    "P": Decimal(10**15),
    "E": Decimal(10**18),
}
_PARTS = re.compile(r"^([0-9.]+)([A-Za-z]*|[eE][0-9]+)$")


def quantity_value(quantity: str) -> Decimal:
    """The number that a quantity stands for, in cores, bytes or pieces.

    Raises:
        ValueError: the text is not a quantity.
    """
    match = _PARTS.match(quantity)
    unit = None if match is None else _unit(match[2])
    if match is None or unit is None:
        raise ValueError(f"{quantity!r} is not a quantity such as 500m, 2 or 1Gi")
    return Decimal(match[1]) * unit


def _unit(suffix: str) -> Decimal | int | None:
    """What a suffix multiplies by: E alone is exa, with digits behind it an exponent."""
    known = (_BINARY | _DECIMAL).get(suffix)
    if known is not None or not suffix[1:].isdigit():
        return known
    return Decimal(10) ** int(suffix[1:])


def canonical_quantity(quantity: str) -> str:
    """The shortest form with an integer mantissa, in the family (binary or decimal) that was written."""
    value = quantity_value(quantity)
    binary = quantity.endswith("i") and value == value.to_integral_value()
    if binary:
        units = [(suffix, Decimal(unit)) for suffix, unit in reversed(_BINARY.items())] + [("", Decimal(1))]
    else:
        units = [(suffix, _DECIMAL[suffix]) for suffix in ("E", "P", "T", "G", "M", "k", "", "m")]
    for suffix, unit in units:
        if value and value % unit == 0:
            return f"{value // unit}{suffix}"
    return "0" if not value else f"{(value / _DECIMAL['m']).to_integral_value(rounding='ROUND_CEILING')}m"


def canonical_resources(resources: dict[str, str]) -> dict[str, str]:
    """Each quantity in canonical form."""
    return {name: canonical_quantity(quantity) for name, quantity in resources.items()}
