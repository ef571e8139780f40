"""The pipeline without a cluster: the same ModelService, from a file or an object, on a laptop or in a notebook."""

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from modelservice.artifact.errors import ArtifactError
from modelservice.artifact.keys import read_keys
from modelservice.artifact.load import Artifact
from modelservice.artifact.sealing import PLAIN
from modelservice.artifact.stores import (
    ForgivingCheckpoints,
    NoCheckpoints,
    load_artifact,
    open_checkpoints,
    open_store,
)
from modelservice.contract.failure import DataError, StorageError
from modelservice.contract.keys import compress_key, fetch_key, pretrained_key, train_key
from modelservice.contract.locations import CLAIM_SCHEME
from modelservice.contract.places import ENCRYPTION_KEYS_ENV
from modelservice.contract.progress import Progress
from modelservice.contract.report import Success
from modelservice.contract.resource import ModelServiceSpec
from modelservice.contract.work_order import CompressWork, FetchWork, TrainWork, WorkOrder
from modelservice.modalities.base import FileOptions, Source
from modelservice.modalities.data_files import (
    file_of_bytes,
    files_in_store,
    files_of_sides,
    files_on_disk,
    side_field,
)
from modelservice.modalities.elsewhere import read_elsewhere
from modelservice.modalities.objects import open_objects
from modelservice.modalities.sources import from_frame, read_file, read_files, read_objects
from modelservice.stages.base import Context, Produced, not_named
from modelservice.stages.documents import Resource, ResourceError, default_output, read_resource
from modelservice.stages.fetching import named, read_copy, take_pretrained
from modelservice.stages.publishing import publish
from modelservice.stages.registry import stage_named
from modelservice.stages.shared_rows import settle_encoder
from modelservice.stages.stopwatch import Clock, Stopwatch
from modelservice.training.interruption import Interruption
from modelservice.training.notebook import notebook_bar
from modelservice.training.progress import Listener, announce, bar_for_people

if TYPE_CHECKING:
    from modelservice.inference.predictor import Predictor

Observer = Callable[[Progress], None]
Work = TrainWork | CompressWork | FetchWork

_CONFIG_MAP_FIELD: Final = "spec.data.configMap"
_NOTHING: Final[Mapping[str, Any]] = {}
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


@dataclass(frozen=True, kw_only=True)
class Together:
    """With which processes one trains: so many workers, of which this is ``rank``; inside ``join`` they train."""

    workers: int = 1
    rank: int = 0
    join: Callable[[], AbstractContextManager[object]] = nullcontext


