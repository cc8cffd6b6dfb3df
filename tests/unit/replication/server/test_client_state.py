from __future__ import annotations

from collections.abc import Iterator, Sequence

import esper
import pytest

from ecsnet.components import Owner
from ecsnet.replication.server.client_state import ClientState, InterestGroup
from ecsnet.replication.server.entities import ReplicatedEntities
from ecsnet.replication.server.interest import ANYWHERE, Everyone
from ecsnet.replication.server.packing import EncodedRun, SentUpdates
from ecsnet.schema import Registry, replicated, use_registry
from ecsnet.session.sent_packets import SentPackets
from ecsnet.world import World

with use_registry(Registry()) as registry:

    @replicated
    class Place:
        x: float = 0.0

    @replicated
    class Tank:
        hp: int = 10

    @replicated(visible_to="owner")
    class Secret:
        code: int = 0


SCHEMA = registry.schema()
PLACE, TANK, SECRET = (SCHEMA.cid_of[cls] for cls in (Place, Tank, Secret))


class Quiet:
    """A peer of which nothing is asked but what is set."""

    def __init__(self, bandwidth: float = 6000.0) -> None:
        self.bandwidth = bandwidth
        self.tagged = SentPackets()
        self.queued = 0
        self.delivered = 0
        self.messages: list[bytes] = []

    def queue(self, message: bytes) -> int:
        self.messages.append(message)
        self.queued += 1
        return self.queued

    def begin_at(self, tick: int) -> None:
        """Let the oldest packet in flight be one of a tick."""
        updates = SentUpdates()
        updates.begin(tick)
        self.tagged.pop(1)
        self.tagged.add(1, updates.fill_datagrams([EncodedRun([], (), b"")])[0].tag, 0.0)


def client(player: int, peer: Quiet, interval: float) -> ClientState:
    return ClientState(player, peer, interval, "Ann", 1, smooth=False)  # type: ignore[arg-type]


class Subject:
    """A client that knows three tanks; entity n has network id n."""

    def __init__(self) -> None:
        self.world = World()
        self.world.__enter__()
        self.player = esper.create_entity(Tank(), Place(), Secret())
        for _ in range(2):
            esper.create_entity(Tank(), Place())
        self.entities = ReplicatedEntities(SCHEMA, self.world, Everyone(), Owner)
        self.entities.set_player(self.player, True)
        self.tick = 0
        self.capture()
        self.peer = Quiet()
        self.client_state = client(self.player, self.peer, 1 / 60)
        self.client_state.known = {1, 2, 3}
        self.client_state.known_private = {1: 1 << SECRET}

    def capture(self) -> None:
        self.tick += 1
        self.world.flush_dead()
        self.entities.capture(self.tick)

    def lose(self, tick: int, *runs: EncodedRun) -> None:
        self.client_state.lose(tick, runs, self.entities)

    def owe(self, nets: Sequence[int], cids: Sequence[int], tick: int) -> None:
        self.client_state.owe(run(*nets, cids=cids), tick)

    def owed(self) -> dict[int, tuple[int, int]]:
        """The entities owed, in order: component bits, and since when."""
        return dict(self.client_state.owed._entities)

    def take(self, room: int = 10_000, tick: int = 20) -> list[tuple[int, int]]:
        return self.client_state.take_owed(self.entities, room, tick)

    def close(self) -> None:
        self.world.__exit__(None, None, None)
        self.world.close()


@pytest.fixture
def subject() -> Iterator[Subject]:
    made = Subject()
    yield made
    made.close()


def run(*nets: int, cids: Sequence[int] = (TANK,)) -> EncodedRun:
    return EncodedRun(nets, cids, b"x")


def bits(*cids: int) -> int:
    return sum(1 << cid for cid in cids)


def test_it_gains_a_share_of_its_bandwidth_from_update_to_update(subject: Subject) -> None:
    assert subject.client_state.gain == 100
    rich = client(1, Quiet(400_000), 1 / 30)
    assert rich.gain == pytest.approx(400_000 / 30)


def test_what_a_lost_packet_carried_is_owed(subject: Subject) -> None:
    subject.lose(5, run(1, 2), run(3, cids=(TANK, PLACE)))
    assert subject.owed() == {1: (bits(TANK), 5), 2: (bits(TANK), 5), 3: (bits(TANK, PLACE), 5)}


