"""Comparison of the view with the store; what the game wrote is put right again."""

from __future__ import annotations

from collections.abc import Iterator

from ecsnet.replication.client.view import Shown, ViewWorld

__all__ = ["comparable", "mend_written"]


def comparable(view: ViewWorld, store: Shown) -> Iterator[tuple[int, int, object, object]]:
    """Yield every (network id, component id) of the store with the view's value and the store's,
    both as components. For tests and checks.
    """
    with view.world:
        for net, record in store.entities.items():
            entity = view.local.get(net)
            components = {} if entity is None else view.world.components(entity)
            for cid, wire in record.values.items():
                kind = view.components[cid]
                yield net, cid, components.get(kind.cls), view.conversion.value(kind, wire)


def mend_written(view: ViewWorld, store: Shown) -> tuple[int, str] | None:
    """Find the first replicated value that differs from the store's, or from what is drawn between
    two of them, and put it right again.

    Returns:
        Its entity and a name such as ``"Position.x"``; None when the game wrote none.
    """
    with view.world:
        for net, record in store.entities.items():
            entity = view.local.get(net)
            if entity is None or net in store.dirty:
                continue
            components = view.world.components(entity)
            for cid, wire in record.values.items():
                kind = view.components[cid]
                found = components.get(kind.cls)
                true = view.conversion.value(kind, wire)
                if found is None or true is None:
                    continue
                blend = view.blended.get((net, cid))
                if blend is not None:
                    true = kind.clone(true)
                    kind.blend(true, *blend)
                field = kind.differing(found, true)
                if field is not None:
                    kind.move(found, true)
                    return entity, f"{kind.cls.__name__}.{field}"
    return None
