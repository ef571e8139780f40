"""``python -m tests.support.generate --write | --check``: every committed file that is made from something else."""

import argparse
import difflib
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from tests.support.dashboards import DASHBOARDS, dashboard_json
from tests.support.gitops import ARGOCD_CM, argocd_cm
from tests.support.helm import CHART, NAMESPACE, RELEASE, ROOT, helm_template
from tests.support.reference import REFERENCE, reference_markdown

from modelservice_operator.crd.__main__ import crd_path, crd_yaml

INSTALL = ROOT / "manifests" / "install.yaml"
CHART_CRD = CHART / "files" / "crd.yaml"

_INSTALL_HEADER = f"""\
# Made by `make generate` from charts/modelservice-operator; do not edit.
# kubectl apply -f manifests/install.yaml
apiVersion: v1
kind: Namespace
metadata:
  name: {NAMESPACE}
  labels:
    pod-security.kubernetes.io/enforce: restricted
    pod-security.kubernetes.io/warn: restricted
"""


def install_manifest() -> str:
    """The chart with its default values, and the namespace that ``helm install --create-namespace`` would make."""
    return _INSTALL_HEADER + helm_template(release=RELEASE)


# In this order: the chart is rendered with the CRD that was written before.
GENERATED: Mapping[Path, Callable[[], str]] = {
    crd_path(ROOT): crd_yaml,
    CHART_CRD: crd_yaml,
    **{CHART / "files" / "dashboards" / f"{one.name}.json": partial(dashboard_json, one) for one in DASHBOARDS},
    INSTALL: install_manifest,
    REFERENCE: reference_markdown,
    ARGOCD_CM: argocd_cm,
}


def drift() -> Iterator[str]:
    """Lines of a unified diff from what is committed to what should be; none if all is current."""
    for path, make in GENERATED.items():
        found = path.read_text(encoding="utf-8") if path.exists() else ""
        name = str(path.relative_to(ROOT))
        yield from difflib.unified_diff(found.splitlines(True), make().splitlines(True), name, f"{name} (generated)")


def write() -> None:
    """Write all generated files that are not current."""
    for path, make in GENERATED.items():
        content = make()
        if not path.exists() or path.read_text(encoding="utf-8") != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
            sys.stdout.write(f"written: {path.relative_to(ROOT)}\n")


def main(arguments: list[str]) -> int:
    """Write, or print the drift and end with 1 if there is any."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.generate", description=__doc__)
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("--write", action="store_true", help="write what is not current")
    mode.add_argument("--check", action="store_true", help="print a diff and exit with 1 on drift")
    if parser.parse_args(arguments).write:
        write()
        return 0
    lines = list(drift())
    sys.stdout.writelines(lines)
    return int(bool(lines))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
