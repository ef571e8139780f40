"""What a transport answers: an address that is taken before a model is loaded, and calls until the server leaves."""

from collections.abc import Callable
from typing import Protocol

from modelservice.serving.core import Models


class Bound(Protocol):
    """An address that is taken and not listened on yet: who connects too early is refused, not kept waiting."""

    def where(self) -> str:
        """The address, for people."""

    async def start(self, models: Models) -> None:
        """Make everything ready to answer what protocols offer this transport; all start before any serves.

        Raises:
            OSError: the address cannot be listened on after all.
        """

    async def prepare(self, models: Models) -> Callable[[], None]:
        """Make everything ready to answer by other models, while those before answer.

        Returns:
            Makes it answer: what begins after that call, on the event loop and at once, is answered by the other ones.

        Raises:
            ModelFaultError: one of them cannot be served after all.
        """

    async def serve(self) -> None:
        """Answer until the server leaves and all that was taken is answered."""

    def close(self) -> None:
        """Release the address; harmless after ``serve``."""


class Transport(Protocol):
    """One way to carry requests. Members are stateless values in ``transports.TRANSPORTS``."""

    name: str
    """As ``serve`` is told its port by, such as http."""

    def bind(self, host: str, port: int) -> Bound:
        """Take an address; port 0 is a free one. What the transport needs is imported only here.

        Raises:
            OSError: it cannot be had.
        """
