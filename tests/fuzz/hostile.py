"""A live host and live clients in one process, and somebody who sends them what is bad.

Everything honest runs undisturbed on a virtual clock, without loss: a *witness* plays on from
beginning to end, and after each beat it must show what the server's world holds. Against that,
the hostile datagrams come in two sorts.

*Unsealed* ones do not have the session's checksum: noise, truncated, mutated, replayed, foreign
and reflected datagrams, forged handshakes. They go to the host and to the witness and may change
nothing at all, in no component.

*Sealed* ones have it, as a malicious peer's would: spoiled envelopes, packets, payloads and
reliable messages, so that every inner layer is reached. They go to the host as if from a player
of their own, whose commands the game obeys in nothing, and to a *victim* client as if from its
server. The host's world may not change by them; a victim's may only say what some sound message
said, since a checksum is no signature and a sound message is as good as the server's.
"""

from __future__ import annotations

import gc
import random
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import accumulate
from typing import Any
from zlib import crc32

import game
import msgspec
from game import SCHEMA
from mutations import (
    Tree,
    decode,
    encode,
    garbage,
    junk,
    mutated,
    respin,
    safely_encoded,
    truncated,
)

from ecsnet.client.world import ClientWorld
from ecsnet.components import LobbyInfo, LobbyPlayer, LobbyReady, LobbyState, Presence
from ecsnet.connection.plain import ClientHandshake, Connection, Listener
from ecsnet.limits import MAX_PACKET
from ecsnet.messages.joining import WIRE_VERSION, Hello, SchemaDiffers, SchemaOffer, Welcome
from ecsnet.notifications import Disconnected
from ecsnet.peer import Peer
from ecsnet.replication.client.comparison import comparable
from ecsnet.replication.wire import EVENTS_TAG, STRUCTURE_TAG, Resync
from ecsnet.schema import event_type
from ecsnet.server.host import Host
from ecsnet.server.members import Member
from ecsnet.session.goodbye import Reason
from ecsnet.session.packets import RAW
from ecsnet.session.session import Session
from ecsnet.testing import Network
from ecsnet.transport.address import Address
from ecsnet.validation.text import clean_text

UNSEALED = ("garbage", "truncated", "mutated", "replayed", "foreign", "reflected", "handshake")
SEALED = ("envelope", "packet", "payload", "message", "greeting")
KINDS = tuple(f"{kind} to {whom}" for whom in ("server", "client") for kind in (*UNSEALED, *SEALED))
"""What is counted of what was sent."""

OUTCOMES = (
    "server: datagram refused by the envelope",
    "server: handshake refused",
    "server: packet malformed",
    "server: packet repeated",
    "server: ack refused",
    "server: pieces refused",
    "server: packet over budget",
    "server: message refused by the gate",
    "server: commands refused by the gate",
    "server: commands rejected",
    "server: commands that reached a system",
    "server: data that reached a hook",
    "server: calls that ran",
    "server: commands that reached the lobby",
    "server: looks back",
    "server: matches",
    "server: players thrown out",
    "server: players found silent",
    "server: offenders dropped",
    "client: datagram refused",
    "client: packet malformed",
    "client: packet repeated",
    "client: ack refused",
    "client: pieces refused",
    "client: payload refused by the gate",
    "client: message refused by the gate",
    "client: update or structure that contradicts itself",
    "client: sound forgery taken",
    "client: forged event taken",
    "client: forged call ran",
    "client: calls for what is not there",
    "client: forged lobby read",
    "client: told why it is thrown out",
    "client: put into another room",
    "client: connections ended",
    "client: smooth ones",
    "client: values drawn between two",
    "client: frames drawn ahead",
    "client: frames beyond what was heard",
    "client: predictions corrected",
    "client: ticks predicted again",
)
"""What is counted of what became of it: each of them shows that a layer was reached."""

TICK = 1 / 60
_LIFE = 150  # datagrams that a victim gets at most
_PAYLOAD = 6
_RARE = 0.0002  # of what takes a hundred beats


class WrongError(AssertionError):
    """Something happened that must not."""


@dataclass
class Tape:
    """What went over one address lately."""

    to_host: deque[bytes] = field(default_factory=lambda: deque(maxlen=300))
    to_client: deque[bytes] = field(default_factory=lambda: deque(maxlen=300))


class Player:
    """An honest client at an address."""

    def __init__(self, arena: Arena, name: str, address: Address) -> None:
        self.address = address
        arena.tapes[address] = Tape()
        self.smooth = arena.dice.random() < 0.5
        self.client = ClientWorld.over(
            arena.network.connect(address=address),
            name=name,
            world=f"{name}-{arena.number()}",
            registry=game.registry,
            game=game.Rules(),
            smooth=self.smooth,
            clock=arena.network.clock,
            random=arena.nonces.randbytes,
        )
        self.forged: list[bytes] = []
        self.last: dict[type, int] = {}  # the numbers of the event and the calls that came last
        self.called: list[object] = []  # the calls that ran since they were looked at
        self.client._calls.on_call = lambda call, entity, given: self.called.append(given)
        self.outcomes = arena.outcomes
        self.end: Disconnected | None = None
        self.beats = 0
        self.patient = arena.dice.random() < 0.85

    @property
    def store(self) -> Any:
        return self.client._protocol.store

    def snapshot(self) -> bytes:
        """What the client holds: values and ticks of its store."""
        return snapshot_of(self.client)

    def take(self) -> list[object]:
        """A frame: what the client's poll returns, and the calls that it runs."""
        events = self.client.poll()
        outcomes, protocol = self.outcomes, self.client._protocol
        outcomes["client: values drawn between two"] += len(self.client._view.blended)
        outcomes["client: frames drawn ahead"] += protocol.ahead is not None
        outcomes["client: frames beyond what was heard"] += (
            protocol.store is not None and (protocol.shown or 0) > protocol.store.tick
        )
        self.end = next((e for e in events if isinstance(e, Disconnected)), self.end)
        called, self.called = self.called, []
        return [*events, *called]

    def poll(self) -> list[object]:
        """A frame with honest datagrams alone: all comes as the server sent it, in order."""
        events = self.take()
        there = {None, *self.client._view.remote}
        for event in events:
            match event:
                case game.Boom(number, at, near):
                    sound = event == game.boom(number, at, near) and there >= {at, *near}
                case game.ANSWER(me, number, at):
                    sound = me == self.client.player and {at} <= there - {None}
                case game.SOUND(_, number, names):
                    sound = names == game.names_of(number)
                case _:
                    continue
            before = self.last.get(type(event), 0)
            if not sound or before not in (0, number - game.PAUSE):
                raise WrongError(f"{event} came after number {before}")
            self.last[type(event)] = number
        return events

    def play(self) -> None:
        """What an honest player does in a frame."""
        client = self.client
        self.beats += 1
        client.send(game.Wink(self.beats))
        client.send(game.Wink(0), client.player)
        if self.beats % 8 == 0:
            with client.view:
                mine = client.mine(game.Horn)
                if mine:
                    ((me, horn),) = mine
                    horn.blow(self.beats, me, [self.beats])
        if self.beats % 16 == 0:
            client.set_info(beat=self.beats)
            client.set_ready(self.beats % 64 != 0)


