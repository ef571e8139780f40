"""The pipeline without a cluster: the same ModelService, from a file or an object, on a laptop or in a notebook."""

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from modelservice.artifact.errors import ArtifactError
from modelservice.artifact.stores import ForgivingCheckpoints, load_artifact, open_checkpoints, open_store
from modelservice.contract.failure import DataError, StorageError
from modelservice.contract.keys import compress_key, train_key
from modelservice.contract.progress import Progress
from modelservice.contract.report import Success
from modelservice.contract.work_order import CompressWork, TrainWork, WorkOrder
from modelservice.inference.predictor import Predictor
from modelservice.modalities.base import FileOptions, Source
from modelservice.modalities.objects import open_objects
from modelservice.modalities.sources import from_frame, read_file, read_objects, read_source
from modelservice.stages.base import Context, Produced
from modelservice.stages.documents import Resource, ResourceError, default_output, read_resource
from modelservice.stages.publishing import publish
from modelservice.stages.registry import stage_named
from modelservice.stages.stopwatch import Clock, Stopwatch
from modelservice.training.interruption import Interruption
from modelservice.training.notebook import notebook_bar
from modelservice.training.progress import Listener, announce, bar_for_people

Observer = Callable[[Progress], None]

_OTHER_PARENT: Final = frozenset({"DataChanged", "ParentInvalid"})
"""Reasons that say that a model does not belong to a ModelService and its data."""

