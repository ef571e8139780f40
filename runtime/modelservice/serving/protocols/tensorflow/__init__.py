"""TensorFlow Serving's API: its REST, which KServe calls its protocol v1, and its gRPC."""

from collections.abc import Sequence
from typing import Any, Final

from modelservice.contract.signature import InputTensor
from modelservice.inference.explaining.question import unexplainable
from modelservice.serving.answer import Answer, json_answer
from modelservice.serving.model import ServedModel
from modelservice.serving.protocols.base import Documentation, Operation, Page, Rest, Service, Spoken, State
from modelservice.serving.protocols.schemas import (
    explain_request,
    explain_response,
    predict_request,
    predict_response,
    uploads,
)
from modelservice.serving.protocols.tensorflow.explanations import PATCH, Explanations
from modelservice.serving.protocols.tensorflow.metadata import model_metadata
from modelservice.serving.protocols.tensorflow.predictions import Predictions

MOST_SHOWN: Final = 100
"""Columns of a model whose explanations ``/docs`` shows, with an example that is computed at the start."""


class TensorFlow:
    """``:predict``, ``:explain``, and the model's status and metadata, over HTTP and over gRPC."""

    name = "tensorflow"

    def rest(self, spoken: Spoken) -> Rest:
        """Routes below ``/v1``."""
        model, name, version, tolerance = spoken
        parse, explanations = Predictions(model, tolerance).parse, Explanations(model, tolerance)
        documentation = Documentation(
            summary="Predict, as TensorFlow Serving and KServe v1 speak it",
            request=predict_request(model.signature, tolerance),
            example={"instances": [model.encoder.example()]},
            response=predict_response(model.signature),
            uploads=uploads(model.signature),
        )
        explained = None
        if len(model.signature.inputs) <= MOST_SHOWN and unexplainable(model.signature) is None:
            explained = Documentation(
                summary="Explain, as KServe v1 speaks it: what each column, patch or word adds to the answer",
                request=explain_request(model.signature, tolerance, explanations.methods),
                example=_example(model),
                response=explain_response(model.signature, explanations.methods),
                uploads=uploads(model.signature),
            )
        operations = (
            Operation(
                f"/v1/models/{name}:predict",
                "/v1/models/{name}:predict",
                parse,
                documentation,
            ),
            Operation(
                f"/v1/models/{name}/versions/{version}:predict",
                "/v1/models/{name}/versions/{version}:predict",
                parse,
            ),
            Operation(
                f"/v1/models/{name}:explain",
                "/v1/models/{name}:explain",
                explanations.parse,
                explained,
                costly=True,
            ),
            Operation(
                f"/v1/models/{name}/versions/{version}:explain",
                "/v1/models/{name}/versions/{version}:explain",
                explanations.parse,
                costly=True,
            ),
        )
        return Rest(operations, _pages(model, name, version))

    def services(self, spoken: Sequence[Spoken]) -> tuple[Service, ...]:
        """``tensorflow.serving.PredictionService`` and ``ModelService``."""
        from modelservice.serving.protocols.tensorflow.rpc import build_services  # noqa: PLC0415 - needs protobuf

        return build_services(spoken)


def _example(model: ServedModel) -> dict[str, Any]:
    """One that takes few evaluations: all coalitions of few columns, four patches, the words of a short text."""
    example: dict[str, Any] = {"instances": [model.encoder.example()]}
    given = model.signature.inputs[0]
    if isinstance(given, InputTensor):
        return {**example, PATCH: -(-max(given.shape[:2]) // 2)}
    return {**example, "evaluations": 2 * MOST_SHOWN}


def _pages(model: ServedModel, name: str, version: str) -> tuple[Page, ...]:
    status = {
        "name": name,
        "ready": True,
        "model_version_status": [
            {"version": version, "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
        ],
        "digest": model.digest,
    }
    metadata = model_metadata(model.signature, name=name, version=version, digest=model.digest)
    versioned = f"/v1/models/{name}/versions/{version}"

    def model_status(state: State) -> Answer:
        return json_answer({**status, "ready": state.ready})._replace(status=200 if state.ready else 503)

    def signature(_state: State) -> Answer:
        return json_answer(metadata)

    return (
        Page("/v1/models", "Names of the models", lambda state: json_answer({"models": list(state.versions)})),
        Page(f"/v1/models/{name}", "Model status, with the keys of TensorFlow Serving and of KServe", model_status),
        Page(f"/v1/models/{name}/metadata", "Inputs and outputs, as TensorFlow Serving says them", signature),
        Page(versioned, "", model_status),
        Page(f"{versioned}/metadata", "", signature),
    )
