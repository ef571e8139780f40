"""What GitOps tools make of a ModelService: Argo CD by our health check, Flux and Helm by the rules of kstatus."""

import functools
from typing import Any, NamedTuple

from lupa.lua51 import LuaRuntime
from tests.support.helm import ROOT

Object = dict[str, Any]

HEALTH = ROOT / "manifests" / "argocd" / "health.lua"
ARGOCD_CM = ROOT / "manifests" / "argocd" / "argocd-cm.yaml"
HEALTH_KEY = "resource.customizations.health.modelservice.dev_ModelService"
_WORDS = {"Current": "ready", "InProgress": "in progress", "Failed": "failed", "Terminating": "going"}


class Health(NamedTuple):
    """What Argo CD shows."""

    status: str
    message: str


def health(obj: Object) -> Health:
    """What the health check says of an object, by Lua 5.1, which is Argo CD's."""
    said = _check()(_runtime().table_from(obj, recursive=True))
    return Health(said["status"], said["message"])


@functools.cache
def _runtime() -> LuaRuntime:
    return LuaRuntime(register_eval=False, register_builtins=False)


@functools.cache
def _check() -> Any:
    return _runtime().execute(f"return function(obj) {HEALTH.read_text(encoding='utf-8')}\nend")


def argocd_cm() -> str:
    """The patch of Argo CD's ConfigMap that brings the health check."""
    script = "".join(f"    {line}\n" for line in HEALTH.read_text(encoding="utf-8").splitlines())
    return f"""\
# Made by `make generate` from health.lua; do not edit.
# kubectl patch configmap argocd-cm -n argocd --patch-file manifests/argocd/argocd-cm.yaml
data:
  {HEALTH_KEY}: |
{script}"""


def kstatus(obj: Object) -> str:
    """The status of a custom resource by kstatus: Current, InProgress, Failed or Terminating."""
    metadata, status = obj["metadata"], obj.get("status", {})
    if metadata.get("deletionTimestamp"):
        return "Terminating"
    if status.get("observedGeneration", metadata["generation"]) != metadata["generation"]:
        return "InProgress"
    conditions = {one["type"]: one["status"] for one in status.get("conditions", ())}
    for kind, meaning in (("Reconciling", "InProgress"), ("Stalled", "Failed")):
        if conditions.get(kind) == "True":
            return meaning
    return "Current" if conditions.get("Ready", "True") == "True" else "InProgress"


def flux_word(status: str) -> str:
    """What our documents call it."""
    return _WORDS[status]
