"""``spec.model.auto``, and what leaving ``spec.model`` out means: a blend of models for tables."""

import time
from dataclasses import replace
from typing import Final

from modelservice.contract.model import Auto
from modelservice.contract.networks import MultilayerPerceptron
from modelservice.contract.training import Hyperparameters
from modelservice.families.base import TABLES_ONLY, Fitted, Observer
from modelservice.families.perceptron import fit_stream
from modelservice.modalities.base import Dataset
from modelservice.training.checkpointing import BEGINS_ANEW, Checkpointing

_NETWORK_ALONE: Final = "auto is the network alone, since the others of its models need all rows at once"


class Automatic:
    """The family ``auto``."""

    name = "auto"

    def unsuited(self, *, modality: str, task: str) -> str | None:  # noqa: ARG002 - a member of the seam
        """It takes tables."""
        return None if modality == "Table" else TABLES_ONLY

    def fit(
        self,
        settings: Auto,
        dataset: Dataset,
        training: Hyperparameters,
        *,
        observe: Observer,
        checkpointing: Checkpointing = BEGINS_ANEW,
    ) -> Fitted:
        """See ``Family.fit``."""
        if dataset.stream is not None:
            network = fit_stream(MultilayerPerceptron(), dataset, training, observe, checkpointing)
            return replace(network, notes=(_NETWORK_ALONE, *network.notes))
        import numpy as np  # noqa: PLC0415
        import torch  # noqa: PLC0415 - takes seconds to import

        from modelservice.families.blend import fit_blend  # noqa: PLC0415
        from modelservice.families.candidates import CANDIDATES, LearnedRows  # noqa: PLC0415
        from modelservice.families.fit_rows import fit_rows  # noqa: PLC0415
        from modelservice.families.onnx_graph import Graph  # noqa: PLC0415
        from modelservice.families.scikit import libraries  # noqa: PLC0415

        rows = fit_rows(dataset)
        learned = LearnedRows(
            features=rows.features.astype(np.float32),
            values=rows.values,
            classes=len(dataset.labels),
            weights=rows.weights,
            groups=rows.groups,
        )
        found = fit_blend(
            CANDIDATES,
            learned,
            settings,
            seed=training.seed,
            observe=observe,
            clock=time.perf_counter,
            checkpointing=checkpointing,
        )
        graph = Graph()
        found.blend.append_to(graph)
        return Fitted(
            onnx=graph.model(shape=dataset.shape, width=found.blend.width),
            predict=found.blend.predict,
            parameters=found.blend.parameters,
            libraries={**libraries(), "torch": str(torch.__version__)},
            notes=found.notes,
            models=found.models,
        )