class Mallory:
    """Somebody with a session of their own on the host, and no manners."""

    def __init__(self, address: Address, connection: Connection, member: Member) -> None:
        self.address = address
        self.connection = connection
        self.member = member
        self.patient = True


class Arena:
    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.nonces = random.Random(seed + 1)
        self.network = Network()
        self.sent: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.recent: deque[tuple[str, bytes]] = deque(maxlen=12)
        self.tapes: dict[Address, Tape] = {}
        self.past = Tape()  # of sessions that are over
        self.asked: Counter[Address] = Counter()
        self.answered: Counter[Address] = Counter()
        self.updates: deque[Tree] = deque(maxlen=40)
        self.structures: deque[Tree] = deque(maxlen=40)
        self.watch = game.Watch()
        self.host = Host(SCHEMA, self._answer, random=self.nonces.randbytes, max_clients=16)
        self.room = self.host.add_room(game.spec(self.watch), self.now, seed=1)
        self._number = 0
        self.players: list[Player] = []
        self.mallory: Mallory | None = None
        self.victim: Player | None = None
        self.witness = self.connect("witness")
        self.watch.honest.add(self._entity_of(self.witness.address))

    @property
    def now(self) -> float:
        return self.network.clock.now

    def number(self) -> int:
        self._number += 1
        return self._number

    def elsewhere(self, net: int) -> Address:
        """An address that nobody had: of one that many had, a host has enough."""
        number = self.number()
        return f"{net}.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}", 40_000

    # The honest part.

    def _answer(self, data: bytes, address: Address) -> None:
        if self.host.member(address) is None:
            self.answered[address] += len(data)
        if address in self.network.links:
            self.tapes[address].to_client.append(data)
            self.network.send(data, address)

    def beat(self) -> None:
        """One honest tick: everybody's datagrams arrive, and nobody's else."""
        self.network.run(TICK)
        for data, address in self.network.receive():
            self.tapes[address].to_host.append(data)
            self._hand(data, address)
        self.host.tick(self.now)
        for player in self.players:
            if player.client.connected:
                player.play()
            if player.forged:
                self._justify_events(player, player.take())
            else:
                player.poll()
        self._check_server()

    def connect(self, name: str) -> Player:
        player = Player(self, name, self.elsewhere(10))
        self.outcomes["client: smooth ones"] += player.smooth
        self.players.append(player)
        for _ in range(60):
            self.beat()
            if player.client.connected and player.store.confirmed_tick:
                return player
        raise WrongError(f"{name} could not connect")

    def retire(self, player: Player) -> None:
        self.players.remove(player)
        player.client.close()
        player.client.view.close()
        self.beat()
        self._part(player.address)

    def _part(self, address: Address) -> None:
        member = self.host.member(address)
        if member is not None:
            member.peer.session.budget.refill(self.now + 2)  # it may have used all of it up
            leaving = Connection(None, member.peer.connection.session_id, self.now, server=False)
            self._hand(leaving.seal(Session(RAW).pack_goodbye(Reason.LEFT, "", self.now)), address)
        self.network.links.pop(address, None)
        tape = self.tapes.pop(address)
        self.past.to_host += [*tape.to_host][:30]
        self.past.to_client += [*tape.to_client][:30]

    def enlist(self) -> Mallory:
        """Bring a hostile player into the game, by the book so far."""
        address = self.elsewhere(66)
        connection, peer = self._shake_hands(address)
        peer.queue(encode_struct(Hello(WIRE_VERSION, SCHEMA.fingerprint, "mallory")))
        for packet in peer.pack(None, self.now):
            self._hand(connection.seal(packet), address)
        for _ in range(4):
            self.beat()
        mallory = Mallory(address, connection, self.host.member(address))
        mallory.patient = self.dice.random() < 0.85
        return mallory

    def _shake_hands(self, address: Address) -> tuple[Connection, Peer]:
        end = self.network.connect(address=address)
        self.tapes[address] = Tape()
        handshake = ClientHandshake(self.nonces.randbytes(8), self.now)
        while handshake.connection is None:
            for data in handshake.poll(self.now):
                self._hand(data, address)
            for data in end.receive():
                handshake.receive_answer(data, self.now)
        return handshake.connection, Peer(RAW)

    def _hand(self, data: bytes, address: Address) -> None:
        self.host.receive_datagrams([(data, address)], self.now)

    # What must hold.

    def world(self) -> bytes:
        """Every component of the server's world, and of which entity it is."""
        replicator = self.room.replicator
        world = self.room.simulation.world
        found = []
        with world:
            for kind in SCHEMA.components:
                for entity, value in world.structure(kind.cls):
                    wire = kind.to_wire(value, replicator.network_id)
                    found.append((entity, kind.name, encode_struct(wire)))
        return encode_struct(sorted(found))

    def _check_server(self) -> None:
        host, room = self.host, self.room
        if host.failure is not None:
            raise WrongError("the simulation stopped") from host.failure
        if self.watch.complaints:
            raise WrongError(self.watch.complaints[0])
        simulation = room.simulation
        world = simulation.world
        with world:
            places = world.structure(game.Place)
            if len(places) != game.NPCS:
                raise WrongError(f"{len(places)} places in the world")
            for index, (entity, place) in enumerate(sorted(places)):
                x, y, angle, hp = game.numbers(simulation.tick, index)
                parts = world.components(entity)
                heading, health = parts.get(game.Heading), parts.get(game.Health)
                if (place.x, place.y) != (x, y) or parts[game.Kind] != game.Kind(index):
                    raise WrongError(f"entity {entity} has {parts}")
                if heading is not None and heading != game.Heading(angle):
                    raise WrongError(f"entity {entity} has {heading}")
                if health is not None and health != game.Health(hp):
                    raise WrongError(f"entity {entity} has {health}")
            players = set(simulation.player_entity.values())
            if {entity for entity, _ in world.structure(game.Player)} != players:
                raise WrongError("there are players that nobody is")
            if len(world.structure(LobbyState)) != 1:
                raise WrongError("there is not one lobby")

    def check_witness(self) -> None:
        """The witness shows what the server holds. What is on its way may take some beats."""
        for _ in range(12):
            difference = self._difference(self.witness.client)
            if difference is None:
                return
            self.beat()
        raise WrongError(f"the witness differs: {difference}")

    def _difference(self, client: ClientWorld) -> str | None:
        store, replicator = client._protocol.store, self.room.replicator
        if client.closed or store is None:
            return "it is not connected"
        member = self.host.member(self.witness.address)
        assert member.client_state is not None
        visible = replicator.visible(member.client_state)
        if visible.keys() != store.entities.keys():
            return f"it sees {store.entities.keys() ^ visible.keys()} differently"
        world = self.room.simulation.world
        for net, bits in visible.items():
            values = store.entities[net].values
            cids = replicator.entities.cids(bits)
            if set(cids) != values.keys():
                return f"entity {net} has {set(values)}, not {cids}"
            entity = replicator.entity(net)
            assert entity is not None
            for cid in cids:
                kind = SCHEMA.components[cid]
                live = world.components(entity)[kind.cls]
                if encode_struct(kind.to_wire(live, replicator.network_id)) != encode_struct(
                    values[cid]
                ):
                    return f"{live} of {net} reads {values[cid]}"
        return misshown(client) or self._lobby_difference()

    def _lobby_difference(self) -> str | None:
        """Compare what the witness reads in the lobby with what stands in the server's world."""
        world = self.room.simulation.world
        players = {
            who.id: (who.name, parts[LobbyPlayer], parts[Presence].status)
            for entity, who in world.structure(game.Player)
            for parts in [world.components(entity)]
        }
        true = [
            (name, each.ready, each.plays, each.values(), status)
            for _, (name, each, status) in sorted(players.items())
        ]
        ((_, state),) = world.structure(LobbyState)
        lobby = self.witness.client.lobby
        assert lobby is not None
        shown = [(p.name, p.ready, p.plays, p.info, p.status) for p in lobby.players]
        if (lobby.phase, lobby.match) != (state.phase, state.match) or repr(shown) != repr(true):
            return f"the lobby reads {lobby}, and is {state} with {true}"
        return None

    # Unsealed.

    def unsealed_to_server(self, count: int) -> None:
        members, connections = len(self.host.members), dict(self.host.peers.by_address)
        before = self.world()
        for _ in range(count):
            kind = self.dice.choice(UNSEALED)
            data, address = self._unsealed_to_server(kind)
            self._note(f"{kind} to server", data)
            self.asked[address] += len(data)
            self._hand(data, address)
        if self.world() != before:
            raise WrongError("the server's world changed")
        if len(self.host.members) != members or self.host.peers.by_address != connections:
            raise WrongError("connections came or went")
        for address, size in self.answered.items():
            if address[0] == "10.9.9.9" and size > self.asked[address]:
                raise WrongError(f"{size} bytes for {self.asked[address]} to {address}")

    def _unsealed_to_server(self, kind: str) -> tuple[bytes, Address]:
        dice = self.dice
        tape = self.tapes[self.witness.address]
        stranger = ("10.9.9.9", dice.randint(1024, 1032))
        address = dice.choice((self.witness.address, stranger))
        if kind == "garbage":
            return garbage(dice), address
        if kind == "truncated":
            return truncated(dice, dice.choice(tape.to_host)), address
        if kind == "mutated":
            return mutated(dice, dice.choice(tape.to_host), tape.to_host), address
        if kind == "replayed":
            return dice.choice(tape.to_host), address
        if kind == "foreign":
            return dice.choice(self.past.to_host), address
        if kind == "reflected":
            return dice.choice(tape.to_client), address
        return self._handshake_to_server(), address

    def _handshake_to_server(self) -> bytes:
        dice = self.dice
        if dice.random() < 0.5:
            handshake = ClientHandshake(dice.randbytes(8), self.now)
            asked = handshake.poll(self.now)[0]
            if dice.random() < 0.5:  # a cookie that was never given
                asked = bytes((3,)) + asked[7:15] + dice.randbytes(20) + bytes(35)
        else:
            asked = bytes((dice.randrange(1, 8),)) + dice.randbytes(63)
        if dice.random() < 0.4:
            asked = mutated(dice, asked)
        seed = crc32(asked[1:9] if asked[:1] == b"\x03" else asked[7:15], crc32(b"ECSN"))
        return sealed(asked[:-4], seed)

    def unsealed_to_client(self, count: int) -> None:
        client = self.witness.client
        self.witness.poll()  # what died stays for its events until the next one
        before = self.witness.snapshot(), view_of(client)
        for _ in range(count):
            kind = self.dice.choice(UNSEALED)
            data = self._unsealed_to_client(kind)
            self._note(f"{kind} to client", data)
            self.network.send(data, self.witness.address)
        events = client.poll()
        if (self.witness.snapshot(), view_of(client)) != before or events or client.closed:
            raise WrongError(f"the witness changed: {events}")

    def _unsealed_to_client(self, kind: str) -> bytes:
        dice = self.dice
        tape = self.tapes[self.witness.address]
        if kind == "garbage":
            return garbage(dice)
        if kind == "truncated":
            return truncated(dice, dice.choice(tape.to_client))
        if kind == "mutated":
            return mutated(dice, dice.choice(tape.to_client), tape.to_client)
        if kind == "replayed":
            return dice.choice(tape.to_client)
        if kind == "foreign":
            return dice.choice(self.past.to_client)
        if kind == "reflected":
            return dice.choice(tape.to_host)
        return self._answer_to(self.witness.client._connection._handshake._nonce)

    def _answer_to(self, nonce: bytes) -> bytes:
        """An answer in a handshake, with a right checksum and a wrong content."""
        dice = self.dice
        kind, length = dice.choice(
            ((2, 20), (4, 8), (5, 3), (dice.randrange(9), dice.randrange(64)))
        )
        body = bytes((kind,)) + nonce + dice.randbytes(length)
        if dice.random() < 0.3:
            body = mutated(dice, body)
        return sealed(body, crc32(nonce, crc32(b"ECSN")))

    # Sealed, to the server.

    def sealed_to_server(self, count: int, only: str | None = None) -> None:
        before = self.world()
        for _ in range(count):
            if self.mallory is None:
                self.mallory = self.enlist()
                before = self.world()
            mallory, peer = self.mallory, self.mallory.member.peer
            kind = only or self.dice.choice(SEALED[:4])
            data = self._sealed(kind, mallory.connection, peer, self._input, self._report)
            self._note(f"{kind} to server", data)
            self._hand(data, mallory.address)
            if self.host.member(mallory.address) is not mallory.member:
                self.outcomes["server: offenders dropped"] += 1
                self._tally_server(mallory.member)
                self._part(mallory.address)
                self.mallory = None
            elif mallory.patient or only:
                peer.session.budget._blame = 0.0
        if self.world() != before:
            raise WrongError("the server's world changed")

    def _tally_server(self, member: Member) -> None:
        peer, outcomes = member.peer, self.outcomes
        outcomes["server: datagram refused by the envelope"] += member.peer.connection.rejected
        outcomes["server: packet malformed"] += peer.session.malformed
        outcomes["server: packet repeated"] += peer.session.duplicates + peer.session.stale
        outcomes["server: ack refused"] += peer.session.bad_acks
        outcomes["server: pieces refused"] += peer.bad_fragments
        outcomes["server: packet over budget"] += peer.session.budget.excess
        if member.seat is not None:
            outcomes["server: commands rejected"] += member.seat.inbox.rejected

    def _input(self, peer: Peer) -> Tree:
        """Commands of some ticks, near to what an honest client would send."""
        dice, room = self.dice, self.room
        inbox = self.mallory.member.seat.inbox if self.mallory else None
        tick = room.next_tick + dice.choice((0, 1, 2, 3, 10, 100, -5))
        frames = [
            [
                dice.choice((0, 0, 1)),
                dice.choice((1, 1, 0, 3, 60, 65535)),
                commands,
                dice.choice((0, 60, 100, 65535)),
            ]
            for commands in (
                [self._command() for _ in range(dice.choice((0, 1, 2, 9)))]
                for _ in range(dice.choice((1, 1, 2, 6)))
            )
        ]
        number = (
            inbox.number if inbox is not None and dice.random() < 0.8 else dice.randrange(2**32)
        )
        return [room.simulation.epoch, number & 0xFFFFFFFF, max(0, tick), frames]

    def _command(self) -> list[Tree]:
        dice = self.dice
        ids = SCHEMA.command_id_of
        net = dice.choice((dice.randrange(40), *self.room.replicator.entities.by_net))
        tags = [1] * dice.choice((0, 4, 5))
        makers = (
            lambda: [ids[game.Steer], 0, [dice.randint(-2, 2), dice.uniform(-4, 4)]],
            lambda: [ids[game.Steer], 0, None],
            lambda: [ids[game.Fire], dice.choice((0, net)), [net, 1.5]],
            lambda: [ids[game.Say], 0, ["x" * dice.choice((3, 40, 41)), tags]],
            lambda: [ids[game.Wink], 0, [dice.choice((0, 2**63 - 1, 2**63))]],
            lambda: [ids[game.BLOW], dice.choice((0, net)), [dice.choice((7, 2**41)), net, tags]],
            lambda: [ids[LobbyReady], dice.choice((0, 0, net)), [dice.random() < 0.5]],
            lambda: [ids[LobbyInfo], dice.choice((0, 0, net)), [self._info()]],
            lambda: [dice.randrange(len(ids) + 1), dice.choice((0, net)), junk(dice)],
        )
        return dice.choice(makers)()

    def _info(self) -> bytes:
        """What somebody tells the others in the lobby, or may not."""
        dice = self.dice
        told = dice.choice(({"beat": junk(dice)}, {"a": 1, "b": "x", "c": 0.5}, junk(dice)))
        return safely_encoded(told)[: dice.choice((40, 200, 201))]

    def _report(self, peer: Peer) -> Tree:
        """Reliable messages that clients send."""
        dice = self.dice
        return plain(
            dice.choice(
                (
                    Resync(),
                    Hello(WIRE_VERSION, SCHEMA.fingerprint, "mallory"),
                    Hello(WIRE_VERSION, SCHEMA.fingerprint, "mallory", None, True),
                    Hello(dice.randrange(70_000), dice.randbytes(16), "\u202e\n%s"),
                    SchemaDiffers("x" * dice.choice((4, 400, 401))),
                )
            )
        )

    # Sealed, to a client.

    def sealed_to_client(self, count: int) -> None:
        for _ in range(count):
            if self.victim is None:
                self.victim = self.connect("victim")
            victim, client = self.victim, self.victim.client
            peer = client._connection.peer
            assert peer.connection is not None
            server = Connection(None, peer.connection.session_id, self.now, server=True)
            kind = self.dice.choice(SEALED[:4])
            before, shown, store = victim.snapshot(), store_of(client), client._protocol.store
            lobby = client.lobby
            data = self._sealed(kind, server, peer, self._update, self._structure)
            self._note(f"{kind} to client", data)
            victim.forged.append(data)
            if victim.patient:
                peer.session.budget._blame = 0.0
            self.network.send(data, victim.address)
            self._justify_events(victim, victim.take())
            changed = victim.snapshot() != before
            if changed:
                moved = client._protocol.store is not store
                self._justify(victim, None if moved else shown)
                self.outcomes["client: sound forgery taken"] += 1
                self.outcomes["client: put into another room"] += moved
                self.outcomes["client: forged lobby read"] += client.lobby != lobby
            if client.closed:
                self.outcomes["client: connections ended"] += 1
            if changed or client.closed or len(victim.forged) >= _LIFE:
                self._tally_client(victim)
                self.retire(victim)
                self.victim = None

    def _tally_client(self, victim: Player) -> None:
        client, outcomes = victim.client, self.outcomes
        peer = client._connection.peer
        outcomes["client: datagram refused"] += client.stats.datagrams_rejected
        outcomes["client: packet malformed"] += peer.session.malformed
        outcomes["client: packet repeated"] += peer.session.duplicates + peer.session.stale
        outcomes["client: ack refused"] += peer.session.bad_acks
        outcomes["client: pieces refused"] += peer.bad_fragments
        outcomes["client: payload refused by the gate"] += client._protocol._format.update.rejected
        outcomes["client: message refused by the gate"] += client._protocol._messages.rejected
        outcomes["client: update or structure that contradicts itself"] += victim.store.dropped
        outcomes["client: calls for what is not there"] += client._calls.missed
        outcomes["client: predictions corrected"] += client.stats.corrections
        outcomes["client: ticks predicted again"] += client.stats.replayed_ticks

    def _update(self, peer: Peer) -> Tree:
        dice = self.dice
        assert self.victim is not None
        store = self.victim.store
        tree = dice.choice(self.updates) if self.updates else [0, 0, 0, 0, 0, None, []]
        runs = [run for update in (tree, dice.choice(self.updates)) for run in update[6]]
        tick = store.tick + dice.choice((-300, -3, 0, 1, 1, 2, 1000, 2**31))
        depends = store.structured + dice.choice((0, 0, 0, 1, 5, 2**31))
        report = dice.choice((None, None, [0, 1, 2, 3, 4], [-(2**53), 2**53, 0, 0, 0]))
        epoch = store.epoch if dice.random() < 0.9 else dice.randrange(2**32)
        if dice.random() < 0.3:
            nets = sorted(dice.sample(range(40), dice.randrange(1, 6)))
            runs.append([deltas(nets), [self._column(len(nets)) for _ in range(dice.randrange(3))]])
        part = dice.choice((tree[4], 0, 1, 2, dice.randrange(2**22), 1 << 2, 2**22, -1))
        update = [epoch, tick & 0xFFFFFFFF, tree[2], depends & 0xFFFFFFFF, part, report, runs]
        return update if dice.random() < 0.6 else [*update, self._events()]

    def _events(self) -> Tree:
        """Events near to what an honest server would tell of."""
        dice = self.dice
        store = None if self.victim is None else self.victim.client._protocol.store
        nets = [None, *range(1, 40), *(() if store is None else store.entities)]
        spoiled = dice.random() < 0.4
        if spoiled:
            nets += [0, -1, 2**53, 2**53 + 1, "me"]
        horn, ids = SCHEMA.cid_of[game.Horn], SCHEMA.event_id_of
        entities = {} if store is None else store.entities
        horns = [net for net, record in entities.items() if horn in record.ticks] or [1]

        def one() -> Tree:
            if spoiled and dice.random() < 0.3:
                return [dice.randrange(len(ids) + 1), junk(dice)]
            number, net = dice.randrange(2**63), dice.choice(nets)
            names = {"": [], "x": [1] * dice.choice((1, 90))}
            return dice.choice(
                (
                    [ids[game.Spark], [number, net]],
                    [ids[game.Boom], [number, net, [net, 1], 7, names]],
                    [ids[game.ANSWER], [dice.choice((net, *horns)), number, net]],
                    [ids[game.SOUND], [dice.choice((net, *horns)), number, names]],
                )
            )

        return [one() for _ in range(dice.choice((0, 1, 1, 2, 30)))]

    def _column(self, count: int) -> Tree:
        dice = self.dice
        cid = dice.randrange(len(SCHEMA.components) + 1)
        value = junk(dice)
        if cid < len(SCHEMA.components) and dice.random() < 0.8:
            kind = SCHEMA.components[cid]
            value = plain(kind.to_wire(kind.cls(), lambda entity: entity))
        return [cid, [value] * (count + dice.choice((0, 0, 0, 0, 1, -1)))]

    def _structure(self, peer: Peer) -> Tree:
        dice = self.dice
        assert self.victim is not None
        store = self.victim.store
        if dice.random() < 0.2:
            return plain(
                dice.choice(
                    (
                        Welcome(dice.randrange(2**32), 1, 1, 60.0, 60.0, 5),
                        Welcome(store.epoch, 1, 1, 60.0, 60.0, store.tick & 0xFFFFFFFF),
                        Welcome(store.epoch, 1, 1, 60.0, 60.0, 5, None, dice.getrandbits(64), 0.3),
                        SchemaOffer(dice.randbytes(40)),
                        SchemaOffer(mutated(dice, SCHEMA.encode_description())),
                    )
                )
            )
        tick = store.tick + dice.choice((0, 1, 1, 2, -4, 2**31))
        epoch = store.epoch if dice.random() < 0.9 else dice.randrange(2**32)
        if dice.random() < 0.3:
            return [EVENTS_TAG, epoch, tick & 0xFFFFFFFF, self._events()]
        nets = sorted(dice.sample(range(60), dice.randrange(4)))
        some = sorted(dice.sample(sorted(store.entities) or [1], min(len(store.entities), 2)))
        sets = [[deltas(nets), [self._column(len(nets)) for _ in range(dice.randrange(4))]]]
        if self.structures and dice.random() < 0.5:
            sets += dice.choice(self.structures)[6]
        removed = [[dice.randrange(12), deltas(some)]] if dice.random() < 0.4 else []
        gone, hidden = dice.choice(((some, []), ([], some), ([], []), ([], [])))
        head = [STRUCTURE_TAG, epoch, tick & 0xFFFFFFFF]
        return [*head, deltas(gone), deltas(hidden), removed, sets]

    # Sealed, either way.

    def _sealed(
        self, kind: str, connection: Connection, peer: Peer, payload: Any, message: Any
    ) -> bytes:
        """A datagram with the right checksum, spoiled at some layer."""
        dice = self.dice
        if kind == "envelope":
            if dice.random() < 0.02:
                text = dice.choice(("", "x" * 200, "x" * 201, 7))
                tree = [peer.session._top + 1, 0, 0, None, [], 0, None, [dice.randrange(300), text]]
                return connection.seal(safely_encoded(tree))
            head = dice.choice((0, 1, 2, 3, 4, 5, _PAYLOAD, _PAYLOAD, 8, 255))
            direction = b"to client" if payload == self._update else b"to server"
            seed = crc32(direction, crc32(connection.session_id))
            return sealed(bytes((head,)) + garbage(dice)[:1170], seed)
        changes = dice.choice((0, 0, 1, 1, 2, 3))
        if kind == "payload":
            body = safely_encoded(respin(dice, payload(peer), changes))
            if dice.random() < 0.3:
                body = mutated(dice, body)
            return connection.seal(self._packet(peer, body))
        if kind == "message":
            body = safely_encoded(respin(dice, message(peer), changes))
            if dice.random() < 0.3:
                body = mutated(dice, body)
            return connection.seal(self._packet(peer, b"\xc0", self._pieces(peer, body)))
        body = safely_encoded(payload(peer))
        fragments = self._pieces(peer, safely_encoded(message(peer)))
        packet = self._packet(peer, body, fragments if dice.random() < 0.5 else None)
        if dice.random() < 0.5:
            return connection.seal(mutated(dice, packet)[:MAX_PACKET])
        try:
            tree = decode(packet)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return connection.seal(mutated(dice, packet)[:MAX_PACKET])
        return connection.seal(safely_encoded(respin(dice, tree, 1 + changes))[:MAX_PACKET])

    def _packet(self, peer: Peer, payload: bytes, fragments: Tree = None) -> bytes:
        """A packet with a head that will do, mostly."""
        dice = self.dice
        number, ack, missing = peer.session._top + 1, peer.session.number, 0
        ping: Tree = dice.choice((0, 0, 0, 1, 127, 128 | 5))
        pong: Tree = dice.choice((None, None, None, [3, 1000]))
        if dice.random() < 0.15:
            number += dice.choice((-1, -70, 3, 70, 2000, 40_000))
        if dice.random() < 0.15:
            ack += dice.choice((-1, -40, 1, 30_000))
        if dice.random() < 0.15:
            missing = dice.choice((1, 2**64 - 1, dice.randrange(2**64)))
        head: list[Tree] = [number & 0xFFFF, ack & 0xFFFF, missing, msgspec.Raw(payload)]
        if fragments is None and not ping and pong is None:
            return encode(head)[:MAX_PACKET]
        return encode([*head, fragments or [], ping, pong])[:MAX_PACKET]

    def _pieces(self, peer: Peer, message: bytes) -> Tree:
        dice = self.dice
        number = peer._incoming.received + dice.choice((1, 1, 1, 1, 1, 1, 2, 0, 200, 300))
        number &= 0xFFFF
        if len(message) <= 1000 and dice.random() < 0.9:
            fragments: Tree = [[number, message]]
        else:
            parts = dice.choice((2, 3, 4, 5, 1500))
            part = dice.randrange(min(parts, 6))
            data = message[:1024] if dice.random() < 0.3 else bytes(1024)
            fragments = [[number, data, part, parts]]
        if dice.random() < 0.1:
            fragments = respin(dice, fragments, 1)
        return fragments

    # Beginnings.

    def greetings_to_server(self, count: int) -> None:
        """Sealed nonsense from somebody who is not in the game yet."""
        address = self.elsewhere(77)
        connection, _ = self._shake_hands(address)
        member = self.host.member(address)
        for _ in range(count):
            hello = plain(Hello(WIRE_VERSION, SCHEMA.fingerprint, "eve"))
            if self.dice.random() < 0.3:
                hello = plain(Hello(WIRE_VERSION, self.dice.randbytes(16), "eve"))
            if self.dice.random() < 0.6:
                call = [SCHEMA.command_id_of[game.BLOW], 0, [7, None, []]]
                number, _, value = self.dice.choice((self._command(), call))
                hello[-2] = [number, value]
            body = safely_encoded(respin(self.dice, hello, self.dice.choice((0, 0, 1, 2))))
            packet = self._packet(member.peer, b"\xc0", self._pieces(member.peer, body))
            data = connection.seal(packet)
            self._note("greeting to server", data)
            before = self.world()
            self._hand(data, address)
            if self.world() != before:
                raise WrongError("the server's world changed")
        self._tally_server(member)
        self.beat()
        self._part(address)

    def greetings_to_client(self, count: int) -> None:
        """A client whose server lies from the first datagram on."""
        dice = self.dice
        name = f"newcomer-{self.number()}"
        network = Network(self.network.clock)
        end = network.connect()
        client = ClientWorld.over(
            end,
            name="newcomer",
            world=name,
            registry=game.registry,
            game=game.Rules(),
            smooth=dice.random() < 0.5,
            clock=network.clock,
            random=self.nonces.randbytes,
        )
        listener = Listener(bytes(32), self.nonces.randbytes, 4)
        server = Peer(RAW)
        connection: Connection | None = None
        for _ in range(count):
            network.run(TICK / 4)
            if connection is not None and client._connection.peer.connection is not None:
                body = dice.choice(
                    (
                        Welcome(
                            5,
                            1,
                            1,
                            dice.choice((60.0, 1e-9, 1e300)),
                            60.0,
                            7,
                            dice.choice((None, 0.0, 1.0, 1e300)),
                            dice.choice((0, 1, 2**64 - 1)),
                            dice.choice((0.0, 0.35, -1.0, 1e300)),
                        ),
                        SchemaOffer(mutated(dice, SCHEMA.encode_description())),
                        SchemaOffer(safely_encoded(self._description())),
                        [EVENTS_TAG, 5, 7, self._events()],
                    )
                )
                tree = body if isinstance(body, list) else plain(body)
                tree = respin(dice, tree, dice.choice((0, 0, 1, 2)))
                fragments = self._pieces(client._connection.peer, safely_encoded(tree))
                data = connection.seal(self._packet(client._connection.peer, b"\xc0", fragments))
            else:
                data = self._answer_to(client._connection._handshake._nonce)
                if data[:1] == b"\x05" and dice.random() < 0.8:
                    data = garbage(dice)  # not always the end
            self._note("greeting to client", data)
            network.send(data, end.address)
            client.poll()
            for question, address in network.receive():
                packet = None if connection is None else connection.open(question, self.now)
                if packet is not None:
                    server.receive_packet(packet, self.now)
                    continue
                result = listener.receive_handshake(question, address, self.now, connection)
                if result is not None:
                    connection = result.opened or connection
                    for reply in result.replies:
                        network.send(reply, address)
            if client.closed:
                break
        if client._protocol.store is not None and client._protocol.store.entities:
            raise WrongError("a newcomer sees things")
        client.close()
        client.view.close()

    def _description(self) -> Tree:
        return respin(self.dice, SCHEMA.description(), self.dice.choice((0, 1, 2)))

    # What a victim may have changed.

    def _justify(self, victim: Player, before: dict[tuple[int, int], bytes] | None) -> None:
        """Some sound message must have said each thing that is new to a victim.

        Args:
            victim: The victim.
            before: What it held before; None where it was put into another room.
        """
        values: dict[tuple[int, int], list[Tree]] = {}
        gone: set[object] = set()
        epochs: set[Tree] = set()
        tape = self.tapes[victim.address]
        parts: dict[int, dict[int, bytes]] = {}
        for datagram in (*tape.to_client, *victim.forged):
            if datagram[:1] != bytes((_PAYLOAD,)):
                continue
            tree = packet_of(datagram[1:-4])
            if len(tree) > 3:
                collect_runs(element(attempt(tree[3]), 6), values)
            for number, data, part, many in pieces_of(tree):
                parts.setdefault(number, {})[part] = data
                messages = [data]
                if many > 1:
                    messages = [b"".join(d for _, d in sorted(parts[number].items()))]
                for message in messages:
                    collect_structure(message, values, gone)
                    tree = attempt(message) if isinstance(message, bytes) else None
                    if element(tree, 0) == 2 and isinstance(element(tree, 1), int):
                        epochs.add(tree[1])
        if before is None:
            if victim.store.epoch not in epochs:
                raise WrongError(f"nobody said that there is a room {victim.store.epoch}")
            before = {}
        after = store_of(victim.client)
        for key, value in after.items():
            if value == before.get(key):
                continue
            tree = msgspec.msgpack.decode(value)
            if not any(matches(said, tree) for said in values.get(key, ())):
                raise WrongError(f"nobody said that {key} is {tree}")
            kind = SCHEMA.components[key[1]]
            msgspec.msgpack.decode(value, type=kind.wire_type)
        for net, cid in before.keys() - after.keys():
            if net not in gone and (cid, net) not in gone:
                raise WrongError(f"nobody said that {net} lost {cid}")
        difference = misshown(victim.client)
        if difference is not None:
            raise WrongError(difference)

    def _justify_events(self, victim: Player, events: list[object]) -> None:
        """Some sound message must have told each event and each call that a victim was given."""
        given = [event for event in events if type(event) in SCHEMA.event_id_of]
        if not given:
            return
        honest = events_in(self.tapes[victim.address].to_client)
        forged = events_in(victim.forged)
        for event in given:
            kind = event_type(type(event))
            wire = kind.to_wire(event, victim.client._view.remote.get)
            tree = [SCHEMA.event_id_of[kind.cls], plain(wire)]
            if not any(resembles(each, tree) for each in (*honest, *forged)):
                raise WrongError(f"nobody said that {event} has happened")
            what = "event taken" if kind.call is None else "call ran"
            self.outcomes[f"client: forged {what}"] += not any(
                resembles(each, tree) for each in honest
            )

    # Those who go, and those who fall silent.

    def throw_out(self) -> None:
        """Let the game throw two players out: one who reads why, and a hostile one who goes on."""
        given = self.dice.choice(("out", "\u202e\0 you %s", "x" * 300))
        reader, mallory = self.connect("reader"), self.enlist()
        gone = [reader.address, mallory.address]
        for address in gone:
            self.watch.doomed[self._entity_of(address)] = given

        def are_gone() -> bool:
            mallory.member.peer.session.budget._blame = 0.0
            peer = mallory.member.peer
            self._hand(
                self._sealed("payload", mallory.connection, peer, self._input, self._report),
                mallory.address,
            )
            return reader.client.closed and not any(map(self.host.member, gone))

        self._beat_until(are_gone, "somebody stays who was thrown out")
        end, text = reader.end, clean_text(given, 200)
        if end is None or (end.reason, end.message) != (Reason.KICKED, text):
            raise WrongError(f"{end} is what somebody read who was thrown out with {given!r}")
        self.outcomes["server: players thrown out"] += len(gone)
        self.outcomes["client: told why it is thrown out"] += 1
        self.retire(reader)
        self._part(mallory.address)

    def fall_silent(self) -> None:
        """Let a hostile player say nothing for a while, and then go on."""
        mallory = self.enlist()
        components = self.room.simulation.world.components(self._entity_of(mallory.address))
        presence = components[Presence]
        self._beat_until(lambda: presence.status == "lost", "nobody notices who falls silent")
        self._hand(mallory.connection.seal(b"\xc0"), mallory.address)
        self._beat_until(lambda: presence.status == "ok", "nobody notices who speaks again")
        self.outcomes["server: players found silent"] += 1
        self._part(mallory.address)

    def _entity_of(self, address: Address) -> int:
        """The player entity of the member at an address."""
        member = self.host.member(address)
        return self.room.simulation.player_entity[member.seat.player_id]

    def _beat_until(self, condition: Callable[[], bool], otherwise: str) -> None:
        for _ in range(200):
            if condition():
                return
            self.beat()
        raise WrongError(otherwise)

    # All together.

    def rehearse(self) -> None:
        """Collect what honest ends send, as raw material."""
        self.retire(self.connect("passer-by"))
        for _ in range(30):
            self.beat()
        for data in self.tapes[self.witness.address].to_client:
            tree = packet_of(data[1:-4]) if data[:1] == bytes((_PAYLOAD,)) else []
            if len(tree) > 3 and isinstance(update := attempt(tree[3]), list):
                self.updates.append(update)
            for _, data, _, _ in pieces_of(tree):
                message = attempt(data)
                if element(message, 0) == STRUCTURE_TAG:
                    self.structures.append(message)

    def attack(self, count: int) -> None:
        """Send about ``count`` hostile datagrams, and go on living in between."""
        goal = sum(self.sent.values()) + count
        dice = self.dice
        while sum(self.sent.values()) < goal:
            lot = dice.random()
            if lot < 0.24:
                self.unsealed_to_server(16)
            elif lot < 0.48:
                self.unsealed_to_client(16)
            elif lot < 0.71:
                self.sealed_to_server(5)
            elif lot < 0.94:
                self.sealed_to_client(5)
            elif lot < 0.97:
                self.greetings_to_server(4)
            else:
                self.greetings_to_client(8)
            self.beat()
            if dice.random() < 0.05:
                self.check_witness()
            if dice.random() < _RARE:
                dice.choice((self.throw_out, self.fall_silent))()

    def settle(self) -> None:
        """Let only the honest remain."""
        if self.victim is not None:
            self._tally_client(self.victim)
            self.retire(self.victim)
            self.victim = None
        if self.mallory is not None:
            self._tally_server(self.mallory.member)
            self._part(self.mallory.address)
            self.mallory = None
        for _ in range(10):
            self.beat()
        self.answered.clear()
        self.asked.clear()
        self.check_witness()
        if [one.address for one in self.host.members.values()] != [self.witness.address]:
            raise WrongError(f"members remain: {list(self.host.members)}")

    def finish(self) -> None:
        """Exceed a budget, then add up what the two ends noticed."""
        self.throw_out()
        self.fall_silent()
        self.sealed_to_server(700, "payload")
        self.settle()
        outcomes = self.outcomes
        listener = self.host.peers.listener
        outcomes["server: handshake refused"] = listener.dropped.total()
        outcomes["server: message refused by the gate"] = self.host._messages.rejected
        outcomes["server: commands refused by the gate"] = self.host._frames.rejected
        outcomes["server: commands that reached a system"] = self.watch.seen
        outcomes["server: data that reached a hook"] = self.watch.asked
        outcomes["server: calls that ran"] = self.watch.called
        outcomes["server: looks back"] = self.watch.looked_back
        outcomes["server: commands that reached the lobby"] = self.watch.gathered
        ((_, state),) = self.room.simulation.world.structure(LobbyState)
        outcomes["server: matches"] = state.match
        outcomes["client: datagram refused"] += self.witness.client.stats.datagrams_rejected
        self._tally_server(self.host.member(self.witness.address))

    def close(self) -> None:
        self.witness.client.close()
        self.witness.client.view.close()
        self.room.simulation.close()

    def _note(self, kind: str, data: bytes) -> None:
        self.sent[kind] += 1
        self.recent.append((kind, data))


