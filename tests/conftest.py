"""Fixtures of all levels."""

from pathlib import Path

import pytest
from tests.support.cluster import NoClusterError, find_kubeconfig


@pytest.fixture(scope="session")
def kubeconfig() -> Path:
    """The kubeconfig of the cluster under test; for tests marked ``cluster``."""
    try:
        return find_kubeconfig()
    except NoClusterError as missing:
        pytest.fail(str(missing), pytrace=False)
