"""What a stage made takes the place of what was kept while it was made."""

from modelservice.artifact.stores import Checkpoints, Store
from modelservice.stages.base import Produced
from modelservice.stages.failures import is_full


def publish(produced: Produced, store: Store, checkpoints: Checkpoints) -> str:
    """Store an artifact, and remove the checkpoints; before it, where they take its room.

    Returns:
        The digest of what lies in the store now; see ``Store.publish``, also for what is raised.
    """
    try:
        digest = store.publish(produced.manifest, produced.files, raw=produced.raw_manifest)
    except OSError as error:
        if not is_full(error):
            raise
        checkpoints.discard()
        return store.publish(produced.manifest, produced.files, raw=produced.raw_manifest)
    checkpoints.discard()
    return digest
