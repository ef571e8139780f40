"""The stage ``compress``: the model of an artifact made smaller, if that costs no more than it may."""

import platform
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from typing import Any, Final, NamedTuple

import modelservice
from modelservice.artifact.errors import ArtifactError
from modelservice.artifact.files import document_bytes, file_entries
from modelservice.artifact.load import Artifact
from modelservice.artifact.stores import load_artifact
from modelservice.compression import Compressible, KeptNetworks, StepContext, StoredNetwork, compress
from modelservice.contract.documents import Stored
from modelservice.contract.evaluation import Evaluation
from modelservice.contract.failure import DataError, StorageError
from modelservice.contract.manifest import (
    ARCHITECTURE_FILE,
    METRICS_FILE,
    MODEL_FILE,
    PREPROCESSING_FILE,
    REPORT_FILES,
    WEIGHTS_FILE,
    CompressionSummary,
    OnnxSummary,
    Parent,
    Producer,
)
from modelservice.contract.progress import Progress
from modelservice.contract.sizes import BATCH, Sizes, Tried
from modelservice.contract.work_order import CompressWork, WorkOrder
from modelservice.inference.batches import run_batches
from modelservice.inference.onnx_engine import OnnxEngine
from modelservice.modalities.base import Dataset
from modelservice.modalities.sources import check_held, read_rows
from modelservice.modalities.text.preprocessing import TextPreprocessing
from modelservice.reports.card import About, settings_of
from modelservice.reports.files import write_reports
from modelservice.reports.findings import examine
from modelservice.reports.subject import Subject, all_columns
from modelservice.stages.base import Context, Produced
from modelservice.stages.evaluate import largest_difference, measure, opset_of, run_sides
from modelservice.tasks import task_of
from modelservice.tasks.base import Array, Drop
from modelservice.tasks.metrics_document import MetricsDocument

_STEPS = 3
_LEFT_OUT: Final = frozenset({MODEL_FILE, METRICS_FILE, ARCHITECTURE_FILE, WEIGHTS_FILE, *REPORT_FILES})
"""What a compressed artifact does not take from its parent; weights and architecture are those of the large model."""


class CompressStage:
    """Apply the steps of ``spec.compression``, and judge the result on the test rows."""

    name = "compress"

    def run(self, order: WorkOrder, context: Context) -> Produced:
        """Make a model smaller; see ``Stage``."""
        work = order.work
        assert isinstance(work, CompressWork)  # noqa: S101 - the registry looks stages up by the work's own name
        watch, observe = context.watch, context.observe
        with watch.step("read"):
            parent = _parent(work)
            source = context.source()
            check_held(source, field="spec.compression")
            divided, dataset = read_rows(source, work.data, work.task, tokenizer=_tokenizer(work, parent))
            _check_same_data(parent, dataset)
            _check_same_preprocessing(parent, dataset)
            # As the training left it: with the threshold that it chose.
            dataset = replace(dataset, task=task_of(parent.signature))
        observe(Progress(stage=self.name, done=1, total=_STEPS))
        before = parent.content(MODEL_FILE)
        learning = StepContext(
            dataset=dataset,
            teacher=partial(run_batches, OnnxEngine(before).run),
            seed=work.data.split.seed,
            budget=work.compression.max_accuracy_drop,
            # Of the stage one step is done; what an epoch tells beside its number is shown.
            observe=lambda epoch: observe(epoch.model_copy(update={"stage": self.name, "done": 1, "total": _STEPS})),
            kept=KeptNetworks(store=context.checkpoints, key=order.key, data=dataset.sha256, say=context.say),
            clock=watch.clock,
        )
        with watch.step("compress"):
            made = compress(
                Compressible(onnx=before, network=StoredNetwork.of_files(parent.contents)),
                work.compression.steps,
                learning,
                epochs=len((parent.document(METRICS_FILE, MetricsDocument).curves or {}).get("epoch", ())),
            )
        observe(Progress(stage=self.name, done=2, total=_STEPS))
        with watch.step("evaluate"):
            judged = _judge(dataset, parent, made.onnx)
        observe(Progress(stage=self.name, done=_STEPS, total=_STEPS))
        summary = summarize(
            judged.drop,
            budget=work.compression.max_accuracy_drop,
            tested=judged.metrics.test,
            sizes=(len(before), len(made.onnx)),
        )
        reported = summary.model_copy(update=_compared(made.tried))
        summary = summary.model_copy(update=_compared(_timeless(made)))
        context.say(_latency(reported))
        with watch.step("report"):
            chosen = _choose(parent, judged, summary, made)
            subject = Subject(
                dataset=dataset,
                columns=all_columns(divided, dataset),
                metrics=chosen.metrics,
                raw=chosen.raw,
                predict=partial(run_batches, OnnxEngine(chosen.content).run),
                seed=work.data.split.seed,
            )
            return replace(_produced(order, parent, chosen, summary, subject), compression=reported)