def sealed(body: bytes, seed: int) -> bytes:
    return body + crc32(body, seed).to_bytes(4, "little")


def deltas(ids: list[int]) -> list[int]:
    return [b - a for a, b in zip([0, *ids], ids, strict=False)]


encode_struct = msgspec.msgpack.Encoder().encode


def plain(value: object) -> Tree:
    """What a struct looks like on the wire, as a tree."""
    return msgspec.msgpack.decode(encode_struct(value))


def store_of(client: ClientWorld) -> dict[tuple[int, int], bytes]:
    store = client._protocol.store
    assert store is not None
    return {
        (net, cid): encode_struct(value)
        for net, record in store.entities.items()
        for cid, value in record.values.items()
    }


def snapshot_of(client: ClientWorld) -> bytes:
    """Values, their ticks, and which entities there are."""
    store = client._protocol.store
    assert store is not None
    return encode_struct(
        [
            (net, sorted(record.values), list(record.values.values()), list(record.ticks.items()))
            for net, record in sorted(store.entities.items())
        ]
    )


def misshown(client: ClientWorld) -> str | None:
    """Where the view is not what is to be drawn: what was told, or is predicted, or lies between
    two values.
    """
    protocol, view = client._protocol, client._view
    shows = protocol.shows
    if shows is None or protocol._shown is not protocol.drawn:  # the room before is shown still
        return None
    for net, cid, shown, true in comparable(view, shows):
        blend, kind = view.blended.get((net, cid)), view.components[cid]
        if blend is not None and true is not None:
            true = kind.clone(true)
            kind.blend(true, *blend)
        if repr(shown) != repr(true):
            return f"view and store part at {net}: {shown} and {true}, {cid}"
    return None


