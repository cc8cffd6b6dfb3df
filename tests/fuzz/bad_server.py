"""Lets clients play with servers that lie: `python tests/fuzz/bad_server.py --count N`, N sessions.

Each server goes by the book until it has let the client in, or not even that far, and then tries to
make it keep too much, work too long, wait for ever or trip. Half of the clients are smooth and run
ahead. Exits with status 1 when an exception escaped, when a client kept or did more than its limits
say, when anything was left of a client that had closed, when memory grew, when a poll took more
than 50 ms of its thread's time, or 250 of a smooth client's, or when some attack or some end never
happened. The seed that it prints plays the same sessions again.
"""

from __future__ import annotations

import argparse
import gc
import logging
import random
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from unittest.mock import patch

import msgspec

sys.path.insert(0, str(Path(__file__).parents[2]))

from game import (
    ANSWER,
    SCHEMA,
    SOUND,
    Bag,
    Boom,
    Dial,
    Horn,
    Owner,
    Pellet,
    Place,
    Rules,
    Spark,
    registry,
)
from hostile import deltas, plain, resident
from mutations import Tree, encode, junk, mutated, nest, respin, safely_encoded

from ecsnet.client.connection import DATAGRAMS_WAITING
from ecsnet.client.protocol import NOTIFICATIONS, WORK_A_POLL
from ecsnet.components import LobbyPlayer, LobbyState, Player, Presence, Teleports
from ecsnet.messages.joining import SchemaOffer, Welcome
from ecsnet.notifications import Disconnected, Refused
from ecsnet.replication.client.event_queue import EVENTS, EVENTS_BYTES
from ecsnet.replication.client.playout_buffer import BUFFER_BYTES, PlayoutBuffer
from ecsnet.replication.client.references import MENTIONS
from ecsnet.replication.client.store import (
    COMPONENTS,
    DEPARTING,
    ENTITIES,
    MESSAGE_PARTS,
    WAITING_BYTES,
)
from ecsnet.replication.wire import EVENT_BYTES, MESSAGE_BYTES
from ecsnet.session.channel import FRAGMENT_BYTES
from ecsnet.session.goodbye import Reason
from tests.unit.hostile_server import EPOCH, HostileServer

FRAMES = 90
"""Frames in which a server does its worst; where it keeps a client waiting, there are more."""

POLL_LIMIT = 0.05
"""Seconds of its thread that a poll may take."""

SMOOTH_LIMIT = 0.25
"""The same of a smooth client: what is drawn is a second store, and what is shared runs over all
that is in sight.
"""

MEMORY_LIMIT = 96 << 20
"""Bytes by which the process may grow after its first sessions."""

_PARTS = (0, 0, 1, 2, 1 << 12 | 4, 2**22 - 1)
"""For updates: alone, with something left out, held, the second of two, the last of all."""

ENDS = ("refused: timeout", "refused: schema", "abuse", "overload", "kicked", "it lives")


DEEDS = (
    "calls that ran", "calls for what is not there", "lobbies read", "values drawn between two",
    "frames with a full buffer", "frames drawn ahead", "corrections", "ticks predicted again",
    "entities predicted",
)  # fmt: skip


class WrongError(AssertionError):
    """Something happened that must not."""


