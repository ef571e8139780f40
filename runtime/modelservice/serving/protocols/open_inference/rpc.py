"""The Open Inference Protocol over gRPC: ``inference.GRPCInferenceService``.

Inputs come raw or typed, as Triton takes them; outputs go raw, as Triton gives them.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from math import prod
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np

from modelservice.modalities.tensors import BOOL, BYTES, DATATYPES, Tensor, TensorError, check_held, from_binary
from modelservice.serving.calls import Call
from modelservice.serving.errors import RequestError, UnknownModelError, named
from modelservice.serving.members import OF_TENSORS, check_parameters
from modelservice.serving.protocols.base import CommandMethod, InferMethod, Service, State, StateMethod, StreamMethod
from modelservice.serving.protocols.messages import read_message
from modelservice.serving.protocols.open_inference.messages import DATA_TYPES, DESCRIBED, MESSAGES, PACKAGE, SERVICE
from modelservice.serving.protocols.open_inference.state import (
    NOT_LOADED_SO,
    model_configuration,
    model_index,
    model_statistics,
)
from modelservice.serving.protocols.open_inference.tensors import TensorModel, is_shape, misfit, tensor_place
from modelservice.serving.results import Results

_REQUEST: Final = MESSAGES["ModelInferRequest"]
_RESPONSE: Final = MESSAGES["ModelInferResponse"]
_STREAMED: Final = MESSAGES["ModelStreamInferResponse"]
_CONTENTS: Final = {
    BOOL: "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    BYTES: "bytes_contents",
}
"""The typed field of each datatype; FP16 has none and comes raw."""


def build_service(models: Sequence[TensorModel], *, server_name: str, server_version: str) -> Service:
    """The service for all models."""
    codec = RpcCodec(*models)
    states = _States(models, server_name=server_name, server_version=server_version)
    return Service(
        f"{PACKAGE}.{SERVICE}",
        (
            InferMethod("ModelInfer", codec.parse),
            StreamMethod("ModelStreamInfer", partial(codec.parse, streamed=True), _refuse),
            StateMethod("ServerLive", states.server_live),
            StateMethod("ServerReady", states.server_ready),
            StateMethod("ServerMetadata", states.server_metadata),
            StateMethod("ModelReady", states.model_ready),
            StateMethod("ModelMetadata", states.model_metadata),
            StateMethod("ModelConfig", states.model_config),
            StateMethod("ModelStatistics", states.model_statistics),
            StateMethod("RepositoryIndex", states.repository_index),
            CommandMethod("RepositoryModelLoad", states.repository_load),
        ),
        DESCRIBED.files,
    )


_Model = TypeVar("_Model", "TensorModel", "_Described")


class RpcCodec:
    """Parses ``ModelInfer`` requests, and renders what their models answer."""

    def __init__(self, *models: TensorModel) -> None:
        self._models = {model.name: model for model in models}

    def parse(self, data: bytes, *, streamed: bool = False) -> Call[bytes]:
        """Parse a serialised ``ModelInferRequest``.

        Args:
            data: the message.
            streamed: the answer is put into a ``ModelStreamInferResponse``.

        Raises:
            RequestError: with the place, in the words of REST.
        """
        request = read_message(_REQUEST, data)
        model = _chosen(self._models, request.model_name, request.model_version)
        try:
            wanted = self._wanted(model, request.outputs)
            tensors = _tensors(request)
            render = partial(self._render, model, request_id=request.id, wanted=wanted, streamed=streamed)
            return model.call(tensors, render, _parameters(request.parameters))._replace(model=model.name)
        except RequestError as error:
            error.model = model.name
            raise

    def _wanted(self, model: TensorModel, requested: Any) -> tuple[str, ...]:
        if not requested:
            return model.outputs
        wanted: list[str] = []
        for index, output in enumerate(requested):
            wanted.append(model.check_output(output.name, wanted, f"outputs[{index}].name"))
            if "classification" in output.parameters:
                raise RequestError(f"outputs[{index}].parameters.classification: not supported; ask for all outputs")
        return tuple(wanted)

    def _render(
        self,
        model: TensorModel,
        results: Results,
        *,
        request_id: str,
        wanted: tuple[str, ...],
        streamed: bool,
        told: Mapping[str, str] = MappingProxyType({}),
    ) -> bytes:
        response: Any = _RESPONSE(model_name=model.name, model_version=model.version, id=request_id)
        for name in wanted:
            output = model.described[name]
            response.outputs.add(name=name, datatype=output.datatype, shape=(len(results), *output.shape))
        response.raw_output_contents.extend(model.binaries(results, wanted))
        for name, said in told.items():
            response.parameters[name].string_param = said
        answer = _STREAMED(infer_response=response) if streamed else response
        return bytes(answer.SerializeToString())


class _Described(NamedTuple):
    """What there is to say of a model, serialised."""

    metadata: bytes
    configuration: bytes
    version: str


class _States:
    """What is answered without a model."""

    def __init__(self, models: Sequence[TensorModel], *, server_name: str, server_version: str) -> None:
        self._models = {model.name: _described(model) for model in models}
        self._live = MESSAGES["ServerLiveResponse"](live=True).SerializeToString()
        self._server = MESSAGES["ServerMetadataResponse"](name=server_name, version=server_version).SerializeToString()

    def server_live(self, _data: bytes, _state: State) -> bytes:
        """Whether the server lives: it answers."""
        return self._live

    def server_ready(self, _data: bytes, state: State) -> bytes:
        """Whether the server asks for requests."""
        return MESSAGES["ServerReadyResponse"](ready=state.ready).SerializeToString()

    def server_metadata(self, _data: bytes, _state: State) -> bytes:
        """Name and version of the server."""
        return self._server

    def model_ready(self, data: bytes, state: State) -> bytes:
        """Whether the model takes requests."""
        request = read_message(MESSAGES["ModelReadyRequest"], data)
        _chosen(self._models, request.name, request.version)
        return MESSAGES["ModelReadyResponse"](ready=state.ready).SerializeToString()

    def model_config(self, data: bytes, _state: State) -> bytes:
        """Inputs and outputs of the model, as Triton's tools read them."""
        request = read_message(MESSAGES["ModelConfigRequest"], data)
        return _chosen(self._models, request.name, request.version).configuration

    def repository_index(self, data: bytes, state: State) -> bytes:
        """The models that this server has."""
        request = read_message(MESSAGES["RepositoryIndexRequest"], data)
        models = model_index(state, only_ready=request.ready)
        return bytes(MESSAGES["RepositoryIndexResponse"](models=models).SerializeToString())

    async def repository_load(self, data: bytes, state: State) -> bytes:
        """Serve the artifact that is there now."""
        request = read_message(MESSAGES["RepositoryModelLoadRequest"], data)
        _chosen(self._models, request.model_name, "")
        if request.parameters:
            raise RequestError(f"parameters: {NOT_LOADED_SO}")
        await state.renew(request.model_name)
        return bytes(MESSAGES["RepositoryModelLoadResponse"]().SerializeToString())

    def model_statistics(self, data: bytes, state: State) -> bytes:
        """What was answered and computed since the start; without a name of all models."""
        request = read_message(MESSAGES["ModelStatisticsRequest"], data)
        names = (request.name,) if request.name else tuple(self._models)
        for name in names:
            _chosen(self._models, name, request.version)
        statistics = model_statistics(state, *names)
        return bytes(MESSAGES["ModelStatisticsResponse"](model_stats=statistics).SerializeToString())

    def model_metadata(self, data: bytes, _state: State) -> bytes:
        """Inputs and outputs of the model."""
        request = read_message(MESSAGES["ModelMetadataRequest"], data)
        return _chosen(self._models, request.name, request.version).metadata


