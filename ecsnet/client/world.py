"""`ClientWorld`: one connection to a server, and the esper world that shows what it says.

There is no thread and no event loop in here. `ClientWorld.poll`, called once a frame, takes in
what has arrived, brings the view up to date, runs what is due and sends; it never blocks. What
the network does is an event that `poll` returns, never an exception.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections import deque
from collections.abc import Callable
from math import inf
from types import TracebackType
from typing import NamedTuple, Self, TypeVar, cast, overload
from weakref import WeakValueDictionary

import esper
import msgspec

from ecsnet.client.connection import ClientConnection, End
from ecsnet.client.stats import ClientStats
from ecsnet.client.steady_clock import SteadyClock
from ecsnet.client.tick_clock import TickClock
from ecsnet.client.write_guard import WriteGuard
from ecsnet.commands.frames import ACTIONS_A_TICK
from ecsnet.commands.outbox import Outbox
from ecsnet.components import Owner
from ecsnet.connection.plain import Reason
from ecsnet.errors import BadValueError, DisconnectedError, RefusedError, UsageError
from ecsnet.messages.joining import (
    WIRE_VERSION,
    Hello,
    MemberState,
    SchemaDiffers,
    SchemaOffer,
    Welcome,
)
from ecsnet.messages.registry import MessageTable, handles
from ecsnet.notifications import Connected, Disconnected, Refused
from ecsnet.replication.client.attachments import Attachment
from ecsnet.replication.client.store import Store
from ecsnet.replication.client.view import ViewWorld
from ecsnet.replication.wire import MESSAGE_BYTES, Report, Resync, Structure, WireFormat
from ecsnet.schema import (
    CommandType,
    Registry,
    Schema,
    command_type,
    component_type,
    current_registry,
    encode,
)
from ecsnet.session.session import Received
from ecsnet.session.token_bucket import TokenBucket
from ecsnet.transport.address import parse_address
from ecsnet.transport.conditioner import Link
from ecsnet.transport.contract import ClientTransport
from ecsnet.validation.arguments import (
    check_flag,
    check_function,
    check_instance,
    check_number,
    is_text,
    is_whole,
)
from ecsnet.validation.names import tidy_name
from ecsnet.validation.wording import brief
from ecsnet.world import World

__all__ = ["ClientStats", "ClientWorld"]

logger = logging.getLogger("ecsnet.client")

DEFAULT_PORT = 7777

COMMAND_ROOM = 900
"""Bytes of commands in one packet."""

WELCOME_WORK = 3000
"""The work for a Welcome, in ids and values: the client begins anew, see `WORK_A_POLL`."""

WORK_A_POLL = 20_000
"""The ids and values that one poll takes over from the server's messages, about; each datagram or
message counts as 25 more. The rest waits for the next poll."""

NOTIFICATIONS = 131_072
"""The most notifications that are kept for `ClientWorld.poll`."""

EARLY_UPDATES = 1000
"""The most updates that are kept before the Welcome to their room; with more, the client asks for
everything again."""

LONGEST_INTERVAL = 1.0
"""Seconds between two polls of `ClientWorld.connect_async` at most: with more it would not join."""

JOINING_SECONDS = 10.0
"""From the server's acceptance until the player is in the game; stalls of this end do not count."""

_BETWEEN_TICKS = 0.5  # packets for each tick that begins, for actions that wait for none
_BETWEEN_BURST = 8.0

_STALL = 0.25  # one gap between polls counts for no more than this
_QUIET = 1 / 30  # with commands unacked, something is sent at least this often

T = TypeVar("T")
T2 = TypeVar("T2")
T3 = TypeVar("T3")
T4 = TypeVar("T4")

_WELCOMED = (MemberState.JOINING, MemberState.JOINED)
_NO_REPORT = Report(0)
_ROOMS = 16  # of the rooms that we were in, so many may have updates on their way

_shown: WeakValueDictionary[str, ClientWorld] = WeakValueDictionary()
"""The last client of each esper world, by the world's name."""


class _Past:
    """The fate of this process's clients: the exit status of `ecsnet join` is made of it."""

    made = 0
    refused = False  # the last one


