"""Our candidates: ``modelservice.train`` with a ModelService as a user writes one, and the rows as a CSV file.

Nothing is prepared, and every setting but one is left to its default: ``split.test`` is the least that the contract
takes, 1 % of the rows and one of each class, since the bench has test rows of its own. So ours learns from a little
less than the others, who get all rows of the fold.
"""

import functools
import hashlib
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import grimp
import numpy as np
from tests.bench.quality.prediction import Prediction
from tests.bench.quality.tables import Frame, Kind, Source

import modelservice
from modelservice import train as train_model
from modelservice.contract.resource import API_VERSION, KIND

LEAST_TEST = 0.01


@dataclass(frozen=True, kw_only=True)
class OurCandidate:
    """A ModelService with one model or none; ``model`` is what stands under ``spec.model``, None leaves it out."""

    name: str
    model: dict[str, Any] | None
    most_repeats: int | None = None

    def fingerprint(self) -> str:
        """The resource, and the source of what a training imports: a change of the server makes no fit again."""
        return "\n".join([repr(self.model), str(LEAST_TEST), *_training_sources()])

    def resource(self, source: Source) -> dict[str, Any]:
        """The ModelService."""
        name = source.name.replace("_", "-")
        spec: dict[str, Any] = {
            # Its file is given beside it, as with `modelservice train --data`.
            "data": {"configMap": {"name": name}, "target": source.target, "split": {"test": LEAST_TEST}},
            "task": {str(source.kind): {}},
        }
        if self.model is not None:
            spec["model"] = self.model
        return {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": name}, "spec": spec}

    def fit_predict(self, source: Source, train: Frame, test: Frame) -> Prediction:
        """See ``Candidate``."""
        with tempfile.TemporaryDirectory() as scratch:
            table = Path(scratch) / "train.csv"
            train.to_csv(table, index=False)
            predictor = train_model(self.resource(source), table, Path(scratch) / "model")
            values = predictor.predict(test)
            if source.kind is Kind.NUMBERS:
                return Prediction(values=np.asarray(values, np.float64), probabilities=np.empty((len(test), 0)))
            probabilities = np.asarray(predictor.predict_proba(test), np.float64)
        return Prediction(
            values=np.asarray(values, dtype=object), probabilities=probabilities, labels=tuple(predictor.labels)
        )


@functools.cache
def _training_sources() -> tuple[str, ...]:
    """A digest of each module that ``modelservice.train`` needs, directly or not."""
    entry = train_model.__module__
    names = {entry, *grimp.build_graph(modelservice.__name__).find_upstream_modules(entry)}
    specs = [find_spec(name) for name in sorted(names)]
    return tuple(hashlib.sha256(Path(spec.origin).read_bytes()).hexdigest() for spec in specs if spec and spec.origin)


MLP: Final = OurCandidate(name="mlp", model={"mlp": {}})
AUTO: Final = OurCandidate(name="auto", model=None)

OURS: Final = (MLP, AUTO)
