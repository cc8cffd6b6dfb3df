"""The client's half of the protocol: what the server says is taken over, shown and answered.

`ClientWorld` is the door for authors; this is behind it and needs none. `ClientProtocol.advance` is
one poll from the first datagram to the last, and has no clock: the time is an argument.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from ecsnet.client.command_sender import CommandSender
from ecsnet.client.connection import STALL, ClientConnection, End
from ecsnet.client.endings import DIFFERENT_GAME, disconnection, farewell, refusal
from ecsnet.client.interpolation_clock import InterpolationClock
from ecsnet.client.prediction import ClientPrediction
from ecsnet.components import Teleports
from ecsnet.messages.joining import (
    DIFFERENCE_LENGTH,
    MemberState,
    SchemaDiffers,
    SchemaOffer,
    Welcome,
)
from ecsnet.messages.table import MessageTable, handles
from ecsnet.notifications import Connected, Disconnected, Refused
from ecsnet.replication.client.playout_buffer import PlayoutBuffer
from ecsnet.replication.client.samples import Blend
from ecsnet.replication.client.store import Store
from ecsnet.replication.client.view import Shown, ViewWorld
from ecsnet.replication.wire import (
    EVENTS_MESSAGE_BYTES,
    MESSAGE_BYTES,
    Events,
    Report,
    Resync,
    Structure,
    WireFormat,
)
from ecsnet.schema import EventType, Schema, encode
from ecsnet.session.goodbye import Reason
from ecsnet.session.session import Received

__all__ = ["ClientProtocol"]

logger = logging.getLogger("ecsnet.client")

WELCOME_WORK = 3000
"""The work for a Welcome, in ids and values: the client begins anew, see `WORK_A_POLL`."""

WORK_A_POLL = 20_000
"""The ids and values that one poll takes over from the server's messages, about; each datagram or
message counts as 25 more. The rest waits for the next poll."""

NOTIFICATIONS = 131_072
"""The most notifications that are kept for `ClientProtocol.take_notifications`."""

EARLY_UPDATES = 1000
"""The most updates that are kept before the Welcome to their room; with more, the client asks for
everything again."""

JOINING_SECONDS = 10.0
"""From the server's acceptance until the player is in the game; stalls of this end do not count."""

_WELCOMED = (MemberState.JOINING, MemberState.JOINED)
_NO_REPORT = Report(0)
_ROOMS = 16  # of the rooms that we were in, so many may have updates on their way


class _Arrival(NamedTuple):
    """The number and size of a reliable message."""

    number: int
    size: int
    """In bytes."""


class _Drawing(NamedTuple):
    """The drawing of a room on a smooth client: what waits for its tick, and when that is."""

    buffer: PlayoutBuffer
    clock: InterpolationClock


