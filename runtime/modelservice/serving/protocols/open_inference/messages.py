"""The messages of ``inference.GRPCInferenceService``, after the Open Inference Protocol's published definition."""

from typing import Final

from modelservice.serving.protocols.messages import Field, Method, Package, build_package

PACKAGE: Final = "inference"
SERVICE: Final = "GRPCInferenceService"

_UNARY: Final = (
    "ModelInfer",
    "ServerLive",
    "ServerReady",
    "ServerMetadata",
    "ModelReady",
    "ModelMetadata",
    "ModelConfig",
    "ModelStatistics",
    "RepositoryIndex",
    "RepositoryModelLoad",
)
_METHODS: Final = (
    *(Method(name, f"{name}Request", f"{name}Response") for name in _UNARY),
    Method("ModelStreamInfer", "ModelInferRequest", "ModelStreamInferResponse", takes_stream=True, gives_stream=True),
)

_MODEL: Final = (Field("name", 1, "string"), Field("version", 2, "string"))
_PARAMETERS: Final = "InferParameter"
_CONTENTS: Final = "InferTensorContents"
_TENSOR: Final = (
    Field("name", 1, "string"),
    Field("datatype", 2, "string"),
    Field("shape", 3, "int64", repeated=True),
)
_FILLED_TENSOR: Final = (
    *_TENSOR,
    Field("parameters", 4, _PARAMETERS, keyed=True),
    Field("contents", 5, _CONTENTS),
)
_CONFIGURED: Final = (Field("name", 1, "string"), Field("data_type", 2, "DataType", enumeration=True))
DATA_TYPES: Final = tuple(
    f"TYPE_{name}"
    for name in (
        "INVALID",
        "BOOL",
        *("UINT8", "UINT16", "UINT32", "UINT64"),
        *("INT8", "INT16", "INT32", "INT64"),
        *("FP16", "FP32", "FP64"),
        "STRING",
    )
)
"""The published enumeration of a configuration's datatypes, in the order of its numbers."""

