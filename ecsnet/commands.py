"""What players do, on its way from a client's `send` to a server's tick.

Two kinds travel together. A *held* command is a state: the client repeats it in each of its ticks,
and a server tick sees at most one per player, type and target. An *action* happened once and is
delivered once, in order.

On the wire a packet carries every command that is not acked yet, oldest first, as *frames*:
``[gap, count, commands]``. Behind a gap of so many ticks, a frame covers ``count`` ticks. Its held
commands replace those of the frame before and stand until they are replaced in turn; its actions
belong to its first tick. A frame of no ticks carries actions of the tick before it. The first frame
of a packet lists everything that is held. Frames are numbered, ``count`` numbers each and one for
a frame of no ticks, so the server knows each one it has had. As only acked frames are left out,
and always the oldest, nothing can be missing between what the server has and the first frame of
a packet.

Everything is counted once: a held command once for each client tick that it was held in, an action
once. When all is quiet, ``sent == applied + expired + superseded``. Commands for entities that are
gone or not the player's own are among the applied ones; they are counted again, as rejected.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

import msgspec

from ecsnet.errors import BadMessageError, UsageError
from ecsnet.frames import ACTIONS_A_TICK, HELD_STATES, Entry, Frame
from ecsnet.schema import CommandType, Gate, encode
from ecsnet.session.numbers import widen
from ecsnet.session.session import Record

__all__ = ["COMMAND_BYTES", "Given", "Inbox", "Outbox", "Told"]

COMMAND_BYTES: Final = 320
"""The largest encoded action; the actions that go out with one tick are bounded by it too."""

HELD_BYTES: Final = 256
"""What all states that are held at a time may take, encoded."""

REPEAT_SECONDS: Final = 0.25
"""How long the server goes on with the last held commands when no newer ones come."""

HORIZON_SECONDS: Final = 1.0
"""How far ahead of the server a command may be; honest clients stay far below."""

WAITING: Final = 256
"""How many actions of one player the server keeps; beyond it the oldest expire."""

BACKLOG: Final = 64
"""How many actions a client keeps while no tick begins; beyond it the oldest expire."""

QUIET_TICKS: Final = 128
"""Ticks without a command after which a client stops telling the server of its ticks."""

UNACKED_FRAMES: Final = 512
"""With so many frames unacked a client holds its breath: no new ticks until some are acked."""

_U32: Final = 0xFFFF_FFFF
_U31: Final = 0x7FFF_FFFF
_NEVER: Final = 1 << 61
_FRAME_HEAD: Final = 9  # the most that gap, count and the three array headers take


class Given:
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


_NONE: tuple[Given, ...] = ()


class _Run:
    """Unacked ticks with the same held commands, and the actions of the first of them."""

    __slots__ = ("actions", "count", "held", "number", "tick")

    def __init__(
        self,
        number: int,
        tick: int,
        count: int,
        held: dict[tuple[int, int], msgspec.Raw],
        actions: list[msgspec.Raw],
    ) -> None:
        self.number = number
        self.tick = tick  # of a run of no ticks: the tick after the one it belongs to
        self.count = count
        self.held = held
        self.actions = actions

    @property
    def end(self) -> int:
        """Number of the frame after this one."""
        return self.number + (self.count or 1)


class Packed:
    """The commands for one packet.

    Attributes:
        number: Number of the first frame, low 32 bits.
        tick: Its first tick, low 32 bits.
        frames: Encodable frames.
        through: Number after the last frame: what to hand to `Outbox.acked`.
    """

    __slots__ = ("frames", "number", "through", "tick")

    def __init__(
        self, number: int, tick: int, frames: Sequence[tuple[int, int, object]], through: int
    ) -> None:
        self.number = number
        self.tick = tick
        self.frames = frames
        self.through = through


class Told(Record):
    """The record of a packet with commands up to a frame; see `Outbox.acked`."""

    __slots__ = ("through",)

    def __init__(self, sent_at: float, through: int) -> None:
        super().__init__(sent_at)
        self.through = through


class Outbox:
    """A client's commands until the server has them.

    Attributes:
        sent: Commands handed over so far; see the top of this module for what counts as one.
        expired: Actions that were dropped here while no tick began. They count as sent too.
    """

    def __init__(self) -> None:
        self.sent = 0
        self.expired = 0
        self._held: dict[tuple[int, int], msgspec.Raw] = {}
        self._held_bytes = 0
        self._dirty = False  # _held differs from what the last run has
        self._actions: deque[msgspec.Raw] = deque()
        self._acted = 0  # actions since the last tick began
        self._runs: deque[_Run] = deque()
        self._number = 0
        self._tick = 0  # the tick after the last one that was stamped
        self._quiet = 0  # ticks since there was a command; at first the clock wants its reports

    @property
    def pending(self) -> bool:
        """Whether anything is not acked yet."""
        return bool(self._runs)

    def hold(self, type_id: int, target: int, value: object) -> None:
        """Hold a state from the next client tick on, until it changes or is released.

        Args:
            type_id: Index of the command type in the schema.
            target: Network id of the entity it is for; 0 is the player's own.
            value: The command, encodable; it is encoded now.

        Raises:
            UsageError: Too many states are held at a time, or they are too large.
        """
        data = msgspec.Raw(encode((type_id, target, value)))
        key = (type_id, target)
        old = self._held.get(key)
        if old == data:
            return
        if old is None and len(self._held) >= HELD_STATES:
            raise UsageError(
                f"more than {HELD_STATES} commands are held at a time, one per type and target: "
                "release those that are done, or make this one an action with @net.command"
            )
        size = self._held_bytes + len(data) - (len(old) if old is not None else 0)
        if size > HELD_BYTES:
            raise UsageError(
                f"held commands take {size} bytes encoded, at most {HELD_BYTES} fit all together: "
                "hold less, or send what is large as an action"
            )
        self._held_bytes = size
        self._held = {**self._held, key: data}
        self._dirty = True

    def release(self, type_id: int, target: int) -> None:
        """Hold a state no longer; nothing happens when it is not held."""
        key = (type_id, target)
        if key in self._held:
            held = self._held.copy()
            self._held_bytes -= len(held.pop(key))
            self._held = held
            self._dirty = True

    def release_all(self, target: int | None = None) -> None:
        """Release every state, or those for one target, as when it is gone."""
        for type_id, held_for in list(self._held):
            if target is None or held_for == target:
                self.release(type_id, held_for)

    def act(self, type_id: int, target: int, value: object) -> None:
        """Queue an action for the earliest tick that can still take it.

        Args:
            type_id: Index of the command type in the schema.
            target: Network id of the entity it is for; 0 is the player's own.
            value: The command, encodable; it is encoded now.

        Raises:
            UsageError: It is too large, or there are too many in this client tick.
        """
        if self._acted >= ACTIONS_A_TICK:
            raise UsageError(
                f"more than {ACTIONS_A_TICK} commands in one tick: each of them is an action that "
                "happens once; for the state of a key or stick use @net.command(hold=True)"
            )
        data = encode((type_id, target, value))
        if len(data) > COMMAND_BYTES:
            raise UsageError(f"a command of {len(data)} bytes encoded: at most {COMMAND_BYTES} fit")
        self._acted += 1
        self._actions.append(msgspec.Raw(data))
        if len(self._actions) > BACKLOG:
            self._actions.popleft()
            self.sent += 1
            self.expired += 1

    def stamp(self, ticks: range) -> None:
        """Make frames for the client ticks that begin now, and for actions since the last call.

        Actions go with the first tick of ``ticks``; with no tick beginning, they go with the one
        that is running.

        Args:
            ticks: The ticks, ascending and after all earlier ones; may be empty.
        """
        if ticks:
            self._acted = 0
        if len(self._runs) >= UNACKED_FRAMES:
            return
        if self._held or self._actions or self._dirty:
            self._quiet = 0
        elif self._quiet >= QUIET_TICKS:
            return
        else:
            self._quiet += ticks.stop - self._tick if ticks else 0
        for tick in ticks:
            self._begin(tick)
        if not ticks and self._actions and self._number:
            actions = self._take_actions()
            self._append(_Run(self._number, self._tick, 0, self._held, actions))

    def idle(self) -> None:
        """Say that no tick begins for now, so that the player may go on acting.

        To be called at each poll while the clock is paused: what the network does must not make
        `act` raise. Actions wait; beyond `BACKLOG` the oldest expire.
        """
        self._acted = 0

    def pack(self, limit: int) -> Packed | None:
        """The unacked frames for one packet, oldest first; None when there are none.

        Where they do not fit, the oldest ticks are merged: they get the held commands of the tick
        behind them. What is that old and unacked has reached the server, or is too late anyway.

        Args:
            limit: The most bytes that the frames may take. A single tick's always go: at most
                `HELD_BYTES` + `COMMAND_BYTES` and a few.
        """
        runs = self._runs
        if not runs:
            return None
        frames, through = self._frames(limit)
        while through != runs[-1].end and self._merge_oldest():
            frames, through = self._frames(limit)
        first = runs[0]
        return Packed(first.number & _U32, first.tick & _U32, frames, through)

    def acked(self, through: int) -> None:
        """Forget the frames below a number: the server has them."""
        runs = self._runs
        while runs:
            run = runs[0]
            if run.end <= through:
                runs.popleft()
                continue
            done = through - run.number
            if done > 0:
                run.number += done
                run.tick += done
                run.count -= done
                run.actions = []
            return

    def _begin(self, tick: int) -> None:
        actions = self._take_actions()
        runs = self._runs
        if (
            runs
            and not actions
            and not self._dirty
            and runs[-1].count
            and tick == self._tick
            and runs[-1].count < 0xFFFF
        ):
            runs[-1].count += 1
            self._number += 1
            self.sent += len(self._held)
            self._tick = tick + 1
            return
        self._dirty = False
        self._append(_Run(self._number, tick, 1, self._held, actions))
        self.sent += len(self._held)
        self._tick = tick + 1

    def _append(self, run: _Run) -> None:
        self._runs.append(run)
        self._number = run.end
        self.sent += len(run.actions)

    def _take_actions(self) -> list[msgspec.Raw]:
        waiting = self._actions
        taken: list[msgspec.Raw] = []
        room = COMMAND_BYTES
        while waiting and len(taken) < ACTIONS_A_TICK and len(waiting[0]) <= room:
            room -= len(waiting[0])
            taken.append(waiting.popleft())
        return taken

    def _frames(self, limit: int) -> tuple[list[tuple[int, int, object]], int]:
        frames: list[tuple[int, int, object]] = []
        size = 0
        held: dict[tuple[int, int], msgspec.Raw] = {}
        tick = through = -1
        for run in self._runs:
            commands: list[object] = []
            length = _FRAME_HEAD
            if run.held is not held:
                for key, raw in run.held.items():
                    if held.get(key) != raw:
                        commands.append(raw)
                        length += len(raw)
                for key in held:
                    if key not in run.held:
                        commands.append((*key, None))
                        length += 12
            for raw in run.actions:
                commands.append(raw)
                length += len(raw)
            size += length
            if frames and size > limit:
                break
            frames.append((run.tick - tick if frames else 0, run.count, commands))
            held = run.held
            tick = run.tick + run.count
            through = run.end
        return frames, through

    def _merge_oldest(self) -> bool:
        """Merge the two oldest runs that can be; False when there are none."""
        runs = self._runs
        for index in range(len(runs) - 1):
            one, two = runs[index], runs[index + 1]
            if (
                one.count
                and two.count
                and not two.actions
                and one.tick + one.count == two.tick
                and one.count + two.count <= 0xFFFF
                and one.held.keys() == two.held.keys()
            ):
                one.held = two.held
                one.count += two.count
                del runs[index + 1]
                return True
        return False


class Inbox:
    """One player's commands on the server, from the decode gate to their tick.

    Args:
        tick_rate: Ticks of the simulation in a second.
        gate: What frames come in by.

    Attributes:
        applied: Commands that were handed to a tick.
        expired: Actions that were dropped because too many waited.
        superseded: Held commands whose tick went by and that a newer one had replaced by then.
        rejected: Commands that could not be used: for ticks too far ahead, more than the rules
            allow, for entities that are gone or not the player's own. They are counted here
            besides where they are counted above.
    """

    __slots__ = (
        "_act_at",
        "_actions",
        "_count",
        "_due",
        "_frames",
        "_gate",
        "_held",
        "_held_at",
        "_horizon",
        "_last",
        "_number",
        "_raw",
        "_repeat",
        "_same_from",
        "_same_until",
        "_spent_at",
        "_states",
        "_tokens",
        "_waiting",
        "applied",
        "expired",
        "rejected",
        "superseded",
    )

    def __init__(self, tick_rate: float, gate: Gate[list[Frame]]) -> None:
        horizon = max(8, round(HORIZON_SECONDS * tick_rate))
        ring: list[tuple[Given, ...] | None] = [None] * (1 << horizon.bit_length())
        # The hot ones first: compiled, attributes lie in memory as they are listed here.

        # The frames that came last, as they came. Mostly the next ones are the same.
        self._raw: msgspec.Raw | None = None
        # If they are one frame of states: what it covers and which; else 0.
        self._count = 0
        self._states: tuple[Given, ...] = _NONE
        self._number = 0  # of the next frame
        self._last = -1  # newest tick that came
        self._horizon = horizon
        self._due = 0  # the tick after the last one that was taken
        # From which tick to before which these states are held without being in the ring.
        self._same_from = self._same_until = -1
        self._act_at = _NEVER  # the tick of the first action that waits
        self.applied = 0
        self._held: tuple[Given, ...] = _NONE
        self._repeat = max(1, round(REPEAT_SECONDS * tick_rate))
        self._held_at = -self._repeat

        # What else is held in the ticks to come: a ring, by the low bits of the tick.
        self._waiting = ring
        self._actions: deque[tuple[int, Given]] = deque()
        self.superseded = 0
        self.expired = 0
        self.rejected = 0
        self._tokens = 2 * ACTIONS_A_TICK
        self._spent_at = 0
        self._gate = gate
        self._frames: Sequence[Frame] = ()  # those of _raw

    def receive(self, number: int, tick: int, raw: msgspec.Raw, next_tick: int) -> int:
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
                end == self._number + 1
                and end < _U31
                and self._last < newest
                and next_tick <= newest < next_tick + self._horizon
            ):
                self._number = end
                self._last = newest
                if newest != self._same_until:
                    self._spread()
                    self._wait(newest, self._states)
                    self._same_from = newest + 1
                self._same_until = newest + 1
                return newest
        # Below half their range both are what they look like, and that is nearly always so.
        if (number | self._number) > _U31:
            number = widen(number, 32, self._number)
        if (tick | next_tick) > _U31:
            tick = widen(tick, 32, next_tick)
        fresh = -1
        held = _NONE
        for frame in self._frames:
            tick += frame.gap
            count = frame.count
            actions: list[Given] | None = None
            commands = frame.commands
            if commands:
                held, actions = self._change(held, commands)
            skip = self._number - number
            number += count or 1
            if skip >= (count or 1):
                tick += count
                continue
            self._number = number
            if skip < 0:
                skip = 0
            if actions is not None and skip == 0:
                self._act(tick if count else tick - 1, actions, next_tick)
            if count:
                first = tick + skip
                tick += count
                if fresh < 0:
                    fresh = first
                self._extend(first, tick, held, next_tick)
        return fresh

    def take(self, tick: int) -> tuple[Given, ...]:
        """The commands for a tick: held ones first, then actions in the order they were made.

        To be called once for each tick, ascending.
        """
        if tick > self._due:
            self._skip(tick)
        self._due = tick + 1
        held: tuple[Given, ...] | None
        if self._same_from <= tick < self._same_until:
            self._same_from = tick + 1
            held = self._states
        else:
            waiting = self._waiting
            held = waiting[tick & len(waiting) - 1]
            waiting[tick & len(waiting) - 1] = None
        if held is not None:
            self._held = held
            self._held_at = tick
            self.applied += len(held)
        elif tick - self._held_at > self._repeat:
            held = self._held = _NONE
        else:
            held = self._held
        if tick < self._act_at:
            return held
        actions = self._actions
        taken = list(held)
        tokens = min(2 * ACTIONS_A_TICK, self._tokens + ACTIONS_A_TICK * (tick - self._spent_at))
        while tokens and actions and actions[0][0] <= tick:
            taken.append(actions.popleft()[1])
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
            self._count = frames[0].count
            self._states, _ = self._change(_NONE, frames[0].commands)

    def _change(
        self, held: tuple[Given, ...], commands: Sequence[Entry]
    ) -> tuple[tuple[Given, ...], list[Given]]:
        """Held commands after a frame, and the frame's actions."""
        actions: list[Given] = []
        if not held and len(commands) == 1:
            only = commands[0]
            if only.hold and only.value is not None:  # as it is mostly
                return (Given(only.kind, only.target, only.value),), actions
        state = {(given.kind, given.target): given for given in held}
        for entry in commands:
            if not entry.hold:
                actions.append(Given(entry.kind, entry.target, entry.value))
            elif entry.value is None:
                state.pop((entry.kind, entry.target), None)
            else:
                given = Given(entry.kind, entry.target, entry.value)
                state[(given.kind, given.target)] = given
        if len(state) > HELD_STATES:
            self.rejected += len(state) - HELD_STATES
            return tuple(state.values())[-HELD_STATES:], actions
        return tuple(state.values()), actions

    def _act(self, tick: int, actions: list[Given], next_tick: int) -> None:
        if len(actions) > ACTIONS_A_TICK:
            self.rejected += len(actions) - ACTIONS_A_TICK
            del actions[ACTIONS_A_TICK:]
        waiting = self._actions
        limit = next_tick + self._horizon
        if tick > limit:
            self.rejected += len(actions)
            tick = limit
        if waiting and tick < waiting[-1][0]:
            tick = waiting[-1][0]  # in order, always
        for given in actions:
            waiting.append((tick, given))
        while len(waiting) > WAITING:
            waiting.popleft()
            self.expired += 1
        if waiting:
            self._act_at = waiting[0][0]

    def _extend(self, first: int, end: int, held: tuple[Given, ...], next_tick: int) -> None:
        """Keep held commands for the ticks from ``first`` to before ``end``."""
        size = len(held)
        if first <= self._last:
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
            self._wait(next_tick, held)
            first += late
            self._last = first - 1
        limit = next_tick + self._horizon
        if end > limit:
            beyond = (end - max(first, limit)) * size
            self.superseded += beyond
            self.rejected += beyond
            end = limit
        for tick in range(first, end):
            self._wait(tick, held)
            self._last = tick

    def _spread(self) -> None:
        """Put what goes on being held into the ring, like all else."""
        for tick in range(self._same_from, self._same_until):
            self._wait(tick, self._states)
        self._same_from = self._same_until = -1

    def _wait(self, tick: int, held: tuple[Given, ...]) -> None:
        """Keep held commands for a tick, instead of late ones that would have done."""
        waiting = self._waiting
        before = waiting[tick & len(waiting) - 1]
        if before is not None:
            self.superseded += len(before)
        waiting[tick & len(waiting) - 1] = held

    def _skip(self, tick: int) -> None:
        """Go on to a tick without taking those before: what waits for them is late."""
        self._spread()
        waiting = self._waiting
        late: tuple[Given, ...] | None = None
        for missed in range(max(self._due, tick - len(waiting)), tick):
            held = waiting[missed & len(waiting) - 1]
            if held is not None:
                waiting[missed & len(waiting) - 1] = None
                if late is not None:
                    self.superseded += len(late)
                late = held
        if late is not None:
            if waiting[tick & len(waiting) - 1] is None:
                self._wait(tick, late)
            else:
                self.superseded += len(late)
        self._due = tick