class ClientProtocol:
    """A client from the handshake to its end, in one room after the other.

    Args:
        name: What the player is called, in the log.
        schema: The types of the game.
        connection: The way to the server.
        view: The world that shows what the server says.
        sender: What sends our commands.
        now: Seconds, on the clock of all calls.
        smooth: Whether the view shows what the server says when it is its turn, and what lies
            between two values, and not all of it at once.
        prediction: What runs ahead here, of a smooth client; None for nothing.

    Attributes:
        state: How far we came.
        store: What the server last said in the room that we are in; None before the first one.
        shown: The tick that is drawn, with its fraction; None while that is always the newest.
        interpolation: Whether a smooth client draws that tick, and not the newest.
        notifications: What happened and was not handed out yet.
        player_net: The network id of our player; 0 before the first room.
        connected_as: Our player's entity, as `Connected` said last; None before the first one.
        refused: Whether the server did not let us in.
        explain: Called with the reason and the sentence of a refusal; returns a better sentence.
    """

    def __init__(
        self,
        name: str,
        schema: Schema,
        connection: ClientConnection,
        view: ViewWorld,
        sender: CommandSender,
        now: float,
        *,
        smooth: bool,
        prediction: ClientPrediction | None,
    ) -> None:
        self.state = MemberState.HANDSHAKE
        self.store: Store | None = None
        self.shown: float | None = None
        self.interpolation = smooth
        self.notifications: list[object] = []
        self._calls: list[tuple[EventType, object]] = []
        self.player_net = 0
        self.connected_as: int | None = None
        self.refused = False
        self.explain: Callable[[Reason, str], str] = _as_it_is
        self._name = name
        self._schema = schema
        self._format = WireFormat(schema)
        self._connection = connection
        self._view = view
        self._sender = sender
        self._smooth = smooth
        self._prediction = prediction
        self._drawing: _Drawing | None = None  # of a smooth client, in the room that it is in
        self._messages: MessageTable[_Arrival] = MessageTable(
            MESSAGE_BYTES,
            [
                handles(SchemaOffer, [MemberState.HANDSHAKE], self._schema_offer),
                handles(Welcome, [MemberState.HANDSHAKE, *_WELCOMED], self._welcome),
                handles(self._format.structure, _WELCOMED, self._structure),
                handles(self._format.events, _WELCOMED, self._events, EVENTS_MESSAGE_BYTES),
            ],
        )
        # What has arrived and is not taken over yet: number of a message or None, and when it came.
        self._arrived: deque[tuple[int | None, bytes | msgspec.Raw, float]] = deque()
        # Updates of a room whose Welcome has not come yet, and when they came; and the rooms whose
        # Welcome has.
        self._early: list[tuple[bytes | msgspec.Raw, float]] = []
        self._epochs: deque[int] = deque(maxlen=_ROOMS)
        self._work_left = 0
        self._shown: Store | None = None  # what the view was brought up to date with
        self._stay_begins = 0  # index of the first notification of the room that we are in
        self._difference: str | None = None  # between the server's game and this one
        self._joining_left = JOINING_SECONDS
        self._advanced_at = now

    @property
    def closed(self) -> bool:
        """True if it is over."""
        return self.state is MemberState.CLOSED

    @property
    def drawn(self) -> Store | None:
        """The store that the view shows, or will show when it gets to the room that we are in."""
        return self.store if self._drawing is None else self._drawing.buffer.store

    @property
    def prediction(self) -> ClientPrediction | None:
        """The prediction, which runs our own ahead of the server; None where there is none."""
        return self._prediction

    @property
    def ahead(self) -> float | None:
        """The tick that is drawn of what is predicted, with its fraction; None where nothing is."""
        return None if self._prediction is None else self._prediction.ahead

    @property
    def shows(self) -> Shown | None:
        """The source of the view: `drawn`, with what is predicted in front of it."""
        drawn = self.drawn
        return None if drawn is None else self._in_front(drawn)

    @property
    def player(self) -> int | None:
        """Our player entity in the view; None where it is not there."""
        return self._view.local.get(self.player_net)

    def take_notifications(self) -> list[object]:
        """Hand out what happened since the last call, in order."""
        notifications, self.notifications = self.notifications, []
        self._stay_begins = 0
        if self._shown is not None:
            self._shown.events.note_returned()
        return notifications

    def take_calls(self) -> list[tuple[EventType, object]]:
        """Hand out the calls that have come since the last time, in order."""
        calls, self._calls = self._calls, []
        return calls

    def advance(self, now: float) -> None:
        """Take over what has arrived, bring the view up to date, and send what is due.

        Functions that the game attached are not called; its converters are, and a game that is
        hosted here runs. Any of them may `leave`.
        """
        connection = self._connection
        self._work_left = WORK_A_POLL
        connection.fetch(now)
        self._take_over()
        while not self._arrived:
            received = connection.next_packet(now)
            if received is None:
                break
            self._receive(received, now)
            self._take_over()
        if self.closed:  # a hosted game may have done that
            return
        connection.check(now)
        self._give_up_waiting(now)
        blends = self._play(now)
        if self.drawn is not None:
            self._show(self.drawn)
            if self._shown is self.drawn:
                self._view.blend(self._in_front(self.drawn), blends)
            self._check_load(self.drawn)
        if connection.end is not None and not self.closed:
            self._ended(connection.end)
        if connection.connected and not self.closed:  # a converter may have closed it
            self._send(now)
        if self._drawing is not None:
            # Last of all: what is done until the next poll is done by this picture.
            self._sender.note_drawn(self.shown)
        connection.measure(now)
        self._measure()

    def leave(self) -> None:
        """Tell the server goodbye; this is the end, and no notification tells of it."""
        self._connection.leave()
        if self._prediction is not None:
            self._prediction.close()
        self._enter(MemberState.CLOSED)

    def _enter(self, state: MemberState) -> None:
        """Change the state; nothing else does."""
        before, self.state = self.state, state
        logger.debug("%s: %s -> %s", self._name, before.value, state.value)

    # What arrives.

    def _receive(self, received: Received[msgspec.Raw], now: float) -> None:
        """Take in the messages, acks and payload of a packet."""
        for number, message in received.messages:
            self._arrived.append((number, message, now))
        for acked in (*received.acked, *received.late):
            self._sender.outbox.acked(acked)
        if received.payload is not None:
            self._arrived.append((None, received.payload, now))

    def _take_over(self) -> None:
        """Take over what has arrived, in order, as far as this poll gets."""
        arrived = self._arrived
        while arrived and self._work_left > 0 and self._connection.end is None:
            store = self.store
            before = 0 if store is None else store.work
            number, data, came_at = arrived.popleft()
            if number is not None:
                self._message(number, bytes(data), came_at)
            else:
                self._update(data, came_at)
            if store is not None:
                self._work_left -= store.work - before
                self._check_load(store)

    def _update(self, payload: bytes | msgspec.Raw, now: float) -> None:
        store, ticks = self.store, self._sender.ticks
        if store is None or ticks is None:
            self._keep_early(payload, now)
            return
        update = self._format.update.decode(payload)
        if update is None or not store.update(update, len(payload)):
            if update is not None and update.epoch not in self._epochs:
                self._keep_early(payload, now)
                return
            self._connection.stats.datagrams_rejected += 1
            if update is None or update.epoch == store.epoch:
                self._connection.peer.strike(now)
            return
        ticks.heard(store.tick, now)
        if self._drawing is not None:
            tick = self._drawing.buffer.update(update, len(payload))
            confirmed = tick - update.unconfirmed_ticks
            self._drawing.clock.heard(tick, confirmed, now, update.index, update.count)
        report = update.report
        if report is not None and store.report is report:
            ticks.report(report.slack / 16, store.tick, self._connection.peer.session.path.loss)

    def _keep_early(self, payload: bytes | msgspec.Raw, now: float) -> None:
        """Keep an update of a room that we are not in yet. Its packet is acked: what it says is not
        said again.
        """
        if len(self._early) < EARLY_UPDATES:
            self._early.append((payload, now))

    def _check_load(self, store: Store) -> None:
        """Leave a server that says more than a client keeps."""
        excess = store.overload or store.events.overload or self._view.references.overload
        if len(self.notifications) > NOTIFICATIONS:
            excess = f"more than {NOTIFICATIONS:,} things happened since poll() returned any"
        if excess is not None and self._connection.end is None:
            self._connection.give_up(Reason.OVERLOAD, f"too much to keep: {excess}")

    # Messages.

    def _message(self, number: int, data: bytes, now: float) -> None:
        """Dispatch a reliable message from the server."""
        if not self._messages.dispatch(data, self.state, _Arrival(number, len(data)), now):
            self._connection.peer.strike(now)
            self._connection.stats.datagrams_rejected += 1
        if self.store is not None and self.store.structured < number:
            self.store.passed(number)
            if self._drawing is not None:
                self._drawing.buffer.passed(number)

    def _schema_offer(self, offer: SchemaOffer, _: _Arrival, now: float) -> None:
        """Find out in what the games differ, and tell the server."""
        self._difference = self._schema.first_difference(offer.description) or DIFFERENT_GAME
        said = SchemaDiffers(self._difference[:DIFFERENCE_LENGTH])
        self._connection.peer.queue(encode(said))
        self._enter(MemberState.SCHEMA_MISMATCH)

    def _welcome(self, welcome: Welcome, arrival: _Arrival, now: float) -> None:
        """We are in a room; what we know of the one before is over."""
        if self.state is MemberState.JOINED:
            self._joining_left = JOINING_SECONDS
        self._work_left -= WELCOME_WORK
        store = self.store = Store(
            self._format,
            welcome.epoch,
            welcome.tick,
            number=arrival.number,
            drawn=not self._smooth,
            predicting=self._smooth,
        )
        self.player_net = welcome.player
        if self.state is not MemberState.HANDSHAKE:
            self._sender.leave_room(self._schema.commands)
        self._sender.enter_room(welcome)
        if self._smooth:
            self._begin_to_draw(store, welcome, arrival.number)
        early, self._early = self._early, []
        # Updates of a room that we come back to may have been taken for those of our last stay.
        store.resync = len(early) == EARLY_UPDATES or welcome.epoch in self._epochs
        self._epochs.append(welcome.epoch)
        self._arrived.extendleft((None, payload, came_at) for payload, came_at in reversed(early))
        self._enter(MemberState.JOINING)

    def _structure(self, message: Structure[object], arrival: _Arrival, now: float) -> None:
        """Apply a structural message of our room."""
        store = self.store
        assert store is not None  # in this state
        number, size = arrival
        if not store.structure(number, message, size) and message.epoch == store.epoch:
            self._connection.peer.strike(now)
        if self._drawing is not None:
            self._drawing.clock.reached(self._drawing.buffer.structure(number, message, size))

    def _events(self, message: Events[object], arrival: _Arrival, now: float) -> None:
        """Take the events of our room."""
        store = self.store
        assert store is not None  # in this state
        if not store.happened(message, arrival.size):
            self._connection.stats.datagrams_rejected += 1
        elif self._drawing is not None:
            self._drawing.clock.reached(self._drawing.buffer.happened(message, arrival.size))

    # The view.

    def _begin_to_draw(self, store: Store, welcome: Welcome, number: int) -> None:
        """Draw the room of a Welcome from now on."""
        if self._drawing is not None:
            self._drawing.buffer.flush()  # what happened in the room before is told of still
        interval = max(1, round(welcome.tick_rate / welcome.update_rate))
        self._drawing = _Drawing(
            PlayoutBuffer(store, interval, self._schema.cid_of.get(Teleports), number=number),
            InterpolationClock(welcome.tick_rate, welcome.update_rate),
        )
        self.shown = None
        if self._prediction is not None:
            self._prediction.enter_room(welcome, store, self._drawing.buffer.store)

    def _play(self, now: float) -> dict[tuple[int, int], Blend]:
        """Let what is drawn of a smooth client go on; returns what lies between two values."""
        drawing, told = self._drawing, self.store
        if drawing is None or told is None:
            return {}
        told.recount()
        if self._prediction is not None:
            self._prediction.correct(now)
        else:
            told.dirty.clear()
            told.went.clear()
        shown = drawing.clock.advance(now)
        if shown is not None:
            # Never back: where it has just been turned on, the clock has to catch up first.
            shown = max(shown if self.interpolation else float(told.tick), self.shown or 0.0)
        self.shown = shown
        blends = drawing.buffer.play(-1.0 if shown is None else shown)
        if not self.interpolation:
            blends = {}
        if self._prediction is not None:
            if self._connection.connected:
                self._prediction.run(told, now, joined=self.state is MemberState.JOINED)
            self._prediction.draw(blends, now)
        if self._connection.end is not None:  # no frame comes after this one
            drawing.buffer.flush()
            blends = {}
        drawn = drawing.buffer.store
        if drawn.resync:
            drawn.resync, told.resync = False, True
        self._check_load(told)
        return blends

    def _in_front(self, drawn: Store) -> Shown:
        """Return what the view shows of a room, for what is drawn of it."""
        return drawn if self._prediction is None else self._prediction.shown(drawn)

    def _show(self, store: Store) -> None:
        """Bring the view up to date, and take what happened."""
        before = self._shown
        if before is not store:
            if before is not None and before.events and self.connected_as is not None:
                # What happened in the room that we have left comes first, with the view as it was
                # there.
                self.notifications += self._view.reconcile(self._in_front(before))
                self._take_events(before)
                return
            self._shown = store
            self.notifications += self._view.hide_all()
            self._stay_begins = len(self.notifications)
        store.recount()
        store.depart()
        self.notifications += self._view.reconcile(self._in_front(store))
        if self.state is MemberState.JOINING:
            self._arrive(store)
        if self.state is MemberState.JOINED:
            self._take_events(store)

    def _take_events(self, store: Store) -> None:
        for kind, event in self._view.take_events(store):
            if kind.call is None:
                self.notifications.append(event)
            else:
                self._calls.append((kind, event))

    def _arrive(self, store: Store) -> None:
        """Say `Connected`, once our own player's entity is there, or is not going to be."""
        player = self.player
        # It comes before all else, so nothing else has to arrive to know that it does not.
        gone = store.introduced and self.player_net not in store.entities
        if player is None and self.player_net and not gone:
            return
        self.connected_as = player or 0
        self._enter(MemberState.JOINED)
        self._sender.outbox.idle()  # what was sent until now was sent in no tick
        self.notifications.insert(self._stay_begins, Connected(self.connected_as))
        logger.info("connected as %s", self._name)

    # What leaves.

    def _send(self, now: float) -> None:
        """Send what is due."""
        peer, store = self._connection.peer, self.store
        peer.lost(now)
        if store is not None and store.resync and not (store.asked or peer.backlog):
            store.resync = False
            store.asked += 1
            peer.queue(encode(Resync()))
            logger.debug("%s dropped values and asks for all of them again", self._name)
        self._sender.send(store, now, joined=self.state is MemberState.JOINED)
        peer.send_messages(now)

    def _measure(self) -> None:
        """Bring the figures of commands and ticks up to date."""
        stats, store, outbox = self._connection.stats, self.store, self._sender.outbox
        report = _NO_REPORT if store is None or store.report is None else store.report
        stats.commands_sent = outbox.sent
        stats.commands_expired = outbox.expired + report.expired
        stats.commands_rejected = self._sender.unsendable + report.rejected
        stats.commands_applied = report.applied
        stats.commands_superseded = report.superseded
        if store is not None:
            stats.tick, stats.confirmed_tick = store.tick, store.confirmed_tick
        if self.drawn is not None:
            stats.events_received = self.drawn.events.given
        if self._drawing is not None:
            stats.delay = self._drawing.clock.delay
        if self._prediction is not None:
            stats.corrections = self._prediction.corrections
            stats.replayed_ticks = self._prediction.replayed_ticks
            ahead = self._prediction.ahead
            stats.ahead = 0.0 if ahead is None else max(0.0, ahead - stats.tick)

    # The end.

    def _give_up_waiting(self, now: float) -> None:
        """End a joining that takes too long, whatever the server says meanwhile."""
        elapsed, self._advanced_at = now - self._advanced_at, now
        if self._connection.connected and self.state is not MemberState.JOINED:
            self._joining_left -= min(elapsed, STALL)
            if self._joining_left < 0:
                self._connection.give_up(Reason.TIMEOUT)

    def _ended(self, end: End) -> None:
        """Note that there is no connection, or none any more."""
        if self.connected_as is not None:
            said = disconnection(end)
            self.notifications.append(Disconnected(end.reason.value, farewell(end)))
        else:
            reason, text = refusal(end, self._difference)
            message = self.explain(reason, text)
            said = f"refused: {message}"
            self.refused = True
            self.notifications.append(Refused(reason.value, message))
        try:
            self._enter(MemberState.CLOSED)
        finally:  # what takes log lines may be the game's own, and raise
            self._connection.close()
            if self._prediction is not None:
                self._prediction.close()
        # Warnings reach stderr in a game that configures no logging: it would end without a word.
        # Last of all, for the same reason.
        logger.warning("%s", said)


def _as_it_is(_: Reason, text: str) -> str:
    return text
