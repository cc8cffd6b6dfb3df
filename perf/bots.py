"""Clients of ecsnet for the load: the protocol in full, and as little else as possible.

A bot connects through the handshake, greets, acks every packet, answers pings, and sends one
packet a turn that holds every command that the server has not acked. It uses the framework's own
connection and session; it keeps no world and does not look at the values that it is sent, which
would be the bulk of a real client's work. Smooth ones say that they run ahead, and what they draw.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection as Pipe

import msgspec

from ecsnet.commands.frames import SIXTEENTHS
from ecsnet.connection.plain import ClientHandshake, Connection
from ecsnet.messages.joining import WIRE_VERSION, Hello, Welcome
from ecsnet.peer import NO_TAG, Peer
from ecsnet.schema import Gate, Schema, encode
from ecsnet.session.packets import RAW
from ecsnet.session.path import PathEstimate
from ecsnet.session.sequence import unwrap
from perf.children import Ready
from perf.game import Kind, Steer, declare_ammo, declare_events, schema
from perf.load import count
from perf.probes import Pinger
from perf.report import PerfError
from perf.swarm import Bot, Lossy, Swarm

U32 = 0xFFFF_FFFF
LEAD_TICKS = 2
DRAWN_TICKS = 4
"""The ticks from the one that a smooth client draws to the server's."""

BEHIND_TICKS = 1
AHEAD_TICKS = 3
MOST_FRAMES = 60
LOOK_SECONDS = 0.01
NEVER = 1e9
JOINING = 32
DIAL_SECONDS = 30.0
LOSS = 0.01
"""The share of datagrams that get lost each way in the game ``"loss"``."""

_welcome_gate: Gate[Welcome] = Gate(Welcome, 256)
head_gate: Gate[tuple[int, int, int, int, int, msgspec.Raw, msgspec.Raw]] = Gate(
    tuple[int, int, int, int, int, msgspec.Raw, msgspec.Raw], 1300
)


class Crowd:
    """What all bots of a process share: the game, the server's tick, and encoded commands.

    Attributes:
        welcomed: How many bots are in.
    """

    def __init__(
        self,
        schema: Schema,
        held: type,
        rate: float,
        *,
        pings: bool = True,
        smooth: bool = False,
    ) -> None:
        """The bots play the game of ``schema`` and hold the command ``held`` at its defaults.

        Args:
            schema: What the server declares too.
            held: A held command whose first field takes -1 and 1.
            rate: The server's ticks a second.
            pings: Whether sessions ping on their own, as they do in a game.
            smooth: Whether they run ahead, draw others behind the newest tick, and say so.
        """
        self.fingerprint = schema.fingerprint
        self.command = schema.command_id_of[held]
        self.rate = rate
        self.pings = pings
        self.smooth = smooth
        self.welcomed = 0
        self._drawn = (SIXTEENTHS * (LEAD_TICKS + DRAWN_TICKS),) if smooth else ()
        self._frames: dict[tuple[int, int], msgspec.Raw] = {}
        self._tick = 0
        self._at = 0.0
        self._look_at = 0.0

    def frames(self, count: int, value: int) -> msgspec.Raw:
        """Returns ``count`` ticks of holding the command with ``value`` as its first field."""
        key = (count, value)
        frames = self._frames.get(key)
        if frames is None:
            encoded = encode([(0, count, [(self.command, 0, (value, 1))], *self._drawn)])
            frames = self._frames[key] = msgspec.Raw(encoded)
        return frames

    def tick(self, now: float) -> int:
        """Returns the tick that a client's commands should be for now."""
        return int(self._tick + (now - self._at) * self.rate) + LEAD_TICKS

    def look(self, payload: msgspec.Raw, now: float) -> None:
        """Sets the clock by an update, but not by each of them."""
        if now < self._look_at:
            return
        head = head_gate.decode(payload)
        if head is not None:
            self._look_at = now + LOOK_SECONDS
            self._tick = unwrap(head[1], 32, self._tick)
            self._at = now

    def start(self, welcome: Welcome, now: float) -> None:
        """Counts a bot that is in, and sets the clock by the first."""
        self.welcomed += 1
        if self.welcomed == 1:
            self._tick, self._at = welcome.tick, now


