"""``model.onnx``, written node by node.

``torch.onnx.export`` would import a compiler and take seconds; models of known parts need neither.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from modelservice.families.architecture import Curve, Isotonic, MemberMean, OutputHead, Scale, Sigmoid, Softmax
from modelservice.families.base import INPUT_NAME, OPSET, OUTPUT_NAME

IR_VERSION = 10
"""The one of ``OPSET``; onnxruntime reads it since 1.18."""
TREES = "ai.onnx.ml"
"""The domain of the operators for ensembles of trees."""
DOMAINS = {"": OPSET, TREES: 3}
"""Versions of operators; 3 of the second is the first that compares in float64."""
ROWS = "rows"
"""Name of the axis of any length."""


class Graph:
    """A graph in the making, one node after the other; ``value`` is the name of the newest value.

    Several models in one file: each writes its nodes to a ``part`` of its own, which begins at the rows again and names
    its constants apart, and whoever joins them names their ``value``s as inputs of ``add``.
    """

    def __init__(self) -> None:
        self.value = INPUT_NAME
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._prefix = ""

    def part(self, prefix: str) -> "Graph":
        """A graph that begins at the rows and writes into this one, whose newest value stays what it is.

        Args:
            prefix: of the names of its constants and nodes; no two parts of a graph have the same.
        """
        part = Graph()
        part._nodes, part._constants = self._nodes, self._constants
        part._prefix = f"{self._prefix}{prefix}/"
        return part

    def constant(self, name: str, value: NDArray[Any]) -> str:
        """Store an array, and give its name back."""
        name = f"{self._prefix}{name}"
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """A node of some values, the newest one if none are named; its output is the newest value then."""
        name = f"{self._prefix}{operator}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, inputs or (self.value,), [name], name=name, **attributes))
        self.value = name
        return name

    def append_model(self, content: bytes) -> str:
        """The nodes of a ``model.onnx`` that was written before; its output is the newest value then.

        Raises:
            ValueError: its operators are of other versions; those of trees may be older, for the later versions only
                gave them more attributes.
        """
        model = onnx.load_from_string(content)
        versions = {opset.domain: opset.version for opset in model.opset_import}
        if versions[""] != OPSET or any(version > DOMAINS.get(domain, 0) for domain, version in versions.items()):
            raise ValueError(f"a model of operators {versions} does not fit into one of {DOMAINS}")
        return self.append_nodes(model, given={INPUT_NAME: self.value}, output=OUTPUT_NAME)

    def append_nodes(self, model: Any, *, given: Mapping[str, str], output: str) -> str:
        """The nodes and weights of a model of our versions of operators, which are taken over, not copied.

        Args:
            model: an ``onnx.ModelProto`` without graphs within graphs.
            given: what its inputs are here.
            output: that becomes the newest value.
        """
        start = f"{self._prefix}{len(self._nodes)}."
        # "" stands for an input that is left out.
        names = {**given, "": ""}
        for tensor in model.graph.initializer:
            names[tensor.name] = tensor.name = f"{start}{tensor.name}"
            self._constants.append(tensor)
        for node in model.graph.node:
            node.name = f"{start}{node.name}"
            names.update({name: f"{start}{name}" for name in node.output if name})
            for found in (node.input, node.output):
                found[:] = [names[name] for name in found]
            self._nodes.append(node)
        self.value = names[output]
        return self.value

    def to_float64(self) -> str:
        """The newest value in float64."""
        return self.add("Cast", to=TensorProto.DOUBLE)

    def add_rbf(self, vectors: NDArray[np.float64], gamma: float) -> None:
        """The newest value, float64 [rows, width], to exp(-gamma d^2) with each of some vectors [vectors, width]."""
        x = self.value
        axes = self.constant("axes", np.array([1], np.int64))
        squares = self.add("ReduceSum", self.add("Mul", x, x), axes)
        scaled = self.constant("vectors", vectors.T * (2 * gamma))
        norms = self.constant("norms", np.square(vectors).sum(axis=1)[np.newaxis] * gamma)
        products = self.add("MatMul", x, scaled)
        distances = self.add("Add", self.add("Mul", squares, self.constant("gamma", np.array([[gamma]]))), norms)
        self.add("Exp", self.add("Sub", products, distances))

    def add_linear(self, weights: NDArray[np.float64], offsets: NDArray[np.float64]) -> None:
        """The newest value, float64 [rows, inputs], times weights [inputs, outputs] plus offsets, as float32."""
        self.add("MatMul", self.value, self.constant("weights", weights))
        self.add("Add", self.value, self.constant("offsets", offsets[np.newaxis]))
        self.add("Cast", to=TensorProto.FLOAT)

    def add_head(self, head: OutputHead, *, axis: int = 1) -> None:
        """Nodes from the newest value, float32 [rows, logits], to raw outputs.

        Args:
            head: what makes them; of an ensemble it takes [members, rows, logits].
            axis: that of the logits.
        """
        match head:
            case MemberMean():
                self.add_head(head.head, axis=2)
                self.add("ReduceMean", self.value, self.constant("members", np.array([0], np.int64)), keepdims=0)
                if head.sharpness != 1:
                    self.add_sharpness(head.sharpness)
            case Softmax():
                self.add("Softmax", axis=axis)
            case Sigmoid():
                one = self.constant("one", np.array([[1]], np.float32))
                positive = self.add("Sigmoid")
                self.add("Concat", self.add("Sub", one, positive), positive, axis=axis)
            case Scale(mean=mean, std=std):
                self.add("Mul", self.value, self.constant("std", np.array([[std]], np.float32)))
                self.add("Add", self.value, self.constant("mean", np.array([[mean]], np.float32)))
            case Isotonic():
                self.add_head(head.head, axis=axis)
                self.add_isotonic(head.curves)

    def add_sharpness(self, sharpness: float) -> None:
        """Probabilities [rows, classes] to that power, divided by their sum."""
        power = self.constant("sharpness", np.array([[sharpness]], np.float32))
        self.add("Mul", self.add("Log"), power)
        self.add("Softmax", axis=1)

    def add_isotonic(self, curves: Sequence[Curve]) -> None:
        """Probabilities float32 [rows, classes] by their curves, as ``isotonic.follow`` does it, in float64.

        A curve is its first value and, for each of its pieces, the share of the piece that lies below times its rise.
        """
        probabilities = self.to_float64()
        none, whole = (self.constant(name, np.array(share)) for name, share in (("none", 0.0), ("whole", 1.0)))
        risen = []
        for place, curve in enumerate(curves):
            own = self.part(f"curve{place}")
            knots, values = np.array(curve.knots), np.array(curve.values)
            column = own.constant("column", np.array([1 if len(curves) == 1 else place], np.int64))
            above = own.add("Sub", own.add("Gather", probabilities, column, axis=1), own.constant("knots", knots[:-1]))
            shares = own.add("Clip", own.add("Div", above, own.constant("widths", np.diff(knots))), none, whole)
            rises = own.add("MatMul", shares, own.constant("rises", np.diff(values)[:, np.newaxis]))
            risen.append(own.add("Add", rises, own.constant("first", values[:1])))
        if len(risen) == 1:
            self.add("Concat", self.add("Sub", whole, risen[0]), risen[0], axis=1)
        else:
            together = self.add("Concat", *risen, axis=1)
            total = self.add("ReduceSum", together, self.constant("classes", np.array([1], np.int64)))
            self.add("Div", together, total)
        self.add("Cast", to=TensorProto.FLOAT)

    def model(self, *, shape: tuple[int, ...], width: int | None) -> bytes:
        """``model.onnx``: rows of ``shape`` in, the newest value, float32 [rows, width], out; None where it is asked.

        Raises:
            onnx.checker.ValidationError: the nodes do not fit together.
        """
        self._nodes[-1].output[0] = OUTPUT_NAME
        graph = helper.make_graph(
            self._nodes,
            "model",
            [helper.make_tensor_value_info(INPUT_NAME, TensorProto.FLOAT, [ROWS, *shape])],
            [helper.make_tensor_value_info(OUTPUT_NAME, TensorProto.FLOAT, [ROWS, width])],
            self._constants,
        )
        used = {"", *(node.domain for node in self._nodes)}
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid(domain, DOMAINS[domain]) for domain in sorted(used)],
            ir_version=IR_VERSION,
            producer_name="modelservice",
        )
        onnx.checker.check_model(model)
        content: bytes = model.SerializeToString(deterministic=True)
        return content
