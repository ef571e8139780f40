"""Models whose pages are looked at by the tests and the bench, and a server of each."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.server import server

import modelservice

WIDTH = 500
"""Columns of the wide table, unless another number is asked for."""


@contextmanager
def served(name: str, folder: Path, data: Any, target: str, model: dict[str, Any], *more: str) -> Iterator[str]:
    """Train a model and serve it; gives the address of its page.

    Args:
        name: of the model.
        folder: for its artifact and its log.
        data: of the training.
        target: the column that is predicted.
        model: as ``spec.model`` says it.
        more: arguments of the server.
    """
    spec = {"data": {"configMap": {"name": name}, "target": target}, "model": model}
    kind = {"apiVersion": "modelservice.dev/v1alpha1", "kind": "ModelService"}
    modelservice.train({**kind, "metadata": {"name": name}, "spec": spec}, data=data, output=folder / name)
    with server(folder / name, folder / f"{name}.log", *more, name=name) as (_, host):
        yield f"http://{host}"


def wide_table(width: int = WIDTH) -> dict[str, list[Any]]:
    """So many columns and a target, which is high where measure 0 is 1, and else low; no other column tells it."""
    rows = range(60)
    columns: dict[str, list[Any]] = {"measure 0": [at % 2 for at in rows]}
    columns |= {f"measure {number}": [at // 2 * number % 503 for at in rows] for number in range(1, width - 1)}
    columns["usual"] = [at // 2 % 3 > 0 for at in rows]
    return {**columns, "target": ["high" if at % 2 else "low" for at in rows]}
