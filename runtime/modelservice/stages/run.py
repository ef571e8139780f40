"""One training from a table to an artifact's files, and to a folder."""

import platform
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from pydantic import ValidationError
from safetensors.torch import save
from torch import nn

import modelservice
from modelservice.artifact import store
from modelservice.contract.data import Data
from modelservice.contract.manifest import (
    ARCHITECTURE_FILE,
    METRICS_FILE,
    PREPROCESSING_FILE,
    SIGNATURE_FILE,
    WEIGHTS_FILE,
    DataSummary,
    Manifest,
    Producer,
    Signature,
)
from modelservice.contract.model import Model
from modelservice.contract.report import Metrics, Success
from modelservice.contract.training import Hyperparameters
from modelservice.data.dataset import Dataset, build_dataset
from modelservice.data.encoding import Encoder
from modelservice.data.errors import DataError, InputError
from modelservice.data.fitting import fit, input_columns
from modelservice.data.preprocessing import Preprocessing
from modelservice.data.table import Table
from modelservice.models.architecture import Architecture, design_mlp
from modelservice.models.mlp import build, initialize
from modelservice.training.curves import CurveRecorder
from modelservice.training.errors import TrainingError
from modelservice.training.loop import Epoch, Observer, Rows, compute_logits, seeded, train_module
from modelservice.training.metrics import Curves, MetricsDocument, Scores, score
from modelservice.training.stopwatch import Stopwatch
from modelservice.training.threads import limited_threads, threads_for


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """What to train: the part of a ModelService that decides the result, and the key that stands for it."""

    name: str
    key: str
    data: Data
    model: Model
    training: Hyperparameters


@dataclass(frozen=True, kw_only=True)
class Trained:
    """An artifact that is not stored yet."""

    manifest: Manifest
    files: dict[str, bytes]
    signature: Signature
    metrics: MetricsDocument


def train_to_folder(
    table: Table,
    pipeline: Pipeline,
    *,
    scratch: Path,
    final: Path,
    observe: Observer,
    watch: Stopwatch,
) -> tuple[Success, MetricsDocument, Manifest]:
    """Train and store.

    Args:
        table: the data.
        pipeline: what to train.
        scratch: a folder that is written first, on the file system of ``final``; removed if anything fails.
        final: the artifact's folder; an artifact that stands there is replaced.
        observe: called after each epoch.
        watch: measures the steps.

    Raises:
        DataError: nothing can be learned from the table.
        TrainingError: the training cannot succeed as it was asked for.
        ArtifactError: ``final`` is something else than an artifact.
        OSError: the artifact cannot be written.
    """
    store.check_replaceable(final)
    store.check_writable(scratch)
    trained = train_table(table, pipeline, observe=observe, watch=watch)
    return store_trained(trained, scratch=scratch, final=final, watch=watch), trained.metrics, trained.manifest


def store_trained(trained: Trained, *, scratch: Path, final: Path, watch: Stopwatch) -> Success:
    """Write what was trained; for arguments and errors see ``train_to_folder``."""
    with watch.step("store"):
        store.discard(scratch)
        try:
            digest = store.write(scratch, trained.manifest, trained.files)
            store.publish(scratch, final)
        except BaseException:
            store.discard(scratch)
            raise
    return summarize(digest, trained.manifest, trained.signature, trained.metrics, watch.seconds)


