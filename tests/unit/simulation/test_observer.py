from __future__ import annotations

import logging
from collections import Counter

import esper
import pytest

import ecsnet as net
from ecsnet import schema
from ecsnet.simulation.observer import Observer, Observers
from ecsnet.testing import Harness

with schema.use_registry(schema.Registry()) as registry:

    @net.replicated
    class Tank:
        hp: int = 10


def game() -> net.ServerWorld:
    with schema.use_registry(registry):
        server = net.ServerWorld()

    @server.on_join
    def join(player: int) -> None:
        esper.add_component(player, Tank())

    @server.system
    def work(dt: float) -> None:
        for _, tank in esper.get_component(Tank):
            tank.hp += 1

    return server


class Capture(Observer):
    sees_packets = True

    def __init__(self) -> None:
        self.counts: Counter[tuple[int, bool]] = Counter()
        self.raising = False

    def packet(self, player_id: int, packet: bytes, sent: bool) -> None:
        if self.raising:
            raise RuntimeError("boom")
        assert schema.Gate(list[object], 2000).decode(packet)
        self.counts[player_id, sent] += 1


def test_an_observer_sees_the_packets_of_those_who_play() -> None:
    with Harness(game(), registry=registry) as play:
        early = play.connect("early")
        capture = Capture()
        play.room.observers.add(capture)
        ann, bob = play.connect("ann"), play.connect("bob")
        members = {client: play.member(client) for client in (early, ann, bob)}
        peers = {c: member.peer for c, member in members.items() if member is not None}
        assert peers[early].on_packet is None
        capture.counts.clear()
        before = {
            client: (peers[client].session.packets_sent, peers[client].session.packets_received)
            for client in (ann, bob)
        }
        play.run(1.0)
        for player_id, client in ((2, ann), (3, bob)):
            session, (sent, received) = peers[client].session, before[client]
            assert capture.counts[player_id, True] == session.packets_sent - sent > 50
            assert capture.counts[player_id, False] == session.packets_received - received > 50
        assert {player_id for player_id, _ in capture.counts} == {2, 3}
        play.leave(bob)
        play.run(0.5)
        assert peers[bob].on_packet is None


def test_one_that_raises_over_a_packet_sees_no_more(caplog: pytest.LogCaptureFixture) -> None:
    with Harness(game(), registry=registry) as play:
        capture = Capture()
        play.room.observers.add(capture)
        ann = play.connect("ann")
        assert capture.counts
        capture.raising = True
        with caplog.at_level(logging.ERROR, "ecsnet.server"):
            play.run(0.5)
        assert caplog.text.count("Capture.packet() raised") == 1
        assert list(play.room.observers) == []
        assert ann.connected
        assert play.settle()


def test_nobody_is_called_for_packets_who_does_not_want_them() -> None:
    class Plain(Observer):
        def packet(self, player_id: int, packet: bytes, sent: bool) -> None:
            raise AssertionError

    plain, capture = Plain(), Capture()
    both = Observers([plain])
    assert not both.see_packets
    both.add(capture)
    assert both.see_packets
    both.packet(1, b"\x91\x01", True)
    assert capture.counts == {(1, True): 1}
    assert list(both) == [plain, capture]
