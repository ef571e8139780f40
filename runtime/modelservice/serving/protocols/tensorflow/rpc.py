"""TensorFlow Serving over gRPC: ``PredictionService`` (Predict, GetModelMetadata) and ``ModelService``."""

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any, Final

from modelservice.cells import column_name
from modelservice.contract.signature import Signature
from modelservice.modalities.base import STRICT, Tolerance
from modelservice.modalities.errors import InputError
from modelservice.modalities.tensors import listed
from modelservice.serving.calls import Call, check_rows
from modelservice.serving.errors import RequestError, UnknownModelError, named
from modelservice.serving.model import ServedModel, outputs_of
from modelservice.serving.protocols.base import InferMethod, Service, Spoken, State, StateMethod
from modelservice.serving.protocols.messages import read_message
from modelservice.serving.protocols.tensorflow.messages import (
    DESCRIBED,
    DTYPES,
    MESSAGES,
    MODEL,
    PACKAGE,
    PREDICTION,
    STATES,
)
from modelservice.serving.protocols.tensorflow.metadata import (
    METHOD_NAME,
    SIGNATURE_NAME,
    Described,
    check_signature,
    described_inputs,
    described_outputs,
)
from modelservice.serving.protocols.tensorflow.tensors import Repeats, read_tensor, write_tensor
from modelservice.serving.results import Results

_METADATA: Final = "signature_def"


def build_services(spoken: Sequence[Spoken]) -> tuple[Service, ...]:
    """The services for all models."""
    known = {name: KnownModel(name, version) for _, name, version, _ in spoken}
    predictions = {one.name: RpcPredictions(one.model, known[one.name], one.tolerance) for one in spoken}
    signatures = {one.name: _signature_map(one.model.signature) for one in spoken}
    metadata = partial(_metadata, known, signatures)
    prediction = (InferMethod("Predict", partial(_predict, predictions)), StateMethod("GetModelMetadata", metadata))
    return (
        Service(f"{PACKAGE}.{PREDICTION}", prediction, DESCRIBED.files),
        Service(f"{PACKAGE}.{MODEL}", (StateMethod("GetModelStatus", partial(_status, known)),), DESCRIBED.files),
    )


class KnownModel:
    """A model that may be asked for."""

    def __init__(self, name: str, version: str) -> None:
        self.name = name
        self.version = version

    def check(self, spec: Any) -> None:
        """Compare a ``ModelSpec`` of its name.

        Raises:
            UnknownModelError: another version or a label is asked for.
            RequestError: another signature is.
        """
        choice = spec.WhichOneof("version_choice")
        if choice == "version" and str(spec.version.value) != self.version:
            raise UnknownModelError.of_version(str(spec.version.value), name=self.name, version=self.version)
        if choice == "version_label":
            raise UnknownModelError.of_label(spec.version_label, name=self.name, version=self.version)
        check_signature(spec.signature_name)

    def spec(self, **more: str) -> Any:
        """The ``ModelSpec`` of answers."""
        return MESSAGES["ModelSpec"](name=self.name, version={"value": int(self.version)}, **more)


