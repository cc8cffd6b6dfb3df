"""The test vectors in docs/protocol.md, each built again by the code from fixed inputs."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator
from hashlib import blake2b
from itertools import accumulate
from pathlib import Path
from typing import Annotated
from zlib import crc32

import esper
import msgspec
import pytest

from ecsnet import limits
from ecsnet.client.protocol import JOINING_SECONDS
from ecsnet.client.tick_clock import UPDATES_MISSED
from ecsnet.commands.frames import ACTIONS_A_TICK, HELD_STATES, Input, frames_gate
from ecsnet.commands.inbox import HORIZON_SECONDS, REPEAT_SECONDS, WAITING
from ecsnet.commands.join_data import JOIN_DATA_BYTES, JoinDataGate, encode_join_data
from ecsnet.commands.outbox import Outbox
from ecsnet.connection import plain
from ecsnet.connection.plain import ClientHandshake, Connection, Listener
from ecsnet.messages.joining import WIRE_VERSION, Hello, SchemaDiffers, SchemaOffer, Welcome
from ecsnet.peer import Peer
from ecsnet.replication.client import store
from ecsnet.replication.client.event_queue import EVENTS, EVENTS_BYTES
from ecsnet.replication.client.references import MENTIONS
from ecsnet.replication.encoding import encode_events, encode_run, encode_structure
from ecsnet.replication.server.events import LOOSE_BYTES
from ecsnet.replication.server.packing import EncodedRun as SharedRun
from ecsnet.replication.server.packing import SentUpdates
from ecsnet.replication.sizes import CONTAINER_BYTES, MENTIONS_OF_ONE
from ecsnet.replication.wire import (
    EVENT_BYTES,
    EVENTS_MESSAGE_BYTES,
    HELD,
    LEFT_OUT,
    MESSAGE_BYTES,
    STRUCTURE_BYTES,
    Report,
    Resync,
    WireFormat,
    encode_part,
)
from ecsnet.schema import (
    Between,
    EntityRef,
    Gate,
    MaxLen,
    Quantized,
    Registry,
    command,
    command_type,
    component_type,
    encode,
    event,
    event_type,
    register_type,
    replicated,
    use_registry,
)
from ecsnet.server import host, members, room
from ecsnet.server.world import ServerWorld
from ecsnet.session import channel, inbound_budget
from ecsnet.session import session as sessions
from ecsnet.session.channel import Incoming
from ecsnet.session.goodbye import Reason
from ecsnet.session.packets import RAW, Fragment
from ecsnet.session.session import Session
from ecsnet.simulation.events import emit
from ecsnet.simulation.simulation import commands, tick

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "protocol.md"

NONCE = bytes(range(0x01, 0x09))
SESSION_ID = bytes(range(0x11, 0x19))
SECRET = bytes(32)
ADDRESS = ("192.0.2.1", 40000)
EPOCH = 0xCAFE


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Angle:
    """A type that is not ours, such as a vector of a game library."""

    def __init__(self, degrees: float) -> None:
        self.degrees = degrees


# The small game that the document describes.
with use_registry(Registry()) as _registry:
    register_type(Angle, float, lambda angle: angle.degrees, Angle)

    @replicated(interpolate=True, snap=60)
    class Spot:
        x: Annotated[float, Quantized(0.5), Between(0, 100)] = 0.0
        y: float = 0.0

    @replicated
    class Tank:
        hp: int = 100
        colour: Colour = Colour.RED
        target: EntityRef = None
        aim: Angle | None = None
        spot: Spot | None = None
        tags: tuple[str, ...] = ()
        crew: list[int] = []
        ammo: dict[str, int] = {}
        key: bytes = b""
        tracked: bool = False

    @replicated(visible_to="owner", rate=3)
    class Fuel:
        left: int = 0

    @command(hold=True)
    class Steer:
        dx: Annotated[int, Between(-1, 1)] = 0

    @command
    class Say:
        text: Annotated[str, MaxLen(40)] = ""

    @event
    class Boom:
        size: int
        by: EntityRef = None

    @event
    class Calm:
        pass

    SCHEMA = _registry.schema()


def vectors() -> dict[str, bytes]:
    """Every vector, by the name that it has in the document."""
    made = dict(_handshake())
    made.update(_packets())
    made.update(_joining())
    made.update(_commands())
    made.update(_replication())
    return made


def _handshake() -> Iterator[tuple[str, bytes]]:
    handshake = ClientHandshake(NONCE, 0.0)
    listener = Listener(SECRET, lambda count: SESSION_ID[:count], 8)
    (request,) = handshake.poll(0.0)
    yield "request", request
    answer = listener.receive_handshake(request, ADDRESS, 1.0)
    assert answer is not None
    (challenge,) = answer.replies
    yield "challenge", challenge
    assert handshake.receive_answer(challenge, 0.0)
    (response,) = handshake.poll(0.0)
    yield "response", response
    answer = listener.receive_handshake(response, ADDRESS, 1.0)
    assert answer is not None
    (accept,) = answer.replies
    yield "accept", accept
    assert handshake.receive_answer(accept, 0.0)

    full = Listener(SECRET, bytes, 0)
    answer = full.receive_handshake(response, ADDRESS, 1.0)
    assert answer is not None
    (refuse,) = answer.replies
    yield "refuse", refuse

    client = handshake.connection
    assert client is not None
    server = Connection(ADDRESS, SESSION_ID, 0.0, server=True)
    packet = encode((1, 0, 0, None))
    yield "payload-to-server", client.seal(packet)
    yield "payload-to-client", server.seal(packet)


def _packets() -> Iterator[tuple[str, bytes]]:
    # Numbers 1 and 4 have come, 2 and 3 have not.
    peer, other = Peer(RAW), Peer(RAW)
    (first,) = peer.pack(None, 0.0)
    peer.pack(None, 0.0)
    peer.pack(None, 0.0)
    (fourth,) = peer.pack("hello", 0.0)
    assert other.receive_packet(first, 1.0) is not None
    assert other.receive_packet(fourth, 1.0) is not None
    other.queue(b"\xc3")
    # The first packet pings, and answers the ping in the peer's first after 250 ms.
    (packet,) = other.pack("hi", 1.25)
    yield "packet", packet
    session = Session(RAW)
    session.send(None, 0.0)  # takes the ping that is due
    yield "packet-short", session.send("hi", 0.01)
    yield "packet-goodbye", session.pack_goodbye(Reason.KICKED, "out", 0.02)
    yield "fragment-part", encode((7, b"abc", 2, 3))


def _joining() -> Iterator[tuple[str, bytes]]:
    yield "fingerprint", SCHEMA.fingerprint
    yield "hello", encode(Hello(WIRE_VERSION, SCHEMA.fingerprint, "Ada"))
    data = encode_join_data(SCHEMA, command_type(Say), Say("red"))
    yield "hello-data", encode(Hello(WIRE_VERSION, SCHEMA.fingerprint, "Ada", data, True))
    welcome = Welcome(EPOCH, 5, 1, 60.0, 30.0, 1000, 20.0, 0x0123_4567_89AB_CDEF, 0.25)
    yield "welcome", encode(welcome)
    yield "schema-offer", encode(SchemaOffer(encode([])))
    yield "schema-differs", encode(SchemaDiffers("too bad"))
    yield "resync", encode(Resync())


def _commands() -> Iterator[tuple[str, bytes]]:
    steer, say = SCHEMA.command_id_of[Steer], SCHEMA.command_id_of[Say]
    outbox = Outbox()
    outbox.hold(steer, 0, [1])
    outbox.act(say, 9, ["hi"])
    outbox.stamp(range(1000, 1003))
    outbox.release(steer, 0)
    outbox.stamp(range(1003, 1004))
    packed = outbox.pack(900)
    assert packed is not None
    yield "input", encode((EPOCH, packed.number, packed.tick, packed.frames))
    outbox = Outbox()
    outbox.drawn = 16 * 994 + 3
    outbox.act(say, 0, ["hi"])
    outbox.stamp(range(1000, 1001))
    packed = outbox.pack(900)
    assert packed is not None
    yield "input-drawn", encode((EPOCH, packed.number, packed.tick, packed.frames))


def _replication() -> Iterator[tuple[str, bytes]]:
    cid_of = SCHEMA.cid_of
    local_to_network = {70: 7, None: None}
    spots = [
        component_type(Spot).to_wire(value, local_to_network.get)
        for value in (Spot(10.0, 1.0), Spot(10.5, 2.0))
    ]
    full = Tank(
        hp=3,
        colour=Colour.BLUE,
        target=70,
        aim=Angle(90.0),
        spot=Spot(1.0, 0.0),
        tags=("a",),
        crew=[1, 2],
        ammo={"b": 300},
        key=b"\x01",
        tracked=True,
    )
    yield "value", encode(component_type(Tank).to_wire(full, local_to_network.get))
    run = encode_run([5, 7], [(cid_of[Spot], spots)])
    yield "run", run
    (body,) = SentUpdates().fill_datagrams([SharedRun([5, 7], (cid_of[Spot],), run)])
    report = Report(24, 10, 0, 1, 0)
    part = encode_part(1, 2, HELD)
    yield "update", encode((EPOCH, 1000, 1, 2, part, report, body.raw))
    yield "update-empty", encode((EPOCH, 1000, 0, 2, 0, None, []))
    boom, calm = (_event(each) for each in (Boom(3, 70), Calm()))
    yield "update-events", encode((EPOCH, 1000, 0, 2, LEFT_OUT, None, [], [calm]))
    yield "events", encode_events(EPOCH, 1000, [boom, calm])
    yield (
        "structure",
        encode_structure(EPOCH, 1000, [3, 4], [12], [(cid_of[Fuel], [5])], [msgspec.Raw(run)]),
    )


def _event(happened: object) -> msgspec.Raw:
    kind = event_type(type(happened))
    wire = kind.to_wire(happened, {70: 7, None: None}.get)
    return msgspec.Raw(encode((SCHEMA.event_id_of[kind.cls], wire)))


def documented() -> dict[str, bytes]:
    """The vectors as the document has them."""
    text = DOCUMENT.read_text(encoding="utf-8")
    found: dict[str, bytes] = {}
    for name, block in re.findall(r"^```hex (\S+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        assert name not in found, name
        found[name] = bytes.fromhex("".join(line.partition("#")[0] for line in block.splitlines()))
    return found


def test_every_vector_is_documented() -> None:
    assert documented().keys() == vectors().keys()


@pytest.mark.parametrize("name", list(vectors()))
def test_vector(name: str) -> None:
    built, written = vectors()[name], documented().get(name, b"")
    assert built == written, f"{name} is now {built.hex(' ')}"


def test_vectors_are_understood() -> None:
    """The other way round: the code reads every vector as what the document says it is."""
    made = documented()
    wire = WireFormat(SCHEMA)

    server = Connection(ADDRESS, SESSION_ID, 0.0, server=True)
    assert server.open(made["payload-to-server"], 0.0) == encode((1, 0, 0, None))
    assert server.open(made["payload-to-client"], 0.0) is None

    session = Session(RAW)
    assert session.receive_packet(made["packet-goodbye"], 0.0) is None
    assert session.goodbye is not None
    assert (session.goodbye.reason, session.goodbye.text) == (Reason.KICKED, "out")

    update = wire.update.decode(made["update"])
    assert update is not None
    assert update.report is not None
    assert update.report.slack == 24
    assert (update.index, update.count, update.left_out, update.held) == (1, 2, False, True)
    (run,) = update.runs
    assert run.entities() == [5, 7]
    ((cid, values),) = wire.columns(run) or []
    kind = SCHEMA.components[cid]
    assert kind.cls is Spot
    assert [kind.from_wire(value, lambda net: net) for value in values] == [
        Spot(10.0, 1.0),
        Spot(10.5, 2.0),
    ]

    structure = msgspec.msgpack.decode(made["structure"], type=wire.structure)
    assert list(structure.despawned) == [3, 1]
    assert list(structure.hidden) == [12]

    update = wire.update.decode(made["update-events"])
    assert update is not None
    assert (update.index, update.count, update.left_out, update.held) == (0, 1, True, False)
    happened = msgspec.msgpack.decode(made["events"], type=wire.events)
    told = [wire.event(each) for each in (*update.events, *happened.events)]
    assert [kind.from_wire(value, lambda net: net) for kind, value in told] == [
        Calm(),
        Boom(3, 7),
        Calm(),
    ]

    gate: Gate[Input] = Gate(Input, 1200)
    given = gate.decode(made["input"])
    assert given is not None
    assert given[:3] == (EPOCH, 0, 1000)
    first, second = frames_gate(SCHEMA).decode(given[3]) or []
    assert [type(entry).kind.name for entry in first.commands] == ["Steer", "Say"]
    assert second.commands[0].value is None
    assert first.behind == 0
    given = gate.decode(made["input-drawn"])
    assert given is not None
    (frame,) = frames_gate(SCHEMA).decode(given[3]) or []
    assert frame.behind == 93

    hello = msgspec.msgpack.decode(made["hello-data"], type=Hello)
    assert hello.data is not None
    assert JoinDataGate(SCHEMA.commands).decode(hello.data) == Say("red")

    incoming = Incoming(4096, first=6)
    part = msgspec.msgpack.decode(made["fragment-part"], type=Fragment)
    assert incoming.admit([part]) == 1
    assert incoming.take([part]) == []


def test_sums_are_plain_crc32() -> None:
    """As the document says: one CRC-32 over a prefix and the datagram without its last 4 bytes."""
    made = documented()
    prefixes = {
        b"ECSN" + NONCE: ("request", "challenge", "response", "accept", "refuse"),
        SESSION_ID + b"to server": ("payload-to-server",),
        SESSION_ID + b"to client": ("payload-to-client",),
    }
    for prefix, names in prefixes.items():
        for name in names:
            body, checksum = made[name][:-4], made[name][-4:]
            assert crc32(prefix + body).to_bytes(4, "little") == checksum, name
            assert crc32(made[name], crc32(prefix)) == 0x2144DF1C, name


def test_schema_of_the_document() -> None:
    """The description that the document prints is the one that the fingerprint is taken of."""
    text = DOCUMENT.read_text(encoding="utf-8")
    (printed,) = re.findall(r"^```json description\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    description = msgspec.msgpack.decode(SCHEMA.encode_description())
    stock = [name for _, name, _, _ in description if name.startswith("ecsnet.")]
    own = [entry for entry in description if entry[1] not in stock]
    assert msgspec.json.decode(printed) == own
    assert len(stock) >= 7
    for name in stock:
        assert f"`{name}`" in text


class Foreigner:
    """A client made from the document alone: MessagePack, CRC-32, BLAKE2b, and no line of ours.

    It says what it has to in every packet until that is acknowledged, and never loses anything.
    """

    def __init__(self, fingerprint: bytes) -> None:
        self.nonce = b"stranger"
        self.hello = encode([1, 4, fingerprint, "Zoe"])
        self.session_id = b""
        self.number = 0
        self.came = 0
        self.message = 0
        self.parts: dict[tuple[int, int], bytes] = {}
        self.offer = b""
        self.welcome: list[int] = []
        self.entities: dict[int, dict[int, object]] = {}
        self.values_taken = 0
        self.events: list[object] = []
        self.loose: list[object] = []

    def _sum(self, prefix: bytes, body: bytes) -> bytes:
        return body + crc32(prefix + body).to_bytes(4, "little")

    def request(self) -> bytes:
        body = b"\x01ECSN" + (2).to_bytes(2, "little") + self.nonce
        return self._sum(b"ECSN" + self.nonce, body.ljust(60, b"\0"))

    def receive(self, datagram: bytes) -> bytes | None:
        """Take a datagram; return the answer to one of the handshake."""
        if datagram[0] == 2:
            body = b"\x03" + datagram[1:29]
            return self._sum(b"ECSN" + self.nonce, body.ljust(60, b"\0"))
        if datagram[0] == 4:
            self.session_id = datagram[9:17]
        elif datagram[0] == 6:
            assert self._sum(self.session_id + b"to client", datagram[:-4]) == datagram
            self._packet(*msgspec.msgpack.decode(datagram[1:-4]))
        return None

    def _packet(
        self,
        number: int,
        _ack: int,
        _missing: int,
        payload: list[object] | None,
        fragments: list[list[object]] = [],  # noqa: B006 - never written
        *_pings: object,
    ) -> None:
        self.came = number
        for message, data, part, parts in ([*each, 0, 1][:4] for each in fragments):
            self.parts[message, part] = data  # type: ignore[index, assignment]
            together = [self.parts.get((self.message + 1, n)) for n in range(parts)]  # type: ignore[call-overload]
            if message == self.message + 1 and None not in together:
                self.message += 1
                self._message(b"".join(together))
        if payload is not None:
            self._take(payload[6])
            self.loose += payload[7] if len(payload) > 7 else []  # type: ignore[misc]

    def _message(self, data: object) -> None:
        tag, *fields = msgspec.msgpack.decode(data)  # type: ignore[arg-type]
        if tag == 3:
            self.offer = fields[0]
        elif tag == 2:
            self.welcome = fields
        elif tag == 16:
            _, _, despawned, _, _, sets = fields
            for net in accumulate(despawned):
                del self.entities[net]
            for ids, columns in sets:
                for net in accumulate(ids):
                    self.entities.setdefault(net, {}).update((cid, None) for cid, _ in columns)
            self._take(sets)
        elif tag == 18:
            self.events += fields[2]

    def _take(self, runs: object) -> None:
        for ids, columns in runs:  # type: ignore[attr-defined]
            for cid, values in columns:
                for net, value in zip(accumulate(ids), values, strict=True):
                    if cid in self.entities.get(net, ()):
                        self.entities[net][cid] = value
                        self.values_taken += 1

    def packet(self, payload: object = None) -> bytes:
        self.number += 1
        packet = encode([self.number, self.came, 0, payload, [[1, self.hello]], 0, None])
        return self._sum(self.session_id + b"to server", b"\x06" + packet)


def test_a_client_made_from_the_document_plays() -> None:
    with use_registry(Registry()) as registry:
        registry.add(component_type(Spot))
        registry.add(command_type(Steer))
        registry.add(event_type(Boom))
        server = ServerWorld(tick_rate=60)

    @server.on_join
    def join(player: int) -> None:
        esper.add_component(player, Spot(50.0))

    @server.system
    def move(dt: float) -> None:
        for player, steer in commands(Steer):
            esper.component_for_entity(player, Spot).x += steer.dx * 30 * dt
            emit(Boom(tick(), player), about=player)
            emit(Boom(-tick()), reliable=False)

    sent: list[bytes] = []
    now = 0.0
    host = server.make_host(lambda data, _: sent.append(data), now)

    def meet(client: Foreigner) -> None:
        question: bytes | None = client.request()
        while question is not None:
            host.receive_datagrams([(question, ADDRESS)], now)
            question = client.receive(sent.pop())

    stranger = Foreigner(bytes(16))
    meet(stranger)
    for _ in range(10):
        now += 1 / 60
        host.receive_datagrams([(stranger.packet(), ADDRESS)], now)
        host.tick(now)
        while sent:
            stranger.receive(sent.pop(0))
    assert stranger.welcome == []
    description = msgspec.msgpack.decode(stranger.offer)
    components = [name for kind, name, _, _ in description if kind == "component"]
    commands_ = [name for kind, name, _, _ in description if kind == "command"]

    player = Foreigner(blake2b(stranger.offer, digest_size=16).digest())
    player.nonce = b"insider!"
    meet(player)
    for frame in range(60):
        now += 1 / 60
        payload = None
        if player.welcome:
            epoch, first = player.welcome[0], player.welcome[5]
            held = [commands_.index("Steer"), 0, [1]]
            payload = [epoch, 0, first, [[0, frame, [held]]]]
        host.receive_datagrams([(player.packet(payload), ADDRESS)], now)
        host.tick(now)
        while sent:
            player.receive(sent.pop(0))
    steps, _ = player.entities[player.welcome[1]][components.index("Spot")]  # type: ignore[misc]
    assert 60.0 < steps * 0.5 < 80.0
    assert player.values_taken > 20
    ticks = [value[0] for _, value in player.events]  # type: ignore[attr-defined]
    assert len(ticks) > 20
    assert ticks == list(range(ticks[0], ticks[0] + len(ticks)))
    assert player.events == [[0, [number, player.welcome[1]]] for number in ticks]
    assert player.loose == [[0, [-number, None]] for number in ticks]
    assert host.stats().commands_applied > 30
    host.close(Reason.SHUTDOWN, now)


def test_limits_of_the_document() -> None:
    """The table of limits and timers says what the code holds to, in every row."""
    text = DOCUMENT.read_text(encoding="utf-8").partition("## 8.")[2].partition("## 9.")[0]
    rows = dict(re.findall(r"^\| ([^|]+?) \| ([^|]+?) \|$", text, re.MULTILINE))
    kib, mib = 1024, 1024 * 1024
    session, handshake = Session(RAW), ClientHandshake(b"12345678", 0.0)
    assert rows == {
        "datagram, at most": (
            f"{plain.MAX_DATAGRAM:,} bytes ({plain.MAX_DATAGRAM + 20:,} with 20 left for"
            " a later envelope)"
        ),
        "packet": f"{limits.MAX_PACKET:,} bytes",
        "question, answer timeout of the handshake": (f"{plain._RETRY:g} s, {handshake._left:g} s"),
        "life of a cookie": f"{plain._COOKIE_LIFE_MS / 1000:g} s",
        "silence until a connection is given up": (
            f"{plain.TIMEOUT:g} s (`ServerWorld(timeout=...)`)"
        ),
        "... before its first packet": f"{plain._UNCONFIRMED_TIMEOUT:g} s",
        "joining": f"{members.HANDSHAKE_SECONDS:g} s",
        "keep-alive; while acks are awaited": (f"{sessions.KEEPALIVE:g} s; {sessions._NUDGE:g} s"),
        "pings": f"every {session.ping_interval:g} s",
        "packets behind the newest that are taken": f"{sessions._TRACK:,}",
        "what a client may send in a second": (
            f"{host.PACKET_RATE:g} packets, {host.BYTE_RATE / kib:g} KiB,"
            f" {host.MESSAGE_RATE:g} messages; twice that at once. A packet counts as at least its"
            " share of the bytes"
        ),
        "... where that is more, in each tick": (
            f"{host.PACKETS_A_TICK:g} packets of {limits.MAX_PACKET:,} bytes"
        ),
        "... over that for": (
            f"{inbound_budget.TOLERATED / inbound_budget.EXCESS_STRIKES:g} s, then *abuse*"
        ),
        "senseless packets or messages until *abuse*, of either end": (
            f"{inbound_budget.TOLERATED + 1:g}"
        ),
        "reliable message to the server, to the client": (
            f"{host.MESSAGE_LIMIT:,} bytes, {MESSAGE_BYTES // mib} MiB"
        ),
        "messages, bytes ahead of what was handed out": (
            f"{channel.MESSAGE_WINDOW}, {channel.SPAN // kib} KiB"
        ),
        "messages, bytes of them that may wait for a client": (
            f"{host.BACKLOG_MESSAGES:,}, {host.BACKLOG_BYTES // mib} MiB, then *slow*"
        ),
        "part of a message": f"{channel.FRAGMENT_BYTES:,} bytes",
        "Structure, about": f"{STRUCTURE_BYTES // kib} KiB",
        "... ids and values, of these new entities, runs": (
            f"{store.MESSAGE_PARTS:,}, {store.MESSAGE_ENTITIES:,}, {STRUCTURE_BYTES:,}"
        ),
        f"... bytes, and {CONTAINER_BYTES} for each container in its values": (
            f"{MESSAGE_BYTES // mib} MiB"
        ),
        "entities, their components that a client shows": (
            f"{store.ENTITIES:,}, {store.COMPONENTS:,}"
        ),
        f"... bytes of their values, {CONTAINER_BYTES} for each container in them,"
        f" {store.ITEM_BYTES} for each item": f"{store.CONTENT_BYTES // mib} MiB",
        "an event, one that may get lost; a message with events": (
            f"{EVENT_BYTES:,} bytes, {LOOSE_BYTES:,} bytes; {EVENTS_MESSAGE_BYTES:,} bytes"
        ),
        "events that wait in a client, bytes of them, counted likewise": (
            f"{EVENTS:,}, {EVENTS_BYTES // mib} MiB"
        ),
        "references in one component, in all": f"{MENTIONS_OF_ONE:,}, {MENTIONS:,}",
        "actions in one tick; waiting": f"{ACTIONS_A_TICK}; {WAITING}",
        "held commands": f"{HELD_STATES}",
        "data of a Hello": f"{JOIN_DATA_BYTES:,} bytes",
        "wait for acks before *kicked*": f"{host.GOODBYE_SECONDS:g} s",
        "horizon of command ticks": (
            f"{HORIZON_SECONDS:g} s, two intervals of the command rate and"
            f" {UPDATES_MISSED} of the update rate"
        ),
        "repeated held commands": f"{REPEAT_SECONDS:g} s",
        "looking back at what a client drew": (
            f"{room.REWIND_SECONDS:g} s (`ServerWorld(rewind=...)`), and what its path explains"
        ),
        "report": f"every {room.REPORT_SECONDS:g} s",
    }
    assert JOINING_SECONDS == members.HANDSHAKE_SECONDS
