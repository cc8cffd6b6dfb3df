"""`ClientWorld`: one connection to a server, and the esper world that shows what it says.

There is no thread and no event loop in here. `ClientWorld.poll`, called once a frame, takes in
what has arrived, brings the view up to date, runs what is due and sends; it never blocks. What
the network does is an event that `poll` returns, never an exception.

This is the door for authors: arguments are checked here, and functions of the game's are called at
the end of a poll. `ClientProtocol` does the rest.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from math import inf
from types import TracebackType
from typing import Self, TypeVar, cast, overload
from weakref import WeakValueDictionary

import esper

from ecsnet.client.calls import Calls
from ecsnet.client.command_sender import CommandSender
from ecsnet.client.connection import ClientConnection
from ecsnet.client.lobby import ClientLobby, encode_info, read_lobby
from ecsnet.client.prediction import ClientPrediction
from ecsnet.client.protocol import ClientProtocol
from ecsnet.client.stats import ClientStats
from ecsnet.client.steady_clock import SteadyClock
from ecsnet.client.write_guard import WriteGuard
from ecsnet.commands.frames import ACTIONS_A_TICK
from ecsnet.commands.join_data import JoinData, encode_join_data
from ecsnet.components import LobbyInfo, LobbyReady, Owner
from ecsnet.errors import BadValueError, DisconnectedError, RefusedError, UsageError
from ecsnet.messages.joining import WIRE_VERSION, Hello, MemberState
from ecsnet.notifications import Disconnected, Refused
from ecsnet.replication.client.attachments import Attachment
from ecsnet.replication.client.store import LAST_ID
from ecsnet.replication.client.view import ViewWorld
from ecsnet.schema import (
    CommandType,
    Ref,
    Registry,
    Schema,
    command_type,
    component_type,
    current_registry,
    encode,
)
from ecsnet.simulation.spec import Game, SimulationSpec
from ecsnet.transport.address import DEFAULT_PORT, check_remote
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

__all__ = ["ClientStats", "ClientWorld", "showing"]

LONGEST_INTERVAL = 1.0
"""Seconds between two polls of `ClientWorld.connect_async` at most: with more it would not join."""

T = TypeVar("T")
T2 = TypeVar("T2")
T3 = TypeVar("T3")
T4 = TypeVar("T4")

_shown: WeakValueDictionary[str, ClientWorld] = WeakValueDictionary()
"""The last client of each esper world, by the world's name."""


def showing(name: str) -> ClientWorld | None:
    """Return the client whose view is the esper world of that name, while it is open."""
    client = _shown.get(name)
    return None if client is None or client.closed else client


class _Past:
    """The fate of this process's clients: the exit status of `ecsnet join` is made of it."""

    made = 0
    refused: bool  # the last one


