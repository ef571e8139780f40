"""``modelservice serve``: a server for a stored model."""

import argparse
import math
import os
import re
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from modelservice.cli.common import Commands, add_command, add_encryption, complain, engine_loader, port_number
from modelservice.contract import places, server_flags
from modelservice.contract.access import Access
from modelservice.contract.base import SHA256_PATTERN, first_problem
from modelservice.contract.exit_codes import ExitCode
from modelservice.contract.history import PastRevision, read_history
from modelservice.contract.quantities import quantity_value
from modelservice.contract.serving import Batching, Engine, Inputs, MissingColumns, UnknownColumns

if TYPE_CHECKING:
    from modelservice.artifact.cache import Cache
    from modelservice.inference.predictor import Predictor

_EXAMPLES = """\
examples:
  modelservice serve -f iris.yaml                     the model that `train -f iris.yaml` stored
  modelservice serve --model models/1 --name iris --port 8000
  modelservice serve --model s3://models/team-a/iris/qp2iu6b5 --name iris --grpc-port 9000
  modelservice serve --model iris=models/1 --model wine=models/2
  modelservice serve -f iris.yaml --secrets secrets --access '{"auth": {"apiKeys": {"secretRef": {"name": "any"}}}}'
"""
_ACCESS = """'{"auth": {"apiKeys": {"secretRef": {"name": "any"}}}}'"""
_LAST_REVISION = 2**63 - 1
_BATCHING = Batching()
_CACHE_SIZE = "10Gi"


class _Served(NamedTuple):
    """What is served and how, from flags or from a ModelService; ``addresses`` are by the name of the model."""

    addresses: Mapping[str, str]
    engine: Engine
    grpc_port: int | None
    batching: Batching
    inputs: Inputs
    access: Access


def add_serve(commands: Commands) -> None:
    """Add the command; its flags are those that the operator writes into pods, and ``-f``."""
    parser = add_command(commands, server_flags.COMMAND, "answer requests with a stored model", _EXAMPLES)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("-f", "--file", type=Path, metavar="CR.yaml", help="file with the ModelService")
    model = "folder of the artifact, or its URI; NAME=ADDRESS, may be repeated: several models, one way in"
    source.add_argument(server_flags.MODEL, action="append", metavar="ADDRESS", help=model)
    parser.add_argument(server_flags.NAME, help="name of the model in the paths; needed with --model ADDRESS")
    digest = "refuse an artifact with another digest"
    parser.add_argument(server_flags.DIGEST, type=_digest, metavar="sha256:...", help=digest)
    revision = "number of the revision: the model's version in paths and answers; default: %(default)s"
    parser.add_argument(
        server_flags.REVISION, type=_revision, default=server_flags.FIRST_REVISION, metavar="N", help=revision
    )
    history = "revisions that the model's page tells of, as JSON; default: none"
    parser.add_argument(server_flags.HISTORY, type=_history, default=(), metavar="JSON", help=history)
    parser.add_argument(server_flags.HOST, default="127.0.0.1", help="address to listen on; default: %(default)s")
    port = "default: %(default)s; 0: a free one"
    parser.add_argument(server_flags.PORT, type=port_number, default=places.SERVING_PORT, metavar="PORT", help=port)
    grpc = "also answer gRPC, on this port; default: not, or what the ModelService says"
    parser.add_argument(server_flags.GRPC_PORT, type=port_number, metavar="PORT", help=grpc)
    engine = f"{' or '.join(server_flags.ENGINES)}; default: onnx, or what the ModelService says"
    parser.add_argument(server_flags.ENGINE, choices=server_flags.ENGINES, metavar="ENGINE", help=engine)
    for flag, values in (
        (server_flags.UNKNOWN_COLUMNS, UnknownColumns),
        (server_flags.MISSING_COLUMNS, MissingColumns),
    ):
        said = f"what {flag[2:].replace('-', ' ')} of requests are, {' or '.join(values)}; default: Error, or what the"
        parser.add_argument(flag, type=values, choices=values, metavar="IS", help=f"{said} ModelService says")
    access = (
        "auth, tls, limits, audit and artifact of spec.serving, as JSON; default: none, or those of the ModelService"
    )
    parser.add_argument(server_flags.ACCESS, type=_access, metavar="JSON", help=access)
    secrets = (
        f"folder with api-keys, jwks, jwks-ca and tls, folders as their Secrets are; default: {places.ACCESS_PATH}"
    )
    parser.add_argument(server_flags.SECRETS, type=Path, metavar="FOLDER", help=secrets)
    cache = "folder that keeps what is downloaded from object storage, for the next time; default: none"
    parser.add_argument(server_flags.CACHE, type=_folder, metavar="FOLDER", help=cache)
    size = "most bytes that are kept there, such as 500Mi; default: %(default)s"
    parser.add_argument(server_flags.CACHE_SIZE, type=_bytes, default=_CACHE_SIZE, metavar="SIZE", help=size)
    encoder = "address of the encoder that a head asks for the numbers of rows, such as http://localhost:8081"
    parser.add_argument(server_flags.ENCODER, metavar="URL", help=encoder)
    status = "answer probes and metrics on this port too, in plain HTTP and to everybody; default: not"
    parser.add_argument(server_flags.STATUS_PORT, type=port_number, metavar="PORT", help=status)
    add_encryption(parser)
    for name, default in _BATCHING:
        text = f"default: {default}, or what the ModelService says"
        parser.add_argument(server_flags.batch_flag(name), dest=name, type=int, metavar="N", help=text)
    parser.set_defaults(command=_serve, parser=parser, extra="server")


