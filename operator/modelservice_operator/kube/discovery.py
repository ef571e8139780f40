"""Whether the apiserver serves our kind yet: kopf looks once, at its start."""

from modelservice_operator.kinds import Kind
from modelservice_operator.kube.transport import NotFound, Transport


async def is_served(transport: Transport, kind: Kind) -> bool:
    """Whether discovery lists the kind, in the list of groups and in that of its group's version.

    Raises:
        KubeError: The apiserver did not answer well.
    """
    groups = await transport.request("get", "GET", kind, "/apis")
    if kind.group not in {group["name"] for group in groups["groups"]}:
        return False
    try:
        version = await transport.request("get", "GET", kind, f"/apis/{kind.api_version}")
    except NotFound:
        return False
    return kind.plural in {resource["name"] for resource in version["resources"]}
