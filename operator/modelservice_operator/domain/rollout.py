"""How far a Deployment is: its numbers, as its controller tells them."""

from dataclasses import dataclass

from modelservice_operator.objects import Object


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """Numbers of the Deployment, as far as its controller has seen the newest version."""

    desired: int
    updated: int
    available: int
    total: int
    current: bool

    @property
    def complete(self) -> bool:
        """All desired replicas are of the newest template and available, and no old one is left."""
        return self.current and self.updated == self.desired == self.available == self.total


def rollout(deployment: Object | None) -> Rollout | None:
    """Read a Deployment's status; None while there is none."""
    if deployment is None:
        return None
    status = deployment.get("status", {})
    return Rollout(
        desired=deployment["spec"].get("replicas", 1),
        updated=status.get("updatedReplicas", 0),
        available=status.get("availableReplicas", 0),
        total=status.get("replicas", 0),
        current=status.get("observedGeneration", 0) >= deployment["metadata"].get("generation", 0),
    )
