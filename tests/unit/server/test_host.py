"""Hosts with small clients over a virtual network: no sockets, no sleeping."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable

import esper
import pytest

import ecsnet.simulation.simulation as net
from ecsnet.client.tick_clock import TickClock
from ecsnet.commands.outbox import Outbox
from ecsnet.components import Player
from ecsnet.connection.plain import ClientHandshake, Connection
from ecsnet.messages.joining import (
    WIRE_VERSION,
    Hello,
    MemberState,
    SchemaDiffers,
    SchemaOffer,
    Welcome,
)
from ecsnet.replication.wire import Report, Resync, WireFormat
from ecsnet.schema import Gate, Registry, Schema, command, encode, replicated, use_registry
from ecsnet.server.host import Host
from ecsnet.server.members import Member
from ecsnet.server.room import Room
from ecsnet.session.goodbye import Reason
from ecsnet.session.session import KEEPALIVE
from ecsnet.simulation.spec import SimulationSpec
from ecsnet.testing import LinkEnd, ManualClock, Network
from ecsnet.transport.address import Address
from ecsnet.transport.conditioner import Link
from ecsnet.validation.names import looks_like, printable
from tests.unit.noting import NotingPeer as Session

with use_registry(Registry()) as registry:

    @replicated
    class Square:
        x: float = 0.0

    @command(hold=True)
    class Steer:
        dx: int = 0

    @command
    class Jump:
        height: int = 0


with use_registry(Registry()) as other_registry:

    @replicated(visible_to="everyone")
    class Circle:
        radius: float = 0.0


SCHEMA = registry.schema()
OTHER = other_registry.schema()
STEER, JUMP = SCHEMA.command_id_of[Steer], SCHEMA.command_id_of[Jump]
JOINING: Gate[Welcome | SchemaOffer] = Gate(Welcome | SchemaOffer, 1 << 20)


def moving(tick_rate: float = 60.0) -> SimulationSpec:
    """Squares that go where their players steer them."""
    spec = SimulationSpec(tick_rate=tick_rate)

    def join(player: int) -> None:
        esper.add_component(player, Square())

    def move(dt: float) -> None:
        for player, steer in net.commands(Steer):
            esper.component_for_entity(player, Square).x += steer.dx * dt
        for player, jump in net.commands(Jump):
            esper.component_for_entity(player, Square).x += jump.height

    spec.on_join.append(join)
    spec.add_function(move, 0)
    return spec


class HostNetwork(Network):
    """A host that ticks by itself, and clients at numbered ports.

    Attributes:
        lag: Of the links of clients to come, as are jitter and loss.
    """

    def __init__(
        self,
        spec: SimulationSpec | None = None,
        *,
        seed: int = 1,
        update_rate: float | None = None,
        **options: object,
    ) -> None:
        super().__init__(ManualClock(50.0))
        self.dice = random.Random(seed)
        self.lag = self.jitter = self.loss = 0.0
        arguments = {"random": self.dice.randbytes, **options}
        self.host = Host(SCHEMA, self.send, **arguments)  # type: ignore[arg-type]
        self.room: Room = self.host.add_room(
            spec or moving(), self.now, seed=3, update_rate=update_rate
        )
        self.asleep_until = 0.0
        self.at(0, self.tick)

    @property
    def now(self) -> float:
        return self.clock.now

    def until(self, condition: Callable[[], object], seconds: float = 5.0) -> None:
        for _ in range(round(seconds / 0.02)):
            if condition():
                return
            self.run(0.02)
        raise AssertionError("it did not happen")

    def sleep(self, seconds: float) -> None:
        """Let the host stand still; datagrams wait for it."""
        self.asleep_until = self.now + seconds
        self.handler = None

    def tick(self) -> None:
        if self.now < self.asleep_until:
            self.at(self.asleep_until - self.now, self.tick)
            return
        self.handler = self.host.receive_datagrams
        self.host.receive_datagrams(self.receive(), self.now)
        self.host.tick(self.now)
        self.at(max(0.001, self.host.next_tick_at - self.now), self.tick)

    def client(
        self, name: str = "Ann", *, address: Address | None = None, **options: object
    ) -> Client:
        link = Link(self.lag, self.jitter, self.loss, seed=self.dice.getrandbits(32))
        end = self.connect(link, address or ("10.0.0.1", 1000 + len(self.links)))
        return Client(self, name, end, **options)  # type: ignore[arg-type]

    def joined(self, count: int, **options: object) -> list[Client]:
        clients = [self.client(f"Player {n}", **options) for n in range(count)]  # type: ignore[arg-type]
        self.until(lambda: all(client.welcome for client in clients))
        return clients


class Client:
    """What ecsnet's client does, as far as a host can tell."""

    def __init__(
        self,
        network: HostNetwork,
        name: str,
        end: LinkEnd,
        *,
        schema: Schema = SCHEMA,
        version: int = WIRE_VERSION,
        frame_rate: float = 60.0,
        polite: bool = True,
    ) -> None:
        self.network, self.name, self.end = network, name, end
        self.schema, self.version, self.frame_rate = schema, version, frame_rate
        self.polite = polite
        self.handshake = ClientHandshake(network.dice.randbytes(8), network.now)
        self.session = Session()
        self.gate = WireFormat(SCHEMA)
        self.welcome: Welcome | None = None
        self.clock: TickClock | None = None
        self.outbox = Outbox()
        self.reports: list[Report] = []
        self.updates: list[int] = []
        self.structures = 0
        self.difference = ""
        self.greeted = False
        self.act: Callable[[Outbox], None] = lambda _outbox: None
        self.deaf = False
        self.playing = True
        network.at(network.dice.random() / frame_rate, self.poll)

    @property
    def address(self) -> Address:
        return self.end.address

    @property
    def connection(self) -> Connection | None:
        return self.handshake.connection

    @property
    def over(self) -> Reason | None:
        goodbye = self.session.goodbye
        return self.handshake.refused if goodbye is None else goodbye.reason

    @property
    def member(self) -> Member:
        found = self.network.host.member(self.address)
        assert found is not None
        return found

    def send(self, datagram: bytes) -> None:
        self.end.send(datagram)

    def say(self, packet: bytes) -> None:
        if self.connection is not None:
            self.send(self.connection.seal(packet))

    def tell(self, message: object) -> None:
        self.session.queue(encode(message))

    def poll(self) -> None:
        if self.deaf:
            return
        now = self.network.now
        mail = list(self.end.receive())
        if self.over is None:
            self.network.at(1 / self.frame_rate, self.poll)
        if self.connection is None:
            for datagram in mail:
                self.handshake.receive_answer(datagram, now)
            for datagram in self.handshake.poll(now):
                self.send(datagram)
            if self.connection is None:
                return
            self.tell(Hello(self.version, self.schema.fingerprint, self.name))
        for datagram in mail:
            packet = self.connection.open(datagram, now)
            if packet is not None:
                self.read(packet, now)
        if self.over is not None:
            return
        self.session.lost(now)
        packed = None
        if self.clock is not None and self.welcome is not None and self.playing:
            self.act(self.outbox)
            self.outbox.stamp(self.clock.advance(now))
            packed = self.outbox.pack(700)
        if packed is not None:
            payload = (self.welcome.epoch, packed.number, packed.tick, packed.frames)  # type: ignore[union-attr]
            self.say(self.session.send(payload, now, packed.through))
        elif self.session.due(now) or self.session.backlog:
            self.say(self.session.send(None, now))

    def read(self, packet: bytes, now: float) -> None:
        received = self.session.receive(packet, now)
        if received is None:
            return
        for through in (*received.acked, *received.late):
            if isinstance(through, int):
                self.outbox.acked(through)
        for _, message in received.messages:
            joining = JOINING.decode(message)
            if isinstance(joining, Welcome):
                self.welcome = joining
                self.clock = TickClock(joining.tick_rate)
            elif isinstance(joining, SchemaOffer):
                self.difference = self.schema.first_difference(joining.description)
                if self.polite:
                    self.tell(SchemaDiffers(self.difference))
            else:
                self.structures += 1
        if received.payload is None:
            return
        update = self.gate.update.decode(received.payload)
        assert update is not None
        if self.welcome is None or self.clock is None:
            return
        assert update.epoch == self.welcome.epoch
        self.updates.append(update.tick)
        if self.clock.tick < 0 and self.clock.paused:
            self.clock.start(update.tick, now, self.session.rtt)
        self.clock.heard(update.tick, now)
        if update.report is not None:
            self.reports.append(update.report)
            self.clock.report(update.report.slack / 16, update.tick, self.session.loss)


