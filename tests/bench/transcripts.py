"""``python -m tests.bench.transcripts``: what the demo and the last end-to-end tests showed, put into the documents.

Needs the cluster on which ``make demo`` ran, and ``build/bench/e2e.json``, which a whole run of the e2e tests leaves.
"""

import json
import re
import sys

from tests.bench.record import FOLDER, README, ROOT, Figure, publish, replace_block
from tests.support.cluster import kubectl

NAMESPACE = "modelservice-demo"

TRANSCRIPTS: dict[str, tuple[tuple[str, ...], ...]] = {
    "get": (
        ("kubectl", "get", "mdsvc", "-n", NAMESPACE),
        ("kubectl", "wait", "--for=condition=Ready", "mdsvc/iris", "-n", NAMESPACE, "--timeout=60s"),
        ("kubectl", "get", "mdsvc", "iris", "-n", NAMESPACE, "-o", "jsonpath={.status.example}"),
    ),
    "explain": (("kubectl", "explain", "modelservice.spec.training"),),
    "dry-run": (
        ("kubectl", "apply", "--dry-run=server", "-n", NAMESPACE, "-f", "manifests/samples/iris.yaml"),
        *(
            ("kubectl", "apply", "--dry-run=server", "-n", NAMESPACE, "-f", f"tests/data/bad/{name}")
            for name in ("data-two-sources.yaml", "autoscaling-bounds-swapped.yaml", "field-misspelt.yaml")
        ),
    ),
}
_LONGEST = 40
"""Lines of one command that the README shows."""


def transcript(commands: tuple[tuple[str, ...], ...]) -> str:
    """Commands and what they print, as a fenced block."""
    return "\n".join(["```console", *(_said(command) for command in commands), "```"])


def _said(command: tuple[str, ...]) -> str:
    done = kubectl(*command[1:], timeout=120)
    said = re.sub(re.escape(f"{ROOT}/"), "", (done.stdout + done.stderr).rstrip())
    lines = [line.rstrip() for line in said.splitlines()]
    if len(lines) > _LONGEST:
        lines = [*lines[:_LONGEST], f"... ({len(lines) - _LONGEST} more lines)"]
    return "\n".join([f"$ {' '.join(command)}", *lines])


def main() -> int:
    """Rewrite the README's transcripts, and the figures of the end-to-end tests."""
    text = README.read_text(encoding="utf-8")
    for name, commands in TRANSCRIPTS.items():
        text = replace_block(text, f"output-{name}", transcript(commands))
    seen = [Figure(**figure) for figure in json.loads((FOLDER / "e2e.json").read_text(encoding="utf-8"))]
    README.write_text(text, encoding="utf-8")
    publish("e2e", seen, caption="The end-to-end tests, as a user with edit sees them")
    sys.stdout.write(f"README: {', '.join(TRANSCRIPTS)}; docs/benchmarks.md: e2e\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
