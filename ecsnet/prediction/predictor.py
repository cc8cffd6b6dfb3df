"""Prediction: compared with what the server says, and run again where that differs.

A client's tick runs here as soon as it begins, ahead of the server's by the time that commands take
to get there. What the server then says of that tick is compared with what was predicted for it.
Where the two differ, the world goes back to that tick, takes what was told, and the ticks since
then run again with the commands of each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count, islice
from typing import Final, NamedTuple

from ecsnet.components import Owner
from ecsnet.errors import BadValueError
from ecsnet.prediction.command_history import CommandHistory
from ecsnet.prediction.history import History, Snapshot
from ecsnet.prediction.private_world import Failure, PrivateWorld, Replica
from ecsnet.prediction.replay_check import ReplayCheck
from ecsnet.replication.client.conversion import Conversion
from ecsnet.replication.client.references import References
from ecsnet.replication.client.store import LAST_ID, EntityState, Store, Why
from ecsnet.schema import ComponentType
from ecsnet.simulation.spec import SimulationSpec

__all__ = ["SPAWN_TICKS", "Predictor"]

HISTORY_SECONDS: Final = 1.0
"""The time that is remembered, and the most that runs again at once: what is told later than that
is taken as it is."""

SPAWN_TICKS: Final = 3
"""The most ticks between the birth of something as predicted and as told."""

HISTORY_TICKS: Final = 240
"""The most ticks of that, whatever a server says its rate is."""

OWNED: Final = 1024
"""The most entities that are predicted: of what a server says is the player's beyond that, what was
told last is shown, as of all others."""

REPLICAS: Final = 8192
"""The most entities in the private world: shared systems do not see what comes beyond that."""

TOLD_AT_ONCE: Final = 4096
"""The most entities of which one poll takes in what was told."""


_NOTHING: Final[Mapping[int, Sequence[_Check]]] = {}


class _Check(NamedTuple):
    """The newest that is known of a component."""

    tick: int
    """The tick of which it is known."""
    replica: Replica
    record: EntityState
    """All that was told of the replica."""
    cid: int
    wire: object | None
    """The wire value; None: the component is not there."""


class Predictor:
    """The prediction of one player's entities, in one room.

    Args:
        spec: The game's.
        tick_rate: Ticks of the server in a second.
        components: The component types that cross the wire, by component id.
        player: The network id of the player's entity.
        number: The player's number.
        seed: Of the random numbers that both ends know.
        debug: Check that ticks come out the same when they run again.

    Attributes:
        world: The private world.
        commands: The player's commands.
        tick: The tick that was predicted last; None before the first.
        corrections: How often the server said something else than was predicted.
        replayed_ticks: The ticks that ran again.
        stalled: Set when ticks were left out, so that what is shown has to jump.
        renamed: The keys of what was only predicted, and the network ids that these turned out to
            have, since somebody looked last.
        went: The reasons why predicted entities went, by key, since then.
        kept: The component ids of what is predicted, and of what was told once: all else of the
            player's entities is what was told last.
    """

    def __init__(
        self,
        spec: SimulationSpec,
        tick_rate: float,
        components: Sequence[ComponentType],
        player: int,
        number: int,
        seed: int = 0,
        *,
        debug: bool = False,
    ) -> None:
        ticks = min(max(8, round(HISTORY_SECONDS * tick_rate)), HISTORY_TICKS)
        self.world = PrivateWorld(spec, tick_rate, components, player, number, seed)
        self.commands = CommandHistory(tick_rate, ticks)
        self.tick: int | None = None
        self.corrections = 0
        self.replayed_ticks = 0
        self.stalled = False
        self.renamed: list[tuple[int, int]] = []
        self.went: dict[int, Why] = {}

        self._components = components
        self._player = player
        self._owner = next((cid for cid, kind in enumerate(components) if kind.cls is Owner), -1)
        # The component ids of what is told at the insert only, and compared with that.
        self._once = {cid for cid, kind in enumerate(components) if kind.once}
        self.kept = {cid for cid, kind in enumerate(components) if kind.predicted or kind.once}
        self._rated = {cid for cid, kind in enumerate(components) if kind.rate > 1}
        self._ticks = ticks
        self._history = History(ticks + 1)
        self._conversion = Conversion(self.world.entity_of)
        self._references = References(components)
        self._keys = count(LAST_ID + 1)
        self._spawns: list[Replica] = []  # what was predicted and not told of, in order
        self._respawn: list[Replica] = []  # what ticks that run again may spawn again, in order
        self._seen = (-1, -1)  # the newest tick and the confirmed one, as of the last look
        # What agrees but for a step of its quantisation: as it was predicted, and as it was told.
        self._near: list[tuple[Replica, int, object, object]] = []
        self._fresh: list[Replica] = []  # what came, or became the player's, and was not predicted
        self._check = ReplayCheck(self.world, components, tick_rate) if debug else None

    @property
    def failure(self) -> Failure | None:
        """The shared system that raised, if one did; nothing here means anything then."""
        return self.world.failure

    @property
    def latest(self) -> Snapshot | None:
        """The world after the last tick; None before the first."""
        return None if self.tick is None else self._history.get(self.tick)

    @property
    def previous(self) -> Snapshot | None:
        """The world a tick earlier; None where that is not known."""
        return None if self.tick is None else self._history.get(self.tick - 1)

    def close(self) -> None:
        """Delete the private world."""
        self.world.close()

    # What the server says.

    def correct(self, store: Store) -> None:
        """Take in what was told, and set right what was predicted.

        Args:
            store: What the server last said. Its `Store.dirty` and `Store.went` are used up.
        """
        with self.world:
            seen, self._seen = self._seen, (store.tick, store.confirmed_tick)
            if not store.dirty and seen == self._seen:
                return
            self._take_in(store)
            if self.tick is None or self.failure is not None:
                return
            stopped = self.world.playing is store.held
            self.world.playing = not store.held
            if store.tick > self.tick:
                self._begin_at(store, store.tick)
            elif stopped:
                self._begin_at(store, self.tick)
            else:
                self._compare(store)
            self._expire(store)

    def simulate(self, store: Store, tick: int) -> None:
        """Run the ticks up to this one, with the commands of each.

        Args:
            store: What the server last said.
            tick: The tick that was the last to begin.
        """
        with self.world:
            if self.tick is None or tick - self.tick > self._ticks:
                self.world.playing = not store.held
                self._begin_at(store, max(tick, store.tick))
            elif self.failure is None:
                self._run_until(tick)

    def _begin_at(self, store: Store, last: int) -> None:
        """Begin anew with what was told last, and run from there."""
        world = self.world
        base = max(store.tick, last - self._ticks)
        self.stalled = self.stalled or self.tick is None or last > self.tick
        for replica in [replica for replica in self._spawns if replica.born <= base]:
            self._lose(replica)
        self._respawn = [*self._spawns]
        for replica in self._respawn:
            world.take_back(replica)
        for replica, record in self._told(store):
            self._put_all(replica, record)
            replica.checked = {**record.ticks}  # what is on its way may be older than `base`
        world.put_back()
        self._fresh.clear()
        self._history.clear()
        self._history.keep(base, world.snapshot())
        self.tick = base
        self._replay(last, {})

    def _take_in(self, store: Store) -> None:
        """Take in what has changed since the last time."""
        world, moved = self.world, []
        told: list[tuple[Replica, EntityState, Iterable[int]]] = []
        for net in [*islice(store.dirty, TOLD_AT_ONCE)]:
            cids: Iterable[int] = store.dirty.pop(net)
            why = store.went.pop(net, "despawned")
            record, replica = store.entities.get(net), world.replicas.get(net)
            if record is None:
                if replica is not None:
                    moved.append(net)
                    self._lose(replica, why)
                continue
            own = self._is_own(net, record)
            if own and net not in world.owned and len(world.owned) >= OWNED:
                own = False
            if replica is None and len(world.replicas) >= REPLICAS:
                continue
            if replica is None:
                moved.append(net)
                cids = record.values.keys()
                replica = self._matching(net, record) if own else None
                if replica is None:
                    replica = world.create(net, own)
                    self._fresh += [replica] * own
            elif replica.own != own:
                cids = record.values.keys()
                world.own(replica, own)
                self.went.update({} if own else {net: why})
                self._fresh += [replica] * own
            told.append((replica, record, cids))
        # All of them are there before their components, so that references among them can be read.
        for replica, record, cids in told:
            for cid in cids:
                self._tell(replica, record, cid)
        for net, cid in self._references.referrers(moved):
            if net in store.entities and net in world.replicas:
                self._tell(world.replicas[net], store.entities[net], cid)

    def _tell(self, replica: Replica, record: EntityState, cid: int) -> None:
        """Note what was told of something that is not predicted."""
        if replica.own and cid in self.kept:
            if cid in record.values:
                replica.removed.pop(cid, None)
            else:
                replica.removed[cid] = self._seen[0]
            return
        kind, wire = self._components[cid], record.values.get(cid)
        if kind.has_refs:
            self._references.forget(replica.key, cid)
            if wire is not None:
                self._references.note(replica.key, cid, wire)
        component = None if wire is None else self._conversion.value(kind, wire)
        if wire is None or component is not None:
            self.world.tell(replica, cid, component)

    def _is_own(self, net: int, record: EntityState) -> bool:
        owner = record.values.get(self._owner)
        return net == self._player or getattr(owner, "player", None) == self._player

    def _matching(self, net: int, record: EntityState) -> Replica | None:
        """Return what was predicted of something that has just been told of; None: it was not."""
        kinds = frozenset(record.ticks)
        for replica in self._spawns:
            if replica.kinds == kinds and abs(replica.born - record.since) <= SPAWN_TICKS:
                self._spawns.remove(replica)
                self.renamed.append((replica.key, net))
                self.world.rename(replica, net)
                return replica
        return None

    def _lose(self, replica: Replica, why: Why = "despawned") -> None:
        """Know nothing any more of an entity that is gone, or never was."""
        if replica.own:
            self.went[replica.key] = why
        if replica in self._spawns:
            self._spawns.remove(replica)
        if replica in self._fresh:
            self._fresh.remove(replica)
        self._references.forget_entity(replica.key)
        self.world.forget(replica)

    def _expire(self, store: Store) -> None:
        """Lose what was predicted to come into being, and did not."""
        born_before = store.confirmed_tick - SPAWN_TICKS
        for replica in [replica for replica in self._spawns if replica.born < born_before]:
            self._lose(replica)

    # What was predicted, and what is so.

    def _told(self, store: Store) -> Iterator[tuple[Replica, EntityState]]:
        """Yield what is predicted and was told of, with what was told last."""
        for replica in [*self.world.owned.values()]:
            record = store.entities.get(replica.key)
            if record is not None:
                yield replica, record

    def _known(
        self, store: Store, replica: Replica, record: EntityState, after: Mapping[int, int]
    ) -> Iterator[tuple[int, int, object | None]]:
        """Yield what is known of a replica, each at the newest tick of which it is known: the tick,
        the component id and the wire value, as in `_Check`.

        That is the tick that it was told of; but up to the confirmed tick nothing is missing, so
        what did not come since then is what it was.

        Args:
            store: What the server last said.
            replica: The replica.
            record: What was told of it.
            after: The ticks up to which its components are of no interest, by id.
        """
        confirmed = store.confirmed_tick
        snapshot = self._history.get(confirmed)
        had = None if snapshot is None else snapshot.layout.kinds.get(replica.entity)
        if had is not None and not had <= record.ticks.keys():
            for cid in had - record.ticks.keys():
                if confirmed > after.get(cid, -1):
                    yield confirmed, cid, None
        for cid, tick in replica.removed.items():
            if tick > max(confirmed, after.get(cid, -1)):
                yield tick, cid, None
        for cid, tick in record.ticks.items():
            if cid in self._once and tick <= after.get(cid, -1):
                continue
            if tick < confirmed and cid not in self._rated:
                tick = confirmed
            if cid in self.kept and tick > after.get(cid, -1):
                yield tick, cid, record.values[cid]

    def _compare(self, store: Store) -> None:
        """Find the oldest tick of which something else was told than was predicted, and go back."""
        wrong: list[_Check] = []
        came: list[int] = []
        oldest = self._history.oldest
        self._near.clear()
        for replica, record in self._told(store):
            if replica in self._fresh:
                came.append(max(record.ticks.values(), default=record.since))
                continue
            checked = replica.checked
            for tick, cid, wire in self._known(store, replica, record, checked):
                at = tick
                if tick > store.confirmed_tick or cid in self._once or cid in self._rated:
                    at = max(tick, oldest)  # what is told so late is taken as it is
                snapshot = self._history.get(at)
                if snapshot is None:
                    continue  # it will be known of a later tick, too
                checked[cid] = tick
                if not self._agrees(snapshot, replica, cid, wire):
                    wrong.append(_Check(at, replica, record, cid, wire))
        self.corrections += bool(wrong)
        ticks = [check.tick for check in wrong] + came
        if ticks:
            self._go_back(store, min(ticks), wrong)
        else:
            self._settle()

    def _settle(self) -> None:
        """Let what came to rest a step off be where it was told to be."""
        latest = self.latest
        for replica, cid, predicted, wire in self._near:
            now = None if latest is None else latest.value(replica.entity, cid)
            if now is not None and self._components[cid].differing(predicted, now) is None:
                self._put(replica, cid, wire)

    def _agrees(self, snapshot: Snapshot, replica: Replica, cid: int, wire: object | None) -> bool:
        """Return whether something was predicted as it was told."""
        found = snapshot.value(replica.entity, cid)
        if found is None or wire is None:
            return found is wire
        kind, told = self._components[cid], wire
        if kind.direct and found == told:
            return True
        key_of = self.world.key_of
        try:
            predicted = kind.to_wire(found, key_of)
        except BadValueError:
            return True  # such a value is not sent, so nothing is known of it
        if kind.has_refs:  # to what is not in sight, too, which nobody can predict
            seen = self._conversion.value(kind, told)
            told = predicted if seen is None else kind.to_wire(seen, key_of)
        if predicted == told:
            return True
        if kind.near(predicted, told):
            self._near.append((replica, cid, found, wire))
            return True
        return self._conversion.value(kind, wire) is None  # or nobody can show it

    # Back, and forth again.

    def _go_back(self, store: Store, base: int, wrong: Sequence[_Check]) -> None:
        """Take a tick for what was told of it, and let the ticks since then run again.

        Args:
            store: What the server last said.
            base: The tick.
            wrong: What was predicted otherwise than it was told, of that tick and later ones.
        """
        world, last = self.world, self.tick
        assert last is not None  # or there is nothing to compare
        snapshot = self._history.get(base)
        if snapshot is None:
            self._begin_at(store, last)
            return
        checks: dict[int, list[_Check]] = {}
        if base < store.tick:
            # What was right may come out otherwise this time.
            for replica, record in self._told(store):
                after = dict.fromkeys(record.ticks, base)
                for tick, cid, wire in self._known(store, replica, record, after):
                    check = _Check(tick, replica, record, cid, wire)
                    checks.setdefault(tick, []).append(check)
        self._respawn = [replica for replica in world.owned.values() if replica.born > base]
        self._respawn.sort(key=_born)
        world.restore(snapshot)
        world.put_back()
        for replica, record in self._told(store) if self._respawn or self._fresh else ():
            told_at = max(record.ticks.values(), default=record.since)
            late = replica in self._respawn and told_at <= base
            if late or replica in self._fresh:
                self._put_all(replica, record)
        self._fresh.clear()
        self._put_told([check for check in wrong if check.tick == base])
        self._history.keep(base, world.snapshot())
        self.tick = base
        self._replay(last, checks)

    def _replay(self, last: int, checks: Mapping[int, Sequence[_Check]]) -> None:
        """Run the ticks up to one again."""
        before = self.tick
        assert before is not None
        self._run_until(last, checks)
        self.replayed_ticks += last - before
        # What was not spawned again never was.
        for replica in [replica for replica in self._respawn if replica in self._spawns]:
            self._lose(replica)
        self._respawn = []

    def _run_until(self, last: int, checks: Mapping[int, Sequence[_Check]] = _NOTHING) -> None:
        """Run the ticks up to one, and put what was told of each of them."""
        world = self.world
        assert self.tick is not None
        world.put_back()
        first = self.tick + 1
        for tick in range(first, last + 1):
            # Later ones may find scenery moved, which cannot be put back to that.
            check = self._check if tick == first else None
            step = world.step if check is None or not check.is_due(tick) else check.step
            for entity in step(tick, self.commands.of(tick)):
                self._spawned(entity, tick)
            if world.failure is not None:
                return
            snapshot = world.snapshot()
            wrong = [
                check
                for check in checks.get(tick, ())
                if not self._agrees(snapshot, check.replica, check.cid, check.wire)
            ]
            if wrong:
                self._put_told(wrong)
                snapshot = world.snapshot()
            self._history.keep(tick, snapshot)
            self.tick = tick

    def _put_told(self, wrong: Iterable[_Check]) -> None:
        """Put what was told in the place of what is not so."""
        for check in wrong:
            if not self.world.alive(check.replica):
                self._put_all(check.replica, check.record)
            else:
                self._put(check.replica, check.cid, check.wire)

    def _put_all(self, replica: Replica, record: EntityState) -> None:
        """Make a replica all that was told of it."""
        if replica in self._respawn:
            self._respawn.remove(replica)
        for cid in self.world.kinds_of(replica.entity) - record.values.keys():
            self.world.put(replica, cid, None)
        for cid, wire in record.values.items():
            if cid in self.kept:
                self._put(replica, cid, wire)

    def _put(self, replica: Replica, cid: int, wire: object | None) -> None:
        kind = self._components[cid]
        component = None if wire is None else self._conversion.value(kind, wire)
        if wire is None or component is not None:
            # What is flat may be the store's own.
            flat = component is not None and kind.flat
            self.world.put(replica, cid, kind.clone(component) if flat else component)

    def _spawned(self, entity: int, tick: int) -> None:
        """Take in what a shared system has made for the player."""
        kinds = self.world.kinds_of(entity)
        for replica in self._respawn:
            if replica.kinds == kinds and abs(replica.born - tick) <= SPAWN_TICKS:
                self._respawn.remove(replica)
                replica.born = tick
                self.world.rebind(replica, entity)
                return
        self._spawns.append(self.world.adopt(entity, next(self._keys), True, tick, kinds))


def _born(replica: Replica) -> int:
    return replica.born
