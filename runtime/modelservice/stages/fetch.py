"""The stage ``fetch``: what was made elsewhere, verified and taken over."""

from typing import Final

from modelservice.artifact.errors import ArtifactError
from modelservice.contract.failure import StageError
from modelservice.contract.work_order import FetchWork, WorkOrder
from modelservice.inference.predictor import Predictor
from modelservice.stages.base import Context, Produced


class FetchStage:
    """Read it, let its model answer a row, and keep it as it is: its digest stays the one that was asked for."""

    name = "fetch"

    def run(self, order: WorkOrder, context: Context) -> Produced:
        """Fetch an artifact; see ``Stage``."""
        work = order.work
        assert isinstance(work, FetchWork)  # noqa: S101 - the registry looks stages up by the work's own name
        with context.watch.step("fetch"):
            artifact = context.fetch()
        with context.watch.step("check"):
            if (encoder := artifact.manifest.encoder) is not None:
                message = (
                    f"{work.uri} is a head that asks the encoder {encoder.name}, which it does not hold: train it here,"
                    " with spec.model.encoder.service"
                )
                raise StageError("ModelUnsuited", message, field=work.field)
            try:
                Predictor.from_artifact(artifact)
                return Produced.of_artifact(artifact)
            except ArtifactError as error:
                message = f"{work.uri} cannot be served: {error}: name another artifact in {work.field}"
                raise StageError("ArtifactInvalid", message) from None


FETCH: Final = FetchStage()
