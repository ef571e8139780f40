"""From a table to a served model: ``modelservice.train(...)`` and ``modelservice.load(...)``.

Nothing heavy is imported before it is used: the operator imports this package for its contract alone.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modelservice.predictor import Predictor
    from modelservice.training.local import train

    load = Predictor.load

__version__ = "0.1.0"

__all__ = ["__version__", "load", "train"]


def __getattr__(name: str) -> Any:
    """Import public names when they are first asked for (PEP 562)."""
    if name == "train":
        from modelservice.training.local import train  # noqa: PLC0415

        return train
    if name == "load":
        from modelservice.predictor import Predictor  # noqa: PLC0415

        return Predictor.load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
