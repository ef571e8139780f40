"""What commands have in common."""

import argparse
import gc
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from modelservice.contract.places import ENCRYPTION_KEYS_ENV
from modelservice.contract.serving import Engine

if TYPE_CHECKING:
    from modelservice.inference.engine import EngineLoader

_OBJECTS: Final = 50_000
"""Made and not let go again, between two looks for garbage; Python's own is 700."""
_LAST_PORT: Final = 65_535
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_command(commands: Commands, name: str, summary: str, examples: str) -> argparse.ArgumentParser:
    """A command with a summary and, below its options, examples."""
    return commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_encryption(parser: argparse.ArgumentParser) -> None:
    """Add the option of the keys of encrypted artifacts."""
    text = (
        "file of a key of encrypted artifacts, 32 bytes in base64, or a folder of such; the first file encrypts what is"
        f" stored; default: those in {ENCRYPTION_KEYS_ENV}"
    )
    parser.add_argument("--encryption-key", type=Path, action="append", metavar="FILE", help=text)


def tell_keys(parsed: argparse.Namespace) -> None:
    """Put the keys that are named where stores look for them, here and in processes that are started."""
    if keys := getattr(parsed, "encryption_key", None):
        os.environ[ENCRYPTION_KEYS_ENV] = os.pathsep.join(map(os.path.abspath, keys))


def collect_rarely() -> None:
    """Let Python look for garbage less often: torch's import makes a million objects, all of which stay."""
    gc.set_threshold(_OBJECTS)


def complain(message: str, *, field: str | None = None) -> None:
    """An error, and the field of the ModelService to change, on stderr."""
    where = f" (see {field})" if field and field not in message else ""
    sys.stderr.write(f"error: {message}{where}\n")


def port_number(text: str) -> int:
    """The port that a command line names.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    if not text.isdigit() or int(text) > _LAST_PORT:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: 0 to {_LAST_PORT}")
    return int(text)


def engine_loader(engine: Engine) -> "EngineLoader":
    """Engines are chosen here, so that what serves on onnxruntime never reaches torch.

    Raises:
        ModuleNotFoundError: this installation has no torch.
    """
    from modelservice.inference.onnx_engine import load_onnx_engine  # noqa: PLC0415

    if engine is Engine.ONNX:
        return load_onnx_engine
    from modelservice.families.torch_engine import load_torch_engine  # noqa: PLC0415

    return load_torch_engine
