"""What the bench of workers runs beside it: ``python -m tests.bench.distributed_processes ROLE WHERE SETTINGS``."""

import json
import os
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.bench.training_tables import TARGET, draw

from modelservice.contract.data import Data
from modelservice.contract.networks import MultilayerPerceptron
from modelservice.contract.optimizers import Adam, Optimizer
from modelservice.contract.progress import Progress
from modelservice.contract.training import Hyperparameters, Parallelism
from modelservice.families.mlp import Mlp
from modelservice.modalities.base import Dataset
from modelservice.modalities.dataset import build_dataset
from modelservice.modalities.sources import from_frame
from modelservice.stages.local_team import run_local_team
from modelservice.training.joining import joined
from modelservice.training.peers import rank_of

_MODULE = "tests.bench.distributed_processes"


def alone(there: Path, *, core: int, **size: int) -> int:
    """One process on one core."""
    _train(there, core=core, **size)
    return 0


def team(there: Path, *, processes: int, parallelism: str = "Data", **size: int) -> int:
    """Processes under torch's agent, two on a core where there are four."""
    rank = rank_of(os.environ)
    if rank is None:
        said = json.dumps({"processes": processes, "parallelism": parallelism, **size})
        os.environ["OMP_NUM_THREADS"] = str(processes)  # shared out: one for each
        arguments = ["-m", _MODULE, "team", str(there), said]
        return run_local_team(arguments, workers=processes, environment=os.environ, out=sys.stderr)
    with joined(Parallelism(parallelism), os.environ, on_lost=lambda: os._exit(1)):
        _train(there, core=rank, **size)
    return 0


def _train(there: Path, *, core: int, rows: int, width: int, batch: int, epochs: int) -> None:
    os.sched_setaffinity(0, {core % (os.cpu_count() or 1)})
    settings = MultilayerPerceptron(hidden_layers=(width,) * 3, ensemble=1)
    training = Hyperparameters(optimizer=Optimizer(adam=Adam(learning_rate=0.001)), batch_size=batch, epochs=epochs)
    dataset, walls, cpus = _dataset(rows), list[float](), list[float]()

    def tick(_: Progress) -> None:
        walls.append(time.perf_counter())
        cpus.append(time.process_time())

    fitted = Mlp().fit(settings, dataset, training, observe=tick)
    if not rank_of(os.environ):
        # Until the first epoch is over things are allocated once.
        learned = len(dataset.train.values)
        found = {"pace": learned / _shortest(walls), "cpu_pace": learned / _shortest(cpus)}
        there.with_suffix(".json").write_text(json.dumps(found), encoding="utf-8")
        there.with_suffix(".safetensors").write_bytes(fitted.files["weights.safetensors"])


def _shortest(ticks: list[float]) -> float:
    return min(after - before for before, after in pairwise(ticks))


def _dataset(rows: int) -> Dataset:
    drawn = draw(rows, 20, seed=0)
    frame = {f"f{at}": column for at, column in enumerate(drawn.features.T)}
    data = Data.model_validate({"uri": "s3://bench/table.parquet", "target": TARGET})
    return build_dataset(from_frame({**frame, TARGET: drawn.labels}), data)


_ROLES: dict[str, Any] = {"alone": alone, "team": team}

if __name__ == "__main__":
    sys.exit(_ROLES[sys.argv[1]](Path(sys.argv[2]), **json.loads(sys.argv[3])))