def view_of(client: ClientWorld) -> bytes:
    """Every replicated component of a client's view."""
    found = []
    remote = client._view.remote
    with client.view:
        for kind in SCHEMA.components:
            for entity, value in client.view.structure(kind.cls):
                found.append((entity, kind.name, encode_struct(kind.to_wire(value, remote.get))))
    return encode_struct(sorted(found))


# Reading by hand, without the types that the code under test uses.


def packet_of(packet: bytes) -> list[msgspec.Raw]:
    try:
        return msgspec.msgpack.decode(packet, type=list[msgspec.Raw])
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return []


def attempt(raw: bytes | msgspec.Raw) -> Tree:
    try:
        return decode(raw)
    except (msgspec.MsgspecError, ValueError, RecursionError, TypeError):
        return []


def pieces_of(packet: list[msgspec.Raw]) -> Iterator[tuple[int, bytes, int, int]]:
    """Number, bytes, part and parts of the pieces in a packet."""
    fragments = attempt(packet[4]) if len(packet) > 4 else ()
    for piece in fragments if isinstance(fragments, list) else ():
        match piece:
            case [int(number), bytes(data)]:
                yield number, data, 0, 1
            case [int(number), bytes(data), int(part)]:
                yield number, data, part, 1
            case [int(number), bytes(data), int(part), int(parts)]:
                yield number, data, part, parts


