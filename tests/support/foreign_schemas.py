"""``python -m tests.support.foreign_schemas``: the schemas of other projects' resources that the documents show.

They are taken from the CRDs in the projects' own Go modules, without descriptions, and are committed: tests need no
network.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from tests.support.helm import ROOT

SCHEMAS = ROOT / "tests" / "data" / "schemas.json"

Schema = dict[str, Any]


class Source(NamedTuple):
    """A CRD in a Go module."""

    module: str
    version: str
    path: str
    api_version: str


SOURCES = (
    Source("github.com/argoproj/argo-cd/v3", "v3.2.12", "manifests/crds/application-crd.yaml", "argoproj.io/v1alpha1"),
    Source(
        "github.com/fluxcd/helm-controller",
        "v1.4.3",
        "config/crd/bases/helm.toolkit.fluxcd.io_helmreleases.yaml",
        "helm.toolkit.fluxcd.io/v2",
    ),
    Source(
        "github.com/fluxcd/kustomize-controller",
        "v1.7.3",
        "config/crd/bases/kustomize.toolkit.fluxcd.io_kustomizations.yaml",
        "kustomize.toolkit.fluxcd.io/v1",
    ),
    Source(
        "github.com/fluxcd/source-controller",
        "v1.9.4",
        "config/crd/bases/source.toolkit.fluxcd.io_gitrepositories.yaml",
        "source.toolkit.fluxcd.io/v1",
    ),
    *(
        Source(
            "sigs.k8s.io/gateway-api",
            "v1.4.1",
            f"config/crd/standard/gateway.networking.k8s.io_{plural}.yaml",
            "gateway.networking.k8s.io/v1",
        )
        for plural in ("httproutes", "grpcroutes")
    ),
)


def bare(schema: Schema) -> Schema:
    """A schema without what is for people, or for the apiserver alone."""
    kept = {name: value for name, value in schema.items() if name != "description" and not name.startswith("x-")}
    for group in ("properties", "patternProperties"):
        if group in kept:
            kept[group] = {name: bare(one) for name, one in kept[group].items()}
    for name in ("items", "additionalProperties", "not"):
        if isinstance(kept.get(name), dict):
            kept[name] = bare(kept[name])
    for name in ("allOf", "anyOf", "oneOf"):
        if name in kept:
            kept[name] = [bare(one) for one in kept[name]]
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        kept["additionalProperties"] = True
    return kept


def read(source: Source) -> Schema:
    """The schema of ``spec``, from the module as the Go proxy has it."""
    command = ["go", "mod", "download", "-json", f"{source.module}@{source.version}"]
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=True)
    document = yaml.safe_load((Path(json.loads(done.stdout)["Dir"]) / source.path).read_text(encoding="utf-8"))
    kind, version = document["spec"]["names"]["kind"], source.api_version.partition("/")[2]
    (found,) = [one for one in document["spec"]["versions"] if one["name"] == version]
    schema = bare(found["schema"]["openAPIV3Schema"]["properties"]["spec"])
    return {
        "apiVersion": source.api_version,
        "kind": kind,
        "module": f"{source.module}@{source.version}",
        "spec": schema,
    }


def _lines() -> Iterator[str]:
    for source in SOURCES:
        yield json.dumps(read(source), separators=(",", ":"), sort_keys=True)


def main() -> int:
    """Write the schemas, one a line."""
    SCHEMAS.write_text("[\n" + ",\n".join(_lines()) + "\n]\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
