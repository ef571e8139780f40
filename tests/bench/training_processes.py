"""What the bench of trainings measures in other processes: ``python -m tests.bench.training_processes ROLE ...``.

They see no pandas, as the trainer's image holds none: pyarrow imports it where it is installed.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from tests.bench.record import ROOT
from tests.bench.serving_processes import cpu_seconds

_IMPORT_TORCH = "import torch; print('ready', flush=True); import time; time.sleep(60)"
_IRIS = ROOT / "manifests" / "samples" / "iris.yaml"
_MEBIBYTE = 2**20


def import_seconds(scratch: Path) -> float:
    """CPU seconds of a process that imports torch and nothing else."""
    return _seconds_until(["-c", _IMPORT_TORCH], "ready", scratch)


def first_step_seconds(resource: Path, table: Path, scratch: Path) -> float:
    """CPU seconds of ``modelservice train`` until it tells of the first epoch, which is of one step."""
    command = ["-m", "modelservice", "train", "-f", resource, "--data", table, "--output", scratch / "started"]
    return _seconds_until([*map(str, command)], '"progress"', scratch)


def measure(role: str, *arguments: object, scratch: Path, one_core: bool = False) -> Any:
    """What a role prints.

    Raises:
        RuntimeError: it failed.
    """
    command = [sys.executable, "-m", "tests.bench.training_processes", role, *map(str, arguments)]
    prefix = ["taskset", "-c", "0"] if one_core else []
    done = subprocess.run(
        [*prefix, *command], cwd=ROOT, env=_environment(scratch), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{role} {arguments} ended with {done.returncode}: {done.stderr[-4000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def _environment(scratch: Path) -> dict[str, str]:
    """Ours, without pandas."""
    hidden = scratch / "without" / "pandas"
    hidden.mkdir(parents=True, exist_ok=True)
    (hidden / "__init__.py").write_text("raise ImportError('the image of the trainer has no pandas')\n")
    return {**os.environ, "PYTHONPATH": f"{hidden.parent}{os.pathsep}{ROOT}", "OMP_NUM_THREADS": "1"}


def _seconds_until(arguments: list[str], word: str, scratch: Path) -> float:
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=_environment(scratch),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    try:
        said = []
        for line in process.stdout:
            said.append(line)
            if word in line:
                return cpu_seconds(process.pid)
        raise RuntimeError(f"{arguments} ended without {word}: {''.join(said)[-4000:]}")
    finally:
        process.kill()
        process.wait()


def _epochs(rows: str, columns: str, epochs: str, repeats: str) -> Any:
    """An epoch of one network and of an ensemble, each of ours and of a bare loop."""
    from tests.bench.training_loops import ensemble_epoch, network_epoch  # noqa: PLC0415

    one = network_epoch(rows=int(rows), columns=int(columns), epochs=int(epochs), repeats=int(repeats))
    many = ensemble_epoch(rows=min(int(rows), 2000), columns=int(columns), repeats=int(repeats))
    return {"network": one, "ensemble": many}


def _memory(resource: str, table: str) -> Any:
    """Most memory of a training above what stands after another small one, which has imported all, in MiB."""
    from modelservice.stages.documents import read_resource  # noqa: PLC0415
    from modelservice.stages.local import run_locally  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as folder:
        run_locally(read_resource(_IRIS), data=None, output=Path(folder) / "iris", observe=lambda _: None)
        before = _status("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # forgets the peak
        started = time.process_time()
        done = run_locally(
            read_resource(resource), data=Path(table), output=Path(folder) / "model", observe=lambda _: None
        )
        seconds = time.process_time() - started
    peak = (_status("VmHWM") - before) / 1024
    return {"mebibytes": peak, "weights": (done.success.parameters or 0) * 4 / _MEBIBYTE, "seconds": seconds}


def _status(name: str) -> int:
    """A line of /proc/self/status, in KiB."""
    return int(Path("/proc/self/status").read_text(encoding="ascii").split(f"{name}:")[1].split()[0])


def _fit(resource: str, table: str, rows: str, columns: str) -> Any:
    """CPU seconds of a training, imports included, and its accuracy on rows that it never saw."""
    from tests.bench.training_tables import draw  # noqa: PLC0415

    from modelservice.stages.local import train  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as folder:
        predictor = train(resource, data=table, output=Path(folder) / "model")
        seconds = time.process_time()
        unseen = draw(int(rows), int(columns), seed=UNSEEN)
        answers = predictor.predict(unseen.features.astype(float))
    right = sum(int(answer) == label for answer, label in zip(answers, unseen.labels.tolist(), strict=True))
    return {"seconds": seconds, "accuracy": right / len(unseen.labels)}


UNSEEN = 10**6
"""Seed of rows that no table holds."""


def _scikit(name: str, table: str, rows: str, columns: str) -> Any:
    """CPU seconds of one estimator of scikit-learn, imports included, and its accuracy on the same rows."""
    import numpy as np  # noqa: PLC0415
    import pyarrow.parquet  # noqa: PLC0415
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier  # noqa: PLC0415
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415
    from sklearn.neural_network import MLPClassifier  # noqa: PLC0415
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415
    from sklearn.preprocessing import StandardScaler  # noqa: PLC0415
    from sklearn.svm import SVC  # noqa: PLC0415
    from tests.bench.training_tables import TARGET, draw  # noqa: PLC0415

    estimators = {
        "logistic": LogisticRegression(max_iter=1000),
        "svm": SVC(cache_size=1000),
        "forest": RandomForestClassifier(random_state=0),
        "boosting": HistGradientBoostingClassifier(random_state=0),
        "mlp": MLPClassifier(random_state=0, early_stopping=True, max_iter=500),
    }
    given = pyarrow.parquet.read_table(table)
    labels = given.column(TARGET).to_numpy()
    features = np.column_stack([given.column(name).to_numpy() for name in given.column_names if name != TARGET])
    model = make_pipeline(StandardScaler(), estimators[name]).fit(features, labels)
    seconds = time.process_time()
    unseen = draw(int(rows), int(columns), seed=UNSEEN)
    return {"seconds": seconds, "accuracy": float(model.score(unseen.features, unseen.labels))}


_ROLES: Final[dict[str, Callable[..., Any]]] = {"epochs": _epochs, "memory": _memory, "fit": _fit, "scikit": _scikit}

if __name__ == "__main__":
    role, *arguments = sys.argv[1:]
    sys.stdout.write(json.dumps(_ROLES[role](*arguments)) + "\n")
