"""``compression.json``: what each setting of a compression came to, size beside metric."""

from typing import Annotated, Literal

from pydantic import Field, FiniteFloat

from modelservice.contract.base import Tolerant
from modelservice.contract.documents import Document


class Tried(Tolerant):
    """A model on the way.

    Attributes:
        name: what was done, such as prune.
        parameters, nonzero, multiply_adds: stored values, those that are not 0, and the products of one row; None where
            the model is no network of this project.
        bytes: of its ``model.onnx``.
        metric: the primary metric on the validation rows.
        chosen: whether it is what the steps led to, and the test rows judged.
    """

    name: str
    parameters: int | None = None
    nonzero: int | None = None
    multiply_adds: int | None = None
    bytes: int
    metric: FiniteFloat
    chosen: bool = False


class Sizes(Document):
    """All models on the way, the one as it was trained first; ``metric`` names what they are compared by."""

    kind: Literal["Sizes"] = "Sizes"
    metric: str
    tried: Annotated[tuple[Tried, ...], Field(min_length=1)]
