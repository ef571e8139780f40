"""What commands have in common."""

import argparse
import gc
import sys
from typing import Final, TypeAlias

_OBJECTS: Final = 50_000
"""Made and not let go again, between two looks for garbage; Python's own is 700."""
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


def collect_rarely() -> None:
    """Let Python look for garbage less often: torch's import makes a million objects, all of which stay."""
    gc.set_threshold(_OBJECTS)


def complain(message: str, *, field: str | None = None) -> None:
    """An error, and the field of the ModelService to change, on stderr."""
    where = f" (see {field})" if field and field not in message else ""
    sys.stderr.write(f"error: {message}{where}\n")