_REFUSALS = {
    Reason.UNREACHABLE: "nobody answers there: is the server running, is its UDP port open?",
    Reason.FULL: "the server is full: try again later",
    Reason.ADDRESS: "the server has no more places for players from your address, or too many came"
    " from there at once: try again later, or ask who runs it for a higher per_address=",
    Reason.ABUSE: "the server threw somebody out who played from your address, because what came"
    " was no honest client's: wait a minute, and try again",
    Reason.VERSION: "the server speaks another version of the protocol: both ends need the same"
    " version of ecsnet",
    Reason.SCHEMA: "this game differs from the server's: both ends need the same version of it",
    Reason.NAME: "the server does not take this name: choose another",
    Reason.SHUTDOWN: "the server is shutting down",
    Reason.TIMEOUT: "the server did not let us in in time: try again",
}

_ENDS = {
    Reason.TIMEOUT: "nothing has come from the server for a while: it is gone, or the network is",
    Reason.SHUTDOWN: "the server has ended",
    Reason.ERROR: "the server has failed; its own log says why",
    Reason.KICKED: "the server has thrown us out",
    Reason.ABUSE: "the server takes what we sent for no honest client's",
    Reason.SLOW: "we take in too little of what is sent: the network or this program is too slow",
}


class _Arrival(NamedTuple):
    """The number and size of a reliable message."""

    number: int
    size: int
    """In bytes."""


