"""Credentials: those of the pod in a cluster, those of the kubeconfig elsewhere; one source for kopf and our client."""

import dataclasses
import logging
import os
from typing import Any

import kopf

_HOST, _PORT = "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"


def connect(settings: kopf.OperatorSettings | None = None) -> kopf.ConnectionInfo:
    """Read the credentials as they are now; tokens are replaced while we run.

    In a cluster they are the pod's own, and the kubernetes client is not even imported. Elsewhere that client reads
    the current context of the kubeconfig, since it knows what a person's kubeconfig may hold: exec plugins, OIDC.

    Raises:
        kopf.LoginError: There are none.
    """
    settings = settings or kopf.OperatorSettings()
    in_cluster = kopf.login_with_service_account(settings=settings)
    if in_cluster is not None:
        return dataclasses.replace(in_cluster, server=_apiserver())
    try:
        outside = kopf.login_via_client(logger=logging.getLogger(__name__), settings=settings)
    except kopf.LoginError as error:
        raise kopf.LoginError(
            "no credentials: this is no pod with a service account, and there is no kubeconfig with a current context;"
            " set KUBECONFIG, or `kubectl config use-context`"
        ) from error
    if outside is None:
        raise kopf.LoginError(
            "no credentials: the kubernetes client is missing; pip install '.[operator]' in the checkout"
        )
    return outside


def register_login(registry: kopf.OperatorRegistry) -> None:
    """Let kopf log in the same way, and again when the apiserver says 401."""

    @kopf.on.login(registry=registry, id="login")
    async def login(*, settings: kopf.OperatorSettings, **_: Any) -> kopf.ConnectionInfo:
        return connect(settings)


def _apiserver() -> str:
    """By address, as client-go does: the operator must work while cluster DNS does not."""
    host, port = os.environ.get(_HOST, "kubernetes.default.svc"), os.environ.get(_PORT, "443")
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
