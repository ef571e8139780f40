"""What can be wrong with an artifact, and with the store that should hold it."""

from modelservice.contract.failure import Retry, StorageError


class ArtifactError(Exception):
    """What lies there is not an artifact that can be trusted; the message says why, in a sentence."""


class StorageUnavailableError(StorageError):
    """The artifact store did not answer, or not as a store in order does: another try may go better."""

    RETRY = Retry.SOON
