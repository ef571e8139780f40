"""Fixtures of all levels."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from tests.support.cluster import NoClusterError, find_kubeconfig

# Examples are the same in every run, so that a change is never refused for a fault that it did not bring;
# --hypothesis-profile=explore draws others. Neither has a clock: a busy machine is no failure.
settings.register_profile("repeatable", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
settings.register_profile("explore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def kubeconfig() -> Path:
    """The kubeconfig of the cluster under test; for tests marked ``cluster``."""
    try:
        return find_kubeconfig()
    except NoClusterError as missing:
        pytest.fail(str(missing), pytrace=False)
