"""What a peer sends meets the code of the game's types, and that code may raise whatever it likes.

To either end it is a bad message then: counted, dropped, and nobody else notices.
"""

from __future__ import annotations

import asyncio
import enum
import logging
from collections.abc import Callable
from dataclasses import field
from typing import Annotated

import esper
import msgspec
import pytest

from ecsnet.errors import BadMessageError, BadValueError, UsageError
from ecsnet.schema import (
    Gate,
    MaxLen,
    Registry,
    command,
    command_type,
    component_type,
    encode,
    register_type,
    replicated,
    use_registry,
)
from ecsnet.server.world import ServerWorld
from ecsnet.simulation.simulation import commands
from ecsnet.testing import Harness


class OddError(Exception):
    """An exception that cannot even be shown."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


class Away(BaseException):
    """What nobody would raise here."""


RAISED: tuple[type[BaseException], ...] = (
    KeyError,
    ZeroDivisionError,
    OddError,
    StopIteration,
    MemoryError,
    SystemExit,
    GeneratorExit,
    asyncio.CancelledError,
    Away,
)
CTRL_C = -99


def refuse(number: int) -> None:
    """Raise something for each number below 0."""
    if number == CTRL_C:
        raise KeyboardInterrupt
    if number < 0:
        raise RAISED[-number - 1]


class Fussy(msgspec.Struct):
    size: int = 0

    def __post_init__(self) -> None:
        refuse(self.size)


class Forgetful(msgspec.Struct):
    """Can be made, but not from its own copy."""

    size: int = 0
    marks: Annotated[list[int], MaxLen(3)] = []  # so that a copy is made by the constructor

    def __post_init__(self) -> None:
        if self.size == 177:
            raise SystemExit
        if self.size > 100:
            raise OddError
        if self.size:
            self.size += 100


class Odd:
    def __init__(self, number: int) -> None:
        refuse(number)
        self.number = number

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Odd) and other.number == self.number

    __hash__ = None  # type: ignore[assignment]


class Odder:
    """Its way to the wire raises."""

    def __init__(self, number: int) -> None:
        self.number = number


def odder_to_wire(odder: Odder) -> int:
    refuse(odder.number)
    return odder.number


class Weekday(enum.Enum):
    MONDAY = 1
    SUNDAY = 7

    def __hash__(self) -> int:
        if self.value == 7 and armed:
            raise OddError
        return hash(self.value)


armed: list[bool] = []

with use_registry(Registry()) as registry:
    register_type(Odd, int, lambda odd: odd.number, Odd)

    register_type(Odder, int, odder_to_wire, Odder)

    @replicated
    class Sent:
        odder: Odder = field(default_factory=lambda: Odder(0))

    @command
    class Say:
        odder: Odder = field(default_factory=lambda: Odder(0))

    @replicated
    class Post:
        fussy: Fussy = field(default_factory=Fussy)
        many: list[Fussy] = []

    @replicated
    class Holder:
        odd: Odd = field(default_factory=lambda: Odd(0))
        forgetful: Forgetful = field(default_factory=Forgetful)

    @replicated
    class Diary:
        days: dict[Weekday, int] = {}

    @command
    class Act:
        fussy: Fussy = field(default_factory=Fussy)

    @command(hold=True)
    class Keep:
        fussy: Fussy = field(default_factory=Fussy)
        forgetful: Forgetful = field(default_factory=Forgetful)
        odds: Annotated[list[Odd], MaxLen(3)] = []

    @command(hold=True)
    class Still:
        n: int = 0


def plain(entity: int | None) -> int | None:
    return entity


@pytest.mark.parametrize("number", range(-len(RAISED), 0))
def test_it_is_a_bad_message(number: int) -> None:
    for wire_type, tree in (
        (component_type(Post), [[number], []]),
        (component_type(Post), [[1], [[1], [number]]]),
        (component_type(Holder), [number, [0, []]]),
        (command_type(Act), [[number]]),
        (command_type(Keep), [[0], [0, []], [number]]),
    ):
        decoded = msgspec.msgpack.decode(encode(tree), type=wire_type.wire_type)
        with pytest.raises(BadMessageError, match="cannot be read") as caught:
            wire_type.from_wire(decoded, plain)
        assert wire_type.cls.__qualname__ in str(caught.value)


@pytest.mark.parametrize("number", range(-len(RAISED), 0))
def test_a_value_that_cannot_be_converted_cannot_be_sent(number: int) -> None:
    kind = component_type(Sent)
    value = Sent(Odder(number))
    with pytest.raises(BadValueError, match="a Sent cannot be sent"):
        kind.to_wire(value, plain)
    found = kind.fault(value, plain)
    assert found is not None
    assert found.startswith("Sent.odder: ")
    assert kind.fault(Sent(Odder(1)), plain) is None


def test_ctrl_c_is_the_users() -> None:
    sent, post = component_type(Sent), component_type(Post)
    wire = msgspec.msgpack.decode(encode([[CTRL_C], []]), type=post.wire_type)
    value = Sent(Odder(CTRL_C))
    for call in (
        lambda: sent.to_wire(value, plain),
        lambda: sent.clone(value),
        lambda: sent.fault(value, plain),
        lambda: post.from_wire(wire, plain),
    ):
        with pytest.raises(KeyboardInterrupt):
            call()


@pytest.mark.parametrize("number", range(-len(RAISED), 0))
def test_a_servers_own_value_stays_at_home(number: int, caplog: pytest.LogCaptureFixture) -> None:
    with use_registry(registry):
        server = ServerWorld(seed=1)
    with Harness(server) as game:
        client = game.connect("Ann")
        with game.world:
            sent = Sent(Odder(3))
            esper.create_entity(sent)
        game.run(0.2)
        sent.odder = Odder(number)
        game.run(0.2)
        assert game.simulation.failure is None
        (line,) = [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR]
        assert line.startswith("Sent.odder: ")
        with client.view:
            ((_, kept),) = esper.get_component(Sent)
        assert kept.odder.number == 3
        sent.odder = Odder(4)
        game.run(0.2)
        assert kept.odder.number == 4


@pytest.mark.parametrize("number", [-1, -6, -9])
def test_a_client_is_told_that_its_own_value_cannot_be_sent(number: int) -> None:
    with use_registry(registry):
        server = ServerWorld(seed=1)
    with Harness(server) as game:
        client = game.connect("Ann")
        with pytest.raises(UsageError, match="Say"):
            client.send(Say(Odder(number)))
        client.send(Say(Odder(1)))
        game.run(0.2)
        assert client.connected


def test_a_decode_may_raise_anything() -> None:
    gate = Gate(component_type(Diary).wire_type, 100)
    armed.append(True)
    try:
        assert gate.decode(encode([{7: 1}])) is None
        assert gate.rejected == 1
        assert gate.decode(encode([{1: 1}])) == Diary({Weekday.MONDAY: 1})
    finally:
        armed.clear()


def forge(game: Harness, send: Callable[[], None], cls: type, wire: object) -> None:
    """Let a client send a command whose wire form is something else."""
    kind = command_type(cls)
    honest = kind.to_wire
    object.__setattr__(kind, "to_wire", lambda value, ref: wire)
    try:
        send()
    finally:
        object.__setattr__(kind, "to_wire", honest)


@pytest.mark.parametrize(
    ("cls", "wire"),
    [
        (Act, [[-1]]),
        (Act, [[-3]]),
        (Act, [[-6]]),
        (Keep, [[0], [77, []], []]),  # its copy raises SystemExit
        (Keep, [[-2], [0, []], []]),
        (Keep, [[0], [50, []], []]),  # can be made, and not copied
        (Keep, [[0], [0, []], [1, -3]]),
    ],
)
def test_a_server_counts_it_and_goes_on(cls: type, wire: object) -> None:
    with use_registry(registry):
        server = ServerWorld(seed=1)
    seen: list[object] = []

    @server.system
    def look(dt: float) -> None:
        for kind in (Act, Keep, Still):
            seen.extend(command for _, command in commands(kind))

    with Harness(server) as game:
        mallory, honest = game.connect("Mallory"), game.connect("Ann")
        game.run(0.5)
        honest.send(Still(1))
        forge(game, lambda: mallory.send(cls()), cls, wire)
        game.run(1.0)
        member = game.member(mallory)
        assert member is not None
        assert game.simulation.rejected[member.seat.player_id] > 0
        assert seen
        assert set(map(type, seen)) == {Still}
        assert mallory.stats.commands_rejected > 0
        assert honest.connected


@pytest.mark.parametrize(
    ("shown", "wire"),
    [
        (Post(Fussy(1)), [[-3], []]),
        (Post(Fussy(1)), [[1], [[-1]]]),
        (Holder(), [-3, [0, []]]),
        (Holder(), [1, [50, []]]),
        (Post(Fussy(1)), [[-6], []]),
        (Post(Fussy(1)), [[1], [[-9]]]),
        (Holder(), [-7, [0, []]]),
        (Holder(), [1, [77, []]]),  # its copy raises SystemExit
    ],
)
def test_a_client_keeps_what_it_had_and_goes_on(shown: object, wire: object) -> None:
    with use_registry(registry):
        server = ServerWorld(seed=1)
    with Harness(server) as game:
        client = game.connect("Ann")
        with game.world:
            esper.create_entity(shown)
        game.step(2)
        kind = component_type(type(shown))
        store = client._protocol.store
        assert store is not None
        cid = client._schema.cid_of[kind.cls]
        (net,) = [net for net, record in store.entities.items() if cid in record.values]
        forged = msgspec.msgpack.decode(encode(wire), type=kind.wire_type)
        store._value(net, cid, store.tick + 1000, forged)
        game.step(2)
        assert client._view.conversion.broken > 0
        assert client.connected
        with client.view:
            ((_, kept),) = esper.get_component(kind.cls)
        assert kept == shown