def _serve(parsed: argparse.Namespace) -> int:
    served = _from_flags(parsed) if parsed.file is None else _from_resource(parsed)
    if served is None:
        return ExitCode.ORDER_INVALID
    if parsed.secrets is not None and served.access.auth is None and served.access.tls is None:
        complain(
            f"{server_flags.SECRETS} is given, and nothing asks for what is in it: set spec.serving.auth or"
            f" spec.serving.tls in the ModelService (or {server_flags.ACCESS}), or leave it out to serve everybody"
        )
        return ExitCode.ORDER_INVALID

    from modelservice.artifact.changes import changes_at  # noqa: PLC0415
    from modelservice.artifact.errors import ArtifactError  # noqa: PLC0415
    from modelservice.serving.errors import NotServedError  # noqa: PLC0415
    from modelservice.serving.main import serve  # noqa: PLC0415
    from modelservice.serving.switching import Source, is_loading  # noqa: PLC0415

    ports = {"http": parsed.port, "grpc": served.grpc_port, "status": parsed.status_port}
    _check_ports(parsed.parser, ports)
    try:
        load = partial(
            _loaded,
            encoder=parsed.encoder,
            digest=parsed.digest,
            engine=engine_loader(served.engine),
            keep_files=served.access.artifact is not None,
        )
        code = serve(
            *(
                Source(
                    name,
                    partial(load, address, cache=_cache(parsed, address)),
                    changes_at(address) if parsed.digest is None else None,
                    parsed.revision,
                    parsed.history,
                )
                for name, address in served.addresses.items()
            ),
            host=parsed.host,
            ports={name: port for name, port in ports.items() if port is not None},
            batching=served.batching,
            inputs=served.inputs,
            access=served.access,
            secrets=parsed.secrets or Path(places.ACCESS_PATH),
        )
    except ArtifactError as error:
        complain(str(error))
        return ExitCode.ORDER_INVALID
    except NotServedError as error:
        complain(str(error))
        return error.exit_code
    if is_loading():  # onnxruntime aborts in a thread that the interpreter ends with itself
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def _check_ports(parser: argparse.ArgumentParser, ports: Mapping[str, int | None]) -> None:
    """Refuse one port for two: both would listen, as far as the system lets them, and one hear nothing."""
    flags = {"http": server_flags.PORT, "grpc": server_flags.GRPC_PORT, "status": server_flags.STATUS_PORT}
    taken: dict[int, str] = {}
    for name, port in ports.items():
        if port and (other := taken.setdefault(port, name)) != name:
            parser.error(f"{flags[name]}: {port} is the port of {flags[other]}, too: name another one")


def _loaded(address: str, *, encoder: str | None, **how: Any) -> "Predictor":
    """A model that can answer; for arguments and errors see ``Predictor.load``."""
    from modelservice.artifact.errors import ArtifactError  # noqa: PLC0415
    from modelservice.inference.asked_encoder import unnamed  # noqa: PLC0415
    from modelservice.inference.predictor import Predictor  # noqa: PLC0415

    predictor = Predictor.load(address, encoder=encoder, **how)
    if encoder is None and (asked := predictor.manifest.encoder) is not None:
        raise ArtifactError(unnamed(asked))
    return predictor


def _cache(parsed: argparse.Namespace, address: str) -> "Cache | None":
    if parsed.cache is None:
        return None
    if "://" not in address:
        sys.stderr.write(f"note: {server_flags.CACHE} is not used: {address} is a folder, and nothing is downloaded\n")
        return None
    from modelservice.artifact.cache import Cache  # noqa: PLC0415 - locks of Unix, which a laptop may not have

    return Cache(parsed.cache, limit=parsed.cache_size)


def _from_flags(parsed: argparse.Namespace) -> _Served:
    addresses = _addresses(parsed)
    engine = server_flags.ENGINES[parsed.engine or Engine.ONNX.value.lower()]
    access = parsed.access or Access()
    batching, inputs = _batching(parsed, _BATCHING), _inputs(parsed, Inputs())
    return _Served(addresses, engine, parsed.grpc_port, batching, inputs, access)