class ClientWorld:
    """A client. Make one with `connect`, call `poll` once a frame.

    Attributes:
        view: The world that shows what the server says. It is the esper world that was current
            at `connect`, or one of its own; ``with client.view:`` makes it current.
    """

    def __init__(
        self,
        *,
        name: str = "player",
        data: object = None,
        world: str | None = None,
        link: Link | None = None,
        debug: bool = False,
        registry: Registry | None = None,
        game: Game | None = None,
        smooth: bool = False,
        clock: Callable[[], float] = time.perf_counter,
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._name = tidy_name(name)
        _check_link(link)
        check_flag("debug", debug)
        check_flag("smooth", smooth)
        if registry is not None:
            check_instance("registry", registry, Registry, "give a Registry, or leave it out")
        if game is not None and not isinstance(getattr(game, "spec", None), SimulationSpec):
            raise UsageError(
                f"game={brief(game)}: give the game, a ServerWorld, whose shared systems run here"
                " ahead of the server, or leave it out"
            )
        check_function("clock", clock, "")
        check_number(
            "clock()", clock(), -inf, inf, "a clock gives seconds, as time.perf_counter does"
        )
        check_function("random", random, "count: int")
        if not (world is None or is_text(world)):
            raise UsageError(
                f"world={brief(world)}: give the name of an esper world, such as world='second'"
            )
        types = registry or current_registry()
        self._schema: Schema = types.schema()
        join_data = None if data is None else self._join_data(data)
        self.view = World.current() if world is None else World.named(world)
        shown = _shown.get(self.view.name)
        if shown is not None and not shown.closed:
            raise UsageError(
                f"the esper world {self.view.name!r} shows another client already: give this one a"
                " world of its own, connect(…, world='second')"
            )
        # What runs ahead here, if anything does.
        spec = game.spec if smooth and game is not None and game.spec.shared else None
        self._clock = SteadyClock(clock)
        now = self._clock()
        hello = Hello(
            WIRE_VERSION, self._schema.fingerprint, self._name, join_data, spec is not None
        )
        self._connection = ClientConnection(encode(hello), now, random)
        self._connection.link = link
        self._view = ViewWorld(self._schema, self.view)
        self._sender = CommandSender(self._connection.peer)
        self._protocol = ClientProtocol(
            self._name,
            self._schema,
            self._connection,
            self._view,
            self._sender,
            now,
            smooth=smooth,
            prediction=None
            if spec is None
            else ClientPrediction(spec, self._schema, self._view, self._sender, debug=debug),
        )
        self._smooth = smooth
        self._has_game = game is not None
        self._calls = Calls(self.view)
        self._guard = WriteGuard(self._view, self.view) if debug else None
        self._polling = False
        self._leaving = False  # close() was called
        self._handlers = contextlib.ExitStack()  # of signals, which `play` takes
        _shown[self.view.name] = self
        _Past.made += 1
        _Past.refused = False
        types.use(self)

    @classmethod
    def connect(
        cls,
        host: str,
        port: int = DEFAULT_PORT,
        *,
        name: str = "player",
        data: object = None,
        world: str | None = None,
        link: Link | None = None,
        debug: bool = False,
        registry: Registry | None = None,
        game: Game | None = None,
        smooth: bool = True,
        clock: Callable[[], float] = time.perf_counter,
    ) -> Self:
        """Begin to connect; returns at once, the rest happens in `poll`.

        Args:
            host: Name or address of the server.
            port: Its UDP port.
            name: What the player is called: 1 to 24 printable characters.
            data: An instance of a class under ``@command`` for the game's ``on_request`` hooks,
                such as a password; references to entities in it read None.
            world: Name of an esper world to show it in, made when there is none; the current one
                when left out. A second client in one process needs one of its own.
            link: A bad network to try.
            debug: Check at each poll that nobody wrote replicated components, and in one tick of
                each second that shared systems come out the same when it runs again.
            registry: The game's types, where they are not in the usual registry.
            game: The game, a `ServerWorld`, whose shared systems run here ahead of the server.
            smooth: Draw others a little behind, between two values that came, let all that is told
                wait for its tick, and run the game's shared systems ahead. False, for bots and
                tests: everything is shown as soon as it arrives, and nothing runs here.
            clock: Tells seconds; where it is set back, no time goes by.

        Raises:
            UsageError: A port, a name or an address that cannot be; the data is no command, or has
                a wrong value.
        """
        check_remote(host, port)
        client = cls(
            name=name,
            data=data,
            world=world,
            link=link,
            debug=debug,
            registry=registry,
            game=game,
            smooth=smooth,
            clock=clock,
        )
        client._connection.resolve(host, port)
        return client

    @classmethod
    async def connect_async(
        cls,
        host: str,
        port: int = DEFAULT_PORT,
        *,
        name: str = "player",
        data: object = None,
        world: str | None = None,
        link: Link | None = None,
        debug: bool = False,
        registry: Registry | None = None,
        game: Game | None = None,
        smooth: bool = False,
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
            data: As for `connect`.
            world: As for `connect`.
            link: As for `connect`.
            debug: As for `connect`.
            registry: As for `connect`.
            game: As for `connect`.
            smooth: As for `connect`, but for what it is when left out: bots want the newest.
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
            data=data,
            world=world,
            link=link,
            debug=debug,
            registry=registry,
            game=game,
            smooth=smooth,
            clock=clock,
        )
        try:
            while client._protocol.connected_as is None:
                client._poll()
                for event in client._protocol.notifications[-1:]:
                    if isinstance(event, Refused):
                        raise RefusedError(event.reason, event.message)
                    if isinstance(event, Disconnected):
                        raise DisconnectedError(event.reason, event.message)
                if client._protocol.connected_as is None:
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
        data: object = None,
        world: str | None = None,
        link: Link | None = None,
        debug: bool = False,
        registry: Registry | None = None,
        game: Game | None = None,
        smooth: bool = True,
        clock: Callable[[], float] = time.perf_counter,
        random: Callable[[int], bytes] = os.urandom,
    ) -> ClientWorld:
        """Begin to connect over any transport; the rest happens in `poll`.

        Args:
            transport: What carries datagrams to and from the server.
            name: As for `connect`, like the others but ``random``.
            data: As for `connect`.
            world: As for `connect`.
            link: As for `connect`.
            debug: As for `connect`.
            registry: As for `connect`.
            game: As for `connect`.
            smooth: As for `connect`.
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
            data=data,
            world=world,
            link=link,
            debug=debug,
            registry=registry,
            game=game,
            smooth=smooth,
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
        return self._protocol.player

    @property
    def connected(self) -> bool:
        """True if we are in the game."""
        return self._protocol.connected_as is not None and not self.closed

    @property
    def closed(self) -> bool:
        """True if it has come to its end, however that came about."""
        return self._protocol.closed

    @property
    def lobby(self) -> ClientLobby | None:
        """The lobby, as the view shows it now; None before `Connected`, and in a game without one.

        It has whom this client sees: everybody, unless the game says otherwise.
        """
        ticks = self._sender.ticks
        if ticks is None or not self.connected:
            return None
        return read_lobby(self.view, self.player, self.stats.tick, ticks.rate)

    @property
    def shown(self) -> float | None:
        """The tick that others are drawn at, with its fraction; None with ``smooth=False``, and
        before there is anything to draw.
        """
        return self._protocol.shown

    @property
    def ahead(self) -> float | None:
        """The tick that our own entities are drawn at, with its fraction: it is ahead of the
        server's. None where nothing is predicted.
        """
        return self._protocol.ahead

    @property
    def interpolation(self) -> bool:
        """True if others are drawn between two values. Set it, while the game runs, to see what it
        is good for: without it they are drawn as the newest value has them.

        Raises:
            UsageError: It was set to anything else than a bool, or to True where the client is not
                smooth.
        """
        return self._protocol.interpolation

    @interpolation.setter
    def interpolation(self, on: bool) -> None:
        check_flag("interpolation", on)
        if on and not self._smooth:
            raise UsageError(
                "interpolation = True for a client that was made with smooth=False: connect it with"
                " smooth=True"
            )
        self._protocol.interpolation = on

    @property
    def prediction(self) -> bool:
        """True if our own entities are drawn ahead of the server. Set it, while the game runs, to
        see what it is good for: without it they are drawn as the server says. Once a shared system
        has raised here it stays False.

        Raises:
            UsageError: It was set to anything else than a bool, or to True where nothing can be
                predicted.
        """
        prediction = self._protocol.prediction
        return prediction is not None and prediction.running and prediction.drawn

    @prediction.setter
    def prediction(self, on: bool) -> None:
        check_flag("prediction", on)
        prediction = self._protocol.prediction
        if prediction is not None:
            prediction.drawn = on
        elif on:
            raise UsageError(f"prediction = True for a client that cannot predict: {self._lack()}")

    def _lack(self) -> str:
        """Say what a client would need to predict."""
        if not self._smooth:
            return "connect it with smooth=True"
        if not self._has_game:
            return "give it the game, connect(…, game=server)"
        return "no system of its game is shared, @server.system(shared=True)"

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
        type for that entity, or until the entity leaves the view. An action happens once. What is
        sent before `Connected`, up to eight actions and all states, comes with the first tick;
        further actions expire. After the end nothing is sent.

        Args:
            command: An instance of a class under ``@command``.
            entity: An entity of the view that it is for; the player's own when left out. For one
                that is not there, or no longer, nothing is sent: that counts as rejected.

        Raises:
            UsageError: It is not a command, a field has a wrong value, ``entity`` is no number,
                or, once in the game, there are more than eight actions in one tick.
        """
        kind = self._kind_of(command, self._net, "send()")
        target = self._addressed(entity, "send()")
        if target is None:
            if not self.closed:
                self._sender.unsendable += 1
            return
        wire = kind.to_wire(command, self._net)
        number = self._schema.command_id_of[kind.cls]
        outbox = self._sender.outbox
        joined = self._protocol.state is MemberState.JOINED
        if kind.hold:
            outbox.hold(number, target, wire)
        elif not joined and outbox.waiting == ACTIONS_A_TICK:
            outbox.expire()  # the first tick takes no more
        else:
            outbox.act(number, target, wire)

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
        self._check_declared(kind, "release()")
        target = self._addressed(entity, "release()")
        if target is not None:
            self._sender.outbox.release(self._schema.command_id_of[kind.cls], target)

    def set_ready(self, ready: bool) -> None:
        """Say in the lobby that we are ready for a match, or no longer.

        It is a command like any other: the server decides, at most twice a second, and `lobby`
        shows what came of it. In a match, and in a game without a lobby, it does nothing.

        Raises:
            UsageError: It is neither True nor False, or as for `send`.
        """
        check_flag("set_ready(ready", ready)
        self.send(LobbyReady(ready))

    def set_info(self, **values: bool | int | float | str) -> None:
        """Tell the others in the lobby something: ``client.set_info(colour="red", level=3)``.

        It takes the place of all that was told before, also of the names that are not given again,
        and is `lobby`'s ``info`` of our player for everybody. The server does not look at it: a
        game that shows texts cleans them.

        Raises:
            UsageError: A value is none of these, or all of it takes more than 200 bytes; or as for
                `send`.
        """
        self.send(LobbyInfo(encode_info(values)))

    def _join_data(self, data: object) -> JoinData:
        """Return what a client sends along when it asks to join."""
        kind = self._kind_of(data, _no_entity, "connect(data=…)")
        return encode_join_data(self._schema, kind, data)

    def _kind_of(self, command: object, ref: Ref, verb: str) -> CommandType:
        """Return the type of a command that can be sent."""
        kind = command_type(type(command), verb)
        fault = kind.fault(command, ref)
        if fault is not None:
            raise BadValueError(f"{verb} got {fault}")
        self._check_declared(kind, verb)
        return kind

    def _check_declared(self, kind: CommandType, verb: str) -> None:
        if kind.cls not in self._schema.command_id_of:
            raise UsageError(
                f"{verb} got {kind.cls.__name__}, which was declared after connect():"
                " import it before"
            )

    def _addressed(self, entity: int | None, verb: str) -> int | None:
        """Return the network id for a command: 0 for our own entity, None to send nothing."""
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
        net = self._view.remote.get(entity)
        return net if net is None or net <= LAST_ID else None  # the server knows no greater one

    def _net(self, entity: object) -> int | None:
        _no_entity(entity)
        net = None if entity is None else self._view.remote.get(cast(int, entity))
        return net if net is None or net <= LAST_ID else None

    # Once a frame.

    def poll(self) -> list[object]:
        """Take in what has arrived, bring the view up to date, send what is due.

        Returns:
            What happened, in order. Nothing after `Refused` or `Disconnected`, or `close`.

        Raises:
            UsageError: It was called inside itself, by a function of the game's.
            ReadOnlyError: In debug mode: somebody wrote a replicated component.
            WorldError: The esper world of the view was deleted.
            Exception: What a function raised that is attached, or a method under `rpc`; all else is
                done then, and what happened is returned by the next `poll`. Of a game that
                `ecsnet.play` hosts here: what a system or hook raised, with ``on_error="stop"``.
        """
        self._poll()
        return self._protocol.take_notifications()

    def _poll(self) -> None:
        """Do all of `poll` but for returning the notifications."""
        if self.closed:
            return
        if self._polling or self._view.attachments.calling or self._calls.running:
            raise UsageError(
                "poll() inside poll(): an attached function, a converter, a system or a call did"
                " that; leave it to the loop"
            )
        self._polling = True
        try:
            self._advance(self._clock())
        finally:
            self._polling = False
            if self._protocol.refused:
                _Past.refused = True
            if self._leaving:
                self._let_go()
        try:
            self._view.attachments.call_back()
        finally:
            self._calls.run(self._protocol.take_calls())

    def _advance(self, now: float) -> None:
        """Let the protocol advance, in debug mode between two looks at who writes."""
        protocol, guard = self._protocol, self._guard
        if guard is not None and protocol.shows is not None:
            guard.check(protocol.shows)
        protocol.advance(now)
        if guard is not None and not self.closed:
            guard.watch(protocol.shows)

    def close(self) -> None:
        """Leave: tells the server, and takes what is replicated out of the view.

        Closing twice is fine; `poll` returns nothing afterwards and `send` does nothing. Inside of
        `poll` it counts at once, and the view is empty when `poll` returns.

        Raises:
            Exception: What a function raised that removes what is attached.
        """
        self._leaving = True
        if not self.closed:
            self._protocol.leave()
        if not self._polling:
            self._let_go()

    def _let_go(self) -> None:
        """Have nothing to do with the server and the view any more."""
        self._protocol.take_notifications()  # nobody is told
        self._handlers.close()
        try:
            self._connection.close()
        finally:
            self._view.clear()

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


def _no_entity(entity: object) -> int | None:
    """Return the network id of an entity before anything is in view; raise TypeError where it can
    be none: the message is made from the field's name.
    """
    if entity is not None and not is_whole(entity):
        raise TypeError
    return None


def _check_link(link: object) -> None:
    if not isinstance(link, Link | None):
        raise UsageError(f"link={brief(link)}: give a Link, as in net.Link(lag=0.1), or None")
