"""``spec.model.gradientBoosting``: trees that mend each other's errors, by scikit-learn."""

from modelservice.contract.estimators import GradientBoosting
from modelservice.contract.training import Hyperparameters
from modelservice.families.base import TABLES_ONLY, Fitted, Observer
from modelservice.modalities.base import Dataset
from modelservice.training.checkpointing import BEGINS_ANEW, Checkpointing


class Boosting:
    """The family ``gradientBoosting``."""

    name = "gradientBoosting"

    def unsuited(self, *, modality: str, task: str) -> str | None:  # noqa: ARG002 - a member of the seam
        """It takes tables."""
        return None if modality == "Table" else TABLES_ONLY

    def fit(
        self,
        settings: GradientBoosting,
        dataset: Dataset,
        training: Hyperparameters,
        *,
        observe: Observer,
        checkpointing: Checkpointing = BEGINS_ANEW,  # noqa: ARG002 - it has no epochs
    ) -> Fitted:
        """See ``Family.fit``."""
        from modelservice.families.boosting import fit_boosting  # noqa: PLC0415 - scikit-learn takes seconds to import
        from modelservice.families.component import fit_dataset  # noqa: PLC0415
        from modelservice.families.scikit import libraries  # noqa: PLC0415

        chooses = None if settings.rounds else self.name
        return fit_dataset(
            fit_boosting,
            settings,
            dataset,
            libraries=libraries(),
            seed=training.seed,
            observe=observe,
            keeping_back=chooses,
        )
