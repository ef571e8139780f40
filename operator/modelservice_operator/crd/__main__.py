"""``python -m modelservice_operator.crd --write | --check``: keep the committed CRD equal to the contract."""

import argparse
import difflib
import sys
from pathlib import Path

import yaml

from modelservice_operator.crd.crd import NAME, build_crd

_HEADER = "# Made from the contract by `make generate`; do not edit.\n"


def crd_path(root: Path) -> Path:
    """Where the CRD is committed, in the checkout ``root``."""
    plural, group = NAME.split(".", 1)
    return root / "manifests" / "crds" / f"{group}_{plural}.yaml"


def crd_yaml() -> str:
    """The CRD as YAML."""
    return _HEADER + yaml.safe_dump(build_crd(), sort_keys=False, allow_unicode=True, width=120)


def main(arguments: list[str]) -> int:
    """Write the CRD, or print how the committed one differs (exit status 1)."""
    parser = argparse.ArgumentParser(prog="python -m modelservice_operator.crd", description=__doc__)
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("--write", action="store_true", help="write the CRD")
    mode.add_argument("--check", action="store_true", help="print a diff and exit with 1 if the CRD is not current")
    parser.add_argument("--root", type=Path, default=Path(), help="the checkout (default: the current folder)")
    options = parser.parse_args(arguments)
    path, desired = crd_path(options.root), crd_yaml()
    if options.write:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(desired, encoding="utf-8")
        return 0
    found = path.read_text(encoding="utf-8") if path.exists() else ""
    diff = difflib.unified_diff(found.splitlines(True), desired.splitlines(True), str(path), "from the contract")
    sys.stdout.writelines(diff)
    return int(found != desired)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
