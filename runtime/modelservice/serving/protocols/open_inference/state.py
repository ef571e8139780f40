"""What Triton's extensions of the protocol tell of a server: its models, and what they have done."""

from typing import Any, Final

from modelservice.modalities.tensors import BYTES
from modelservice.serving.calls import MAX_ROWS
from modelservice.serving.metrics import Statistics
from modelservice.serving.protocols.base import State
from modelservice.serving.protocols.open_inference.tensors import TensorModel

NOT_LOADED_SO: Final = "not supported; what is loaded is the artifact that the server was started with the address of"
"""Of configurations and files that Triton takes with the wish to load a model."""


def model_configuration(model: TensorModel) -> dict[str, Any]:
    """Inputs and outputs once more, in the words of Triton's configuration; ``dims`` are those of one row."""
    metadata = model.metadata()
    return {
        "name": metadata["name"],
        "platform": metadata["platform"],
        "max_batch_size": MAX_ROWS,
        "input": [_tensor(tensor) for tensor in metadata["inputs"]],
        "output": [_tensor(tensor) for tensor in metadata["outputs"]],
    }


def model_index(server: State, *, only_ready: bool) -> list[dict[str, Any]]:
    """The models of this server: those that it has, unless only ready ones are asked for and it leaves."""
    if only_ready and not server.ready:
        return []
    state, reason = ("READY", "") if server.ready else ("UNAVAILABLE", "the server is shutting down")
    return [
        {"name": name, "version": version, "state": state, "reason": reason}
        for name, version in server.versions.items()
    ]


def model_statistics(server: State, *names: str) -> list[dict[str, Any]]:
    """Figures since the start, of all protocols together; those that are not measured are left out.

    ``compute_infer`` counts batches, encoding of their rows included.

    Args:
        server: has done it.
        names: of models; all where none is given.
    """
    return [_statistics(name, server.versions[name], server.statistics(name)) for name in names or server.versions]


def _statistics(name: str, version: str, done: Statistics) -> dict[str, Any]:
    return {
        "name": name,
        "version": version,
        "inference_count": done.rows,
        "execution_count": done.batches,
        "inference_stats": {
            "success": _duration(done.answered, done.answered_seconds),
            "fail": _duration(done.refused, done.refused_seconds),
            "compute_infer": _duration(done.batches, done.batch_seconds),
        },
    }


def _tensor(tensor: dict[str, Any]) -> dict[str, Any]:
    datatype = tensor["datatype"]
    named = "TYPE_STRING" if datatype == BYTES else f"TYPE_{datatype}"
    return {"name": tensor["name"], "data_type": named, "dims": tensor["shape"][1:] or [1]}


def _duration(count: int, seconds: float) -> dict[str, int]:
    return {"count": count, "ns": round(seconds * 1e9)}
