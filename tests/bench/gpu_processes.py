"""What the bench of a GPU runs, each in a process: ``python -m tests.bench.gpu_processes ROLE ARGUMENT...``.

The last line that each prints is JSON.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tests.bench.record import ROOT

_MEBIBYTE = 2**20
WITHOUT_GPU: Mapping[str, str] = MappingProxyType({"CUDA_VISIBLE_DEVICES": ""})
"""Of processes that are to see none."""


def measure(role: str, *arguments: object, more: Mapping[str, str] = MappingProxyType({})) -> Any:
    """What a role prints.

    Raises:
        RuntimeError: it failed.
    """
    command = [sys.executable, "-m", "tests.bench.gpu_processes", role, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, env=environment(more), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{role} {arguments} ended with {done.returncode}: {done.stderr[-4000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def environment(more: Mapping[str, str]) -> dict[str, str]:
    """Of a process that finds this package, with more."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, **more}


def _device() -> Any:
    """The GPU and what is around it, None where there is none."""
    import torch  # noqa: PLC0415 - each process imports what its role needs

    if not torch.cuda.is_available():
        return None
    properties = torch.cuda.get_device_properties(0)
    return {
        "name": properties.name,
        "bytes": properties.total_memory,
        "count": torch.cuda.device_count(),
        "cpus": os.cpu_count(),
        "torch": str(torch.__version__),
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def _train(resource: str, rows: str, output: str) -> Any:
    """Median seconds of an epoch but the first, most memory of the device, and the primary metric of a training."""
    import torch  # noqa: PLC0415

    from modelservice.stages.documents import read_resource  # noqa: PLC0415
    from modelservice.stages.local import run_locally  # noqa: PLC0415

    ticks: list[float] = []
    done = run_locally(
        read_resource(resource),
        data=Path(rows),
        output=Path(output),
        observe=lambda _: ticks.append(time.perf_counter()),
    )
    metric = done.produced.metrics.test.primary_metric
    return {
        "epoch": statistics.median(after - before for before, after in pairwise(ticks)),
        "mebibytes": torch.cuda.max_memory_allocated() / _MEBIBYTE if torch.cuda.is_available() else 0.0,
        "metric": metric.name,
        "value": metric.value,
        "low": metric.low,
        "seconds": dict(done.success.seconds),
    }


def _agree(model: str, rows: str) -> Any:
    """The largest difference of a probability between torch, on the GPU if there is one, and onnxruntime."""
    from tests.bench.gpu_subjects import frame_of  # noqa: PLC0415

    from modelservice.families.torch_engine import load_torch_engine  # noqa: PLC0415
    from modelservice.inference.onnx_engine import load_onnx_engine  # noqa: PLC0415
    from modelservice.inference.predictor import Predictor  # noqa: PLC0415

    frame = frame_of(Path(rows))
    loaders = (load_onnx_engine, load_torch_engine)
    one, other = (Predictor.load(model, engine=loader).predict_proba(frame) for loader in loaders)
    return float(abs(one - other).max())


def _stage(resource: str, rows: str) -> Any:
    """The exit code and the report of a training as a pod does it."""
    from modelservice.contract.report import Report  # noqa: PLC0415
    from modelservice.contract.work_order import TrainWork, WorkOrder  # noqa: PLC0415
    from modelservice.stages.documents import read_resource  # noqa: PLC0415
    from modelservice.stages.run import Places, Pod, run_stage  # noqa: PLC0415

    spec, data = read_resource(resource).service.spec, Path(rows)
    claim = {"persistentVolumeClaim": {"claimName": "bench", "path": data.name}, "target": spec.known_data.target}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        work = TrainWork(
            data_file=data.name,
            data=spec.known_data.model_validate(claim),
            model=spec.model,
            training=spec.training.hyperparameters,
        )
        order = WorkOrder(name="bench", namespace="default", key="abc", artifact=str(folder / "abc"), work=work)
        (folder / "order.json").write_text(order.model_dump_json(), encoding="utf-8")
        where = Places(
            order=folder / "order.json",
            data=data.parent,
            report=folder / "report",
            progress_host="127.0.0.1",
            progress_port=0,
        )
        code = run_stage(where=where, pod=Pod(), clock=time.perf_counter, now=time.time, out=sys.stderr)
        result = Report.model_validate_json((folder / "report").read_text(encoding="utf-8")).result
    return {"code": code, **result.model_dump(mode="json", include={"reason", "field", "message"})}


def _together(resource: str, rows: str, output: str, workers: str) -> Any:
    """The exit code of a training by processes under torch's agent; one of them joins a group of one."""
    from modelservice.stages.local_team import run_local_team  # noqa: PLC0415

    arguments = ["-m", "modelservice", "train", "--file", resource, "--data", rows, "--output", output]
    return run_local_team(arguments, workers=int(workers), environment=os.environ, out=sys.stderr)


ROLES: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {"device": _device, "train": _train, "agree": _agree, "stage": _stage, "together": _together}
)

if __name__ == "__main__":
    role, *arguments = sys.argv[1:]
    found = ROLES[role](*arguments)
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()
    sys.exit(found if role == "together" else 0)
