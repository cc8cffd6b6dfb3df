"""A listener with the connections that it makes, kept by address as `ecsnet.peers` keeps them."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from ecsnet.connection.plain import Connection, Listener, ListenerResult


class Keeper:
    """The smallest caller that a `Listener` can have; what is not here is asked of that.

    Attributes:
        connections: Those that are up.
        packets: The packets that came, and their connections.
    """

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self.connections: dict[Hashable, Connection] = {}
        self.packets: list[tuple[Connection, bytes]] = []

    def receive(self, data: bytes, address: Hashable, now: float) -> ListenerResult | None:
        connection = self.connections.get(address)
        packet = None if connection is None else connection.open(data, now)
        if connection is not None and packet is not None:
            self.packets.append((connection, packet))
            return None
        result = self.listener.receive_handshake(data, address, now, connection)
        if result is not None and result.opened is not None:
            self.connections[address] = result.opened
        return result

    def poll(self, now: float) -> list[Connection]:
        """End the connections that have fallen silent, and return them."""
        silent = self.listener.silent(list(self.connections.values()), now)
        for connection in silent:
            self.end(connection, now, last_words=[b"you slept"])
        return silent

    def end(self, connection: Connection, now: float, **options: Any) -> None:
        self.listener.ended(connection, now, **options)
        del self.connections[connection.address]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.listener, name)
