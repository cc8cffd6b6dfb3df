"""A server's simulation and a prediction of it, with nothing between them but ticks of delay."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

import esper
import msgspec

from ecsnet.commands.inbox import PlayerCommands, ReceivedCommand
from ecsnet.components import Owner, Player
from ecsnet.prediction.predictor import Predictor
from ecsnet.replication.client.store import Store
from ecsnet.replication.wire import HELD, WireFormat
from ecsnet.schema import ComponentType, Registry, command_type, encode
from ecsnet.simulation.simulation import Join, Simulation
from ecsnet.simulation.spec import SimulationSpec

EPOCH = 7

State = dict[int, dict[int, bytes]]
"""Encoded components by network id and component id."""


class Lab:
    """A game of one player, as it is and as it is predicted.

    The server's ticks are told by `tell`, as late as a test likes; those of the client begin with
    `run`.

    Args:
        registry: The game's types.
        spec: The game.
        begin: Called in the server's world with the player's entity.
        ahead: Ticks by which the client runs ahead of the server.
    """

    def __init__(
        self, registry: Registry, spec: SimulationSpec, begin: Callable[[int], object], ahead: int
    ) -> None:
        schema = registry.schema()
        self.components = schema.components
        self.wire = WireFormat(schema)
        self.server = Simulation(spec, seed=1, epoch=EPOCH, player=Player, owner=Owner)
        self.net: dict[int, int] = {}
        self.entity: dict[int, int] = {}
        self.server.resolve = self.entity.get
        self.states: dict[int, State] = {}
        self.held: dict[int, bool] = {}
        self.store = Store(self.wire, EPOCH)
        self.ahead = ahead
        self.messages = 0
        self.given: dict[int, tuple[ReceivedCommand, ...]] = {}
        self._told: State = {}
        self._inserted: dict[tuple[int, type], tuple[object, bytes]] = {}
        self.server.step([Join(1, "Ann")])
        (self.player,) = self.server.player_number
        with self.server.world:
            begin(self.player)
        self._record()
        self.predictor = Predictor(spec, spec.tick_rate, self.components, self.net[self.player], 1)

    def __enter__(self) -> Lab:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.predictor.close()
        self.server.close()

    # The server.

    def serve(self, *, heard: bool = True) -> None:
        """Run a tick of the server, with the commands that the client gave for it, if it heard."""
        given = self.given.get(self.server.tick + 1, ())
        self.server.step(commands=[PlayerCommands(1, given)] if heard and given else ())
        assert self.server.failure is None, self.server.failure
        self._record()

    def _record(self) -> None:
        world = self.server.world
        world.flush_dead()
        for entity in world.tables():
            if entity not in self.net:
                self.net[entity] = len(self.net) + 1
                self.entity[self.net[entity]] = entity
        self.states[self.server.tick] = {
            self.net[entity]: {
                cid: self._encoded(entity, kind, components[kind.cls])
                for cid, kind in enumerate(self.components)
                if kind.cls in components
            }
            for entity, components in world.tables().items()
        }
        self.held[self.server.tick] = not self.server.playing

    def _encoded(self, entity: int, kind: ComponentType, component: object) -> bytes:
        """Return what is told of a component: of a ``once`` type, what it was when it came."""
        encoded = encode(kind.to_wire(component, self._net_of))
        if not kind.once:
            return encoded
        before = self._inserted.get((entity, kind.cls))
        if before is None or before[0] is not component:
            before = self._inserted[entity, kind.cls] = component, encoded
        return before[1]

    def _net_of(self, entity: int | None) -> int | None:
        return None if entity is None else self.net.get(entity)

    # What is told.

    def tell(
        self,
        tick: int,
        *,
        riding: bool = True,
        confirmed: int | None = None,
        without: type | None = None,
    ) -> None:
        """Let the client hear of a tick.

        Args:
            tick: The server's tick.
            riding: Whether the player's components are told though they have not changed.
            confirmed: Up to which tick the client has everything; up to this one when left out.
            without: A class whose values of this tick get lost.
        """
        state, told = self.states[tick], self._told
        gone = sorted(told.keys() - state.keys())
        removed: dict[int, list[int]] = {}
        for net in sorted(told.keys() & state.keys()):
            for cid in told[net].keys() - state[net].keys():
                removed.setdefault(cid, []).append(net)
        come = {
            net: {cid: value for cid, value in values.items() if cid not in told.get(net, {})}
            for net, values in state.items()
            if net not in told or values.keys() - told[net].keys()
        }
        if gone or come or removed:
            self.messages += 1
            message = [
                *(16, EPOCH, tick, _deltas(gone), []),
                [[cid, _deltas(nets)] for cid, nets in removed.items()],
                [_run(net, values) for net, values in come.items()],
            ]
            decoded = msgspec.msgpack.decode(encode(message), type=self.wire.structure)
            assert self.store.structure(self.messages, decoded, 100)
        lost = {cid for cid, kind in enumerate(self.components) if kind.cls is without}
        runs = []
        for net, values in state.items():
            known = told.get(net, {})
            rides = riding and self._is_mine(net)
            once = {cid for cid in values if self.components[cid].once}
            changed = {
                cid: value
                for cid, value in values.items()
                if ((rides and cid not in once) or value != known.get(cid)) and cid not in lost
            }
            if changed:
                runs.append(_run(net, changed))
        behind = tick - (tick if confirmed is None else confirmed)
        part = HELD if self.held[tick] else 0
        payload = [EPOCH, tick, behind, self.messages, part, None, runs]
        update = self.wire.update.decode(encode(payload))
        assert update is not None
        assert self.store.update(update, 100)
        self._told = {
            net: {
                cid: told.get(net, {}).get(cid, value) if cid in lost else value
                for cid, value in values.items()
            }
            for net, values in state.items()
        }

    def _is_mine(self, net: int) -> bool:
        entity = self.entity[net]
        owner = self.server.world.components(entity).get(Owner)
        return entity == self.player or (isinstance(owner, Owner) and owner.player == self.player)

    # The client.

    def give(self, tick: int, *commands: object) -> None:
        """Let the player give commands for a tick; held ones are given for each tick anew."""
        held, actions = [], []
        for command in commands:
            kind = command_type(type(command))
            received = ReceivedCommand(kind, 0, kind.to_wire(command, lambda ref: ref))
            (held if kind.hold else actions).append(received)
        self.predictor.commands.record(tick, tuple(held), actions)
        self.given[tick] = (*held, *actions)

    def run(self, *commands: object, tell: int | None = 3, heard: bool = True) -> None:
        """Run a tick of the server and of the client, and tell of an earlier one.

        Args:
            commands: What the player gives in this tick of the client's.
            tell: How many ticks ago what is told now was; None for nothing.
            heard: Whether the server hears of what it was given for its tick.
        """
        predictor = self.predictor
        self.serve(heard=heard)
        if tell is not None:
            self.tell(max(1, self.server.tick - tell))
        predictor.correct(self.store)
        tick = self.server.tick + self.ahead
        self.give(tick, *commands)
        predictor.simulate(self.store, tick)
        assert predictor.failure is None, predictor.failure
        assert predictor.tick == tick

    def predicted(self, component: type, tick: int | None = None) -> list[object]:
        """What is predicted, in the order in which it came to be known."""
        predictor = self.predictor
        snapshot = predictor.latest if tick is None else predictor._history.get(tick)
        assert snapshot is not None
        cid = next(cid for cid, kind in enumerate(self.components) if kind.cls is component)
        replicas = [replica for replica in predictor.world.replicas.values() if replica.own]
        found = [snapshot.value(replica.entity, cid) for replica in replicas]
        return [value for value in found if value is not None]

    def true(self, component: type, tick: int | None = None) -> list[object]:
        """What there is on the server now, or was."""
        cid = next(cid for cid, kind in enumerate(self.components) if kind.cls is component)
        kind = self.components[cid]
        state = self.states[self.server.tick if tick is None else tick]
        return [
            kind.from_wire(
                msgspec.msgpack.decode(values[cid], type=kind.wire_type), lambda net: net
            )
            for values in state.values()
            if cid in values
        ]


def change(lab: Lab, function: Callable[[], object]) -> None:
    """Let the server's game do something that only it can, before its next tick."""
    with lab.server.world:
        function()


def get(world: object, component: type) -> list[object]:
    """What there is of a component in a world."""
    with world:  # type: ignore[attr-defined]
        return [value for _, value in sorted(esper.get_component(component), key=_entity)]


def _entity(pair: tuple[int, object]) -> int:
    return pair[0]


def _run(net: int, values: dict[int, bytes]) -> list[object]:
    return [[net], [[cid, [msgspec.Raw(value)]] for cid, value in sorted(values.items())]]


def _deltas(nets: list[int]) -> list[int]:
    return [net - before for net, before in zip(nets, [0, *nets], strict=False)]
