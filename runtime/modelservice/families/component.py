"""A fitted model that can stand alone as ``model.onnx``, or be one of several in it.

What a family offers to whoever blends models: a ``Fit``, a function on arrays that gives a ``Component``. They are
``forest.fit_forest``, ``boosting.fit_boosting`` and ``kernel_regression.fit_kernel_ridge``. To join some::

    graph = Graph()
    outputs = [one.append_to(graph.part(f"{place}")) for place, one in enumerate(components)]
    graph.add("Mean", *outputs)
    content = graph.model(shape=shape, width=width)
"""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from modelservice.families.base import Fitted, Observer
from modelservice.families.fit_rows import fit_rows
from modelservice.families.kept_back import said_of_groups
from modelservice.families.onnx_graph import Graph
from modelservice.modalities.base import Dataset, Features, Groups
from modelservice.tasks.base import Array


class Component(Protocol):
    """A fitted model."""

    @property
    def width(self) -> int:
        """Raw outputs of a row: a probability for each class, or the number."""

    @property
    def parameters(self) -> int:
        """Numbers that were fitted."""

    def predict(self, features: Features) -> Array:
        """Encoded rows float32 [rows, inputs] to raw outputs float32 [rows, width]."""

    def append_to(self, graph: Graph) -> str:
        """Write the nodes from the newest value of ``graph``, the rows, to raw outputs, and give their name back."""


class Fit(Protocol):
    """Fits a component on arrays."""

    def __call__(
        self,
        settings: Any,
        features: Features,
        values: NDArray[Any],
        *,
        classes: int,
        seed: int,
        observe: Observer,
        weights: NDArray[np.float64] | None = None,
        groups: Groups | None = None,
    ) -> Component:
        """Learn from all rows.

        Args:
            settings: what ``spec.model`` says of the family.
            features: encoded rows, float32 [rows, inputs].
            values: class codes int64 [rows], each class at least once, or numbers float64 [rows] of any unit.
            classes: number of classes, 0 for numbers.
            seed: of all that is drawn.
            observe: is told of progress.
            weights: how much each row counts, 1 on the mean [rows]; None where all count alike.
            groups: rows that are held back together, see ``Side``, by a fit that holds some back to choose by.

        Raises:
            StageError: it cannot succeed as it was asked for.
        """


def fit_dataset(
    fit: Fit,
    settings: Any,
    dataset: Dataset,
    *,
    libraries: Mapping[str, str],
    seed: int,
    observe: Observer,
    keeping_back: str | None = None,
) -> Fitted:
    """A component that stands alone, of training and validation rows together.

    Args:
        fit: of the component.
        settings: see ``Fit``.
        dataset: the rows.
        libraries: versions of those that decide the result, by name.
        seed: see ``Fit``.
        observe: see ``Fit``.
        keeping_back: the name of a family that keeps rows back to choose by; None of one that does not.

    Raises:
        StageError: see ``Fit``.
        DataError: see ``fit_rows``.
    """
    rows, classes = fit_rows(dataset), len(dataset.labels)
    notes = said_of_groups(keeping_back, rows.values, classes=classes, groups=rows.groups) if keeping_back else ()
    component = fit(
        settings,
        rows.features.astype(np.float32),
        rows.values,
        classes=classes,
        seed=seed,
        observe=observe,
        weights=rows.weights,
        groups=rows.groups,
    )
    graph = Graph()
    component.append_to(graph)
    return Fitted(
        onnx=graph.model(shape=dataset.shape, width=component.width),
        predict=component.predict,
        parameters=component.parameters,
        libraries=libraries,
        notes=notes,
    )