def test_what_has_a_newer_value_on_its_way_is_not_owed(subject: Subject) -> None:
    esper.component_for_entity(2, Tank).hp = 3
    subject.capture()
    subject.lose(1, run(1, 2))
    assert subject.owed() == {1: (bits(TANK), 1)}
    # The newer one is lost, too: the client has lacked it since the first was.
    subject.lose(2, run(2))
    assert subject.owed() == {1: (bits(TANK), 1), 2: (bits(TANK), 1)}


def test_what_waits_for_a_newer_value_is_not_confirmed_meanwhile(subject: Subject) -> None:
    client_state = subject.client_state
    esper.component_for_entity(2, Tank).hp = 3
    subject.capture()
    subject.peer.begin_at(2)
    subject.lose(1, run(2))
    # Confirmed up to 0: the value of 1 never came.
    assert client_state.unconfirmed_ticks(9, True) == 9
    assert client_state.repairing
    subject.peer.begin_at(3)  # acked: that of 2 did
    assert client_state.unconfirmed_ticks(9, True) == 7
    assert not client_state.repairing


def test_a_newer_value_that_is_owed_itself_is_owed_since_the_older_was_lost(
    subject: Subject,
) -> None:
    esper.component_for_entity(2, Tank).hp = 3
    subject.capture()
    subject.owe([2], [TANK], 2)
    subject.lose(1, run(2))
    assert subject.owed() == {2: (bits(TANK), 1)}


def test_of_one_entity_one_value_is_owed_and_another_on_its_way(subject: Subject) -> None:
    esper.component_for_entity(2, Tank).hp = 3
    subject.capture()
    subject.lose(1, run(2, cids=(TANK, PLACE)))
    assert subject.owed() == {2: (bits(PLACE), 1)}
    assert list(subject.client_state.owed.resends) == [2]


def test_what_is_gone_or_not_known_any_more_is_not_owed(subject: Subject) -> None:
    subject.client_state.known = {1}
    esper.remove_component(1, Place)
    subject.capture()
    subject.lose(5, run(1, 2, cids=(TANK, PLACE)))
    assert subject.owed() == {1: (bits(TANK), 5)}
    subject.owe([3], [TANK], 6)
    assert list(subject.owed()) == [1]


def test_what_was_owed_first_stays_first_and_keeps_its_tick(subject: Subject) -> None:
    subject.owe([3], [TANK], 4)
    subject.owe([1, 3], [TANK], 9)
    subject.lose(9, run(1, 3))
    assert list(subject.owed().items()) == [(3, (bits(TANK), 4)), (1, (bits(TANK), 9))]
    assert subject.take() == [(3, bits(TANK)), (1, bits(TANK))]
    assert not subject.client_state.owed


def test_owed_parts_of_one_entity_leave_together(subject: Subject) -> None:
    subject.owe([1], [TANK], 4)
    subject.owe([2], [TANK], 5)
    subject.owe([1], [PLACE], 6)
    assert subject.take() == [
        (1, bits(TANK, PLACE)),
        (2, bits(TANK)),
    ]


def test_what_has_no_room_stays_owed(subject: Subject) -> None:
    client_state = subject.client_state
    subject.owe([3, 2, 1], [TANK], 4)
    assert subject.take(0) == []
    assert len(client_state.owed) == 3
    assert subject.take(20) == [(3, bits(TANK)), (2, bits(TANK))]
    assert subject.owed() == {1: (bits(TANK), 4)}


def test_an_entity_takes_room_for_each_of_its_values(subject: Subject) -> None:
    subject.owe([1, 2, 3], [TANK, PLACE], 4)
    assert subject.take(20) == [(1, bits(TANK, PLACE))]
    assert subject.take(40) == [(2, bits(TANK, PLACE)), (3, bits(TANK, PLACE))]


def test_an_entity_is_reckoned_at_four_bytes_and_twelve_for_each_value(subject: Subject) -> None:
    subject.owe([1, 2, 3], [TANK], 4)
    assert subject.take(16) == [(1, bits(TANK))]
    assert subject.take(17) == [(2, bits(TANK)), (3, bits(TANK))]
    subject.owe([1, 2], [TANK, PLACE], 5)
    assert subject.take(28) == [(1, bits(TANK, PLACE))]
    subject.owe([1], [TANK, PLACE], 5)
    assert len(subject.take(29)) == 2