def run_locally(
    resource: Resource,
    *,
    data: Any,
    output: Path | None,
    observe: Observer,
    given: Mapping[str, Any] = _NOTHING,
    artifact: Path | None = None,
    clock: Clock = time.perf_counter,
    interruption: Interruption | None = None,
    say: Callable[[str], None] = lambda _: None,
    together: Together = Together(),
    encoder: str | None = None,
) -> Finished:
    """Train a ModelService here, or fetch what was trained elsewhere, and compress it where that is asked for.

    A training that was interrupted goes on from its last checkpoint, which lies beside the output.

    Args:
        resource: what to train.
        data: the path of a file (docs/tables.md lists the formats), a DataFrame, a pyarrow Table, an object of columns
            or arrays, or None for what ``spec.data.uri`` names, or the ConfigMap that stands in the same file.
        given: the same for ``spec.data.split.files``, by the name of the side; asked for where ``data`` is given.
        artifact: a copy of what ``spec.model.artifact`` names, None for what lies there.
        output: the artifact's folder; an artifact that stands there is replaced when the new one is complete.
        observe: is told of progress.
        clock: a monotonic clock, for durations.
        interruption: asks for the end.
        say: is told in sentences what a person may want to know.
        together: with which other processes it is trained; they do not compress.
        encoder: address of the service that ``spec.model.encoder.service`` names.

    Raises:
        ResourceError, StageError, ArtifactError, OSError: as their names say.
    """
    service, spec = resource.service, _with_encoder(resource.service.spec, encoder)
    _check_keys(resource)
    final = output or default_output(service.metadata.name)
    final.parent.mkdir(parents=True, exist_ok=True)
    _check_used(resource, data=data, artifact=artifact)
    source = _source(resource, data, given) if spec.reads_data else None
    reading = {"data_file": "local", "data": spec.data, "task": spec.task}

    def run(work: Work, key: str, folder: Path) -> Finished:
        told = _Told(observe, say, interruption) if together.rank == 0 else _Told(_nobody, _nobody, interruption)
        context = _context(folder, source, clock, told)
        order = _order(resource, work, key, folder)
        if isinstance(work, FetchWork):
            context = replace(context, fetch=partial(_read, order, work, artifact))
        if together.rank:
            context = replace(context, checkpoints=NoCheckpoints())
        return _run(order, folder, context, stores=together.rank == 0)

    first: Work
    if spec.fetched is not None:
        first = FetchWork(source=spec.fetched, field=spec.fetched_field)
        key = fetch_key(spec.fetched, source.sha256 if source else None)
    elif spec.pretrained is not None:
        first, key = FetchWork(pretrained=spec.pretrained, field=spec.fetched_field), pretrained_key(spec.pretrained)
    else:
        first = TrainWork(
            **reading,
            workers=together.workers,
            model=spec.model,
            training=spec.training.hyperparameters,
            checkpoint=spec.training.checkpoint,
            compressed=spec.compression is not None,
            compressed_metric=None if spec.compression is None else spec.compression.metric,
            encoder=encoder,
        )
        key = train_key(spec, source.sha256 if source else "")
    if spec.compression is None or not spec.compressed:
        with together.join():
            return run(first, key, final)
    with together.join():
        trained = run(first, key, final.with_name(final.name + TRAINED_SUFFIX))
    if together.rank:
        return trained
    compress = CompressWork(
        **reading, parent=str(trained.folder), parent_digest=trained.success.digest, compression=spec.compression
    )
    return run(compress, compress_key(key, spec), final)


def _with_encoder(spec: ModelServiceSpec, address: str | None) -> ModelServiceSpec:
    """The spec with the digest of the encoder that answers at an address.

    Raises:
        ResourceError: one is named and nobody says where it answers, or the other way round.
        StageError: what answers there is none.
        PassingError: nobody does, or another one.
    """
    service = spec.shared_encoder
    if service is None:
        if address is not None:
            raise ResourceError("--encoder: spec.model.encoder.service is not set, so nobody is asked: leave it out")
        return spec
    if address is None:
        raise ResourceError(
            f"spec.model.encoder.service names {service.name}: start it with modelservice serve, and say with --encoder"
            " (encoder in Python) where it answers, such as http://localhost:8081"
        )
    return spec.with_encoder(settle_encoder(service, address).digest)


def _read(order: WorkOrder, work: FetchWork, copy: Path | None) -> Artifact:
    """What is to be fetched, or the copy of it."""
    if work.pretrained is not None:
        return take_pretrained(order, work)
    return read_elsewhere(named(work)) if copy is None else read_copy(copy, work)


