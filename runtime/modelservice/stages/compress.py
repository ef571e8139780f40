"""The stage ``compress``: the model of an artifact made smaller, if that costs no more than it may."""

import platform
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from typing import Any, Final, NamedTuple

import modelservice
from modelservice.artifact.files import document_bytes, file_entries
from modelservice.artifact.load import Artifact
from modelservice.compression import (
    Compressible,
    KeptNetworks,
    StepContext,
    StoredNetwork,
    compress,
    planned_epochs,
)
from modelservice.contract.keys import KEY_LENGTH, settled, short_hash
from modelservice.contract.manifest import (
    ARCHITECTURE_FILE,
    METRICS_FILE,
    MODEL_FILE,
    REPORT_FILES,
    WEIGHTS_FILE,
    CompressionSummary,
    OnnxSummary,
    Parent,
    Producer,
)
from modelservice.contract.metric_names import KnownMetric
from modelservice.contract.progress import Progress
from modelservice.contract.sizes import Sizes, Tried
from modelservice.contract.task import Calibration, Task
from modelservice.contract.work_order import CompressWork, WorkOrder
from modelservice.inference.batches import run_batches
from modelservice.inference.onnx_engine import OnnxEngine
from modelservice.modalities.base import Dataset
from modelservice.reports.card import About, settings_of
from modelservice.reports.files import write_reports
from modelservice.reports.findings import examine
from modelservice.reports.subject import Subject, all_columns
from modelservice.stages.base import Context, Produced
from modelservice.stages.compress_parent import read_parent
from modelservice.stages.compress_summary import (
    check_metric,
    judged_by,
    latency,
    measured_speed,
    missed_target,
    summarize,
)
from modelservice.stages.evaluate import largest_difference, measure, opset_of, run_sides
from modelservice.stages.recipe import classification_of, learned_from
from modelservice.tasks.base import Array, Drop
from modelservice.tasks.metrics_document import MetricsDocument
from modelservice.tasks.paired import metric_drop

_STEPS: Final = 3
"""Of the stage, beside the epochs that networks learn: reading, compressing, judging."""
_LEFT_OUT: Final = frozenset({MODEL_FILE, METRICS_FILE, ARCHITECTURE_FILE, WEIGHTS_FILE, *REPORT_FILES})
"""What a compressed artifact does not take from its parent; weights and architecture are those of the large model."""


class CompressStage:
    """Apply the steps of ``spec.compression``, and judge the result on the test rows."""

    name = "compress"

    def run(self, order: WorkOrder, context: Context) -> Produced:
        """Make a model smaller; see ``Stage``."""
        work = order.work
        assert isinstance(work, CompressWork)  # noqa: S101 - the registry looks stages up by the work's own name
        watch = context.watch
        with watch.step("read"):
            parent, divided, dataset = read_parent(work, context.source())
            metric = judged_by(work.compression, work.task)
            check_metric(metric, dataset)
        asked, before = work.compression, parent.content(MODEL_FILE)
        trained = parent.document(METRICS_FILE, MetricsDocument)
        epochs = len((trained.curves or {}).get("epoch", ()))
        told = _Counted(context.observe, planned_epochs(asked.steps, epochs=epochs))
        told.step()
        network = StoredNetwork.of_files(parent.contents)
        learning = StepContext(
            dataset=dataset,
            learned=_learned(dataset, work.task, network),
            teacher=partial(run_batches, OnnxEngine(_teacher(before, network)).run),
            seed=work.data.split.seed,
            budget=asked.budget,
            metric=metric,
            observe=told.epoch,
            kept=KeptNetworks(
                store=context.checkpoints, key=_kept_key(order.key, work), data=dataset.sha256, say=context.say
            ),
            clock=watch.clock,
        )
        with watch.step("compress"):
            made = compress(
                Compressible(onnx=before, network=network),
                asked.steps,
                learning,
                epochs=epochs,
                kept_apart=trained.validation is not None,
            )
        told.compressed()
        with watch.step("evaluate"):
            judged = _judge(dataset, parent, made.onnx, metric)
        told.step()
        summary = summarize(
            judged.drop,
            metric,
            asked=asked,
            tested=judged.metrics.test,
            sizes=(len(before), len(made.onnx)),
            missed=missed_target(asked, made.tried),
        )
        reported = summary.model_copy(update=_compared(made.tried))
        reported = reported.model_copy(update={"message": reported.message + measured_speed(asked, reported)})
        summary = summary.model_copy(update=_compared(_timeless(made)))
        context.say(latency(reported))
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


