"""One seed of a soak: the game, its clients, a network that does its worst, and checks of them all.

`run(plan)` plays chaos for some ticks, then the network stops losing (but goes on reordering), the
game holds still, and every client is compared with the server. It returns a `Report`; nothing in
it depends on the hash seed or on the wall clock.
"""

from __future__ import annotations

import logging
import re
import traceback
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random

import esper
from chaos_events import Due, Happened
from chaos_flight import Course, Fly, Shoot, Shot
from chaos_game import (
    CID,
    EVENTS,
    HEARD,
    PLACES,
    PRIVATE,
    REGISTRY,
    SCHEMA,
    Angle,
    Bag,
    Boom,
    Game,
    Health,
    Left,
    Place,
    Plan,
    Poke,
    Right,
    Secret,
    Steer,
    Story,
)
from leftovers import grown, holdings
from spending import Spending

import ecsnet as net
from ecsnet.commands.outbox import QUIET_TICKS, UNACKED_FRAMES
from ecsnet.components import LobbyPlayer, LobbyState, Owner, Player
from ecsnet.connection.plain import MAX_DATAGRAM
from ecsnet.errors import UsageError
from ecsnet.notifications import Disconnected, Refused
from ecsnet.peer import Peer
from ecsnet.replication.client.event_queue import ReceivedEvent
from ecsnet.replication.client.store import LAST_ID, Store
from ecsnet.replication.server.client_state import ClientState
from ecsnet.replication.wire import STRUCTURE_BYTES, Structure, Update
from ecsnet.server.host import GOODBYE_SECONDS
from ecsnet.session.channel import PIGGYBACK_BYTES
from ecsnet.session.goodbye import Reason
from ecsnet.session.session import Received
from ecsnet.testing import FaultyLink, Harness, HarnessClient
from ecsnet.testing.compare import Comparison

__all__ = ["EVENTS", "MismatchError", "Plan", "Report", "run"]

LEFT_SECONDS = 30
"""After this time everybody who left has timed out and is forgotten."""

REMEMBERED = {
    "peers.listener._ended": 4096,
    "peers.listener._dismissed": 4096,
    "peers.listener.admission._gone": 4096,
    "peers.listener.dropped": 16,
    "peers.listener.admission.denied": 16,
    "rooms[].simulation.errors": 16,
    "rooms[].simulation.ignored": 16,
    # The last index of each type of which an entity was asked for.
    "rooms[].simulation.world._holders": 16,
    "rooms[].simulation.world._holders[][]": 4096,
    "rooms[].simulation._nobodies": 16,
    "rooms[].replicator._events._complained": 16,
    "rooms[].replicator.entities._seen": 256,
    "rooms[].replicator.entities._cids": 4096,
}
"""What a server may still hold when all have left: whom it knew for a while, and what it counts by
kind."""

DRAWN_SECONDS = 1.0
"""The time in which what is drawn has come to rest once all was told."""

MESSAGE_HEADER = 10
"""The most bytes that a message takes in a packet beside its own."""

DAMAGE_LASTS = 8
"""Ticks for which what the game did to its view may still show."""

MARK = re.compile(rb"@([psh])(\d+)\.(\d+);")


class MismatchError(AssertionError):
    """A check failed."""


@dataclass
class Report:
    """What became of one seed."""

    seed: int
    ticks: int
    counts: Counter[str] = field(default_factory=Counter)
    failure: str | None = None
    digest: int = 0
    settled: float = 0.0
    """Seconds of virtual time from the last lost datagram to equality."""
    rested: float = 0.0
    """Seconds of virtual time from when all was told to when all was drawn."""

    def __str__(self) -> str:
        state = "ok" if self.failure is None else "FAILED"
        return (
            f"seed {self.seed} {state}: {self.counts['values compared']} values compared,"
            f" equal after {self.settled:.1f} s, digest {self.digest:08x}"
        )


def run(plan: Plan) -> Report:
    """Play a plan to its end."""
    report = Report(plan.seed, plan.ticks)
    with _quiet(), _counted_fates(report.counts):
        chaos = Chaos(plan, report)
        try:
            chaos.play()
        except MismatchError as error:
            report.failure = str(error)
        except Exception:
            report.failure = traceback.format_exc()
        try:
            chaos.close()
        except Exception:
            report.failure = report.failure or traceback.format_exc()
    return report


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the log lines of hundreds of joins and bad values."""
    logger = logging.getLogger("ecsnet")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextmanager
def _counted_fates(counts: Counter[str]) -> Iterator[None]:
    """Let peers count what became of packets: nothing else sees each of them."""
    lost, receive = Peer.lost, Peer.receive_packet

    def counted_lost(self: Peer[object], now: float) -> list[int]:
        tags = lost(self, now)
        counts["packets lost"] += len(tags)
        return tags

    def counted_receive(self: Peer[object], packet: bytes, now: float) -> Received[object] | None:
        received = receive(self, packet, now)
        if received is not None and received.late:
            counts["late acks"] += len(received.late)
        return received

    Peer.lost = counted_lost  # type: ignore[method-assign]
    Peer.receive_packet = counted_receive  # type: ignore[method-assign]
    try:
        yield
    finally:
        Peer.lost = lost  # type: ignore[method-assign]
        Peer.receive_packet = receive  # type: ignore[method-assign]


class Sprite:
    """What a client's game hangs on entities."""


class GameError(Exception):
    """What a client's game raises out of `poll`."""


