"""The prediction of a client, from room to room: its begin, what drives it, and its end."""

from __future__ import annotations

import logging
from collections.abc import Iterable

import msgspec

from ecsnet.client.command_sender import CommandSender
from ecsnet.commands.frames import frames_gate
from ecsnet.commands.inbox import ReceivedCommand
from ecsnet.commands.outbox import BegunTick
from ecsnet.messages.joining import Welcome
from ecsnet.prediction.drawing import PredictedDrawing
from ecsnet.prediction.predictor import Predictor
from ecsnet.replication.client.samples import Blend
from ecsnet.replication.client.store import Store
from ecsnet.replication.client.view import Shown, ViewWorld
from ecsnet.schema import Schema, encode
from ecsnet.simulation.spec import SimulationSpec

__all__ = ["ClientPrediction"]

logger = logging.getLogger("ecsnet.client")

_NONE: tuple[ReceivedCommand, ...] = ()


class ClientPrediction:
    """The prediction of a client.

    Args:
        spec: The game's, with shared systems.
        schema: The game's.
        view: The view that shows it.
        sender: The end from which our commands come.
        debug: Check that ticks come out the same when they run again.

    Attributes:
        drawn: Whether what is predicted is drawn, and not what was told.
        running: Whether anything is predicted: until code of the game's fails here.
    """

    def __init__(
        self,
        spec: SimulationSpec,
        schema: Schema,
        view: ViewWorld,
        sender: CommandSender,
        *,
        debug: bool = False,
    ) -> None:
        self.drawn = True
        self._spec = spec
        self._schema = schema
        self._view = view
        self._sender = sender
        self._debug = debug
        self._frames = frames_gate(schema)
        self._room: PredictedDrawing | None = None
        self._left: PredictedDrawing | None = None  # the room before, as it was when we left it
        self.running = True
        # The states that are held, encoded and decoded.
        self._encoded: object = None
        self._held = _NONE

    @property
    def ahead(self) -> float | None:
        """The tick that is drawn of what is predicted, with its fraction; None where nothing is."""
        return None if self._room is None else self._room.ahead

    @property
    def corrections(self) -> int:
        """Number of times that the server said something else than was predicted, in this room."""
        return 0 if self._room is None else self._room.predictor.corrections

    @property
    def replayed_ticks(self) -> int:
        """Number of ticks that ran again, in this room."""
        return 0 if self._room is None else self._room.predictor.replayed_ticks

    def enter_room(self, welcome: Welcome, told: Store, drawn: Store) -> None:
        """Begin anew in the room that the server put us into.

        Args:
            welcome: The message by which it did.
            told: The store that takes what it says there as it arrives.
            drawn: The store of what is drawn of others.
        """
        if self._room is not None and self.running:
            self._room.predictor.close()
        self._left, self._room = self._room, None
        if self.running:
            predictor = Predictor(
                self._spec,
                welcome.tick_rate,
                self._schema.components,
                welcome.player,
                welcome.player_id,
                welcome.seed,
                debug=self._debug,
            )
            self._room = PredictedDrawing(predictor, told, drawn, self._view)
            self._sender.run_ahead(True)

    def correct(self, now: float) -> None:
        """Set right what was predicted, as the server has told since the last poll."""
        if self._room is not None and self.running:
            try:
                self._room.correct(now)
            except Exception as error:  # noqa: BLE001 - of the code of types of the game's
                self._fail("code of the game raised in a prediction", error)
            self._look_at_systems()

    def run(self, store: Store, now: float, *, joined: bool) -> None:
        """Let the ticks begin that are due, and run them here.

        Args:
            store: What the server last said in our room.
            now: Seconds.
            joined: Whether we are in the game.
        """
        if self._room is None or not self.running:
            return
        self._sender.begin_ticks(store, now, joined=joined)
        commands = self._room.predictor.commands
        for begun in self._sender.outbox.take_begun():
            commands.record(begun.tick, self._held_in(begun), self._decoded(begun.actions))
        ticks = self._sender.ticks
        if ticks is None or ticks.tick < 0:
            return
        try:
            self._room.simulate(ticks.tick)
        except Exception as error:  # noqa: BLE001 - as above
            self._fail("code of the game raised in a prediction", error)
        self._look_at_systems()

    def draw(self, blends: dict[tuple[int, int], Blend], now: float) -> None:
        """Draw what is predicted, as far as that lies between two values; `shown` has the rest.

        Args:
            blends: All that is drawn between values, by network id and component id.
            now: Seconds.
        """
        ticks = self._sender.ticks
        if self._room is None or not self.running or ticks is None:
            return
        if self.drawn:
            self._room.draw(ticks.position, now, blends)
        else:
            self._room.hide()

    def shown(self, drawn: Store) -> Shown:
        """Return what the view is to show of a room, up to date.

        Args:
            drawn: The store that is drawn there.
        """
        for room in (self._room, self._left):
            if room is not None and room.drawn is drawn:
                room.overlay.take_over()
                return room.overlay
        return drawn

    def close(self) -> None:
        """Delete the private world."""
        if self._room is not None and self.running:
            self._room.predictor.close()
        self.running = False

    def _held_in(self, begun: BegunTick) -> tuple[ReceivedCommand, ...]:
        if begun.held is not self._encoded:
            self._encoded, self._held = begun.held, self._decoded(begun.held.values())
        return self._held

    def _decoded(self, encoded: Iterable[msgspec.Raw]) -> tuple[ReceivedCommand, ...]:
        """Return commands as the server will have them. Calls run there alone."""
        listed = [*encoded]
        if not listed:
            return _NONE
        # What the gate turns away, the server does not take either.
        return tuple(
            [
                ReceivedCommand(entry.kind, entry.target, entry.value)
                for frame in self._frames.decode(encode([[0, 1, listed]])) or ()
                for entry in frame.commands
                if entry.kind.call is None
            ]
        )

    def _look_at_systems(self) -> None:
        failure = None if self._room is None else self._room.predictor.failure
        if failure is not None:
            self._fail(str(failure), failure.error)

    def _fail(self, what: str, error: Exception) -> None:
        """Predict nothing any more: what the server says is shown, as it was without."""
        if not self.running:
            return
        self.running = False
        self._sender.run_ahead(False)
        if self._room is not None:
            self._room.stop()
        logger.warning(
            "%s. From now on nothing is predicted, so our own input shows late; said once",
            what,
            exc_info=error,
        )
