"""`ServerWorld`: the spec of a game, and the ways to run it."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from math import inf
from types import NoneType
from typing import TYPE_CHECKING, TypeVar, overload

from ecsnet.analytics_options import Analytics
from ecsnet.commands.inbox import PlayerCommands, ReceivedCommand
from ecsnet.components import Owner, Player, Presence, Teleports
from ecsnet.connection.plain import TIMEOUT
from ecsnet.errors import UsageError
from ecsnet.peer import BANDWIDTH, Send
from ecsnet.replication.server.interest import Interest
from ecsnet.runtime.console import last_resort, open_standard_files
from ecsnet.runtime.idle import warn_of_idle_worlds
from ecsnet.runtime.modules import check_started
from ecsnet.runtime.signals import end_of, ending
from ecsnet.schema import Registry, command_type, current_registry
from ecsnet.server.host import CATCH_UP_SECONDS, Host
from ecsnet.server.room import REWIND_SECONDS
from ecsnet.server.setting_checks import SETTINGS, check_tick_rate
from ecsnet.session.goodbye import Reason
from ecsnet.simulation.join_request import JoinRequest
from ecsnet.simulation.lobby import Lobby, LobbyControl
from ecsnet.simulation.observer import ObserverSource
from ecsnet.simulation.simulation import Join, Leave, Simulation
from ecsnet.simulation.spec import OnError, SimulationSpec, System, gets_reason
from ecsnet.transport.address import DEFAULT_PORT, Address, check_local
from ecsnet.transport.contract import LoopServerTransport
from ecsnet.transport.ticker import Ticker
from ecsnet.transport.udp_server import UdpServer
from ecsnet.validation.arguments import (
    MOST_TICKS,
    check_call,
    check_function,
    check_instance,
    check_items,
    check_number,
    check_whole,
    is_text,
)
from ecsnet.validation.names import tidy_name
from ecsnet.validation.wording import brief

__all__ = ["ServerWorld"]

logger = logging.getLogger("ecsnet.server")

F = TypeVar("F", bound=Callable[..., object])
RequestHook = TypeVar("RequestHook", bound=Callable[[JoinRequest], str | None])
PlayHook = TypeVar("PlayHook", bound=Callable[[list[int]], object])
SystemFunction = TypeVar("SystemFunction", bound=Callable[[float], object])

_FREEZE_TICKS = 120

# What the collector lets pile up before it looks: by default it would look several times a tick.
_GARBAGE = 100_000

# From so many clients on, the socket is drained now and then instead of being watched.
_MANY = 150


class ServerWorld:
    """The spec of a game: rates, systems and hooks. Each run makes a fresh world from it.

    ```python
    server = net.ServerWorld(tick_rate=60)

    @server.on_join
    def join(player: int) -> None:
        esper.add_component(player, Square())

    @server.system(priority=10)
    def move(dt: float) -> None:
        for player, steer in net.commands(Steer):
            esper.component_for_entity(player, Square).x += steer.dx * 200 * dt

    server.run("0.0.0.0", 7777)
    ```

    Args:
        tick_rate: Ticks of the simulation in a second.
        update_rate: Updates to the clients in a second, at most one each tick; every tick when
            left out. It is brought to a whole number of ticks from one to the next.
        command_rate: Packets that each client sends in a second, with the commands of all its ticks
            since the one before; one with each tick when left out. A client runs ahead by as much
            as it saves up, so its commands take that much longer to have an effect.
        max_clients: How many can play at a time.
        per_address: How many of them may come from one address (an IPv6 /64 counts as one); when
            left out, all but an eighth of ``max_clients``, which is kept for others.
        interest: Who sees what: `Everyone()` (when left out), `Grid(...)` or `Visible(...)`.
        on_error: What happens when a system or hook raises: ``"stop"`` ends the server, and
            `run` raises it; ``"skip"`` leaves that system out for the tick.
        seed: Of the random numbers that systems get from `ecsnet.rng`; random when left out.
        timeout: Seconds of silence after which a client is given up; the time of three of its
            packets at least.
        bandwidth: Bytes a second that one client is sent at most.
        rewind: The most seconds, up to 1, by which `ecsnet.rewind` looks back for a player with a
            slow line. With more of them the others are hit more often behind their cover.
        analytics: Keep what happens in a journal: its folder, or `Analytics(...)` for more.
        lobby: Gather players before each match, see `Lobby`; without it the game is always on.

    Raises:
        UsageError: A rate or number is invalid.
    """

    def __init__(
        self,
        tick_rate: float = 60.0,
        *,
        update_rate: float | None = None,
        command_rate: float | None = None,
        max_clients: int = 64,
        per_address: int | None = None,
        interest: Interest | None = None,
        on_error: OnError = "stop",
        seed: int | None = None,
        timeout: float = TIMEOUT,
        bandwidth: float = BANDWIDTH,
        rewind: float = REWIND_SECONDS,
        analytics: Analytics | str | os.PathLike[str] | None = None,
        lobby: Lobby | None = None,
    ) -> None:
        check_tick_rate(tick_rate)
        if not is_text(on_error) or on_error not in ("stop", "skip"):
            raise UsageError(f"on_error={brief(on_error)}: it is 'stop' or 'skip'")
        self._spec = SimulationSpec(tick_rate=tick_rate, on_error=on_error)
        self.update_rate = update_rate
        self.command_rate = command_rate
        self.max_clients = max_clients
        self.per_address = per_address
        self.interest = interest
        self.seed = seed
        self.timeout = timeout
        self.bandwidth = bandwidth
        self.rewind = rewind
        self.analytics: Analytics | None = analytics  # type: ignore[assignment]  # made of a path
        self.lobby = lobby
        self._registry: Registry = current_registry()
        self._own: Simulation | None = None  # what step() runs
        self._last_player = 0
        self._stop: asyncio.Event | None = None
        self._host: Host | None = None
        self._opened = False  # what a host needs of this machine: the rest is the game's code

    if not TYPE_CHECKING:  # who would let any name be assigned then

        def __setattr__(self, name: str, value: object) -> None:
            setting = SETTINGS.get(name)
            super().__setattr__(name, value if setting is None else setting(self, value))

    @property
    def tick_rate(self) -> float:
        """Ticks of the simulation in a second; `ecsnet serve --tick-rate` sets it."""
        return self._spec.tick_rate

    @tick_rate.setter
    def tick_rate(self, rate: float) -> None:
        check_tick_rate(rate)
        self._spec.tick_rate = rate
        if self.update_rate is not None:
            self.update_rate = min(self.update_rate, rate)
        if self.command_rate is not None:
            self.command_rate = min(self.command_rate, rate)

    @property
    def lobby(self) -> Lobby | None:
        """The lobby in which players gather before a match; None for a game that is always on."""
        return self._lobby

    @lobby.setter
    def lobby(self, lobby: Lobby | None) -> None:
        advice = "give net.Lobby(...), or None"
        check_instance("lobby", lobby, (Lobby, NoneType), advice)
        self._lobby = lobby
        self._spec.lobby = None if lobby is None else _lobby_system(lobby)

    @property
    def spec(self) -> SimulationSpec:
        """The spec of the simulations."""
        return self._spec

    @property
    def host(self) -> Host | None:
        """The host that runs the game now, with its clients and simulation; None when none does.

        That is in `run` and `serve`, and while a client of `ecsnet.play` hosts the game.
        """
        return self._host

    # The spec.

    @overload
    def system(self, function: SystemFunction, /) -> SystemFunction: ...

    @overload
    def system(
        self, /, *, priority: float = 0, always: bool = False, shared: bool = False
    ) -> Callable[[SystemFunction], SystemFunction]: ...

    def system(
        self,
        function: SystemFunction | None = None,
        /,
        *,
        priority: float = 0,
        always: bool = False,
        shared: bool = False,
    ) -> SystemFunction | Callable[[SystemFunction], SystemFunction]:
        """Make a function of ``dt`` (seconds) a system: ``@server.system(priority=10)``.

        Args:
            function: The function, when used without brackets.
            priority: Systems with a higher one run first, equal ones in the order given.
            always: Whether it runs in every phase of a game with a `Lobby`; other systems run
                while a match is played.
            shared: Whether it also runs ahead in the client of each player who plays with
                ``smooth``, on what that player owns, so that its own input shows in the same frame.
                It goes by the commands, replicated components, the tick and ``net.rng(entity)``
                alone.

        Raises:
            UsageError: It is no function, does not take ``dt``, or the game runs already.
        """

        def add(function: SystemFunction) -> SystemFunction:
            if not _is_function(function):
                raise UsageError(
                    f"@server.system got {brief(function)}: it goes above a function of dt; "
                    "classes go to server.add_system()"
                )
            self._check_open("@server.system")
            self._spec.add_function(function, priority, always=always, shared=shared)
            return function

        return add if function is None else add(function)

    def add_system(
        self,
        system: type[System] | Callable[[], System] | Callable[[float], object] | System,
        priority: float = 0,
        *,
        always: bool = False,
        shared: bool = False,
    ) -> None:
        """Add a class with a method ``process(dt)``, something that makes one, or an instance.

        A class or maker is called for each simulation. An instance is shared by all of them, so a
        host with several rooms of this game refuses it, and so does ``shared=True``. A function of
        ``dt`` is added as by `system`; ``priority``, ``always`` and ``shared`` are as there.

        Raises:
            UsageError: It is none of these, does not take ``dt``, is an instance that is to be
                shared, or the game runs already.
        """
        self._check_open("add_system()")
        self._spec.add_system(system, priority, always=always, shared=shared)

    def on_request(self, hook: RequestHook) -> RequestHook:
        """Call a function with a `JoinRequest` when somebody wants to join: ``@server.on_request``.

        It returns None to let them in, or a text, which refuses: their client gets `Refused` with
        the reason ``"declined"`` and the text, cleaned as by `clean_text` and cut after 200
        characters. Of several such functions the first refusal counts.

        It runs between two ticks, in an empty esper world, and knows no world of the game. When it
        raises, whoever asked is refused with the reason ``"error"``, and all else is as
        ``on_error`` says.
        """
        self._spec.on_request.append(self._hook(hook, "on_request", "request: net.JoinRequest"))
        return hook

    def on_start(self, hook: F) -> F:
        """Call a function in the first tick, before the systems: ``@server.on_start``."""
        self._spec.on_start.append(self._hook(hook, "on_start", ""))
        return hook

    def on_join(self, hook: F) -> F:
        """Call a function with the player's entity when somebody joins: ``@server.on_join``."""
        self._spec.on_join.append(self._hook(hook, "on_join", "player: int"))
        return hook

    def on_play(self, hook: PlayHook) -> PlayHook:
        """Call a function with the players' entities when a match begins: ``@server.on_play``.

        They are those who play, in the order in which they came, and not those who watch. It is
        the place to build what the match needs: `ecsnet.end_match` deletes it again.

        Raises:
            UsageError: The game has no lobby, or as for the other hooks.
        """
        self._hook(hook, "on_play", "players: list[int]")
        if self.lobby is None:
            raise UsageError(
                "@server.on_play in a game without a lobby: make the server with"
                " ServerWorld(lobby=net.Lobby(...))"
            )
        self._spec.on_play.append(hook)
        return hook

    def on_leave(self, hook: F) -> F:
        """Call a function with the player's entity when somebody leaves: ``@server.on_leave``.

        That is when they left, timed out, were thrown out, or the server ends without a failure.
        One that takes a second argument, or one called ``reason``, is told why in one word:
        ``"left"``, ``"timeout"``, ``"kicked"``, ``"abuse"``, ``"slow"``, ``"shutdown"``, ...

        It is not called for an entity that the game has deleted. Afterwards the entity is deleted,
        and what it owns then; unless the function returns `ecsnet.KEEP`.
        """
        parameters = "player: int"
        if _is_function(hook) and gets_reason(hook):
            parameters += ", reason: str"
        self._spec.on_leave.append(self._hook(hook, "on_leave", parameters))
        return hook

    # Running it.

    def run(self, host: str = "0.0.0.0", port: int = DEFAULT_PORT) -> None:
        """Serve the game until SIGINT, SIGTERM or SIGHUP comes, or `stop` is called.

        Clients are told goodbye, and ``on_leave`` is called for each player. A signal that the
        program handles itself, or ignores, is left to it. Runs on uvloop where that is installed.

        Args:
            host: A name or address of this machine; ``"0.0.0.0"`` or ``"::"`` for all of them.
            port: UDP port; 0 for any free one, see the log.

        Raises:
            AddressInUseError: Another program has the port.
            UsageError: The address is not one of this machine's.
            Exception: What a system or hook raised, with ``on_error="stop"``.
        """
        self._run(host, port)

    async def serve(
        self,
        host: str = "0.0.0.0",
        port: int = DEFAULT_PORT,
        *,
        ready: Callable[[Address], object] | None = None,
    ) -> None:
        """Serve the game on the running event loop until cancelled or `stop` is called.

        Args:
            host: A name or address of this machine.
            port: UDP port; 0 for any free one.
            ready: Called with the address once clients can connect.

        Raises:
            AddressInUseError: Another program has the port.
            UsageError: The address is not one of this machine's, or it is being served already.
            Exception: What a system or hook raised, with ``on_error="stop"``.
        """
        check_function("serve(ready", ready, "address: tuple", optional=True)
        if self._stop is not None:
            raise UsageError("serve() of a ServerWorld that is being served: make a second one")
        check_started("serve()")
        check_local(host, port)
        stop = self._stop = asyncio.Event()
        clock = time.perf_counter
        try:
            socket = UdpServer(host, port)
            try:
                warn_of_idle_worlds()
                game = self._host = self.make_host(socket.send, clock())
                socket.start(game.receive_datagrams)
                logger.info("serving on %s:%d", *socket.address[:2])
                if ready is not None:
                    ready(socket.address)
                await self._keep_ticking(game, socket, stop)
            finally:
                socket.close()
        finally:
            self._stop = None
            self._host = None

    def stop(self) -> None:
        """End `run` or `serve`; nothing happens when neither runs."""
        if self._stop is not None:
            self._stop.set()

    def make_host(
        self,
        send: Send,
        now: float,
        *,
        random: Callable[[int], bytes] = os.urandom,
        catch_up: float = CATCH_UP_SECONDS,
        environment: Mapping[str, str] | None = None,
    ) -> Host:
        """Make what runs the game without a socket: for `ecsnet.play` and for tests.

        Args:
            send: Sends a datagram to an address.
            now: Seconds on the clock that the host's methods will be called with.
            random: Returns that many random bytes.
            catch_up: Seconds of overdue ticks that are made up for.
            environment: Where ``ECSNET_MONGO_URI`` is looked up, where analytics are on; the
                process's own environment when left out.

        Raises:
            JournalError: Analytics are on, and their folder cannot be used.
        """
        check_function("make_host(send", send, "data: bytes, address: tuple")
        check_number("make_host(now", now, -inf, inf, "give seconds, on the clock of all calls")
        check_function("make_host(random", random, "count: int")
        check_number("make_host(catch_up", catch_up, 0, inf, "give seconds, 0 or more")
        if not isinstance(environment, Mapping | None):
            raise UsageError(f"make_host(environment={brief(environment)}): give a dict of texts")
        # No default: help() would print it, and whatever secrets are in it.
        found = os.environ if environment is None else environment
        sources = _observer_sources(self.analytics, self._registry, found)
        self._opened = True
        try:
            game = Host(
                self._registry.schema(),
                send,
                random=random,
                max_clients=self.max_clients,
                per_address=self.per_address,
                timeout=self.timeout,
                bandwidth=self.bandwidth,
                catch_up=catch_up,
                sources=sources,
            )
            room = game.add_room(
                self._spec,
                now,
                update_rate=self.update_rate,
                command_rate=self.command_rate,
                interest=self.interest,
                seed=self.seed,
                rewind=self.rewind,
            )
        except BaseException:  # a system cannot be made
            for source in sources:
                source.close()
            raise
        self._registry.use(room.simulation.world)
        return game

    def step(
        self,
        ticks: int = 1,
        *,
        joins: Iterable[str] = (),
        leaves: Iterable[int] = (),
        commands: Sequence[tuple[int, object]] = (),
    ) -> Simulation:
        """Run ticks without clients or a clock: for the tests of a game.

        The first call makes a simulation, later ones go on with it, those of other tests too: to
        begin anew, make another server. Its world is that of ``with server.step().world:``. Whom
        `ecsnet.kick` throws out in one tick leaves in the next. Nobody asks the ``on_request``
        hooks about those who join.

        Args:
            ticks: How many.
            joins: Names of players who join before the first of them; their numbers count up
                from 1.
            leaves: Numbers of players who leave before the first of them.
            commands: Player numbers with their commands. Held ones come in each of the ticks,
                actions in the first.

        Returns:
            The simulation: ``simulation.player_entity[1]``, ``simulation.tick``, ...

        Raises:
            UsageError: A command is none, or does not fit what its class declares, or one of the
                others is not what it has to be. No tick has run then.
            Exception: What a system or hook raised, with ``on_error="stop"``.
        """
        check_whole("step(ticks", ticks, 0, "give a number of ticks, 0 or more", MOST_TICKS)
        check_items("step(joins", joins, "give a list of names, joins=['Ann']")
        check_items("step(leaves", leaves, "give a list of player numbers, leaves=[1]")
        check_items("step(commands", commands, "give a list, commands=[(1, Steer(1))]")
        given = [_given_by(each) for each in commands]
        going: list[Leave] = []
        for number in leaves:
            check_whole("step(leaves", number, 0, "give the numbers of players, leaves=[1]")
            going.append(Leave(number))
        coming: list[Join] = []
        for index, name in enumerate(joins, 1):
            coming.append(Join(self._last_player + index, tidy_name(name)))
        self._last_player += len(coming)
        simulation = self._own
        if simulation is None:
            simulation = self._own = Simulation(
                self._spec,
                seed=self.seed or 0,
                epoch=0,
                player=Player,
                owner=Owner,
                presence=Presence,
                teleports=Teleports,
            )
        for index in range(ticks):
            leaving = [Leave(number, "kicked") for number in simulation.take_kicked()]
            simulation.step(
                coming if index == 0 else (),
                [*leaving, *(going if index == 0 else ())],
                [
                    PlayerCommands(player, (command,))
                    for player, command in given
                    if index == 0 or command.kind.hold
                ],
            )
            if simulation.failure is not None:
                self._own = None
                self._last_player = 0
                simulation.close()
                raise simulation.failure
        return simulation

    def _hook(self, hook: F, name: str, parameters: str) -> F:
        where = f"@server.{name}"
        if not _is_function(hook):
            raise UsageError(f"{where} got {brief(hook)}: it goes above a function")
        check_call(where, hook, getattr(hook, "__qualname__", name), parameters)
        self._check_open(where)
        return hook

    def _check_open(self, where: str) -> None:
        if self._own is not None or (self._host is not None and not self._host.closed):
            raise UsageError(
                f"{where} while the game runs, which was made without it: add all systems and"
                " hooks before run(), play() or the first step()"
            )

    async def _keep_ticking(
        self, game: Host, transport: LoopServerTransport, stop: asyncio.Event
    ) -> None:
        """Tick until told to stop or something fails, then say goodbye to the clients."""
        clock = time.perf_counter
        broken: list[Exception] = []
        ticks = 0

        def tick(_missed: int) -> None:
            try:
                nonlocal ticks
                transport.drain()  # what came in time is in time
                transport.watch(len(game.members) < _MANY)
                before, ticks = ticks, ticks + game.tick(clock(), early=0.5 / self.tick_rate)
                if game.failure is not None:
                    stop.set()
                elif before < _FREEZE_TICKS <= ticks:
                    # What is there by now stays: the collector need not look at it again.
                    gc.collect()
                    gc.freeze()
            except Exception as error:  # noqa: BLE001 - ends the server, not the event loop
                broken.append(error)
                stop.set()
            except BaseException:  # the program is to end: the loop may go on, to close things
                ticker.stop()
                raise

        thresholds = gc.get_threshold()
        gc.set_threshold(_GARBAGE, *thresholds[1:])
        ticker = Ticker(self.tick_rate, tick)
        ticker.start()
        try:
            await stop.wait()
        finally:
            ticker.stop()
            gc.unfreeze()
            gc.set_threshold(*thresholds)
            failure = broken[0] if broken else game.failure
            game.close(Reason.SHUTDOWN if failure is None else Reason.ERROR, clock())
            failure = failure or game.failure  # an on_leave hook may have raised just now
            stats = game.stats()
            logger.info("served %d ticks, dropped %d, bye", stats.ticks, stats.dropped_ticks)
        if failure is not None:
            raise failure

    def _run(self, host: str, port: int, ready: Callable[[Address], object] | None = None) -> None:
        open_standard_files()
        with last_resort(), asyncio.Runner(loop_factory=_new_event_loop) as runner:
            loop = runner.get_loop()

            asked = False

            def stop(number: int) -> None:
                nonlocal asked
                if asked:  # a second signal does not wait: a system may never end
                    raise end_of(number)
                asked = True
                # With a round in between: it may come before `serve` has begun.
                loop.call_soon_threadsafe(loop.call_soon, self.stop)

            with ending(stop):
                runner.run(self.serve(host, port, ready=ready))


