"""What a process knows of the others of its training before torch is imported."""

from collections.abc import Mapping

from modelservice.contract.failure import PEER_LOST, PassingError


class PeerLostError(PassingError):
    """Another worker ended, so this one cannot go on."""

    def __init__(self, why: str = "another worker of the training ended, or cannot be reached") -> None:
        super().__init__(PEER_LOST, f"{why}: all workers start again, from the last checkpoint")


def rank_of(environment: Mapping[str, str]) -> int | None:
    """The rank that torch's agent gave this process; None for one that it did not start."""
    return int(environment["RANK"]) if "TORCHELASTIC_RUN_ID" in environment else None
