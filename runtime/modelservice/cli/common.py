"""What commands have in common."""

import argparse
import sys
from typing import TypeAlias

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


def complain(message: str, *, field: str | None = None) -> None:
    """An error, and the field of the ModelService to change, on stderr."""
    where = f" (see {field})" if field and field not in message else ""
    sys.stderr.write(f"error: {message}{where}\n")
