"""`play`: host and play in one process and one thread, or join who hosts already."""

from __future__ import annotations

import atexit
import logging
import os
import shlex
import sys
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

from ecsnet.client.world import ClientWorld
from ecsnet.errors import AddressInUseError, UsageError
from ecsnet.runtime.idle import ViewWatch, warn_of_idle_worlds
from ecsnet.runtime.modules import check_started
from ecsnet.runtime.signals import end_of, ending
from ecsnet.schema import ComponentType
from ecsnet.server.host import Host
from ecsnet.server.world import ServerWorld
from ecsnet.session.goodbye import Reason
from ecsnet.transport.address import (
    DEFAULT_PORT,
    Address,
    check_local,
    lan_host,
    parse_address,
    spell_address,
)
from ecsnet.transport.conditioner import Link
from ecsnet.transport.contract import POLL_BUDGET, ServerTransport
from ecsnet.transport.memory import IN_PROCESS, MemoryServer
from ecsnet.transport.udp_server import UdpServerSocket
from ecsnet.validation.arguments import check_flag
from ecsnet.validation.wording import brief
from ecsnet.world import World

__all__ = ["play"]

logger = logging.getLogger("ecsnet.client")

_CATCH_UP = 0.25  # seconds: a window's frame may take long

_join_instead: str | None = None
_connect: Callable[..., ClientWorld] | None = None  # in place of ClientWorld.connect


class HostedTransport:
    """The transport of a client that hosts: a `ClientTransport` with the host behind it.

    The host has no loop of its own: it runs when the client polls. Our client reaches it through
    memory, others through a socket.

    Args:
        server: The game.
        socket: What others reach it through; None to play alone.
        clock: Tells seconds.

    Attributes:
        dropped: Datagrams of our client that were lost.
        watch: What looks at the world of the player who hosts, in each poll.
    """

    def __init__(
        self, server: ServerWorld, socket: ServerTransport | None, clock: Callable[[], float]
    ) -> None:
        self._clock = clock
        self._memory = MemoryServer()
        self._socket = socket
        self._client = self._memory.connect()
        self._server = server
        if server._host is not None and not server._host.closed:
            raise UsageError("play() of a ServerWorld that runs already: make a second one")
        self._host: Host = server.make_host(self._answer, clock(), catch_up=_CATCH_UP)
        server._host = self._host
        self.watch: ViewWatch | None = None
        self._asked_to_end: int | None = None  # by this signal
        self._busy = False
        self._handlers = ExitStack()

    def take_signals(self) -> None:
        """From now until `close`, end the game well where this process is asked to end."""
        self._handlers.enter_context(ending(self._end_soon))

    @property
    def host(self) -> Host:
        """The host."""
        return self._host

    @property
    def dropped(self) -> int:
        return self._client.dropped

    def send(self, data: bytes) -> None:
        """Give a datagram of our client to the host, when that runs next."""
        self._client.send(data)

    def receive(self, budget: int = POLL_BUDGET) -> Iterator[bytes]:
        """Let the host run, then yield what it has for our client.

        Raises:
            Exception: What a system raised, with ``on_error="stop"``.
            KeyboardInterrupt: SIGINT came meanwhile.
            SystemExit: SIGTERM or SIGHUP came meanwhile.
        """
        if self.watch is not None:
            self.watch.look()
        host = self._host
        with self._undisturbed():
            now = self._clock()
            self._host.receive_datagrams(self._memory.receive(budget), now)
            if self._socket is not None:
                self._host.receive_datagrams(self._socket.receive(budget), now)
            host.tick(self._clock())
        if host.failure is not None:
            raise host.failure
        yield from self._client.receive(budget)

    def pin(self) -> None:
        """There is only one server."""

    def close(self) -> None:
        """End the game for everybody.

        Raises:
            Exception: What an ``on_leave`` hook raised, with ``on_error="stop"``.
        """
        if not self._host.closed:
            with self._handlers, self._undisturbed():
                self._end_game()
            atexit.unregister(self.close)

    def _end_game(self) -> None:
        if self.watch is not None:
            self.watch.close()
        host, now = self._host, self._clock()
        self._host.receive_datagrams(self._memory.receive(), now)
        before = host.failure  # `receive` has raised that
        try:
            host.close(Reason.SHUTDOWN if before is None else Reason.ERROR, now)
        finally:
            if self._server._host is host:
                self._server._host = None
            self._memory.close()
            if self._socket is not None:
                self._socket.close()
        if host.failure is not before and host.failure is not None:
            raise host.failure

    @contextmanager
    def _undisturbed(self) -> Iterator[None]:
        """Keep the first signal that comes in here for the end: no tick is cut in half."""
        self._busy = True
        try:
            yield
        finally:
            self._busy = False
        number, self._asked_to_end = self._asked_to_end, None
        if number is not None:
            raise end_of(number)

    def _end_soon(self, number: int) -> None:
        """Unwind the program, which is asked to end; a second signal does not wait."""
        atexit.register(self.close)  # for a program that does not use `with`
        if self._busy and self._asked_to_end is None:
            self._asked_to_end = number
        else:
            raise end_of(number)

    def _answer(self, data: bytes, address: Address) -> None:
        if address[0] == IN_PROCESS:
            self._memory.send(data, address)
        elif self._socket is not None:
            self._socket.send(data, address)


