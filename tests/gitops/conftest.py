"""What GitOps tools make of ModelServices, in a target of its own: ``make gitops`` builds what judges first."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cluster import pki
from tests.support.e2e import Api, Space

USER = "gitops-user"


@pytest.fixture(scope="session")
def api(kubeconfig: Path) -> Api:
    return Api(kubeconfig)


@pytest.fixture(scope="module")
def space(api: Api, kubeconfig: Path) -> Iterator[Space]:
    """A namespace of a team."""
    user = pki.user_kubeconfig(USER)
    made = Space(name=f"gitops-{secrets.token_hex(2)}", api=api, admin=kubeconfig, user=user, user_name=USER)
    made.create()
    yield made
    made.remove()