COMPRESS: Final = CompressStage()


def summarize(drop: Drop, *, budget: float, tested: Evaluation, sizes: tuple[int, int]) -> CompressionSummary:
    """Whether the smaller model is taken, and a sentence that says so.

    Args:
        drop: of the primary metric, on the test rows.
        budget: ``spec.compression.maxAccuracyDrop``.
        tested: says the primary metric, and on how many rows.
        sizes: bytes of the model before and after.
    """
    before, after = sizes
    # Adding 0.0 makes a rounded -0.0 an ordinary zero.
    value, low, high = (f"{round(number, 4) + 0.0:g}" for number in drop)
    fall = f"{tested.primary} falls by {value} (paired 95 % interval on {tested.rows} test rows: {low} to {high})"
    if after >= before:
        message = f"the model is not smaller for it ({before} bytes before, {after} after): it is kept as it is"
    elif drop.within(budget):
        message = f"{before} bytes became {after}; {fall}, and may fall by {budget:g}"
    else:
        message = (
            f"{fall}, and may fall by spec.compression.maxAccuracyDrop, {budget:g}: the uncompressed model is kept;"
            " allow more, or add rows, which makes the interval narrower"
        )
    return CompressionSummary(
        applied=after < before and drop.within(budget),
        message=message,
        budget=budget,
        drop=drop.value,
        low=drop.low,
        high=drop.high,
        bytes_before=before,
        bytes_after=after,
    )


def _compared(tried: tuple[Tried, ...]) -> dict[str, Any]:
    """Fields of the summary: the models that a compression began and ended with, and the controls."""
    return {
        "before": tried[0],
        "after": next(one for one in tried if one.chosen),
        "controls": tuple(one for one in tried if one.control),
    }


def _timeless(made: Compressible) -> tuple[Tried, ...]:
    return tuple(one.without_latency() for one in made.tried)


def _latency(summary: CompressionSummary) -> str:
    before, after = (
        [1e6 * (taken or 0) for taken in (one.seconds_of_row, one.seconds_of_batch)]
        for one in (summary.before, summary.after)
        if one is not None
    )
    times = [f"{new:.3g} us instead of {old:.3g}" for old, new in zip(before, after, strict=True)]
    return f"on one thread a row takes {times[0]}, {BATCH} rows {times[1]}"


def _parent(work: CompressWork) -> Artifact:
    try:
        return load_artifact(work.parent, digest=work.parent_digest)
    except ArtifactError as error:
        raise _unusable(error) from None


def _tokenizer(work: CompressWork, parent: Artifact) -> str | None:
    """The tokenizer that the parent was trained with, which an encoder may have brought; None where none reads."""
    return None if work.data.text is None else _preprocessing(parent, TextPreprocessing).tokenizer


def _preprocessing(parent: Artifact, kind: type[Stored]) -> Stored:
    try:
        return parent.document(PREPROCESSING_FILE, kind)
    except ArtifactError as error:
        raise _unusable(error) from None


def _unusable(error: ArtifactError) -> StorageError:
    message = f"the model to compress cannot be used: {error}: delete what is left of it, and it is trained again"
    return StorageError("ParentInvalid", message, field="spec.artifacts")


def _check_same_data(parent: Artifact, dataset: Dataset) -> None:
    """The test rows must be those that the model was not trained on, so the data must be that of the training."""
    trained_on = parent.manifest.data.sha256 if parent.manifest.data else "data that nobody knows"
    if dataset.sha256 == trained_on and dataset.labels == parent.signature.labels:
        return
    message = (
        f"the data changed since the model was trained (found {dataset.sha256}, trained on {trained_on}):"
        " change spec.data.version, which trains again"
    )
    raise DataError("DataChanged", message, field="spec.data.version")


