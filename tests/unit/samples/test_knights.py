"""Knights: what a knight does is a call, and its player alone reads what comes of it."""

from __future__ import annotations

import esper
import pytest

import ecsnet as net
from ecsnet.testing import FaultyLink, Harness, Registry, use_registry

with use_registry(Registry()):
    from ecsnet.samples.knights.game import Barbarian, Knight, server


def barbarian_in(client: net.ClientWorld) -> int:
    with client.view:
        return min(entity for entity, _ in esper.get_component(Barbarian))


def attack(client: net.ClientWorld, barbarian: int | None) -> None:
    with client.view:
        for _, knight in client.mine(Knight):
            knight.attack(barbarian)


def test_a_knight_fights_and_its_player_alone_reads_of_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Harness(server, seed=3) as game:
        ann = game.connect("Ann", FaultyLink(lag=0.05, loss=0.2, seed=1))
        bob = game.connect("Bob")
        game.until(lambda: ann.view.structure(Barbarian))
        foe = barbarian_in(ann)
        while foe in dict(ann.view.structure(Barbarian)):
            attack(ann, foe)
            game.run(seconds=0.5)
        assert game.settle()
        lines = capsys.readouterr().out.splitlines()
        with game.world:
            (gold,) = [knight.gold for _, knight in esper.get_component(Knight) if knight.gold]
        (last,) = [line for line in lines if "falls" in line]
        assert last.endswith(f"falls: {gold} gold for you")
        assert len(lines) >= 3
        assert all(line.startswith("You hit") for line in lines if line != last)
        assert ann.stats.events_received == len(lines)
        assert bob.stats.events_received == 0


def test_a_random_barbarian_is_chosen_on_the_server(capsys: pytest.CaptureFixture[str]) -> None:
    with Harness(server, seed=3) as game:
        ann = game.connect("Ann")
        game.run(seconds=5)  # three have come
        for _ in range(3):  # not enough to make one fall
            with ann.view:
                for _, knight in ann.mine(Knight):
                    knight.attack_random()
            game.run(seconds=0.2)
        hit = {line.split()[2] for line in capsys.readouterr().out.splitlines() if "hit" in line}
        assert len(hit) > 1


def test_a_barbarian_that_fell_before_is_not_attacked(capsys: pytest.CaptureFixture[str]) -> None:
    with Harness(server) as game:
        ann = game.connect("Ann")
        game.run(seconds=2)
        with game.world:
            for entity, _ in esper.get_component(Barbarian):
                esper.delete_entity(entity)
        attack(ann, barbarian_in(ann))  # which still shows it
        game.run(seconds=1)
        assert ann.stats.commands_applied == 1
        with game.world:
            assert [knight for _, knight in esper.get_component(Knight)] == [Knight()]
        assert not capsys.readouterr().out
