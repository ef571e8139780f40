"""Rendering the chart with the helm of the virtual environment."""

import copy
import json
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "modelservice-operator"
RELEASE = "modelservice-operator"
NAMESPACE = "modelservice-system"
IMAGES = {"image": "operator", "trainerImage": "trainer", "serverImage": "server"}
"""Values of the chart that name an image, and which image each names."""


class HelmError(Exception):
    """helm refused; the text is what it said."""


def helm_template(
    *, release: str = RELEASE, values: dict[str, Any] | None = None, kube_version: str | None = None
) -> str:
    """The chart as YAML documents; ``kube_version`` of the cluster, if not the one that helm takes for granted.

    Raises:
        HelmError: helm is missing, or refuses the values.
    """
    search = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    helm = shutil.which("helm", path=search)
    if helm is None:
        raise HelmError("helm is missing; `make setup` installs it")
    command = [helm, "template", release, str(CHART), "--namespace", NAMESPACE, "--values", "-"]
    if kube_version is not None:
        command += ["--kube-version", kube_version]
    # Nothing of the user's own helm may reach a generated file.
    with tempfile.TemporaryDirectory() as home:
        environment = {"PATH": search, **{f"HELM_{kind}_HOME": home for kind in ("CACHE", "CONFIG", "DATA")}}
        done = subprocess.run(
            command, input=yaml.safe_dump(values or {}), env=environment, capture_output=True, text=True, check=False
        )
    if done.returncode != 0:
        raise HelmError(done.stderr.strip())
    return done.stdout


def helm_objects(values: dict[str, Any] | None = None, *, kube_version: str | None = None) -> list[dict[str, Any]]:
    """The chart's objects, to be changed at will; what was rendered once for a test is not rendered again."""
    return copy.deepcopy(_objects(json.dumps(values or {}, sort_keys=True), kube_version))


@cache
def _objects(values: str, kube_version: str | None) -> list[dict[str, Any]]:
    rendered = helm_template(values=json.loads(values), kube_version=kube_version)
    return [one for one in yaml.load_all(rendered, Loader=yaml.CSafeLoader) if one]
