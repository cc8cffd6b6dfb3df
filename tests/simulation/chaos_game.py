"""The game that a soak plays: types, what a seed makes of them, and a system that does everything.

Random entities come, go, change their components, owners and places, hold values that cannot be
sent, and are all lost at once. `Plan.of` says how much of what happens in a seed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Annotated
from weakref import WeakValueDictionary

import esper
from chaos_events import HAPPENED, Happenings
from chaos_flight import FLOWN, REGISTRY, SHOT_TICKS, Course, Flight, Shot
from chaos_lobby import GATHERED, Matches

import ecsnet as net
from ecsnet.components import Owner, Player
from ecsnet.replication.client.store import WAITING_BYTES
from ecsnet.replication.sizes import ENTITY_BYTES
from ecsnet.schema import encode
from ecsnet.simulation.lobby import Late
from ecsnet.simulation.simulation import running_now
from ecsnet.testing import use_registry

GAMES: WeakValueDictionary[str, Game] = WeakValueDictionary()
"""The games, by the names of their worlds: calls to the server run in one."""

HEARD: dict[str, list[int]] = {}
"""The serial numbers of calls that ran on clients, by the names of their views."""

with use_registry(REGISTRY):

    @net.replicated(interpolate=True, snap=60.0)
    class Place:
        x: float = 0.0
        y: float = 0.0

    @net.replicated
    class Left:
        """Always written together with Right; its tag tells whose bytes are in a datagram."""

        stamp: int = 0
        tag: str = ""

    @net.replicated
    class Right:
        stamp: int = 0

    @net.replicated
    class Angle:
        degrees: Annotated[float, net.Quantized(0.5)] = 0.0

    @net.replicated
    class Health:
        hp: int = 100

        @net.rpc("server")
        def strike(self, number: int) -> None:
            GAMES[esper.current_world].struck(net.entity_of(self), number)

        @net.rpc("owner")
        def hear(self, serial: int) -> None:
            HEARD.setdefault(esper.current_world, []).append(serial)

        @net.rpc("all")
        def cry(self, serial: int) -> None:
            HEARD.setdefault(esper.current_world, []).append(serial)

    @net.replicated
    class Bag:
        items: list[int] = []

    @net.replicated
    class Blob:
        data: bytes = b""

    @net.replicated
    class Spot:
        """Of immutable types, and given lists and bytearrays now and then."""

        at: tuple[float, float] = (0.0, 0.0)
        mark: bytes = b""

    @net.replicated
    class Target:
        entity: net.EntityRef = None

    @net.replicated(once=True)
    class Kind:
        number: int = 0

    @net.replicated(rate=5)
    class Slow:
        number: int = 0

    @net.replicated(rate=3)
    class Log:
        lines: list[str] = []

    @net.replicated(visible_to="owner")
    class Secret:
        tag: str = ""
        number: int = 0

    @net.replicated(visible_to="owner", once=True)
    class Deed:
        number: int = 0

    @net.replicated(visible_to="owner", rate=4)
    class Purse:
        coins: dict[str, int] = {}

    @net.replicated(visible_to="server")
    class Ledger:
        tag: str = ""

    @net.command(hold=True)
    class Steer:
        dx: Annotated[int, net.Between(-1, 1)] = 0
        dy: Annotated[int, net.Between(-1, 1)] = 0

    @net.command
    class Poke:
        number: int = 0
        target: net.EntityRef = None

    @net.event
    class Boom:
        serial: int
        entity: net.EntityRef = None

    @net.event
    class Story:
        serial: int
        entity: net.EntityRef = None
        lines: list[str] = []


SCHEMA = REGISTRY.schema()
CID = {kind.cls: cid for cid, kind in enumerate(SCHEMA.components)}
PRIVATE = (Secret, Deed, Purse)
OPTIONAL = (Angle, Health, Bag, Blob, Spot, Target, Kind, Slow, Log, Secret, Deed, Purse, Ledger)
SPOILABLE = (Blob, Health, Bag, Angle, Target, Place, Owner)
TOO_LARGE = bytes(ENTITY_BYTES)

POLICIES = ("everyone", "grid", "predicate")
PLACES = 3  # in a match
LATE: tuple[Late, ...] = ("watch", "play", "refuse")

EVENTS = (
    # What the network did.
    "dropped", "duplicated", "reordered", "corrupted", "stalled", "burst", "cut",
    # What the game did.
    "spawns", "despawns", "respawns in one tick", "inserts", "removes",
    "insert+remove in one tick", "replaced in one tick", "stripped bare", "writes",
    "writes in place", "owner changes", "cell moves", "interest changes", "rate writes",
    "once writes", "owner-only writes", "quantised writes", "writes below a step",
    "references written", "larger than a datagram", "clear_database", "bad values",
    "bad values healed", "values too large", "writes in place of the immutable",
    "player entities killed", "tick without update",
    # What the clients did.
    "joins", "leaves", "vanishes", "timeouts", "held commands", "actions", "actions on owned",
    "commands rejected", "commands applied", "spawned", "despawned", "hidden", "inserted",
    "removed", "changed", "view damaged", "sprites made", "sprites removed",
    "callbacks that raise", "callbacks that delete", "callbacks that clear",
    "callbacks that switch worlds", "callbacks that attach", "callbacks that poll",
    "callbacks that close",
    *HAPPENED,
    *GATHERED,
    *FLOWN,
    # What replication did.
    "several datagrams a tick", "packets lost", "late acks", "owed", "over budget", "resyncs",
    "waited for structure", "sent by stream", "confirmed checked", "atomic checked",
    "promptness checked", "markers checked", "policy everyone", "policy grid", "policy predicate",
    "kept last good", "values compared", "clients compared",
)  # fmt: skip
"""Everything that must happen in a soak."""


@dataclass(frozen=True)
class Plan:
    """What one seed does. `Plan.of` rolls the dice; tests replace single fields."""

    seed: int
    ticks: int
    policy: str = "everyone"
    tick_rate: int = 60
    every: int = 1
    clients: int = 3
    entities: int = 100
    loss: float = 0.0
    duplicate: float = 0.0
    corrupt: float = 0.0
    burst: float = 0.0
    lag: float = 0.02
    jitter: float = 0.01
    stalls: float = 0.0
    cuts: float = 0.0
    bandwidth: float = 256 * 1024
    waiting_bytes: int = WAITING_BYTES
    busy: float = 0.12
    operations: float = 2.0
    blobs: float = 0.02
    spoils: float = 0.02
    clears: float = 0.0
    comings: float = 0.004
    ask_every: int = 1
    damage: float = 0.002
    mischief: float = 0.01
    events: float = 0.3
    kicks: float = 0.0
    late: Late | None = None
    """The choice for those who come late, of a game with a lobby; None for one without."""
    smooth: float = 0.0
    """The share of clients that draw between values and run ahead; without any, no system is
    shared."""

    @property
    def lossless(self) -> bool:
        """Whether nothing gets lost, so that what changed together must be seen together."""
        return not (self.loss or self.corrupt or self.burst or self.cuts)

    @property
    def calm(self) -> bool:
        """Whether small structural updates must arrive promptly."""
        return (
            self.loss <= 0.12
            and not (self.burst or self.cuts or self.stalls or self.comings or self.blobs)
            and not self.clears
            and self.policy == "everyone"
        )

    @property
    def steady(self) -> bool:
        """Whether commands come in time, so that what they make is as predicted."""
        return self.lossless and not (
            self.jitter or self.stalls or self.clears or self.comings or self.every > 1
        )

    @classmethod
    def of(cls, seed: int, ticks: int) -> Plan:
        """The plan of a seed."""
        dice = Random(f"plan {seed}")
        pick = dice.choice
        kind = seed % 8
        plan = cls(
            seed,
            ticks,
            policy=POLICIES[seed % 3],
            tick_rate=pick([60, 60, 60, 64, 30, 20]),
            every=pick([1, 1, 2, 3]),
            clients=pick([2, 2, 2, 3, 3, 3, 4, 4, 5, 6]),
            entities=round(dice.triangular(50, 300, 60)),
            loss=pick([0.01, 0.05, 0.1, 0.2, 0.3, 0.5]),
            duplicate=pick([0.0, 0.02, 0.1]),
            corrupt=pick([0.0, 0.01, 0.05]),
            burst=pick([0.0, 0.0, 0.002]),
            lag=pick([0.0, 0.01, 0.05, 0.15]),
            jitter=pick([0.0, 0.005, 0.03, 0.1]),
            stalls=pick([0.0, 0.0, 0.003]),
            cuts=pick([0.0, 0.0, 0.002]),
            bandwidth=pick([24_000, 48_000, 96_000, 256 * 1024]),
            waiting_bytes=pick([WAITING_BYTES, WAITING_BYTES, 3_000]),
            busy=pick([0.02, 0.05, 0.1, 0.2]),
            operations=pick([0.5, 1.0, 2.0, 4.0]),
            blobs=pick([0.0, 0.002, 0.01]),
            spoils=pick([0.0, 0.02, 0.05]),
            clears=pick([0.0, 0.0, 0.001]),
            ask_every=pick([1, 1, 3]),
            kicks=pick([0.0, 0.002, 0.01]),
            late=LATE[seed // 8 % 3] if kind in (1, 3) else None,
            # Dice of their own: seeds without smooth clients are what they were before.
            smooth=Random(f"smooth {seed}").choice([0.0, 0.0, 0.5, 1.0]),
        )
        if plan.late is not None:  # somebody comes late
            plan = replace(plan, comings=0.01)
        if plan.waiting_bytes < WAITING_BYTES:
            # A resync is the whole world at once; with such a bound it must not have to wait for
            # an entity that is streamed.
            plan = replace(plan, blobs=0.0)
        if kind == 5:
            # More changes in a tick than fit one datagram, or nothing could be seen apart.
            plan = replace(
                plan, loss=0.0, corrupt=0.0, burst=0.0, cuts=0.0,
                busy=max(plan.busy, 0.2), entities=max(plan.entities, 150),
            )  # fmt: skip
        if kind == 6:
            plan = replace(
                plan, policy="everyone", loss=0.08, burst=0.0, cuts=0.0, stalls=0.0, comings=0.0,
                blobs=0.0, clears=0.0, kicks=0.0, bandwidth=256 * 1024, jitter=0.005, entities=60,
                every=1, waiting_bytes=WAITING_BYTES, operations=1.0, tick_rate=60,
            )  # fmt: skip
        return plan


class Game:
    """The server's side: a system that does random things to random entities."""

    def __init__(self, plan: Plan, counts: Counter[str]) -> None:
        self.plan = plan
        self.counts = counts
        self.paused = False
        self.tick = 0
        self.things: list[int] = []
        self.uid_of: dict[int, int] = {}
        self.entity_of: dict[int, int] = {}
        self.group: dict[int, int] = {}
        self.mask: dict[int, int] = {}
        self.players: list[int] = []  # esper entities of those in the game since the last clear
        self.ids: dict[int, int] = {}  # player number to esper entity, likewise
        self.good: dict[tuple[int, type], bytes] = {}
        self.spoiled: dict[tuple[int, type], object] = {}
        self.pokes: dict[int, list[int]] = {}
        self.pokes_of_the_dead = 0
        self.strikes: dict[int, list[int]] = {}
        self.names: dict[int, str] = {}
        self.doomed: dict[int, tuple[int, str]] = {}  # who is thrown out: the tick, the text
        self.thrown: dict[str, tuple[int, str]] = {}  # the same of those who were, by name
        self.called: dict[int, str] = {}  # the names of clients, by the numbers in what they do
        self.matches = Matches(self, counts)
        self.reference: Callable[[int | None], int | None] = lambda entity: None
        self.happenings = Happenings(self.boom, Story, counts)
        self._uid = 0
        self._stamp = 0
        self.server = self._spec()

    def _spec(self) -> net.ServerWorld:
        plan = self.plan
        with use_registry(REGISTRY):
            server = net.ServerWorld(
                plan.tick_rate,
                update_rate=plan.tick_rate / plan.every,
                max_clients=12,
                interest=self._interest(),
                seed=plan.seed,
                timeout=4.0,
                bandwidth=plan.bandwidth,
                lobby=None if plan.late is None else net.Lobby((1, PLACES), 0.2, plan.late),
            )
        server.on_start(self._start)
        server.on_join(self._join)
        server.on_leave(self._leave)
        if plan.late is not None:
            server.on_play(self.matches.begin)
        server.add_system(self, priority=0, always=True)
        if plan.smooth:
            server.add_system(Flight, priority=1, shared=True)
            server.add_system(self.look_at_shots, priority=0.5)
        return server

    def _interest(self) -> net.Interest:
        if self.plan.policy == "grid":
            return net.Grid(Place, 200.0)
        if self.plan.policy == "predicate":
            return net.Visible(self.sees, every=self.plan.ask_every)
        return net.Everyone()

    def sees(self, player: int, entity: int) -> bool:
        return bool(self.mask.get(player, 1) & self.group.get(entity, 1))

    # Hooks.

    def _start(self) -> None:
        GAMES[esper.current_world] = self
        for _ in range(self.plan.entities):
            self.spawn(net.rng())

    def _join(self, player: int) -> None:
        dice = net.rng()
        who = esper.component_for_entity(player, Player)
        number = who.id
        self.names[number] = who.name
        self.ids[number] = player
        self.matches.join(player)
        self.players.append(player)
        self.happenings.numbers[player] = number
        self.mask[player] = 3
        self.name(player)
        self._add(player, Place(dice.uniform(0, 1000), dice.uniform(0, 1000)))
        self._twins(player)
        if self.plan.smooth:
            self._add(player, self.make(Course, player, dice))
        if dice.random() < 0.7:
            self._add(player, self.make(Secret, player, dice))
        if self.plan.events:
            self.happenings.emit("events in a hook", player, to=player)
            self.happenings.emit("events in a hook", player)

    def _leave(self, player: int, reason: str) -> object:
        number = next((n for n, e in self.ids.items() if e == player), None)
        if number is not None:
            tick, _ = self.doomed.pop(number, (0, ""))
            if (reason == "kicked") != (tick == net.tick() - 1 > 0):
                raise AssertionError(f"{self.names[number]}, thrown out in {tick}, left: {reason}")
            del self.ids[number]
            self.players.remove(player)
            del self.happenings.numbers[player]
        if self.plan.events:
            self.happenings.emit("events in a hook", player, to=player)
            self.happenings.emit("events in a hook", player)
        return net.KEEP if net.rng().random() < 0.3 else None

    def struck(self, entity: int, number: int) -> None:
        """Note a call of a client's, which may only be for what its player owns."""
        owner = esper.try_component(entity, Owner)
        named = self.happenings.numbers.get(entity if owner is None else owner.player)
        name = self.names.get(named or 0, "nobody")
        if name != self.called[number >> 32]:
            raise AssertionError(f"{self.called[number >> 32]} called what {name} owns")
        self.matches.call()
        self.strikes.setdefault(number >> 32, []).append(number)
        self.counts["calls run on the server"] += 1

    def look_at_shots(self, dt: float) -> None:
        """Count what the shared system, which also runs elsewhere, has just made here."""
        fresh = [shot for _, shot in esper.get_component(Shot) if shot.left == SHOT_TICKS - 1]
        self.counts["shots fired"] += len(fresh)

    def boom(self, serial: int, entity: int | None) -> Boom:
        return Boom(serial, entity)

    # Entities.

    def name(self, entity: int) -> None:
        self._uid += 1
        self.uid_of[entity] = self._uid
        self.entity_of[self._uid] = entity

    def mark(self, letter: str, entity: int) -> str:
        self._stamp += 1
        return f"@{letter}{self.uid_of[entity]}.{self._stamp};"

    def make(self, cls: type, entity: int, dice: Random) -> object:
        if cls is Secret:
            return Secret(self.mark("s", entity))
        if cls is Ledger:
            return Ledger(self.mark("h", entity))
        if cls is Kind:
            return Kind(dice.randrange(1000))
        if cls is Deed:
            return Deed(dice.randrange(1000))
        if cls is Purse:
            return Purse({"gold": dice.randrange(9)})
        if cls is Target:
            return Target(dice.choice(self.things) if self.things else None)
        if cls is Angle:
            return Angle(dice.uniform(0, 360))
        if cls is Owner:
            return Owner(dice.choice(self.players) if self.players else None)
        if cls is Course:
            return Course(dice.uniform(0, 1000), dice.uniform(0, 1000), dice.uniform(0, 360))
        return cls()

    def spawn(self, dice: Random) -> int:
        entity = esper.create_entity()
        self.name(entity)
        self.things.append(entity)
        if dice.random() < 0.92:
            self._add(entity, Place(dice.uniform(0, 1000), dice.uniform(0, 1000)))
        for cls in (*OPTIONAL, Course) if self.plan.smooth else OPTIONAL:
            if dice.random() < 0.2:
                self._add(entity, self.make(cls, entity, dice))
        if dice.random() < 0.3:
            self._add(entity, self.make(Owner, entity, dice))
        if self.plan.policy == "predicate":
            self.group[entity] = dice.choice([1, 2, 3, 0])
        self._twins(entity)
        self.counts["spawns"] += 1
        if dice.random() < self.plan.events / 2:
            self.happenings.emit("events about the newborn", entity, about=entity)
        return entity

    def despawn(self, entity: int, dice: Random) -> None:
        told = dice.random() < 2 * self.plan.events
        before = dice.random() < 0.5
        if told and before:
            self._tell_death(entity)
        # Straight out of esper's tables, or left to be flushed: games do both.
        esper.delete_entity(entity, immediate=dice.random() < 0.5)
        self.forget(entity)
        if told and not before:
            self._tell_death(entity)
        self.counts["despawns"] += 1

    def _tell_death(self, entity: int) -> None:
        self.happenings.emit("events about the dead", entity, about=entity, died=True)

    def forget(self, entity: int) -> None:
        uid = self.uid_of.pop(entity, None)
        if uid is not None:
            del self.entity_of[uid]
        self.group.pop(entity, None)
        for key in [key for key in self.spoiled if key[0] == entity]:
            self._unspoil(*key)

    def _add(self, entity: int, component: object) -> None:
        self._unspoil(entity, type(component))
        esper.add_component(entity, component)

    def _remove(self, entity: int, cls: type) -> None:
        self._unspoil(entity, cls)
        esper.remove_component(entity, cls)

    def _unspoil(self, entity: int, cls: type) -> None:
        self.spoiled.pop((entity, cls), None)
        self.good.pop((entity, cls), None)

    def _twins(self, entity: int) -> None:
        self._stamp += 1
        stamp, tag = self._stamp, self.mark("p", entity)
        left = esper.try_component(entity, Left)
        if left is None:
            esper.add_component(entity, Left(stamp, tag))
            esper.add_component(entity, Right(stamp))
            return
        left.stamp, left.tag = stamp, tag
        esper.component_for_entity(entity, Right).stamp = stamp
        self.counts["writes"] += 2

    # The system.

    def process(self, dt: float) -> None:
        self.tick = net.tick()
        self._commands(dt)
        self.matches.process(net.rng())
        late = [number for number, (tick, _) in self.doomed.items() if tick < self.tick]
        if late:
            raise AssertionError(f"players {late} were thrown out, and are still there")
        if self.paused:
            return
        dice, plan, counts = net.rng(), self.plan, self.counts
        if self.tick % plan.every:
            counts["tick without update"] += 1
        if dice.random() < plan.clears:
            self._clear(dice)
        alive = esper.entity_exists
        self.things = [e for e in self.things if alive(e)]
        # First of all, and only in ticks after an update: what is spoiled was sent just before.
        if (
            plan.spoils
            and self.things
            and (self.tick - 1) % plan.every == 0
            and dice.random() < plan.spoils
        ):
            self._spoil(dice)
        operations = int(plan.operations + dice.random() * plan.operations)
        for _ in range(operations):
            self._operate(dice)
        self._write(dice)
        if dice.random() < plan.events and self.things:
            # What is large holds up what comes behind it.
            most = 60 if plan.calm else 12_000
            self.happenings.happen(dice, self.things, self.players, most)
            entity, health = dice.choice(esper.get_component(Health) or [(0, None)])
            if health is not None and alive(entity):
                owner = dice.random() < 0.5
                method = health.hear if owner else health.cry
                self.happenings.call(method, entity, owner=owner)
        if dice.random() < plan.kicks:
            self._kick(dice)

    def _kick(self, dice: Random) -> None:
        """Throw a player out; last of all, so that nothing else befalls it in this tick."""
        players = [(n, e) for n, e in self.ids.items() if esper.entity_exists(e)]
        if not players:
            return
        number, player = dice.choice(players)
        text = f"out {self.names[number]} in {self.tick}" + "!" * dice.choice([0, 20, 150])
        net.kick(player, text)
        self.doomed[number] = self.thrown[self.names[number]] = self.tick, text
        self.counts["kicks"] += 1

    def _clear(self, dice: Random) -> None:
        self.counts["clear_database"] += 1
        esper.clear_database()
        for table in (self.uid_of, self.entity_of, self.group, self.mask, self.good, self.spoiled):
            table.clear()
        self.things.clear()
        self.players.clear()
        self.ids.clear()
        self.happenings.clear()
        self.doomed.clear()
        self.matches.clear()
        # As many as at the start: esper's next ids are those that players had before.
        for _ in range(self.plan.entities // dice.choice([1, 2])):
            self.spawn(dice)

    def _operate(self, dice: Random) -> None:
        counts, things = self.counts, self.things
        roll = dice.random()
        if len(things) < self.plan.entities * 0.6 or roll < 0.1:
            if len(things) < min(300, self.plan.entities * 1.3):
                self.spawn(dice)
            return
        if roll < 0.2:
            self.despawn(things.pop(dice.randrange(len(things))), dice)
            return
        if roll < 0.25:
            self.despawn(things.pop(dice.randrange(len(things))), dice)
            self.spawn(dice)
            counts["respawns in one tick"] += 1
            return
        if roll < 0.255 and self.players:
            player = dice.choice(self.players)
            if esper.entity_exists(player):
                self.despawn(player, dice)
                counts["player entities killed"] += 1
            return
        entity = dice.choice(things)
        if roll < 0.33:
            self._change_owner(entity, dice)
        elif roll < 0.36:
            self._strip(entity, dice)
        elif roll < 0.42:
            self._teleport(entity, dice)
        elif roll < 0.46:
            self._change_interest(entity, dice)
        else:
            self._change_component(entity, dice.choice(OPTIONAL), roll, dice)

    def _change_component(self, entity: int, cls: type, roll: float, dice: Random) -> None:
        counts = self.counts
        present = esper.has_component(entity, cls)
        if roll < 0.6:
            if present:
                self._remove(entity, cls)
                counts["removes"] += 1
            else:
                self._add(entity, self.make(cls, entity, dice))
                counts["inserts"] += 1
        elif present and roll < 0.8:
            self._remove(entity, cls)
            self._add(entity, self.make(cls, entity, dice))
            counts["insert+remove in one tick"] += 1
        elif present:
            self._add(entity, self.make(cls, entity, dice))
            counts["replaced in one tick"] += 1
        else:
            self._add(entity, self.make(cls, entity, dice))
            self._remove(entity, cls)
            counts["insert+remove in one tick"] += 1

    def _change_owner(self, entity: int, dice: Random) -> None:
        self.counts["owner changes"] += 1
        owner = esper.try_component(entity, Owner)
        if owner is None:
            self._add(entity, self.make(Owner, entity, dice))
        elif dice.random() < 0.3:
            self._remove(entity, Owner)
        else:
            self._unspoil(entity, Owner)
            owner.player = dice.choice([None, *self.players])

    def _strip(self, entity: int, dice: Random) -> None:
        """Take everything off an entity, and perhaps dress it again at once."""
        for component in esper.components_for_entity(entity):
            self._remove(entity, type(component))
        self.counts["stripped bare"] += 1
        if dice.random() < 0.5:
            self._twins(entity)
            self._add(entity, Place(dice.uniform(0, 1000), dice.uniform(0, 1000)))

    def _teleport(self, entity: int, dice: Random) -> None:
        if self.players and dice.random() < 0.3:
            entity = dice.choice(self.players)
            self.counts["interest changes"] += 1
        place = esper.try_component(entity, Place) if esper.entity_exists(entity) else None
        if place is not None:
            self._unspoil(entity, Place)
            place.x, place.y = dice.uniform(0, 1000), dice.uniform(0, 1000)
            self.counts["cell moves"] += 1
            if self.plan.smooth and dice.random() < 0.5:
                net.teleported(entity)
                self.counts["jumps told"] += 1

    def _change_interest(self, entity: int, dice: Random) -> None:
        if self.plan.policy != "predicate":
            self._teleport(entity, dice)
            return
        self.counts["interest changes"] += 1
        if self.players and dice.random() < 0.3:
            self.mask[dice.choice(self.players)] = dice.choice([0, 1, 2, 3])
        else:
            self.group[entity] = dice.choice([0, 1, 2, 3])

    def _write(self, dice: Random) -> None:
        """Ordinary writes: a share of all entities changes in each tick."""
        things, counts = self.things, self.counts
        if not things:
            return
        components = esper.components_for_entity
        for _ in range(max(1, int(len(things) * self.plan.busy))):
            entity = things[int(dice.random() * len(things))]
            twins = False
            for component in components(entity):
                roll = dice.random()
                cls = type(component)
                if cls is Left:
                    twins = roll < 0.6
                elif cls is Place:
                    if (entity, cls) in self.spoiled:
                        self._write_one(entity, cls, component, dice)
                    elif roll < 0.7:
                        component.x += dice.uniform(-20, 20)
                        component.y += dice.uniform(-20, 20)
                        counts["writes"] += 1
                elif roll < 0.4 and cls not in (Right, Player):
                    self._write_one(entity, cls, component, dice)
            if twins:
                self._twins(entity)
        if self.players and dice.random() < 0.2:
            player = dice.choice(self.players)
            if esper.entity_exists(player):
                self._twins(player)
                secret = esper.try_component(player, Secret)
                if secret is not None:
                    self._write_one(player, Secret, secret, dice)

    def _write_one(self, entity: int, cls: type, component: object, dice: Random) -> None:
        counts = self.counts
        key = (entity, cls)
        if key in self.spoiled:
            if dice.random() < 0.3:
                self._heal(key, component, dice)
            return
        counts["writes"] += 1
        if cls is Angle:
            small = dice.random() < 0.5
            component.degrees += dice.uniform(-0.1, 0.1) if small else dice.uniform(-9, 9)
            counts["quantised writes"] += 1
            counts["writes below a step"] += small
        elif cls is Health:
            component.hp = dice.randrange(100)
        elif cls is Bag:
            component.items.append(dice.randrange(1 << dice.randrange(1, 40)))
            del component.items[:-6]
            counts["writes in place"] += 1
        elif cls is Blob:
            if dice.random() < self.plan.blobs * 5:
                size = dice.choice([5, 300, 1200, 3000])
                component.data = dice.randbytes(4) * (size // 4)
                counts["larger than a datagram"] += size > 1180
        elif cls is Spot:
            self._write_spot(component, dice)
        elif cls is Target:
            component.entity = dice.choice([None, *self.players, *dice.sample(self.things, 1)])
            counts["references written"] += 1
        elif cls is Kind or cls is Deed:
            component.number = dice.randrange(1000)
            counts["once writes"] += 1
        elif cls is Slow:
            component.number = dice.randrange(5)
            counts["rate writes"] += 1
        elif cls is Log:
            component.lines.append(dice.choice("abcdefgh") * 3)
            del component.lines[:-4]
            counts["rate writes"] += 1
            counts["writes in place"] += 1
        elif cls is Secret:
            component.tag = self.mark("s", entity)
            component.number += 1
            counts["owner-only writes"] += 1
        elif cls is Purse:
            component.coins[dice.choice(["gold", "silver"])] = dice.randrange(9)
            counts["owner-only writes"] += 1
        elif cls is Ledger:
            component.tag = self.mark("h", entity)
        elif cls is Course:
            component.x += dice.uniform(-20, 20)
            component.degrees = (component.degrees + dice.uniform(-30, 30)) % 360
            self.counts["pushed by the server"] += esper.has_component(entity, Owner)
        elif cls is Owner and dice.random() < 0.1:
            component.player = dice.choice([None, *self.players])
            counts["owner changes"] += 1

    def _write_spot(self, spot: Spot, dice: Random) -> None:
        if isinstance(spot.at, list) and dice.random() < 0.8:
            spot.at[dice.randrange(2)] = dice.uniform(0, 100)
            spot.mark.append(dice.randrange(256))
            del spot.mark[:-4]
            self.counts["writes in place of the immutable"] += 1
        elif dice.random() < 0.5:
            spot.at, spot.mark = [0.0, dice.random()], bytearray(b"-")  # type: ignore[assignment]
        else:
            spot.at, spot.mark = (dice.random(), 0.0), b"+"

    # Rule 5.

    def _spoil(self, dice: Random) -> None:
        entity = dice.choice(self.things)
        for cls in SPOILABLE:
            component = esper.try_component(entity, cls)
            key = (entity, cls)
            if component is None or key in self.spoiled:
                continue
            referred = component.entity if cls is Target else None
            if referred is not None and not esper.entity_exists(referred):
                continue  # what died in the last update's tick was named in it, and is None now
            kind = cls.__ecsnet__
            if self.reference(entity) is not None:
                self.good[key] = encode(kind.to_wire(component, self.reference))
            self.spoiled[key] = component
            self.counts["bad values"] += 1
            if cls is Blob:
                component.data = TOO_LARGE
                self.counts["values too large"] += 1
            elif cls is Health:
                component.hp = dice.choice([0.5, "dead", 1 << 70, None])
            elif cls is Bag:
                component.items.append(dice.choice(["x", 1.5, None, [1]]))
            elif cls is Angle:
                component.degrees = dice.choice(["north", None, (1,)])
            elif cls is Target:
                component.entity = dice.choice(["nobody", 2.5, [1]])
            elif cls is Place:
                component.x = dice.choice(["here", None, [1]])
            else:
                component.player = dice.choice(["me", [1]])
            return

    def _heal(self, key: tuple[int, type], component: object, dice: Random) -> None:
        self._unspoil(*key)
        self.counts["bad values healed"] += 1
        if key[1] is Blob:
            component.data = dice.randbytes(4)
        elif key[1] is Health:
            component.hp = 7
        elif key[1] is Bag:
            component.items = [dice.randrange(9)]
        elif key[1] is Angle:
            component.degrees = 45.0
        elif key[1] is Target:
            component.entity = None
        elif key[1] is Place:
            component.x = dice.uniform(0, 1000)
        else:
            component.player = None

    # What players do.

    def _commands(self, dt: float) -> None:
        for player, steer in net.commands(Steer):
            place = esper.try_component(player, Place)
            if place is not None and not self.paused and (player, Place) not in self.spoiled:
                place.x = (place.x + steer.dx * 300 * dt) % 1000
                place.y = (place.y + steer.dy * 300 * dt) % 1000
        simulation = running_now()
        assert simulation is not None
        pokes = net.commands(Poke)
        # A shot that has just gone of itself takes along what was for it.
        came = {kind.cls: count for kind, count in simulation.taken()}
        self.pokes_of_the_dead += came.get(Poke, 0) - len(pokes)
        for _, poke in pokes:
            # Which player it was is in the number: the entity may be any that it owns.
            self.pokes.setdefault(poke.number >> 32, []).append(poke.number & 0xFFFF_FFFF)
