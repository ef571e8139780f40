"""How many threads measure a model."""

from typing import Any

import pytest

from modelservice.families.base import Fitted
from modelservice.stages import threads
from modelservice.stages.threads import THREADS_ENV, engine_of, granted_threads


@pytest.mark.parametrize(("said", "found"), [("3", 3), ("", 5), ("0", 5), ("many", 5)])
def test_the_environment_says_it_and_else_the_cpus(monkeypatch: pytest.MonkeyPatch, said: str, found: int) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 5)
    assert granted_threads({THREADS_ENV: said}) == found


@pytest.mark.parametrize(("parameters", "found"), [(2**24 - 1, 1), (2**24, 7)])
def test_only_large_models_are_computed_by_all(monkeypatch: pytest.MonkeyPatch, parameters: int, found: int) -> None:
    opened: list[Any] = []
    monkeypatch.setenv(THREADS_ENV, "7")
    monkeypatch.setattr(threads, "OnnxEngine", lambda content, threads: opened.append((content, threads)))
    engine_of(Fitted(onnx=b"model", predict=lambda rows: rows, parameters=parameters, libraries={}))
    assert opened == [(b"model", found)]
