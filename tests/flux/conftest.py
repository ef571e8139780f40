"""A namespace of a team on the cluster, and the operator."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cluster import pki
from tests.support.e2e import Api, Space
from tests.support.installation import Installation

USER = "flux-user"


@pytest.fixture
def space(kubeconfig: Path) -> Iterator[Space]:
    api, user = Api(kubeconfig), pki.user_kubeconfig(USER)
    made = Space(name=f"flux-{secrets.token_hex(2)}", api=api, admin=kubeconfig, user=user, user_name=USER)
    made.create()
    yield made
    made.remove()


@pytest.fixture
def installation(space: Space) -> Iterator[Installation]:
    """The operator of this checkout; what a demo installed is upgraded, and stays."""
    made = Installation(api=space.api, admin=space.admin)
    found = made.was_there()
    made.install()
    yield made
    if not found:
        made.uninstall()
