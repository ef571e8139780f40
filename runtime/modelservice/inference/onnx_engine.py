"""The model on onnxruntime: CPUs, small, no torch."""

from typing import TYPE_CHECKING, Final

from modelservice.artifact.errors import ArtifactError
from modelservice.artifact.load import Artifact
from modelservice.contract.manifest import INPUT_NAME, MODEL_FILE, OUTPUT_NAME
from modelservice.inference.onnx_file import check_onnx
from modelservice.modalities.base import Features
from modelservice.tasks.base import Array

if TYPE_CHECKING:
    from onnxruntime import InferenceSession, RunOptions

_FLOAT: Final = "tensor(float)"
_ERRORS_ONLY: Final = 3


class OnnxEngine:
    """An inference session over ``model.onnx``; the session is immutable, another number of threads makes another.

    Attributes:
        content: the bytes of the file.
    """

    name = "ONNX"

    def __init__(self, content: bytes, *, threads: int = 1) -> None:
        """Args: the bytes of ``model.onnx``, and threads of one forward pass.

        Raises:
            ArtifactError: it is not a model of one input ``features`` and one output ``raw``.
        """
        check_onnx(content)
        self.content = content
        self._session = open_session(content, threads)
        _check_nodes(self._session)
        self._options = _run_options()

    def run(self, features: Features) -> Array:
        """Encoded rows float32 [rows, *shape] to raw outputs float32 [rows, width]."""
        raw: Array = self._session.run([OUTPUT_NAME], {INPUT_NAME: features}, self._options)[0]
        return raw

    def use_threads(self, threads: int) -> None:
        """Compute with so many threads from now on; loads the model again."""
        self._session = open_session(self.content, threads)


def load_onnx_engine(artifact: Artifact) -> OnnxEngine:
    """The engine of a verified artifact; see ``EngineLoader``."""
    return OnnxEngine(artifact.content(MODEL_FILE))


def open_session(content: bytes, threads: int = 1) -> "InferenceSession":
    """A session on CPUs, over any graph.

    Raises:
        ArtifactError: onnxruntime cannot load it.
    """
    from onnxruntime import ExecutionMode, InferenceSession, SessionOptions  # noqa: PLC0415

    options = SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = _ERRORS_ONLY
    # Without it bytes that begin as a model in onnxruntime's own format are read as one, past what was checked.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    # A pod has a quota of CPU time: threads that spin between two requests use it up, and the kernel stops the server.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Weights that are stored as integers and computed with as floats are turned back once, at load, not for each batch.
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    try:
        return InferenceSession(content, sess_options=options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own classes derive from nothing narrower
        raise ArtifactError(f"{MODEL_FILE} cannot be loaded: {' '.join(str(error).split())[:500]}") from None


def _run_options() -> "RunOptions":
    """The usual ones; a session that is given none makes some for each run, which takes a tenth of a small one."""
    from onnxruntime import RunOptions  # noqa: PLC0415

    return RunOptions()


def _check_nodes(session: "InferenceSession") -> None:
    """Refuse a graph of other inputs or outputs; the first axis of both is rows, and free."""
    for kind, nodes, expected in (
        ("input", session.get_inputs(), INPUT_NAME),
        ("output", session.get_outputs(), OUTPUT_NAME),
    ):
        names = [node.name for node in nodes]
        if names != [expected]:
            raise ArtifactError(f"{MODEL_FILE} has {kind}s {', '.join(names)[:200] or 'none'}, expected {expected}")
        (node,) = nodes
        if node.type != _FLOAT or not node.shape or isinstance(node.shape[0], int):
            found = f"{node.type} of shape {node.shape}"
            raise ArtifactError(f"{MODEL_FILE}: {kind} {expected} is {found}, expected {_FLOAT} [rows, ...]")
