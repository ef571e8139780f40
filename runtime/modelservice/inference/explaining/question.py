"""What a model is asked so that its answers for rows are explained, and what follows from what it says."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, Final

import numpy as np

from modelservice.contract.signature import Output, Signature
from modelservice.inference.explaining.plans import Plan, plan, plan_occlusion
from modelservice.modalities.base import Rows, merge_rows
from modelservice.modalities.parts import Parts
from modelservice.modalities.tensor.encoder import NAME as TENSOR
from modelservice.tasks import served_task_of
from modelservice.tasks.base import Array

EVALUATIONS: Final = 1024
"""Rows that the model answers for each explained one, unless another number is said."""


class Question:
    """All coalitions of all rows, those of the first row first.

    Attributes:
        size: how many rows the model is asked.
        bytes: what they take, about.
    """

    def __init__(self, rows: Sequence[Parts], *, evaluations: int = EVALUATIONS, seed: int = 0) -> None:
        """Plan it.

        Args:
            rows: to be explained.
            evaluations: most of each.
            seed: of random orders.

        Raises:
            ValueError: a row takes more; says how many.
        """
        plans: dict[int, Plan] = {}
        for parts in rows:
            if parts.count not in plans:
                try:
                    plans[parts.count] = _plan(parts, evaluations, seed)
                except ValueError as error:
                    raise ValueError(f"{evaluations}; {parts.count} {parts.noun} need {error}") from None
        self._rows = rows
        self._plans = [plans[parts.count] for parts in rows]
        self._ends = list(accumulate(one.size for one in self._plans))
        self.size = self._ends[-1] if rows else 0
        self.bytes = sum(one.size * parts.size for one, parts in zip(self._plans, rows, strict=True))

    @property
    def method(self) -> str:
        """How contributions are found; there is one for each modality."""
        return self._plans[0].method

    @property
    def exact(self) -> bool:
        """Whether none of them is estimated."""
        return all(one.exact for one in self._plans)

    def asked(self) -> Rows:
        """What the model is asked, ``size`` rows."""
        return merge_rows([parts.shown(one.masks) for parts, one in zip(self._rows, self._plans, strict=True)])

    def row_of(self, index: int) -> int:
        """Which explained row one of these is of."""
        return bisect_right(self._ends, index)

    def explanations(self, raw: Array, signature: Signature, label: int | None = None) -> list[dict[str, Any]]:
        """An explanation of each row, for JSON.

        Args:
            raw: what the model said, [size, width].
            signature: of the model.
            label: number of the label whose probability is explained; None for the one that each row is answered with.
        """
        output, task = explained_output(signature.outputs), served_task_of(signature)
        found = []
        for parts, one, end in zip(self._rows, self._plans, self._ends, strict=True):
            answers = raw[end - one.size : end]
            chosen = int(task.decide(answers[one.whole, np.newaxis])[0]) if label is None else label
            said = answers[:, chosen].astype(np.float64)
            found.append(
                {
                    "output": output,
                    **({"label": signature.labels[chosen]} if signature.labels else {}),
                    "value": float(said[one.whole]),
                    "base": float(said[one.none]),
                    **parts.told(one.contributions(said[None])[0]),
                }
            )
        return found


def unexplainable(signature: Signature) -> str | None:
    """Why answers of a model are not explained, None where they are: one of its numbers has to be the answer."""
    if signature.modality == TENSOR:
        return "its inputs are tensors of numbers, of which no parts are known"
    if signature.width > 1 and not signature.labels:
        return f"it gives {signature.width} numbers, of which none is the answer"
    return None


def explained_output(outputs: tuple[Output, ...]) -> str:
    """The output of numbers: probabilities of labels, or the number itself."""
    return next((output.name for output in outputs if output.labels is not None), outputs[0].name)


def _plan(parts: Parts, evaluations: int, seed: int) -> Plan:
    if parts.additive:
        return plan(parts.count, evaluations=evaluations, seed=seed)
    return plan_occlusion(parts.count, evaluations=evaluations)
