"""``spec.model.kernelRidge``: ridge regression in the space of an RBF kernel, in closed form."""

from importlib.metadata import version

from modelservice.contract.estimators import KernelRidge
from modelservice.contract.training import Hyperparameters
from modelservice.families.base import TABLES_ONLY, Fitted, Observer
from modelservice.modalities.base import Dataset
from modelservice.training.checkpointing import BEGINS_ANEW, Checkpointing


class Ridge:
    """The family ``kernelRidge``."""

    name = "kernelRidge"

    def unsuited(self, *, modality: str, task: str) -> str | None:  # noqa: ARG002 - a member of the seam
        """It takes tables."""
        return None if modality == "Table" else TABLES_ONLY

    def fit(
        self,
        settings: KernelRidge,
        dataset: Dataset,
        training: Hyperparameters,
        *,
        observe: Observer,
        checkpointing: Checkpointing = BEGINS_ANEW,  # noqa: ARG002 - it has no epochs
    ) -> Fitted:
        """See ``Family.fit``."""
        from modelservice.families.component import fit_dataset  # noqa: PLC0415 - takes a while to import
        from modelservice.families.kernel_regression import fit_kernel_ridge  # noqa: PLC0415

        return fit_dataset(
            fit_kernel_ridge,
            settings,
            dataset,
            libraries={name: version(name) for name in ("numpy", "scipy", "onnx")},
            seed=training.seed,
            observe=observe,
            keeping_back=self.name,
        )