def compress_locally(
    resource: Resource,
    *,
    trained: Path,
    data: Any,
    output: Path,
    observe: Observer,
    given: Mapping[str, Any] = _NOTHING,
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
        given: as for ``run_locally``.
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
    _check_keys(resource)
    if trained.resolve() == output.resolve():
        raise ResourceError(f"--output {output} is where the trained model lies: name another folder")
    try:
        parent = load_artifact(trained)
    except ArtifactError as error:
        raise ArtifactError(f"--input {trained} is not the folder of a trained model: {error}") from None
    if parent.manifest.stage == "compress":
        raise ResourceError(
            f"--input {trained} holds a model that was compressed before: name the folder of the trained one,"
            f" mostly {trained}{TRAINED_SUFFIX}"
        )
    source = _source(resource, data, given)
    work = CompressWork(
        data_file="local",
        data=spec.known_data,
        task=spec.task,
        parent=str(trained),
        parent_digest=parent.digest,
        compression=spec.compression,
    )
    output.parent.mkdir(parents=True, exist_ok=True)
    order = _order(resource, work, compress_key(parent.manifest.key, spec), output)
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
    *,
    validation: Any = None,
    test: Any = None,
) -> "Predictor":
    """Compress a model that was trained before, and load the result.

    Args:
        resource: path of a YAML file with the ModelService, or the object itself; ``spec.compression`` says how.
        trained: the folder of the trained model's artifact.
        data: what it was trained on, as for ``train``: the same test rows judge.
        output: the folder of the compressed artifact. Default: ``out/<name>``.
        validation: as for ``train``.
        test: as for ``train``.

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
            given=sides_given(validation, test),
            output=default_output(asked.service.metadata.name) if output is None else output_folder(output),
            observe=announce(listeners, time.perf_counter),
        )
    return _loaded(finished)


def train(
    resource: str | Path | Mapping[str, Any],
    data: Any = None,
    output: str | Path | None = None,
    *,
    validation: Any = None,
    test: Any = None,
    artifact: str | Path | None = None,
    encoder: str | None = None,
) -> "Predictor":
    """Train a ModelService and load the result, in this process whatever ``spec.training.workers`` says.

    Args:
        resource: path of a YAML file with a ModelService, or the object itself.
        data: a DataFrame, a pyarrow Table, an object of columns or arrays, or the path of a file. Default: what
            ``spec.data.uri`` names, or the ConfigMap that stands in the same file.
        output: the artifact's folder. Default: ``out/<name>``. Where a compression is asked for, the model before it
            is put beside, as ``<name>.trained``.
        validation: rows that choose the best epoch, in the same form as ``data``, where ``spec.data.split.files`` names
            such files.
        test: rows that only measure the result, in the same way.
        artifact: folder with a copy of what ``spec.model.artifact`` names. Default: it is fetched from there.
        encoder: address of the service that ``spec.model.encoder.service`` names.

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
            given=sides_given(validation, test),
            artifact=None if artifact is None else Path(artifact),
            output=None if output is None else output_folder(output),
            observe=announce(listeners, time.perf_counter),
            encoder=encoder,
        )
    return _loaded(finished, encoder)


def _loaded(finished: Finished, encoder: str | None = None) -> "Predictor":
    from modelservice.inference.predictor import Predictor  # noqa: PLC0415 - no first step waits for explanations

    return Predictor.load(finished.folder, digest=finished.success.digest, encoder=encoder)


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


def _nobody(_: object) -> None:
    """Nobody hears it."""


class _Told(NamedTuple):
    """Who hears of a stage, and may end it."""

    observe: Observer
    say: Callable[[str], None]
    interruption: Interruption | None


def _check_used(resource: Resource, *, data: Any, artifact: Path | None) -> None:
    """Refuse what would not be read, and what cannot be from here.

    Raises:
        ResourceError: says which.
    """
    spec = resource.service.spec
    if spec.fetched is None and artifact is not None:
        raise ResourceError("--artifact is a copy of what spec.model.artifact names, which is not set")
    if data is not None and not spec.reads_data:
        raise ResourceError(f"--data: {spec.fetched_field} was trained elsewhere, and reads no data: leave it out")
    if artifact is None and spec.fetched is not None and spec.fetched.uri.startswith(f"{CLAIM_SCHEME}:"):
        raise ResourceError(
            f"{spec.fetched_field}.uri is a claim of a cluster: copy its folder here, and name it with --artifact"
        )


def _context(folder: Path, source: Source | None, clock: Clock, told: _Told) -> Context:
    return Context(
        source=not_named if source is None else lambda: source,
        observe=told.observe,
        watch=Stopwatch(clock),
        checkpoints=ForgivingCheckpoints(open_checkpoints(folder, scratch=str(os.getpid())), told.say),
        interruption=told.interruption or Interruption(KeyboardInterrupt),
        say=told.say,
    )


