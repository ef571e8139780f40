"""How many examples a test draws: what is quick in each run, and many more where somebody looks for faults."""

from hypothesis import settings

_EXPLORES = not settings().derandomize


def examples(few: int, *, many: int) -> settings:
    """``few`` examples, or ``many`` with ``--hypothesis-profile=explore``."""
    return settings(max_examples=many if _EXPLORES else few)


def seeds(few: int, *, many: int) -> range:
    """The same for histories that a seed makes."""
    return range(many if _EXPLORES else few)