TRAINED_SUFFIX = ".trained"
"""Where a compression is asked for, the model that it starts from lies beside the output, under this ending."""


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A pipeline that ended well: the folder of its artifact, and what its last stage came to."""

    folder: Path
    success: Success
    produced: Produced


def run_locally(
    resource: Resource,
    *,
    data: Any,
    output: Path | None,
    observe: Observer,
    clock: Clock = time.perf_counter,
    interruption: Interruption | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Finished:
    """Train a ModelService here, and compress the model where that is asked for.

    A training that was interrupted goes on from its last checkpoint, which lies beside the output.

    Args:
        resource: what to train.
        data: the path of a file (docs/tables.md lists the formats), a DataFrame, a pyarrow Table, an object of columns
            or arrays, or None for what ``spec.data.uri`` names, or the ConfigMap that stands in the same file.
        output: the artifact's folder; an artifact that stands there is replaced when the new one is complete.
        observe: is told of progress.
        clock: a monotonic clock, for durations.
        interruption: asks for the end.
        say: is told in sentences what a person may want to know.

    Raises:
        ResourceError, StageError, ArtifactError, OSError: as their names say.
    """
    service, spec = resource.service, resource.service.spec
    final = output or default_output(service.metadata.name)
    final.parent.mkdir(parents=True, exist_ok=True)
    source = _source(resource, data)
    key = train_key(spec, source.sha256)
    reading = {"data_file": "local", "data": spec.data, "task": spec.task}

    def run(work: TrainWork | CompressWork, key: str, folder: Path) -> Finished:
        context = _context(folder, source, clock, _Told(observe, say, interruption))
        return _run(_order(resource, work, key, folder), folder, context)

    train = TrainWork(
        **reading,
        model=spec.model,
        training=spec.training.hyperparameters,
        checkpoint=spec.training.checkpoint,
        compressed=spec.compression is not None,
        compressed_metric=None if spec.compression is None else spec.compression.metric,
    )
    if spec.compression is None:
        return run(train, key, final)
    trained = run(train, key, final.with_name(final.name + TRAINED_SUFFIX))
    compress = CompressWork(
        **reading, parent=str(trained.folder), parent_digest=trained.success.digest, compression=spec.compression
    )
    return run(compress, compress_key(key, spec.compression), final)


def compress_locally(
    resource: Resource,
    *,
    trained: Path,
    data: Any,
    output: Path,
    observe: Observer,
    clock: Clock = time.perf_counter,
    interruption: Interruption | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Finished:
    """Compress a model that was trained before, as ``spec.compression`` says.

    One that was interrupted goes on after the last network that it had tuned, which lies beside the output.

    Args:
        resource: what it was trained of, with the compression.
        trained: the folder of its artifact, which stays as it is.
        data: what it was trained on; as for ``run_locally``.
        output: the folder of the compressed artifact.
        observe: is told of progress.
        clock: a monotonic clock, for durations.
        interruption: asks for the end.
        say: is told in sentences what a person may want to know.

    Raises:
        ResourceError: no compression is asked for, or the folder holds a model that cannot be its parent, such as one
            of other data.
        StageError, ArtifactError, OSError: as their names say.
    """
    spec = resource.service.spec
    if spec.compression is None:
        raise ResourceError("spec.compression is not set, so nothing says how to compress: set its steps")
    if trained.resolve() == output.resolve():
        raise ResourceError(f"--output {output} is where the trained model lies: name another folder")
    try:
        parent = load_artifact(trained)
    except ArtifactError as error:
        raise ArtifactError(f"--input {trained} is not the folder of a trained model: {error}") from None
    if parent.manifest.stage != "train":
        raise ResourceError(
            f"--input {trained} holds a model that was compressed before: name the folder of the trained one,"
            f" mostly {trained}{TRAINED_SUFFIX}"
        )
    source = _source(resource, data)
    work = CompressWork(
        data_file="local",
        data=spec.data,
        task=spec.task,
        parent=str(trained),
        parent_digest=parent.digest,
        compression=spec.compression,
    )
    output.parent.mkdir(parents=True, exist_ok=True)
    order = _order(resource, work, compress_key(parent.manifest.key, spec.compression), output)
    try:
        return _run(order, output, _context(output, source, clock, _Told(observe, say, interruption)))
    except (DataError, StorageError) as error:
        if error.reason not in _OTHER_PARENT:
            raise
        # On a cluster the spec would have to train again; here a wrong folder or file was named.
        name = resource.service.metadata.name
        raise ResourceError(
            f"--input {trained} holds a model that was not trained on this data, or not as {name} reads it: name the"
            " folder of the model that was, or the data that it was trained on with --data"
        ) from error


def compress(
    resource: str | Path | Mapping[str, Any],
    trained: str | Path,
    data: Any = None,
    output: str | Path | None = None,
) -> Predictor:
    """Compress a model that was trained before, and load the result.

    Args:
        resource: path of a YAML file with the ModelService, or the object itself; ``spec.compression`` says how.
        trained: the folder of the trained model's artifact.
        data: what it was trained on, as for ``train``: the same test rows judge.
        output: the folder of the compressed artifact. Default: ``out/<name>``.

    Raises:
        ResourceError: the ModelService is not valid, asks for no compression, or the folder holds no model that was
            trained of it on this data.
        DataError: the data cannot be read.
        StageError: it cannot succeed as it was asked for.
        ArtifactError: a folder holds something else than an artifact.
    """
    asked = read_resource(resource)
    with _shown_to_people() as listeners:
        finished = compress_locally(
            asked,
            trained=input_folder(trained),
            data=data,
            output=default_output(asked.service.metadata.name) if output is None else output_folder(output),
            observe=announce(listeners, time.perf_counter),
        )
    return Predictor.load(finished.folder, digest=finished.success.digest)


def train(
    resource: str | Path | Mapping[str, Any],
    data: Any = None,
    output: str | Path | None = None,
) -> Predictor:
    """Train a ModelService and load the result.

    Args:
        resource: path of a YAML file with a ModelService, or the object itself.
        data: a DataFrame, a pyarrow Table, an object of columns or arrays, or the path of a file. Default: what
            ``spec.data.uri`` names, or the ConfigMap that stands in the same file.
        output: the artifact's folder. Default: ``out/<name>``. Where a compression is asked for, the model before it
            is put beside, as ``<name>.trained``.

    Raises:
        ResourceError: the ModelService is not valid, or its data is not there.
        DataError: nothing can be learned from the data.
        StageError: it cannot succeed as it was asked for.
        ArtifactError: the output folder holds something else than an artifact.
    """
    with _shown_to_people() as listeners:
        finished = run_locally(
            read_resource(resource),
            data=data,
            output=None if output is None else output_folder(output),
            observe=announce(listeners, time.perf_counter),
        )
    return Predictor.load(finished.folder, digest=finished.success.digest)


@contextmanager
def _shown_to_people() -> Iterator[list[Listener]]:
    """A bar in a notebook or on a terminal, on stderr there; nothing where nobody looks."""
    if (in_cell := notebook_bar()) is not None:
        yield [in_cell]
    else:
        with bar_for_people(sys.stderr) as shown:
            yield [shown.bar] if shown else []


def output_folder(output: str | Path) -> Path:
    """The folder of ``--output``.

    Raises:
        ResourceError: it has no name, or is the address of another store, of which a path makes a folder named ``s3:``.
    """
    if "://" in str(output):
        raise ResourceError(
            f"--output {output}: a model is trained into a folder here: name one, and copy it from there"
        )
    folder = Path(output)
    if folder.name in {"", ".."} and str(output):
        folder = folder.resolve()  # as in `--output .`
    if not folder.name:
        raise ResourceError(f"--output {str(output)!r} is no folder that a model can be put into: name one")
    return folder


def input_folder(trained: str | Path) -> Path:
    """The folder of ``--input``.

    Raises:
        ResourceError: it is the address of another store.
    """
    if "://" in str(trained):
        raise ResourceError(f"--input {trained}: a model is read from a folder here: copy it into one, and name that")
    return Path(trained)


class _Told(NamedTuple):
    """Who hears of a stage, and may end it."""

    observe: Observer
    say: Callable[[str], None]
    interruption: Interruption | None


def _context(folder: Path, source: Source, clock: Clock, told: _Told) -> Context:
    return Context(
        source=lambda: source,
        observe=told.observe,
        watch=Stopwatch(clock),
        checkpoints=ForgivingCheckpoints(open_checkpoints(folder, scratch=str(os.getpid())), told.say),
        interruption=told.interruption or Interruption(KeyboardInterrupt),
        say=told.say,
    )


def _order(resource: Resource, work: TrainWork | CompressWork, key: str, folder: Path) -> WorkOrder:
    metadata = resource.service.metadata
    return WorkOrder(name=metadata.name, namespace=metadata.namespace, key=key, artifact=str(folder), work=work)


def _run(order: WorkOrder, folder: Path, context: Context) -> Finished:
    store = open_store(folder, scratch=str(os.getpid()))
    store.prepare()
    produced = stage_named(order.work.stage).run(order, context)
    with context.watch.step("store"):
        digest = publish(produced, store, context.checkpoints)
    return Finished(folder=folder, success=produced.success(digest, context.watch.seconds), produced=produced)


def _source(resource: Resource, data: Any) -> Source:
    settings = resource.service.spec.data
    options = FileOptions.of(settings)
    if data is None and settings.uri is not None:
        return read_objects(open_objects(settings.uri), format=settings.format_of(settings.uri), options=options)
    if data is None:
        key, content = resource.config_map_data()
        return read_source(content, format=settings.format_of(key), options=options, field="spec.data.configMap")
    if isinstance(data, str | Path):
        return read_file(Path(data), format=settings.format_of(str(data)), options=options, field="--data")
    return from_frame(data)
