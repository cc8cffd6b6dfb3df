"""The simulation bites: with any of the rules taken out it fails, and says why.

Each fault is patched into the framework and played with a plan that gives it a chance, for a few
seeds at most. The very plan and seed that caught it then pass without the fault.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from copy import copy
from functools import cache
from itertools import count

import esper
import pytest
from chaos import Plan, Report, run
from chaos_game import Boom, Game

from ecsnet.client.protocol import ClientProtocol
from ecsnet.commands.outbox import Outbox
from ecsnet.components import LobbyInfo, LobbyPlayer, LobbyState
from ecsnet.messages.joining import Welcome
from ecsnet.peer import Peer
from ecsnet.peers import Peers
from ecsnet.prediction.predictor import Predictor
from ecsnet.replication.client.playout_buffer import PlayoutBuffer
from ecsnet.replication.client.references import References
from ecsnet.replication.client.samples import Blend, Samples
from ecsnet.replication.client.store import EntityState, Store
from ecsnet.replication.server import events, replicator
from ecsnet.replication.server.changes import (
    BytesScan,
    ChangeDetector,
    Checked,
    LossyScan,
    OnceScan,
    StructScan,
)
from ecsnet.replication.server.client_state import ClientState, InterestGroup
from ecsnet.replication.server.entities import Delta, Entity, ReplicatedEntities, Touched
from ecsnet.replication.server.events import EventWriter
from ecsnet.replication.server.owed import OwedValues
from ecsnet.replication.server.packing import Columns, EncodedRun
from ecsnet.replication.server.structure import StructureWriter
from ecsnet.replication.sizes import Sizes
from ecsnet.replication.wire import Events, Update
from ecsnet.server.host import Host
from ecsnet.session.channel import Outgoing
from ecsnet.session.goodbye import Reason
from ecsnet.session.sequence import unwrap
from ecsnet.session.session import Session
from ecsnet.simulation.simulation import Simulation
from ecsnet.systems import LobbySystem
from ecsnet.validation.names import Names

EVENT_RULE = 15
"""The number of all rules for events."""

GATHERING_RULE = 16
"""The number of all rules for kicks and lobbies."""

SMOOTH_RULE = 17
"""The number of all rules for smooth clients."""

SEEDS = 6
"""How many seeds a fault may take to be noticed."""


LOSSY = Plan(2, 300, loss=0.3, duplicate=0.1, lag=0.04, jitter=0.05, entities=60, operations=4)
FAR = Plan(3, 200, loss=0.2, lag=0.2, jitter=0.02, entities=100, busy=0.4, bandwidth=1e6)
CALM = Plan(4, 400, loss=0.08, jitter=0.005, entities=40, comings=0, blobs=0, operations=1)
TIGHT = Plan(5, 200, loss=0.05, entities=100, busy=0.3, bandwidth=12_000, blobs=0)
SPOILT = Plan(6, 150, loss=0.05, entities=60, spoils=0.4)
WHOLE = Plan(7, 150, jitter=0.04, entities=200, busy=0.5, bandwidth=1e6, operations=1)
GRID = Plan(9, 200, policy="grid", loss=0.1, jitter=0.05, entities=80, operations=8)
PLAIN = Plan(10, 200, jitter=0, lag=0, entities=60, blobs=0, operations=1, spoils=0)
CLEARED = Plan(11, 300, loss=0.1, jitter=0.05, entities=40, clears=0.02, comings=0.02)
TAKEN = Plan(
    18, 300, loss=0.1, jitter=0.05, entities=40, clears=0.01, comings=0.04, operations=1,
    blobs=0, busy=0.3,
)  # fmt: skip
IDLE = Plan(12, 200, policy="predicate", entities=80, operations=8, busy=0.01, damage=0)
BUSY = Plan(13, 150, loss=0.1, jitter=0.1, lag=0.1, entities=60, busy=0.7, bandwidth=1e6)
SHY = Plan(
    14, 200, policy="predicate", loss=0.2, jitter=0.05, entities=80, operations=16, busy=0.5,
    bandwidth=10_000, blobs=0,
)  # fmt: skip
JOINED = Plan(19, 200, jitter=0.05, entities=200, busy=0.3, operations=1, bandwidth=1e6)
KICKED = Plan(20, 200, loss=0.3, jitter=0.05, entities=40, kicks=0.05, operations=1, blobs=0)
GATHERED = Plan(
    21, 300, late="watch", comings=0.03, entities=40, operations=1, blobs=0, damage=0,
)  # fmt: skip
SMOOTH = Plan(
    22, 200, smooth=1.0, loss=0.1, jitter=0.05, lag=0.05, entities=60, operations=1, blobs=0,
    spoils=0, damage=0, mischief=0, comings=0,
)  # fmt: skip
CUT = dataclasses.replace(GATHERED, seed=23, smooth=1.0, cuts=0.01)
STEADY = dataclasses.replace(SMOOTH, loss=0.0, jitter=0.0)
NARROW = dataclasses.replace(LOSSY, waiting_bytes=1_000, blobs=0)


@dataclasses.dataclass(frozen=True)
class Fault:
    """Something that breaks a rule."""

    rule: int
    plan: Plan
    says: tuple[str, ...]
    patch: Callable[[pytest.MonkeyPatch], None]


FAULTS: list[Fault] = []


def fault(
    rule: int, plan: Plan, *says: str
) -> Callable[[Callable[[pytest.MonkeyPatch], None]], Callable[[pytest.MonkeyPatch], None]]:
    """Note a fault: the rule that it breaks, where it shows, and one of these words with it."""

    def add(patch: Callable[[pytest.MonkeyPatch], None]) -> Callable[[pytest.MonkeyPatch], None]:
        # In events a fault of another rule would show first, and say less.
        events = plan.events if rule >= EVENT_RULE else 0.0
        FAULTS.append(Fault(rule, dataclasses.replace(plan, events=events), says, patch))
        return patch

    return add


@cache
def without_fault(plan: Plan) -> Report:
    return run(plan)


def name(each: Fault) -> str:
    return f"rule {each.rule}: {each.patch.__name__}"


# What is sent is remembered until its fate is known, and nobody falls silent.


@fault(1, FAR, "not equal", "confirmed up to")
def packets_far_behind_are_forgotten(patch: pytest.MonkeyPatch) -> None:
    sent = Session._sent

    def forgetful(self: Session[object], now: float, ping: int = 0) -> None:
        sent(self, now, ping)
        self.tagged.pop(self.number - 8)

    patch.setattr(Session, "_sent", forgetful)


@fault(1, LOSSY, "not equal", "not quiet")
def silence_while_acks_are_awaited(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Peer, "due", lambda self, now: False)


@fault(2, CALM, "came late")
def small_structure_is_streamed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Outgoing, "piggybacked", lambda self: (None, 0))


@fault(3, TIGHT, "not equal", "confirmed up to")
def what_does_not_fit_is_skipped(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ClientState, "owe", lambda self, run, tick: None)


@fault(3, LOSSY, "not equal", "confirmed up to")
def what_was_lost_is_not_owed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ClientState, "lose", lambda self, tick, runs, entities: None)


@fault(3, SHY, "may not see")
def what_is_owed_is_sent_to_whoever_lost_sight_of_it(patch: pytest.MonkeyPatch) -> None:
    def all_of_it(self: ClientState, net: int, entities: ReplicatedEntities) -> int:
        entity = entities.by_net.get(net)
        return 0 if entity is None else entity.public | entity.private

    patch.setattr(ClientState, "sees", all_of_it)


@fault(4, BUSY, "not equal", "confirmed up to")
def the_last_to_arrive_wins(patch: pytest.MonkeyPatch) -> None:
    def take(self: Store, net: int, cid: int, tick: int, value: object) -> None:
        record = self.entities.get(net)
        if record is not None and cid in record.ticks:
            record.ticks[cid] = tick
            record.values[cid] = value
            self._touch(net, cid)

    patch.setattr(Store, "_value", take)


@fault(5, SPOILT, "misunderstood", "not equal", "Error")
def bad_values_are_sent(patch: pytest.MonkeyPatch) -> None:
    def unchecked(self: ChangeDetector[Entity, object], indices: list[int]) -> Checked:
        kind, reference = self.component, self._reference
        wires = [kind.to_wire(self._components[i], reference) for i in indices]
        return Checked(indices, wires, [*map(copy, wires)], 1 << 20)

    patch.setattr(ChangeDetector, "_try", unchecked)


@fault(5, SPOILT, "too long", "a structural message of")
def values_of_any_size_are_sent(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Sizes, "set", lambda self, entity, cid, size: True)


@fault(5, SPOILT, "not equal")
def what_can_change_in_place_is_taken_for_immutable(patch: pytest.MonkeyPatch) -> None:
    def trusting(self: StructScan[Entity], indices: list[int]) -> list[Entity]:
        checked = self._checked(indices)
        for i in checked.indices:
            self._shadows[i] = self.component.clone(self._components[i])
        return [self._entities[i] for i in checked.indices]

    patch.setattr(StructScan, "_take", trusting)


@fault(6, WHOLE, "is seen apart")
def each_component_travels_by_itself(patch: pytest.MonkeyPatch) -> None:
    whole = replicator.make_runs

    def apart(nets: list[int], cids: tuple[int, ...], columns_of: Columns) -> list[EncodedRun]:
        return [run for cid in cids for run in whole(nets, (cid,), columns_of)]

    patch.setattr(replicator, "make_runs", apart)


@fault(6, WHOLE, "too long")
def runs_are_larger_than_a_datagram(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("ecsnet.replication.server.packing.BODY_BYTES", 1_500)
    patch.setattr("ecsnet.replication.server.replicator.BODY_BYTES", 1_500)


@fault(7, LOSSY, "not equal", "confirmed up to")
def values_that_come_before_their_structure_are_dropped(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Store, "_wait", lambda self, runs, tick, depends, cost: None)


@fault(7, JOINED, "not equal", "confirmed up to")
def what_comes_before_the_welcome_is_dropped(patch: pytest.MonkeyPatch) -> None:
    taken = ClientProtocol._welcome

    def forgetful(self: ClientProtocol, welcome: Welcome, arrival: object, now: float) -> None:
        self._early.clear()
        taken(self, welcome, arrival, now)

    patch.setattr(ClientProtocol, "_welcome", forgetful)


@fault(7, NARROW, "not equal", "confirmed up to")
def waiting_values_overflow_in_silence(patch: pytest.MonkeyPatch) -> None:
    wait = Store._wait

    def quietly(self: Store, runs: Iterable[object], tick: int, depends: int, cost: int) -> None:
        wait(self, runs, tick, depends, cost)  # type: ignore[arg-type]
        self.resync = False

    patch.setattr(Store, "_wait", quietly)


@fault(8, LOSSY, "should not be there", "has wrong components", "should have")
def values_of_unknown_entities_make_them(patch: pytest.MonkeyPatch) -> None:
    value = Store._value

    def trusting(self: Store, net: int, cid: int, tick: int, wire: object) -> None:
        self.entities.setdefault(net, EntityState()).ticks.setdefault(cid, -1)
        value(self, net, cid, tick, wire)

    patch.setattr(Store, "_value", trusting)


@fault(8, dataclasses.replace(WHOLE, entities=300, ticks=60), "a structural message of")
def everything_enters_at_once(patch: pytest.MonkeyPatch) -> None:
    def all_of_it(
        self: StructureWriter,
        client_state: ClientState,
        pending: set[int],
        owned: dict[int, Entity],
    ) -> set[int]:
        return pending

    patch.setattr(StructureWriter, "_next_piece", all_of_it)
    patch.setattr("ecsnet.replication.server.structure.STRUCTURE_BYTES", 1 << 20)


@fault(9, GRID, "should not be there")
def what_died_while_a_viewer_moved_is_not_mentioned(patch: pytest.MonkeyPatch) -> None:
    tell = StructureWriter._tell_apart

    def forgetful(
        self: StructureWriter,
        client_state: ClientState,
        group: InterestGroup,
        departures: list[bytes] | None,
    ) -> None:
        client_state.known = {net for net in client_state.known if net in self._entities.by_net}
        tell(self, client_state, group, departures)

    patch.setattr(StructureWriter, "_tell_apart", forgetful)


@fault(9, GRID, "is missing", "should not be there", "may not see", "confirmed up to")
def who_moves_is_taken_to_know_the_new_place(patch: pytest.MonkeyPatch) -> None:
    tell = StructureWriter._tell_apart

    def trusting(
        self: StructureWriter,
        client_state: ClientState,
        group: InterestGroup,
        departures: list[bytes] | None,
    ) -> None:
        moved = client_state.resettle and len(client_state.known) > 20
        tell(self, client_state, group, departures)
        if moved:
            client_state.known = group.visible

    patch.setattr(StructureWriter, "_tell_apart", trusting)


@fault(10, LOSSY, "Kind", "Deed", "Error", "misunderstood")
def newcomers_get_the_live_value(patch: pytest.MonkeyPatch) -> None:
    def column(entities: ReplicatedEntities, cid: int, nets: list[int]) -> list[object]:
        kind, world = entities.detectors[cid].component, entities._world
        with world:
            found = [world.components(entities.by_net[net].esper)[kind.cls] for net in nets]
            return [kind.to_wire(component, entities.network_id) for component in found]

    def live(
        self: ReplicatedEntities, cids: tuple[int, ...], nets: list[int]
    ) -> list[tuple[int, list[object]]]:
        return [(cid, column(self, cid, nets)) for cid in cids]

    patch.setattr(ReplicatedEntities, "columns", live)


@fault(10, PLAIN, "Kind", "Deed")
def what_is_sent_once_is_sent_again(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(OnceScan, "_differing", BytesScan._differing)


@fault(11, LOSSY, "confirmed up to")
def confirmed_tick_forgets_what_is_in_flight(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ClientState, "unconfirmed_ticks", lambda self, tick, whole: 0)


@fault(11, LOSSY, "confirmed up to")
def confirmed_tick_forgets_since_when_a_value_is_owed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(OwedValues, "lacked_since", lambda self, net, tick: tick)


@fault(11, LOSSY, "confirmed up to")
def confirmed_tick_forgets_what_is_sent_again(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(OwedValues, "settle", lambda self, before: self.resends.clear())


@fault(12, LOSSY, "may not see")
def everybody_gets_what_is_for_owners_only(patch: pytest.MonkeyPatch) -> None:
    spread = replicator.Replicator._spread

    def open_to_all(self: replicator.Replicator) -> bool:
        self.entities.private_bits = 0
        return spread(self)

    patch.setattr(replicator.Replicator, "_spread", open_to_all)


@fault(12, LOSSY, "should have", "confirmed up to")
def what_was_owned_is_not_taken_away(patch: pytest.MonkeyPatch) -> None:
    settle = StructureWriter._settle_private

    def generous(
        self: StructureWriter,
        client_state: ClientState,
        private: dict[int, int],
        known: set[int],
        removals: dict[int, list[int]],
        sets: list[bytes],
    ) -> None:
        settle(self, client_state, private, known, {}, sets)

    patch.setattr(StructureWriter, "_settle_private", generous)


@fault(13, PLAIN, "is sent again, unchanged")
def changes_below_a_step_are_sent(patch: pytest.MonkeyPatch) -> None:
    def all_of_them(self: LossyScan, indices: list[int]) -> list[int]:
        taken = []
        checked = self._checked(indices)
        for i, wire in zip(checked.indices, checked.made, strict=True):
            self._shadows[i] = self.component.clone(self._components[i])
            self._wires[self._entities[i]] = wire
            taken.append(self._entities[i])
        return taken

    patch.setattr(LossyScan, "_take", all_of_them)


@fault(13, PLAIN, "Angle")
def quantised_values_are_compared_by_whole_steps_only(patch: pytest.MonkeyPatch) -> None:
    differing = LossyScan._differing

    def coarse(self: LossyScan) -> list[int]:
        return [
            i
            for i in differing(self)
            if self._shadows[i] is None
            or abs(self._components[i].degrees - self._shadows[i].degrees) > 1  # type: ignore[attr-defined]
        ]

    patch.setattr(LossyScan, "_differing", coarse)


@fault(14, CLEARED, "not equal", "Error", "may not see", "differ again")
def network_ids_start_again(patch: pytest.MonkeyPatch) -> None:
    structure = ReplicatedEntities._structure

    def restarting(self: ReplicatedEntities, delta: Delta, touched: Touched) -> None:
        if self._world.identity() is not self._identity:
            self._draw_id = count(1).__next__
        structure(self, delta, touched)

    make = ReplicatedEntities.__init__

    def counting(self: ReplicatedEntities, *args: object, **options: object) -> None:
        make(self, *args, **options)  # type: ignore[arg-type]
        self._draw_id = count(1).__next__

    patch.setattr(ReplicatedEntities, "__init__", counting)
    patch.setattr(ReplicatedEntities, "_structure", restarting)


@fault(14, TAKEN, "may not see")
def players_keep_ids_that_became_somebody_elses(patch: pytest.MonkeyPatch) -> None:
    never = property(lambda self: False, lambda self, value: None)
    patch.setattr(Delta, "cleared", never)


@fault(14, IDLE, "Target")
def references_do_not_heal(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(References, "referrers", lambda self, moved: ())


@fault(14, PLAIN, "misunderstood", "not equal")
def updates_name_another_simulation(patch: pytest.MonkeyPatch) -> None:
    update = Store.update

    def renamed(self: Store, message: Update[object, object], size: int) -> bool:
        message.epoch ^= 1
        return update(self, message, size)

    patch.setattr(Store, "update", renamed)


@fault(EVENT_RULE, GRID, "finds no such entity")
def a_despawn_does_not_wait_for_the_event_before_it(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Store, "_forget", Store._remove)


@fault(EVENT_RULE, GRID, "finds no such entity")
def what_leaves_is_told_before_events(patch: pytest.MonkeyPatch) -> None:
    tell = StructureWriter.tell

    def at_once(
        self: StructureWriter,
        client: ClientState,
        group: InterestGroup,
        departures: list[bytes] | None = None,
    ) -> None:
        tell(self, client, group, departures)
        for message in departures or ():
            client.queue(message)
        if departures is not None:
            departures.clear()

    patch.setattr(StructureWriter, "tell", at_once)


@fault(EVENT_RULE, PLAIN, "finds no such entity")
def events_are_encoded_when_they_are_emitted(patch: pytest.MonkeyPatch) -> None:
    make = Game.boom

    def early(self: Game, serial: int, entity: int | None) -> Boom:
        return make(self, serial, entity if self.reference(entity) else None)

    patch.setattr(Game, "boom", early)


@fault(EVENT_RULE, TAKEN, "was never told of events")
def events_of_the_tick_of_a_join_are_dropped(patch: pytest.MonkeyPatch) -> None:
    route = EventWriter._route
    patch.setattr(
        EventWriter, "_route", lambda self, event, about, new: route(self, event, about, ())
    )


@fault(EVENT_RULE, LOSSY, "called what")
def calls_run_for_whoever_asks(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Simulation, "_owned", lambda self, net, player: self._resolve_alive(net))


@fault(EVENT_RULE, GRID, "was told of the network ids")
def references_to_what_a_client_does_not_see_are_sent(patch: pytest.MonkeyPatch) -> None:
    copy_for = events._Event.copy_for
    patch.setattr(events._Event, "copy_for", lambda self, hidden: copy_for(self, frozenset()))


# Kicks and lobbies.


@fault(GATHERING_RULE, KICKED, "was never told of events")
def who_is_thrown_out_hears_that_before_what_came_before(patch: pytest.MonkeyPatch) -> None:
    def at_once(self: Host, now: float) -> None:
        for member, (text, _) in list(self._dismissed.items()):
            self.disconnect(member, Reason.KICKED, now, text)

    patch.setattr(Host, "_see_off", at_once)


@fault(GATHERING_RULE, dataclasses.replace(KICKED, loss=0.0), "and reads")
def texts_for_who_is_thrown_out_get_lost(patch: pytest.MonkeyPatch) -> None:
    end = Peers.disconnect
    patch.setattr(
        Peers, "disconnect", lambda self, peer, reason, text, now: end(self, peer, reason, "", now)
    )


@fault(GATHERING_RULE, KICKED, "and are still there")
def who_is_thrown_out_plays_on(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Simulation, "take_kicked", lambda self: {})


@fault(GATHERING_RULE, KICKED, "called what", "nobody said so")
def names_of_those_who_left_stay_taken(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Names, "free", lambda self, name: None)


@fault(GATHERING_RULE, GATHERED, "should not outlive")
def what_a_match_made_outlives_it(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(LobbySystem, "_delete_what_was_made", lambda self: None)


@fault(GATHERING_RULE, GATHERED, "should not outlive")
def a_match_takes_with_it_what_was_there_before(patch: pytest.MonkeyPatch) -> None:
    delete = LobbySystem._delete_what_was_made

    def all_of_it(self: LobbySystem) -> None:
        self._before = frozenset()
        delete(self)

    patch.setattr(LobbySystem, "_delete_what_was_made", all_of_it)


@fault(GATHERING_RULE, GATHERED, "came late, with late='watch'")
def who_comes_late_plays(patch: pytest.MonkeyPatch) -> None:
    join = LobbySystem.join

    def playing(self: LobbySystem, player: int) -> None:
        join(self, player)
        esper.component_for_entity(player, LobbyPlayer).plays = True

    patch.setattr(LobbySystem, "join", playing)


@fault(
    GATHERING_RULE, dataclasses.replace(GATHERED, late="refuse"), "came late, with late='refuse'"
)
def who_comes_late_is_let_in(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(LobbySystem, "refusal", lambda self, taken: None)


@fault(GATHERING_RULE, GATHERED, "called in the lobby")
def calls_run_while_nobody_plays(patch: pytest.MonkeyPatch) -> None:
    calls = Simulation._run_calls

    def anyway(self: Simulation) -> None:
        before, self.playing = self.playing, True
        calls(self)
        self.playing = before

    patch.setattr(Simulation, "_run_calls", anyway)


@fault(GATHERING_RULE, GATHERED, "told the lobby")
def what_one_tells_is_told_in_the_name_of_all(patch: pytest.MonkeyPatch) -> None:
    take = LobbySystem._take_commands

    def mixed_up(self: LobbySystem, state: LobbyState) -> None:
        take(self, state)
        for _, each in self._players():
            for _, command in self._simulation.commands(LobbyInfo, LobbyPlayer):
                each.info = command.info

    patch.setattr(LobbySystem, "_take_commands", mixed_up)


@fault(GATHERING_RULE, CUT, "told the lobby", "never came")
def what_is_done_in_a_silence_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    idle = Outbox.idle

    def forgetful(self: Outbox) -> None:
        idle(self)
        self._actions.clear()

    patch.setattr(Outbox, "idle", forgetful)


@fault(GATHERING_RULE, CUT, "expired at home")
def what_is_done_in_a_silence_expires(patch: pytest.MonkeyPatch) -> None:
    idle = Outbox.idle

    def impatient(self: Outbox) -> None:
        idle(self)
        while self._actions:
            self._actions.popleft()
            self.expire()

    patch.setattr(Outbox, "idle", impatient)


# What is drawn between values, and ahead.


@fault(SMOOTH_RULE, SMOOTH, "is not drawn at rest")
def what_comes_after_its_tick_was_drawn_is_dropped(patch: pytest.MonkeyPatch) -> None:
    take, play = PlayoutBuffer.update, PlayoutBuffer.play

    def played(self: PlayoutBuffer, tick: float) -> dict[tuple[int, int], Blend]:
        patch.setattr(self, "drawn_to", tick, raising=False)
        return play(self, tick)

    def in_time(self: PlayoutBuffer, update: Update[object, object], size: int) -> int:
        tick = take(self, update, size)
        late = tick <= getattr(self, "drawn_to", -1.0)
        self._updates = [each for each in self._updates if not (late and each.tick == tick)]
        return tick

    patch.setattr(PlayoutBuffer, "play", played)
    patch.setattr(PlayoutBuffer, "update", in_time)


@fault(SMOOTH_RULE, SMOOTH, "is not drawn at rest")
def what_came_to_rest_is_drawn_beyond_that(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Samples, "_goes_on", lambda self, cid, track, tick: True)


@fault(SMOOTH_RULE, SMOOTH, "is not drawn at rest")
def errors_stay_in_what_is_drawn(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("ecsnet.prediction.drawing.FADE_SECONDS", 1e6)


@fault(SMOOTH_RULE, SMOOTH, "is not drawn at rest")
def what_was_predicted_is_never_set_right(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Predictor, "_agrees", lambda self, snapshot, *known: True)


@fault(SMOOTH_RULE, SMOOTH, "is not drawn at rest")
def what_rests_a_step_off_stays_there(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Predictor, "_settle", lambda self: None)


@fault(SMOOTH_RULE, STEADY, "drawn twice")
def what_was_predicted_to_come_is_never_matched(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Predictor, "_matching", lambda self, net, record: None)


@fault(SMOOTH_RULE, STEADY, "finds no such entity")
def events_come_before_their_tick_is_drawn(patch: pytest.MonkeyPatch) -> None:
    def at_once(self: PlayoutBuffer, message: Events[object], size: int) -> int:
        self.store.happened(message, size)
        return unwrap(message.tick, 32, self._told.tick)

    patch.setattr(PlayoutBuffer, "happened", at_once)


@pytest.mark.parametrize("each", FAULTS, ids=name)
def test_a_fault_is_caught(each: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(each.plan.seed, each.plan.seed + SEEDS):
        plan = dataclasses.replace(each.plan, seed=seed)
        with monkeypatch.context() as patch:
            each.patch(patch)
            failure = run(plan).failure
        if failure is None:
            continue
        assert any(word in failure for word in each.says), failure
        sound = without_fault(plan)
        assert sound.failure is None, sound.failure
        assert sound.counts["values compared"] > 100
        assert sound.counts["clients compared"] >= 2
        return
    pytest.fail(f"nobody noticed: {name(each)}")


def test_there_is_a_fault_against_every_rule() -> None:
    assert {each.rule for each in FAULTS} == set(range(1, SMOOTH_RULE + 1))
    assert len(FAULTS) >= 14
