"""What a decision is made from, as one value."""

from dataclasses import dataclass
from datetime import datetime

from modelservice.contract.artifacts import Artifacts
from modelservice.contract.resource import ModelServiceSpec
from modelservice_operator.config import Settings
from modelservice_operator.domain.data import DataState
from modelservice_operator.domain.judging import Readings
from modelservice_operator.domain.observe import Observed
from modelservice_operator.domain.stores import settled_artifacts


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What is asked for, by whom, of which data, what is there, how its pods answer, and when that is decided.

    ``may_follow``: whether it is the turn of this ModelService to be rolled out with what a newer operator brings.
    """

    spec: ModelServiceSpec
    observed: Observed
    data: DataState
    settings: Settings
    now: datetime
    readings: Readings
    may_follow: bool = True

    @property
    def artifacts(self) -> Artifacts:
        """Where new artifacts go."""
        return settled_artifacts(self.spec, self.settings)
