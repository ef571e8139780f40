"""Every situation of docs/status.md, judged by what Argo CD and Flux have: the table and its quick test hold."""

from typing import Any

import pytest
import yaml
from tests.support.document_runs import ARGO_CD
from tests.support.documents import typed_by
from tests.support.e2e import Space
from tests.support.gitops import ARGOCD_CM, health, kstatus
from tests.support.gitops_health import judge
from tests.support.situations import SITUATIONS, see
from tests.support.typing_in import terminal

from modelservice_operator.kinds import CONFIG_MAP


def variants(service: dict[str, Any]) -> list[dict[str, Any]]:
    """An object, and the same after its spec changed, without a status, and while it is being deleted."""
    metadata = service["metadata"]
    return [
        service,
        {**service, "metadata": {**metadata, "generation": metadata["generation"] + 1}},
        {key: value for key, value in service.items() if key != "status"},
        {**service, "metadata": {**metadata, "deletionTimestamp": "2026-01-01T00:00:00Z"}},
    ]


def test_argo_cd_and_flux_judge_as_the_table_says() -> None:
    objects = [one for situation in SITUATIONS for one in variants(see(situation).service)]
    judged = [(argo_cd, flux.status) for argo_cd, flux in judge(objects)]
    assert judged == [(health(one), kstatus(one)) for one in objects]


@pytest.mark.cluster
def test_the_patch_brings_the_check_and_leaves_what_else_is_set(space: Space) -> None:
    ours = {"url": "https://argocd.example.com"}
    metadata = {"name": "argocd-cm", "namespace": space.name}
    space.administer({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": ours})
    with terminal(space.admin, space.name) as shell:
        shell.type(typed_by(ARGO_CD, "docs/how-to/argo-cd.md"), instead={"--namespace argocd ": ""})
    patched = space.api.get(CONFIG_MAP, space.name, "argocd-cm")
    assert patched is not None
    assert patched["data"] == {**ours, **yaml.safe_load(ARGOCD_CM.read_text(encoding="utf-8"))["data"]}
