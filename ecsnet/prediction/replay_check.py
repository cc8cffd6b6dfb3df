"""The debug mode's check that a tick comes out the same when it runs again.

Prediction rests on that: a shared system that depends on anything but the world, the commands and
the tick comes out one way on the server and another way here. Such a mistake raises nothing, it
shows as a ship that is pulled back; this says which system makes it, and in which field.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping, Sequence

from ecsnet.commands.inbox import ReceivedCommand
from ecsnet.errors import BadMessageError, BadValueError
from ecsnet.prediction.private_world import PrivateWorld
from ecsnet.prediction.unpredictable_calls import UnpredictableCalls
from ecsnet.schema import ComponentType
from ecsnet.validation.wording import brief, short_name

__all__ = ["ReplayCheck"]

logger = logging.getLogger("ecsnet.client")

_State = Mapping[tuple[int, int], object]
"""Copies of components, by key of the entity and component id. Keys of what the tick has made are
negative, in the order in which it was made."""


class ReplayCheck:
    """A check that runs one tick of each second twice, and says what came out differently.

    Args:
        world: The private world.
        components: The component types that cross the wire, by component id.
        tick_rate: Ticks in a second.
        choose: Returns a number below the one it is given: which tick of a second.
    """

    def __init__(
        self,
        world: PrivateWorld,
        components: Sequence[ComponentType],
        tick_rate: float,
        choose: Callable[[int], int] = random.randrange,
    ) -> None:
        self._world = world
        self._components = components
        self._second = max(1, round(tick_rate))  # in ticks
        self._choose = choose
        self._from = -1  # the first tick of the second in which it was chosen last
        self._chosen = -1
        self._calls = UnpredictableCalls()
        # The first run: the world before it, and after each system, in their order.
        self._before: _State = {}
        self._after: list[tuple[str, _State]] = []
        self._again = 0  # the systems that have run a second time
        self._said: set[tuple[str, ...]] = set()

    def is_due(self, tick: int) -> bool:
        """Return whether a tick is to run twice."""
        first = tick - tick % self._second
        if first != self._from:
            self._from, self._chosen = first, first + self._choose(self._second)
        return tick == self._chosen

    def step(self, tick: int, commands: tuple[ReceivedCommand, ...]) -> list[int]:
        """Run a tick twice; else as `PrivateWorld.step`. Scenery is as it was told."""
        world = self._world
        before, usual = world.snapshot(), world.call
        self._before, self._after, self._again = self._state(), [], 0
        try:
            world.call = self._call_first
            made = world.step(tick, commands)
            if world.failure is not None:
                return []
            for entity in made:
                world.world.delete(entity, immediate=True)
            world.restore(before)
            world.put_back()
            world.call = self._call_again
            return world.step(tick, commands)
        finally:
            world.call = usual

    def _call_first(self, name: str, process: Callable[[float], object], dt: float) -> None:
        before = self._after[-1][1] if self._after else self._before
        for call, where in self._calls.watch(process, dt):
            self._say(
                (name, call, where),
                f"calls {call}, in {where}, which answers otherwise on the server and when the tick"
                " runs again: use dt and net.tick() for time, and net.rng(entity) for chance",
            )
        after = self._state()
        self._after.append((name, after))
        for (key, cid), component in after.items():
            kind, earlier = self._components[cid], before.get((key, cid))
            if not kind.once or earlier is None:
                continue
            field = kind.differing(earlier, component)
            if field is not None:
                written = f"{short_name(kind.cls)}.{field}"
                self._say(
                    (name, written),
                    f"writes {written}, which nobody is told of: the component is sent once, when"
                    " it is added; take once=True from the class",
                )

    def _call_again(self, name: str, process: Callable[[float], object], dt: float) -> None:
        process(dt)
        number, self._again = self._again, self._again + 1
        if number >= len(self._after):
            return
        _, first = self._after[number]
        second = self._state()
        for key, cid in sorted(first.keys() | second.keys()):
            found = self._difference(cid, first.get((key, cid)), second.get((key, cid)))
            if found is None:
                continue
            what, before, again = found
            self._say(
                (name, what),
                f"came out differently when its tick ran again: {what} was {before}, and then"
                f" {again}. It may depend on components that cross the wire, on commands, dt,"
                " net.tick() and net.rng(entity), and on nothing that it keeps elsewhere",
            )
            # What runs after it differs for that reason alone.
            self._again = len(self._after)
            return

    def _difference(
        self, cid: int, first: object | None, second: object | None
    ) -> tuple[str, str, str] | None:
        """Return what differs, and how it was in both runs; None where nothing does."""
        kind = self._components[cid]
        name = short_name(kind.cls)
        if first is None or second is None:
            there = {True: "there", False: "not there"}
            return name, there[first is not None], there[second is not None]
        field = kind.differing(first, second)
        if field is None:
            return None
        values = brief(getattr(first, field, None)), brief(getattr(second, field, None))
        return f"{name}.{field}", *values

    def _state(self) -> _State:
        """Copy what is predicted, and what this tick has made."""
        world = self._world.world
        there, dead = world.census()
        alive = sorted([entity for entity in there if entity not in dead])
        keys: dict[int, int] = {}
        for entity in alive:
            known = self._world.key_of(entity)
            if known is None:
                keys[entity] = -1 - len(keys)
            elif known in self._world.owned:
                keys[entity] = known
        state: dict[tuple[int, int], object] = {}
        for entity, key in keys.items():
            components = world.components(entity)
            for cid in self._world.kinds_of(entity):
                kind = self._components[cid]
                state[key, cid] = self._copy(kind, components[kind.cls], keys)
        return state

    def _copy(self, kind: ComponentType, component: object, keys: Mapping[int, int]) -> object:
        """Copy a component. References become keys: what is made again has another number."""
        if kind.has_refs:

            def key_of(entity: int | None) -> int | None:
                known = self._world.key_of(entity)
                return known if known is not None or entity is None else keys.get(entity)

            try:
                return kind.from_wire(kind.to_wire(component, key_of), lambda key: key)
            except (BadValueError, BadMessageError):
                pass  # the server would not send it either
        return kind.clone(component)

    def _say(self, mistake: tuple[str, ...], text: str) -> None:
        """Log a mistake of a system, once. Its name is the first of what tells it from others."""
        if mistake not in self._said:
            self._said.add(mistake)
            logger.warning("the shared system %s %s; said once", mistake[0], text)
