"""The Open Inference Protocol, which KServe calls its protocol v2 and Triton speaks: over REST and over gRPC."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from modelservice import __version__
from modelservice.modalities.tensors import describe
from modelservice.serving.answer import Answer, json_answer
from modelservice.serving.archive import Archive
from modelservice.serving.errors import ForbiddenError, RequestError
from modelservice.serving.model import ServedModel
from modelservice.serving.parsing import parse_object
from modelservice.serving.protocols.base import (
    Command,
    Documentation,
    Download,
    Operation,
    Page,
    Query,
    Rest,
    Service,
    Spoken,
    State,
)
from modelservice.serving.protocols.open_inference.rest import RestCodec
from modelservice.serving.protocols.open_inference.schemas import infer_example, infer_request, infer_response
from modelservice.serving.protocols.open_inference.state import (
    NOT_LOADED_SO,
    model_configuration,
    model_index,
    model_statistics,
)
from modelservice.serving.protocols.open_inference.tensors import TensorModel

SERVER_NAME: Final = "modelservice"
EXTENSIONS: Final = ("binary_tensor_data", "model_configuration", "statistics", "model_repository")


class OpenInference:
    """``infer``, metadata and health."""

    name = "open_inference"

    def rest(self, spoken: Spoken) -> Rest:
        """Routes below ``/v2``."""
        model, name, version, _ = spoken
        tensors = TensorModel(*spoken)
        codec = RestCodec(tensors)
        parse, quick = codec.parse, codec.is_quick
        documentation = Documentation(
            summary="Infer, by the Open Inference Protocol v2",
            request=infer_request(model),
            example=infer_example(model),
            response=infer_response(model.signature),
        )
        versioned = f"/v2/models/{name}/versions/{version}"
        operations = (
            Operation(f"/v2/models/{name}/infer", "/v2/models/{name}/infer", parse, documentation, quick=quick),
            Operation(f"{versioned}/infer", "/v2/models/{name}/versions/{version}/infer", parse, quick=quick),
        )
        index = Query("/v2/repository/index", "The models that this server has", _index)
        pages = (*_pages(tensors, versioned), _report(model, f"{versioned}/report"))
        load = partial(_load, name)
        command = Command(f"/v2/repository/models/{name}/load", "Serve the artifact that is there now", load)
        archive = f"{versioned}/artifact"
        if model.files is None:
            return Rest(operations, (*pages, _closed(archive)), (index,), (command,))
        return Rest(operations, pages, (index,), (command,), (_download(model.files, archive, model.digest),))

    def services(self, spoken: Sequence[Spoken]) -> tuple[Service, ...]:
        """``inference.GRPCInferenceService``."""
        from modelservice.serving.protocols.open_inference.rpc import build_service  # noqa: PLC0415 - needs protobuf

        tensors = [TensorModel(*one) for one in spoken]
        return (build_service(tensors, server_name=SERVER_NAME, server_version=__version__),)


def _pages(model: TensorModel, versioned: str) -> tuple[Page, ...]:
    server = {"name": SERVER_NAME, "version": __version__, "extensions": EXTENSIONS}
    metadata = {**model.metadata(), "parameters": {"digest": model.digest}}

    def server_ready(state: State) -> Answer:
        return json_answer({"ready": state.ready})._replace(status=200 if state.ready else 503)

    def model_ready(state: State) -> Answer:
        return json_answer({"name": model.name, "ready": state.ready})._replace(status=200 if state.ready else 503)

    def configuration(_state: State) -> Answer:
        return json_answer(model_configuration(model))

    def statistics(state: State) -> Answer:
        return json_answer({"model_stats": model_statistics(state, model.name)})

    return (
        Page("/v2", "Server metadata", lambda _: json_answer(server)),
        Page("/v2/health/live", "Whether the server lives", lambda _: json_answer({"live": True})),
        Page("/v2/health/ready", "Whether the server takes requests", server_ready),
        Page(f"/v2/models/{model.name}", "Model metadata", lambda _: json_answer(metadata)),
        Page(f"/v2/models/{model.name}/ready", "Whether the model takes requests", model_ready),
        Page(f"/v2/models/{model.name}/config", "Model configuration, as Triton's tools read it", configuration),
        Page(f"{versioned}/config", "", configuration),
        Page(f"/v2/models/{model.name}/stats", "What was answered and computed since the start", statistics),
        Page("/v2/models/stats", "", lambda state: json_answer({"model_stats": model_statistics(state)})),
        Page(f"{versioned}/stats", "", statistics),
        Page(versioned, "", lambda _: json_answer(metadata)),
        Page(f"{versioned}/ready", "", model_ready),
    )


def _report(model: ServedModel, path: str) -> Page:
    description = model.description

    def report(_state: State) -> Answer:
        return json_answer(description)

    return Page(path, "What the model was made of and how good it is", report)


def _closed(path: str) -> Page:
    said = "this server does not give its model away; spec.serving.artifact: {} makes it do so"

    def refuse(_state: State) -> Answer:
        return json_answer({"error": said})._replace(status=ForbiddenError.status)

    return Page(path, "", refuse)


def _download(files: Mapping[str, bytes], path: str, digest: str) -> Download:
    archive = Archive(files)
    summary = "The artifact as a tar of its manifest and the files that it lists"
    return Download(path, summary, "application/x-tar", digest, archive.size, archive.pieces)


def _index(body: bytes, state: State) -> Answer:
    only_ready = parse_object(body).get("ready", False) if body else False
    if not isinstance(only_ready, bool):
        raise RequestError(f"ready: must be true or false, not {describe(only_ready)}")
    return json_answer(model_index(state, only_ready=only_ready))


async def _load(name: str, body: bytes, state: State) -> Answer:
    if body and parse_object(body).get("parameters"):
        raise RequestError(f"parameters: {NOT_LOADED_SO}")
    await state.renew(name)
    return json_answer({})
