"""Training without a cluster: the same ModelService, from a file or an object, on a laptop or in a notebook."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelservice.contract.data import Data
from modelservice.contract.keys import train_key
from modelservice.contract.manifest import Manifest
from modelservice.contract.report import Success
from modelservice.data.csv_file import inflate, parse_csv, read_bytes
from modelservice.data.table import Table, from_frame
from modelservice.predictor import Predictor
from modelservice.training.documents import Resource, default_output, read_resource
from modelservice.training.loop import Observer
from modelservice.training.metrics import MetricsDocument
from modelservice.training.run import Pipeline, train_to_folder
from modelservice.training.stopwatch import Stopwatch


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A training that ended well, and the folder of its artifact."""

    folder: Path
    success: Success
    manifest: Manifest
    metrics: MetricsDocument


def train_local(resource: Resource, *, data: Any, output: Path | None, observe: Observer) -> Finished:
    """Train a ModelService here.

    Args:
        resource: what to train.
        data: the path of a CSV file (plain or gzip), a DataFrame, a pyarrow Table, an object of columns, or None for
            the ConfigMap that stands in the same file.
        output: the artifact's folder; an artifact that stands there is replaced when the new one is complete.
        observe: called after each epoch.

    Raises:
        ResourceError, DataError, TrainingError, ArtifactError, OSError: as their names say.
    """
    service = resource.service
    watch = Stopwatch(time.perf_counter)
    final = output or default_output(service.metadata.name)
    with watch.step("read"):
        table = _table(resource, data, service.spec.data)
    final.parent.mkdir(parents=True, exist_ok=True)
    success, metrics, manifest = train_to_folder(
        table,
        Pipeline(
            name=service.metadata.name,
            key=train_key(service.spec, table.sha256),
            data=service.spec.data,
            model=service.spec.model,
            training=service.spec.training.hyperparameters,
        ),
        scratch=final.with_name(f".{final.name}.tmp-{os.getpid()}"),
        final=final,
        observe=observe,
        watch=watch,
    )
    return Finished(folder=final, success=success, manifest=manifest, metrics=metrics)


def train(
    resource: str | Path | Mapping[str, Any],
    data: Any = None,
    output: str | Path | None = None,
) -> Predictor:
    """Train a ModelService and load the result.

    Args:
        resource: path of a YAML file with a ModelService, or the object itself.
        data: a DataFrame, a pyarrow Table, an object of columns, or the path of a CSV file. Default: the ConfigMap
            that stands in the same file.
        output: the artifact's folder. Default: ``out/<name>``.

    Raises:
        ResourceError: the ModelService is not valid, or its data is not there.
        DataError: nothing can be learned from the table.
        TrainingError: the training cannot succeed as it was asked for.
        ArtifactError: the output folder holds something else than an artifact.
    """
    finished = train_local(
        read_resource(resource),
        data=data,
        output=None if output is None else Path(output),
        observe=lambda _epoch: None,
    )
    return Predictor.load(finished.folder, digest=finished.success.digest)


def _table(resource: Resource, data: Any, settings: Data) -> Table:
    field = "spec.data.configMap" if settings.config_map is not None else "spec.data.persistentVolumeClaim"
    if data is None:
        return parse_csv(inflate(resource.config_map_data(), field=field), field=field)
    if isinstance(data, str | Path):
        return parse_csv(read_bytes(Path(data), field="--data"), field="--data")
    return from_frame(data)
