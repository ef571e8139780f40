"""Fixtures of all levels."""

import gc
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from tests.support.cluster import NoClusterError, find_kubeconfig

from modelservice.serving.garbage import GARBAGE_THRESHOLD

# Examples are the same in every run, so that a change is never refused for a fault that it did not bring;
# --hypothesis-profile=explore draws others, and more where tests/support/examples.py says so. Neither has a clock: a
# busy machine is no failure.
settings.register_profile("repeatable", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
settings.register_profile("explore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("repeatable")

# Each test computes little, and several processes of them share the CPUs: threads would wait for each other, at a loop.
# Those of scikit-learn's forests also change the filters of warnings under each other, and then warn of what is none.
for threads in ("OMP_NUM_THREADS", "LOKY_MAX_CPU_COUNT"):
    os.environ.setdefault(threads, "1")

# What torch and others bring are millions of objects that stay, and so do all tests. A server and a training keep
# Python from looking through them for garbage again and again, too. What outlives one look is looked through again
# after fifty, and all of it hardly ever, which is a tenth of the CPU time of tests with many small objects.
gc.set_threshold(GARBAGE_THRESHOLD, 50, 1000)


def pytest_collection_finish() -> None:
    """Leave what stays out of each look for garbage."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def kubeconfig() -> Path:
    """The kubeconfig of the cluster under test; for tests marked ``cluster``."""
    try:
        return find_kubeconfig()
    except NoClusterError as missing:
        pytest.fail(str(missing), pytrace=False)