def element(tree: Tree, index: int) -> Tree:
    return tree[index] if isinstance(tree, list) and len(tree) > index else None


def collect_runs(runs: Tree, values: dict[tuple[int, int], list[Tree]]) -> None:
    for run in runs if isinstance(runs, list) else ():
        try:
            nets = list(accumulate(run[0]))
            for cid, column in run[1]:
                for net, value in zip(nets, column, strict=True):
                    values.setdefault((net, cid), []).append(value)
        except (TypeError, ValueError, IndexError, KeyError):
            continue


def collect_structure(
    message: bytes, values: dict[tuple[int, int], list[Tree]], gone: set[object]
) -> None:
    tree = attempt(message) if isinstance(message, bytes) else None
    if element(tree, 0) != STRUCTURE_TAG or len(tree) != 7:
        return
    collect_runs(tree[6], values)
    try:
        gone.update(accumulate(tree[3]))
        gone.update(accumulate(tree[4]))
        for cid, nets in tree[5]:
            gone.update((cid, net) for net in accumulate(nets))
    except (TypeError, ValueError):
        pass


def events_in(datagrams: Iterable[bytes]) -> list[Tree]:
    """The events in some datagrams, and what may be none."""
    return [event for datagram in datagrams for event in _events_of(datagram)]


@lru_cache(maxsize=1000)
def _events_of(datagram: bytes) -> list[Tree]:
    found: list[Tree] = []
    if datagram[:1] != bytes((_PAYLOAD,)):
        return found
    tree = packet_of(datagram[1:-4])
    told = [element(attempt(tree[3]), 7)] if len(tree) > 3 else []
    for _, data, _, _ in pieces_of(tree):
        message = attempt(data)
        if element(message, 0) == EVENTS_TAG:
            told.append(element(message, 3))
    for some in told:
        found += some if isinstance(some, list) else ()
    return found


