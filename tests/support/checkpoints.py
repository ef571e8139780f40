"""Checkpoints that are kept in memory."""

from dataclasses import dataclass, field


@dataclass
class CheckpointsInMemory:
    """A store of checkpoints; ``kept`` has what was written, by name."""

    kept: dict[str, bytes] = field(default_factory=dict, kw_only=True)

    def read(self, name: str, *, limit: int) -> bytes | None:
        """What was written."""
        content = self.kept.get(name)
        return content if content is None or len(content) <= limit else None

    def write(self, name: str, *content: bytes | memoryview) -> None:
        """Keep it."""
        self.kept[name] = b"".join(content)

    def discard(self) -> None:
        """Forget all."""
        self.kept.clear()
