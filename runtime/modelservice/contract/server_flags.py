"""The flags of ``modelservice serve``, spelled once: the operator writes them into pods, the command reads them."""

from dataclasses import dataclass, field
from typing import Final

from modelservice.contract.access import Access
from modelservice.contract.history import PastRevision, write_history
from modelservice.contract.places import SERVING_PORT
from modelservice.contract.serving import Batching, Engine, Inputs, MissingColumns, UnknownColumns

COMMAND: Final = "serve"
MODEL: Final = "--model"
NAME: Final = "--name"
DIGEST: Final = "--digest"
HOST: Final = "--host"
PORT: Final = "--port"
GRPC_PORT: Final = "--grpc-port"
ENGINE: Final = "--engine"
REVISION: Final = "--revision"
HISTORY: Final = "--history"
ACCESS: Final = "--access"
SECRETS: Final = "--secrets"
STATUS_PORT: Final = "--status-port"
UNKNOWN_COLUMNS: Final = "--unknown-columns"
MISSING_COLUMNS: Final = "--missing-columns"
CACHE: Final = "--cache"
CACHE_SIZE: Final = "--cache-size"
ENCODER: Final = "--encoder"

ANY_HOST: Final = "::"
"""Every address of a pod, IPv6 and IPv4 alike; where there is no IPv6, IPv4 alone."""
FIRST_REVISION: Final = 1
"""As a server calls what it serves if nobody says a number, such as on a laptop."""
ENGINES: Final = {engine.value.lower(): engine for engine in Engine}
"""Engines as the command line spells them."""


@dataclass(frozen=True, kw_only=True)
class ServerFlags:
    """What a server is told.

    Attributes:
        model: address of the artifact: a folder, or the URI of an object storage.
        name: name of the model in all paths.
        digest: what the artifact's digest must be, or None to take what is there.
        host: address to listen on.
        port: port of HTTP; 0 takes a free one.
        grpc_port: port of gRPC, or None for a server without it.
        engine: what computes the model.
        batching: how requests share forward passes.
        revision: number of the revision, which clients know as the model's version.
        history: the revision and those before it, which the page of the model tells of; left out where none is told.
        access: who may call, and how much; written as JSON, and left out where nothing is said.
        secrets: folder with what callers are known by, where ``access`` names any.
        inputs: what requests may get wrong; left out where that is nothing.
        cache: folder in which what is downloaded is kept, or None to keep nothing.
        cache_size: most bytes that are kept there, as a quantity.
        encoder: address of the service that a head asks for the numbers of rows, or None for what asks none.
        status_port: port of probes and metrics, or None where they are answered on that of HTTP.
    """

    model: str
    name: str
    digest: str | None = None
    host: str = ANY_HOST
    port: int = SERVING_PORT
    grpc_port: int | None = None
    engine: Engine = Engine.ONNX
    batching: Batching = field(default_factory=Batching)
    revision: int = FIRST_REVISION
    history: tuple[PastRevision, ...] = ()
    access: Access = field(default_factory=Access)
    secrets: str | None = None
    status_port: int | None = None
    inputs: Inputs = field(default_factory=Inputs)
    cache: str | None = None
    cache_size: str | None = None
    encoder: str | None = None


def port_flag(transport: str) -> str:
    """The flag that says the port of a transport, given its name."""
    return PORT if transport == "http" else f"--{transport}-port"


def batch_flag(name: str) -> str:
    """The flag of a field of ``Batching``, given its name, such as ``--batch-max-size``."""
    return f"--batch-{name.replace('_', '-')}"


def server_arguments(flags: ServerFlags) -> list[str]:
    """Arguments of the command ``modelservice``, ``serve`` first; what is None is left out."""
    values: dict[str, object] = {
        MODEL: flags.model,
        NAME: flags.name,
        DIGEST: flags.digest,
        REVISION: flags.revision,
        HISTORY: write_history(flags.history) if flags.history else None,
        HOST: flags.host,
        PORT: flags.port,
        GRPC_PORT: flags.grpc_port,
        STATUS_PORT: flags.status_port,
        SECRETS: flags.secrets,
        CACHE: flags.cache,
        CACHE_SIZE: flags.cache_size,
        ENCODER: flags.encoder,
        ACCESS: flags.access.model_dump_json(exclude_defaults=True) if flags.access != Access() else None,
        ENGINE: flags.engine.value.lower(),
        **{batch_flag(name): value for name, value in flags.batching},
        **{flag: said.value for flag, said in _inputs(flags.inputs).items() if said.value != "Error"},
    }
    return [COMMAND, *(f"{flag}={value}" for flag, value in values.items() if value is not None)]


def _inputs(inputs: Inputs) -> dict[str, UnknownColumns | MissingColumns]:
    return {UNKNOWN_COLUMNS: inputs.unknown_columns, MISSING_COLUMNS: inputs.missing_columns}
