"""From data to a served model: ``modelservice.train(...)``, ``compress(...)``, ``load(...)`` and ``connect(...)``.

Nothing is imported before it is used: the operator imports this package for its contract alone, and a server must not
load what only training needs. What the names are, type checkers read in ``__init__.pyi``.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

__all__ = ["__version__", "compress", "connect", "connect_async", "load", "train"]


def __getattr__(name: str) -> Any:
    """Import public names when they are first asked for (PEP 562)."""
    if name in {"compress", "train"}:
        try:
            return getattr(import_module("modelservice.stages.local"), name)
        except ModuleNotFoundError as error:
            message = f"modelservice.{name} needs the extra `trainer` (pip install '.[trainer]'): {error}"
            raise ModuleNotFoundError(message, name=error.name) from error
    if name == "load":
        return import_module("modelservice.inference.predictor").Predictor.load
    if name in {"connect", "connect_async"}:
        try:
            return getattr(import_module("modelservice.client"), name)
        except ModuleNotFoundError as error:
            message = f"modelservice.{name} needs the extra `client` (pip install '.[client]'): {error}"
            raise ModuleNotFoundError(message, name=error.name) from error
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
