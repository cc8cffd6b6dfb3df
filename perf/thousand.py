"""A thousand entities that all change before each update, for benchmarks without sockets."""

from __future__ import annotations

import gc
import random
from collections.abc import Callable, Sequence
from typing import Annotated, Generic, Literal, Protocol, TypeAlias, TypeVar

import esper

from ecsnet.peer import Send
from ecsnet.schema import Between, Registry, command, replicated, use_registry
from ecsnet.server.host import Host
from ecsnet.simulation.spec import SimulationSpec
from perf.report import PerfError

ENTITIES = 1000
RATE = 60.0
SETTLE_TICKS = 120
PATIENCE_SECONDS = 300.0
BANDWIDTH = 1e9
"""Bytes a second for each client: all that there is to say is said in each update."""

TURNS = 101
"""Other values stand in the world after each turn, and not the same ones somewhere else."""

Kind: TypeAlias = Literal["ints", "texts", "floats"]
"""The values that entities hold, one each."""

NAMES: dict[Kind, str] = {"ints": "1,000 ints", "texts": "1,000 texts of 60 characters"}
"""Those that all benchmarks measure, and their names in reports."""

FLOATS = [float(number) for number in range(TURNS)]

V = TypeVar("V")


class Number:
    """An int, of one byte on the wire."""

    value: int = 0


class Text:
    """A text of 60 characters."""

    value: str = ""


class Float:
    """A float, which smooth clients draw between two values."""

    value: float = 0.0


class Holder(Protocol[V]):
    """A component with one value."""

    value: V


class Values(Generic[V]):
    """One component for each entity.

    Attributes:
        kind: Their class.
        components: The components.
    """

    def __init__(self, kind: type[Holder[V]], values: Sequence[V]) -> None:
        """The components of ``kind`` take turns in holding ``values``."""
        self.kind = kind
        self.components = [kind() for _ in range(ENTITIES)]
        self._values = values

    def change(self, number: int) -> list[V]:
        """Gives each component another value, those of turn ``number``; returns all of them."""
        values = [self._values[(index + number) % TURNS] for index in range(ENTITIES)]
        for component, value in zip(self.components, values, strict=True):
            component.value = value
        return values


class Thousand:
    """A host with the thousand entities, all of which everybody sees, and a clock.

    Attributes:
        registry: The game's types.
        held: A held command, for clients that want one.
        values: The entities' components.
        host: The host.
        now: Seconds.
    """

    def __init__(self, kind: Kind, send: Send) -> None:
        """The entities hold values of ``kind``; ``send`` is given the host's datagrams."""
        self.registry = Registry()
        with use_registry(self.registry):

            @command(hold=True)
            class Steer:
                dx: Annotated[int, Between(-1, 1)] = 0
                dy: Annotated[int, Between(-1, 1)] = 0

            self.values: Values[int] | Values[str] | Values[float]
            if kind == "ints":
                self.values = Values(replicated(Number), range(TURNS))
            elif kind == "floats":
                self.values = Values(replicated(interpolate=True)(Float), FLOATS)
            else:
                self.values = Values(replicated(Text), [f"{n:060}" for n in range(TURNS)])
        self.held: type = Steer
        self.now = 0.0
        self._turn = 0
        randbytes = random.Random(1).randbytes
        self.host = Host(self.registry.schema(), send, random=randbytes, bandwidth=BANDWIDTH)
        self.host.add_room(SimulationSpec(RATE, on_start=[self._start]), 1 / RATE, seed=1)

    def change(self) -> Sequence[object]:
        """Lets a tick's time pass, in which all values change; returns them."""
        self._turn += 1
        self.now = self._turn / RATE
        return self.values.change(self._turn)

    def tick(self) -> None:
        """Runs the tick that is due: finds the changes and sends them."""
        if self.host.tick(self.now, early=0.5 / RATE) != 1:
            raise PerfError("a tick did not run")

    def _start(self) -> None:
        for component in self.values.components:
            esper.create_entity(component)


def settle(step: Callable[[], object]) -> None:
    """Takes `SETTLE_TICKS` steps, then lets the garbage collector forget what is there, as a
    server does.
    """
    for _ in range(SETTLE_TICKS):
        step()
    gc.collect()
    gc.freeze()
