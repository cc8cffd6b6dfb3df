"""A server and its clients in one process, on a clock that the test moves.

Nothing is simplified but the network: each client is a real `ClientWorld` and talks to a real
`Host` through datagrams, with handshake, acks, loss and all.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import NoneType, TracebackType
from typing import NamedTuple

from ecsnet.client.world import ClientWorld
from ecsnet.errors import UsageError
from ecsnet.notifications import Disconnected, Refused
from ecsnet.schema import Call, Registry
from ecsnet.server.host import Host
from ecsnet.server.members import Member
from ecsnet.server.room import Room
from ecsnet.server.world import ServerWorld
from ecsnet.session.goodbye import Reason
from ecsnet.simulation.emission import Emission
from ecsnet.simulation.simulation import Simulation
from ecsnet.testing.clock import ManualClock
from ecsnet.testing.compare import Comparison, Inserts, Truth
from ecsnet.testing.network import LONGEST, LinkEnd, Network
from ecsnet.testing.recording import Recording
from ecsnet.transport.address import Address
from ecsnet.transport.conditioner import Link
from ecsnet.validation.arguments import (
    MOST_TICKS,
    check_flag,
    check_function,
    check_instance,
    check_number,
    check_seed,
    check_whole,
)
from ecsnet.validation.wording import brief
from ecsnet.world import World

__all__ = ["Harness", "HarnessClient", "RanCall"]

FASTEST = 10_000.0
"""Frames a second of a client at most."""

_SECONDS = f"give seconds, from 0 to {LONGEST:,.0f}"

_numbers = itertools.count(1)


class RanCall(NamedTuple):
    """A method that the server called and a client ran, see `ecsnet.rpc`."""

    name: str
    """The name of it: ``"Knight.result"``."""
    entity: int
    """The entity of the component, in the client's view."""
    arguments: dict[str, object]
    """The arguments, by the names of their parameters."""


class HarnessClient:
    """A client of a `Harness`, with what belongs to it.

    Attributes:
        client: The client.
        name: What its player is called.
        link: The network between it and the server.
        end: Its end of that network.
        address: Where its datagrams come from.
        events: All events that its polls returned.
        calls: All calls of the server's that it ran.
        every: It polls once in so many steps, where ``fps`` is None.
        fps: Frames a second: it polls at times of its own. None where it polls after ticks.
        before_poll: Called before each of its polls, where a game looks at the keys and sends.
        stalled_until: It stands still until then, in seconds of the clock; see `Harness.stall`.
        polling: Whether it still polls.
        longest: Bytes in the longest datagram sent to it.
    """

    def __init__(
        self, client: ClientWorld, name: str, end: LinkEnd, every: int, fps: float | None
    ) -> None:
        self.client = client
        self.name = name
        self.link = end.link
        self.end = end
        self.address = end.address
        self.every = every
        self.fps = fps
        self.before_poll: Callable[[], object] | None = None
        self.stalled_until = float("-inf")
        self.events: list[object] = []
        self.calls: list[RanCall] = []
        self.polling = True
        self.longest = 0

    def note_call(self, call: Call, entity: int, arguments: object) -> None:
        """Note a call that is about to run."""
        self.calls.append(RanCall(call.name, entity, call.named_arguments(arguments)))


