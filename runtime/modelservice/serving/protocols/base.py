"""What a protocol answers: its routes over HTTP with their documentation, and its services over gRPC.

Bytes in, bytes out: a protocol knows neither the framework nor the connection, and reads rows by the model's encoder
and writes outputs by its task, so it knows neither tables nor classes.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from modelservice.modalities.base import STRICT, Tolerance
from modelservice.serving.answer import Answer
from modelservice.serving.calls import Call
from modelservice.serving.metrics import Statistics
from modelservice.serving.model import ServedModel

Schema = dict[str, Any]
"""A JSON schema."""


class Documentation(NamedTuple):
    """What ``/docs`` shows of an operation; ``example`` is a request that the model answers at the start.

    ``uploads``: what else than JSON it takes, by media type.
    """

    summary: str
    request: Schema
    example: dict[str, Any]
    response: Schema
    uploads: Mapping[str, Schema] = MappingProxyType({})


class Operation(NamedTuple):
    """A POST that asks for an inference.

    ``template`` is the path by which metrics know it. ``parse`` takes the decoded body and its
    Inference-Header-Content-Length. Without documentation the path is another name of a documented one. One that is
    ``costly`` makes much of a small body: it is parsed and rendered in a thread, as large ones are. ``quick`` takes the
    same as ``parse``, and tells of a large body whether it is parsed in next to no time nevertheless.
    """

    path: str
    template: str
    parse: Callable[[bytes, bytes | None], Call[Answer]]
    documentation: Documentation | None = None
    costly: bool = False
    quick: Callable[[bytes, bytes | None], bool] = lambda _body, _header_length: False


class Spoken(NamedTuple):
    """A model as protocols speak of it.

    ``name`` and ``version`` stand in paths and answers; ``tolerance`` is what requests may get wrong, where they do not
    say it themselves.
    """

    model: ServedModel
    name: str
    version: str
    tolerance: Tolerance = STRICT


class State(NamedTuple):
    """What there is to say of a running server: whether it asks for requests, its models, and what it has done.

    ``versions`` are those of its models, by name; ``statistics`` takes a name. ``renew`` has the server serve the
    artifact that is there now, where the model of a name came from; see ``switching.Switch``.
    """

    ready: bool
    versions: Mapping[str, str]
    statistics: Callable[[str], Statistics]
    renew: Callable[[str], Awaitable[object]]


class Page(NamedTuple):
    """A GET that is answered at once. Without summary it is another name of a page.

    Of a path that several models have, such as that of all models, the first one's is asked.
    """

    path: str
    summary: str
    read: Callable[[State], Answer]


class Download(NamedTuple):
    """A GET that is answered piece by piece.

    ``etag`` identifies the content, which has ``size`` bytes; ``pieces`` are those from a byte of it to its end.
    """

    path: str
    summary: str
    media_type: str
    etag: str
    size: int
    pieces: Callable[[int], Iterator[bytes]]


class Query(NamedTuple):
    """A POST that is answered at once, from its body."""

    path: str
    summary: str
    answer: Callable[[bytes, State], Answer]


class Command(NamedTuple):
    """A POST that the server does something for before it is answered."""

    path: str
    summary: str
    answer: Callable[[bytes, State], Awaitable[Answer]]


class Rest(NamedTuple):
    """What a protocol is over HTTP."""

    operations: tuple[Operation, ...]
    pages: tuple[Page, ...]
    queries: tuple[Query, ...] = ()
    commands: tuple[Command, ...] = ()
    downloads: tuple[Download, ...] = ()


class InferMethod(NamedTuple):
    """A unary method that asks for an inference: a serialised request to a call that renders a serialised answer."""

    name: str
    parse: Callable[[bytes], Call[bytes]]


class StreamMethod(NamedTuple):
    """Inferences over a stream, each answered by a message, as is one that is refused: ``refuse`` takes the reason."""

    name: str
    parse: Callable[[bytes], Call[bytes]]
    refuse: Callable[[str], bytes]


class StateMethod(NamedTuple):
    """A unary method that is answered at once, from a serialised request."""

    name: str
    answer: Callable[[bytes, State], bytes]


class CommandMethod(NamedTuple):
    """A unary method that the server does something for before it is answered."""

    name: str
    answer: Callable[[bytes, State], Awaitable[bytes]]


class StateStreamMethod(NamedTuple):
    """Questions over a stream, each answered at once; ``refuse`` says in a message why one is not."""

    name: str
    answer: Callable[[bytes, State], bytes]
    refuse: Callable[[str], bytes]


class WatchMethod(NamedTuple):
    """One question, answered at once and again when the server no longer asks for requests."""

    name: str
    answer: Callable[[bytes, State], bytes]


AnyMethod = InferMethod | StreamMethod | StateMethod | CommandMethod | StateStreamMethod | WatchMethod


class Service(NamedTuple):
    """What a protocol is over gRPC.

    Attributes:
        name: the full one, package first.
        methods: its remote calls.
        files: descriptors for clients that ask what there is, see ``messages.Package``.
    """

    name: str
    methods: tuple[AnyMethod, ...]
    files: tuple[bytes, ...] = ()


class InferenceProtocol(Protocol):
    """One way to speak to a model. Members are stateless values in ``protocols.PROTOCOLS``."""

    name: str

    def rest(self, spoken: Spoken) -> Rest | None:
        """Its routes for a model, or None where it is not spoken over HTTP."""

    def services(self, spoken: Sequence[Spoken]) -> tuple[Service, ...]:
        """Its gRPC services for all models, none where it is not spoken over gRPC.

        Calls of their methods say which model they are of. What gRPC needs is imported only here.
        """