class BadServer(HostileServer):
    """A server with dice."""

    def __init__(self, dice: random.Random, *, smooth: bool) -> None:
        self.smooth = smooth
        super().__init__(registry, Rules() if self.smooth else None)
        self.deeds = Counter[str]()
        self.client._calls.on_call = self._note_call
        self.dice = dice
        self.net = 1
        self.worst = 0.0
        self.ran = self.read = 0
        self.ending = "it lives"

    def _note_call(self, call: object, entity: int, arguments: object) -> None:
        self.ran += 1

    def frame(self) -> None:
        """A frame of the client's, with a look at what it kept and did."""
        client, store = self.client, self.client._protocol.store
        work = store.work if store is not None else 0
        poll, feed = client.poll, PlayoutBuffer._feed

        def counted(buffer: PlayoutBuffer, tick: float) -> None:
            self.deeds["frames with a full buffer"] += buffer._bytes > BUFFER_BYTES
            feed(buffer, tick)

        def timed() -> list[object]:
            began = time.thread_time()
            events = poll()
            self.worst = max(self.worst, time.thread_time() - began)
            return events  # type: ignore[return-value]

        client.poll = timed  # type: ignore[method-assign, assignment]
        with patch.object(PlayoutBuffer, "_feed", counted):
            events = self.poll()
        client.poll = poll  # type: ignore[method-assign]
        for event in events:
            if isinstance(event, Refused):
                self.ending = f"refused: {event.reason}" if event.reason != "abuse" else "abuse"
            elif isinstance(event, Disconnected):
                self.ending = event.reason
        if store is not None:
            self._check(store.work - work)
            self._check_drawing()

    def _check_drawing(self) -> None:
        """Look at what a smooth client keeps beside, and at what it did."""
        client, drawing = self.client, self.client._protocol._drawing
        if drawing is None:
            return
        buffer, clock = drawing.buffer, drawing.clock
        samples, drawn = buffer._samples, buffer.store
        tracks = samples._tracks.values()
        kept = {
            "bytes in the buffer": (buffer._bytes, BUFFER_BYTES),
            "messages in the buffer": (
                len(buffer._messages) + len(buffer._updates),
                BUFFER_BYTES // 200,
            ),
            "samples": (sum(len(track.ticks) for track in tracks), BUFFER_BYTES // 8),
            "ticks in part": (len(samples._missing), 300),
            "entities that jumped": (len(samples._jumps), ENTITIES),
            "entities that are drawn": (len(drawn.entities), ENTITIES),
            "bytes that wait to be drawn": (drawn._waiting_bytes, WAITING_BYTES + 100_000),
            "events to be drawn": (len(drawn.events), EVENTS + BUFFER_BYTES // 3),
            "packets of the clock": (len(clock._needed) + len(clock._arrived), 40_000),
        }
        deeds, prediction = self.deeds, client._protocol.prediction
        deeds["values drawn between two"] += len(client._view.blended)
        if prediction is not None and prediction._room is not None:
            predictor = prediction._room.predictor
            deeds["frames drawn ahead"] += prediction.ahead is not None
            deeds["corrections"] = predictor.corrections
            deeds["ticks predicted again"] = predictor.replayed_ticks
            own = sum(replica.own for replica in predictor.world.replicas.values())
            deeds["entities predicted"] = max(deeds["entities predicted"], own)
            kept |= {
                "replicas": (len(predictor.world.replicas), ENTITIES + 8192),
                "predicted spawns": (len(predictor._spawns), 8192),
                "ticks of the past": (len(predictor._history._snapshots), predictor._ticks + 2),
                "commands of the past": (len(predictor.commands._given), predictor._ticks + 2),
                "names that changed": (len(predictor.renamed), 0),
                "what is over": (len(prediction._room.overlay._gone), ENTITIES),
            }
            if not prediction.running and not client.closed:
                raise WrongError("the client has given up to predict")
        for name, (found, limit) in kept.items():
            if found > limit:
                raise WrongError(f"{found:,} {name}, more than {limit:,}")

    def _check(self, work: int) -> None:
        client, store, peer = self.client, self.client._protocol.store, self.client._connection.peer
        assert store is not None
        kept = {
            "entities": (len(store.entities), ENTITIES),
            "components": (sum(len(r.ticks) for r in store.entities.values()), COMPONENTS + 99_999),
            "entities shown": (len(client._view.local), ENTITIES + 8192),
            "references": (client._view.references.kept, MENTIONS),
            "bytes that wait": (store._waiting_bytes, WAITING_BYTES + 100_000),
            "fragments": (peer._incoming.held, 1 << 20),
            "messages in part": (len(peer._incoming._waiting), 256),
            "datagrams that wait": (len(client._connection._waiting), DATAGRAMS_WAITING),
            "what is not taken over": (len(client._protocol._arrived), 1300),
            "messages of its own": (peer._out.backlog, 1000),
            "events": (len(store.events), EVENTS + EVENT_BYTES // 3),
            "bytes of events": (store.events._bytes, EVENTS_BYTES + 20 * EVENT_BYTES),
            "calls": (len(client._calls._due), 0),
            "entities that stay": (len(store._departing), DEPARTING),
            "notifications": (len(client._protocol.notifications), NOTIFICATIONS),
            "work": (work, WORK_A_POLL + 4 * MESSAGE_PARTS + MESSAGE_BYTES // 8 + 1000),
        }
        for name, (found, limit) in kept.items():
            if found > limit:
                raise WrongError(f"{found:,} {name}, more than {limit:,}")

    # What it says.

    def value(self, cid: int) -> Tree:
        kind = SCHEMA.components[cid]
        return plain(kind.to_wire(kind.cls(), lambda entity: entity))

    def run(self, nets: list[int]) -> Tree:
        cids = self.dice.sample(range(len(SCHEMA.components)), self.dice.choice((1, 1, 2, 4)))
        return [deltas(nets), [[cid, [self.value(cid)] * len(nets)] for cid in sorted(cids)]]

    def places(self, nets: Sequence[int]) -> Tree:
        """Entities at places that are drawn between."""
        places = [[self.dice.uniform(0, 99), self.dice.uniform(0, 99)] for _ in nets]
        return [deltas([*nets]), [[SCHEMA.cid_of[Place], places]]]

    def structural(self, tree: Tree) -> None:
        self.say(safely_encoded(tree)[: 1 << 20])

    def message(
        self, *, gone: Tree = (), hidden: Tree = (), removed: Tree = (), sets: Tree
    ) -> Tree:
        self.tick += 1
        return [16, EPOCH, self.tick & 0xFFFFFFFF, list(gone), list(hidden), list(removed), sets]

    def fresh(self, count: int) -> list[int]:
        nets = list(range(self.net, self.net + count))
        self.net += count
        return nets

    def update(
        self, runs: Tree, depends: int = 0, tick: int | None = None, events: Tree = ()
    ) -> None:
        self.tick += 1
        tick = self.tick if tick is None else tick
        part = _PARTS[self.tick % len(_PARTS)]
        depends += self.peer.queued
        payload = [EPOCH, tick & 0xFFFFFFFF, 0, depends, part, None, runs, events]
        if len(encode(payload)) < 1100:
            self.send(payload)


def many_ids(server: BadServer) -> None:
    count = server.dice.choice((1000, 50_000, 500_000, 1_000_000))
    ids = [1] * count
    server.structural(
        server.dice.choice(
            (
                server.message(sets=[[ids, []]]),
                server.message(gone=ids, sets=[]),
                server.message(hidden=ids, sets=[]),
                server.message(removed=[[0, ids]], sets=[]),
                server.message(sets=[[[1], []]] * min(count, 200_000)),
            )
        )
    )


def spawns(server: BadServer) -> None:
    nets = server.fresh(server.dice.choice((1, 100, 1500)))
    server.structural(server.message(sets=[server.run(nets)]))


def comings_and_goings(server: BadServer) -> None:
    nets = server.fresh(400)
    server.structural(server.message(sets=[server.run(nets)]))
    server.structural(server.message(gone=deltas(nets), sets=[]))


def large_values(server: BadServer) -> None:
    cid = SCHEMA.cid_of[next(c.cls for c in SCHEMA.components if c.name == "Bag")]
    items = [server.dice.randrange(3)] * server.dice.choice((1000, 100_000, 900_000))
    server.structural(server.message(sets=[[server.fresh(1), [[cid, [[items, {}]]]]]]))


def references(server: BadServer) -> None:
    cid = SCHEMA.cid_of[next(c.cls for c in SCHEMA.components if c.name == "Follows")]
    nets = server.fresh(server.dice.choice((1, 20)))
    others = list(range(1, server.dice.choice((20, 800, 20_000))))
    server.structural(server.message(sets=[[deltas(nets), [[cid, [[1, others]] * len(nets)]]]]))


def event(server: BadServer, *, names: Tree = None, near: Tree = ()) -> Tree:
    """A `Boom`, and a `Spark` where nothing is in it."""
    if names is None and not near:
        return [SCHEMA.event_id_of[Spark], [server.dice.randrange(100), None]]
    at = server.dice.randrange(1, 100)
    return [SCHEMA.event_id_of[Boom], [1, at, list(near), 0, names or {}]]


def happened(server: BadServer, events: list[Tree], epoch: int = EPOCH) -> None:
    server.say(safely_encoded([18, epoch, server.tick & 0xFFFFFFFF, events])[: 1 << 20])


def many_events(server: BadServer) -> None:
    count = server.dice.choice((1, 1000, 3200, 200_000))
    for _ in range(server.dice.choice((1, 4))):
        happened(server, [event(server)] * count)


def large_events(server: BadServer) -> None:
    count = server.dice.choice((10, 1000, 16_000, 100_000, 300_000))
    names = server.dice.choice(({"a": [1] * count}, {str(n): [] for n in range(count // 4)}))
    near = [server.dice.randrange(1, 100)] * server.dice.choice((0, count))
    happened(server, [event(server, names=names, near=near)])
    for _ in range(server.dice.choice((0, 30))):
        happened(server, [event(server, names={str(n): [] for n in range(2000)})])


def events_then_departures(server: BadServer) -> None:
    nets = server.fresh(server.dice.choice((10, 1500)))
    server.structural(server.message(sets=[server.run(nets)]))
    happened(server, [event(server, near=nets[:9])] * server.dice.choice((1, 300)))
    server.structural(server.message(gone=deltas(nets), sets=[]))


def rooms_with_events(server: BadServer) -> None:
    """The next room begins while the view of the one before still lacks a lot."""
    for _ in range(server.dice.choice((1, 9))):
        server.structural(server.message(sets=[server.run(server.fresh(300))]))
        happened(server, [event(server)] * server.dice.choice((1, 3200)))
    server.say(encode(plain(Welcome(EPOCH, 0, 1, 60.0, 60.0, 100))))


def spoiled_events(server: BadServer) -> None:
    some = [event(server), [len(SCHEMA.events), [1, 2]], event(server, near=[1, 2, 3])]
    tree = [18, EPOCH, 100, some]
    body = safely_encoded(respin(server.dice, tree, server.dice.choice((1, 2, 5))))
    server.say(body[: 1 << 20])


def calls(server: BadServer) -> None:
    """Calls for components that are there, are not, and are just going."""
    nets = server.fresh(server.dice.choice((1, 300)))
    horn = [SCHEMA.cid_of[Horn], [plain(Horn())] * len(nets)]
    server.structural(server.message(sets=[[deltas(nets), [horn]]]))
    names = {str(n): [n] for n in range(server.dice.choice((0, 50)))}
    answer, sound = SCHEMA.event_id_of[ANSWER], SCHEMA.event_id_of[SOUND]
    some = [[sound, [None, 1, junk(server.dice)]]] if server.dice.random() < 0.2 else []
    for _ in range(server.dice.choice((1, 30, 100))):
        net = server.dice.choice((*nets, 10**9))
        some.append(server.dice.choice(([answer, [net, 1, net]], [sound, [net, 1, names]])))
    happened(server, some)
    if server.dice.random() < 0.5:
        server.structural(server.message(gone=deltas(nets), sets=[]))


def lobbies(server: BadServer) -> None:
    """Lobbies whose players tell each other what cannot be read."""
    nets = server.fresh(server.dice.choice((1, 100)))
    infos = [safely_encoded(junk(server.dice)) for _ in nets]
    value = server.dice.choice(
        (
            [LobbyState, ["playing", server.dice.choice((0, 2**53, -(2**63))), 1]],
            [LobbyState, ["paused", 0, 1]],
            [Presence, ["lost", 2**62]],
        )
    )
    columns = [
        [SCHEMA.cid_of[Player], [[net, "x" * (net % 400)] for net in nets]],
        [SCHEMA.cid_of[LobbyPlayer], [[True, True, info] for info in infos]],
        [SCHEMA.cid_of[value[0]], [value[1]] * len(nets)],
    ]
    server.structural(server.message(sets=[[deltas(nets), sorted(columns)]]))
    lobby = server.client.lobby
    if lobby is not None:
        server.read += any(each.info for each in lobby.players)


def loose_events(server: BadServer) -> None:
    for _ in range(server.dice.choice((10, 300, 1200))):
        server.update([], events=[event(server)] * server.dice.choice((1, 200)))


def flood(server: BadServer) -> None:
    if server.net == 1:
        server.structural(server.message(sets=[server.run(server.fresh(60))]))
    for _ in range(server.dice.choice((10, 300, 1200))):
        server.update([server.run(list(range(1, server.dice.randint(2, 60))))])


def ahead_of_structure(server: BadServer) -> None:
    for _ in range(300):
        server.update([server.run(server.fresh(server.dice.randint(1, 40)))], depends=9)


def jumping_ticks(server: BadServer) -> None:
    tick = server.dice.choice((0, 1, 2**31, 2**32 - 1, server.dice.randrange(2**32)))
    server.update([server.run([1, 2])], tick=tick)
    report = [server.dice.choice((-(2**53), 0, 2**53)), 2**53, 0, 0, 0]
    server.send([EPOCH, tick, server.dice.choice((0, 2**53)), 0, report, []])


def parts(server: BadServer) -> None:
    """Datagrams of ticks that fit together in no way."""
    if server.net == 1:
        server.structural(server.message(sets=[server.places(server.fresh(60))]))
    pick = server.dice.choice
    for _ in range(pick((3, 60))):
        server.tick += pick((0, 0, 1, 1, -3, 40))
        many, held = pick((1, 2, 3, 64, 1024)), pick((0, 1, 2, 3))
        part = ((many - 1) * 1024 + server.dice.randrange(many)) << 2 | held
        if server.dice.random() < 0.001:
            part = server.dice.randrange(2**22)
        tick = server.tick + pick((0, 0, 1, -1, -200))
        depends = server.peer.queued + pick((0, 0, 1))
        runs = [server.places(range(1, 30))]
        server.send([EPOCH, tick & 0xFFFFFFFF, pick((0, 3, 200)), depends, part, None, runs, ()])


def jumps(server: BadServer) -> None:
    """Things that jump all the time, come, and go, in a time that nearly stands still."""
    still = server.dice.random() < 0.95
    for _ in range(server.dice.choice((1, 6))):
        nets, tick = server.fresh(400), server.tick
        count = [SCHEMA.cid_of[Teleports], [[server.dice.randrange(65_536)]] * len(nets)]
        places = server.places(nets)
        server.structural(server.message(sets=[[places[0], sorted([*places[1], count])]]))
        for _ in range(3):
            server.update([server.places(nets[:20]), [deltas(nets[:20]), [[count[0], [[5]] * 20]]]])
        server.structural(server.message(gone=deltas(nets), sets=[]))
        server.tick = tick if still else server.tick


def far_ahead(server: BadServer) -> None:
    """What comes is for a time that is far away, so that it has to wait."""
    now = server.tick
    server.tick += server.dice.choice((0, 600, 100_000))
    nets = server.fresh(server.dice.choice((1, 100)))
    bags = [[[1] * server.dice.choice((1, 400)), {}]] * len(nets)
    columns = [*server.places(nets)[1], [SCHEMA.cid_of[Bag], bags]]
    server.structural(server.message(sets=[[deltas(nets), sorted(columns)]]))
    happened(server, [event(server)] * server.dice.choice((1, 100)))
    server.structural(server.message(gone=deltas(nets), sets=[]))
    server.tick = server.dice.choice((now, server.tick)) if server.dice.random() < 0.1 else now
    server.update([])


def owned(server: BadServer) -> None:
    """What is the player's is otherwise than it was predicted, comes, and goes."""
    nets = server.fresh(server.dice.choice((1, 10, 200)))
    columns = [
        [SCHEMA.cid_of[Dial], [[server.dice.uniform(0, 360)] for _ in nets]],
        [SCHEMA.cid_of[Pellet], [[server.dice.randrange(-1, 90)]] * len(nets)],
        [SCHEMA.cid_of[Owner], [[1]] * len(nets)],
    ]
    server.structural(server.message(sets=[[deltas(nets), sorted(columns)]]))
    for _ in range(server.dice.choice((1, 20))):
        some = nets[:40]
        angles = [[server.dice.uniform(0, 360)] for _ in some]
        late = server.dice.choice((0, 0, 5, 200))
        server.update([[deltas(some), [[SCHEMA.cid_of[Dial], angles]]]], tick=server.tick - late)
    if server.dice.random() < 0.7:
        server.structural(server.message(gone=deltas(nets), sets=[]))


def ids_out_of_range(server: BadServer) -> None:
    ids = server.dice.choice(([-1], [0], [2**53, 2**53], [1, -5], [2**62], [-(2**53)]))
    server.structural(server.message(sets=[[ids, [[0, [server.value(0)] * len(ids)]]]]))


def spoiled(server: BadServer) -> None:
    if server.net == 1:
        server.structural(server.message(sets=[server.run(server.fresh(10))]))
    tree = server.message(sets=[server.run(server.fresh(3))])
    body = safely_encoded(respin(server.dice, tree, server.dice.choice((1, 2, 5))))
    if server.dice.random() < 0.3:
        body = mutated(server.dice, body)
    server.say(body[: 1 << 20])


def nested(server: BadServer) -> None:
    deep = msgspec.Raw(nest(server.dice))
    server.say(safely_encoded(server.message(sets=[[[1], [[0, [deep]]]]])))
    server.send([EPOCH, 1, 0, 0, None, deep])


def noise(server: BadServer) -> None:
    assert server.connection is not None
    for _ in range(server.dice.choice((1, 40))):
        server.deliver(server.connection.seal(safely_encoded(junk(server.dice))[:1100] or b"x"))


def fragments(server: BadServer) -> None:
    assert server.connection is not None
    for _ in range(100):
        number = server.peer.queued + server.dice.randint(1, 200)
        parts = server.dice.choice((2, 900, 1024))
        packet = msgspec.msgpack.decode(server.peer.session.send(None, server.clock.now))
        piece = [number & 0xFFFF, bytes(FRAGMENT_BYTES), server.dice.randrange(parts - 1), parts]
        server.deliver(server.connection.seal(encode([*packet[:3], None, [piece], 0, None])))


def pings(server: BadServer) -> None:
    for _ in range(1000):
        server.peer.transmit(server.peer.session.ping(server.clock.now))


def welcomes(server: BadServer) -> None:
    server.say(encode(plain(Welcome(EPOCH, 0, 1, 60.0, 60.0, 100))))


def goodbye(server: BadServer) -> None:
    assert server.connection is not None
    spawns(server)
    if server.dice.random() < 0.1:
        server.say_goodbye(Reason.KICKED)


def events_before_the_player(server: BadServer) -> None:
    if server.client._protocol.store is None:
        server.say(encode(plain(Welcome(EPOCH, 1, 1, 60.0, 60.0, 100))))
    if server.dice.random() < 0.2:
        happened(server, [event(server)] * server.dice.choice((1, 1000, 3200)))
    else:
        server.send(None)
    if server.dice.random() < 0.002 and server.net == 1:  # here it comes
        server.structural(server.message(sets=[server.run(server.fresh(1))]))


def silence(server: BadServer) -> None:
    server.send(None)


def never_the_player(server: BadServer) -> None:
    if server.client._protocol.store is None:
        server.say(encode(plain(Welcome(EPOCH, 2**40, 1, 60.0, 60.0, 100))))
    spawns(server) if server.dice.random() < 0.05 else server.send(None)


def offers(server: BadServer) -> None:
    description = server.dice.choice(
        (
            SCHEMA.encode_description(),
            safely_encoded(respin(server.dice, SCHEMA.description(), 3)),
            encode([["component", "X", [["a", "b"]] * 4, [["f", "int"]] * 9]] * 9000),
            nest(server.dice),
        )
    )
    # A mutated description may be longer than the message that a channel takes.
    server.say(encode(plain(SchemaOffer(description)))[:MESSAGE_BYTES])


def one_offer(server: BadServer) -> None:
    server.send(None) if server.peer.queued else offers(server)


def strange_welcomes(server: BadServer) -> None:
    rates: tuple[float, ...] = (0.0, -1.0, 1e300, 1e-300, float("inf"), float("nan"), 0.1, 1e4)
    pick = server.dice.choice
    server.say(encode(plain(Welcome(EPOCH, 0, 1, pick(rates), pick(rates), pick((0, 2**32 - 1))))))
    server.send(None)


def early_updates(server: BadServer) -> None:
    for _ in range(200):
        server.update([server.run(list(range(1, 60)))])
    if server.dice.random() < 0.2:
        welcomes(server)


IN_GAME: tuple[Callable[[BadServer], None], ...] = (
    many_ids, spawns, comings_and_goings, large_values, references, flood, ahead_of_structure,
    jumping_ticks, ids_out_of_range, spoiled, nested, noise, fragments, pings, welcomes, goodbye,
    many_events, large_events, events_then_departures, rooms_with_events, spoiled_events,
    loose_events, calls, lobbies, parts, jumps, far_ahead, owned,
)  # fmt: skip
AT_THE_DOOR: tuple[Callable[[BadServer], None], ...] = (
    silence, never_the_player, offers, one_offer, strange_welcomes, early_updates, noise,
    events_before_the_player,
)  # fmt: skip
NAMES = tuple(dict.fromkeys(attack.__name__ for attack in (*IN_GAME, *AT_THE_DOOR)))


class Report:
    """What became of all sessions."""

    def __init__(self) -> None:
        self.sessions: Counter[str] = Counter()
        self.ran = Counter[str]()
        self.ends: Counter[str] = Counter()
        self.worst: dict[str, float] = dict.fromkeys(NAMES, 0.0)
        self.worst_smooth: dict[str, float] = dict.fromkeys(NAMES, 0.0)
        self.grown = 0


def play(seed: int, report: Report) -> None:
    """One session."""
    dice = random.Random(seed)
    # All lies have their turn, so that few sessions do.
    door = seed % 3 == 0
    known, turn = (AT_THE_DOOR, seed // 3) if door else (IN_GAME, seed - seed // 3)
    attacks = [known[turn % len(known)], *dice.sample(known, dice.choice((0, 0, 1)))]
    server = BadServer(dice, smooth=owned in attacks or dice.random() < 0.5)
    try:
        server.accept()
        if not door:
            server.welcome(int(server.smooth))
        frames = 800 if door else FRAMES
        for _ in range(frames):
            if server.client.closed:
                break
            if server.peer.backlog < 1 << 20:
                dice.choice(attacks)(server)
            server.frame()
        server.client.close()
        for kind in SCHEMA.components:
            if server.client.view.structure(kind.cls):
                raise WrongError(f"{kind.name} stays in the view of a client that has closed")
    finally:
        server.close()
    for attack in attacks:
        name = attack.__name__
        report.sessions[name] += 1
        if len(attacks) == 1:
            worst = report.worst_smooth if server.smooth else report.worst
            worst[name] = max(worst[name], server.worst)
    report.ends[server.ending] += 1
    report.ran["calls that ran"] += server.ran
    report.ran["calls for what is not there"] += server.client._calls.missed
    report.ran["lobbies read"] += server.read
    report.ran += server.deeds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=400, help="sessions")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--any-time", action="store_true", help="let polls take as long as they do")
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else random.randrange(10**6)
    logging.getLogger("ecsnet").setLevel(logging.CRITICAL)
    print(f"seed {seed}", flush=True)
    gc.collect()
    gc.freeze()  # the polls' collections are to look at what a client keeps, not at this program
    report, failure, before = Report(), None, 0
    began = time.perf_counter()
    for number in range(arguments.count):
        try:
            play(seed * 1000 + number, report)
        except BaseException:
            failure = f"session {number}:\n{traceback.format_exc()}"
            break
        gc.collect()  # what is over is not for the next one's polls to clear away
        if number == arguments.count // 2:
            before = resident()
    report.grown = resident() - before
    return summary(report, failure, arguments, time.perf_counter() - began)


def summary(
    report: Report, failure: str | None, arguments: argparse.Namespace, seconds: float
) -> int:
    """Print what happened; 1 when anything was wrong."""
    print("\nsessions, and the longest poll where it was the only attack, of plain clients and of")
    print("smooth ones:")
    for name in NAMES:
        worst, smooth = report.worst[name] * 1000, report.worst_smooth[name] * 1000
        print(f"{report.sessions[name]:>8,} {worst:8.1f} ms {smooth:8.1f} ms  {name}")
    print("\nhow clients came out of it:")
    for end in ENDS:
        print(f"{report.ends[end]:>8,}  {end}")
    print("\nwhat they were made to do:")
    for name in DEEDS:
        print(f"{report.ran[name]:>8,}  {name}")
    print(f"\n{sum(report.ends.values()):,} sessions in {seconds:.0f} s,", end=" ")
    print(f"memory {report.grown / 2**20:+.1f} MiB in the second half")
    faults = [] if failure is None else [failure]
    if report.grown > MEMORY_LIMIT:
        faults.append(f"{report.grown:,} bytes more")
    for worst, limit in (report.worst, POLL_LIMIT), (report.worst_smooth, SMOOTH_LIMIT):
        slow = [name for name, seconds in worst.items() if seconds > limit]
        if slow and not arguments.any_time:
            faults.append(f"polls of more than {limit * 1000:g} ms: {', '.join(slow)}")
    found = report.sessions + report.ends + report.ran
    never = [name for name in (*NAMES, *ENDS, *DEEDS) if not found[name]]
    if never and failure is None:
        faults.append(f"never happened: {', '.join(never)}")
    for fault in faults:
        print(f"\nFAILED: {fault}")
    if not faults:
        print("ok: no exception escaped, and no client kept or did more than its limits say")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
