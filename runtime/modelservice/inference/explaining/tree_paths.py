"""Rows of a served model that are explained by the paths that they take through its trees.

Of a single tree the path is told as it is; of one as of many, what each column adds, see ``tree_walk``.
"""

from functools import cached_property, lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from modelservice.contract.manifest import OUTPUT_NAME
from modelservice.contract.signature import Signature
from modelservice.inference.engine import Engine, FileEngine
from modelservice.inference.explaining.question import explained_output
from modelservice.inference.explaining.tree_file import Floats, Places, Trees, read_trees
from modelservice.inference.explaining.tree_walk import Output, add_up, walk
from modelservice.inference.onnx_engine import open_session
from modelservice.modalities.base import Encoder, Features, Rows
from modelservice.modalities.parts import Conditions
from modelservice.tasks import served_task_of

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

TREE_PATHS: Final = "TreePaths"
_AT_ONCE: Final = 2**18
"""Places in trees at which rows stand together: all of their paths are held, 4 bytes for each condition."""
_KEPT: Final = 4
"""Outputs whose expected answers are kept: 16 MB each, of the largest forest."""
_CLOSE: Final = 1e-4
"""The share that an answer may differ by from what is made of the trees: rounding to float32."""
_FACTS: Final = 4
"""Answer, label, value and base: the numbers of a row that come before those of its columns."""


class UnlikeAnswerError(Exception):
    """The trees that were read do not say what the model answers: nothing is explained by them."""


class TreePaths:
    """Explains rows of one model; safe to share between threads. Its trees are read when they are first asked for."""

    def __init__(self, encoder: Encoder, engine: Engine, signature: Signature) -> None:
        """Args: those of a model of which ``methods`` knows this method."""
        assert isinstance(encoder, Conditions)  # noqa: S101 - else the method is not known
        assert isinstance(engine, FileEngine)  # noqa: S101
        self._conditions, self._engine, self._signature = encoder, engine, signature
        self._encoder, self._decide = encoder, served_task_of(signature).decide
        self._names = [given.name for given in signature.inputs]
        self._expected = lru_cache(maxsize=_KEPT)(self._expected_of)

    @property
    def size(self) -> int:
        """Bytes of what is found of one row, at most."""
        return 8 * (_FACTS + len(self._names) + 1 + len(self._conditions.columns))

    @cached_property
    def _trees(self) -> Trees:
        return read_trees(self._engine.content, labels=len(self._signature.labels))

    def _expected_of(self, target: int) -> Floats:
        return self._trees.expected(target)

    @cached_property
    def _rest(self) -> "InferenceSession | None":
        return None if self._trees.rest is None else open_session(self._trees.rest)

    def run(self, features: Features, label: int | None) -> NDArray[Any]:
        """Follow encoded rows.

        Args:
            features: the rows, float32 [rows, width].
            label: which one is explained, None for the one that each row is answered with.

        Returns:
            float64 [rows, ...], for ``explanations``.

        Raises:
            NoTreesError: the model is not made of trees alone, or its file does not say enough.
            UnlikeAnswerError: the model's answers are not those of the trees.
        """
        trees, columns = self._trees, len(self._names)
        answers = self._engine.run(features)
        labels = self._decide(answers) if label is None else np.full(len(answers), label)
        raw = answers.astype(np.float64)
        found = np.zeros((len(raw), _FACTS + columns + 1))
        found[:, 0], found[:, 1] = raw[np.arange(len(raw)), labels], labels
        step = max(1, _AT_ONCE // len(trees.roots))
        for start in range(0, len(raw), step):
            part = slice(start, start + step)
            paths = walk(trees, features[part].astype(np.float64))
            self._check(paths[-1], raw[part])
            found[part, -1] = paths[-1][:, 0]
            for one in np.unique(labels[part]).tolist():
                own = np.flatnonzero(labels[part] == one)
                added = add_up(
                    trees,
                    [at[own] for at in paths],
                    self._output(one),
                    columns=self._conditions.columns,
                    expected=self._expected,
                )
                place = start + own
                found[place, 2], found[place, 3] = added.value, added.base
                found[place, _FACTS : _FACTS + added.contributions.shape[1]] = added.contributions
        return np.concatenate([found, features], axis=1) if trees.single else found

    def explanations(self, raw: NDArray[Any], rows: Rows) -> list[dict[str, Any]]:
        """An explanation of each row, for JSON.

        Args:
            raw: what ``run`` said of the rows.
            rows: before they were encoded.
        """
        trees, output, end = self._trees, explained_output(self._signature.outputs), _FACTS + len(self._names)
        cells = self._encoder.cells(rows) if trees.single else []
        found: list[dict[str, Any]] = []
        for place, numbers in enumerate(raw.tolist()):
            answer, label, value, base = numbers[:_FACTS]
            labels = {"label": self._signature.labels[int(label)]} if self._signature.labels else {}
            one = {"output": output, **labels, "answer": answer, "scale": str(trees.scale)}
            contributions = dict(zip(self._names, numbers[_FACTS:end], strict=True))
            one |= {"value": value, "base": base, "contributions": contributions}
            if trees.single:
                one |= self._path(int(numbers[end]), numbers[end + 1 :], cells[place], self._output(int(label)))
            found.append(one)
        return found

    def _output(self, label: int) -> Output:
        if self._signature.labels and len(self._trees.factors) == 1:
            return Output(0, 1.0 if label else -1.0)
        return Output(label)

    def _check(self, leaves: Places, raw: Floats) -> None:
        """Compare answers with what is made of the leaves, so that nothing is explained that was not answered."""
        made: Any = self._trees.sums(leaves)
        # Of a number offset and sum may nearly cancel, and both were rounded.
        offsets = self._trees.offsets
        size: Any = 1.0 if self._signature.labels else np.abs(made - offsets) + np.abs(offsets)
        if self._rest is not None:
            given = self._rest.get_inputs()[0].name
            made = self._rest.run([OUTPUT_NAME], {given: made.astype(np.float32)})[0]
        if (np.abs(made - raw) > _CLOSE * size).any():
            raise UnlikeAnswerError(f"trees come to {made[:1].tolist()} where the model answers {raw[:1].tolist()}")

    def _path(self, leaf: int, features: list[float], cells: list[Any], output: Output) -> dict[str, Any]:
        """The conditions from the root to a leaf, and how many rows the tree was grown from."""
        trees, nodes = self._trees, [leaf]
        while (above := int(trees.above[nodes[-1]])) >= 0:
            nodes.append(above)
        nodes.reverse()
        steps = []
        for at, after in pairwise(nodes):
            feature = int(trees.feature[at])
            told = self._conditions.told(feature, float(trees.threshold[at]), value=features[feature], cells=cells)
            steps.append({**told, **self._node(after, output)})
        return {"rows": self._node(nodes[0], output)["rows"], "path": steps}

    def _node(self, node: int, output: Output) -> dict[str, Any]:
        """How many rows of training came to a node, and what is expected there."""
        trees, target = self._trees, output.target
        rows = float(trees.rows[node])
        expected = output.sign * (self._expected(target)[node] * trees.factors[target] + trees.offsets[target])
        return {"rows": int(rows) if rows.is_integer() else rows, "expected": float(expected)}
