"""What carries requests: HTTP, and where they are asked for gRPC and a port for probes; all over the same core."""

from typing import Final

from modelservice.serving.transports.base import Transport
from modelservice.serving.transports.grpc import Grpc
from modelservice.serving.transports.http import Http
from modelservice.serving.transports.http.status import Status

TRANSPORTS: Final[tuple[Transport, ...]] = (Grpc(), Http(), Status())
"""In the order in which they are bound. What probes ask comes last: that it is ready says that all others answer."""
