"""What Argo CD and Flux make of objects: gopher-lua and kstatus in one program, tests/cluster/go/gitops-health."""

import json
import subprocess
from collections.abc import Sequence
from typing import Any

from tests.cluster.toolchain import binary
from tests.support.gitops import HEALTH, Health

Object = dict[str, Any]


def judge(objects: Sequence[Object]) -> list[tuple[Health, Health]]:
    """For each object its health in Argo CD, with our check, and its status by kstatus, as Flux has it.

    Raises:
        CalledProcessError: the health check fails, or an object is none.
    """
    question = {"script": HEALTH.read_text(encoding="utf-8"), "objects": objects}
    command = [binary("gitops-health")]
    done = subprocess.run(command, input=json.dumps(question), capture_output=True, text=True, check=True)
    return [(Health(**one["argocd"]), Health(**one["flux"])) for one in json.loads(done.stdout)]