class PlayerBot(Bot):
    """One client: dials, says hello, then plays."""

    def __init__(self, number: int, crowd: Crowd) -> None:
        """The client is number ``number`` of ``crowd``, counted from 0."""
        self.crowd = crowd
        self.number = number
        self.handshake: ClientHandshake | None = None
        self.connection: Connection | None = None
        self.peer = Peer(
            RAW, peer_interval=1 / crowd.rate, ping_interval=0.25 if crowd.pings else NEVER
        )
        self.epoch: int | None = None
        self.value = 1 if number % 2 else -1
        self.frame = 0
        self.tick = 0
        self.acked = 0

    def turn(self, now: float) -> Sequence[bytes]:
        if self.connection is None:
            return self._handshake(now)
        self.peer.lost(now)
        if self.epoch is None:
            return self._sealed(None, now)
        wanted = self.crowd.tick(now)
        off = wanted - self.tick
        if off > BEHIND_TICKS or off < -AHEAD_TICKS:
            self.tick = wanted
            self.acked = self.frame
        if self.tick <= wanted:
            self.tick += 1
            self.frame += 1
        unacked = self.frame - self.acked
        if not unacked:
            return self._sealed(None, now)
        if unacked > MOST_FRAMES:
            self.acked = self.frame - MOST_FRAMES
            unacked = MOST_FRAMES
        payload = (
            self.epoch,
            self.acked & U32,
            self.tick - unacked & U32,
            self.crowd.frames(unacked, self.value),
        )
        return self._sealed(payload, now, self.frame)

    def take(self, datagram: bytes, now: float) -> Sequence[bytes]:
        connection = self.connection
        if connection is None:
            return self._dialled(datagram, now)
        packet = connection.open(datagram, now)
        received = None if packet is None else self.peer.receive_packet(packet, now)
        if received is None:
            goodbye = self.peer.goodbye
            if goodbye is not None:
                raise PerfError(f"the server disconnected bot {self.number}: {goodbye.reason}")
            return ()
        self.acked = max((self.acked, *received.acked))
        if received.payload is not None:
            self.crowd.look(received.payload, now)
        if self.epoch is None:
            self._welcomed(received.messages, now)
        if received.reply:
            return self._sealed(None, now)
        return ()

    def _sealed(self, payload: object, now: float, tag: int = NO_TAG) -> Sequence[bytes]:
        assert self.connection is not None
        return [self.connection.seal(packet) for packet in self.peer.pack(payload, now, tag)]

    def _handshake(self, now: float) -> Sequence[bytes]:
        if self.handshake is None:
            # Not all at once: a burst of joins is another benchmark.
            if self.number >= self.crowd.welcomed + JOINING:
                return ()
            self.handshake = ClientHandshake(
                self.number.to_bytes(8, "little"), now, timeout=DIAL_SECONDS
            )
        if self.handshake.refused is not None:
            raise PerfError(f"the server refused bot {self.number}: {self.handshake.refused}")
        return self.handshake.poll(now)

    def _dialled(self, datagram: bytes, now: float) -> Sequence[bytes]:
        if self.handshake is None:
            return ()
        self.handshake.receive_answer(datagram, now)
        self.connection = self.handshake.connection
        if self.connection is None:
            return self.handshake.poll(now)
        crowd, name = self.crowd, f"bot {self.number}"
        hello = Hello(WIRE_VERSION, crowd.fingerprint, name, smooth=crowd.smooth)
        self.peer.queue(encode(hello))
        return self._sealed(None, now)

    def _welcomed(self, messages: Sequence[tuple[int, bytes]], now: float) -> None:
        for _, message in messages:
            welcome = _welcome_gate.decode(message)
            if welcome is not None:
                self.epoch = welcome.epoch
                self.tick = welcome.tick
                self.crowd.start(welcome, now)


class CountedPath(PathEstimate):
    """A path that counts the answers to its pings; of an ecsnet that is not compiled."""

    __slots__ = ("pongs",)

    def __init__(self, peer_interval: float) -> None:
        super().__init__(peer_interval)
        self.pongs = 0

    def ponged(self, sample: float) -> None:
        self.pongs += 1
        super().ponged(sample)


class PingingBot(PlayerBot, Pinger):
    """A client that pings when it is told to, too."""

    def __init__(self, number: int, crowd: Crowd) -> None:
        super().__init__(number, crowd)
        self.path = CountedPath(1 / crowd.rate)
        self.peer.session.path = self.path

    def answers(self) -> int:
        return self.path.pongs

    def ping(self, now: float) -> bytes:
        assert self.connection is not None
        return self.connection.seal(self.peer.session.ping(now))


def joined(
    port: int,
    clients: int,
    crowd: Crowd,
    rate: float,
    make: Callable[[int, Crowd], Bot] = PlayerBot,
    loss: float = 0.0,
) -> Swarm:
    """Returns a swarm of ``clients`` bots with ``rate`` turns a second, once all are in.

    ``make`` makes them, and of their datagrams ``loss`` get lost each way, 0 to 1.
    """
    bots = [make(number, crowd) for number in range(clients)]
    if loss:
        bots = [Lossy(bot, loss, seed) for seed, bot in enumerate(bots)]
    swarm = Swarm(bots, rate, port)
    while crowd.welcomed < clients:
        swarm.step()
    return swarm


def players(pipe: Pipe, port: int, clients: int, rate: float, kind: Kind = "plain") -> None:
    """Child: ``clients`` players of a game; says ``Ready`` when all of them are in."""
    if kind == "own":
        declare_ammo()
    if kind in ("declared", "events"):
        declare_events()
    loss = LOSS if kind == "loss" else 0.0
    crowd = Crowd(schema(), Steer, rate, smooth=kind == "shared")
    swarm = joined(port, clients, crowd, rate, loss=loss)
    pipe.send(Ready())
    count(pipe, swarm)
