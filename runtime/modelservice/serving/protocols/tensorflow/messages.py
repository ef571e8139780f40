"""The messages of TensorFlow Serving's gRPC, after the published ones, as far as they are used here.

Those of three packages: ``tensorflow`` has tensors and signatures, ``tensorflow.error`` codes, ``tensorflow.serving``
requests and answers.
"""

from typing import Final

from google.protobuf import any_pb2, wrappers_pb2

from modelservice.serving.protocols.messages import Field, Method, build_package

PACKAGE: Final = "tensorflow.serving"
PREDICTION: Final = "PredictionService"
MODEL: Final = "ModelService"
DTYPES: Final = {
    "DT_FLOAT": 1,
    "DT_DOUBLE": 2,
    "DT_INT32": 3,
    "DT_UINT8": 4,
    "DT_INT16": 5,
    "DT_INT8": 6,
    "DT_STRING": 7,
    "DT_INT64": 9,
    "DT_BOOL": 10,
    "DT_UINT16": 17,
    "DT_HALF": 19,
    "DT_UINT32": 22,
    "DT_UINT64": 23,
}
"""The published numbers of TensorFlow's datatypes, of those that are taken here."""
STATES: Final = {"UNKNOWN": 0, "START": 10, "LOADING": 20, "AVAILABLE": 30, "UNLOADING": 40, "END": 50}
"""States of a version: the published ``ModelVersionStatus.State``."""
_OK: Final = {"OK": 0}
"""Of ``tensorflow.error.Code`` what is said here."""

_SHAPE: Final = "TensorShapeProto"
_SPEC: Final = "ModelSpec"
_TENSOR: Final = ".tensorflow.TensorProto"
_WELL_KNOWN: Final = (any_pb2.DESCRIPTOR.serialized_pb, wrappers_pb2.DESCRIPTOR.serialized_pb)

_TENSORFLOW: Final = build_package(
    "tensorflow",
    {
        _SHAPE: (Field("dim", 2, f"{_SHAPE}.Dim", repeated=True), Field("unknown_rank", 3, "bool")),
        f"{_SHAPE}.Dim": (Field("size", 1, "int64"), Field("name", 2, "string")),
        "TensorProto": (
            Field("dtype", 1, "DataType", enumeration=True),
            Field("tensor_shape", 2, _SHAPE),
            Field("version_number", 3, "int32"),
            Field("tensor_content", 4, "bytes"),
            Field("float_val", 5, "float", repeated=True),
            Field("double_val", 6, "double", repeated=True),
            Field("int_val", 7, "int32", repeated=True),
            Field("string_val", 8, "bytes", repeated=True),
            Field("int64_val", 10, "int64", repeated=True),
            Field("bool_val", 11, "bool", repeated=True),
            Field("half_val", 13, "int32", repeated=True),
            Field("uint32_val", 16, "uint32", repeated=True),
            Field("uint64_val", 17, "uint64", repeated=True),
        ),
        "TensorInfo": (
            Field("name", 1, "string", choice="encoding"),
            Field("dtype", 2, "DataType", enumeration=True),
            Field("tensor_shape", 3, _SHAPE),
        ),
        "SignatureDef": (
            Field("inputs", 1, "TensorInfo", keyed=True),
            Field("outputs", 2, "TensorInfo", keyed=True),
            Field("method_name", 3, "string"),
        ),
    },
    enumerations={"DataType": {"DT_INVALID": 0, **DTYPES}},
)
_ERROR: Final = build_package("tensorflow.error", {}, enumerations={"Code": _OK})
DESCRIBED: Final = build_package(
    PACKAGE,
    {
        _SPEC: (
            Field("name", 1, "string"),
            Field("version", 2, ".google.protobuf.Int64Value", choice="version_choice"),
            Field("signature_name", 3, "string"),
            Field("version_label", 4, "string", choice="version_choice"),
        ),
        "PredictRequest": (
            Field("model_spec", 1, _SPEC),
            Field("inputs", 2, _TENSOR, keyed=True),
            Field("output_filter", 3, "string", repeated=True),
        ),
        "PredictResponse": (Field("outputs", 1, _TENSOR, keyed=True), Field("model_spec", 2, _SPEC)),
        "GetModelMetadataRequest": (
            Field("model_spec", 1, _SPEC),
            Field("metadata_field", 2, "string", repeated=True),
        ),
        "GetModelMetadataResponse": (
            Field("model_spec", 1, _SPEC),
            Field("metadata", 2, ".google.protobuf.Any", keyed=True),
        ),
        "SignatureDefMap": (Field("signature_def", 1, ".tensorflow.SignatureDef", keyed=True),),
        "GetModelStatusRequest": (Field("model_spec", 1, _SPEC),),
        "StatusProto": (
            Field("error_code", 1, ".tensorflow.error.Code", enumeration=True),
            Field("error_message", 2, "string"),
        ),
        "ModelVersionStatus": (
            Field("version", 1, "int64"),
            Field("state", 2, "ModelVersionStatus.State", enumeration=True),
            Field("status", 3, "StatusProto"),
        ),
        "GetModelStatusResponse": (Field("model_version_status", 1, "ModelVersionStatus", repeated=True),),
    },
    enumerations={"ModelVersionStatus.State": STATES},
    services={
        PREDICTION: (
            Method("Predict", "PredictRequest", "PredictResponse"),
            Method("GetModelMetadata", "GetModelMetadataRequest", "GetModelMetadataResponse"),
        ),
        MODEL: (Method("GetModelStatus", "GetModelStatusRequest", "GetModelStatusResponse"),),
    },
    needs=(*_WELL_KNOWN, *_ERROR.files, *_TENSORFLOW.files),
)
MESSAGES: Final = DESCRIBED.messages
"""Classes of ``tensorflow.serving`` by name."""