def test_of_what_cannot_go_yet_so_much_is_passed_over_in_one_update(subject: Subject) -> None:
    client_state = subject.client_state
    for _ in range(65):
        esper.create_entity(Tank())
    subject.capture()
    large, small = range(4, 68), 68
    client_state.known.update(subject.entities.by_net)
    client_state.big.update(dict.fromkeys(large, 7))
    subject.owe([*large, small], [TANK], 4)
    assert subject.take() == []
    assert next(iter(client_state.owed)) == small  # it comes first in the next one
    assert subject.take() == [(small, bits(TANK))]
    subject.peer.delivered = 7
    assert [net for net, _ in subject.take()] == [*large]


def test_owed_values_are_filtered_by_what_the_client_may_see_now(subject: Subject) -> None:
    client_state = subject.client_state
    subject.owe([1, 2, 3, 9], [TANK, SECRET], 4)
    client_state.known = {1, 2}
    subject.world.delete(2)
    subject.capture()
    assert subject.take() == [(1, bits(TANK, SECRET))]
    assert not client_state.owed
    assert [client_state.sees(net, subject.entities) for net in (2, 3, 9)] == [0, 0, 0]


def test_owner_only_components_are_seen_by_whom_they_were_told(subject: Subject) -> None:
    client_state, entities = subject.client_state, subject.entities
    assert client_state.sees(1, entities) == bits(TANK, PLACE, SECRET)
    client_state.known_private = {}
    assert client_state.sees(1, entities) == bits(TANK, PLACE)
    subject.owe([1], [SECRET], 3)
    assert subject.take() == []
    assert not client_state.owed


def test_of_what_goes_by_the_stream_one_version_is_in_flight(subject: Subject) -> None:
    client_state = subject.client_state
    client_state.big[2] = 7
    subject.owe([2, 3], [TANK], 4)
    assert subject.take() == [(3, bits(TANK))]
    subject.owe([3], [TANK], 5)
    subject.peer.delivered = 6
    assert subject.take() == [(3, bits(TANK))]
    assert subject.owed() == {2: (bits(TANK), 4)}
    subject.peer.delivered = 7
    assert subject.take() == [(2, bits(TANK))]


def test_a_resync_is_answered_and_then_owes_everything_known(subject: Subject) -> None:
    client_state = subject.client_state
    subject.owe([3], [TANK], 4)
    client_state.known = {1, 3}
    client_state.resync(b"answer")
    assert subject.peer.messages == [b"answer"]
    assert client_state.unconfirmed_ticks(50, True) == 51  # not one tick, until that has arrived
    client_state.owe_all(subject.entities)
    assert subject.owed() == {1: (bits(TANK, PLACE, SECRET), 0), 3: (bits(TANK, PLACE), 0)}


# How far back the client is owed nothing.


def test_with_nothing_owed_and_all_acked_all_ticks_are_confirmed(subject: Subject) -> None:
    client_state = subject.client_state
    assert client_state.unconfirmed_ticks(50, True) == 0
    assert client_state.unconfirmed_ticks(50, False) == 1  # more of this tick is still to come
    subject.owe([1], [TANK], 44)
    subject.owe([2], [TANK], 40)
    assert client_state.unconfirmed_ticks(50, True) == 11


def test_what_is_in_flight_is_not_confirmed(subject: Subject) -> None:
    subject.peer.begin_at(47)
    assert subject.client_state.unconfirmed_ticks(50, True) == 4
    subject.peer.begin_at(50)
    assert subject.client_state.unconfirmed_ticks(50, True) == 1
    assert subject.client_state.unconfirmed_ticks(50, False) == 1


# Hoods and runs.


def test_a_hood_shows_what_stands_in_its_cells(subject: Subject) -> None:
    group = InterestGroup("place", iter([ANYWHERE, (1, 1)]), subject.entities)
    assert group.cells == (ANYWHERE, (1, 1))
    assert group.visible == group.before == {1, 2, 3}
    subject.world.delete(2)
    subject.capture()
    assert group.visible == {1, 2, 3}
    assert group.look(subject.entities) == {1, 3}
    assert InterestGroup("empty", [], subject.entities).visible == set()
