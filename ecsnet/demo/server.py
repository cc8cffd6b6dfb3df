"""The demo's server process."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Callable
from time import perf_counter

from ecsnet.analytics_options import keeping
from ecsnet.cli.games import Game, server_of
from ecsnet.components import Teleports
from ecsnet.demo.control import (
    Ask,
    Bye,
    Order,
    Ready,
    Recall,
    Served,
    ServerFilm,
    ServerReport,
    Settings,
    Still,
    listen,
    say,
)
from ecsnet.demo.digest import visible_to
from ecsnet.demo.feel import Film, Tick, places_in
from ecsnet.demo.figures import spread
from ecsnet.server.room import Room
from ecsnet.server.world import ServerWorld, _new_event_loop
from ecsnet.transport.address import Address

__all__ = ["serve"]

_FIRST = 30


def serve(settings: Settings, game: Game) -> Callable[[], object]:
    """Make ready to serve a game on a free port of the loopback; what is returned does.

    Raises:
        UsageError: The game has no server, or cannot keep a journal where it should.
    """
    server, _ = server_of(game)
    server.analytics = keeping(server.analytics, settings.analytics)
    server.per_address = server.max_clients  # all players are on this machine

    def run() -> None:
        with asyncio.Runner(loop_factory=_new_event_loop) as runner:
            runner.run(_Process(server).run())

    return run


class _Process:
    def __init__(self, server: ServerWorld) -> None:
        self._server = server
        self._room: Room  # from when it serves
        self._still_at = 0
        self._began = array(
            "d"
        )  # of each tick: when it began, and its number, dropped ones counted
        self._numbers = array("q")
        self._film: Film[Tick] = Film()
        self._kinds = server._registry.schema().components
        self._teleports: dict[int | None, int] = {}  # the counts, by network id

    async def run(self) -> None:
        loop = asyncio.get_running_loop()

        def ready(address: Address) -> None:
            assert self._server.host is not None
            (self._room,) = self._server.host.rooms
            self._room.simulation.add_system(self._note, float("inf"), "Pace", while_paused=True)
            listen(lambda order: loop.call_soon_threadsafe(self._obey, order))
            say(Ready(address[1]))

        await self._server.serve("127.0.0.1", 0, ready=ready)
        say(Served(self._room.simulation.tick))

    def _note(self, _dt: float) -> None:
        room = self._room
        self._began.append(perf_counter())
        self._numbers.append(room.simulation.tick + room.dropped_ticks)
        self._film.add(self._picture())

    def _picture(self) -> Tick:
        """Return what the tick before has left."""
        world, net_of = self._room.simulation.world, self._room.replicator.network_id
        before = self._teleports
        self._teleports = {
            net_of(entity): each.count for entity, each in world.structure(Teleports)
        }
        jumped = [
            net
            for net, count in self._teleports.items()
            if net is not None and count != before.get(net, 0)
        ]
        return Tick(self._room.simulation.tick - 1, jumped, places_in(world, self._kinds, net_of))

    def _obey(self, order: Order) -> None:
        if self._server.host is None:
            return
        if isinstance(order, Still):
            self._room.simulation.paused = True
            self._still_at = self._room.simulation.tick
        elif isinstance(order, Ask):
            say(self._report())
        elif isinstance(order, Recall):
            say(ServerFilm(self._room.tick_rate, self._film.cut()))
        elif isinstance(order, Bye):
            self._server.stop()

    def _report(self) -> ServerReport:
        room = self._room
        assert self._server.host is not None
        stats = self._server.host.stats()
        return ServerReport(
            ticks=stats.ticks,
            ticks_dropped=stats.dropped_ticks,
            late_ms=spread(self._lateness()),
            still_at=self._still_at,
            entities=len(room.replicator.entities.by_net),
            applied=stats.commands_applied,
            expired=stats.commands_expired,
            superseded=stats.commands_superseded,
            rejected=stats.commands_rejected,
            rewinds=stats.rewinds,
            rewinds_limited=stats.rewinds_limited,
            events_sent=stats.events_emitted,
            events_due={
                seat.name: seat.client_state.events_due
                for seat in room.seats
                if seat.client_state is not None
            },
            packets_sent=stats.packets_sent,
            bytes_sent=stats.bytes_sent,
            worlds=visible_to(room),
        )

    def _lateness(self) -> list[float]:
        """By how many seconds each tick began later than the beat that most of them keep.

        Without the first ones, which make up for the time that starting took. What began before
        its beat, as behind a late one, was not late.
        """
        dt = self._room.dt
        timed = zip(self._began[_FIRST:], self._numbers[_FIRST:], strict=True)
        late = [at - number * dt for at, number in timed]
        beat = sorted(late)[len(late) // 10] if late else 0.0
        return [max(0.0, each - beat) for each in late]
