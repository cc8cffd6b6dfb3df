"""The events of a soak: what the game emits, and what each client has to be told of it.

`Happenings` is the game's side and notes what it emits. `Due` works out for one client which of it
must arrive, and which may, from what the client was told of the world; whom replication chose, it
does not ask.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Set
from dataclasses import dataclass, field
from random import Random

import esper

import ecsnet as net
from ecsnet.components import Owner
from ecsnet.simulation.simulation import running_now

__all__ = ["HAPPENED", "Due", "Happened", "Happenings"]

HAPPENED = (
    "events to all", "events to one", "events to several", "events but one", "events about one",
    "events about the dead", "events about the newborn", "events in a hook", "loose events",
    "events changed since", "events of many bytes", "events with a wrong value",
    "events to nobody", "events that nobody can get", "events due", "events arrived",
    "loose events arrived", "references checked", "references hidden", "deaths told",
    "bodies found", "receipts checked", "calls to the server", "calls run on the server",
    "calls to owners", "calls to all", "calls run on clients",
)  # fmt: skip
"""Everything that must happen in a soak, of events and calls."""


@dataclass
class Happened:
    """An event that the game emitted.

    Attributes:
        serial: Its number, from 1 on.
        tick: When it was emitted.
        world: How often the database had been cleared then.
        to: The numbers of the players that it is for; None for everybody.
        but: The numbers of those that it is not for.
        about: The entity that clients must see to get it.
        refers: The entity that it refers to.
        net: The network id of that entity, once it has one.
        lines: What it holds besides.
        reliable: Whether it must arrive.
        died: Whether the entity died in this tick.
        call: Whether it is a call, which runs where the client has the component.
        receipt: What `emit` returned.
    """

    serial: int
    tick: int
    world: int
    to: frozenset[int] | None
    but: frozenset[int]
    about: int | None
    refers: int | None
    net: int | None
    lines: tuple[str, ...]
    reliable: bool
    died: bool
    receipt: net.Emission
    call: bool = False


class Happenings:
    """Emits events of every kind.

    Args:
        boom: The class of an event with a serial number and a reference.
        story: The class of one with lines, too.
        counts: How often each kind happened.
    """

    def __init__(
        self, boom: Callable[..., object], story: Callable[..., object], counts: Counter[str]
    ) -> None:
        self.boom = boom
        self.story = story
        self.counts = counts
        self.sent: list[Happened] = []
        self.world = 0
        self.stale = False
        """True if network ids are of a world that was cleared since."""
        self.numbers: dict[int, int] = {}
        """The number of each player in the game, by entity."""
        self.reference: Callable[[int | None], int | None] = lambda entity: None
        self._fresh: list[Happened] = []  # since the last update

    def emit(
        self,
        what: str,
        refers: int | None = None,
        lines: list[str] | None = None,
        *,
        to: int | list[int] | None = None,
        but: int | None = None,
        about: int | None = None,
        reliable: bool = True,
        died: bool = False,
    ) -> None:
        """Emit an event with the next serial number, and note it."""
        self.counts[what] += 1
        serial = len(self.sent) + 1
        event = self.boom(serial, refers) if lines is None else self.story(serial, refers, lines)
        whom = None if to is None else self._owners([to] if isinstance(to, int) else to)
        happened = Happened(
            serial,
            net.tick(),
            self.world,
            whom,
            frozenset() if but is None else self._owners([but]),
            about,
            refers,
            None if self.stale else self.reference(refers),
            () if lines is None else tuple(lines),
            reliable,
            died,
            net.emit(event, to, but=but, about=about, reliable=reliable),
        )
        self.sent.append(happened)
        self._fresh.append(happened)

    def clear(self) -> None:
        """Note that the database was cleared."""
        self.world += 1
        self.stale = True
        self.numbers.clear()

    def replicated(self) -> None:
        """Note that an update has run: what was spawned has a network id."""
        self.stale = False
        for happened in self._fresh:
            if happened.net is None and happened.world == self.world:
                happened.net = self.reference(happened.refers)
        self._fresh.clear()

    def call(self, method: Callable[[int], None], entity: int, *, owner: bool) -> None:
        """Call a method of a component on clients, and note that."""
        self.counts["calls to owners" if owner else "calls to all"] += 1
        serial = len(self.sent) + 1
        method(serial)
        simulation = running_now()
        assert simulation is not None
        happened = Happened(
            serial,
            net.tick(),
            self.world,
            self._owners([entity]) if owner else None,
            frozenset(),
            None if owner else entity,
            entity,
            None if self.stale else self.reference(entity),
            (),
            True,
            False,
            simulation.emitted[-1],
            True,
        )
        self.sent.append(happened)
        self._fresh.append(happened)

    def _owners(self, entities: list[int]) -> frozenset[int]:
        """The numbers of the players who are one of these entities or own one."""
        players = []
        for entity in entities:
            owner = None
            if entity not in self.numbers and esper.entity_exists(entity):
                owner = esper.try_component(entity, Owner)
            players.append(entity if owner is None else owner.player)
        return frozenset(self.numbers[p] for p in players if type(p) is int and p in self.numbers)

    def happen(self, dice: Random, things: list[int], players: list[int], most: int) -> None:
        """Emit something, of so many bytes at most."""
        roll = dice.random()
        thing = dice.choice([*things, *players])
        if roll < 0.25:
            self.emit("events to all", thing)
        elif roll < 0.4:
            self.emit("events to one", thing, to=dice.choice([*players, thing]))
        elif roll < 0.47:
            self.emit("events to several", thing, to=dice.sample(things, min(5, len(things))))
        elif roll < 0.53 and players:
            self.emit("events but one", but=dice.choice(players))
        elif roll < 0.74:
            self.emit("events about one", thing, about=thing)
        elif roll < 0.84:
            self.emit("loose events", thing, reliable=False)
        elif roll < 0.94:
            lines = ["as it was"]
            self.emit("events changed since", None, lines)
            lines.append("changed since")
        elif roll < 0.96:
            size = min(most, dice.choice([300, 3_000, 12_000]))
            self.emit("events of many bytes", None, ["x" * size], but=thing)
        elif roll < 0.98:
            self.counts["events with a wrong value"] += 1
            net.emit(self.story(0, None, ["a line", 5]))
        elif roll < 0.99:
            self.emit("events to nobody", to=10**9)
        else:
            self.emit("events that nobody can get", about=10**9)


@dataclass
class Due:
    """The events of one client.

    Attributes:
        pending: Those that were emitted while its player was in the game, and no update since.
        must: Those that have to arrive, by serial number; of the loose ones, those that may.
        may: Those that may arrive.
        known: What it knew of the world after the last update; None before the first.
        ever: All that it ever knew.
        shown: Of those that refer to something: whether it knows that.
        last: The serial number of the reliable one that arrived last.
        got: Those that arrived.
        called: The serial number of the call that ran last.
    """

    pending: list[Happened] = field(default_factory=list)
    must: dict[int, Happened] = field(default_factory=dict)
    may: set[int] = field(default_factory=set)
    known: Set[int] | None = None
    ever: set[int] = field(default_factory=set)
    shown: dict[int, bool] = field(default_factory=dict)
    last: int = 0
    got: set[int] = field(default_factory=set)
    called: int = 0

    def update(self, player: int, known: Set[int] | None) -> None:
        """Take what the client knows after an update.

        Args:
            player: The number of its player.
            known: Network ids; None where it is not told of the world yet.
        """
        before, self.known = self.known, known
        if known is None:
            return
        if known is not before:
            self.ever |= known
        if before is None:
            return
        for happened in self.pending:
            self._sort(happened, player, before, known)
        self.pending.clear()

    def _sort(self, happened: Happened, player: int, before: Set[int], after: Set[int]) -> None:
        if happened.to is not None and player not in happened.to:
            return
        if player in happened.but:
            return
        knows = happened.net in before or happened.net in after
        self.shown[happened.serial] = knows
        if happened.call:
            self.may.add(happened.serial)
            return
        if happened.about is None or (knows and (happened.died or happened.net in after)):
            self.must[happened.serial] = happened
        elif knows:  # and is not to see it any more
            self.may.add(happened.serial)
