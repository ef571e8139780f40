"""The methods that rows of a model can be explained by."""

from typing import Any, Final

from modelservice.contract.signature import InputTensor, Signature
from modelservice.inference.engine import Differentiable, Engine, FileEngine
from modelservice.inference.explaining.plans import OCCLUSION, SHAPLEY
from modelservice.inference.explaining.slopes import METHODS
from modelservice.inference.explaining.tree_file import holds_trees
from modelservice.inference.explaining.tree_paths import TREE_PATHS
from modelservice.modalities.base import Encoder
from modelservice.modalities.parts import Conditions
from modelservice.modalities.tensors import describe, listed

_TORCH: Final = "; others need torch: spec.serving.engine: Torch"
_TREES: Final = f"; {TREE_PATHS} is of decisionTree, randomForest and gradientBoosting, and this model has no trees"


class Methods:
    """Methods of one model.

    Attributes:
        names: those that may be asked for, the usual one first; one alone needs no name.
    """

    def __init__(self, encoder: Encoder, engine: Engine, signature: Signature) -> None:
        self._labels = signature.labels
        self._images = any(isinstance(given, InputTensor) for given in signature.inputs)
        self._differentiable = isinstance(engine, Differentiable)
        others: tuple[str, ...] = ()
        if self._images:
            others = tuple(METHODS) if self._differentiable else ()
        elif isinstance(encoder, Conditions) and isinstance(engine, FileEngine) and holds_trees(engine.content):
            others = (TREE_PATHS,)
        usual = SHAPLEY if isinstance(encoder, Conditions) else OCCLUSION
        self.names = (usual, *others)

    def check(self, said: Any, label: int | None) -> None:
        """Refuse a method that rows of this model are not explained by.

        Args:
            said: its name, as it was asked for.
            label: number of the label that is explained, None where none is chosen.

        Raises:
            ValueError: it is none, or it explains one label and none was chosen.
        """
        if said not in self.names:
            remedy = self._remedy(said) if isinstance(said, str) else ""
            raise ValueError(f"method: {describe(said)}; expected {' or '.join(self.names)}{remedy}")
        if said in METHODS and label is None and self._labels:
            raise ValueError(f"label: {said} explains one label; expected one of {listed(self._labels)}")

    def _remedy(self, said: str) -> str:
        if self._images:
            return "" if self._differentiable else _TORCH
        if said == TREE_PATHS:
            return _TREES
        return f"; {said} is of images" if said in {OCCLUSION, *METHODS} else ""