def _order(resource: Resource, work: Work, key: str, folder: Path) -> WorkOrder:
    metadata = resource.service.metadata
    return WorkOrder(name=metadata.name, namespace=metadata.namespace, key=key, artifact=str(folder), work=work)


def _run(order: WorkOrder, folder: Path, context: Context, *, stores: bool = True) -> Finished:
    store = open_store(folder, scratch=str(os.getpid()))
    if stores:
        store.prepare()
    produced = stage_named(order.work.stage).run(order, context)
    if not stores:
        return Finished(folder=folder, success=produced.success(produced.digest, {}, order=order), produced=produced)
    with context.watch.step("store"):
        digest = publish(produced, store, context.checkpoints)
    success = produced.success(digest, context.watch.seconds, order=order)
    return Finished(folder=folder, success=success, produced=produced)


def _check_keys(resource: Resource) -> None:
    """What is to be encrypted is not stored so that anybody can read it.

    Raises:
        ResourceError: encryption is asked for, and no key is given.
        StorageError: what is given is no key.
    """
    artifacts = resource.service.spec.artifacts
    if artifacts is not None and artifacts.encryption is not None and read_keys(os.environ).form is PLAIN:
        raise ResourceError(
            "spec.artifacts.encryption is set, and Secrets are not read here: name a file with the key with"
            f" --encryption-key, or in {ENCRYPTION_KEYS_ENV}; or leave encryption out"
        )


def sides_given(validation: Any, test: Any) -> dict[str, Any]:
    """What is given for single sides, by their names, in the order of their rows."""
    return {side: one for side, one in (("validation", validation), ("test", test)) if one is not None}


def _source(resource: Resource, data: Any, given: Mapping[str, Any]) -> Source:
    settings = resource.service.spec.known_data
    options, wanted = FileOptions.of(settings), settings.split.given_files
    _check_given(wanted, given, data)
    if data is None and settings.uri is not None:
        beside = files_of_sides(wanted, lambda uri, side: files_in_store(open_objects(uri, field=side_field(side))))
        form = settings.format_of(settings.uri)
        return read_objects(open_objects(settings.uri), format=form, options=options, beside=beside)
    if data is None:
        key, content = resource.config_map_data()
        beside = files_of_sides(
            wanted, lambda key, side: [file_of_bytes(*resource.config_map_data(key), field=side_field(side))]
        )
        files = [file_of_bytes(key, content, field=_CONFIG_MAP_FIELD), *beside]
        return read_files(files, format=settings.format_of(key), options=options)
    if isinstance(data, str | Path):
        beside = files_of_sides(given, lambda path, side: files_on_disk(Path(path), field=f"--{side}-data"))
        form = settings.format_of(str(data))
        return read_file(Path(data), format=form, options=options, field="--data", beside=beside)
    return from_frame(data, given)


def _check_given(wanted: Mapping[str, str], given: Mapping[str, Any], data: Any) -> None:
    """A laptop trains by the same split as a cluster does.

    Raises:
        ResourceError: rows of a side are given and the spec names no files of it, or the other way round; or they are
            given in another form than the data.
    """
    asked = data is not None
    if asked and len({isinstance(one, str | Path) for one in (data, *given.values())}) > 1:
        raise ResourceError(f"data and {' and '.join(given)} must be paths all, or tables all: read the files before")
    for side in ("validation", "test"):
        option = f"--{side}-data ({side} in Python)"
        if side in given and side not in wanted:
            message = f"{side_field(side)} is not set: set it to what the cluster is to read, or leave {option} out"
            raise ResourceError(message)
        if side in given and not asked:
            raise ResourceError(f"{option} goes with --data (data in Python): give both, or none")
        if asked and side in wanted and side not in given:
            raise ResourceError(f"{side_field(side)} names {wanted[side]}: give a copy of it with {option}")
