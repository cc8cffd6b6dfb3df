"""The log at DEBUG reads as the story of each client."""

from __future__ import annotations

import logging
import re

import esper
import pytest

import ecsnet as net
from ecsnet import schema
from ecsnet.testing import Harness
from tests.unit.replication.server.test_replicator import Blob, Field

with schema.use_registry(schema.Registry()) as registry:

    @net.replicated
    class Place:
        x: float = 0.0
        y: float = 0.0

    @net.replicated
    class Tank:
        hp: int = 10


def game() -> net.ServerWorld:
    with schema.use_registry(registry):
        server = net.ServerWorld(interest=net.Grid(Place, 100.0))

    @server.on_start
    def start() -> None:
        for number in range(8):
            esper.create_entity(Place(1000.0 * (number % 2) + 10.0, 10.0), Tank())

    @server.on_join
    def join(player: int) -> None:
        esper.add_component(player, Place(10.0, 10.0))

    @server.system
    def work(dt: float) -> None:
        for _, tank in esper.get_component(Tank):
            tank.hp += 1

    return server


def test_a_clients_join_sight_losses_and_end_can_be_followed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "ecsnet")
    with Harness(game(), registry=registry) as play:
        link = net.Link(seed=1)
        ann = play.connect("Ann", link)
        play.run(1.0)
        with play.world:
            (place,) = [place for e, place in esper.get_component(Place) if e == player(play)]
            place.x = 1010.0
        play.run(1.0)
        link.loss = 0.5
        play.run(2.0)
        link.loss = 0.0
        play.run(1.0)
        play.leave(ann)
        play.run(1.0)
    said = [record.getMessage() for record in caplog.records if "Ann" in record.getMessage()]
    assert any(line.startswith("Ann (player 1, 10.0.0.1:40000) joined") for line in said)
    story = [line for line in said if "sight" in line or "lost" in line or "gone" in line]
    assert re.search(r": 5 entities enter its sight, 0 leave it$", story[0])
    assert re.search(r": 4 entities enter its sight, 4 leave it$", story[1])
    lost = re.compile(r" lost \d+ updates: \d+ entities are owed$")
    assert any(lost.search(line) for line in story[2:-1])
    assert story[-1].endswith("is gone: left")
    assert len([line for line in story if "lost" in line]) <= 4  # of 60 packets in two seconds
    assert len(said) < 30  # nothing is said of single packets


def test_what_waits_to_enter_and_what_only_leaves_is_said_too(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "ecsnet")
    with Harness(game(), registry=registry) as play:
        with play.world:
            crowd = [esper.create_entity(Tank()) for _ in range(2_500)]
        play.connect("Ann")
        play.run(1.0)
        with play.world:
            esper.delete_entity(crowd[0])
        play.run(0.1)
    sight = re.compile(r": (\d+) entities enter its sight, (\d+) leave it(?:, (\d+) wait)?$")
    found = [sight.search(record.getMessage()) for record in caplog.records]
    story = [[int(number or 0) for number in match.groups()] for match in found if match]
    entered = 0
    for enter, leave, wait in story[:-1]:
        entered += enter
        assert (leave, wait) == (0, 2_505 - entered)
    assert len(story) >= 3
    assert story[-1] == [0, 1, 0]


def test_losses_are_added_up_and_said_once_a_second(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "ecsnet")
    field = Field()
    try:
        client = field.join(Blob())
        field.step(60)
        for _ in range(3):  # every 0.7 seconds
            client.lose = lambda packet: True
            field.world.components(client.player)[Blob].data += b"."
            field.step()
            client.lose = lambda packet: False
            field.step(41)
        lines = [line for line in caplog.messages if "lost" in line]
        assert lines == [
            "a client lost 1 updates: 1 entities are owed",
            "a client lost 2 updates: 1 entities are owed",
        ]
    finally:
        field.close()


def player(play: Harness) -> int:
    return play.simulation.player_entity[1]


def test_nothing_of_it_is_made_where_nobody_reads_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "ecsnet")
    with Harness(game(), registry=registry) as play:
        play.connect("Ann")
        play.run(1.0)
        assert not play.room.replicator._structure.traced
    assert not [record for record in caplog.records if record.levelno == logging.DEBUG]