def _refuse(reason: str) -> bytes:
    return bytes(_STREAMED(error_message=reason).SerializeToString())


def _described(model: TensorModel) -> _Described:
    metadata = model.metadata()
    tensors = {
        side: [{name: tensor[name] for name in ("name", "datatype", "shape")} for tensor in metadata[side]]
        for side in ("inputs", "outputs")
    }
    config = model_configuration(model)
    numbered = {
        side: [{**tensor, "data_type": DATA_TYPES.index(tensor["data_type"])} for tensor in config[side]]
        for side in ("input", "output")
    }
    return _Described(
        metadata=MESSAGES["ModelMetadataResponse"](**{**metadata, **tensors}).SerializeToString(),
        configuration=MESSAGES["ModelConfigResponse"](config={**config, **numbered}).SerializeToString(),
        version=model.version,
    )


def _chosen(models: Mapping[str, _Model], name: str, version: str) -> _Model:
    """The model that is asked for; of no version, that of any.

    Raises:
        UnknownModelError: there is none of that name, or it is of another version.
    """
    model = named(models, name)
    if version not in {"", model.version}:
        raise UnknownModelError.of_version(version, name=name, version=model.version)
    return model


def _parameters(given: Any) -> dict[str, Any]:
    """Those parameters that mean something here, by name; None where one has no value."""
    if not given:
        return {}
    check_parameters(given)
    choices = {name: given[name].WhichOneof("parameter_choice") for name in OF_TENSORS if name in given}
    return {name: None if choice is None else getattr(given[name], choice) for name, choice in choices.items()}


def _tensors(request: Any) -> list[Tensor]:
    if not request.inputs:
        raise RequestError("inputs: must be at least one tensor")
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise RequestError(f"raw_input_contents: {len(raw)} for {len(request.inputs)} inputs; expected one for each")
    return [_tensor(index, tensor, raw[index] if raw else None) for index, tensor in enumerate(request.inputs)]


def _tensor(index: int, tensor: Any, raw: bytes | None) -> Tensor:
    place = tensor_place(index, tensor.name)
    if tensor.datatype not in DATATYPES:
        raise RequestError(f"{place}.datatype: {tensor.datatype[:32]!r}; expected one of {', '.join(DATATYPES)}")
    if not is_shape(tensor.shape):
        raise RequestError(
            f"{place}.shape: {str(list(tensor.shape))[:64]}; expected sizes such as [rows] or [rows, columns]"
        )
    if "shared_memory_region" in tensor.parameters:
        raise RequestError(f"{place}: shared memory is not supported; send the data")
    if raw is not None and tensor.HasField("contents"):
        raise RequestError(f"{place}: has both contents and raw_input_contents; expected one of them")
    shape = tuple(tensor.shape)
    try:
        if raw is None:
            values = _typed(tensor.datatype, shape, tensor.contents)
        else:
            values = from_binary(tensor.datatype, shape, raw)
    except TensorError as error:
        raise misfit(index, tensor.name, error) from None
    return Tensor(tensor.name, tensor.datatype, shape, values)


def _typed(datatype: str, shape: tuple[int, ...], contents: Any) -> Any:
    field = _CONTENTS.get(datatype)
    if field is None:
        raise TensorError(".contents", f"{datatype} has no typed contents; send raw_input_contents")
    values = getattr(contents, field)
    if len(values) != prod(shape):
        raise TensorError(
            f".contents.{field}", f"has {len(values)} values, but shape {list(shape)} needs {prod(shape)}"
        )
    if datatype == BYTES:
        return list(values)
    check_held(datatype, values, f".contents.{field}")
    return np.array(values)
