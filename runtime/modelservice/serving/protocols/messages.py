"""Protobuf messages from the published names and numbers of their fields, without generated code."""

from collections.abc import Mapping, Sequence
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
    """A field: ``type`` is a scalar's name, or a message's full one below the package.

    ``keyed``: a map from texts to that type. ``choice``: name of the oneof that it is part of.
    """

    name: str
    number: int
    type: str
    repeated: bool = False
    keyed: bool = False
    choice: str | None = None


def build_messages(package: str, messages: Mapping[str, Sequence[Field]]) -> dict[str, type[Message]]:
    """Classes of messages by name; a name such as ``Outer.Inner`` is nested, and stands after its outer one.

    They live in a pool of their own, so another library may have messages of the same names.
    """
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    described: dict[str, Any] = {}
    for full_name, fields in messages.items():
        outer, _, name = full_name.rpartition(".")
        message = described[outer].nested_type.add(name=name) if outer else file.message_type.add(name=name)
        described[full_name] = message
        for field in fields:
            _add_field(message, f".{package}", full_name, field)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}")) for name in messages}


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
        added.type, added.type_name = _FIELD.TYPE_MESSAGE, f"{package}.{field.type}"
    if field.choice is not None:
        names = [choice.name for choice in message.oneof_decl]
        if field.choice not in names:
            message.oneof_decl.add(name=field.choice)
            names.append(field.choice)
        added.oneof_index = names.index(field.choice)
