"""Networks that were tuned before: who was stopped between two steps does not do those again that had ended."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import modelservice
from modelservice.artifact.stores import Checkpoints, NoCheckpoints
from modelservice.compression.network import StoredNetwork
from modelservice.families.architecture import Architecture


@dataclass(frozen=True, kw_only=True)
class KeptNetworks:
    """Where they are kept, until the compression has ended.

    Attributes:
        store: the place. A tenant can write it: what is not whole, or of another compression, is made again.
        key: of the compression, which tells its settings and its parent.
        data: digest of the data.
        say: is told in sentences what became of them.
    """

    store: Checkpoints
    key: str
    data: str
    say: Callable[[str], None]

    def once(self, name: str, architecture: Architecture, make: Callable[[], StoredNetwork]) -> StoredNetwork:
        """The network that was kept under a name, else the one that is made now, and kept.

        Args:
            name: of what is done; see ``checkpoint_name``.
            architecture: of the network.
            make: does it.
        """
        if isinstance(self.store, NoCheckpoints):
            return make()
        from modelservice.training.checkpoint_file import CheckpointError  # noqa: PLC0415 - imports torch

        try:
            found = self._find(name, architecture)
        except CheckpointError as error:
            self.say(f"{name} is done again, since what was kept of it cannot be used: {error}")
            found = None
        if found is not None:
            self.say(f"{name} was done before")
            return found
        made = make()
        self._keep(name, made)
        return made

    def _find(self, name: str, architecture: Architecture) -> StoredNetwork | None:
        """Raises CheckpointError where something else is kept."""
        from modelservice.families.modules import build  # noqa: PLC0415 - torch takes seconds to import
        from modelservice.training.checkpoint_file import CheckpointError, decode, most_bytes  # noqa: PLC0415

        expected = build(architecture, device="meta").state_dict()
        content = self.store.read(name, limit=most_bytes(expected))
        if content is None:
            return None
        document, arrays = decode(content, expected)
        belongs = (document.modelservice, document.key, document.data, document.name)
        if belongs != (modelservice.__version__, self.key, self.data, name):
            raise CheckpointError("it is of another compression")
        return StoredNetwork(architecture=architecture, weights={one: array.copy() for one, array in arrays.items()})

    def _keep(self, name: str, network: StoredNetwork) -> None:
        import torch  # noqa: PLC0415

        from modelservice.training.checkpoint_file import Checkpoint, Machine, encode  # noqa: PLC0415

        document = Checkpoint(
            modelservice=modelservice.__version__,
            key=self.key,
            data=self.data,
            name=name,
            machines=(
                Machine(
                    device="cpu",
                    instruction_set=torch.backends.cpu.get_cpu_capability(),
                    threads=torch.get_num_threads(),
                    torch=str(torch.__version__),
                ),
            ),
            numbers={},
        )
        tensors = {one: torch.from_numpy(array) for one, array in network.weights.items()}
        self.store.write(name, *encode(document, tensors))


NOTHING_KEPT: Final = KeptNetworks(store=NoCheckpoints(), key="", data="", say=lambda _: None)
"""For steps that begin anew, and keep nothing."""
