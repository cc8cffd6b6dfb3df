"""A server's end that says what a test wants it to say, and a client that has to live with it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import msgspec

from ecsnet.client.world import ClientWorld
from ecsnet.connection.plain import Connection, Listener
from ecsnet.messages.joining import Welcome
from ecsnet.notifications import Disconnected, Refused
from ecsnet.peer import Peer
from ecsnet.replication.encoding import encode_structure
from ecsnet.schema import Registry, encode
from ecsnet.session.channel import SPAN
from ecsnet.session.goodbye import Reason
from ecsnet.session.packets import RAW
from ecsnet.simulation.spec import Game
from ecsnet.testing import Network

EPOCH = 7

_numbers = itertools.count(1)


def is_over(event: object) -> bool:
    return isinstance(event, Refused | Disconnected)


def run_of(registry: Registry, cls: type, net: int, *values: object) -> msgspec.Raw:
    """A run of entities from ``net`` on, with one component each."""
    ids = [net, *[1] * (len(values) - 1)]
    return msgspec.Raw(encode((ids, [(registry.schema().cid_of[cls], values)])))


class HostileServer:
    """A real connection and session, used as no server would.

    Args:
        registry: The game's types.
        game: The game, for a client that predicts; None for one that is not smooth.

    Attributes:
        client: Its only client.
        network: What carries the datagrams between them.
        end: The client's end of it.
        secretive: It never accepts, and answers each question with another one.
        heard: The client's reliable messages.
        goodbye: Why the client left.
    """

    def __init__(self, registry: Registry, game: Game | None = None) -> None:
        self.network = Network()
        self.clock = self.network.clock
        self.end = self.network.connect()
        self.client = ClientWorld.over(
            self.end,
            world=f"hostile-{next(_numbers)}",
            registry=registry,
            game=game,
            smooth=game is not None,
            clock=self.clock,
        )
        self.listener = Listener(bytes(32), bytes, 4)
        self.peer = Peer(RAW)
        self.connection: Connection | None = None
        self.secretive = False
        self.heard: list[bytes] = []
        self.goodbye: Reason | None = None
        self.tick = 100

    def poll(self) -> list[object]:
        """A frame of the client's."""
        self.network.run(1 / 60)
        events = self.client.poll()
        for data, _ in self.network.receive():
            self._hear(data)
        if self.peer.streaming and not self.client.closed:
            self.peer.lost(self.clock.now)
            self._stream()
        return events

    def _hear(self, data: bytes) -> None:
        if self.secretive:  # a new secret each time: no response is ever right
            self.listener = Listener(bytes([len(self.heard) % 256]) * 32, bytes, 4)
            if data[0] == 3:
                data = self._first
            else:
                self._first = data
        now = self.clock.now
        packet = None if self.connection is None else self.connection.open(data, now)
        if packet is None:
            result = self.listener.receive_handshake(data, self.end.address, now, self.connection)
            if result is not None:
                if result.opened is not None:
                    self.connection = result.opened
                    self.peer.relink(result.opened, self.end.address, self.network.send)
                for reply in result.replies:
                    self.deliver(reply)
            return
        received = self.peer.receive_packet(packet, now)
        if received is not None:
            self.heard += [message for _, message in received.messages]
        if self.peer.goodbye is not None:
            self.goodbye = self.peer.goodbye.reason

    def accept(self) -> None:
        """Go as far as the client's Hello."""
        for _ in range(20):
            self.poll()
        assert len(self.heard) == 1
        assert self.connection is not None

    def welcome(self, player: int = 0) -> None:
        """Let the client in."""
        self.accept() if self.connection is None else None
        self.say(encode(Welcome(EPOCH, player, 1, 60.0, 60.0, self.tick)))
        self.poll()

    def say(self, message: bytes) -> None:
        """Send a reliable message, as much of it at once as a client takes; `poll` goes on."""
        self.peer.queue(message)
        self._stream()
        self.send(None)

    def _stream(self) -> None:
        self.peer._out.window = float(SPAN)
        self.peer.send_messages(self.clock.now)

    def structure(
        self,
        *runs: msgspec.Raw,
        despawned: Sequence[int] = (),
        hidden: Sequence[int] = (),
        removed: Sequence[tuple[int, list[int]]] = (),
    ) -> None:
        """Send a structural message."""
        self.tick += 1
        self.say(
            encode_structure(
                EPOCH, self.tick, list(despawned), list(hidden), list(removed), list(runs)
            )
        )

    def send(self, payload: object) -> None:
        """Send a packet."""
        self.peer.send(payload, self.clock.now)

    def say_goodbye(self, reason: Reason) -> None:
        """End the session, though this end goes on."""
        self.peer.send_goodbye(reason, "", self.clock.now)

    def deliver(self, datagram: bytes) -> None:
        """Send any bytes."""
        self.network.send(datagram, self.end.address)

    def close(self) -> None:
        self.client.close()
        self.client.view.close()