def _addresses(parsed: argparse.Namespace) -> dict[str, str]:
    """Where models are, by name: ``--name`` says the one of a lone address, all others say it themselves."""
    parser: argparse.ArgumentParser = parsed.parser
    given: list[str] = parsed.model
    if len(given) == 1 and parsed.name is not None:
        return {parsed.name: given[0]}
    if parsed.name is not None:
        parser.error(f"{server_flags.NAME} names one model, and {len(given)} are given: write each as NAME=ADDRESS")
    named = [re.fullmatch(r"([^=/:?#\s]+)=(.+)", one) for one in given]
    if None in named:
        wrong = given[named.index(None)]
        remedy = f"{server_flags.MODEL} NAME={wrong}, or {server_flags.NAME} beside a lone address"
        parser.error(f"{server_flags.MODEL} {wrong}: has no name; write {remedy}")
    of_one = {
        server_flags.DIGEST: parsed.digest,
        server_flags.REVISION: parsed.revision - server_flags.FIRST_REVISION,
        server_flags.HISTORY: parsed.history,
    }
    for flag in (flag for flag, value in of_one.items() if value and len(given) > 1):
        parser.error(f"{flag} is that of one model, and {len(given)} are given: start a server for each")
    addresses: dict[str, str] = {}
    for name, address in (one.groups() for one in named if one is not None):
        if name in addresses:
            parser.error(f"{server_flags.MODEL} {name}={address}: there is another model of this name; names differ")
        addresses[name] = address
    return addresses


def _from_resource(parsed: argparse.Namespace) -> _Served | None:
    """None, and a sentence on stderr, where the file holds no ModelService."""
    from modelservice.stages.documents import ResourceError, default_output, read_resource  # noqa: PLC0415

    try:
        service = read_resource(parsed.file).service
    except ResourceError as error:
        complain(str(error))
        return None
    name, serving = service.metadata.name, service.spec.serving
    engine = serving.engine or Engine.ONNX
    grpc_port = places.GRPC_PORT if serving.grpc is not None else None
    return _Served(
        addresses={parsed.name or name: str(default_output(name))},
        engine=server_flags.ENGINES[parsed.engine] if parsed.engine else engine,
        grpc_port=grpc_port if parsed.grpc_port is None else parsed.grpc_port,
        batching=_batching(parsed, serving.batching),
        inputs=_inputs(parsed, serving.inputs),
        access=parsed.access or serving.access,
    )


def _batching(parsed: argparse.Namespace, default: Batching) -> Batching:
    """The flags that were given over what is said elsewhere."""
    from pydantic import ValidationError  # noqa: PLC0415

    given = {name: getattr(parsed, name) for name in Batching.model_fields}
    parser: argparse.ArgumentParser = parsed.parser
    chosen = {name: getattr(default, name) if value is None else value for name, value in given.items()}
    try:
        return Batching(**chosen)
    except ValidationError as error:
        wrong = error.errors()[0]
        name = next(name for name, field in Batching.model_fields.items() if wrong["loc"][0] in {name, field.alias})
        parser.error(f"{server_flags.batch_flag(name)}: {wrong['msg']}")


def _inputs(parsed: argparse.Namespace, default: Inputs) -> Inputs:
    """The flags that were given over what is said elsewhere."""
    return Inputs(
        unknown_columns=parsed.unknown_columns or default.unknown_columns,
        missing_columns=parsed.missing_columns or default.missing_columns,
    )


def _access(text: str) -> Access:
    from pydantic import ValidationError  # noqa: PLC0415

    try:
        return Access.model_validate_json(text)
    except ValidationError as error:
        members = ", ".join(str(field.alias) for field in Access.model_fields.values())
        expected = f"expected an object of {members}, as under spec.serving, such as {_ACCESS}"
        raise argparse.ArgumentTypeError(f"{first_problem(error)}; {expected}") from None


def _digest(text: str) -> str:
    if re.fullmatch(SHA256_PATTERN, text) is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no digest: sha256: and 64 digits of 0-9a-f, as inspect says it")
    return text


def _revision(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= _LAST_REVISION:
        raise argparse.ArgumentTypeError(f"{text!r} is not the number of a revision: 1 to {_LAST_REVISION}")
    return int(text)


def _history(text: str) -> tuple[PastRevision, ...]:
    from pydantic import ValidationError  # noqa: PLC0415

    try:
        return read_history(text)
    except ValidationError as error:
        expected = """expected a list of revisions, such as '[{"number": 1, "digest": "sha256:..."}]'"""
        raise argparse.ArgumentTypeError(f"{first_problem(error)}; {expected}") from None


def _folder(text: str) -> Path:
    """A folder, also one that is not there yet; ``~`` is resolved, which a shell leaves alone behind ``=``."""
    try:
        folder = Path(text).expanduser()
        is_file = folder.is_file()
    except (RuntimeError, OSError) as error:
        raise argparse.ArgumentTypeError(f"{text!r} cannot be used: {error}") from None
    if is_file:
        raise argparse.ArgumentTypeError(f"{text!r} is a file: name a folder, which is made where there is none")
    return folder


def _bytes(text: str) -> int:
    try:
        size = math.ceil(quantity_value(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if size <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} holds nothing: name at least 1 byte")
    return size
