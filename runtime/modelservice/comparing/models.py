"""A model that is compared, with what it says of itself."""

from dataclasses import dataclass

from modelservice.artifact.load import Artifact
from modelservice.contract.evaluation import Evaluation
from modelservice.contract.manifest import METRICS_FILE
from modelservice.inference.predictor import Predictor
from modelservice.tasks import answer_alike, task_of
from modelservice.tasks.base import Task
from modelservice.tasks.metrics_document import MetricsDocument


class NotComparableError(ValueError):
    """Nothing can be said of two models; the text is for people, and another try would say it again."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """What answers of an artifact; ``name`` is what sentences call it, such as revision 3."""

    name: str
    artifact: Artifact
    predictor: Predictor

    @classmethod
    def of(cls, name: str, artifact: Artifact) -> "Model":
        """Load the model of an artifact.

        Raises:
            NotComparableError: it was packed, so nobody knows what it is good for; or it answers by an encoder alone.
            ArtifactError: it cannot be loaded.
        """
        if artifact.manifest.data is None or METRICS_FILE not in artifact.contents:
            raise NotComparableError(
                f"{name} was packed, not trained: it says neither on what nor how good it is, which is"
                " all that could be compared"
            )
        if (encoder := artifact.manifest.encoder) is not None:
            raise NotComparableError(
                f"{name} is a head that asks the encoder {encoder.name}, which does not answer here: ask both"
                " themselves, in the cluster"
            )
        return cls(name=name, artifact=artifact, predictor=Predictor.from_artifact(artifact))

    @property
    def task(self) -> Task:
        """What it learned, with its threshold where it has one."""
        return task_of(self.artifact.signature)

    @property
    def data(self) -> str:
        """The digest of what it learned from."""
        assert self.artifact.manifest.data is not None  # noqa: S101 - of a trained one
        return self.artifact.manifest.data.sha256

    @property
    def tested(self) -> Evaluation:
        """What was recorded of it on its test rows."""
        return self.artifact.document(METRICS_FILE, MetricsDocument).test


def check_alike(first: Model, second: Model) -> None:
    """Refuse two models that answer different questions.

    Raises:
        NotComparableError: names what differs.
    """
    one, other = first.artifact.signature, second.artifact.signature
    for what, values, same in (
        ("the target differs", (one.target, other.target), one.target == other.target),
        ("the task differs", (one.task, other.task), answer_alike(one.task, other.task)),
        ("the kind of data differs", (one.modality, other.modality), one.modality == other.modality),
        ("the classes differ", tuple(", ".join(each.labels) for each in (one, other)), one.labels == other.labels),
    ):
        if not same:
            said = f"{values[0]} of {first.name}, {values[1]} of {second.name}"
            raise NotComparableError(f"{what}, so nothing can be compared: {said}")
