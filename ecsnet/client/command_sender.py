"""The sending end of commands: for which ticks they are, and when a packet with them leaves."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ecsnet.client.tick_clock import LOSSY, TickClock
from ecsnet.commands.frames import SIXTEENTHS
from ecsnet.commands.outbox import Outbox
from ecsnet.messages.joining import Welcome
from ecsnet.peer import Peer
from ecsnet.replication.client.store import Store
from ecsnet.schema import CommandType
from ecsnet.session.token_bucket import TokenBucket

__all__ = ["CommandSender"]

COMMAND_ROOM = 900
"""Bytes of commands in one packet."""

TICKS_EARLY = 1.0
"""Ticks by which the commands of a client that runs ahead arrive earlier than just in time. Its
player sees itself at once in any case, and what comes late has to be set right."""

_BETWEEN_TICKS = 0.5  # packets for each tick that begins, for actions that wait for none
_BETWEEN_BURST = 8.0

_QUIET = 1 / 30  # with commands unacked, something is sent at least this often


class CommandSender:
    """The commands of a client, and the pace of its packets.

    Args:
        peer: The server.

    Attributes:
        outbox: The commands that the server has not acknowledged.
        unsendable: Commands for entities that are not in the view.
        ticks: The client's ticks in the room that it is in; None before the first one.
    """

    def __init__(self, peer: Peer[msgspec.Raw]) -> None:
        self.outbox = Outbox()
        self.unsendable = 0
        self.ticks: TickClock | None = None
        self._peer = peer
        self._rewinds = False  # the server wants to know what we draw
        self._timed = False  # the clock runs; not before a round trip was measured
        self._sent_at = 0.0
        self._interval = 0.0  # seconds between packets, where the server asks for fewer
        self._send_at = 0.0  # not before
        self._between = TokenBucket(0.0, 0.0)  # packets while no tick begins
        self._unsaid = False  # ticks or actions came since commands were sent
        self._begun: range | None = None  # ticks that began since the last `send`

    def enter_room(self, welcome: Welcome) -> None:
        """Go by the ticks and the rates of the room that the server put us into."""
        self._interval = 0.0 if welcome.command_rate is None else 1 / welcome.command_rate
        self._between = TokenBucket(_BETWEEN_TICKS * welcome.tick_rate, _BETWEEN_BURST)
        self.ticks = TickClock(welcome.tick_rate, welcome.update_rate, self._interval)
        self._rewinds = welcome.rewind > 0
        self._timed = False

    def leave_room(self, commands: Sequence[CommandType]) -> None:
        """Forget what was done in another room, and what is held for entities of it.

        Args:
            commands: The command types, by their number.
        """
        outbox = self.outbox
        for type_id, target in outbox.held:
            if target or commands[type_id].has_refs:
                outbox.release(type_id, target)
        outbox.change_room()

    def note_drawn(self, shown: float | None) -> None:
        """Say with all that is done from now on at which tick the others were drawn meanwhile.

        Args:
            shown: The tick, with its fraction; None where nothing is drawn.
        """
        self.outbox.drawn = None
        if shown is not None and self._rewinds:
            self.outbox.drawn = round(SIXTEENTHS * shown)

    def run_ahead(self, ahead: bool) -> None:
        """Let commands be those of a client that runs ahead with them, in this room; or not."""
        assert self.ticks is not None  # since enter_room()
        self.outbox.ahead = ahead
        self.ticks.early = TICKS_EARLY if ahead else 0.0

    def begin_ticks(self, store: Store, now: float, *, joined: bool) -> range:
        """Let the ticks begin that are due, with our commands; `send` does so where nobody has.

        Args:
            store: What the server last said in our room.
            now: Seconds.
            joined: Whether we are in the game: on the way into it nothing is stamped.

        Returns:
            The ticks.
        """
        ticks, outbox = self.ticks, self.outbox
        assert ticks is not None  # in a room
        if not self._timed and self._peer.session.path.measured:
            self._timed = True
            ticks.start(store.tick, now, self._peer.session.path.rtt)
        begun = ticks.advance(now)
        if ticks.paused or ticks.waiting:
            outbox.idle()
        before = outbox.sent
        if joined:
            for _, target in outbox.held:
                if target and target not in store.entities:  # else it would be sent for ever
                    outbox.release_all(target)
            outbox.stamp(begun)
        # A tick that begins is always said: from it the server measures how early we are.
        self._unsaid = self._unsaid or bool(begun) or outbox.sent != before
        self._begun = begun
        return begun

    def send(self, store: Store | None, now: float, *, joined: bool) -> None:
        """Send what is due: commands, or what the session has to say.

        Args:
            store: What the server last said in our room; None while we are in none.
            now: Seconds.
            joined: Whether we are in the game: on the way into it nothing waits.
        """
        ready = now >= self._send_at
        sent = store is not None and self._send_commands(store, now, ready, joined)
        if not sent and ready and self._peer.due(now):
            self._peer.send(None, now)
            sent = True
        if sent:
            self._sent_at = now
            if joined:
                self._send_at = min(max(now, self._send_at + self._interval), now + self._interval)

    def _send_commands(self, store: Store, now: float, ready: bool, joined: bool) -> bool:
        """Send our commands, when there is something new in them or it is time; return whether."""
        outbox, peer = self.outbox, self._peer
        begun, self._begun = self._begun, None
        if begun is None:
            begun, self._begun = self.begin_ticks(store, now, joined=joined), None
        # What is saved up has to fit: none of it is to be late.
        if not ready and not (begun and outbox.crowded(COMMAND_ROOM)):
            return False
        if not self._unsaid and now - self._sent_at < _QUIET:
            return False
        # Who acts in every frame of a fast screen would send more than a server takes.
        if not begun and not self._between.take(1, now):
            return False
        self._unsaid = False
        packed = outbox.pack(COMMAND_ROOM)
        if packed is None:
            return False
        payload = (store.epoch, packed.number, packed.tick, packed.frames)
        peer.send(payload, now, packed.through)
        if self._is_risky() and self._between.take(1, now):
            peer.send(payload, now, packed.through)
        return True

    def _is_risky(self) -> bool:
        """Return whether a packet is to leave twice. What we did ahead, and the server hears of too
        late, has to be set right; and to run further ahead instead would let all others see us
        later.
        """
        lossy = self._peer.session.path.loss >= LOSSY
        return lossy and self.outbox.ahead and self.outbox.urgent and not self._interval