def _observer_sources(
    options: Analytics | None, registry: Registry, environment: Mapping[str, str]
) -> list[ObserverSource]:
    """Make the observer sources for the rooms of a host. Analytics is imported here, so that a
    server without it does not load it.
    """
    if options is None:
        return []
    from ecsnet.analytics.service import AnalyticsService

    return [AnalyticsService(options, registry, environment)]


def _lobby_system(lobby: Lobby) -> Callable[[Simulation], LobbyControl]:
    """Return what makes the lobby of a simulation. Stock systems are imported here, so that a
    server without a lobby does not load them.
    """
    from ecsnet.systems.lobby import LobbySystem

    return partial(LobbySystem, lobby)


def _given_by(pair: object) -> tuple[int, ReceivedCommand]:
    """Check a player's number and command, and make the command as `Simulation.step` takes it."""
    if not (isinstance(pair, tuple | list) and len(pair) == 2):
        raise UsageError(
            f"step(commands=[{brief(pair)}]): each is a pair of a player's number and a command,"
            " commands=[(1, Steer(1))]"
        )
    number, command = pair
    check_whole("step(commands", number, 0, "the number of a player goes first, (1, Steer(1))")
    return number, _given(command)


def _given(command: object) -> ReceivedCommand:
    """Make a command as `Simulation.step` takes it, for the player's own entity."""
    if hasattr(command, "__ecsnet_rpc__"):
        raise UsageError(
            f"step() got the method {getattr(command, '__qualname__', command)}: step() takes"
            " commands; a client calls it, such as one of ecsnet.testing.Harness"
        )
    kind = command_type(type(command), "step()")
    fault = kind.fault(command, _same)
    if fault is not None:
        raise UsageError(f"step() got a command that cannot be sent: {fault}")
    return ReceivedCommand(kind, 0, kind.to_wire(command, _same))


def _same(entity: int | None) -> int | None:
    return entity


def _is_function(value: object) -> bool:
    return callable(value) and not isinstance(value, type)


def _new_event_loop() -> asyncio.AbstractEventLoop:
    if sys.platform != "win32":
        try:
            import uvloop
        except ImportError:
            pass
        else:
            return uvloop.new_event_loop()
    return asyncio.SelectorEventLoop()
