"""Small stages, as the tests of artifacts, stages and commands need them."""

import io
from pathlib import Path
from typing import Any

from modelservice.artifact.stores.folder import write
from modelservice.contract.compression import Compression
from modelservice.contract.data import ConfigMapSource, Data, Format
from modelservice.contract.exit_codes import ExitCode
from modelservice.contract.failure import Failure
from modelservice.contract.model import Model
from modelservice.contract.networks import MultilayerPerceptron
from modelservice.contract.report import Compared, Report, Success
from modelservice.contract.training import Hyperparameters
from modelservice.contract.work_order import CompareWork, CompressWork, FetchWork, TrainWork, WorkOrder
from modelservice.modalities.sources import read_source
from modelservice.stages.base import Context, Produced
from modelservice.stages.registry import stage_named
from modelservice.stages.run import Places, Pod, run_stage
from modelservice.stages.stopwatch import Stopwatch

IRIS = Path(__file__).parents[3] / "data" / "iris.csv"
QUANTIZE = {"maxAccuracyDrop": 0.2, "steps": [{"quantize": {}}]}


def train_work(
    *,
    epochs: int = 3,
    hidden: tuple[int, ...] = (8,),
    target: str = "species",
    file: str = "iris.csv",
    model: dict[str, Any] | None = None,
    split: dict[str, Any] | None = None,
    **training: Any,
) -> TrainWork:
    """A small multilayer perceptron, unless another model is given; then without epochs."""
    by_gradient = model is None or "cnn" in model or "mlp" in model
    return TrainWork(
        data_file=file,
        data=Data.model_validate(
            {"config_map": ConfigMapSource(name="data"), "target": target, "split": split or {}},
        ),
        model=Model.model_validate(model) if model else Model(mlp=MultilayerPerceptron(hidden_layers=hidden)),
        training=Hyperparameters(**({"epochs": epochs} if by_gradient else {}), **training),
    )


def compress_work(trained: TrainWork, parent: Path, digest: str, **compression: Any) -> CompressWork:
    """What compresses the model that ``trained`` made."""
    return CompressWork(
        data_file=trained.data_file,
        data=trained.data,
        task=trained.task,
        parent=str(parent),
        parent_digest=digest,
        compression=Compression.model_validate({**QUANTIZE, **compression}),
    )


def order_of(
    work: TrainWork | CompressWork | CompareWork | FetchWork, *, key: str = "abc", artifact: Path | str = "unused"
) -> WorkOrder:
    return WorkOrder(name="iris", namespace="default", key=key, artifact=str(artifact), work=work)


def still_clock() -> float:
    return 0.0


def context(content: bytes, *, format_: Format = Format.CSV) -> Context:
    """Data that is there already, and nobody who watches."""
    return Context(
        source=lambda: read_source(content, format=format_),
        observe=lambda _: None,
        watch=Stopwatch(still_clock),
    )


def produce(work: TrainWork | CompressWork, content: bytes | None = None, *, key: str = "abc") -> Produced:
    """Run a stage; the data is iris unless something else is given."""
    given = context(
        IRIS.read_bytes() if content is None else content, format_=work.data.format_of(work.data_file or "")
    )
    return stage_named(work.stage).run(order_of(work, key=key), given)


def store(produced: Produced, folder: Path) -> Path:
    """Put what was produced into a folder."""
    write(folder, produced.manifest, produced.files)
    return folder


def run_pod(root: Path, work: TrainWork | CompressWork | FetchWork, *, data: Path) -> Success | Failure:
    """Run an order as a pod does, below a folder, and read what it reports; ``data`` is what is mounted."""
    result = _run_order(root, order_of(work, artifact=root / "abc"), data)
    assert not isinstance(result, Compared)
    return result


def run_comparison(root: Path, work: CompareWork, *, data: Path) -> Compared | Failure:
    """The same of a comparison, which stores nothing."""
    result = _run_order(root, order_of(work, artifact=""), data)
    assert not isinstance(result, Success)
    return result


def _run_order(root: Path, order: WorkOrder, data: Path) -> Success | Compared | Failure:
    (root / "order.json").write_text(order.model_dump_json(exclude_none=True))
    where = Places(
        order=root / "order.json", data=data, report=root / "report", progress_host="127.0.0.1", progress_port=0
    )
    code = run_stage(where=where, pod=Pod(), clock=still_clock, now=lambda: 0.0, out=io.StringIO())
    result = Report.model_validate_json((root / "report").read_text()).result
    assert code == (result.exit_code if isinstance(result, Failure) else ExitCode.DONE)
    return result
