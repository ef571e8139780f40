"""The command ``modelservice``: train, compress, pack, serve, inspect, predict, explain, cluster, completion, and more.

``stage`` and ``delete-artifacts`` are what pods of the operator run. Each imports what it needs when it runs.
"""

import argparse
import errno
import os
import sys
from collections.abc import Callable, Sequence

import modelservice
from modelservice.cli.ask import add_ask
from modelservice.cli.cluster import add_cluster
from modelservice.cli.common import complain, tell_keys
from modelservice.cli.completion import add_completion, complete
from modelservice.cli.compress import add_compress
from modelservice.cli.delete_artifacts import add_delete_artifacts
from modelservice.cli.inspect import add_inspect
from modelservice.cli.pack import add_pack
from modelservice.cli.serve import add_serve
from modelservice.cli.stage import add_stage
from modelservice.cli.streams import settle_streams
from modelservice.cli.train import add_train
from modelservice.contract.exit_codes import ExitCode

_INTERRUPTED = 128 + 2
_READER_GONE = 1
_NOT_WRITTEN = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
"""What befalls stdout, where it is a file; who reads and writes other files says it of these by their names."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; errors that a user can mend are printed without a traceback."""
    settle_streams()
    parser = build_parser()
    complete(parser)
    parsed = parser.parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = parsed.command
    tell_keys(parsed)
    try:
        code = command(parsed)
        sys.stdout.flush()
    except KeyboardInterrupt:
        complain("interrupted")
        return _INTERRUPTED
    except BrokenPipeError:  # as in `modelservice inspect out/iris | head -1`
        _leave_stdout()
        return _READER_GONE
    except OSError as error:
        if error.errno not in _NOT_WRITTEN or error.filename is not None:
            raise
        complain(f"what it says cannot be written: {error.strerror or error}")
        _leave_stdout()
        return ExitCode.TRY_AGAIN
    except ModuleNotFoundError as error:
        extra = "trainer" if error.name == "torch" else parsed.extra
        complain(f"{error}: this command needs the {extra}'s image, or the extra `{extra}` (pip install '.[{extra}]')")
        return ExitCode.ORDER_INVALID
    return code


def _leave_stdout() -> None:
    """Let nothing be written any more, or Python complains when it flushes at its end."""
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123 - a device
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def build_parser() -> argparse.ArgumentParser:
    """The command line as argparse knows it."""
    parser = argparse.ArgumentParser(
        prog="modelservice", description="From data to a served model, from the same file as in the cluster."
    )
    parser.add_argument("--version", action="version", version=f"modelservice {modelservice.__version__}")
    parser.set_defaults(extra="trainer")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    adding = (
        add_train,
        add_compress,
        add_pack,
        add_serve,
        add_inspect,
        add_ask,
        add_cluster,
        add_completion,
        add_stage,
        add_delete_artifacts,
    )
    for add in adding:
        add(commands)
    return parser
