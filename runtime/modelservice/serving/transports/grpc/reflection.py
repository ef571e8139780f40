"""The gRPC reflection protocol: clients such as grpcurl ask what services and messages there are.

Versions v1 and v1alpha are the same messages in two packages; tools still ask for either.
"""

from collections.abc import Sequence
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool

from modelservice.serving.protocols.base import Service, State, StateStreamMethod
from modelservice.serving.protocols.messages import Field, Method, Package, build_package, read_message

VERSIONS: Final = ("v1", "v1alpha")
_SERVICE: Final = "ServerReflection"
_REQUEST: Final = "ServerReflectionRequest"
_RESPONSE: Final = "ServerReflectionResponse"
_NOT_FOUND: Final = 5
_INVALID_ARGUMENT: Final = 3
_ASKED: Final = "message_request"
_ANSWERED: Final = "message_response"


def reflection_services(services: Sequence[Service]) -> tuple[Service, ...]:
    """What tells of these services, and of itself."""
    packages = {f"grpc.reflection.{version}": _described(f"grpc.reflection.{version}") for version in VERSIONS}
    names = [*(service.name for service in services), *(f"{package}.{_SERVICE}" for package in packages)]
    files = [*(service.files for service in services), *(package.files for package in packages.values())]
    catalogue = _Catalogue(names, [file for some in files for file in some])
    return tuple(
        Service(f"{name}.{_SERVICE}", (_Reflection(package, catalogue).method,), package.files)
        for name, package in packages.items()
    )


class _Catalogue:
    """Names of services, and files by their name and by what they define."""

    def __init__(self, names: Sequence[str], files: Sequence[bytes]) -> None:
        self.names = sorted(names)
        self._pool = descriptor_pool.DescriptorPool()
        self._files = {descriptor_pb2.FileDescriptorProto.FromString(file).name: file for file in files}
        for file in self._files.values():
            self._pool.AddSerializedFile(file)

    def file(self, name: str) -> list[bytes]:
        """A file and those that it needs; KeyError where there is none."""
        found = [self._files[name]]
        for needed in descriptor_pb2.FileDescriptorProto.FromString(found[0]).dependency:
            found += [file for file in self.file(needed) if file not in found]
        return found

    def symbol(self, name: str) -> list[bytes]:
        """The file that defines a service, method or message; KeyError where none does."""
        try:
            found = self._pool.FindFileContainingSymbol(name)
        except KeyError:  # protobuf does not look among methods
            found = self._pool.FindMethodByName(name).containing_service.file
        return self.file(found.name)


class _Reflection:
    """One version of the protocol."""

    def __init__(self, package: Package, catalogue: _Catalogue) -> None:
        self._request: Any = package.messages[_REQUEST]
        self._response: Any = package.messages[_RESPONSE]
        self._catalogue = catalogue
        self.method = StateStreamMethod("ServerReflectionInfo", self.answer, self.refuse)

    def answer(self, data: bytes, _state: State) -> bytes:
        """Answer one question; what is not there is said in the answer, and the stream goes on."""
        asked = read_message(self._request, data)
        response = self._response(valid_host=asked.host, original_request=asked)
        kind = asked.WhichOneof(_ASKED)
        try:
            self._fill(response, kind, asked)
        except KeyError:
            said = str(getattr(asked, kind))[:64] if kind else "nothing"
            response.error_response.error_code = _NOT_FOUND
            response.error_response.error_message = f"no {said!r} here"
        return bytes(response.SerializeToString())

    def _fill(self, response: Any, kind: str | None, asked: Any) -> None:
        match kind:
            case "list_services":
                for name in self._catalogue.names:
                    response.list_services_response.service.add(name=name)
            case "file_by_filename":
                found = self._catalogue.file(asked.file_by_filename)
                response.file_descriptor_response.file_descriptor_proto.extend(found)
            case "file_containing_symbol":
                found = self._catalogue.symbol(asked.file_containing_symbol)
                response.file_descriptor_response.file_descriptor_proto.extend(found)
            case _:  # messages here have no extensions
                raise KeyError(kind)

    def refuse(self, reason: str) -> bytes:
        """Say why a message was no question."""
        error = {"error_code": _INVALID_ARGUMENT, "error_message": reason}
        return bytes(self._response(error_response=error).SerializeToString())


def _described(package: str) -> Package:
    question = tuple(
        Field(name, number, "string", choice=_ASKED)
        for name, number in (
            ("file_by_filename", 3),
            ("file_containing_symbol", 4),
            ("all_extension_numbers_of_type", 6),
            ("list_services", 7),
        )
    )
    return build_package(
        package,
        {
            "ExtensionRequest": (Field("containing_type", 1, "string"), Field("extension_number", 2, "int32")),
            _REQUEST: (
                Field("host", 1, "string"),
                *question,
                Field("file_containing_extension", 5, "ExtensionRequest", choice=_ASKED),
            ),
            "FileDescriptorResponse": (Field("file_descriptor_proto", 1, "bytes", repeated=True),),
            "ExtensionNumberResponse": (
                Field("base_type_name", 1, "string"),
                Field("extension_number", 2, "int32", repeated=True),
            ),
            "ServiceResponse": (Field("name", 1, "string"),),
            "ListServiceResponse": (Field("service", 1, "ServiceResponse", repeated=True),),
            "ErrorResponse": (Field("error_code", 1, "int32"), Field("error_message", 2, "string")),
            _RESPONSE: (
                Field("valid_host", 1, "string"),
                Field("original_request", 2, _REQUEST),
                Field("file_descriptor_response", 4, "FileDescriptorResponse", choice=_ANSWERED),
                Field("all_extension_numbers_response", 5, "ExtensionNumberResponse", choice=_ANSWERED),
                Field("list_services_response", 6, "ListServiceResponse", choice=_ANSWERED),
                Field("error_response", 7, "ErrorResponse", choice=_ANSWERED),
            ),
        },
        services={
            _SERVICE: (Method("ServerReflectionInfo", _REQUEST, _RESPONSE, takes_stream=True, gives_stream=True),)
        },
    )
