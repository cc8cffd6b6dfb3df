"""A server's end of commands: from the decode gate to the tick that they are for."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final, TypeAlias

import msgspec

from ecsnet.commands.frames import ACTIONS_A_TICK, HELD_STATES, SIXTEENTHS, Entry, Frame
from ecsnet.errors import BadMessageError
from ecsnet.schema import CommandType, Gate
from ecsnet.session.sequence import unwrap

__all__ = [
    "HORIZON_SECONDS",
    "REPEAT_SECONDS",
    "WAITING",
    "Inbox",
    "PlayerCommands",
    "ReceivedCommand",
]

REPEAT_SECONDS: Final = 0.25
"""The time for which the server repeats the last held commands when no newer ones come."""

HORIZON_SECONDS: Final = 1.0
"""The furthest that a command may be ahead of the server; honest clients stay far below. A client
that sends seldom runs ahead by what it saves up, and twice that where packets get lost. One that is
told seldom sees late that the server stands still, and goes on: for three updates, see
`ecsnet.client.tick_clock.UPDATES_MISSED`."""

WAITING: Final = 256
"""The most actions of one player that the server keeps; beyond it the oldest expire."""

_BEHIND: Final = 8  # packets with nothing new, one after the other: more than come late together

_U31: Final = 0x7FFF_FFFF
_NEVER: Final = 1 << 61


class ReceivedCommand:
    """One command, as it goes from an `Inbox` to a tick of a simulation.

    Attributes:
        kind: Which command type it is.
        target: Network id of the entity it is for; 0 means the player's own.
        value: The command as a wire value.
    """

    __slots__ = ("kind", "target", "value")

    def __init__(self, kind: CommandType, target: int, value: object) -> None:
        self.kind = kind
        self.target = target
        self.value = value


class PlayerCommands:
    """The commands of one player in one tick, and the moment that they go by.

    Attributes:
        player_id: The player's number.
        commands: What `Inbox.take` gave.
        drawn: The tick at which the player was shown the others then, in sixteenths, held against
            what the server allows; None where its client has not said.
        limited: Whether that is another one than the client said, since no honest one could.
    """

    __slots__ = ("commands", "drawn", "limited", "player_id")

    def __init__(
        self,
        player_id: int,
        commands: tuple[ReceivedCommand, ...],
        drawn: int | None = None,
        limited: bool = False,
    ) -> None:
        self.player_id = player_id
        self.commands = commands
        self.drawn = drawn
        self.limited = limited


_NONE: tuple[ReceivedCommand, ...] = ()

_State: TypeAlias = dict[tuple[CommandType, int], ReceivedCommand]
"""The held commands, by type and target."""


class Inbox:
    """One player's commands on the server, from the decode gate to their tick.

    Args:
        tick_rate: Ticks of the simulation in a second.
        gate: What frames come in by.
        interval: Seconds from one packet of the client's to the next, where it saves ticks up.
        update_interval: Seconds from one update to the client to the next.
        number: Number of the first frame that is news: those before it came to another inbox.

    Attributes:
        number: Number of the next frame.
        applied: Commands that were handed to a tick.
        expired: Actions that were dropped because too many waited, or that were refused.
        superseded: Held commands whose tick went by and that a newer one had replaced by then, or
            that were refused.
        rejected: Commands that could not be used: for ticks too far ahead, more than the rules
            allow, for entities that are gone or not the player's own. They are counted here
            besides where they are counted above.
        drawn: What was drawn when the player did what `take` returned last, in sixteenths of a
            tick, as its client said: with the last of the actions, else with what is held. None
            where it has not said.
    """

    __slots__ = (
        "_act_at",
        "_actions",
        "_age",
        "_ages",
        "_behind",
        "_behind_of",
        "_behind_since",
        "_count",
        "_due",
        "_frames",
        "_frames_behind",
        "_gate",
        "_held",
        "_held_at",
        "_horizon",
        "_last",
        "_raw",
        "_repeat",
        "_same_from",
        "_same_until",
        "_spent_at",
        "_states",
        "_tokens",
        "_waiting",
        "applied",
        "drawn",
        "expired",
        "number",
        "rejected",
        "superseded",
    )

    def __init__(
        self,
        tick_rate: float,
        gate: Gate[list[Frame]],
        interval: float = 0.0,
        update_interval: float = 0.0,
        number: int = 0,
    ) -> None:
        seconds = HORIZON_SECONDS + 2 * interval + 3 * update_interval
        horizon = max(8, round(seconds * tick_rate))
        ring: list[tuple[ReceivedCommand, ...] | None] = [None] * (1 << horizon.bit_length())
        self.number = number
        self.applied = 0
        self.superseded = 0
        self.expired = 0
        self.rejected = 0
        self.drawn: int | None = None

        # The frames that came last, as they came. Mostly the next ones are the same.
        self._gate = gate
        self._raw: msgspec.Raw | None = None
        self._frames: Sequence[Frame] = ()  # those of _raw
        # If they are one frame of states: what it covers, which, and how far behind its player saw
        # the others; else 0.
        self._count = 0
        self._states: tuple[ReceivedCommand, ...] = _NONE
        self._frames_behind = 0
        # Packets with older frames only, since which tick, and older than which number.
        self._behind = self._behind_since = self._behind_of = 0

        self._due = 0  # the tick after the last one that was taken
        self._last = -1  # newest tick that came
        self._horizon = horizon
        # From which tick to before which _states are held without being in the ring; those before
        # _due were taken.
        self._same_from = self._same_until = -1
        # What else is held in the ticks to come: a ring, by the low bits of the tick.
        self._waiting = ring
        # By how many sixteenths of a tick what was drawn lies before the tick, likewise; 0 where
        # the client has not said.
        self._ages = [0] * len(ring)
        self._held: tuple[ReceivedCommand, ...] = _NONE
        self._age = 0  # the same of _held
        self._repeat = max(1, round(REPEAT_SECONDS * tick_rate))
        self._held_at = -self._repeat

        # With their ticks, and what was drawn.
        self._actions: deque[tuple[int, ReceivedCommand, int | None]] = deque()
        self._act_at = _NEVER  # the tick of the first action that waits
        self._tokens = 2 * ACTIONS_A_TICK
        self._spent_at = 0

    def receive_frames(self, number: int, tick: int, raw: msgspec.Raw, next_tick: int) -> int:
        """Take the frames of a packet.

        Args:
            number: Number of the first frame, low 32 bits.
            tick: First tick of the first frame, low 32 bits.
            raw: The frames.
            next_tick: The tick that will be taken next.

        Returns:
            The oldest tick that this packet brought first, to see how early it came; -1 when it
            brought none.

        Raises:
            BadMessageError: The gate turned the frames away.
        """
        if raw != self._raw:
            self._read(raw)
        if next_tick > self._due:
            self._skip(next_tick)
        count = self._count
        if count:
            # As it is mostly: one tick is news, neither late nor far ahead.
            end = number + count
            newest = tick + count - 1
            if (
                end == self.number + 1
                and self._last < newest
                and next_tick <= newest < next_tick + self._horizon
            ):
                self.number = end
                self._last = newest
                if newest != self._same_until:
                    self._spread()
                    self._wait(newest, self._states, self._frames_behind)
                    self._same_from = newest + 1
                self._same_until = newest + 1
                return newest
        # Below half their range both are what they look like, and that is nearly always so.
        if (number | self.number) > _U31:
            number = unwrap(number, 32, self.number)
        if (tick | next_tick) > _U31:
            tick = unwrap(tick, 32, next_tick)
        fresh = -1
        state: _State = {}
        held: tuple[ReceivedCommand, ...] | None = _NONE
        for frame in self._frames:
            tick += frame.gap
            count = frame.count
            actions: list[ReceivedCommand] | None = None
            commands = frame.commands
            if commands:
                actions = self._change(state, commands)
                held = None
            skip = self.number - number
            number += count or 1
            if skip >= (count or 1):
                tick += count
                continue
            self.number = number
            if skip < 0:
                skip = 0
            if actions is not None and skip == 0:
                self._act(tick if count else tick - 1, actions, next_tick, frame.behind)
            if count:
                first = tick + skip
                tick += count
                if fresh < 0:
                    fresh = first
                if held is None:
                    held = tuple(state.values())
                self._extend(first, tick, held, next_tick, frame.behind)
        if number < self.number:
            self._fall_behind(number, next_tick)
        else:
            self._behind = 0
        return fresh

    def take(self, tick: int) -> tuple[ReceivedCommand, ...]:
        """Return the commands for a tick: held ones first, then actions in their order.

        To be called once for each tick, ascending.
        """
        if tick > self._due:
            self._skip(tick)
        self._due = tick + 1
        held: tuple[ReceivedCommand, ...] | None
        if self._same_from <= tick < self._same_until:
            held = self._states
            age = self._frames_behind
        else:
            waiting = self._waiting
            held = waiting[tick & len(waiting) - 1]
            age = self._ages[tick & len(waiting) - 1]
            waiting[tick & len(waiting) - 1] = None
        if held is not None:
            self._held = held
            self._held_at = tick
            self._age = age
            self.applied += len(held)
        elif tick - self._held_at > self._repeat:
            held = self._held = _NONE
            age = self._age = 0
        else:
            held = self._held
            age = self._age
        self.drawn = SIXTEENTHS * tick - age if age else None
        if tick < self._act_at:
            return held
        actions = self._actions
        taken = list(held)
        tokens = min(2 * ACTIONS_A_TICK, self._tokens + ACTIONS_A_TICK * (tick - self._spent_at))
        while tokens and actions and actions[0][0] <= tick:
            _, given, drawn = actions.popleft()
            taken.append(given)
            if drawn is not None:
                self.drawn = drawn
            self.applied += 1
            tokens -= 1
        self._tokens = tokens
        self._spent_at = tick
        self._act_at = actions[0][0] if actions else _NEVER
        return tuple(taken)

    def _read(self, raw: msgspec.Raw) -> None:
        """Decode frames, and remember them if they may come again."""
        frames = self._gate.decode(raw)
        if frames is None:
            raise BadMessageError("frames that the gate turned away")
        self._spread()
        self._raw = None
        self._frames = frames
        self._count = 0
        # States are copied for each tick; actions are handed out themselves, each of them once.
        for frame in frames:
            for entry in frame.commands:
                if not entry.hold:
                    return
        self._raw = raw
        if len(frames) == 1 and not frames[0].gap and len(frames[0].commands) <= HELD_STATES:
            state: _State = {}
            self._change(state, frames[0].commands)
            self._count = frames[0].count
            self._states = tuple(state.values())
            self._frames_behind = frames[0].behind

    def _fall_behind(self, number: int, next_tick: int) -> None:
        """Count a packet that ends with a frame before ``number``, which came before. That is a
        late one; but where no others come for two seconds, the client numbered a frame too far
        ahead once, and is to be heard again: what comes next is new.
        """
        if not self._behind or self._behind_of != self.number:
            self._behind, self._behind_of, self._behind_since = 0, self.number, next_tick
        self._behind += 1
        if self._behind >= _BEHIND and next_tick - self._behind_since >= 2 * self._horizon:
            self._behind = 0
            self.number = number

    def _change(self, state: _State, commands: Sequence[Entry]) -> list[ReceivedCommand] | None:
        """Bring what is held up to date with a frame; return the frame's actions.

        It takes what changes, and not what is held, so that a packet of many small changes to many
        states costs as much as its bytes.
        """
        actions: list[ReceivedCommand] | None = None
        for entry in commands:
            kind, target, value = entry.kind, entry.target, entry.value
            if not entry.hold:
                if actions is None:
                    actions = []
                actions.append(ReceivedCommand(kind, target, value))
            elif value is None:
                state.pop((kind, target), None)
            else:
                state[(kind, target)] = ReceivedCommand(kind, target, value)
        if len(state) > HELD_STATES:
            beyond = len(state) - HELD_STATES
            self.rejected += beyond
            for key in list(state)[:beyond]:
                del state[key]
        return actions

    def _act(self, tick: int, actions: list[ReceivedCommand], next_tick: int, behind: int) -> None:
        drawn = SIXTEENTHS * tick - behind if behind else None
        allowed = ACTIONS_A_TICK if tick <= next_tick + self._horizon else 0
        refused = len(actions) - allowed
        if refused > 0:
            self.rejected += refused
            self.expired += refused
            del actions[allowed:]
        waiting = self._actions
        if waiting and tick < waiting[-1][0]:
            # No honest client goes back. What it stamped too far ahead comes now, too: in order,
            # always, and none waits for those before it.
            waiting = self._actions = deque(
                (min(at, tick), given, seen) for at, given, seen in waiting
            )
        for given in actions:
            waiting.append((tick, given, drawn))
        while len(waiting) > WAITING:
            waiting.popleft()
            self.expired += 1
        if waiting:
            self._act_at = waiting[0][0]

    def _extend(
        self,
        first: int,
        end: int,
        held: tuple[ReceivedCommand, ...],
        next_tick: int,
        behind: int,
    ) -> None:
        """Keep held commands for the ticks from ``first`` to before ``end``; ``behind`` is the
        frame's.
        """
        size = len(held)
        if end <= self._last:
            # No honest client goes back. What it stamped too far ahead is to hold up nothing.
            self._revoke(max(end, next_tick))
            self._last = first - 1
        elif first <= self._last:
            # No honest client numbers its ticks like that: each comes after those before.
            known = min(end, self._last + 1) - first
            self.superseded += known * size
            self.rejected += known * size
            first += known
            if first == end:
                return
        if first < next_tick:
            # Of those that are late, the newest is good for the next tick if that has none.
            late = min(end, next_tick) - first
            self.superseded += (late - 1) * size
            lateness = SIXTEENTHS * (next_tick - (first + late - 1))
            self._wait(next_tick, held, behind + lateness if behind else 0)
            first += late
            self._last = first - 1
        limit = next_tick + self._horizon
        if end > limit:
            beyond = (end - max(first, limit)) * size
            self.superseded += beyond
            self.rejected += beyond
            end = limit
        for tick in range(first, end):
            self._wait(tick, held, behind)
            self._last = tick

    def _revoke(self, first: int) -> None:
        """Forget what is held in the ticks from ``first`` on."""
        self._spread()
        waiting = self._waiting
        for tick in range(first, self._last + 1):
            held = waiting[tick & len(waiting) - 1]
            if held is not None:
                waiting[tick & len(waiting) - 1] = None
                self.superseded += len(held)
                self.rejected += len(held)

    def _spread(self) -> None:
        """Put what goes on being held into the ring, like all else."""
        for tick in range(max(self._same_from, self._due), self._same_until):
            self._wait(tick, self._states, self._frames_behind)
        self._same_from = self._same_until = -1

    def _wait(self, tick: int, held: tuple[ReceivedCommand, ...], age: int) -> None:
        """Keep held commands for a tick, instead of late ones that would have done."""
        waiting = self._waiting
        before = waiting[tick & len(waiting) - 1]
        if before is not None:
            self.superseded += len(before)
        waiting[tick & len(waiting) - 1] = held
        self._ages[tick & len(waiting) - 1] = age

    def _skip(self, tick: int) -> None:
        """Go on to a tick without taking those before: what waits for them is late."""
        self._spread()
        waiting = self._waiting
        late: tuple[ReceivedCommand, ...] | None = None
        age = 0
        for missed in range(max(self._due, tick - len(waiting)), tick):
            held = waiting[missed & len(waiting) - 1]
            if held is not None:
                waiting[missed & len(waiting) - 1] = None
                if late is not None:
                    self.superseded += len(late)
                late = held
                age = self._ages[missed & len(waiting) - 1]
                if age:
                    age += SIXTEENTHS * (tick - missed)
        if late is not None:
            if waiting[tick & len(waiting) - 1] is None:
                self._wait(tick, late, age)
            else:
                self.superseded += len(late)
        self._due = tick