DESCRIBED: Final[Package] = build_package(
    PACKAGE,
    {
        "ServerLiveRequest": (),
        "ServerLiveResponse": (Field("live", 1, "bool"),),
        "ServerReadyRequest": (),
        "ServerReadyResponse": (Field("ready", 1, "bool"),),
        "ModelReadyRequest": _MODEL,
        "ModelReadyResponse": (Field("ready", 1, "bool"),),
        "ServerMetadataRequest": (),
        "ServerMetadataResponse": (*_MODEL, Field("extensions", 3, "string", repeated=True)),
        "ModelMetadataRequest": _MODEL,
        "ModelMetadataResponse": (
            Field("name", 1, "string"),
            Field("versions", 2, "string", repeated=True),
            Field("platform", 3, "string"),
            Field("inputs", 4, "ModelMetadataResponse.TensorMetadata", repeated=True),
            Field("outputs", 5, "ModelMetadataResponse.TensorMetadata", repeated=True),
        ),
        "ModelMetadataResponse.TensorMetadata": _TENSOR,
        _PARAMETERS: (
            Field("bool_param", 1, "bool", choice="parameter_choice"),
            Field("int64_param", 2, "int64", choice="parameter_choice"),
            Field("string_param", 3, "string", choice="parameter_choice"),
            Field("double_param", 4, "double", choice="parameter_choice"),
            Field("uint64_param", 5, "uint64", choice="parameter_choice"),
        ),
        _CONTENTS: (
            Field("bool_contents", 1, "bool", repeated=True),
            Field("int_contents", 2, "int32", repeated=True),
            Field("int64_contents", 3, "int64", repeated=True),
            Field("uint_contents", 4, "uint32", repeated=True),
            Field("uint64_contents", 5, "uint64", repeated=True),
            Field("fp32_contents", 6, "float", repeated=True),
            Field("fp64_contents", 7, "double", repeated=True),
            Field("bytes_contents", 8, "bytes", repeated=True),
        ),
        "ModelInferRequest": (
            Field("model_name", 1, "string"),
            Field("model_version", 2, "string"),
            Field("id", 3, "string"),
            Field("parameters", 4, _PARAMETERS, keyed=True),
            Field("inputs", 5, "ModelInferRequest.InferInputTensor", repeated=True),
            Field("outputs", 6, "ModelInferRequest.InferRequestedOutputTensor", repeated=True),
            Field("raw_input_contents", 7, "bytes", repeated=True),
        ),
        "ModelInferRequest.InferInputTensor": _FILLED_TENSOR,
        "ModelInferRequest.InferRequestedOutputTensor": (
            Field("name", 1, "string"),
            Field("parameters", 2, _PARAMETERS, keyed=True),
        ),
        "ModelInferResponse": (
            Field("model_name", 1, "string"),
            Field("model_version", 2, "string"),
            Field("id", 3, "string"),
            Field("parameters", 4, _PARAMETERS, keyed=True),
            Field("outputs", 5, "ModelInferResponse.InferOutputTensor", repeated=True),
            Field("raw_output_contents", 6, "bytes", repeated=True),
        ),
        "ModelInferResponse.InferOutputTensor": _FILLED_TENSOR,
        "ModelStreamInferResponse": (
            Field("error_message", 1, "string"),
            Field("infer_response", 2, "ModelInferResponse"),
        ),
        "ModelConfigRequest": _MODEL,
        "ModelConfigResponse": (Field("config", 1, "ModelConfig"),),
        "ModelConfig": (
            Field("name", 1, "string"),
            Field("platform", 2, "string"),
            Field("max_batch_size", 4, "int32"),
            Field("input", 5, "ModelInput", repeated=True),
            Field("output", 6, "ModelOutput", repeated=True),
        ),
        "ModelInput": (*_CONFIGURED, Field("dims", 4, "int64", repeated=True)),
        "ModelOutput": (*_CONFIGURED, Field("dims", 3, "int64", repeated=True)),
        "RepositoryIndexRequest": (Field("repository_name", 1, "string"), Field("ready", 2, "bool")),
        "RepositoryIndexResponse": (Field("models", 1, "RepositoryIndexResponse.ModelIndex", repeated=True),),
        "RepositoryIndexResponse.ModelIndex": (
            *_MODEL,
            Field("state", 3, "string"),
            Field("reason", 4, "string"),
        ),
        "ModelRepositoryParameter": (
            Field("bool_param", 1, "bool", choice="parameter_choice"),
            Field("int64_param", 2, "int64", choice="parameter_choice"),
            Field("string_param", 3, "string", choice="parameter_choice"),
            Field("bytes_param", 4, "bytes", choice="parameter_choice"),
        ),
        "RepositoryModelLoadRequest": (
            Field("repository_name", 1, "string"),
            Field("model_name", 2, "string"),
            Field("parameters", 3, "ModelRepositoryParameter", keyed=True),
        ),
        "RepositoryModelLoadResponse": (),
        "ModelStatisticsRequest": _MODEL,
        "ModelStatisticsResponse": (Field("model_stats", 1, "ModelStatistics", repeated=True),),
        "ModelStatistics": (
            *_MODEL,
            Field("inference_count", 4, "uint64"),
            Field("execution_count", 5, "uint64"),
            Field("inference_stats", 6, "InferStatistics"),
        ),
        "InferStatistics": (
            Field("success", 1, "StatisticDuration"),
            Field("fail", 2, "StatisticDuration"),
            Field("compute_infer", 5, "StatisticDuration"),
        ),
        "StatisticDuration": (Field("count", 1, "uint64"), Field("ns", 2, "uint64")),
    },
    enumerations={"DataType": {name: number for number, name in enumerate(DATA_TYPES)}},
    services={SERVICE: _METHODS},
)
MESSAGES: Final = DESCRIBED.messages
"""Classes by name."""
