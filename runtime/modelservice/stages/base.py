"""What a stage of the pipeline answers: from a work order to an artifact that is not stored yet."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NoReturn, Protocol

from modelservice.artifact.files import document_bytes
from modelservice.artifact.load import Artifact
from modelservice.artifact.stores import Checkpoints, NoCheckpoints
from modelservice.contract.digests import sha256
from modelservice.contract.manifest import ARCHITECTURE_FILE, METRICS_FILE, CompressionSummary, Manifest
from modelservice.contract.model import GRADIENT_FAMILIES
from modelservice.contract.progress import Progress
from modelservice.contract.report import BlendedModel, Success
from modelservice.contract.signature import Signature
from modelservice.contract.work_order import FetchWork, WorkOrder
from modelservice.modalities.base import Source
from modelservice.stages.stopwatch import Stopwatch
from modelservice.tasks.metrics_document import MetricsDocument
from modelservice.training.interruption import Interruption


def not_named() -> NoReturn:
    """In place of what an order does not name."""
    raise AssertionError("a stage asks for what its order does not name")


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a stage works with besides its order.

    Attributes:
        source: reads the data that the order names; may raise DataError, PassingError and OSError.
        observe: is told of progress.
        watch: measures the steps.
        checkpoints: keep what the stage came to so far, for the next process that does the same order. They raise
            nothing; what is read from them proves nothing.
        interruption: asks for the end; who keeps something to go on from puts it off until that is done.
        say: is told in sentences what a person may want to know who reads the log.
        fetch: reads the artifact that the order names, whose digest it is; may raise StageError and OSError.
    """

    source: Callable[[], Source]
    observe: Callable[[Progress], None]
    watch: Stopwatch
    checkpoints: Checkpoints = field(default_factory=NoCheckpoints)
    interruption: Interruption = field(default_factory=lambda: Interruption(KeyboardInterrupt))
    say: Callable[[str], None] = lambda _: None
    fetch: Callable[[], Artifact] = not_named


@dataclass(frozen=True, kw_only=True)
class Produced:
    """An artifact and what is said of it: produced by a stage, or found in a store.

    ``compression`` is that of the manifest with latencies, which only the process that compressed can tell.
    ``measured`` is None of what was packed; ``raw_manifest`` are the bytes of one that was written elsewhere.
    """

    manifest: Manifest
    files: Mapping[str, bytes]
    signature: Signature
    measured: MetricsDocument | None
    models: tuple[BlendedModel, ...] | None = None
    compression: CompressionSummary | None = None
    raw_manifest: bytes | None = None

    @classmethod
    def of_artifact(cls, artifact: Artifact) -> "Produced":
        """What lies in a store already.

        Raises:
            ArtifactError: a document of it is not valid.
        """
        return cls(
            manifest=artifact.manifest,
            files=artifact.contents,
            signature=artifact.signature,
            measured=artifact.document(METRICS_FILE, MetricsDocument) if METRICS_FILE in artifact.contents else None,
            raw_manifest=artifact.manifest_bytes,
        )

    @property
    def metrics(self) -> MetricsDocument:
        """How good it is, of what was trained."""
        assert self.measured is not None  # noqa: S101 - a training measures
        return self.measured

    @property
    def digest(self) -> str:
        """sha256 of the manifest as it is stored."""
        return sha256(self._raw)

    def as_artifact(self) -> Artifact:
        """The artifact as if it had been stored and loaded again."""
        return Artifact(digest=self.digest, manifest=self.manifest, manifest_bytes=self._raw, contents=dict(self.files))

    @property
    def _raw(self) -> bytes:
        return self.raw_manifest or document_bytes(self.manifest)

    def success(
        self,
        digest: str,
        seconds: Mapping[str, float],
        *,
        order: WorkOrder | None = None,
        stored_as: str | None = None,
    ) -> Success:
        """The report's account of it, once it is stored under ``digest``.

        ``order``: of what was fetched, whose manifest tells of another stage elsewhere. ``stored_as``: see ``Store``.
        """
        manifest = self.manifest
        return Success(
            stage=order.work.stage if order else manifest.stage,
            key=order.key if order else manifest.key,
            digest=digest,
            stored_as=stored_as,
            family=manifest.family,
            task=manifest.task,
            evaluation=self.measured.test if self.measured else None,
            data=manifest.data,
            parameters=manifest.parameters,
            artifact_bytes=sum(entry.size for entry in manifest.files.values()),
            compression=self.compression or manifest.compression,
            signature=self.signature,
            inputs_digest=self.signature.inputs_digest,
            seconds=dict(seconds),
            models=self.models,
            source=order.work.uri if order and isinstance(order.work, FetchWork) else None,
            encoder=manifest.encoder,
            onnx_only=manifest.family in GRADIENT_FAMILIES and ARCHITECTURE_FILE not in manifest.files,
        )


class Stage(Protocol):
    """One stage of the pipeline. Members are stateless values in ``stages.STAGES``."""

    name: str
    """As work orders and manifests name it, such as train."""

    def run(self, order: WorkOrder, context: Context) -> Produced:
        """Do what the order says; everything but storing.

        The same order and data give the same bytes.

        Raises:
            StageError: it cannot succeed as it was asked for; its subclasses say what it is about.
            OSError: a file system fails.
        """