def squares(network: HostNetwork) -> dict[str, float]:
    with network.room.simulation.world:
        found = esper.get_components(Player, Square)
        return {player.name: square.x for _, (player, square) in found}


def test_a_client_gets_in_and_moves_its_square() -> None:
    network = HostNetwork()
    (ann,) = network.joined(1)
    assert ann.welcome is not None
    assert ann.welcome.player_id == 1
    assert ann.welcome.player > 0
    assert ann.welcome.epoch == network.room.simulation.epoch
    assert (ann.welcome.tick_rate, ann.welcome.update_rate) == (60, 60)
    ann.act = lambda outbox: outbox.hold(STEER, 0, Steer(1))
    network.run(1)
    before = squares(network)["Player 0"]
    network.run(2)
    assert squares(network)["Player 0"] - before == pytest.approx(2, abs=0.02)
    assert ann.structures >= 1
    assert len(ann.updates) > 100
    assert network.host.stats().clients == 1


def test_many_clients_on_a_bad_network_lose_no_command() -> None:
    network = HostNetwork(seed=4)
    network.lag, network.jitter, network.loss = 0.1, 0.03, 0.2
    clients = network.joined(6)
    jumps = dict.fromkeys(range(6), 0)

    def act(number: int, outbox: Outbox) -> None:
        if jumping:
            outbox.hold(STEER, 0, Steer(number))
            if network.dice.random() < 0.1:
                jumps[number] += 1
                outbox.act(JUMP, 0, Jump(1000))
        else:
            outbox.release_all()

    for number, client in enumerate(clients):
        client.act = lambda outbox, number=number: act(number, outbox)  # type: ignore[misc]
    jumping = True
    network.run(10)
    jumping = False
    network.run(4)
    stats = network.host.stats()
    sent = sum(client.outbox.sent for client in clients)
    assert sent > 3000
    assert sum(link.stats.dropped for link in network.links.values()) > 500
    assert sent == stats.commands_applied + stats.commands_expired + stats.commands_superseded
    assert stats.commands_expired <= 0.01 * sent
    assert stats.commands_superseded <= 0.1 * sent
    assert stats.commands_rejected == 0
    places = squares(network)
    assert [places[f"Player {n}"] // 1000 for n in range(6)] == list(jumps.values())
    assert min(jumps.values()) > 10
    for client in clients:
        last = client.reports[-1]
        assert last.applied + last.superseded == client.outbox.sent
    assert stats.packets_sent > 1000
    assert stats.bytes_sent > 10_000


@pytest.mark.parametrize("tick_rate", [20, 64])
@pytest.mark.parametrize("frame_rate", [30, 144])
def test_speed_is_the_same_for_every_frame_rate(tick_rate: float, frame_rate: float) -> None:
    network = HostNetwork(moving(tick_rate))
    network.lag = 0.03
    (ann,) = network.joined(1, frame_rate=frame_rate)
    ann.act = lambda outbox: outbox.hold(STEER, 0, Steer(10))
    network.run(2)
    before = squares(network)["Player 0"]
    network.run(5)
    assert squares(network)["Player 0"] - before == pytest.approx(50, abs=0.6)


def test_joins_and_leaves_wait_for_the_tick() -> None:
    network = HostNetwork(moving(1.0))
    network.run(0.1)
    ann = network.client("Ann")
    network.run(0.5)
    assert ann.member.name == "Ann"
    assert not squares(network)
    network.run(0.6)
    assert squares(network) == {"Ann": 0}
    network.host.disconnect(ann.member, Reason.KICKED, network.now)
    assert squares(network) == {"Ann": 0}
    assert not network.room.seats
    network.run(1)
    assert not squares(network)
    assert ann.over is Reason.KICKED


def test_who_leaves_before_the_tick_never_joined() -> None:
    network = HostNetwork(moving(1.0))
    network.run(0.1)
    ann = network.client("Ann")
    network.run(0.5)
    network.host.disconnect(ann.member, Reason.KICKED, network.now)
    network.run(3)
    assert not squares(network)
    assert not network.room.simulation.player_entity
    assert network.host.stats().joined == 0


def test_leaving_timing_out_and_coming_again() -> None:
    network = HostNetwork(timeout=2.0)
    ann, bob = network.joined(2)
    assert ann.connection is not None
    ann.say(ann.session.session.pack_goodbye(Reason.LEFT, "", network.now))
    bob.deaf = True
    network.run(0.5)
    assert squares(network).keys() == {"Player 1"}
    network.run(3)
    assert not squares(network)
    assert not network.host.members
    again = network.client("Ann", address=("10.0.0.1", 1000))
    network.until(lambda: again.welcome)
    assert again.welcome is not None
    assert again.welcome.player_id == 3
    assert network.host.stats().joined == 3
    assert network.host.stats().commands_applied == 0


def test_a_client_that_starts_again_replaces_its_old_self() -> None:
    network = HostNetwork()
    (old,) = network.joined(1)
    old.deaf = True
    new = network.client("New", address=("10.0.0.1", 1000))
    network.until(lambda: new.welcome)
    network.run(0.1)
    assert squares(network).keys() == {"New"}


def test_another_game_is_refused_and_both_ends_say_why(caplog: pytest.LogCaptureFixture) -> None:
    network = HostNetwork()
    with caplog.at_level(logging.INFO, "ecsnet.server"):
        stranger = network.client("Eve", schema=OTHER)
        network.until(lambda: stranger.over)
    assert stranger.over is Reason.SCHEMA
    assert "Circle" in stranger.difference or "Square" in stranger.difference
    logged = [r.getMessage() for r in caplog.records if "plays another game" in r.getMessage()]
    assert len(logged) == 1
    assert stranger.difference in logged[0]
    assert not squares(network)


def test_a_difference_from_the_wire_stays_one_line_of_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    network = HostNetwork()
    with caplog.at_level(logging.INFO, "ecsnet.server"):
        eve = network.client("Eve", schema=OTHER, polite=False)
        network.until(lambda: eve.difference)
        eve.tell(SchemaDiffers("x\nERROR root: \x1b[31mhacked"))
        network.until(lambda: eve.over)
    (record,) = [r for r in caplog.records if "another game" in r.getMessage()]
    assert record.getMessage().isprintable()
    assert "x\\nERROR root" in record.getMessage()


@pytest.mark.parametrize(
    ("options", "name", "reason"),
    [
        ({"version": WIRE_VERSION + 1}, "Ann", Reason.VERSION),
        ({}, " Ann", Reason.NAME),
        ({}, "A\nnn", Reason.NAME),
        ({}, "", Reason.NAME),
    ],
)
def test_who_cannot_come_in_is_told_why(
    options: dict[str, object], name: str, reason: Reason
) -> None:
    network = HostNetwork()
    client = network.client(name, **options)  # type: ignore[arg-type]
    network.until(lambda: client.over)
    assert client.over is reason
    assert not network.host.members


@pytest.mark.parametrize(
    "name", ["\u3164", "\u2800", "a" + "\u0301" * 5, "\u200bAnn", "Ann\u202e", "A\ufe0fnn", "A  B"]
)
def test_a_name_that_cannot_be_read_is_refused(name: str, caplog: pytest.LogCaptureFixture) -> None:
    network = HostNetwork()
    with caplog.at_level(logging.INFO, "ecsnet.server"):
        client = network.client(name)
        network.until(lambda: client.over)
    assert client.over is Reason.NAME
    (line,) = [r.getMessage() for r in caplog.records if "refused for its name" in r.getMessage()]
    assert printable(line) == line


def test_no_two_in_one_game_are_called_alike(caplog: pytest.LogCaptureFixture) -> None:
    network = HostNetwork()
    with caplog.at_level(logging.INFO, "ecsnet.server"):
        clients = [network.client(name) for name in ("Ann", "ann", "\uff21nn", "A nn", "Bob")]
        network.until(lambda: all(client.welcome for client in clients))
        names = {"Ann", "ann (2)", "\uff21nn (3)", "A nn (4)", "Bob"}
        assert squares(network).keys() == {seat.name for seat in network.room.seats}
        assert len(squares(network)) == 5
        assert set(map(looks_like, squares(network))) == set(map(looks_like, names))
        for name in squares(network):
            assert any(f"{name} (player" in r.getMessage() for r in caplog.records)
        network.host.disconnect(clients[4].member, Reason.KICKED, network.now)
        again = network.client("Bob")
        network.until(lambda: again.welcome)
        assert "Bob" in squares(network)


def test_a_full_host_refuses() -> None:
    network = HostNetwork(max_clients=2)
    network.joined(2)
    third = network.client("Carl")
    network.until(lambda: third.over)
    assert third.over is Reason.FULL
    assert network.host.stats().clients == 2


def test_who_never_says_hello_is_dropped() -> None:
    network = HostNetwork()
    silent = network.client("Ann", polite=False, schema=OTHER)
    network.run(9)
    assert silent.over is None
    network.run(2)
    assert silent.over is Reason.SCHEMA
    assert not network.host.members


def test_a_stall_of_the_host_is_not_taken_from_the_time_for_a_hello_and_adds_none() -> None:
    network = HostNetwork()
    silent = network.client("Ann", polite=False, schema=OTHER)
    network.run(9)
    network.sleep(30)
    network.run(30.3)
    assert silent.over is None
    network.run(2)
    assert silent.over is Reason.SCHEMA


@pytest.mark.parametrize("update_rate", [60.0, 20.0])
def test_each_report_travels_once(update_rate: float) -> None:
    network = HostNetwork(update_rate=update_rate)
    (ann,) = network.joined(1)
    ann.act = lambda outbox: outbox.hold(STEER, 0, Steer(1))
    network.run(1)
    ann.reports.clear()
    ann.updates.clear()
    network.run(5)
    assert len(ann.updates) == pytest.approx(5 * update_rate, abs=2)
    assert len(ann.reports) == pytest.approx(5 * 4, abs=2)


def test_who_has_no_entity_is_welcome_without_one() -> None:
    spec = moving()

    def delete(player: int) -> None:
        esper.delete_entity(player)

    spec.on_join.append(delete)
    network = HostNetwork(spec)
    with network.room.simulation.world:
        for _ in range(5):
            esper.create_entity(Square())
    (ann,) = network.joined(1)
    assert ann.welcome is not None
    assert ann.welcome.player == 0


def test_senseless_commands_are_strikes() -> None:
    network = HostNetwork()
    (ann,) = network.joined(1)
    assert ann.welcome is not None
    network.run(0.1)
    payload = (ann.welcome.epoch, 1, 1, [["no frame"]])
    ann.say(ann.session.send(payload, network.now, 5))
    network.run(0.1)
    assert ann.member.peer.session.budget.strikes == 1


def test_the_first_tick_that_a_client_hears_of_is_the_one_after_its_welcome() -> None:
    network = HostNetwork()
    behind = set()
    for number in range(6):
        client = network.client(f"Player {number}")
        network.until(lambda client=client: client.updates)  # type: ignore[misc]
        assert client.welcome is not None
        behind.add((client.updates[0] - client.welcome.tick, client.welcome.tick % 2))
        network.run(0.01 * number)
    assert {ticks for ticks, _ in behind} == {1}
    assert {odd for _, odd in behind} == {0, 1}


def test_what_got_lost_before_the_game_is_said_again() -> None:
    network = HostNetwork()
    stranger = network.client("Eve", schema=OTHER)
    while not (stranger.connection and stranger.member.state is MemberState.SCHEMA_MISMATCH):
        network.run(0.001)
        if stranger.connection:
            list(stranger.end.receive())
    for _ in range(100):
        network.run(0.001)
        list(stranger.end.receive())
    assert not stranger.difference
    network.until(lambda: stranger.difference)


@pytest.mark.parametrize(
    "bad",
    [
        b"\xc1",
        encode([99]),
        encode(Hello(WIRE_VERSION, SCHEMA.fingerprint, "Ann")),
        encode(SchemaDiffers("again")),
    ],
)
def test_bad_messages_are_strikes(bad: bytes) -> None:
    network = HostNetwork()
    (ann,) = network.joined(1)
    for _ in range(4):
        ann.session.queue(bad)
    network.run(0.5)
    assert ann.over is None
    assert ann.member.peer.session.budget.strikes == 4
    ann.session.queue(bad)
    network.until(lambda: ann.over)
    assert ann.over is Reason.ABUSE


def test_bad_input_is_a_strike_and_another_epochs_is_not() -> None:
    network = HostNetwork()
    (ann,) = network.joined(1)
    assert ann.welcome is not None
    epoch = ann.welcome.epoch
    # A frame that the server has not had when it comes, for a tick that has not run.
    frame, tick = ann.member.seat.inbox.number + 60, network.room.next_tick + 6
    frames = [[0, 1, [[STEER, 0, [1]]]]]
    for number in range(4):
        ann.say(ann.session.send((epoch, 0, 0, [[0, 1, [["steer"]]]], number), network.now))
        ann.say(ann.session.send((epoch ^ 1, frame, tick, frames), network.now))
    network.run(0.2)
    assert ann.member.peer.session.budget.strikes == 4
    assert ann.member.seat.inbox.applied == 0
    tick = network.room.next_tick + 6
    ann.say(ann.session.send((epoch, frame, tick, frames), network.now))
    network.run(0.2)
    assert ann.member.seat.inbox.applied == 1  # so the epoch it was
    ann.say(ann.session.send((epoch, 0, 0, [], "more"), network.now))
    network.until(lambda: ann.over)
    assert ann.over is Reason.ABUSE


@pytest.mark.parametrize("state", [MemberState.JOINING, MemberState.JOINED])
def test_a_member_that_is_disconnected_again_has_left_once(state: MemberState) -> None:
    network = HostNetwork()
    (bob,) = network.joined(1)
    network.client("Ann")
    while not (found := [m for m in network.host.members.values() if m.name == "Ann"]):
        network.run(0.001)
    (member,) = found
    while member.state is not state:
        network.run(0.001)
    for _ in range(2):
        network.host.disconnect(member, Reason.ABUSE, network.now)
    network.run(0.5)
    assert member.state is MemberState.CLOSED
    assert list(network.host.members.values()) == [bob.member]
    assert len(network.room.names) == len(network.room.players) == 1


def test_a_flood_is_dropped_and_its_sender_too() -> None:
    network = HostNetwork()
    ann, bob = network.joined(2)

    def flood() -> None:
        for _ in range(20):
            ann.say(ann.session.send(("x",) * 50, network.now))
        if ann.over is None:
            network.at(0.01, flood)

    flood()
    bob.act = lambda outbox: outbox.hold(STEER, 0, Steer(1))
    network.run(8)
    assert ann.over is Reason.ABUSE
    assert bob.over is None
    assert squares(network)["Player 1"] > 7


def test_resync_makes_everything_owed() -> None:
    network = HostNetwork()
    (ann,) = network.joined(1)
    network.run(0.5)
    assert ann.member.client_state is not None
    before = ann.structures
    ann.tell(Resync())
    network.until(lambda: ann.member.peer.received == 2)
    network.run(0.5)
    assert ann.structures == before + 1
    assert ann.over is None


def test_a_ping_is_answered_at_once() -> None:
    network = HostNetwork(moving(1.0))
    (ann,) = network.joined(1)
    network.run(0.5)
    before = network.host.stats().packets_sent
    ann.say(ann.session.ping(network.now))
    network.run(0.001)
    assert network.host.stats().packets_sent == before + 1


def test_garbage_does_nothing() -> None:
    network = HostNetwork()
    (ann,) = network.joined(1)
    dice = random.Random(5)
    for _ in range(2000):
        network.host.receive_datagrams(
            [(dice.randbytes(dice.randrange(1500)), ann.address)], network.now
        )
        network.host.receive_datagrams(
            [(dice.randbytes(dice.randrange(100)), ("10.9.9.9", 5))], network.now
        )
    network.run(0.5)
    assert ann.over is None
    assert len(network.host.members) == 1


def test_a_stalled_host_drops_time_and_goes_on() -> None:
    network = HostNetwork()
    (ann,) = network.joined(1)
    ann.act = lambda outbox: outbox.hold(STEER, 0, Steer(1))
    network.run(3)
    ticks, x = network.room.simulation.tick, squares(network)["Player 0"]
    network.sleep(5)
    network.run(5.2)
    assert network.room.simulation.tick - ticks < 20
    assert 285 < network.room.dropped_ticks < 300
    assert squares(network)["Player 0"] - x < 0.5
    network.run(2)
    before = squares(network)["Player 0"]
    network.run(2)
    assert squares(network)["Player 0"] - before == pytest.approx(2, abs=0.05)
    assert ann.over is None
    slack = [report.slack / 16 for report in ann.reports[-4:]]
    assert all(-1 < s < 6 for s in slack)


def test_dropped_ticks_are_a_warning_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    network = HostNetwork()
    network.run(1)
    for _ in range(3):
        network.sleep(1)
        network.run(2)
    warnings = [r.getMessage() for r in caplog.records if "ticks dropped" in r.getMessage()]
    assert len(warnings) == 1
    assert 40 < int(warnings[0].split()[0]) < 70
    network.run(10)
    warnings = [r.getMessage() for r in caplog.records if "ticks dropped" in r.getMessage()]
    assert len(warnings) == 2
    assert 80 < int(warnings[1].split()[0]) < 140
    assert sum(int(warning.split()[0]) for warning in warnings) == network.host.dropped_ticks


def test_a_stalled_client_comes_right() -> None:
    network = HostNetwork()
    (ann,) = network.joined(1, frame_rate=62.5)
    ann.act = lambda outbox: outbox.hold(STEER, 0, Steer(1))
    network.run(2)
    ann.deaf = True
    network.run(5)
    x = squares(network)["Player 0"]
    network.run(0.01)
    assert squares(network)["Player 0"] == x
    ann.deaf = False
    ann.poll()
    network.run(1)
    before = squares(network)["Player 0"]
    network.run(2)
    assert squares(network)["Player 0"] - before == pytest.approx(2, abs=0.05)


def test_a_short_delay_is_caught_up() -> None:
    network = HostNetwork()
    network.run(1)
    ticks = network.room.simulation.tick
    network.sleep(0.08)
    network.run(1)
    assert network.room.simulation.tick - ticks == pytest.approx(60, abs=1)
    assert network.room.dropped_ticks == 0


def test_early_lets_a_timer_keep_the_beat() -> None:
    network = HostNetwork()
    host, room = network.host, network.room
    host.tick(100.0)
    half = 0.5 / 60
    ran = [host.tick(100.0 + (k + (-1) ** k * 0.01) / 60, early=half) for k in range(1, 50)]
    assert ran == [1] * 49
    assert room.dropped_ticks > 0
    assert host.tick(100.0 + 49.1 / 60) == 0


def test_one_timer_keeps_the_beat_of_rooms_that_tick_at_other_rates() -> None:
    network = HostNetwork()
    slow = network.host.add_room(moving(20.0), network.now)
    odd = network.host.add_room(moving(25.0), network.now)
    rooms = {network.room: 60.0, slow: 20.0, odd: 25.0}
    for beat in range(60 * 20):
        network.host.tick(network.now + beat / 60, early=0.5 / 60)
    for room, rate in rooms.items():
        assert room.simulation.tick == pytest.approx(20 * rate, abs=2)
        assert room.dropped_ticks == 0


def test_updates_come_at_their_own_rate() -> None:
    network = HostNetwork()
    slow = network.host.add_room(moving(), network.now, update_rate=20)
    network.host.choose = lambda name: slow
    (ann,) = network.joined(1)
    assert ann.welcome is not None
    assert ann.welcome.update_rate == 20
    ann.act = lambda outbox: outbox.hold(STEER, 0, Steer(1))
    network.run(2)
    assert {tick % 3 for tick in ann.updates} == {0}
    assert 30 <= len(ann.updates) <= 45


def test_two_simulations_in_one_host_know_nothing_of_each_other() -> None:
    network = HostNetwork()
    second = network.host.add_room(moving(20.0), network.now)
    rooms = {"Ann": network.room, "Bob": second}
    network.host.choose = rooms.__getitem__
    ann, bob = network.client("Ann"), network.client("Bob")
    network.until(lambda: ann.welcome and bob.welcome)
    assert ann.welcome is not None
    assert bob.welcome is not None
    assert ann.welcome.epoch != bob.welcome.epoch
    assert (ann.welcome.player_id, bob.welcome.player_id) == (1, 1)
    for client in (ann, bob):
        client.act = lambda outbox: outbox.hold(STEER, 0, Steer(1))
    network.run(2)
    assert squares(network).keys() == {"Ann"}
    assert second.simulation.tick < network.room.simulation.tick
    with second.simulation.world:
        assert [player.name for _, player in esper.get_component(Player)] == ["Bob"]
    assert ann.outbox.sent > 50
    assert bob.outbox.sent > 20


def test_closing_tells_everybody_and_ends_the_worlds(caplog: pytest.LogCaptureFixture) -> None:
    spec = moving()
    left: list[tuple[int, int]] = []
    spec.on_leave.append(lambda player: left.append((player, net.tick())))
    network = HostNetwork(spec)
    with caplog.at_level(logging.INFO, "ecsnet.server"):
        ann, bob = network.joined(2)
        members = [str(client.member) for client in (ann, bob)]
        tick = network.room.simulation.tick
        network.host.close(Reason.SHUTDOWN, network.now)
    assert [tick for _, tick in left] == [tick, tick]
    assert set(members) == {
        "Player 0 (player 2, 10.0.0.1:1000)",
        "Player 1 (player 1, 10.0.0.1:1001)",
    }
    for who in members:
        assert f"{who} joined" in caplog.messages
        assert f"{who} is gone: shutdown" in caplog.messages
    network.host.close(Reason.SHUTDOWN, network.now)
    network.host.close(Reason.SHUTDOWN, network.now)
    network.run(0.2)
    assert ann.over is bob.over is Reason.SHUTDOWN
    assert network.room.simulation.world.closed
    assert network.host.tick(network.now) == 0
    late = network.client("Carl")
    network.run(1)
    assert late.over is None


def test_a_failing_system_stops_its_simulation() -> None:
    spec = moving()

    def broken(dt: float) -> None:
        if net.tick() == 30:
            raise RuntimeError("boom")

    spec.add_function(broken, 0)
    network = HostNetwork(spec)
    network.run(2)
    assert isinstance(network.host.failure, RuntimeError)
    assert network.room.simulation.tick == 30


def test_a_player_that_the_game_deletes_is_welcomed_all_the_same() -> None:
    spec = SimulationSpec()
    spec.on_join.append(esper.delete_entity)
    network = HostNetwork(spec)
    (ann,) = network.joined(1)
    assert ann.welcome is not None
    assert ann.welcome.player == 0
    ann.act = lambda outbox: outbox.hold(STEER, 0, Steer(1))
    network.run(2)
    stats = network.host.stats()
    assert stats.commands_rejected > 50
    last = ann.reports[-1]
    assert 50 < last.rejected <= stats.commands_rejected


def test_reports_come_four_times_a_second_and_are_not_repeated() -> None:
    network = HostNetwork()
    (ann,) = network.joined(1)
    ann.act = lambda outbox: outbox.hold(STEER, 0, Steer(1))
    network.run(5)
    assert 16 <= len(ann.reports) <= 21
    applied = [report.applied for report in ann.reports]
    assert applied == sorted(set(applied))


def test_holding_still_runs_no_systems_but_replicates() -> None:
    network = HostNetwork()
    (ann,) = network.joined(1)
    ann.act = lambda outbox: outbox.hold(STEER, 0, Steer(1))
    network.run(1)
    network.room.simulation.paused = True
    network.run(0.1)
    x = squares(network)["Player 0"]
    updates = len(ann.updates)
    network.run(1)
    assert squares(network)["Player 0"] == x
    assert len(ann.updates) > updates
    ann.act = lambda outbox: outbox.release_all()
    network.run(1)
    stats = network.host.stats()
    assert ann.outbox.sent == stats.commands_applied + stats.commands_superseded


def test_the_same_traffic_makes_the_same_match() -> None:
    def play(seed: int) -> tuple[dict[str, float], int]:
        network = HostNetwork(seed=seed)
        network.lag, network.jitter, network.loss = 0.05, 0.02, 0.1
        clients = network.joined(3)
        for number, client in enumerate(clients):
            client.act = lambda outbox, n=number: outbox.hold(STEER, 0, Steer(n))  # type: ignore[misc]
        network.run(3)
        return squares(network), network.host.stats().bytes_sent

    assert play(1) == play(1)
    assert play(1) != play(2)


def test_unknown_peers_cost_nothing() -> None:
    network = HostNetwork()
    dice = random.Random(1)
    for port in range(1000):
        network.host.receive_datagrams([(dice.randbytes(64), ("10.1.1.1", port + 1))], network.now)
    assert not network.host.members
    assert network.host.stats().packets_sent == 0


@pytest.mark.parametrize("limit", ["BACKLOG_MESSAGES", "BACKLOG_BYTES"])
def test_a_client_that_acknowledges_nothing_is_given_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, limit: str
) -> None:
    caplog.set_level(logging.INFO, "ecsnet.server")
    monkeypatch.setattr(f"ecsnet.server.host.{limit}", 600)

    def spawn(dt: float) -> None:
        esper.create_entity(Square())

    spec = moving()
    spec.add_function(spawn, 0)
    network = HostNetwork(spec)
    ann, bob = network.joined(2)
    member = ann.member
    network.until(lambda: member.client_state is not None)
    # Nothing gets through to Ann, who goes on sending: silent she is not.
    connection = member.peer.connection
    assert connection is not None
    member.peer.relink(connection, member.address, lambda _datagram, _address: None)
    network.run(20)
    assert connection.closed
    assert f"{member} takes in too little" in caplog.text
    assert list(network.host.members.values()) == [bob.member]
    assert 20 < member.peer.queued < 1200


