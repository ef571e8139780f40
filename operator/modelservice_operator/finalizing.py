"""Takes our finalizer off a ModelService, whoever put it there."""

from modelservice_operator.constants import FINALIZER, FINALIZER_FIELD_MANAGER
from modelservice_operator.domain.builders.finalizer import build_finalizer, has_finalizer
from modelservice_operator.domain.metadata import Owner
from modelservice_operator.kinds import ref_of
from modelservice_operator.kube.port import KubePort


async def let_go(kube: KubePort, owner: Owner) -> None:
    """Give the finalizer back; one that came otherwise, as with a backup, stays in spite of that, and is patched away.

    Raises:
        Conflict: the ModelService is gone, or was changed meanwhile.
        KubeError: the apiserver did not answer, or refuses.
    """
    stored = await kube.apply(build_finalizer(owner, there=False), uid=owner.uid, manager=FINALIZER_FIELD_MANAGER)
    if has_finalizer(stored):
        metadata = stored["metadata"]
        pointer = f"/metadata/finalizers/{metadata['finalizers'].index(FINALIZER)}"
        await kube.strip(ref_of(stored), uid=owner.uid, version=metadata["resourceVersion"], pointers=[pointer])
