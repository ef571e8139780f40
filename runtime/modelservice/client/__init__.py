"""A client of a served model: ``modelservice.connect(url)`` and ``connect_async(url)``; it needs httpx alone."""

from modelservice.client.connecting import AsyncClient, Client, connect, connect_async
from modelservice.client.errors import ClientError

__all__ = ["AsyncClient", "Client", "ClientError", "connect", "connect_async"]
