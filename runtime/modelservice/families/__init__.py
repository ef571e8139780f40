"""Families of models: what is trained, and how it becomes ``model.onnx``."""

from typing import Final

from modelservice.families.automatic import Automatic
from modelservice.families.base import Family
from modelservice.families.cnn import Cnn
from modelservice.families.decision_tree import Tree
from modelservice.families.encoder import EncoderFamily
from modelservice.families.gradient_boosting import Boosting
from modelservice.families.kernel_ridge import Ridge
from modelservice.families.logistic import Logistic
from modelservice.families.mlp import Mlp
from modelservice.families.random_forest import Forests
from modelservice.families.rnn import Rnn
from modelservice.families.svm import Svm
from modelservice.families.transformer import TransformerEncoder

FAMILIES: Final[tuple[Family, ...]] = (
    Mlp(),
    Cnn(),
    Logistic(),
    Svm(),
    Tree(),
    Forests(),
    Boosting(),
    Ridge(),
    Rnn(),
    TransformerEncoder(),
    EncoderFamily(),
    Automatic(),
)
"""In the order of ``spec.model``'s members, whose names they have."""
STREAMING: Final = ("mlp", "auto")
"""Those that learn from a ``Dataset.stream``; all others need all rows at once."""


def family_named(name: str) -> Family:
    """The family of ``spec.model``'s member.

    Raises:
        LookupError: no family has this name; the contract lets no such name through.
    """
    for family in FAMILIES:
        if family.name == name:
            return family
    raise LookupError(f"there is no family {name}, but {', '.join(family.name for family in FAMILIES)}")