def resembles(said: Tree, given: Tree) -> bool:
    """Whether an event is what somebody told, but for references to what is not there."""
    if given is None:
        return True
    if isinstance(given, list) and isinstance(said, list):
        return len(said) <= len(given) and all(map(resembles, said, given))
    return matches(said, given)


def matches(said: Tree, held: Tree) -> bool:
    """Whether a value is what somebody said, up to defaults left out and ints for floats."""
    if isinstance(held, list) and isinstance(said, list):
        return len(said) <= len(held) and all(map(matches, said, held))
    if isinstance(held, float) and isinstance(said, int | float):
        return float(said) == held or (held != held and said != said)
    return type(said) is type(held) and said == held


# Memory.


def census(*roots: object) -> Counter[str]:
    """How many elements all containers hold that can be reached, by where they hang."""
    sizes: Counter[str] = Counter()
    seen: set[int] = set()
    waiting: list[tuple[str, object]] = [(type(root).__name__, root) for root in roots]
    while waiting:
        path, thing = waiting.pop()
        if id(thing) in seen or isinstance(thing, type | str | bytes | int | float):
            continue
        seen.add(id(thing))
        if isinstance(thing, dict):
            sizes[path] += len(thing)
            waiting += [(f"{path}[]", value) for value in thing.values()]
        elif isinstance(thing, list | tuple | set | frozenset | deque):
            sizes[path] += len(thing)
            waiting += [(f"{path}[]", value) for value in thing]
        elif type(thing).__module__.startswith("ecsnet"):
            name = type(thing).__name__
            waiting += [(f"{name}.{key}", value) for key, value in attributes(thing)]
    return sizes