class Callbacks:
    """Functions that a client's game attaches, and that do now and then what none should."""

    def __init__(self, watcher: Watcher) -> None:
        self.watcher = watcher
        self.client = watcher.client
        self.counts = watcher.chaos.counts
        self.dice = Random(f"callbacks {watcher.chaos.plan.seed} {watcher.serial}")
        self.sprites: set[Sprite] = set()
        self.attached = 0
        self.armed = self.raised = self.failed = self.left = False
        self._poll = self.client.poll
        self.client.poll = self.poll  # type: ignore[method-assign]

    def poll(self) -> list[object]:
        """The client's poll, in a game that goes on when its own code raises."""
        self.raised = False
        try:
            return self._poll()
        except GameError:
            assert self.raised
            return []

    def make(self, entity: int, health: Health) -> Sprite:
        assert esper.component_for_entity(entity, Health) is health
        self.act()
        self.counts["sprites made"] += 1
        sprite = Sprite()
        self.sprites.add(sprite)
        return sprite

    def remove(self, sprite: Sprite) -> None:
        self.sprites.remove(sprite)
        self.counts["sprites removed"] += 1
        self.act()

    def act(self) -> None:
        chaos = self.watcher.chaos
        if not self.armed or self.client.closed or chaos.game.paused:
            return
        if self.dice.random() >= chaos.plan.mischief:
            return
        deeds = {
            "raise": self.fail,
            "delete": self.delete,
            "clear": esper.clear_database,
            "switch worlds": lambda: esper.switch_world("somewhere else"),
            "attach": self.attach,
            "poll": self.poll_again,
        }
        what = self.dice.choice(list(deeds))
        if self.dice.random() < 0.05 and chaos.plan.comings:
            what, deeds["close"] = "close", self.close
        self.counts[f"callbacks that {what}"] += 1
        self.watcher.damaged = DAMAGE_LASTS
        deeds[what]()

    def fail(self) -> None:
        self.raised = self.failed = True
        raise GameError

    def delete(self) -> None:
        entities = sorted(self.client._view.remote)
        for entity in self.dice.sample(entities, min(3, len(entities))):
            self.client.view.delete(entity, immediate=self.dice.random() < 0.5)

    def attach(self) -> None:
        if self.attached < 3:
            self.attached += 1
            self.client.attach(Place, lambda entity, place: None)

    def poll_again(self) -> None:
        try:
            self._poll()
        except UsageError:
            return
        raise MismatchError("poll inside poll was not refused")

    def close(self) -> None:
        self.left = True
        self.client.close()

    def check(self) -> None:
        """Each sprite is on an entity with its component, and each of these has one, but for those
        where that raised.
        """
        with self.client.view:
            hung = [sprite for _, (_, sprite) in esper.get_components(Health, Sprite)]
            lonely = len(esper.get_component(Sprite)) - len(hung)
            bare = len(esper.get_component(Health)) - len(hung)
        if set(hung) != self.sprites or lonely or (bare and not self.failed):
            raise MismatchError(
                f"{self.watcher.seat.name}: {len(hung)} sprites shown, {lonely} without their"
                f" component, {bare} missing, {len(self.sprites)} made and not removed"
            )


