"""The observer that keeps what happens in a simulation: snapshots, events, suspects."""

from __future__ import annotations

import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import TYPE_CHECKING, cast

from ecsnet.analytics.records import EVENT, SLICE, encode
from ecsnet.analytics.sampling import Column, Sampler, owner_of
from ecsnet.analytics.segment import Series
from ecsnet.analytics.suspects import Watch
from ecsnet.analytics.values import is_plain, plain
from ecsnet.analytics_options import Analytics, point_of
from ecsnet.components import Owner
from ecsnet.schema import ENCODE_ERRORS, ComponentType
from ecsnet.session.token_bucket import TokenBucket
from ecsnet.simulation.observer import Observer
from ecsnet.simulation.simulation import Simulation

if TYPE_CHECKING:
    from ecsnet.analytics.service import AnalyticsService

__all__ = ["AnalyticsSystem"]

logger = logging.getLogger("ecsnet.analytics")

_REFUSALS = 20.0  # a second that are told one by one
_SHORT = 4096  # bytes of an event in which nothing can be too long


class AnalyticsSystem(Observer):
    """An observer that puts events and snapshots of one match into a journal; it begins the match.

    Each room has one where analytics are on, and it looks at the world when all systems have run.
    It never waits and never raises: what cannot be kept is dropped and counted.

    Args:
        simulation: The simulation.
        service: What belongs to all simulations of a host: the options and the journal.
        room: Where the match is played; empty without rooms.
        clock: Seconds since 1970.

    Attributes:
        match: Id of the match.
    """

    def __init__(
        self,
        simulation: Simulation,
        service: AnalyticsService,
        *,
        room: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        options, components = service.options, service.components
        identity = os.urandom(16)
        tick_rate = 1 / simulation.dt
        self.match = identity.hex()
        self._simulation = simulation
        self._journal = journal = service.journal
        self._clock = clock
        self._number = journal.begin(identity, self._now(), room, tick_rate)
        self._events, self._slices = 0, count(1)
        self._interval = options.interval or max(1, round(tick_rate))
        declared = service.declared
        self._keys = {c.cls: d.key for c, d in zip(components, declared, strict=True)}
        self._declared_commands = service.commands
        self._declared_events = service.events
        columns = _columns(components, options, self._interval)
        self._told = [declared[column.number] for column in columns]
        self._sampler = Sampler(
            simulation.world,
            columns,
            Owner,
            self._begin_slice,
            self._put_slice,
            to_wire=service.to_wire,
        )
        self._watches = _watches(simulation, components, options, tick_rate)
        self._jumped: set[int] = set()
        self._joined: list[tuple[int, str]] = []
        self._taken: Counter[str] = Counter()
        self._emitted: Counter[str] = Counter()
        self._lost = journal.lost
        self._bucket = TokenBucket(_REFUSALS, _REFUSALS)
        self._failed = False
        self._begun = False

    # What a room tells.

    def tick_ended(self, tick: int) -> None:
        """Keep what this tick has brought."""
        try:
            self._keep()
        except Exception:
            if not self._failed:
                logger.exception("analytics failed in tick %d; not logged again", tick)
            self._failed = True

    def event(
        self, type: str, player: int | None, entity: int | None, data: Mapping[str, object]
    ) -> None:
        """Keep an event of the game's own."""
        if player is None and entity is not None:
            player = self._player_of(entity)
        if all(map(is_plain, data.values())):
            try:
                record = self._record(type, player, entity, data, False)
            except ENCODE_ERRORS:
                pass  # an int, a text that cannot be encoded
            else:
                if len(record) <= _SHORT:
                    self._put(record, False)
                    return
        made = cast("dict[str, object]", plain(data))
        self._put(self._record(str(plain(type)), player, entity, made, False), False)

    def teleported(self, entity: int) -> None:
        """Let an entity jump in this tick without a suspicion."""
        self._jumped.add(entity)

    def joined(self, player_id: int, name: str) -> None:
        """Note that a player comes in with the next tick."""
        self._joined.append((player_id, name))

    def left(self, player_id: int, name: str, reason: str) -> None:
        """Note that a player is gone."""
        self._tell("leave", player=player_id, name=name, reason=reason)

    def refused(self, name: str, reason: str, now: float) -> None:
        """Note a client that was refused; of a flood of them, not each one."""
        if self._bucket.take(1, now):
            self._tell("refused", name=name, reason=reason)

    def kicked(self, player_id: int, name: str, reason: str) -> None:
        """Note that a player was thrown out."""
        self._tell("kicked", player=player_id, name=name, reason=reason)

    def match_began(self, number: int, players: Sequence[int]) -> None:
        """Note that the players of a lobby begin to play."""
        self._begin()
        self._tell("match_began", number=number, players=list(players))

    def match_ended(self, number: int) -> None:
        """Note that they are back in the lobby."""
        self._tell("match_ended", number=number)

    def stopped(self, reason: str, figures: Mapping[str, int]) -> None:
        """Note that the match is over.

        Args:
            reason: ``"stopped"`` or ``"failed"``.
            figures: What the host counted.
        """
        self._begin()
        self._tell_counts()
        lost = self._journal.lost
        self._tell(
            "stop",
            reason=reason,
            ticks=self._simulation.tick,
            **figures,
            lost_events=lost.events,
            lost_snapshots=lost.snapshots,
        )

    # What is kept of it.

    def _keep(self) -> None:
        simulation = self._simulation
        self._begin()
        for number, name in self._joined:
            entity = simulation.player_entity.get(number)
            self._tell("join", player=number, entity=entity, name=name)
        self._joined.clear()
        for kind, taken in simulation.taken():
            self._taken[kind.name] += taken
        for emission in simulation.emitted:
            self._emitted[emission.kind.name] += 1
        for watch in self._watches:
            self._suspect(watch)
        self._jumped.clear()
        if simulation.tick % self._interval == 0:
            self._tell_counts()
            self._tell_losses()
        self._sampler.take(simulation.tick, simulation.player_number)

    def _begin(self) -> None:
        if self._begun:
            return
        self._begun = True
        self._tell(
            "start",
            tick_rate=1 / self._simulation.dt,
            interval=self._interval,
            components=[
                {"key": each.key, "name": each.name, "fields": list(each.fields)}
                for each in self._told
            ],
            commands=[each.name for each in self._declared_commands],
            events=[each.name for each in self._declared_events],
        )

    def _player_of(self, entity: int) -> int | None:
        owner = self._simulation.world.components(entity).get(Owner)
        return owner_of(entity, owner, self._simulation.player_number)

    def _suspect(self, watch: Watch) -> None:
        for found in watch.check(self._simulation.tick, self._jumped):
            self._tell(
                "suspect",
                player=self._player_of(found.entity),
                entity=found.entity,
                component=self._keys[watch.cls],
                field=found.field,
                limit=found.limit,
                allowed=float(found.allowed),
                rate=found.rate,
                before=plain(found.before),
                after=plain(found.after),
            )

    def _tell_counts(self) -> None:
        for type, counter in (("commands", self._taken), ("events", self._emitted)):
            if counter:
                counts = [{"name": name, "count": n} for name, n in sorted(counter.items())]
                self._tell(type, counts=counts)
                counter.clear()

    def _tell_losses(self) -> None:
        lost = self._journal.lost
        if lost != self._lost and self._tell("lost", events=lost.events, snapshots=lost.snapshots):
            self._lost = lost

    def _tell(
        self, type: str, *, player: int | None = None, entity: int | None = None, **data: object
    ) -> bool:
        return self._put(self._record(type, player, entity, data, True), True)

    def _record(
        self,
        type: str,
        player: int | None,
        entity: int | None,
        data: Mapping[str, object],
        own: bool,
    ) -> bytes:
        """Encode the next `records.Event`; as an array, which takes less time."""
        return encode(
            (
                EVENT,
                self._number,
                self._events + 1,
                self._simulation.tick,
                int(self._clock() * 1000),
                type,
                player,
                entity,
                own,
                data,
            )
        )

    def _put(self, record: bytes, own: bool) -> bool:
        self._events += 1  # dropped or not: a gap shows that one is missing
        return self._journal.put(Series.EVENTS, self._number, record, own=own)

    def _begin_slice(self, tick: int, snapshot: int) -> tuple[object, ...]:
        """Return the fields before the entities in a `records.Slice`."""
        return (SLICE, self._number, next(self._slices), tick, snapshot, self._now())

    def _put_slice(self, record: bytes) -> None:
        self._journal.put(Series.SNAPSHOTS, self._number, record)

    def _now(self) -> int:
        return int(self._clock() * 1000)


def _columns(
    components: Sequence[ComponentType], options: Analytics, interval: int
) -> list[Column]:
    # Who owns an entity is told beside it.
    left_out = {Owner, *options.leave_out}
    return [
        Column(
            number,
            component.cls,
            options.every.get(component.cls, interval),
        )
        for number, component in enumerate(components)
        if component.cls not in left_out
    ]


def _watches(
    simulation: Simulation,
    components: Sequence[ComponentType],
    options: Analytics,
    tick_rate: float,
) -> list[Watch]:
    world = simulation.world
    watches = [
        Watch(world, component.cls, [field.name], field.suspect, tick_rate)
        for component in components
        for field in component.fields
        if field.suspect is not None
    ]
    for cls, limits in options.suspects.items():
        watches.append(Watch(world, cls, point_of(cls), limits, tick_rate))
    return watches
