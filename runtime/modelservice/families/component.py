"""A fitted model that can stand alone as ``model.onnx``, or be one of several in it.

What a family offers to whoever blends models: a function that fits on arrays and gives a ``Component``. To join some::

    graph = Graph()
    outputs = [one.append_to(graph.part(f"{position}")) for position, one in enumerate(components)]
    graph.add("Mean", *outputs)
    content = graph.model(shape=shape, width=width)

Each output is float32 [rows, width], the same as ``predict`` gives. The functions, which take float32 features
[rows, width] and class codes, or numbers of any unit where ``classes`` is 0, are ``forest.fit_forest``,
``boosting.fit_boosting`` and ``kernel_ridge.fit_kernel_ridge``.
"""

from collections.abc import Mapping
from typing import Protocol

from modelservice.families.base import Fitted
from modelservice.families.onnx_graph import Graph
from modelservice.modalities.base import Features
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


def as_fitted(
    component: Component, *, inputs: int, libraries: Mapping[str, str], notes: tuple[str, ...] = ()
) -> Fitted:
    """A component that stands alone.

    Args:
        component: the fitted model.
        inputs: numbers of an encoded row.
        libraries: see ``Fitted``.
        notes: see ``Fitted``.
    """
    graph = Graph()
    component.append_to(graph)
    return Fitted(
        onnx=graph.model(shape=(inputs,), width=component.width),
        predict=component.predict,
        parameters=component.parameters,
        libraries=libraries,
        notes=notes,
    )