class Watcher:
    """Looks over the shoulder of one client."""

    def __init__(self, chaos: Chaos, seat: HarnessClient, serial: int) -> None:
        self.chaos = chaos
        self.seat = seat
        self.client = seat.client
        self.serial = serial
        self.counts = chaos.counts
        self.poked = 0
        self.joined_at: float | None = None
        self.store: Store | None = None
        self.entitled: set[bytes] = set()
        self.seen_message = 0
        self.seen_events = 0
        self.callbacks = Callbacks(self)
        self.due = Due()
        self.told_nets: set[int] = set()
        self.damaged = 0
        self.prompt = self.late = 0
        self.streamed: set[int] = set()  # messages that have no room to ride along
        self.state: ClientState | None = None  # what replication knew of it at the last update
        self.dismissed = False
        self.infos: list[dict[str, object]] = [{}]  # what it has told the others in the lobby
        self.smooth = chaos.is_smooth(serial)
        self.flights = Random(f"flights {chaos.plan.seed} {serial}")
        self.shots = 0
        self.predicted: set[int] = set()  # the network ids of all that ever ran ahead

    def poll(self, dice: Random) -> None:
        """Once a step: hook up, count events, send commands, check what is seen."""
        client = self.client
        store = client._protocol.store
        if store is not None and self.store is None:
            self.store = store
            store._waiting_limit = max(self.chaos.plan.waiting_bytes, store._waiting_bytes)
            self._listen(store)
        if not self.told_nets <= self.due.ever:
            unknown = self.told_nets - self.due.ever
            raise MismatchError(f"{self.seat.name} was told of the network ids {unknown}")
        self._note_predicted()
        events = self.seat.events
        if len(events) > self.seen_events:
            for event in events[self.seen_events :]:
                if isinstance(event, Boom | Story):
                    self._happened(event)
                    continue
                name = type(event).__name__.lower()
                why = getattr(event, "why", None)
                self.counts["hidden" if why == "hidden" else name] += 1
            self.seen_events = len(events)
        for serial in HEARD.pop(client.view.name, ()):
            self._heard(serial)
        self.damaged = max(0, self.damaged - 1)
        if not client.connected:
            return
        if self.joined_at is None:
            self.joined_at = self.chaos.now
            client.watch(Health)
            client.attach(Health, self.callbacks.make, remove=self.callbacks.remove)
            self.callbacks.armed = True
        if not self.chaos.game.paused:
            self._act(dice)
            if self.chaos.plan.smooth:
                self._fly()
        if self.smooth:
            self._check_shots()
        if self.chaos.plan.lossless:
            self._check_twins()

    def _happened(self, event: Boom | Story) -> None:
        """Check an event that a poll has just returned."""
        due, serial, name = self.due, event.serial, self.seat.name
        happened = due.must.get(serial)
        if happened is None and serial not in due.may:
            raise MismatchError(f"{name} was told of {event}, which is not for it")
        happened = self.chaos.game.happenings.sent[serial - 1]
        if serial in due.got or (happened.reliable and serial < due.last):
            raise MismatchError(f"{name} was told of {event} twice or out of order")
        due.got.add(serial)
        if happened.reliable:
            due.last = serial
        self.counts["events arrived" if happened.reliable else "loose events arrived"] += 1
        if isinstance(event, Story) and tuple(event.lines) != happened.lines:
            raise MismatchError(f"{name} was told of {event}, emitted with {happened.lines}")
        if happened.refers is not None:
            self._check_reference(event, happened)

    def _heard(self, serial: int) -> None:
        """Check a call that ran on the client."""
        if serial not in self.due.may:
            raise MismatchError(f"{self.seat.name} ran call {serial}, which is not for it")
        if serial <= self.due.called:
            raise MismatchError(f"{self.seat.name} ran call {serial} twice or out of order")
        self.due.called = serial
        self.counts["calls run on clients"] += 1

    def _check_reference(self, event: Boom | Story, happened: Happened) -> None:
        """Check that what an event refers to is there, if the client knows it."""
        entity, view = event.entity, self.client._view
        shown = self.due.shown[event.serial]
        if not shown:
            self.counts["references hidden"] += 1
            if entity is not None and view.remote.get(entity) == happened.net:
                raise MismatchError(f"{self.seat.name} was told of {event}, and may not see that")
        if self.damaged or not shown or not happened.reliable:
            return
        self.counts["references checked"] += 1
        found = entity is not None and view.remote.get(entity) == happened.net
        if happened.died:
            self.counts["deaths told"] += 1
            self.counts["deaths of one's own told"] += happened.net in self.predicted
            self.counts["bodies found"] += found
        if not found:
            raise MismatchError(f"{self.seat.name} was told of {event}, and finds no such entity")

    def _act(self, dice: Random) -> None:
        client = self.client
        roll = dice.random()
        if roll < 0.05:
            client.send(Steer(dice.randint(-1, 1), dice.randint(-1, 1)))
            self.counts["held commands"] += 1
        elif roll < 0.06:
            client.release(Steer)
        elif roll < 0.12:
            view = client._view
            entities = [entity for entity in view.remote if self._is_told(entity)]
            target = dice.choice(entities) if entities else None
            entity = None
            if entities and dice.random() < 0.3:
                mine = [each for each in client.mine() if self._is_told(each)]
                entity = dice.choice(mine if mine and dice.random() < 0.7 else entities)
                self.counts["actions on owned"] += entity in mine
            if entity is None or entity in view.remote:
                self.poked += 1
                client.send(Poke(self.serial << 32 | self.poked, target), entity)
                self.counts["actions"] += 1
        elif roll < 0.12 + self.chaos.plan.damage:
            self._damage(dice)
        elif roll > 0.95:
            self._call(dice)
        elif roll > 0.92 and self.chaos.plan.late is not None:
            self._gather(dice)

    def _fly(self) -> None:
        """Do what a shared system knows of; and see now and then how it is without all of that."""
        client, dice, counts = self.client, self.flights, self.counts
        roll = dice.random()
        if roll < 0.05:
            client.send(Fly(dice.randint(-1, 1)))
        elif roll < 0.06:
            client.release(Fly)
        elif roll < 0.1:
            mine = [entity for entity, _ in client.mine(Course) if self._is_told(entity)]
            if mine:
                self.shots += 1
                client.send(Shoot(self.serial << 32 | self.shots), dice.choice(mine))
                counts["shots asked for"] += 1
        elif roll > 0.998 and self.smooth:
            if dice.random() < 0.5:
                client.interpolation = not client.interpolation
                counts["interpolation switched"] += 1
            else:
                client.prediction = not client.prediction
                counts["prediction switched"] += 1

    def _note_predicted(self) -> None:
        prediction = self.client._protocol.prediction
        if prediction is not None and prediction._room is not None:
            self.predicted.update(prediction._room.overlay._ahead)

    def _is_told(self, entity: int) -> bool:
        """Whether the server knows an entity of the view: some are only predicted."""
        return self.client._view.remote.get(entity, LAST_ID + 1) <= LAST_ID

    def _check_shots(self) -> None:
        """Look how many shots are drawn twice: as they were predicted, and as they were told."""
        with self.client.view:
            numbers = Counter(shot.number for _, shot in esper.get_component(Shot))
        twice = sum(many > 1 for many in numbers.values())
        self.counts["shots drawn"] += len(numbers)
        self.counts["shots drawn twice"] += twice
        if twice and self.chaos.plan.steady:
            raise MismatchError(f"{self.seat.name}: {twice} shots are drawn twice")

    def _gather(self, dice: Random) -> None:
        """Say something in the lobby."""
        if dice.random() < 0.7:
            self.client.set_ready(dice.random() < 0.9)
            self.counts["ready said"] += 1
        else:
            self.infos.append({"level": len(self.infos), "name": self.seat.name})
            self.client.set_info(level=len(self.infos) - 1, name=self.seat.name)
            self.counts["infos said"] += 1

    def _call(self, dice: Random) -> None:
        """Call the server for something of one's own, or of somebody else."""
        with self.client.view:
            found = self.client.mine(Health)
            if not found or dice.random() < 0.2:
                found = esper.get_component(Health)
            if found:
                _, health = dice.choice(found)
                if self.client._view.remote.get(net.entity_of(health)):
                    self.poked += 1
                    health.strike(self.serial << 32 | self.poked)
                    self.counts["calls to the server"] += 1

    def _damage(self, dice: Random) -> None:
        """What a careless game does to its view."""
        client = self.client
        self.counts["view damaged"] += 1
        self.damaged = DAMAGE_LASTS
        with client.view:
            entities = list(client._view.remote)
            roll = dice.random()
            if roll < 0.2:
                esper.clear_database()
            elif roll < 0.6 and entities:
                client.view.delete(dice.choice(entities), immediate=dice.random() < 0.5)
            elif entities:
                client.view.remove(dice.choice(entities), dice.choice([Left, Place, Bag]))

    def _check_twins(self) -> None:
        with self.client.view:
            for entity, (left, right) in esper.get_components(Left, Right):
                if left.stamp != right.stamp:
                    raise MismatchError(
                        f"{self.seat.name}: entity {entity} is seen apart in tick"
                        f" {self.chaos.tick}: {left} {right}"
                    )
                self.counts["atomic checked"] += 1

    def _listen(self, store: Store) -> None:
        update, structure, wait = store.update, store.structure, store._wait
        counts, chaos = self.counts, self.chaos

        def watched_wait(runs: object, tick: int, depends: int, cost: int) -> None:
            counts["waited for structure"] += 1
            before = store.resync
            wait(runs, tick, depends, cost)  # type: ignore[arg-type]
            counts["resyncs"] += store.resync and not before

        def watched_structure(number: int, message: Structure[object], size: int = 0) -> bool:
            if chaos.plan.calm and number not in self.streamed and self.settled(2.0):
                counts["promptness checked"] += 1
                age = chaos.tick - message.tick
                allowed = (chaos.plan.lag + chaos.plan.jitter) * chaos.plan.tick_rate + 4
                self.prompt += 1
                self.late += age > allowed
            return structure(number, message, size)

        def watched_update(message: Update[object, object], size: int) -> bool:
            if chaos.checks_redundancy and not self.smooth:
                self._check_redundancy(store, message)
            return update(message, size)

        drawn = self.client._protocol.drawn
        assert drawn is not None
        add = drawn.events.add

        def watched_event(event: ReceivedEvent) -> None:
            self.told_nets.update(event.kind.refs(event.wire))
            add(event)

        drawn.events.add = watched_event  # type: ignore[method-assign]
        store._wait = watched_wait  # type: ignore[method-assign]
        store.structure = watched_structure  # type: ignore[method-assign]
        store.update = watched_update  # type: ignore[method-assign]

    def settled(self, seconds: float) -> bool:
        """Whether the client has been in the game for some time."""
        return self.joined_at is not None and self.chaos.now - self.joined_at > seconds

    def _check_redundancy(self, store: Store, message: Update[object, object]) -> None:
        """Without loss and with bandwidth to spare, a value that comes is a new one."""
        for nets, columns in store._runs(message.runs) or ():
            for cid, values in columns:
                if cid != CID[Angle]:
                    continue
                for number, value in zip(nets, values, strict=True):
                    record = store.entities.get(number)
                    if record is None or record.ticks.get(cid, message.tick) >= message.tick:
                        continue
                    if record.values[cid] == value:
                        raise MismatchError(
                            f"{self.seat.name}: entity {number} Angle is sent again, unchanged"
                        )


