"""The CustomResourceDefinition of ModelService."""

from typing import Any, Final

from modelservice.contract.base import DNS_LABEL_PATTERN, MAX_NAME_LENGTH
from modelservice.contract.resource import GROUP, KIND, VERSION, ModelServiceSpec
from modelservice_operator.crd.schema import Schema, structural_schema
from modelservice_operator.crd.status import NOT_OBSERVED, ModelServiceStatus

PLURAL: Final = "modelservices"
NAME: Final = f"{PLURAL}.{GROUP}"


def build_crd() -> dict[str, Any]:
    """The definition as it is applied; the same for the same contract, whatever the machine."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": NAME,
            "labels": {"app.kubernetes.io/name": "modelservice-operator", "app.kubernetes.io/component": "crd"},
        },
        "spec": {
            "group": GROUP,
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": KIND.lower(),
                "shortNames": ["mdsvc"],
                # Not in `all`: `kubectl delete all --all` must not delete models.
                "categories": ["ml"],
            },
            "scope": "Namespaced",
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {
                        "status": {},
                        "scale": {
                            "specReplicasPath": ".spec.serving.replicas",
                            "statusReplicasPath": ".status.replicas",
                            "labelSelectorPath": ".status.selector",
                        },
                    },
                    "additionalPrinterColumns": _printer_columns(),
                    "schema": {"openAPIV3Schema": _root_schema()},
                }
            ],
        },
    }


def _root_schema() -> Schema:
    return {
        "description": "A model as a service: data in, a trained model behind an endpoint out.",
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"description": "Version of this schema.", "type": "string"},
            "kind": {"description": KIND, "type": "string"},
            "metadata": {"type": "object", "properties": {"name": {"type": "string"}}},
            "spec": structural_schema(ModelServiceSpec),
            # What has no status at all passes for done with kstatus, by which Flux and others judge.
            "status": {**structural_schema(ModelServiceStatus), "default": {"observedGeneration": NOT_OBSERVED}},
        },
        "x-kubernetes-validations": [
            {
                "rule": f"self.metadata.name.size() <= {MAX_NAME_LENGTH}",
                "message": f"the name may have at most {MAX_NAME_LENGTH} characters: children append to it",
                "fieldPath": ".metadata.name",
            },
            {
                "rule": f"self.metadata.name.matches('{DNS_LABEL_PATTERN}')",
                "message": "the name is a DNS label: a letter, then letters, digits or '-', all lower case",
                "fieldPath": ".metadata.name",
            },
        ],
    }


def _printer_columns() -> list[dict[str, Any]]:
    ready = '.status.conditions[?(@.type=="Ready")]'
    return [
        _column("Ready", f"{ready}.status"),
        _column("Stage", ".status.stage"),
        _column("Progress", ".status.progress"),
        _column("ETA", ".status.eta"),
        _column("Revision", ".status.revision", kind="integer"),
        _column("Metric", ".status.metric"),
        _column("Replicas", ".status.replicas", kind="integer"),
        _column("URL", ".status.url"),
        _column("Age", ".metadata.creationTimestamp", kind="date"),
        _column("Reason", f"{ready}.reason", wide=True),
        _column("Digest", ".status.digest", wide=True),
        _column("Server", ".status.serverImage", wide=True),
        _column("Runtime Current", '.status.conditions[?(@.type=="RuntimeCurrent")].status', wide=True),
        _column("Source", ".status.source", wide=True),
        _column("Encoder", ".status.encoder.name", wide=True),
        _column("Used By", ".status.usedBy", wide=True),
    ]


def _column(name: str, path: str, *, kind: str = "string", wide: bool = False) -> dict[str, Any]:
    return {"name": name, "type": kind, "jsonPath": path, **({"priority": 1} if wide else {})}