class ClientWorld:
    """A client. Make one with `connect`, call `poll` once a frame.

    Attributes:
        view: The world that shows what the server says. It is the esper world that was current
            at `connect`, or one of its own; ``with client.view:`` makes it current.
        closed: Whether it has come to its end, however that came about.
    """

    def __init__(
        self,
        *,
        name: str = "player",
        world: str | None = None,
        link: Link | None = None,
        debug: bool = False,
        registry: Registry | None = None,
        clock: Callable[[], float] = time.perf_counter,
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self.closed = False
        self._name = tidy_name(name)
        _check_link(link)
        check_flag("debug", debug)
        if registry is not None:
            check_instance("registry", registry, Registry, "give a Registry, or leave it out")
        check_function("clock", clock, "")
        check_number(
            "clock()", clock(), -inf, inf, "a clock gives seconds, as time.perf_counter does"
        )
        check_function("random", random, "count: int")
        if not (world is None or is_text(world)):
            raise UsageError(
                f"world={brief(world)}: give the name of an esper world, such as world='second'"
            )
        self.view = World.current() if world is None else World.named(world)
        shown = _shown.get(self.view.name)
        if shown is not None and not shown.closed:
            raise UsageError(
                f"the esper world {self.view.name!r} shows another client already: give this one a"
                " world of its own, connect(…, world='second')"
            )
        _shown[self.view.name] = self
        _Past.made += 1
        _Past.refused = False
        types = registry or current_registry()
        self._schema: Schema = types.schema()
        self._format = WireFormat(self._schema)
        self._clock = SteadyClock(clock)
        now = self._clock()
        hello = Hello(WIRE_VERSION, self._schema.fingerprint, self._name)
        self._connection = ClientConnection(encode(hello), now, random)
        self._connection.link = link
        self._view = ViewWorld(self._schema, self.view)
        self._guard = WriteGuard(self._view, self.view) if debug else None

        self._store: Store | None = None
        # What has arrived and is not taken over yet: number of a message or None, and when it came.
        self._arrived: deque[tuple[int | None, bytes | msgspec.Raw, float]] = deque()
        # Updates of a room whose Welcome has not come yet, and when they came; and the rooms whose
        # Welcome has.
        self._early: list[tuple[bytes | msgspec.Raw, float]] = []
        self._epochs: deque[int] = deque(maxlen=_ROOMS)
        self._state = MemberState.HANDSHAKE
        self._player_net = 0
        self._player: int | None = None  # as `Connected` said last
        self._shown: Store | None = None  # what the view was brought up to date with
        self._stay_begins = 0  # index of the first notification of the room that we are in
        self._ticks: TickClock | None = None
        self._timed = False  # the clock runs; not before a round trip was measured
        self._outbox = Outbox()
        self._unsendable = 0  # commands for entities that are not in the view
        self._messages: MessageTable[_Arrival] = MessageTable(
            MESSAGE_BYTES,
            [
                handles(SchemaOffer, [MemberState.HANDSHAKE], self._schema_offer),
                handles(Welcome, [MemberState.HANDSHAKE, *_WELCOMED], self._welcome),
                handles(self._format.structure, _WELCOMED, self._structure),
            ],
        )
        self._difference: str | None = None  # between the server's game and this one
        self._explain: Callable[[Reason, str], str] = _as_it_is
        self._work_left = 0
        self._joining_left = JOINING_SECONDS
        self._advanced_at = now
        self._events: list[object] = []
        self._polling = False
        self._leaving = False  # close() was called, and its work is not done
        self._handlers = contextlib.ExitStack()  # of signals, which `play` takes
        self._sent_at = 0.0
        self._interval = 0.0  # seconds between packets, where the server asks for fewer
        self._send_at = 0.0  # not before
        self._between = TokenBucket(0.0, 0.0)  # packets while no tick begins
        self._unsaid = False  # ticks or actions came since commands were sent
        types.use(self)

    @classmethod
    def connect(
        cls,
        host: str,
        port: int = DEFAULT_PORT,
        *,
        name: str = "player",
        world: str | None = None,
        link: Link | None = None,
        debug: bool = False,
        registry: Registry | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> Self:
        """Begin to connect; returns at once, the rest happens in `poll`.

        Args:
            host: Name or address of the server.
            port: Its UDP port.
            name: What the player is called: 1 to 24 printable characters.
            world: Name of an esper world to show it in, made when there is none; the current one
                when left out. A second client in one process needs one of its own.
            link: A bad network to try.
            debug: Check at each poll that nobody wrote replicated components.
            registry: The game's types, where they are not in the usual registry.
            clock: Tells seconds; where it is set back, no time goes by.

        Raises:
            UsageError: A port, a name or an address that cannot be.
        """
        _check_address(host, port)
        client = cls(name=name, world=world, link=link, debug=debug, registry=registry, clock=clock)
        client._connection.resolve(host, port)
        return client

    @classmethod
    async def connect_async(
        cls,
        host: str,
        port: int = DEFAULT_PORT,
        *,
        name: str = "player",
        world: str | None = None,
        link: Link | None = None,
        debug: bool = False,
        registry: Registry | None = None,
        clock: Callable[[], float] = time.perf_counter,
        interval: float = 0.01,
    ) -> ClientWorld:
        """Connect from an asyncio program and wait until the player is in the game.

        Afterwards call `poll` as often as you like; nothing runs by itself. The first one returns
        `Connected`, and what came into sight meanwhile.

        Args:
            host: As for `connect`, like all others but ``interval``.
            port: As for `connect`.
            name: As for `connect`.
            world: As for `connect`.
            link: As for `connect`.
            debug: As for `connect`.
            registry: As for `connect`.
            clock: As for `connect`.
            interval: Seconds between polls while it waits, at most one.

        Raises:
            RefusedError: The server did not let us in, or was not there.
            DisconnectedError: The connection ended before we were in.
            UsageError: As for `connect`.
        """
        advice = f"give seconds, from 0 to {LONGEST_INTERVAL:g}"
        check_number("connect_async(interval", interval, 0, LONGEST_INTERVAL, advice)
        client = cls.connect(
            host,
            port,
            name=name,
            world=world,
            link=link,
            debug=debug,
            registry=registry,
            clock=clock,
        )
        try:
            while client._player is None:
                client._poll()
                for event in client._events[-1:]:
                    if isinstance(event, Refused):
                        raise RefusedError(event.reason, event.message)
                    if isinstance(event, Disconnected):
                        raise DisconnectedError(event.reason)
                if client._player is None:
                    await asyncio.sleep(interval)
        except BaseException:  # a cancellation too
            client.close()
            raise
        return client

    @classmethod
    def over(
        cls,
        transport: ClientTransport,
        *,
        name: str = "player",
        world: str | None = None,
        link: Link | None = None,
        debug: bool = False,
        registry: Registry | None = None,
        clock: Callable[[], float] = time.perf_counter,
        random: Callable[[int], bytes] = os.urandom,
    ) -> ClientWorld:
        """Begin to connect over any transport; the rest happens in `poll`.

        Args:
            transport: What carries datagrams to and from the server.
            name: As for `connect`, like the others but ``random``.
            world: As for `connect`.
            link: As for `connect`.
            debug: As for `connect`.
            registry: As for `connect`.
            clock: As for `connect`.
            random: Returns that many random bytes.

        Raises:
            UsageError: The transport lacks a method of `ClientTransport`, or as for `connect`.
        """
        for method in ("send", "receive", "pin", "close"):
            if not callable(getattr(transport, method, None)):
                raise UsageError(
                    f"over({brief(transport)}): it has no method {method}(); give a transport"
                )
        client = cls(
            name=name,
            world=world,
            link=link,
            debug=debug,
            registry=registry,
            clock=clock,
            random=random,
        )
        client._connection.over(transport)
        return client

    # What a game asks.

    @property
    def link(self) -> Link | None:
        """Set it to a `Link` to try the game on a bad network; None for the real one.

        Raises:
            UsageError: It was set to anything else.
        """
        return self._connection.link

    @link.setter
    def link(self, link: Link | None) -> None:
        _check_link(link)
        self._connection.link = link

    @property
    def player(self) -> int | None:
        """Our player entity in the view; None until `Connected`, and when it is gone."""
        return self._view.local.get(self._player_net)

    @property
    def connected(self) -> bool:
        """True if we are in the game."""
        return self._player is not None and not self.closed

    @property
    def stats(self) -> ClientStats:
        """Figures of the connection, as of the last `poll`."""
        return self._connection.stats

    @overload
    def mine(self) -> list[int]: ...
    @overload
    def mine(self, __t1: type[T]) -> list[tuple[int, T]]: ...
    @overload
    def mine(self, __t1: type[T], __t2: type[T2]) -> list[tuple[int, tuple[T, T2]]]: ...
    @overload
    def mine(
        self, __t1: type[T], __t2: type[T2], __t3: type[T3]
    ) -> list[tuple[int, tuple[T, T2, T3]]]: ...
    @overload
    def mine(
        self, __t1: type[T], __t2: type[T2], __t3: type[T3], __t4: type[T4]
    ) -> list[tuple[int, tuple[T, T2, T3, T4]]]: ...
    @overload
    def mine(
        self, __t1: type, __t2: type, __t3: type, __t4: type, __t5: type, *types: type
    ) -> list[tuple[int, tuple[object, ...]]]: ...
    def mine(self, *types: type) -> object:
        """Return the entities in the view that our player owns, the player entity included.

        Args:
            types: Only entities that have all of these components: the first is a replicated
                one, the others may be the client's own, such as sprites.

        Returns:
            Entities; with one type ``(entity, component)``, with more ``(entity, (…, …))``.

        Raises:
            UsageError: The first type is not replicated.
        """
        if types:
            component_type(types[0], "mine()")
        for kind in types[1:]:
            check_instance("mine()", kind, type, "give classes of components")
        player = self.player
        if player is None:
            return []
        with self.view:
            owned = [
                entity for entity, owner in esper.get_component(Owner) if owner.player == player
            ]
            entities = [player, *(entity for entity in sorted(owned) if entity != player)]
            entities = [entity for entity in entities if self.view.alive(entity)]
            if not types:
                return entities
            found: list[tuple[int, tuple[object, ...]]] = [
                (entity, tuple(esper.component_for_entity(entity, kind) for kind in types))
                for entity in entities
                if esper.has_components(entity, *types)
            ]
        return [(entity, parts[0]) for entity, parts in found] if len(types) == 1 else found

    def attach(
        self,
        component: type[T],
        make: Callable[[int, T], object],
        *,
        remove: Callable[..., object] | None = None,
    ) -> None:
        """Hang something, such as a sprite, on every entity that has a replicated component.

        Args:
            component: The replicated type.
            make: Called with entity and component when the component appears, and at once for
                those that are there. What it returns is added to the entity as a component of
                its own; None adds nothing.
            remove: Called with what ``make`` returned when the component or the entity goes.

        Both are called with the view as it is then, and may do whatever else they like, such as
        `close` or delete entities: what they take from the view is back after the next `poll`. What
        they raise comes out of `poll`, `attach` or `close`, when that has done its work.

        Raises:
            UsageError: The type is not replicated, or one of the others cannot be called; ``make``
                returned something of a type that another attachment has made for this entity, or
                that is replicated.
            Exception: What ``make`` raised for entities that are there.
        """
        component_type(component, "attach()")
        check_function("attach(make", make, f"entity: int, value: {component.__name__}")
        check_function("attach(remove", remove, "made: object", optional=True)
        # It gets values of that type only.
        made = cast(Callable[[int, object], object], make)
        self._view.attach(Attachment(component, made, remove))

    def watch(self, *components: type) -> None:
        """Let `poll` return `Changed` for new values of these replicated types.

        Raises:
            UsageError: A type is not replicated.
        """
        for component in components:
            component_type(component, "watch()")
        self._view.watched.update(components)

    def send(self, command: object, entity: int | None = None) -> None:
        """Send a command.

        A held one (``@command(hold=True)``) is a state: it goes on until the next `send` of its
        type. An action happens once. What is sent before `Connected`, up to eight actions and all
        states, comes with the first tick; further actions expire. After the end nothing is sent.

        Args:
            command: An instance of a class under ``@command``.
            entity: An entity of the view that it is for; the player's own when left out. For one
                that is not there, or no longer, nothing is sent: that counts as rejected.

        Raises:
            UsageError: It is not a command, a field has a wrong value, ``entity`` is no number,
                or, once in the game, there are more than eight actions in one tick.
        """
        kind = command_type(type(command), "send()")
        fault = kind.fault(command, self._net)
        if fault is not None:
            raise BadValueError(f"send() got {fault}")
        target = self._addressed(kind, entity, "send()")
        if target is None:
            if not self.closed:
                self._unsendable += 1
            return
        wire = kind.to_wire(command, self._net)
        number = self._schema.command_id_of[kind.cls]
        if kind.hold:
            self._outbox.hold(number, target, wire)
        elif self._state is not MemberState.JOINED and self._outbox.waiting == ACTIONS_A_TICK:
            self._outbox.expire()  # the first tick takes no more
        else:
            self._outbox.act(number, target, wire)

    def release(self, command: type, entity: int | None = None) -> None:
        """Hold a command no longer.

        Args:
            command: A class under ``@command(hold=True)``.
            entity: The entity that it was sent for; the player's own when left out.

        Raises:
            UsageError: It is not a held command, or ``entity`` is no number.
        """
        kind = command_type(command, "release()")
        if not kind.hold:
            raise UsageError(f"release() got {command.__name__}, which is an action, not held")
        target = self._addressed(kind, entity, "release()")
        if target is not None:
            self._outbox.release(self._schema.command_id_of[kind.cls], target)

    def _addressed(self, kind: CommandType, entity: int | None, verb: str) -> int | None:
        """Return the network id for a command: 0 for our own entity, None to send nothing."""
        if kind.cls not in self._schema.command_id_of:
            raise UsageError(
                f"{verb} got {kind.cls.__name__}, which was declared after connect():"
                " import it before"
            )
        if not is_whole(entity) and entity is not None:
            raise UsageError(
                f"{verb} got entity={brief(entity)}: give the number of an entity in client.view,"
                " as from client.mine(), or leave it out for the player's own"
            )
        if self.closed:
            return None
        if entity is None or entity == self.player:
            return 0
        # What is out of sight cannot be meant any more: the server would only count it, too.
        return self._view.remote.get(entity)

    def _net(self, entity: object) -> int | None:
        if entity is None:
            return None
        if not is_whole(entity):
            raise TypeError  # the message is made from the field's name
        return self._view.remote.get(entity)

    # Once a frame.

    def poll(self) -> list[object]:
        """Take in what has arrived, bring the view up to date, send what is due.

        Returns:
            What happened, in order. Nothing after `Refused` or `Disconnected`, or `close`.

        Raises:
            UsageError: It was called inside itself, by a function of the game's.
            ReadOnlyError: In debug mode: somebody wrote a replicated component.
            WorldError: The esper world of the view was deleted.
            Exception: What a function raised that is attached; all else is done then, and what
                happened is returned by the next `poll`. Of a game that `ecsnet.play` hosts here:
                what a system or hook raised, with ``on_error="stop"``.
        """
        self._poll()
        events, self._events = self._events, []
        self._stay_begins = 0
        return events

    def _poll(self) -> None:
        """Do all of `poll` but for returning the notifications."""
        if self.closed:
            return
        if self._polling or self._view.attachments.calling:
            raise UsageError(
                "poll() inside poll(): an attached function, a converter or a system called it;"
                " leave it to the loop"
            )
        self._polling = True
        try:
            self._advance(self._clock())
        finally:
            self._polling = False
            if self._leaving:
                self._let_go()
        self._view.attachments.call_back()

    def close(self) -> None:
        """Leave: tells the server, and takes what is replicated out of the view.

        Closing twice is fine; `poll` returns nothing afterwards and `send` does nothing. Inside of
        `poll` it counts at once, and the view is empty when `poll` returns.

        Raises:
            Exception: What a function raised that removes what is attached.
        """
        if not self.closed:
            self._connection.leave()
            self._enter(MemberState.CLOSED)
        self.closed = self._leaving = True
        if not self._polling:
            self._let_go()

    def __enter__(self) -> ClientWorld:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self.closed else "connected" if self.connected else "connecting"
        return f"<ClientWorld {self._name!r} {state}>"

    def _advance(self, now: float) -> None:
        """Do all of a poll, but for calling attached functions."""
        connection = self._connection
        if self._guard is not None and self._store is not None:
            self._guard.check(self._store)
        self._work_left = WORK_A_POLL
        connection.fetch(now)
        self._take_over()
        while not self._arrived:
            received = connection.receive(now)
            if received is None:
                break
            self._receive(received, now)
            self._take_over()
        if self.closed:  # a hosted game may have done that
            return
        connection.check(now)
        self._give_up_waiting(now)
        if self._store is not None:
            self._show(self._store)
            self._check_load(self._store)
        if connection.end is not None and not self.closed:
            self._ended(connection.end)
        if connection.connected and not self.closed:  # a converter may have closed it
            self._step(now)
        connection.measure(now)
        self._measure()
        if self._guard is not None and not self.closed:
            self._guard.watch(self._store)

    def _check_load(self, store: Store) -> None:
        """Leave a server that says more than a client keeps."""
        excess = store.overload or self._view.references.overload
        if len(self._events) > NOTIFICATIONS:
            excess = f"more than {NOTIFICATIONS:,} things happened since poll() returned any"
        if excess is not None and self._connection.end is None:
            self._connection.give_up(Reason.OVERLOAD, f"too much to keep: {excess}")

    def _give_up_waiting(self, now: float) -> None:
        """End a joining that takes too long, whatever the server says meanwhile."""
        elapsed, self._advanced_at = now - self._advanced_at, now
        if self._connection.connected and self._state is not MemberState.JOINED:
            self._joining_left -= min(elapsed, _STALL)
            if self._joining_left < 0:
                self._connection.give_up(Reason.TIMEOUT)

    def _let_go(self) -> None:
        """Have nothing to do with the server and the view any more."""
        self._leaving = False
        self._events.clear()
        self._handlers.close()
        try:
            self._connection.close()
        finally:
            self._view.clear()

    def _receive(self, received: Received[msgspec.Raw], now: float) -> None:
        """Take in the messages, acks and payload of a packet."""
        for number, message in received.messages:
            self._arrived.append((number, message, now))
        for acked in (*received.acked, *received.late):
            self._outbox.acked(acked)
        if received.payload is not None:
            self._arrived.append((None, received.payload, now))

    def _take_over(self) -> None:
        """Take over what has arrived, in order, as far as this poll gets."""
        arrived = self._arrived
        while arrived and self._work_left > 0 and self._connection.end is None:
            store = self._store
            before = 0 if store is None else store.work
            number, data, came_at = arrived.popleft()
            if number is not None:
                self._message(number, bytes(data), came_at)
            else:
                self._update(data, came_at)
            if store is not None:
                self._work_left -= store.work - before
                self._check_load(store)

    def _update(self, payload: bytes | msgspec.Raw, now: float) -> None:
        store, ticks = self._store, self._ticks
        if store is None or ticks is None:
            self._keep_early(payload, now)
            return
        update = self._format.update.decode(payload)
        if update is None or not store.update(update, len(payload)):
            if update is not None and update.epoch not in self._epochs:
                self._keep_early(payload, now)
                return
            self.stats.datagrams_rejected += 1
            if update is None or update.epoch == store.epoch:
                self._connection.peer.strike(now)
            return
        ticks.heard(store.tick, now)
        report = update.report
        if report is not None and store.report is report:
            ticks.report(report.slack / 16, store.tick, self._connection.peer.session.path.loss)

    def _keep_early(self, payload: bytes | msgspec.Raw, now: float) -> None:
        """Keep an update of a room that we are not in yet. Its packet is acked: what it says is not
        said again.
        """
        if len(self._early) < EARLY_UPDATES:
            self._early.append((payload, now))

    def _message(self, number: int, data: bytes, now: float) -> None:
        """Dispatch a reliable message from the server."""
        if not self._messages.dispatch(data, self._state, _Arrival(number, len(data)), now):
            self._connection.peer.strike(now)
            self.stats.datagrams_rejected += 1
        if self._store is not None and self._store.structured < number:
            self._store.passed(number)

    def _structure(self, message: Structure[object], arrival: _Arrival, now: float) -> None:
        store = self._store
        assert store is not None  # in this state
        number, size = arrival
        if not store.structure(number, message, size) and message.epoch == store.epoch:
            self._connection.peer.strike(now)

    def _schema_offer(self, offer: SchemaOffer, _: _Arrival, now: float) -> None:
        difference = self._schema.first_difference(offer.description)
        self._difference = difference or _REFUSALS[Reason.SCHEMA]
        self._connection.peer.queue(encode(SchemaDiffers(self._difference[:400])))
        self._enter(MemberState.SCHEMA_MISMATCH)

    def _welcome(self, welcome: Welcome, arrival: _Arrival, now: float) -> None:
        """We are in a room; what we know of the one before is over."""
        if self._state is MemberState.JOINED:
            self._joining_left = JOINING_SECONDS
        self._work_left -= WELCOME_WORK
        store = self._store = Store(
            self._format, welcome.epoch, welcome.tick, number=arrival.number
        )
        self._player_net = welcome.player
        self._interval = 0.0 if welcome.command_rate is None else 1 / welcome.command_rate
        self._between = TokenBucket(_BETWEEN_TICKS * welcome.tick_rate, _BETWEEN_BURST)
        self._ticks = TickClock(welcome.tick_rate, welcome.update_rate, self._interval)
        self._timed = False
        if self._state is not MemberState.HANDSHAKE:
            self._forget_commands()
        early, self._early = self._early, []
        # Updates of a room that we come back to may have been taken for those of our last stay.
        store.resync = len(early) == EARLY_UPDATES or welcome.epoch in self._epochs
        self._epochs.append(welcome.epoch)
        self._arrived.extendleft((None, payload, came_at) for payload, came_at in reversed(early))
        self._enter(MemberState.JOINING)

    def _forget_commands(self) -> None:
        """Forget what was done in another room, and what is held for entities of it."""
        outbox, commands = self._outbox, self._schema.commands
        for type_id, target in outbox.held:
            if target or commands[type_id].has_refs:
                outbox.release(type_id, target)
        outbox.change_room()

    def _show(self, store: Store) -> None:
        """Bring the view up to date."""
        if self._shown is not store:
            self._shown = store
            self._events += self._view.hide_all()
            self._stay_begins = len(self._events)
        store.recount()
        self._events += self._view.reconcile(store)
        if self._state is MemberState.JOINING:
            self._arrive(store)

    def _arrive(self, store: Store) -> None:
        """Say `Connected`, once our own player's entity is there, or is not going to be."""
        player = self.player
        # It comes before all else, so nothing else has to arrive to know that it does not.
        gone = store.introduced and self._player_net not in store.entities
        if player is None and self._player_net and not gone:
            return
        self._player = player or 0
        self._enter(MemberState.JOINED)
        self._outbox.idle()  # what was sent until now was sent in no tick
        self._events.insert(self._stay_begins, Connected(self._player))
        logger.info("connected as %s", self._name)

    def _enter(self, state: MemberState) -> None:
        """Change the state; nothing else does."""
        before, self._state = self._state, state
        logger.debug("%s: %s -> %s", self._name, before.value, state.value)

    def _step(self, now: float) -> None:
        """Stamp commands, send what is due."""
        connection, store = self._connection, self._store
        peer = connection.peer
        peer.lost(now)
        packet: bytes | None = None
        ready = now >= self._send_at
        if store is not None:
            if store.resync and not (store.asked or peer.backlog):
                store.resync = False
                store.asked += 1
                peer.queue(encode(Resync()))
                logger.debug("%s dropped values and asks for all of them again", self._name)
            packet = self._commands(store, now, ready)
        if packet is None and ready and peer.due(now):
            packet = peer.pack(None, now)
        if packet is not None:
            self._sent_at = now
            if self._state is MemberState.JOINED:  # on the way into the game nothing waits
                self._send_at = min(max(now, self._send_at + self._interval), now + self._interval)
            connection.transmit(packet, now)
        if peer.streaming:
            for piece in peer.pack_messages(now, 4096):
                connection.transmit(piece, now)

    def _commands(self, store: Store, now: float, ready: bool) -> bytes | None:
        """Return the packet with our commands, when there is something new in it or it is time."""
        ticks, outbox, peer = self._ticks, self._outbox, self._connection.peer
        assert ticks is not None
        if not self._timed and peer.session.path.measured:
            self._timed = True
            ticks.start(store.tick, now, peer.session.path.rtt)
        begun = ticks.advance(now)
        if ticks.paused or ticks.waiting:
            outbox.idle()
        before = outbox.sent
        if self._state is MemberState.JOINED:
            outbox.stamp(begun)
        # A tick that begins is always said: from it the server measures how early we are.
        self._unsaid = self._unsaid or bool(begun) or outbox.sent != before
        # What is saved up has to fit: none of it is to be late.
        if not ready and not (begun and outbox.crowded(COMMAND_ROOM)):
            return None
        if not self._unsaid and now - self._sent_at < _QUIET:
            return None
        # Who acts in every frame of a fast screen would send more than a server takes.
        if not begun and not self._between.take(1, now):
            return None
        self._unsaid = False
        packed = outbox.pack(COMMAND_ROOM)
        if packed is None:
            return None
        payload = (store.epoch, packed.number, packed.tick, packed.frames)
        return peer.pack(payload, now, packed.through)

    def _measure(self) -> None:
        stats, store, outbox = self.stats, self._store, self._outbox
        report = _NO_REPORT if store is None or store.report is None else store.report
        stats.commands_sent = outbox.sent
        stats.commands_expired = outbox.expired
        stats.commands_rejected = self._unsendable
        if store is not None:
            stats.tick, stats.confirmed_tick = store.tick, store.confirmed_tick
        stats.commands_applied = report.applied
        stats.commands_expired += report.expired
        stats.commands_superseded = report.superseded
        stats.commands_rejected += report.rejected

    def _ended(self, end: End) -> None:
        """Note that there is no connection, or none any more."""
        if self._player is not None:
            why = end.detail or _ENDS.get(end.reason)
            said = f"disconnected: {end.reason}: {why}" if why else f"disconnected: {end.reason}"
            self._events.append(Disconnected(end.reason.value))
        else:
            reason, message = self._why_refused(end)
            said = f"refused: {message}"
            _Past.refused = True
            self._events.append(Refused(reason.value, message))
        self.closed = True
        self._connection.close()
        self._enter(MemberState.CLOSED)
        # Warnings reach stderr in a game that configures no logging: it would end without a word.
        # Last of all: what takes log lines may be the game's own, and raise.
        logger.warning("%s", said)

    def _why_refused(self, end: End) -> tuple[Reason, str]:
        reason, text = end.reason, _REFUSALS.get(end.reason, f"the server said: {end.reason}")
        if self._difference is not None:
            reason, text = Reason.SCHEMA, self._difference
        elif end.detail:
            text = end.detail
        return reason, self._explain(reason, text)


def _as_it_is(_: Reason, text: str) -> str:
    return text


def _check_link(link: object) -> None:
    if not isinstance(link, Link | None):
        raise UsageError(f"link={brief(link)}: give a Link, as in net.Link(lag=0.1), or None")


def _check_address(host: object, port: object) -> None:
    """Refuse an invalid server address, without a look at the network."""
    if not is_whole(port) or not 0 < port < 65536:
        raise UsageError(
            f"connect({brief(host)}, {brief(port)}): a port is a number from 1 to 65535"
        )
    name, own = "", port
    for text in (host, host.rpartition(":")[0]) if is_text(host) else ():
        with contextlib.suppress(UsageError):  # what stands behind the colon may be no port
            name, own = parse_address(text, port)
            break
    if not name:
        raise UsageError(f"connect({brief(host)}): give the name or the address of the server")
    if name != host:
        raise UsageError(
            f"connect({brief(host)}): the port is a parameter of its own: connect({name!r}, {own})"
        )
