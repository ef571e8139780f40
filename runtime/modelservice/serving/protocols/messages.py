"""Protobuf messages and services from the published names and numbers, without generated code."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError, Message

from modelservice.serving.errors import RequestError

_FIELD: Final = descriptor_pb2.FieldDescriptorProto
_SCALARS: Final = {
    "bool": _FIELD.TYPE_BOOL,
    "int32": _FIELD.TYPE_INT32,
    "int64": _FIELD.TYPE_INT64,
    "uint32": _FIELD.TYPE_UINT32,
    "uint64": _FIELD.TYPE_UINT64,
    "float": _FIELD.TYPE_FLOAT,
    "double": _FIELD.TYPE_DOUBLE,
    "string": _FIELD.TYPE_STRING,
    "bytes": _FIELD.TYPE_BYTES,
}


class Field(NamedTuple):
    """A field: ``type`` is a scalar's name, or a message's full one, below the package or with a dot before it.

    ``keyed``: a map from texts to that type. ``choice``: name of the oneof that it is part of. ``enumeration``: whether
    the type is one; its values are numbers here as they are on the wire, also those that it does not name.
    """

    name: str
    number: int
    type: str
    repeated: bool = False
    keyed: bool = False
    choice: str | None = None
    enumeration: bool = False


class Method(NamedTuple):
    """A remote call of a service; messages by their names below the package."""

    name: str
    request: str
    response: str
    takes_stream: bool = False
    gives_stream: bool = False


class Package(NamedTuple):
    """A described file.

    Attributes:
        messages: classes by name.
        files: serialised ``FileDescriptorProto`` of it and of those that it needs, which stand before it.
    """

    messages: dict[str, type[Message]]
    files: tuple[bytes, ...]


def build_package(
    name: str,
    messages: Mapping[str, Sequence[Field]],
    *,
    enumerations: Mapping[str, Mapping[str, int]] = MappingProxyType({}),
    services: Mapping[str, Sequence[Method]] = MappingProxyType({}),
    needs: Sequence[bytes] = (),
) -> Package:
    """Describe a file; a message's name such as ``Outer.Inner`` is nested, and stands after its outer one.

    Messages live in a pool of their own, so another library may have some of the same names.

    Args:
        name: of the package.
        messages: fields by the name of the message.
        enumerations: numbers by name, the first 0, by the name of the enumeration; nested ones as messages are.
        services: remote calls by the name of the service.
        needs: serialised files of the messages of other packages, each after those that it needs itself.
    """
    pool = descriptor_pool.DescriptorPool()
    needed = [descriptor_pb2.FileDescriptorProto.FromString(file).name for file in needs]
    file = descriptor_pb2.FileDescriptorProto(name=f"{name}.proto", package=name, syntax="proto3", dependency=needed)
    described: dict[str, Any] = {}
    for full_name, fields in messages.items():
        outer, _, inner = full_name.rpartition(".")
        message = described[outer].nested_type.add(name=inner) if outer else file.message_type.add(name=inner)
        described[full_name] = message
        for field in fields:
            _add_field(message, f".{name}", full_name, field)
    for full_name, values in enumerations.items():
        outer, _, inner = full_name.rpartition(".")
        enumeration = (described[outer] if outer else file).enum_type.add(name=inner)
        for value, number in values.items():
            enumeration.value.add(name=value, number=number)
    for service, methods in services.items():
        _add_methods(file.service.add(name=service), f".{name}", methods)
    files = (*needs, file.SerializeToString())
    for one in files:
        pool.AddSerializedFile(one)
    classes = {one: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{name}.{one}")) for one in messages}
    return Package(classes, files)


def read_message(message: type[Message], data: bytes) -> Any:
    """Parse a message.

    Raises:
        RequestError: the bytes are none.
    """
    try:
        return message.FromString(data)
    except DecodeError:
        raise RequestError(f"the message is no {message.DESCRIPTOR.full_name}") from None


def _add_field(message: Any, package: str, full_name: str, field: Field) -> None:
    added = message.field.add(name=field.name, number=field.number)
    added.label = _FIELD.LABEL_REPEATED if field.repeated or field.keyed else _FIELD.LABEL_OPTIONAL
    if field.keyed:
        entry_name = f"{field.name.title().replace('_', '')}Entry"
        entry = message.nested_type.add(name=entry_name)
        entry.options.map_entry = True
        _add_field(entry, package, f"{full_name}.{entry_name}", Field("key", 1, "string"))
        _add_field(entry, package, f"{full_name}.{entry_name}", Field("value", 2, field.type))
        added.type, added.type_name = _FIELD.TYPE_MESSAGE, f"{package}.{full_name}.{entry_name}"
    elif field.type in _SCALARS:
        added.type = _SCALARS[field.type]
    else:
        added.type = _FIELD.TYPE_ENUM if field.enumeration else _FIELD.TYPE_MESSAGE
        added.type_name = field.type if field.type.startswith(".") else f"{package}.{field.type}"
    if field.choice is not None:
        names = [choice.name for choice in message.oneof_decl]
        if field.choice not in names:
            message.oneof_decl.add(name=field.choice)
            names.append(field.choice)
        added.oneof_index = names.index(field.choice)


def _add_methods(service: Any, package: str, methods: Sequence[Method]) -> None:
    for method in methods:
        service.method.add(
            name=method.name,
            input_type=f"{package}.{method.request}",
            output_type=f"{package}.{method.response}",
            client_streaming=method.takes_stream,
            server_streaming=method.gives_stream,
        )
