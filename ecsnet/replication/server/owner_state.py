"""The state of what players own and run ahead with, told to them in every update, changed or not.

Whoever predicts finds out that it was wrong by the values that it is told, and of what has not
changed it would be told nothing: that the server denied a dash to somebody who stands, say. So
what has not changed goes along, to its owner alone. The client has these values, or is owed them:
nobody asks what becomes of their packet.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ecsnet.peer import NO_TAG
from ecsnet.replication.encoding import encode_run
from ecsnet.replication.server.entities import Delta, Entity, ReplicatedEntities
from ecsnet.replication.server.packing import DatagramBody, EncodedRun
from ecsnet.replication.wire import BODY_BYTES

__all__ = ["OWNER_BYTES", "OwnerStates"]

OWNER_BYTES: Final = BODY_BYTES // 2
"""The most that goes along in one update; of more, one part after the other has its turn."""


class _Unchanged:
    """The values of an entity that have not changed, as they were encoded last.

    Attributes:
        bits: The components.
        run: Their values; None where there is nothing to say.
    """

    __slots__ = ("bits", "run")

    def __init__(self, bits: int, run: EncodedRun | None) -> None:
        self.bits = bits
        self.run = run


class OwnerStates:
    """The unchanged values of what players own, for those whose clients predict.

    Args:
        entities: The entities of a world.
        predicted: The component types that clients run ahead with. Of these, such as are sent once
            or not in every tick are left out: what is true in a tick must be known of it.

    Attributes:
        bodies: Their runs, by the player; nothing where there is nothing to say.
    """

    def __init__(self, entities: ReplicatedEntities, predicted: Iterable[type]) -> None:
        self.bodies: dict[int, DatagramBody] = {}
        self._entities = entities
        types = set(predicted)
        self._bits = 0
        for detector in entities.detectors:
            kind = detector.component
            if kind.cls in types and not kind.once and kind.rate == 1:
                self._bits |= detector.bit
        self._players: dict[int, dict[Entity, _Unchanged]] = {}
        self._turns: dict[int, int] = {}  # where the next part begins, of what does not fit

    def add(self, player: int) -> None:
        """Add a player whose client predicts."""
        if self._bits:
            self._players[player] = {}

    def remove(self, player: int) -> None:
        """Remove a player, if it is there."""
        self._players.pop(player, None)
        self._turns.pop(player, None)
        self.bodies.pop(player, None)

    def clear(self) -> None:
        """Remove all players: the database was cleared."""
        self._players.clear()
        self._turns.clear()
        self.bodies.clear()

    def update(self, delta: Delta) -> None:
        """Take over what changed in a tick. What did not is not encoded again."""
        changed, owned = delta.changed, self._entities.owned
        for player, told in self._players.items():
            entities = owned.get(player)
            if entities is None:
                told.clear()
                self.bodies.pop(player, None)
                continue
            fresh = player in self._turns or len(told) > len(entities)
            for entity in entities:
                bits = (entity.public | entity.private) & self._bits
                if entity in changed:
                    bits &= ~changed[entity]
                known = told.get(entity)
                if known is None or known.bits != bits:
                    told[entity] = _Unchanged(bits, self._encode(entity, bits))
                    fresh = True
            if fresh:
                if len(told) > len(entities):
                    for gone in [entity for entity in told if entity not in entities]:
                        del told[gone]
                self._fill(player, [each.run for each in told.values() if each.run is not None])

    def _encode(self, entity: Entity, bits: int) -> EncodedRun | None:
        """Encode some components of an entity, but for large ones; None where nothing is left."""
        entities = self._entities
        for cid in entities.sizes.large(entity):
            bits &= ~(1 << cid)
        cids = entities.cids(bits)
        if not cids:
            return None
        run = EncodedRun(
            [entity.net], cids, encode_run([entity.net], entities.columns_of(cids, [entity]))
        )
        return run if run.size <= OWNER_BYTES else None

    def _fill(self, player: int, runs: list[EncodedRun]) -> None:
        """Fill what goes along to a player with runs."""
        if sum([run.size for run in runs]) > OWNER_BYTES:
            runs = self._next_part(player, runs)
        else:
            self._turns.pop(player, None)
        if runs:
            data = runs[0].data if len(runs) == 1 else b"".join([run.data for run in runs])
            self.bodies[player] = DatagramBody(runs, data, NO_TAG)
        else:
            self.bodies.pop(player, None)

    def _next_part(self, player: int, runs: list[EncodedRun]) -> list[EncodedRun]:
        """Choose as many runs as there is room for, behind those of the update before."""
        turn = min(self._turns.get(player, 0), len(runs) - 1)
        room = OWNER_BYTES
        part: list[EncodedRun] = []
        for run in runs[turn:] + runs[:turn]:
            if run.size > room:
                break
            room -= run.size
            part.append(run)
        self._turns[player] = (turn + len(part)) % len(runs)
        return part