def train_table(table: Table, pipeline: Pipeline, *, observe: Observer, watch: Stopwatch) -> Trained:
    """Train; everything but storing. The same table, pipeline and number of threads give the same bytes.

    Raises:
        DataError: nothing can be learned from the table.
        TrainingError: the training cannot succeed as it was asked for.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with watch.step("read"):
        dataset = build_dataset(table, pipeline.data)
        preprocessing = fit(dataset.columns, dataset.split.train)
        rows = _encode(dataset, preprocessing, device)
    architecture = _design(pipeline.model, preprocessing, dataset)
    with watch.step("train"):
        module, best_epoch, curves = _fit_module(architecture, rows, pipeline.training, device=device, observe=observe)
    with watch.step("evaluate"):
        scores = {side: _score(module, part, dataset.target.labels) for side, part in rows.items()}
        metrics = MetricsDocument(**scores, best_epoch=best_epoch, curves=curves)
    signature = Signature(
        target=dataset.target.name,
        inputs=input_columns(dataset.columns, dataset.split.train),
        labels=dataset.target.labels,
    )
    files = {
        SIGNATURE_FILE: store.document_bytes(signature),
        PREPROCESSING_FILE: store.document_bytes(preprocessing),
        ARCHITECTURE_FILE: store.document_bytes(architecture),
        WEIGHTS_FILE: save({name: tensor.cpu().contiguous() for name, tensor in module.state_dict().items()}),
        METRICS_FILE: store.document_bytes(metrics),
    }
    manifest = _manifest(table, dataset, pipeline, architecture, files)
    return Trained(manifest=manifest, files=files, signature=signature, metrics=metrics)


def _fit_module(
    architecture: Architecture, rows: dict[str, Rows], settings: Hyperparameters, *, device: str, observe: Observer
) -> tuple[nn.Sequential, int, Curves]:
    """The trained module, its epoch, and what the epochs came to."""
    recorder = CurveRecorder()

    def both(epoch: Epoch) -> None:
        recorder(epoch)
        observe(epoch)

    threads = threads_for(
        parameters=architecture.parameters,
        batch_size=min(settings.batch_size, len(rows["train"].classes)),
        available=torch.get_num_threads(),
    )
    with limited_threads(threads), seeded(settings.seed, device) as generator:
        module = build(architecture)
        initialize(module, generator)
        module.to(device)
        best_epoch = train_module(
            module,
            train=rows["train"],
            validation=rows["validation"],
            settings=settings,
            generator=generator,
            observe=both,
        )
    return module, best_epoch, recorder.curves


def summarize(
    digest: str, manifest: Manifest, signature: Signature, metrics: MetricsDocument, seconds: dict[str, float]
) -> Success:
    """The report's account of a stored artifact."""
    test = metrics.test
    return Success(
        key=manifest.key,
        digest=digest,
        metrics=Metrics(
            accuracy=test.accuracy,
            accuracy_interval=test.accuracy_interval,
            precision=test.precision,
            recall=test.recall,
            f1=test.f1,
            loss=test.loss,
            test_rows=test.rows,
        ),
        data=manifest.data,
        parameters=manifest.parameters,
        artifact_bytes=sum(entry.size for entry in manifest.files.values()),
        signature=signature,
        seconds=seconds,
    )


def _encode(dataset: Dataset, preprocessing: Preprocessing, device: str) -> dict[str, Rows]:
    """Encode each side by the encoder that serving uses."""
    encoder = Encoder(preprocessing)
    if encoder.width == 0:
        raise DataError("NoFeatures", "all feature columns are empty in the training rows: add rows")
    sides = {"train": dataset.split.train, "validation": dataset.split.validation, "test": dataset.split.test}
    try:
        return {
            side: Rows(
                features=torch.from_numpy(
                    encoder.encode_columns({column.name: column.take(rows).values for column in dataset.columns})
                ).to(device),
                classes=torch.from_numpy(dataset.target.codes[rows]).to(device),
            )
            for side, rows in sides.items()
        }
    except InputError as error:  # a number so far from those of the training rows that it is none when standardised
        message = f"column {error.column}: {error.message}: correct the cell, or leave it empty if it is not known"
        raise DataError("NotANumber", message) from None


def _design(model: Model, preprocessing: Preprocessing, dataset: Dataset) -> Architecture:
    try:
        return design_mlp(model.chosen, inputs=preprocessing.width, outputs=len(dataset.target.labels))
    except ValidationError as error:
        message = f"the model is not possible: {error.errors()[0]['msg']}: make it smaller"
        raise TrainingError("ModelTooLarge", message, field="spec.model.mlp.hiddenLayers") from None


def _score(module: nn.Sequential, rows: Rows, labels: tuple[str, ...]) -> Scores:
    logits: np.ndarray[tuple[int, ...], np.dtype[np.float32]] = compute_logits(module, rows.features).numpy()
    return score(logits, rows.classes.cpu().numpy(), labels)


def _manifest(
    table: Table, dataset: Dataset, pipeline: Pipeline, architecture: Architecture, files: dict[str, bytes]
) -> Manifest:
    return Manifest(
        name=pipeline.name,
        key=pipeline.key,
        producer=Producer(
            modelservice=modelservice.__version__, python=platform.python_version(), torch=torch.__version__
        ),
        data=DataSummary(
            sha256=table.sha256,
            rows=dataset.rows,
            features=len(dataset.columns),
            classes=len(dataset.target.labels),
            notes=dataset.notes,
        ),
        parameters=architecture.parameters,
        files=store.file_entries(files),
    )