@pytest.mark.parametrize("limit", ["BACKLOG_MESSAGES", "BACKLOG_BYTES"])
def test_a_backlog_may_be_as_long_as_its_limit(monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    network = HostNetwork()
    (ann,) = network.joined(1)
    network.run(0.5)
    member, peer = ann.member, ann.member.peer
    connection = peer.connection
    assert connection is not None
    peer.relink(connection, member.address, lambda _datagram, _address: None)
    for _ in range(20):
        peer.queue(bytes(50))
    backlog = {"BACKLOG_MESSAGES": peer.queued - peer.delivered, "BACKLOG_BYTES": peer.backlog}
    assert backlog["BACKLOG_MESSAGES"] == 20
    monkeypatch.setattr(f"ecsnet.server.host.{limit}", backlog[limit])
    network.run(0.5)
    assert network.host.member(ann.address) is member
    peer.queue(b"\x90")
    network.run(0.5)
    assert network.host.member(ann.address) is None


def test_each_warning_of_dropped_ticks_counts_those_since_the_one_before(
    caplog: pytest.LogCaptureFixture,
) -> None:
    network = HostNetwork()
    network.run(1)
    network.sleep(1)
    network.run(2)
    first = network.room.dropped_ticks
    network.sleep(1)
    network.run(8)  # ten seconds have to pass from one warning to the next
    assert [r.getMessage().split()[0] for r in caplog.records] == [str(first)]
    network.run(5)
    second = network.room.dropped_ticks - first
    assert [r.getMessage().split()[0] for r in caplog.records] == [str(first), str(second)]


@pytest.mark.parametrize(("late", "dropped"), [(0.11, 0), (0.13, 7)])
def test_a_tenth_of_a_second_and_a_tick_are_caught_up_and_what_is_beyond_is_dropped(
    late: float, dropped: int
) -> None:
    network = HostNetwork()
    host, room = network.host, network.room
    host.tick(100.0)
    before = room.dropped_ticks
    assert host.tick(room.next_at + late) == 7 - dropped + (dropped > 0)
    assert room.dropped_ticks - before == dropped


def test_the_plan_follows_a_timer_by_an_eighth_of_what_it_is_off() -> None:
    network = HostNetwork()
    host, room = network.host, network.room
    host.tick(100.0)
    for off in (0.3 / 60, -0.3 / 60):
        due = room.next_at
        assert host.tick(due + off, early=0.5 / 60) == 1
        assert room.next_at == pytest.approx(due + off / 8 + 1 / 60, abs=1e-9)


def test_a_host_without_rooms_has_something_to_do_ten_times_a_second() -> None:
    network = HostNetwork()
    host = network.host
    slow = host.add_room(moving(20.0), network.now)
    host.tick(100.0)
    assert host.next_tick_at == network.room.next_at < slow.next_at
    for room in (network.room, slow):
        host.remove_room(room, Reason.SHUTDOWN, 100.0)
    host.tick(101.0)
    assert host.next_tick_at == pytest.approx(101.1)
    host.tick(101.05)
    assert host.next_tick_at == pytest.approx(101.1)


@pytest.mark.parametrize(("options", "name"), [({"version": WIRE_VERSION + 1}, "Ann"), ({}, " A")])
def test_who_is_refused_takes_no_seat(options: dict[str, object], name: str) -> None:
    network = HostNetwork()
    client = network.client(name, **options)  # type: ignore[arg-type]
    network.until(lambda: client.over)
    network.run(0.5)
    assert network.room.occupants() == []
    assert len(network.room.names) == 0
    assert network.host.stats().joined == 0


def test_commands_from_somebody_without_a_room_are_no_offence() -> None:
    network = HostNetwork()
    eve = network.client("Eve", schema=OTHER, polite=False)
    network.until(lambda: eve.difference)
    received = eve.member.peer.session.packets_received
    eve.say(eve.session.send((1, 0, 0, []), network.now))
    network.run(0.1)
    assert eve.member.peer.session.packets_received > received
    assert eve.member.peer.session.budget.strikes == 0


def test_what_asks_for_no_answer_gets_none() -> None:
    network = HostNetwork(moving(1.0))
    (ann,) = network.joined(1)
    network.run(0.5)
    ann.say(ann.session.ping(network.now))
    network.run(0.001)
    stats = network.host.stats()
    ann.say(ann.session.send(None, network.now))
    network.run(0.001)
    after = network.host.stats()
    assert after.packets_received == stats.packets_received + 1
    assert after.packets_sent == stats.packets_sent


def test_the_very_first_frame_of_a_client_counts() -> None:
    network = HostNetwork()
    ann = network.client("Ann")
    jumps = [Jump(5), Jump(70)]

    def act(outbox: Outbox) -> None:
        if jumps:
            outbox.act(JUMP, 0, jumps.pop(0))

    ann.act = act
    network.until(lambda: ann.welcome)
    network.run(1)
    assert not jumps
    assert squares(network) == {"Ann": 75}


def test_a_resync_on_the_way_from_one_room_to_another_is_no_offence() -> None:
    network = HostNetwork()
    (ann,) = network.joined(1)
    slow = network.host.add_room(moving(1.0), network.now)
    network.run(0.1)  # its first tick has run
    member = ann.member
    network.host.move(member, slow, network.now)
    ann.tell(Resync())
    received = member.peer.received
    network.until(lambda: member.peer.received > received, 0.5)
    assert member.state is MemberState.JOINING
    assert member.peer.session.budget.strikes == 0


def test_who_has_a_room_is_not_given_up_because_its_first_update_takes_long() -> None:
    network = HostNetwork(update_rate=0.2)
    network.run(1.0)
    ann = network.client("Ann")
    network.until(lambda: ann.connection and ann.member.state is MemberState.JOINED)
    ann.member.deadline = network.now  # it said hello at the last moment
    network.run(1.0)
    assert ann.over is None
    network.until(lambda: ann.member.client_state is not None)


def test_who_says_nothing_at_all_is_given_up_for_time() -> None:
    network = HostNetwork()
    ann = network.client("Ann")
    ann.tell = lambda _message: None  # type: ignore[method-assign]
    network.run(9)
    assert ann.over is None
    assert str(ann.member) == "(10.0.0.1:1000)"
    network.run(2)
    assert ann.over is Reason.TIMEOUT


def test_a_member_is_called_by_its_name_and_address() -> None:
    network = HostNetwork()
    eve = network.client("Eve", address=("fd00::1", 5000, 0, 0), schema=OTHER, polite=False)
    network.until(lambda: eve.difference)
    assert str(eve.member) == "Eve (fd00::1:5000)"
    ann = network.client("Ann", address=("fd00::1", 5001, 0, 0))
    network.until(lambda: ann.welcome)
    assert str(ann.member) == "Ann (player 1, fd00::1:5001)"


def test_of_two_rooms_whose_hooks_raise_at_the_end_the_first_says_why() -> None:
    def failing(text: str) -> SimulationSpec:
        def leave(player: int) -> None:
            raise RuntimeError(text)

        spec = moving()
        spec.on_leave.append(leave)
        return spec

    network = HostNetwork(failing("first"))
    rooms = [network.room]
    rooms += [network.host.add_room(spec, network.now) for spec in (failing("second"), moving())]
    places = iter(rooms)
    network.host.choose = lambda _name: next(places)
    network.joined(3)
    assert all(room.seats for room in rooms)
    network.host.close(Reason.SHUTDOWN, network.now)
    assert str(network.host.failure) == "first"


def given_directly(client: Client, tick: int, number: int, now: float) -> None:
    """Let a host have a held command for a tick, at a moment of the test's choice."""
    assert client.welcome is not None
    assert client.connection is not None
    frames = [[0, 1, [[STEER, 0, [1]]]]]
    packet = client.session.send((client.welcome.epoch, number, tick, frames), now)
    datagram = client.connection.seal(packet)
    client.network.host.receive_datagrams([(datagram, client.address)], now)


def test_a_report_says_by_how_many_ticks_the_latest_of_its_commands_was_early() -> None:
    network = HostNetwork()
    (ann,) = network.joined(1)
    ann.playing = False  # what there is to say comes from the test
    network.run(0.5)
    ann.reports.clear()
    room, number = network.room, ann.member.seat.inbox.number + 60
    for count, ahead in enumerate((3, 9), 1):
        while room.next_tick % 15 != ann.member.seat.report_turn:
            network.run(0.001)
        network.run(1.5 / 60)
        early = ahead + (room.next_at - network.now) * 60
        given_directly(ann, room.next_tick + ahead + 1, number, network.now)
        given_directly(ann, room.next_tick + ahead, number + 1, network.now)
        number += 2
        network.run(0.3)
        assert [report.slack for report in ann.reports[count - 1 :]] == [round(16 * early)]


def test_commands_that_wait_for_a_host_that_slept_are_measured_by_its_new_plan() -> None:
    network = HostNetwork()
    (ann,) = network.joined(1)
    ann.playing = False
    network.run(0.5)
    room, seat = network.room, ann.member.seat
    given_directly(ann, room.next_tick + 4, seat.inbox.number + 60, room.next_at + 5.0)
    assert 3 < seat.slack <= 4
    assert room.dropped_ticks == pytest.approx(300, abs=1)


@pytest.mark.parametrize("start", [3 << 30, (1 << 32) + 5, (1 << 33) + 12])
def test_a_welcome_has_the_low_half_of_a_high_tick(start: int) -> None:
    joined: list[int] = []
    spec = moving()
    spec.on_join.append(lambda player: joined.append(net.tick()))
    network = HostNetwork(spec)
    network.room.simulation.tick, network.room.next_tick = start, start + 1
    for _ in range(2):
        (client,) = network.joined(1)
        assert client.welcome is not None
        assert client.welcome.tick == joined[-1] & 0xFFFF_FFFF
        network.run(1 / 60)
    assert joined[0] > start


@pytest.mark.parametrize(
    ("timeout", "command_rate", "seconds"),
    [(0.1, None, 3 * KEEPALIVE), (0.1, 1.0, 3.0), (0.1, 20.0, 3 * KEEPALIVE), (4.0, 1.0, 4.0)],
)
def test_nobody_is_given_up_before_three_packets_are_missing(
    timeout: float, command_rate: float | None, seconds: float
) -> None:
    host = HostNetwork(timeout=timeout).host
    host.add_room(moving(), 50.0, command_rate=command_rate)
    host.add_room(moving(), 50.0)  # the slowest room counts
    assert host.peers.listener.timeout == pytest.approx(seconds)
