"""Drawing of the player's own entities: between their last two ticks, and without jumps.

Prediction is right or wrong, and set right at once. Only what is drawn does not jump: the
difference is drawn on top of it, less and less. Nothing of that gets back into what is predicted.
"""

from __future__ import annotations

from math import isfinite
from types import SimpleNamespace
from typing import Final, NamedTuple

from ecsnet.components import Teleports
from ecsnet.errors import BadValueError
from ecsnet.prediction.history import Snapshot
from ecsnet.prediction.overlay import Overlay
from ecsnet.prediction.predictor import Predictor
from ecsnet.replication.client.samples import Blend
from ecsnet.replication.client.store import Store
from ecsnet.replication.client.view import ViewWorld

__all__ = ["FADE_SECONDS", "PredictedDrawing"]

FADE_SECONDS: Final = 0.25
"""The time in which an error fades from what is drawn."""

_Floats = tuple[float, ...]


class _Motion(NamedTuple):
    """The last two values of a component that is drawn between values."""

    before: _Floats
    last: _Floats


class _Fade(NamedTuple):
    """Differences that are drawn on top of an entity, less and less."""

    offsets: dict[int, _Floats]
    """By component id."""
    until: float
    """Seconds."""


class PredictedDrawing:
    """The drawing of one player's own entities, in one room.

    Args:
        predictor: What predicts them.
        told: What the server last said.
        drawn: What is drawn of all others.
        view: The view.

    Attributes:
        predictor: What predicts them.
        overlay: What the view shows.
        drawn: What is drawn of all others.
        ahead: The tick at which they are drawn, with its fraction; None before the first.
    """

    def __init__(self, predictor: Predictor, told: Store, drawn: Store, view: ViewWorld) -> None:
        self.predictor = predictor
        self.drawn = drawn
        self.overlay = Overlay(told, drawn)
        self.ahead: float | None = None
        predictor.world.drawn = self._drawn_floats
        self._told = told
        self._view = view
        self._components = view.components
        self._teleports = next(
            (cid for cid, kind in enumerate(view.components) if kind.cls is Teleports), -1
        )
        self._between = [cid for cid, kind in enumerate(view.components) if kind.interpolate]
        self._shown: Snapshot | None = None
        self._motions: dict[tuple[int, int], _Motion] = {}
        self._fades: dict[int, _Fade] = {}
        self._blended: dict[tuple[int, int], Blend] = {}  # what lay between two values last

    def correct(self, now: float) -> None:
        """Set right what was predicted, as the server has told; the view does not jump for it."""
        predictor = self.predictor
        went_back = predictor.replayed_ticks
        predictor.correct(self._told)
        self._rename()
        if predictor.stalled:
            self._jump()
        elif predictor.replayed_ticks != went_back:
            self._fade_errors(now)

    def simulate(self, tick: int) -> None:
        """Run the ticks up to this one."""
        self.predictor.simulate(self._told, tick)
        if self.predictor.stalled:
            self._jump()

    def draw(self, position: float, now: float, blends: dict[tuple[int, int], Blend]) -> None:
        """Bring the overlay up to date, and say what lies between two values.

        Args:
            position: The tick of the client, with its fraction.
            now: Seconds.
            blends: What is drawn between values of others, by network id and component id; of the
                player's own there is to be here what is predicted.
        """
        tick = self.predictor.tick
        if tick is None:
            return
        self._publish()
        at = tick - 1 + min(1.0, max(0.0, position - tick))
        self.ahead = at if self.ahead is None else max(at, self.ahead)
        ending = self.overlay.ending
        for key in (*self.predictor.world.owned, *ending):
            for cid in self._between:
                blends.pop((key, cid), None)
        stopped = {key: blend for key, blend in self._blended.items() if key[0] in ending}
        self._blended = self._blends(min(1.0, self.ahead - (tick - 1)), now) | stopped
        blends.update(self._blended)

    def hide(self) -> None:
        """Show what was told, until the next `draw`."""
        self.overlay.predict({}, {})
        self.ahead = self._shown = None
        self._fades.clear()
        self._blended.clear()

    def stop(self) -> None:
        """Show what was told from now on."""
        self.hide()
        self.predictor.close()

    # What is shown.

    def _publish(self) -> None:
        """Show the world as it is after the last tick."""
        predictor, world = self.predictor, self.predictor.world
        latest, told = predictor.latest, self._told.entities
        assert latest is not None  # after the first tick
        if latest is self._shown and not predictor.went:
            return
        self._shown = latest
        ahead: dict[int, dict[int, object] | None] = dict.fromkeys(world.owned)
        for cid, row in latest.layout.rows.items():
            kind, column = self._components[cid], latest.columns[cid]
            for entity, place in row.items():
                key = world.key_of(entity)
                if key is None or key not in ahead:
                    continue
                try:
                    wire = kind.to_wire(column[place], world.key_of)
                except BadValueError:
                    record = self.overlay.entities.get(key)
                    if record is None or cid not in record.values:
                        continue
                    wire = record.values[cid]  # as on the server: the last that could be sent
                values = ahead[key]
                if values is None:
                    values = ahead[key] = {}
                values[cid] = wire
        for key, values in ahead.items():
            if values is not None and key in told:
                put_back = told[key].values.keys() - predictor.kept
                values.update({cid: told[key].values[cid] for cid in put_back})
        self.overlay.predict(ahead, predictor.went)
        predictor.went.clear()
        self._motions = self._moving(latest, predictor.previous)

    def _drawn_floats(self, net: int, cid: int) -> tuple[float, ...] | None:
        """Return what is drawn now of a component; None where it is not there."""
        kind, entity = self._components[cid], self._view.local.get(net)
        found = None if entity is None else self._view.world.components(entity).get(kind.cls)
        return None if found is None else kind.read_floats(found)

    def _rename(self) -> None:
        """Let what was only predicted go by the network id under which it was told."""
        for key, net in self.predictor.renamed:
            self.overlay.rename(key, net)
            self._view.rename(key, net)
            if key in self._fades:
                self._fades[net] = self._fades.pop(key)
            for cid in range(len(self._components)):
                if (key, cid) in self._motions:
                    self._motions[net, cid] = self._motions.pop((key, cid))
        self.predictor.renamed.clear()

    # What is drawn between.

    def _moving(
        self, latest: Snapshot, previous: Snapshot | None
    ) -> dict[tuple[int, int], _Motion]:
        """Return the last two values of what is drawn between values."""
        motions: dict[tuple[int, int], _Motion] = {}
        for cid, row in latest.layout.rows.items():
            kind = self._components[cid]
            if not kind.interpolate:
                continue
            for entity, place in row.items():
                key = self.predictor.world.key_of(entity)
                last = kind.read_floats(latest.columns[cid][place])
                if key is None or not isfinite(sum(last)):
                    continue
                found = None if previous is None else previous.value(entity, cid)
                before = last if found is None else kind.read_floats(found)
                jumped = kind.snap is not None and kind.distance(before, last) > kind.snap
                if previous is None or jumped or self._teleported(entity, previous, latest):
                    before = last
                motions[key, cid] = _Motion(before if isfinite(sum(before)) else last, last)
        return motions

    def _teleported(self, entity: int, one: Snapshot, other: Snapshot) -> bool:
        """Return whether an entity jumped from one tick, or one prediction, to the other."""
        cid = self._teleports
        return one.value(entity, cid) != other.value(entity, cid)

    def _fade_errors(self, now: float) -> None:
        """Draw the difference between what was predicted and what is on top of it."""
        latest, before = self.predictor.latest, self._shown
        if latest is None or before is None:
            return
        for (key, cid), motion in self._moving(latest, None).items():
            kind, old = self._components[cid], self._motions.get((key, cid))
            entity = self.predictor.world.entity_of(key)
            if old is None or entity is None:
                continue
            error = tuple([a - b for a, b in zip(old.last, motion.last, strict=True)])
            if not any(error):
                continue
            far = kind.snap is not None and kind.distance(old.last, motion.last) > kind.snap
            if far or self._teleported(entity, before, latest):
                self._fades.pop(key, None)
                continue
            fading = self._remaining(key, now)
            offsets = {
                each: tuple([offset * fading for offset in offsets])
                for each, offsets in (self._fades[key].offsets if fading else {}).items()
            }
            left = offsets.get(cid, (0.0,) * len(error))
            offsets[cid] = tuple([a + b for a, b in zip(left, error, strict=True)])
            self._fades[key] = _Fade(offsets, now + FADE_SECONDS)

    def _remaining(self, key: int, now: float) -> float:
        """Return the share that is still drawn of an error, 0 to 1."""
        fade = self._fades.get(key)
        return 0.0 if fade is None else max(0.0, min(1.0, (fade.until - now) / FADE_SECONDS))

    def _jump(self) -> None:
        """Let nothing slide to where it is now."""
        self.predictor.stalled = False
        self._fades.clear()
        self.ahead = None

    def _blends(self, fraction: float, now: float) -> dict[tuple[int, int], Blend]:
        blends: dict[tuple[int, int], Blend] = {}
        self._fades = {key: fade for key, fade in self._fades.items() if fade.until > now}
        for (key, cid), (before, last) in self._motions.items():
            fade = self._fades.get(key)
            offset = None if fade is None else fade.offsets.get(cid)
            if offset is None:
                if before != last:
                    blends[key, cid] = Blend(before, last, fraction)
                continue
            kind, scratch = self._components[cid], SimpleNamespace()
            kind.blend(scratch, before, last, fraction)
            there = kind.read_floats(scratch)
            off = tuple([a + b for a, b in zip(there, offset, strict=True)])
            blends[key, cid] = Blend(there, off, self._remaining(key, now))
        return blends