class Harness:
    """A game and its players, run on a manual clock.

    ::

        with Harness(server) as game:
            alice = game.connect("alice", Link(lag=0.05, loss=0.1, seed=1))
            alice.send(Steer(1))
            game.run(seconds=2)
            with alice.view:
                ...                              # look at what she sees
            assert game.settle(), game.compare()

    The same seed and the same calls give the same bytes.

    Args:
        server: The game. It is only a spec: a harness does not change it.
        seed: Of keys, ids and everything else that is random here.
        registry: The game's types, where they are not those of ``server``.
        clock: The time; a new clock when left out.

    Raises:
        UsageError: One of these is not what it has to be.

    Attributes:
        clock: The time.
        network: What carries the datagrams.
        host: What runs the game.
        room: Its one room: a simulation, with the members in it.
        simulation: The simulation: tick, world, players.
        seats: The clients ever connected, by client.
        emitted: All events that the game has emitted, in order, with the receipts for them.
        watch_sent: Called with each datagram that the server sends, and its client's seat.
    """

    def __init__(
        self,
        server: ServerWorld,
        *,
        seed: int = 0,
        registry: Registry | None = None,
        clock: ManualClock | None = None,
    ) -> None:
        check_instance("Harness(server", server, ServerWorld, "give the game, a ServerWorld")
        check_seed("Harness(seed", seed)
        if registry is not None:
            check_instance("Harness(registry", registry, Registry, "give a Registry")
        if clock is not None:
            check_instance("Harness(clock", clock, ManualClock, "give a ManualClock")
        self.clock = ManualClock() if clock is None else clock
        self.network = Network(self.clock)
        self.seats: dict[ClientWorld, HarnessClient] = {}
        self.emitted: list[Emission] = []
        self.watch_sent: Callable[[bytes, HarnessClient], None] | None = None
        self._game = server
        self._registry = registry or server._registry
        self._random = random.Random(seed).randbytes
        self._by_address: dict[Address, HarnessClient] = {}
        self._recordings: list[Recording] = []
        self._steps = 0
        self.host: Host = server.make_host(
            self._to_client,
            self.clock.now,
            random=self._random,
            environment={},  # a test fills nobody's database
        )
        (room,) = self.host.rooms
        self.room: Room = room
        self.simulation: Simulation = self.room.simulation
        replicator = self.room.replicator
        self._inserts = Inserts(self.host.schema, self.world, replicator)
        self._truth = Truth(self.host.schema, self.world, replicator, self._inserts)
        # After replication, which runs at the same priority and was added before.
        self.simulation.add_system(self._note, float("-inf"), "Harness", while_paused=True)

    @property
    def world(self) -> World:
        """The server's world: ``with game.world: esper.create_entity(...)``."""
        return self.simulation.world

    @property
    def clients(self) -> list[ClientWorld]:
        """The clients that still poll, in the order in which they connected."""
        return [seat.client for seat in self.seats.values() if seat.polling]

    # Clients.

    def connect(
        self,
        name: str = "player",
        link: Link | None = None,
        *,
        data: object = None,
        every: int = 1,
        fps: float | None = None,
        phase: float = 0.0,
        wait: float | None = 5.0,
        debug: bool = False,
        smooth: bool = False,
    ) -> ClientWorld:
        """Let a client connect.

        With ``fps`` ticks, frames and datagrams have times of their own, as they do outside of a
        test: the client polls so many times a second, and what clients send reaches the server
        when it arrives, and not with its next tick.

        Args:
            name: What the player is called.
            link: The network between it and the server; a perfect one when left out.
            data: As for `ClientWorld.connect`.
            every: It polls once in so many steps.
            fps: Frames a second, each with a poll; it polls after ticks when left out.
            phase: Seconds until its first frame.
            wait: Seconds to run until it is in the game; None returns at once.
            debug: As for `ClientWorld.connect`.
            smooth: As for `ClientWorld.connect`.

        Raises:
            UsageError: It was not let in within that time, or an argument is invalid.
        """
        check_whole("connect(every", every, 1, "give a number of steps, 1 or more")
        if fps is not None:
            check_number("connect(fps", fps, 1e-3, FASTEST, "give frames a second, up to 10,000")
            if every != 1:
                raise UsageError(f"connect(every={every}, fps={fps:g}): give one of them")
        check_number("connect(phase", phase, 0, LONGEST, _SECONDS)
        if wait is not None:
            check_number("connect(wait", wait, 0, LONGEST, f"{_SECONDS}, or None")
        check_flag("connect(debug", debug)
        check_flag("connect(smooth", smooth)
        number = next(_numbers)
        end = self.network.connect(link)
        client = ClientWorld.over(
            end,
            name=name,
            data=data,
            world=f"ecsnet-testing-{number}",
            debug=debug,
            registry=self._registry,
            game=self._game,
            smooth=smooth,
            clock=self.clock,
            random=self._random,
        )
        seat = HarnessClient(client, name, end, every, fps)
        client._calls.on_call = seat.note_call
        self.seats[client] = self._by_address[end.address] = seat
        if fps is not None:
            self.network.handler = self.host.receive_datagrams
            self.network.at(phase, partial(self._frame, seat, 1 / fps))
        if wait is not None:
            deadline = self.clock.now + wait
            while not client.connected:
                if client.closed or self.clock.now >= deadline:
                    raise UsageError(f"{name} did not get in: {seat.events[-1:]}")
                self.step()
        return client

    def leave(self, client: ClientWorld) -> None:
        """Close a client; the server hears of it through the network."""
        seat = self._seat(client, "leave()")
        client.close()
        seat.polling = False

    def vanish(self, client: ClientWorld) -> None:
        """Let a client stop without a word; the server will find out."""
        seat = self._seat(client, "vanish()")
        seat.polling = False
        seat.end.close()  # no goodbye gets out
        client.close()

    def events(self, client: ClientWorld) -> list[object]:
        """Return all notifications that a client's polls returned; clear the list to start anew."""
        return self._seat(client, "events()").events

    def calls(self, client: ClientWorld) -> list[RanCall]:
        """Return all calls of the server's that a client ran; clear the list to start anew."""
        return self._seat(client, "calls()").calls

    def member(self, client: ClientWorld) -> Member | None:
        """Return a client as the server knows it; None when it is not, or no longer, connected."""
        return self.host.member(self._seat(client, "member()").address)

    # Time.

    def step(self, ticks: int = 1) -> None:
        """Run ticks of the server, with a poll of each client after each.

        Raises:
            Exception: What a system or hook raised, with ``on_error="stop"``.
        """
        check_whole("step(ticks", ticks, 0, "give a number of ticks, 0 or more", MOST_TICKS)
        network, host = self.network, self.host
        for _ in range(ticks):
            self._steps += 1
            network.run(self.room.dt)
            now = self.clock.now
            host.receive_datagrams(network.receive(), now)
            host.tick(now, early=0.5 * self.room.dt)
            if host.failure is not None:
                raise host.failure
            for seat in list(self.seats.values()):
                if seat.fps is not None or self._steps % seat.every or now < seat.stalled_until:
                    continue
                self._poll(seat)

    def run(self, seconds: float) -> None:
        """Run for some seconds of the virtual clock."""
        check_number("run(seconds", seconds, 0, LONGEST, _SECONDS)
        self.step(max(1, round(seconds * self.room.tick_rate)))

    def until(self, condition: Callable[[], object], seconds: float = 5.0) -> None:
        """Run until something is true.

        Raises:
            UsageError: It did not become true in this time.
        """
        check_function("until(condition", condition, "")
        check_number("until(seconds", seconds, 0, LONGEST, _SECONDS)
        deadline = self.clock.now + seconds
        while not condition():
            if self.clock.now >= deadline:
                raise UsageError(f"until(): it did not happen within {seconds:g} s")
            self.step()

    def stall(self, seconds: float, client: ClientWorld | None = None) -> None:
        """Let one end stand still, as a machine that is busy or asleep.

        Args:
            seconds: How long.
            client: It polls no more for as long; that begins now, and no time passes here. When
                left out, it is the server: the time passes here, without ticks, and what arrives
                meanwhile waits for the first one after it. A link stands still with
                `FaultyLink.stall`.
        """
        check_number("stall(seconds", seconds, 0, LONGEST, _SECONDS)
        if client is not None:
            self._seat(client, "stall()").stalled_until = self.clock.now + seconds
            return
        handler, self.network.handler = self.network.handler, None
        self.network.run(seconds)
        self.network.handler = handler

    # Equality.

    def record(self, *components: type) -> Recording:
        """Record, from now on, what clients draw in each frame and what the server has.

        Args:
            components: The types of which values are recorded: replicated ones with numbers.

        Raises:
            UsageError: There is none, or one is not replicated, or has no number in it.
        """
        if not components:
            raise UsageError("record(): give the components to record, such as Position")
        recording = Recording(components)
        self._recordings.append(recording)
        return recording

    def compare(
        self,
        client: ClientWorld | None = None,
        *,
        good: Mapping[tuple[int, type], bytes] | None = None,
    ) -> Comparison:
        """Compare what clients show with what the server says that they may see.

        The comparison is exact once the world has held still, and the network has had the time
        to deliver: see `settle`.

        Args:
            client: The client; all that poll when left out.
            good: For components whose live value cannot be sent, by entity and type: the
                encoded wire value that clients should keep. Without it, any will do.
        """
        check_instance("compare(good", good, (Mapping, NoneType), "give a dict of encoded values")
        result = Comparison()
        for each in self.clients if client is None else [client]:
            seat = self._seat(each, "compare()")
            member = self.member(each)
            client_state = None if member is None else member.client_state
            if client_state is None or each.closed:
                result.differences.append(f"{seat.name}: not in the game")
                continue
            result += self._truth.compare(each, client_state, seat.name, good or {})
        return result

    def settle(self, seconds: float = 10.0) -> Comparison:
        """Hold the game's systems still until all clients show the same as the server.

        Args:
            seconds: How long that may take.

        Returns:
            The last comparison; false when they still differed.
        """
        check_number("settle(seconds", seconds, 0, LONGEST, _SECONDS)
        self.simulation.paused = True
        deadline = self.clock.now + seconds
        try:
            while True:
                self.step(10)
                result = self.compare()
                if result or self.clock.now >= deadline:
                    return result
        finally:
            self.simulation.paused = False

    # The end.

    def close(self) -> None:
        """End the game and the clients, and delete their worlds."""
        for seat in self.seats.values():
            seat.client.close()
            seat.polling = False
            seat.client.view.close()
        self.host.close(Reason.SHUTDOWN, self.clock.now)

    def __enter__(self) -> Harness:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[ClientWorld]:
        return iter(self.clients)

    # Inside.

    def _seat(self, client: object, verb: str) -> HarnessClient:
        seat = self.seats.get(client) if isinstance(client, ClientWorld) else None
        if seat is None:
            raise UsageError(
                f"{verb} got {brief(client)}: give a client that this harness's connect() returned"
            )
        return seat

    def _to_client(self, data: bytes, address: Address) -> None:
        seat = self._by_address[address]
        if len(data) > seat.longest:
            seat.longest = len(data)
        if self.watch_sent is not None:
            self.watch_sent(data, seat)
        self.network.send(data, address)

    def _frame(self, seat: HarnessClient, interval: float) -> None:
        """Let a client with frames of its own draw one, and the next one in its time."""
        if not seat.polling:
            return
        if self.clock.now < seat.stalled_until:
            self.network.at(
                seat.stalled_until - self.clock.now, partial(self._frame, seat, interval)
            )
            return
        self.network.at(interval, partial(self._frame, seat, interval))
        self._poll(seat)

    def _poll(self, seat: HarnessClient) -> None:
        if not seat.polling:
            return
        if seat.before_poll is not None:
            seat.before_poll()
        for event in seat.client.poll():
            seat.events.append(event)
            if isinstance(event, Refused | Disconnected):
                seat.polling = False
        for recording in self._recordings:
            recording.note_frame(seat.client, self.clock.now)

    def _note(self, _dt: float) -> None:
        self.emitted += self.simulation.emitted
        if self.simulation.tick % self.room.every == 0:
            self._inserts.note()
        for recording in self._recordings:
            recording.note_tick(
                self.simulation.tick, self.clock.now, self.world, self.room.replicator.network_id
            )