class Chaos:
    """One run: the game, the clients, and the checks."""

    def __init__(self, plan: Plan, report: Report) -> None:
        self.plan = plan
        self.report = report
        self.counts = report.counts
        self.dice = Random(f"run {plan.seed}")
        self.game = Game(plan, self.counts)
        self.harness = Harness(self.game.server, seed=plan.seed, registry=REGISTRY)
        replicator = self.harness.room.replicator
        self.replicator = replicator
        self.game.reference = replicator.entities.network_id
        self.game.happenings.reference = replicator.entities.network_id
        self._happened = 0  # events looked at
        self.watchers: list[Watcher] = []
        self.digest = 0
        self.sent_now: list[tuple[HarnessClient, bytes]] = []
        self.checks_redundancy = (
            plan.lossless and not plan.jitter and not plan.stalls and plan.bandwidth > 200_000
        )
        self.harness.watch_sent = self._sent
        self._empty = holdings(self.harness.host)
        self._spending: dict[HarnessClient, Spending] = {}
        self.vanished: list[Watcher] = []
        self._serial = 0
        self._places: dict[ClientState, object] = {}
        self._outside = 0  # clients that wait for a place, or the end of a match
        self.counts[f"policy {plan.policy}"] += 1

    @property
    def now(self) -> float:
        return self.harness.clock.now

    @property
    def tick(self) -> int:
        """The tick that has just run, be the game paused or not."""
        return self.harness.simulation.tick

    # The run.

    def play(self) -> None:
        plan, dice = self.plan, self.dice
        for _ in range(plan.clients):
            self._come()
        for _ in range(plan.ticks):
            self._step()
            if dice.random() < plan.comings:
                self._come_or_go()
            for watcher in self.watchers:
                if dice.random() < plan.stalls:
                    watcher.seat.link.stall(dice.uniform(0.1, 1.0), self.now)
                if dice.random() < plan.cuts:
                    watcher.seat.link.cut(dice.uniform(0.1, 1.0), self.now)
        self._finish()

    def close(self) -> None:
        self.report.digest = self.digest
        for watcher in self.watchers:
            self._count_link(watcher)
        self.harness.watch_sent = None
        self.harness.close()

    def _step(self) -> None:
        self.harness.step()
        self._check_sent()
        self._note_events()
        for watcher in self.watchers:
            watcher.poll(self.dice)
        self._replace_the_lost()
        if self._outside and len(self.watchers) < PLACES and not self.harness.simulation.playing:
            self._outside -= 1
            self._come()
        if self.tick % 25 == 0:
            self._check_bounds()
            self._check_confirmed()

    def _note_events(self) -> None:
        """Work out for whom the events of this tick are."""
        happenings = self.game.happenings
        fresh = happenings.sent[self._happened :]
        self._happened += len(fresh)
        updated = self.tick % self.plan.every == 0
        if updated:
            happenings.replicated()
        for watcher in self.watchers:
            member = self.harness.member(watcher.client)
            seat = None if member is None else member.seat
            if seat is None or seat.joined_at is None:
                continue
            if watcher.dismissed:
                continue
            watcher.due.pending += fresh
            if updated:
                state = seat.client_state or watcher.state
                watcher.due.update(seat.player_id, None if state is None else state.known)
                # Who is thrown out was told of the world for the last time.
                watcher.dismissed = state is not seat.client_state
                watcher.state = state

    def _finish(self) -> None:
        """No more loss: all must come right, and then fall quiet."""
        harness, game = self.harness, self.game
        for watcher in self.watchers:
            watcher.seat.link.heal()
        game.paused = True
        for watcher in self.watchers:
            if watcher.client.connected:
                watcher.client.release(Steer)
                watcher.client.release(Fly)
        if self.plan.late is not None:
            # Pings change as long as anybody looks: when all commands are there, nobody does.
            for _ in range(3 * self.plan.tick_rate):
                self._step()
            self.harness.simulation.paused = True
        began = self.now
        limit = began + 30 + 400_000 / self.plan.bandwidth
        # How late it is seen that all was told counts in what is drawn.
        grain = max(1, self.plan.tick_rate // 20) if self.plan.smooth else 10
        told_at: float | None = None
        while True:
            for _ in range(grain):
                self._step()
            result = self._told()
            told_at = (told_at or self.now) if result else None
            if result and (result := harness.compare(good=game.good)):
                break
            if self.now > limit:
                raise MismatchError(
                    f"not equal {self.now - began:.0f} s after the last loss: {result}"
                )
            if self.plan.smooth and told_at is not None and self.now > told_at + DRAWN_SECONDS:
                raise MismatchError(f"all was told, and is not drawn at rest: {result}")
        assert told_at is not None
        self.report.settled = self.now - began
        self.report.rested = self.now - told_at
        self.counts["drawn worlds at rest"] += sum(watcher.smooth for watcher in self.watchers)
        for _ in range(QUIET_TICKS + 2 * self.plan.tick_rate):
            self._step()
        result = harness.compare(good=game.good)
        if not result:
            raise MismatchError(f"they were equal, and differ again: {result}")
        self.counts["values compared"] += result.compared
        self.counts["kept last good"] += result.kept
        self.counts["clients compared"] += len(harness.clients)
        self._check_quiet()
        self._check_visible()
        for watcher in self.watchers:
            watcher.callbacks.check()
        self._check_commands()
        self._check_events()
        self._check_lobby()
        self._check_promptness()
        self._check_bounds()
        self._everybody_leaves()

    def _told(self) -> Comparison:
        """Compare what clients were told with what is so, whatever they draw."""
        result = Comparison()
        for watcher in self.watchers:
            member, client, name = self.harness.member(watcher.client), watcher.client, watcher.seat
            if member is None or member.client_state is None or client.closed:
                result.differences.append(f"{name.name}: not in the game")
                continue
            result += self.harness._truth.told(
                client, member.client_state, name.name, self.game.good
            )
        return result

    # Clients.

    def is_smooth(self, serial: int) -> bool:
        """Whether the client with this number is a smooth one."""
        return Random(f"smooth {self.plan.seed} {serial}").random() < self.plan.smooth

    def _come(self, name: str | None = None) -> None:
        plan = self.plan
        self._serial += 1
        name = name or f"client{self._serial}"
        self.game.called[self._serial] = name
        link = FaultyLink(
            plan.lag, plan.jitter, plan.loss, duplicate=plan.duplicate, corrupt=plan.corrupt,
            burst=plan.burst, seed=plan.seed * 100 + self._serial,
        )  # fmt: skip
        if self.game.paused:
            link.heal()
        smooth = self.is_smooth(self._serial)
        every = self.dice.choice([1, 1, 2])
        client = self.harness.connect(name, link, every=every, wait=None, smooth=smooth)
        self.counts["smooth clients"] += smooth
        self.watchers.append(Watcher(self, self.harness.seats[client], self._serial))
        self.counts["joins"] += 1

    def _come_or_go(self) -> None:
        dice = self.dice
        if len(self.watchers) < 8 and (len(self.watchers) < 3 or dice.random() < 0.5):
            self._come()
            return
        watcher = self.watchers.pop(dice.randrange(len(self.watchers)))
        self._count_link(watcher)
        if dice.random() < 0.6:
            self.harness.leave(watcher.client)
            self.counts["leaves"] += 1
        else:
            self.harness.vanish(watcher.client)
            self.vanished.append(watcher)
            self.counts["vanishes"] += 1

    def _replace_the_lost(self) -> None:
        """With half of all datagrams lost, a connection may not come about or time out."""
        for watcher in list(self.watchers):
            if not watcher.client.closed:
                continue
            if watcher.callbacks.left:
                watcher.seat.polling = False
                watcher.callbacks.check()  # nothing is left of it
                self.watchers.remove(watcher)
                self._count_link(watcher)
                self._come()
                continue
            event = watcher.seat.events[-1]
            if self._is_turned_away(watcher, event):
                continue
            if getattr(event, "reason", "") not in (Reason.UNREACHABLE, Reason.TIMEOUT):
                raise MismatchError(f"{watcher.seat.name}: {event}")
            if not self.plan.loss and not self.plan.cuts and not self.plan.burst:
                raise MismatchError(f"{watcher.seat.name}: {event} without any loss")
            self.watchers.remove(watcher)
            self._count_link(watcher)
            self._come()

    def _is_turned_away(self, watcher: Watcher, event: object) -> bool:
        """Look whether the game has thrown a client out, or not let it in; what comes of that."""
        name, reason = watcher.seat.name, getattr(event, "reason", "")
        if reason == Reason.DECLINED:
            if self.plan.late != "refuse" or not isinstance(event, Refused):
                raise MismatchError(f"{name}: {event}")
            self.counts["came late and were refused"] += 1
            self._outside += 1
        elif reason == Reason.KICKED:
            assert isinstance(event, Disconnected | Refused)  # the welcome may come too late
            tick, text = self.game.thrown.pop(name, (-1, "nobody said so"))
            # The last words without the text are for who missed the goodbye.
            if event.message != text and (self.plan.lossless or tick < 0):
                raise MismatchError(f"{name} was thrown out with {text!r} and reads {event}")
            self.counts["texts read"] += event.message == text
            if self.tick - tick < GOODBYE_SECONDS * self.plan.tick_rate:
                self._check_told(watcher)
                self.counts["events before a kick"] += len(watcher.due.got)
            back = self.dice.random() < 0.5
            self.counts["came back" if back else "others came instead"] += 1
            self._come(name if back else None)
        else:
            return False
        self.watchers.remove(watcher)
        self._count_link(watcher)
        return True

    def _count_link(self, watcher: Watcher) -> None:
        self.counts["corrections"] += watcher.client.stats.corrections
        self.counts["replayed ticks"] += watcher.client.stats.replayed_ticks
        stats = watcher.seat.link.stats
        for name in ("dropped", "duplicated", "reordered", "corrupted", "stalled", "burst", "cut"):
            self.counts[name] += getattr(stats, name)

    # Checks.

    def _sent(self, data: bytes, seat: HarnessClient) -> None:
        self.digest = zlib.crc32(data, self.digest)
        if len(data) > MAX_DATAGRAM:
            raise MismatchError(f"a datagram of {len(data)} bytes to {seat.name}")
        self.sent_now.append((seat, data))
        spending = self._spending.get(seat)
        if spending is None:
            spending = self._spending[seat] = Spending(self.plan.bandwidth)
        spending.sent(len(data), self.now)
        if spending.worst > 1:
            raise MismatchError(
                f"{seat.name} was sent {spending.worst:.0%} of what its bandwidth allows"
            )

    def _check_sent(self) -> None:
        """No bytes of what a client may not see."""
        visible: dict[ClientState, Mapping[int, int]] = {}
        for watcher in self.watchers:
            self._check_messages(watcher, visible)
        by_seat = {watcher.seat: watcher for watcher in self.watchers}
        before: HarnessClient | None = None
        for seat, data in self.sent_now:
            if self.plan.lossless and seat is before:
                self.counts["several datagrams a tick"] += 1
            before = seat
            watcher = by_seat.get(seat)
            if watcher is None:
                continue
            for found in MARK.finditer(data):
                if found[0] not in watcher.entitled:
                    self._check_mark(watcher, found, visible)
        self.sent_now.clear()

    def _check_messages(
        self, watcher: Watcher, visible: dict[ClientState, Mapping[int, int]]
    ) -> None:
        """What was queued for a client in this tick may be sent to it for as long as it takes."""
        member = self.harness.member(watcher.client)
        if member is None or member.client_state is None:
            return
        peer = member.peer
        for number in range(max(peer.delivered, watcher.seen_message) + 1, peer.queued + 1):
            data = peer._out.unacked[number].data
            older = (m.data for m in peer._out.unacked.values() if m.number <= number)
            if sum(len(each) + MESSAGE_HEADER for each in older) > PIGGYBACK_BYTES:
                watcher.streamed.add(number)
            if len(data) > 2 * STRUCTURE_BYTES + 4_000:
                raise MismatchError(
                    f"a structural message of {len(data)} bytes to {watcher.seat.name}"
                )
            for found in MARK.finditer(data):
                self._check_mark(watcher, found, visible)
        watcher.seen_message = peer.queued
        owed = len(member.client_state.owed)
        self.counts["owed"] += owed
        self.counts["over budget"] += member.peer.allowance <= 0
        self.counts["sent by stream"] += bool(member.client_state.big)
        if len(member.client_state.big) > 1_000:
            raise MismatchError(
                f"{watcher.seat.name}: {len(member.client_state.big)} large entities noted"
            )

    def _check_mark(
        self,
        watcher: Watcher,
        found: re.Match[bytes],
        visible: dict[ClientState, Mapping[int, int]],
    ) -> None:
        letter, uid = found[1], int(found[2])
        member = self.harness.member(watcher.client)
        self.counts["markers checked"] += 1
        if member is None or member.client_state is None:
            return
        client_state = member.client_state
        if client_state not in visible:
            visible[client_state] = self.replicator.visible(client_state)
        entity = self.game.entity_of.get(uid)
        number = None if entity is None else self.replicator.network_id(entity)
        allowed = False
        if number is not None:
            bits = visible[client_state].get(number, 0)
            if letter == b"p":
                allowed = bool(bits >> CID[Left] & 1) and self.may_see(
                    member.seat.player_id, entity
                )
            elif letter == b"s":
                own = self.owns(member.seat.player_id, entity, lately=True)
                allowed = bool(bits >> CID[Secret] & 1) and own
        if not allowed:
            raise MismatchError(
                f"{watcher.seat.name} was sent {found[0]!r} of entity {number} in tick"
                f" {self.tick}, which it may not see"
            )
        watcher.entitled.add(found[0])

    # What may be seen, worked out without asking replication.

    def owns(self, player_id: int, entity: int, *, lately: bool = False) -> bool:
        """Whether a client owns an entity; ``lately`` takes a player who has just died."""
        player = self.game.ids.get(player_id)
        world = self.harness.world
        if player is None or not (lately or world.alive(player)):
            return False
        owner = world.components(entity).get(Owner)
        if (entity, Owner) in self.game.spoiled:
            return lately
        return owner.player == player if isinstance(owner, Owner) else entity == player

    def may_see(self, player_id: int, entity: int) -> bool:
        """Whether a client may see an entity; a grid answers roughly."""
        if self.plan.policy == "everyone" or self.owns(player_id, entity, lately=True):
            return True
        player = self.game.ids.get(player_id)
        if self.plan.policy == "predicate":
            # Asked now and then only; a client that lost its player asks as somebody unknown.
            return self.plan.ask_every > 1 or player is None or self.game.sees(player, entity)
        if player is None or not self.harness.world.alive(player):
            return True
        here = self.harness.world.components(player).get(Place)
        there = self.harness.world.components(entity).get(Place)
        if here is None or there is None or self._is_lost(player) or self._is_lost(entity):
            return True
        reach = 2 * 200 * (1 + 0.1) + 20
        return abs(here.x - there.x) <= reach and abs(here.y - there.y) <= reach

    def must_see(self, player_id: int, entity: int) -> bool:
        """Whether a client must see an entity; a grid answers roughly."""
        if self.plan.policy == "everyone" or self.owns(player_id, entity):
            return True
        player = self.game.ids.get(player_id)
        if self.plan.policy == "predicate":
            return player is not None and self.game.sees(player, entity)
        there = self.harness.world.components(entity).get(Place)
        if there is None:
            return True
        if player is None or not self.harness.world.alive(player):
            return False
        here = self.harness.world.components(player).get(Place)
        if here is None or self._is_lost(player) or self._is_lost(entity):
            return False
        reach = 200 * (1 - 0.1) - 20
        return abs(here.x - there.x) <= reach and abs(here.y - there.y) <= reach

    def _is_lost(self, entity: int) -> bool:
        return (entity, Place) in self.game.spoiled

    def _check_visible(self) -> None:
        """What replication calls visible, against what the game knows."""
        world, entities = self.harness.world, self.replicator.entities
        known: dict[int, int] = {}
        for entity in [*self.game.uid_of]:
            if not world.alive(entity) or (entity, Owner) in self.game.spoiled:
                continue
            public = private = 0
            for cls in world.components(entity):
                cid = CID.get(cls)
                if cid is None or (entity, cls) in self.game.spoiled:
                    continue
                if cls in PRIVATE:
                    private |= 1 << cid
                else:
                    public |= 1 << cid
            number = self.replicator.network_id(entity)
            if not (public or private):
                continue
            if number is None:
                raise MismatchError(f"entity {entity} has no network id")
            known[number] = entity
            spoiled = sum(1 << CID[cls] for e, cls in self.game.spoiled if e == entity)
            for watcher in self.watchers:
                member = self.harness.member(watcher.client)
                assert member is not None
                assert member.client_state is not None
                own = self.owns(member.seat.player_id, entity)
                bits = self.replicator.visible(member.client_state).get(number, 0) & ~spoiled
                want = public | (private if own else 0)
                if bits and bits != want:
                    raise MismatchError(
                        f"{watcher.seat.name}: entity {number}: {bits:b}, not {want:b}"
                    )
                if want and not bits and self.must_see(member.seat.player_id, entity):
                    raise MismatchError(f"{watcher.seat.name} does not see entity {number}")
                if bits and not self.may_see(member.seat.player_id, entity):
                    raise MismatchError(f"{watcher.seat.name} sees entity {number}, and may not")
        if len(entities.by_net) > len(known) + 1_000:
            raise MismatchError(f"{len(entities.by_net)} entities remembered, {len(known)} there")

    def _check_quiet(self) -> None:
        for watcher in self.watchers:
            member = self.harness.member(watcher.client)
            assert member is not None
            assert member.client_state is not None
            peer, store = member.peer, watcher.store
            assert store is not None
            left = {
                "owed": len(member.client_state.owed),
                "in flight": peer.session.in_flight,
                "backlog": peer.backlog,
                "waiting": len(store._waiting),
                "waiting bytes": store._waiting_bytes,
                "commands": len(watcher.client._sender.outbox._runs),
            }
            if any(left.values()):
                raise MismatchError(f"{watcher.seat.name}: not quiet after all: {left}")
            behind = self.tick - store.confirmed_tick
            allowed = (self.plan.lag + self.plan.jitter + 0.6) * self.plan.tick_rate + 5
            if behind > allowed:
                raise MismatchError(
                    f"{watcher.seat.name}: confirmed_tick is {behind} ticks behind at rest"
                )

    def _check_commands(self) -> None:
        for watcher in self.watchers:
            member = self.harness.member(watcher.client)
            assert member is not None
            inbox, outbox = member.seat.inbox, watcher.client._sender.outbox
            if outbox.expired:  # it never does so much at a time
                raise MismatchError(f"{watcher.seat.name}: {outbox.expired} expired at home")
            done = inbox.applied + inbox.expired + inbox.superseded
            if outbox.sent != done:
                raise MismatchError(
                    f"{watcher.seat.name}: {outbox.sent} commands sent, but {inbox.applied} applied"
                    f" + {inbox.expired} expired + {inbox.superseded} superseded"
                )
            rejected = self.harness.simulation.rejected[member.seat.player_id]
            self.counts["commands rejected"] += rejected + inbox.rejected
            self.counts["commands applied"] += inbox.applied
            pokes = self.game.pokes.get(watcher.serial, [])
            strikes = self.game.strikes.get(watcher.serial, [])
            if sorted(set(strikes)) != strikes:
                raise MismatchError(f"{watcher.seat.name}: calls twice or out of order: {strikes}")
            if sorted(set(pokes)) != pokes:
                raise MismatchError(f"{watcher.seat.name}: actions twice or out of order: {pokes}")
            missing = watcher.poked - len(pokes) - len(strikes)
            gone = self.game.pokes_of_the_dead
            if missing > inbox.expired + rejected + gone:
                raise MismatchError(f"{watcher.seat.name}: {missing} actions never came")

    def _check_events(self) -> None:
        """Check that what was to arrive has arrived, and that the server knows it."""
        happenings = self.game.happenings
        entity_of = {number: entity for entity, number in happenings.numbers.items()}
        for watcher in self.watchers:
            due = watcher.due
            self._check_told(watcher)
            member = self.harness.member(watcher.client)
            assert member is not None
            player = entity_of.get(member.seat.player_id)
            if player is None:
                continue
            for happened in happenings.sent:
                if happened.call:
                    continue
                arrived = happened.reliable and happened.serial in due.got
                if happened.receipt.arrived(player) != arrived:
                    raise MismatchError(
                        f"{watcher.seat.name}: the receipt of event {happened.serial} says"
                        f" {not arrived}"
                    )
                self.counts["receipts checked"] += 1

    def _check_told(self, watcher: Watcher) -> None:
        """Check that a client was told of all that it was to be told."""
        due = watcher.due
        reliable = [happened for happened in due.must.values() if happened.reliable]
        self.counts["events due"] += len(reliable)
        missing = [h.serial for h in reliable if h.serial not in due.got]
        if missing:
            raise MismatchError(f"{watcher.seat.name} was never told of events {missing}")

    def _check_lobby(self) -> None:
        """Check that all read in the lobby what stands in the server's world, and no more."""
        if self.plan.late is None:
            return
        world = self.harness.world
        ((_, state),) = world.structure(LobbyState)
        # By number: who was thrown out and came back may have left a body of the same name.
        said = {}
        for watcher in self.watchers:
            member = self.harness.member(watcher.client)
            assert member is not None
            assert member.seat is not None
            said[member.seat.player_id] = watcher.infos[-1]
        true = {}
        for entity, who in world.structure(Player):
            each = world.components(entity).get(LobbyPlayer)
            if isinstance(each, LobbyPlayer) and isinstance(who, Player):
                true[who.id] = who.name, each.ready, each.plays, each.values()
                self.counts["infos compared"] += bool(each.info)
                if each.values() != said.get(who.id, each.values()):
                    raise MismatchError(
                        f"{who.name} told the lobby {said[who.id]}, and there it is {each.values()}"
                    )
        for watcher in self.watchers:
            lobby = watcher.client.lobby
            if lobby is None and self.plan.policy != "everyone":
                continue  # it may not see the entity of the lobby
            assert lobby is not None
            self.counts["lobbies compared"] += 1
            shown = [(each.name, each.ready, each.plays, each.info) for each in lobby.players]
            if (lobby.phase, lobby.match) != (state.phase, state.match):
                raise MismatchError(f"{watcher.seat.name} reads {lobby} where {state} stands")
            if self.plan.policy == "everyone" and shown != [p for _, p in sorted(true.items())]:
                raise MismatchError(f"{watcher.seat.name} reads {shown} where {true} stands")

    def _check_promptness(self) -> None:
        """Check that a lost datagram delays what rides along by a tick, and not by a round trip."""
        for watcher in self.watchers:
            if watcher.prompt >= 50 and watcher.late > watcher.prompt * 0.03:
                raise MismatchError(
                    f"{watcher.seat.name}: {watcher.late} of {watcher.prompt} structural updates"
                    " came late"
                )

    def _check_bounds(self) -> None:
        """Nothing grows without end, and nobody was misunderstood."""
        for watcher in list(self.vanished):
            if self.harness.member(watcher.client) is None:
                self.vanished.remove(watcher)
                self.counts["timeouts"] += 1
        for watcher in self.watchers:
            member = self.harness.member(watcher.client)
            client, store = watcher.client, watcher.store
            if member is None or member.client_state is None or store is None:
                continue
            client_state, peer = member.client_state, member.peer
            place = client_state.group_key
            if self._places.setdefault(client_state, place) != place:
                self.counts["interest changes"] += 1
                self._places[client_state] = place
            bounds = {
                "owed": (len(client_state.owed), 400),
                "known": (len(client_state.known), 600),
                "waiting": (store._waiting_bytes, store._waiting_limit),
                "in flight": (peer.session.in_flight, 4_000),
                "remembered packets": (len(peer.session._gone), 8_000),
                "backlog": (peer.backlog, 4 << 20),
                "pings": (len(peer.session._pings), 128),
                "pings of the client": (len(client._connection.peer.session._pings), 128),
                "commands": (len(client._sender.outbox._runs), UNACKED_FRAMES + 1),
                "in flight of the client": (client._connection.peer.session.in_flight, 4_000),
            }
            for name, (found, limit) in bounds.items():
                if found > limit:
                    raise MismatchError(f"{watcher.seat.name}: {found} {name}, more than {limit}")
            prediction = client._protocol.prediction
            if prediction is not None and not prediction.running and not client.closed:
                raise MismatchError(f"{watcher.seat.name} has given up to predict")
            misread = {
                "updates": client._protocol._format.update.rejected,
                "messages": client._protocol._messages.rejected,
                "dropped": store.dropped,
                "broken": client._view.conversion.broken,
                "server session": peer.session.malformed
                + peer.session.bad_acks
                + peer.bad_fragments,
                "client session": client._connection.peer.session.malformed
                + client._connection.peer.session.bad_acks
                + client._connection.peer.bad_fragments,
                "strikes": peer.session.budget.strikes
                + client._connection.peer.session.budget.strikes,
                "excess": peer.session.budget.excess,
                "longest": max(watcher.seat.end.longest - MAX_DATAGRAM, 0),
            }
            if any(misread.values()):
                raise MismatchError(f"{watcher.seat.name}: misunderstood: {misread}")

    def _everybody_leaves(self) -> None:
        """And nothing is left of them, nor of a world that is cleared."""
        harness = self.harness
        for watcher in self.watchers:
            if self.dice.random() < 0.5:
                harness.leave(watcher.client)
            else:
                harness.vanish(watcher.client)
            self._count_link(watcher)
        self.watchers.clear()
        harness.step()
        with harness.world:
            esper.clear_database()
        harness.run(LEFT_SECONDS)
        self.sent_now.clear()
        left = grown(self._empty | Counter(REMEMBERED), holdings(harness.host))
        if left:
            raise MismatchError(f"all have left, and this is still held: {left}")
        self.counts["left alone"] += 1

    def _check_confirmed(self) -> None:
        """Up to its confirmed tick a client has everything."""
        changed_at = [
            {entity.net: tick for entity, tick in detector.ticks().items()}
            for detector in self.replicator.entities.detectors
        ]
        for watcher in self.watchers:
            store = watcher.store
            member = self.harness.member(watcher.client)
            if store is None or member is None or member.client_state is None:
                continue
            confirmed_tick = store.confirmed_tick
            self.counts["confirmed checked"] += 1
            for number, record in store.entities.items():
                if number in store._departing:  # it is told that this went
                    continue
                for cid, tick in record.ticks.items():
                    changed = changed_at[cid].get(number, -1)
                    if tick < changed <= confirmed_tick and number in member.client_state.known:
                        raise MismatchError(
                            f"{watcher.seat.name}: confirmed up to tick {confirmed_tick}, but"
                            f" entity {number} {SCHEMA.components[cid].name} is of tick {tick}, not"
                            f" {changed}"
                        )