def attributes(thing: object) -> Iterable[tuple[str, object]]:
    yield from getattr(thing, "__dict__", {}).items()
    for cls in type(thing).__mro__:
        slots = cls.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if hasattr(thing, name):
                yield name, getattr(thing, name)


@dataclass
class Memory:
    """What a process holds at a quiet moment."""

    datagrams: int
    blocks: int
    rss: int
    elements: Counter[str]


def memory(arena: Arena) -> Memory:
    gc.collect()
    blocks = sys.getallocatedblocks()
    elements = census(arena.host, arena.witness.client)
    return Memory(sum(arena.sent.values()), blocks, resident(), elements)


def resident() -> int:
    """Bytes of memory that this process has now; 0 where the system does not say."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * 4096
    except OSError:
        return 0


def growth(moments: list[Memory]) -> str | None:
    """What grew from the first moment to the last beyond what may vary; None when it is flat."""
    first, last = moments[0], moments[-1]
    if last.blocks > first.blocks * 1.03 + 3000:
        return f"{first.blocks:,} blocks of memory became {last.blocks:,}"
    if last.rss > first.rss * 1.10 + (8 << 20):
        return f"{first.rss >> 20} MiB became {last.rss >> 20} MiB"
    for path, size in last.elements.items():
        # What an honest session keeps of its last seconds varies; what leaks does not stop there.
        if size > 2 * first.elements[path] + 600:
            return f"{path} grew from {first.elements[path]} elements to {size}"
    return None
