"""Completion in bash and zsh, by argcomplete; kubectl asks ``kubectl_complete-modelservice`` for that of its plugin."""

import argparse
import importlib
import io
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, suppress
from typing import TYPE_CHECKING, Any, Final

from modelservice.cli.common import Commands, add_command, complain
from modelservice.contract.exit_codes import ExitCode

if TYPE_CHECKING:
    from modelservice.cluster.access import Access

ASKED: Final = "_ARGCOMPLETE"
"""Set in the environment by a shell that wants to be told how a line may go on."""
_SHELLS: Final = ("bash", "zsh")
_PATIENCE: Final = 3.0
"""Seconds that a cluster may take: a person waits with a finger on the key."""
_NO_SPACE, _NO_FILES = 2, 4
"""Directives of cobra (ShellCompDirective), as kubectl reads the last line."""
_EXAMPLES: Final = """\
examples:
  source <(modelservice completion bash)            in ~/.bashrc to have it in every shell
  source <(modelservice completion zsh)             in ~/.zshrc, after compinit

`kubectl modelservice` is completed without any of this where kubectl itself is: kubectl 1.26 or newer finds
kubectl_complete-modelservice on PATH.
"""


def add_completion(commands: Commands) -> None:
    """Add the command."""
    summary = "print what completes this command in a shell"
    parser = add_command(commands, "completion", summary, _EXAMPLES)
    parser.add_argument("shell", choices=_SHELLS, metavar="SHELL", help=" or ".join(_SHELLS))
    parser.set_defaults(command=_completion)


def _completion(parsed: argparse.Namespace) -> int:
    try:
        from argcomplete.shell_integration import shellcode  # noqa: PLC0415
    except ModuleNotFoundError:
        complain("this command needs the extra `cluster` (pip install '.[cluster]' in the checkout)")
        return ExitCode.ORDER_INVALID
    sys.stdout.write(shellcode(["modelservice"], shell=parsed.shell))
    return ExitCode.DONE


def complete(parser: argparse.ArgumentParser) -> None:
    """Answer a shell that wants to be told how its line goes on, and end the process; else nothing happens."""
    if ASKED in os.environ:
        with suppress(ModuleNotFoundError):
            import argcomplete  # noqa: PLC0415

            argcomplete.autocomplete(parser)


def kubectl(arguments: Sequence[str] | None = None) -> int:
    """``kubectl_complete-modelservice``: candidates, a line each, then a directive, as kubectl asks for them.

    Args:
        arguments: those after ``kubectl modelservice``; the last one is what is being typed, perhaps empty.
    """
    typed = list(sys.argv[1:] if arguments is None else arguments) or [""]
    candidates = _candidates(["cluster", *typed[:-1]], typed[-1])
    folders = bool(candidates) and all(one.endswith("/") for one in candidates)
    sys.stdout.write("".join(f"{one}\n" for one in candidates))
    sys.stdout.write(f":{_NO_FILES | (_NO_SPACE if folders else 0)}\n")
    return ExitCode.DONE


def _candidates(before: Sequence[str], word: str) -> list[str]:
    """How a word may go on, each with what it is, after a tab, where that is known."""
    from argcomplete.finders import CompletionFinder  # noqa: PLC0415

    from modelservice.cli import build_parser  # noqa: PLC0415 - it imports this module

    finder = CompletionFinder(build_parser(), append_space=False)
    line = f"{shlex.join(before)} {shlex.quote(word) if word else ''}"
    found: list[str] = []
    with redirect_stderr(io.StringIO()):  # a word that no parser takes is no news to who types it
        while (whole := finder.rl_complete(line, len(found))) is not None:
            found.append(f"{word}{whole[len(line) :]}")
    told = finder.get_display_completions()
    return [f"{one}\t{told[one]}" if told.get(one) else one for one in found]


def completed(action: argparse.Action, by: Callable[..., list[str]]) -> None:
    """Have the values of an option or argument completed."""
    action.completer = by  # type: ignore[attr-defined]  # where argcomplete looks


def of_names(prefix: str, parsed_args: argparse.Namespace, **_: Any) -> list[str]:
    """ModelServices of the namespace."""
    return _asked(parsed_args, lambda access: [one["metadata"]["name"] for one in access.services()], prefix)


def of_revisions(prefix: str, parsed_args: argparse.Namespace, **_: Any) -> list[str]:
    """Numbers of the revisions that are kept."""

    def numbers(access: "Access") -> list[str]:
        from modelservice.cluster.revisions import kept_revisions  # noqa: PLC0415

        return [str(number) for number in kept_revisions(access.service(parsed_args.name))]

    return _asked(parsed_args, numbers, prefix)


def of_contexts(prefix: str, parsed_args: argparse.Namespace, **_: Any) -> list[str]:
    """Contexts of the kubeconfig."""
    with suppress(Exception):  # whatever is wrong, there is nothing to offer
        kubernetes: Any = importlib.import_module("kubernetes")
        contexts, _current = kubernetes.config.list_kube_config_contexts(parsed_args.kubeconfig)
        return [one["name"] for one in contexts if one["name"].startswith(prefix)]
    return []


def _asked(parsed: argparse.Namespace, ask: "Callable[[Access], list[str]]", prefix: str) -> list[str]:
    """What a cluster says, where it says anything soon."""
    with suppress(Exception):  # whatever is wrong, there is nothing to offer, and the command itself will say it
        from modelservice.cluster.access import Access  # noqa: PLC0415

        access = Access(
            kubeconfig=parsed.kubeconfig, context=parsed.context, namespace=parsed.namespace, timeout=_PATIENCE
        )
        return [one for one in ask(access) if one.startswith(prefix)]
    return []
