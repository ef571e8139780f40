"""``spec.model.randomForest``: forests of classification and regression trees, by scikit-learn."""

from modelservice.contract.estimators import RandomForest
from modelservice.contract.training import Hyperparameters
from modelservice.families.base import TABLES_ONLY, Fitted, Observer
from modelservice.modalities.base import Dataset
from modelservice.training.checkpointing import BEGINS_ANEW, Checkpointing


class Forests:
    """The family ``randomForest``."""

    name = "randomForest"

    def unsuited(self, *, modality: str, task: str) -> str | None:  # noqa: ARG002 - a member of the seam
        """It takes tables."""
        return None if modality == "Table" else TABLES_ONLY

    def fit(
        self,
        settings: RandomForest,
        dataset: Dataset,
        training: Hyperparameters,
        *,
        observe: Observer,
        checkpointing: Checkpointing = BEGINS_ANEW,  # noqa: ARG002 - it has no epochs
    ) -> Fitted:
        """See ``Family.fit``."""
        from modelservice.families.component import fit_dataset  # noqa: PLC0415 - scikit-learn takes seconds to import
        from modelservice.families.forest import fit_forest  # noqa: PLC0415
        from modelservice.families.scikit import libraries  # noqa: PLC0415

        return fit_dataset(fit_forest, settings, dataset, libraries=libraries(), seed=training.seed, observe=observe)