def _check_same_preprocessing(parent: Artifact, dataset: Dataset) -> None:
    """The parent's preprocessing is what serves, so the model must be judged on what that makes of the rows."""
    trained = _preprocessing(parent, type(dataset.preprocessing))
    if document_bytes(trained) == document_bytes(dataset.preprocessing):
        return
    message = (
        "the same data is now read otherwise than when the model was trained, by another release or other settings:"
        " change spec.data.version, which trains again"
    )
    raise DataError("DataChanged", message, field="spec.data.version")


class _Judged(NamedTuple):
    """What the smaller model comes to on the data of the training."""

    drop: Drop
    difference: float
    metrics: MetricsDocument
    before: Array
    after: Array


class _Chosen(NamedTuple):
    """The model that is stored: ``model.onnx``, its outputs for the test rows, and what else was tried."""

    content: bytes
    summary: OnnxSummary
    metrics: MetricsDocument
    raw: Array
    parameters: int | None
    sizes: Sizes


def _judge(dataset: Dataset, parent: Artifact, smaller: bytes) -> _Judged:
    """Run both models on all rows; the test rows judge."""
    trained = parent.document(METRICS_FILE, MetricsDocument)
    before = run_sides(OnnxEngine(parent.content(MODEL_FILE)).run, dataset)
    after = run_sides(OnnxEngine(smaller).run, dataset)
    return _Judged(
        drop=dataset.task.drop(before.test, after.test, dataset.test.values, dataset.test.weights),
        difference=largest_difference(before, after, labels=dataset.labels),
        metrics=measure(
            after,
            dataset,
            kept_apart=trained.validation is not None,
            best_epoch=trained.best_epoch,
            curves=trained.curves,
        ),
        before=before.test,
        after=after.test,
    )


def _choose(parent: Artifact, judged: _Judged, summary: CompressionSummary, made: Compressible) -> _Chosen:
    """The smaller model, or the parent's own where the budget is missed."""
    trained, sizes = parent.manifest, Sizes(metric=judged.metrics.test.primary, tried=_timeless(made))
    if summary.applied:
        said = OnnxSummary(opset=opset_of(made.onnx), max_difference=judged.difference)
        parameters = trained.parameters if made.network is None else made.network.parameters
        return _Chosen(made.onnx, said, judged.metrics, judged.after, parameters, sizes)
    metrics = parent.document(METRICS_FILE, MetricsDocument)
    return _Chosen(parent.content(MODEL_FILE), trained.model, metrics, judged.before, trained.parameters, sizes)


def _produced(
    order: WorkOrder, parent: Artifact, chosen: _Chosen, summary: CompressionSummary, subject: Subject
) -> Produced:
    """The artifact of this stage, with reports of the model that is stored."""
    trained = parent.manifest
    producer, findings = _producer(trained.producer), examine(subject)
    about = About(
        name=order.name,
        family=trained.family,
        parameters=chosen.parameters,
        producer=producer,
        data=trained.data,
        signature=parent.signature,
        settings=settings_of(order.work),
        compression=summary,
        parent=trained.key,
        sizes=chosen.sizes,
    )
    files = {
        **{name: content for name, content in parent.contents.items() if name not in _LEFT_OUT},
        MODEL_FILE: chosen.content,
        METRICS_FILE: document_bytes(chosen.metrics),
        **write_reports(subject, findings, about),
    }
    manifest = parent.manifest.model_copy(
        update={
            "name": order.name,
            "stage": COMPRESS.name,
            "key": order.key,
            "parent": Parent(key=parent.manifest.key, digest=parent.digest),
            "producer": producer,
            "parameters": chosen.parameters,
            "model": chosen.summary,
            "compression": summary,
            "files": file_entries(files),
        }
    )
    return Produced(manifest=manifest, files=files, signature=parent.signature, metrics=chosen.metrics)


def _producer(trained: Producer) -> Producer:
    """Versions of what decided the result: of the training, and of what quantised and judged."""
    return Producer(
        modelservice=modelservice.__version__,
        python=platform.python_version(),
        libraries=dict(sorted({**trained.libraries, "onnxruntime": version("onnxruntime")}.items())),
    )
