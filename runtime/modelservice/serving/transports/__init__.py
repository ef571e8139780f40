"""What carries requests: HTTP, and gRPC where it is asked for; both on one event loop, over the same core."""

from typing import Final

from modelservice.serving.transports.base import Transport
from modelservice.serving.transports.grpc import Grpc
from modelservice.serving.transports.http import Http

TRANSPORTS: Final[tuple[Transport, ...]] = (Grpc(), Http())
"""In the order in which they are bound. HTTP comes last: that it is ready says that all others answer, too."""
