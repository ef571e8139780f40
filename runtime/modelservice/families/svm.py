"""``spec.model.svm``: support vector machines, by scikit-learn."""

from modelservice.contract.estimators import SupportVectorMachine
from modelservice.contract.training import Hyperparameters
from modelservice.families.base import TABLES_ONLY, Fitted, Observer
from modelservice.modalities.base import Dataset
from modelservice.training.checkpointing import BEGINS_ANEW, Checkpointing


class Svm:
    """The family ``svm``."""

    name = "svm"

    def unsuited(self, *, modality: str, task: str) -> str | None:  # noqa: ARG002 - a member of the seam
        """It takes tables."""
        return None if modality == "Table" else TABLES_ONLY

    def fit(
        self,
        settings: SupportVectorMachine,
        dataset: Dataset,
        training: Hyperparameters,
        *,
        observe: Observer,
        checkpointing: Checkpointing = BEGINS_ANEW,  # noqa: ARG002 - it has no epochs
    ) -> Fitted:
        """See ``Family.fit``."""
        from modelservice.families import machines  # noqa: PLC0415 - scikit-learn takes seconds to import

        return machines.fit(settings, dataset, seed=training.seed, observe=observe)