def _kept_key(key: str, work: CompressWork) -> str:
    """Tells what a network was tuned for: besides the key, which model was its teacher, and what its answers count.

    On a laptop any folder and any task may stand beside a key that was made of another task's.
    """
    task = None if work.task is None else settled(work.task)
    return short_hash({"key": key, "parent": work.parent_digest, "task": task}, length=KEY_LENGTH)


def _teacher(before: bytes, network: StoredNetwork | None) -> bytes:
    """What says how a network is to answer before the curves of a calibration, which stand behind each of them."""
    return network.before_curves.to_onnx() if network is not None and network.curves else before


def _learned(dataset: Dataset, task: Task | None, network: StoredNetwork | None) -> Dataset:
    """What is learned from, as in training; where the teacher has curves that stay with it, its rows count as they are.

    Its probabilities are those of such rows then, whatever the training weighed.
    """
    learned = learned_from(dataset, task)
    if network is None and classification_of(task).calibration is Calibration.ISOTONIC:
        return replace(learned, train=dataset.train, validation=dataset.validation)
    return learned


class _Counted:
    """Progress of the stage: its own steps, and the epochs that are planned between the first and the second."""

    def __init__(self, observe: Callable[[Progress], None], epochs: int) -> None:
        self._observe, self._epochs, self._done = observe, epochs, 0

    def step(self) -> None:
        """One more step is done."""
        self._done += 1
        self._tell(Progress())

    def epoch(self, progress: Progress) -> None:
        """One more epoch is done; what it tells beside its number is shown."""
        self._done = min(self._done + 1, 1 + self._epochs)
        self._tell(progress)

    def compressed(self) -> None:
        """All steps of the compression are done, whether or not they took as many epochs as they might."""
        self._done = self._epochs + 1
        self.step()

    def _tell(self, progress: Progress) -> None:
        whole = {"stage": COMPRESS.name, "done": self._done, "total": self._epochs + _STEPS}
        self._observe(progress.model_copy(update=whole))


def _compared(tried: tuple[Tried, ...]) -> dict[str, Any]:
    """Fields of the summary: the models that a compression began and ended with, and the controls."""
    return {
        "before": tried[0],
        "after": next(one for one in tried if one.chosen),
        "controls": tuple(one for one in tried if one.control),
    }


def _timeless(made: Compressible) -> tuple[Tried, ...]:
    return tuple(one.without_latency() for one in made.tried)


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


def _judge(dataset: Dataset, parent: Artifact, smaller: bytes, metric: KnownMetric | None) -> _Judged:
    """Run both models on all rows; the test rows judge, by a metric or the primary one."""
    trained = parent.document(METRICS_FILE, MetricsDocument)
    before = run_sides(OnnxEngine(parent.content(MODEL_FILE)).run, dataset)
    after = run_sides(OnnxEngine(smaller).run, dataset)
    drop = metric_drop(dataset.task, metric, before.test, after.test, dataset.test.values, weights=dataset.test.weights)
    assert drop is not None  # noqa: S101 - ``check_metric`` asked these rows
    return _Judged(
        drop=drop,
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
    return Produced(manifest=manifest, files=files, signature=parent.signature, measured=chosen.metrics)


def _producer(trained: Producer) -> Producer:
    """Versions of what decided the result: of the training, and of what quantised and judged."""
    return Producer(
        modelservice=modelservice.__version__,
        python=platform.python_version(),
        libraries=dict(sorted({**trained.libraries, "onnxruntime": version("onnxruntime")}.items())),
    )