class RpcPredictions:
    """Parses ``PredictRequest`` for one model, and renders what it answers."""

    def __init__(self, model: ServedModel, known: KnownModel, tolerance: Tolerance = STRICT) -> None:
        self._tolerance = tolerance
        self._encoder = model.encoder
        self._known = known
        self.name = known.name
        self._named = outputs_of(model)
        self._inputs = {column_name(given.name): given.name for given in model.signature.inputs}
        self._outputs = described_outputs(model.signature)

    def call(self, request: Any) -> Call[bytes]:
        """What a ``PredictRequest`` asks for.

        Raises:
            RequestError: with the place, such as ``inputs[age]: ...``.
        """
        self._known.check(request.model_spec)
        wanted = self._wanted(request.output_filter)
        if not request.inputs:
            raise RequestError("inputs: must be at least one tensor")
        names = self._known_names(request.inputs)
        repeats = Repeats()
        tensors = [read_tensor(name, request.inputs[name], repeats) for name in names]
        place = partial(_place, [tensor.name for tensor in tensors])
        try:
            rows = self._encoder.from_tensors(tensors, self._tolerance)
        except InputError as error:
            raise place(error) from None
        check_rows(len(rows), "inputs")
        self._tolerance.record({None: (len(request.inputs) - len(names)) * len(rows)})
        return Call(rows, place, partial(self._render, wanted=wanted), model=self.name)

    def _known_names(self, given: Collection[str]) -> list[str]:
        """Inputs in order; what the model does not have is not read. A lone tensor may have any name."""
        names = sorted(given)
        if len(names) == 1:
            return names
        known = [name for name in names if column_name(name) in self._inputs]
        if not known or (len(known) < len(names) and not self._tolerance.unknown):
            unknown = next(name for name in names if column_name(name) not in self._inputs)
            expected = f"one tensor for each of {listed(tuple(self._inputs.values()))}"
            raise RequestError(f"inputs[{unknown[:64]}]: is no input of this model; expected {expected}")
        return known

    def _wanted(self, asked: Sequence[str]) -> Sequence[str]:
        for index, name in enumerate(asked):
            if name not in self._outputs:
                raise RequestError(f"output_filter[{index}]: {name[:64]!r}; expected one of {', '.join(self._outputs)}")
        return tuple(asked) or tuple(self._outputs)

    def _render(self, results: Results, *, wanted: Sequence[str]) -> bytes:
        response: Any = MESSAGES["PredictResponse"](model_spec=self._known.spec(signature_name=SIGNATURE_NAME))
        named = self._named(results.raw)
        for name in dict.fromkeys(wanted):
            output = self._outputs[name]
            write_tensor(response.outputs[name], output.datatype, (len(results), *output.shape), named[name])
        return bytes(response.SerializeToString())


def _place(names: Sequence[str], error: InputError) -> RequestError:
    """An error of the rows in the words of the tensors that they came in."""
    name = error.column if error.tensor is None else names[error.tensor]
    if name not in names and len(names) == 1 and error.row is not None:
        name = names[0]
    place = f"inputs[{str(name)[:64]}]" if name in names else "inputs"
    part = "" if error.part is None else f".{error.part}"
    row = "" if error.row is None else f", row {error.row}"
    column = "" if error.column in {None, name} else f", column {error.column}"
    return RequestError(f"{place}{part}{row}{column}: {error.message}")


def _predict(predictions: Mapping[str, RpcPredictions], data: bytes) -> Call[bytes]:
    request: Any = read_message(MESSAGES["PredictRequest"], data)
    predicts = named(predictions, request.model_spec.name)
    try:
        return predicts.call(request)
    except RequestError as error:
        error.model = predicts.name
        raise


def _metadata(models: Mapping[str, KnownModel], signatures: Mapping[str, bytes], data: bytes, _state: State) -> bytes:
    request = read_message(MESSAGES["GetModelMetadataRequest"], data)
    known = named(models, request.model_spec.name)
    known.check(request.model_spec)
    asked = list(request.metadata_field)
    if set(asked) != {_METADATA}:
        shown = ", ".join(asked)[:64] or "none"
        raise RequestError(f"metadata_field: {shown}; expected {_METADATA}, which is all that there is")
    response: Any = MESSAGES["GetModelMetadataResponse"](model_spec=known.spec())
    described = response.metadata[_METADATA]
    described.type_url = f"type.googleapis.com/{PACKAGE}.SignatureDefMap"
    described.value = signatures[known.name]
    return bytes(response.SerializeToString())


def _signature_map(signature: Signature) -> bytes:
    message: Any = MESSAGES["SignatureDefMap"]()
    definition = message.signature_def[SIGNATURE_NAME]
    definition.method_name = METHOD_NAME
    _describe(definition.inputs, described_inputs(signature))
    _describe(definition.outputs, described_outputs(signature))
    return bytes(message.SerializeToString())


def _describe(into: Any, described: Mapping[str, Described]) -> None:
    for name, tensor in described.items():
        info = into[name]
        info.name, info.dtype = name, DTYPES[tensor.dtype]
        for size in (-1, *tensor.shape):
            info.tensor_shape.dim.add(size=size)


def _status(models: Mapping[str, KnownModel], data: bytes, state: State) -> bytes:
    request = read_message(MESSAGES["GetModelStatusRequest"], data)
    known = named(models, request.model_spec.name)
    known.check(request.model_spec)
    version: dict[str, Any] = {
        "version": int(known.version),
        "state": STATES["AVAILABLE" if state.ready else "UNLOADING"],
        "status": {},
    }
    return bytes(MESSAGES["GetModelStatusResponse"](model_version_status=[version]).SerializeToString())