def play(
    server: ServerWorld,
    join: str | None = None,
    *,
    offline: bool = False,
    name: str = "player",
    data: object = None,
    host: str = "0.0.0.0",
    port: int = DEFAULT_PORT,
    link: Link | None = None,
    debug: bool = False,
    smooth: bool = True,
    quiet: bool = False,
) -> ClientWorld:
    """Play a game: host it when the port is free, join the game that holds the port when not.

    The game that is hosted runs inside `ClientWorld.poll`; it ends for everybody when this
    client closes. Who hosts is told on stdout, in one line, what the others type. Where nobody
    else handles them, SIGTERM and SIGHUP raise `SystemExit`, as SIGINT raises
    `KeyboardInterrupt`, between two ticks: ``with`` closes the client, and everybody is told.

    Args:
        server: The game.
        join: Where somebody else hosts it: ``"192.168.1.5"`` or ``"example.org:7778"``.
        offline: Play alone, without a socket.
        name: What the player is called.
        data: What the game's ``on_request`` hooks get, as for `ClientWorld.connect`.
        host: The address to host on.
        port: The UDP port to host or to join on.
        link: A bad network to try.
        debug: Check that only the server writes replicated components, and that shared systems come
            out the same when a tick runs again.
        smooth: Draw others between two values that came, and run the game's shared systems ahead,
            as for `ClientWorld.connect`.
        quiet: Print nothing.

    Raises:
        UsageError: ``server`` is no `ServerWorld`, ``join`` together with ``offline``, or an
            address, a name or data that cannot be.
    """
    check_started("play()")
    _check_server(server)
    check_flag("play(offline", offline)
    check_flag("play(debug", debug)
    check_flag("play(smooth", smooth)
    check_local(host, port)
    if join is not None and offline:
        raise UsageError("play(join=…, offline=True): either join a game or play alone")
    join = _join_instead or join
    if join is not None:
        address = parse_address(join, port)
        connect = _connect or ClientWorld.connect
        return _leaves_well(
            connect(
                *address, name=name, data=data, link=link, debug=debug, game=server, smooth=smooth
            )
        )
    clock = time.perf_counter
    socket: UdpServerSocket | None = None
    if not offline:
        try:
            socket = UdpServerSocket(host, port)
        except AddressInUseError:
            logger.info("port %d is taken: joining the game there", port)
            client = ClientWorld.connect(
                host, port, name=name, data=data, link=link, debug=debug, game=server, smooth=smooth
            )
            client._protocol.explain = partial(_explain_taken, port)
            return _leaves_well(client)
        logger.info("hosting on port %d", socket.address[1])
    transport: HostedTransport | None = None
    try:
        transport = HostedTransport(server, socket, clock)
        transport.take_signals()
        replicated = {kind.cls for kind in server._registry.types(ComponentType)}
        transport.watch = ViewWatch(World.current(), replicated)
        warn_of_idle_worlds()
        client = ClientWorld.over(
            transport,
            name=name,
            data=data,
            link=link,
            debug=debug,
            game=server,
            smooth=smooth,
            clock=clock,
            random=os.urandom,
        )
    except BaseException:
        if transport is not None:
            transport.close()
        elif socket is not None:
            socket.close()
        raise
    if socket is not None and not quiet:
        _announce(socket.address)
    return client


def _leaves_well(client: ClientWorld) -> ClientWorld:
    """Let a client that joined say goodbye where this process is asked to end."""
    found = weakref.ref(client)  # the handlers are no reason for it to stay

    def end(number: int) -> None:
        client = found()
        if client is not None:
            atexit.register(client.close)  # for a program that does not use `with`
        raise end_of(number)

    client._handlers.enter_context(ending(end))
    return client


def _announce(address: Address) -> None:
    """Tell who hosts what the others have to do."""
    host = lan_host(address)
    if host is None:
        line = f"hosting on port {address[1]} of this machine: start the game again to join it"
    else:
        typed = spell_address(host, address[1], DEFAULT_PORT)
        line = (
            "hosting: friends in this network join with a copy of this game:"
            f" ecsnet join {_program()} {typed}"
        )
    with suppress(OSError, ValueError):  # nobody reads there, or it is closed
        print(line, flush=True)  # noqa: T201 - for whoever started the game


def _program() -> str:
    """Return the game that runs, as ``ecsnet join`` is told it."""
    file = Path(getattr(sys.modules["__main__"], "__file__", None) or "GAME.py")
    return shlex.quote(file.parent.name if file.name == "__main__.py" else file.name)


def _explain_taken(port: int, reason: Reason, text: str) -> str:
    """Explain why the game on a port of this machine, which we wanted for ours, refused us."""
    if reason is Reason.UNREACHABLE:
        return (
            f"port {port} is taken here, and what holds it does not answer as this game: use"
            " another port, play(server, port=…)"
        )
    if reason in (Reason.SCHEMA, Reason.VERSION):
        return (
            f"another game holds port {port} ({text}): end that one, or give this one another"
            " port, play(server, port=…); to play together, start the same version of one game"
        )
    return text


def _check_server(server: object) -> None:
    if isinstance(server, ServerWorld):
        return
    if isinstance(server, str):
        what = f"to join the game there, play(server, join={server!r})"
    elif isinstance(server, type) and issubclass(server, ServerWorld):
        what = f"make one, server = {server.__name__}()"
    else:
        what = "server = net.ServerWorld()"
    raise UsageError(f"play() got {brief(server)}: it takes the game, a ServerWorld: {what}")


def join_instead(address: str | None, connect: Callable[..., ClientWorld] | None = None) -> None:
    """Let every `play` from now on join the game at an address, whatever it was told.

    Args:
        address: Where the game is; None for what `play` is told.
        connect: What makes the client, as `ClientWorld.connect` does when left out.

    Raises:
        UsageError: It is no address.
    """
    global _join_instead, _connect
    if address is not None:
        parse_address(address, DEFAULT_PORT)
    _join_instead, _connect = address, connect
