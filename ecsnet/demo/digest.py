"""Worlds as digests: one for each component of each entity, the same at both ends when equal.

Equal means the server's value through encode and decode. References to what a player cannot see
read None, and zeros have no sign.
"""

from __future__ import annotations

from hashlib import blake2b

import msgspec

from ecsnet.client.world import ClientWorld
from ecsnet.schema import ComponentType, Ref, encode
from ecsnet.server.room import Room

__all__ = ["shown_to", "visible_to"]


def shown_to(client: ClientWorld) -> dict[str, str]:
    """Return digests of a client's view, by network id and component name."""
    view, schema = client._view, client._schema
    shown = {}

    def reference(entity: int | None) -> int | None:
        return None if entity is None else view.remote.get(entity)

    for net, entity in view.local.items():
        for cls, component in view.world.components(entity).items():
            cid = schema.cid_of.get(cls)
            if cid is not None:
                kind = schema.components[cid]
                shown[f"{net} {kind.name}"] = _digest(kind, component, reference)
    return shown


def visible_to(room: Room) -> dict[str, dict[str, str]]:
    """Return digests of what each member, by name, may see of a simulation, as in `shown_to`."""
    worlds = {}
    for seat in room.seats:
        if seat.client_state is not None:
            visible = room.replicator.visible(seat.client_state)
            worlds[seat.name] = _visible(room, visible)
    return worlds


def _visible(room: Room, visible: dict[int, int]) -> dict[str, str]:
    entities, world = room.replicator.entities, room.simulation.world
    digests = {}

    def seen(net: int | None) -> int | None:
        return net if net in visible else None

    def reference(entity: int | None) -> int | None:
        return seen(entities.network_id(entity))

    for net, bits in visible.items():
        entity = entities.by_net[net]
        for cid in entities.cids(bits):
            scan = entities.detectors[cid]
            kind = scan.component
            key = f"{net} {kind.name}"
            if not kind.once:
                try:
                    component = world.components(entity.esper)[kind.cls]
                    wire = kind.to_wire(component, entities.network_id)
                    made: object = msgspec.msgpack.decode(encode(wire), type=kind.wire_type)
                    if entities.has_room(entity, cid, made):
                        digests[key] = _digest(kind, component, reference)
                        continue
                except Exception:  # noqa: BLE001 - what a game puts in a field may raise anything
                    pass
            # Of a value that cannot be sent, clients keep the last valid one.
            (wire,) = scan.wires([entity])
            sent: object = msgspec.msgpack.decode(encode(wire), type=kind.wire_type)
            digests[key] = _digest(kind, kind.from_wire(sent, _same), seen)
    return digests


def _digest(kind: ComponentType, value: object, reference: Ref) -> str:
    data = encode(kind.to_wire(value, reference))
    decoded: object = msgspec.msgpack.decode(data, type=kind.wire_type)
    plain = _unsigned(msgspec.to_builtins(decoded, order="deterministic"))
    return blake2b(encode(plain), digest_size=8).hexdigest()


def _unsigned(value: object) -> object:
    """Return the value with 0.0 for -0.0."""
    if isinstance(value, float):
        return value + 0.0
    if isinstance(value, list | tuple):
        return [_unsigned(part) for part in value]
    if isinstance(value, dict):
        return {_unsigned(key): _unsigned(part) for key, part in value.items()}
    return value


def _same(net: int | None) -> int | None:
    return net
