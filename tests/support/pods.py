"""Pods of tests that Pod Security ``restricted`` admits."""

from typing import Any, Final

Object = dict[str, Any]

_CONTAINER: Final = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
_POD: Final = {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}}


def build_container(name: str, image: str, *command: str, **settings: Any) -> Object:
    """A container of an image that the nodes have; without a command the image's own."""
    shown = {"command": [*command]} if command else {}
    made = {"name": name, "image": image, "imagePullPolicy": "Never", "securityContext": dict(_CONTAINER)}
    return {**made, **shown, **settings}


def build_pod(name: str, *containers: Object, metadata: Object | None = None, **spec: Any) -> Object:
    """A pod of containers; ``spec`` says more of it."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, **(metadata or {})},
        "spec": {"securityContext": dict(_POD), "containers": [*containers], **spec},
    }
