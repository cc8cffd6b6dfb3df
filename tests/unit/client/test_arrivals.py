"""What a client does with what arrives: acks end what is said again, and too much is the end."""

from __future__ import annotations

from collections.abc import Iterator

import esper
import pytest

import ecsnet as net
from ecsnet.components import Player
from ecsnet.schema import Registry, register_type, use_registry
from ecsnet.testing import Harness


class Mark:
    """Somebody else's type."""

    def __init__(self, number: int) -> None:
        Mark.made(number)
        self.number = number

    @staticmethod
    def made(number: int) -> None:
        """Called whenever one is made."""


with use_registry(Registry()) as registry:
    register_type(Mark, int, lambda mark: mark.number, Mark)

    @net.replicated
    class Place:
        x: float = 0.0

    @net.command(hold=True)
    class Steer:
        dx: int = 0

    @net.event
    class Marked:
        mark: Mark


@pytest.fixture
def game() -> Iterator[Harness]:
    with use_registry(registry):
        server = net.ServerWorld(seed=1)

    @server.on_join
    def join(player: int) -> None:
        esper.add_component(player, Place())

    @server.system
    def mark(dt: float) -> None:
        if net.tick() % 10 == 0 and esper.get_component(Player):
            net.emit(Marked(Mark(net.tick())))

    with Harness(server, registry=registry) as made:
        yield made


def test_commands_that_the_server_has_are_not_said_again(game: Harness) -> None:
    client = game.connect()
    for step in range(120):
        client.send(Steer(step % 7))
        game.step()
    # On a link without any lag: those of the tick that has just begun, and no more.
    assert len(client._sender.outbox._runs) <= 3


def test_nothing_is_taken_over_behind_what_was_too_much(game: Harness) -> None:
    client = game.connect(every=4)
    game.step(8)
    store = client._protocol.store
    assert store is not None
    structure, taken = store.structure, []

    def too_much(number: int, message: object, size: int) -> bool:
        taken.append(number)
        store.overload = "too much, in this test"
        return structure(number, message, size)  # type: ignore[arg-type]

    store.structure = too_much  # type: ignore[method-assign, assignment]
    for _ in range(4):  # a message each, in one poll
        with game.world:
            esper.create_entity(Place())
        game.step()
    assert len(taken) == 1
    assert client.closed
    assert game.events(client)[-1].reason == "overload"  # type: ignore[attr-defined]


def test_what_is_attached_by_a_converter_of_an_event_waits_for_its_end(
    game: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = game.connect()
    game.step(5)
    made: list[int] = []
    seen: list[list[int]] = []

    def attach(number: int) -> None:
        if esper.current_world == client.view.name and not seen:
            client.attach(Place, lambda entity, place: made.append(entity))
            seen.append(made.copy())

    monkeypatch.setattr(Mark, "made", staticmethod(attach))
    game.step(15)
    assert seen == [[]]
    assert made == [client.player]
