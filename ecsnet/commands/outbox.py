"""A client's end of commands: what its player does, until the server has it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

import msgspec

from ecsnet.commands.frames import ACTIONS_A_TICK, FURTHEST_BEHIND, HELD_STATES, SIXTEENTHS
from ecsnet.errors import UsageError
from ecsnet.schema import encode

__all__ = [
    "BACKLOG",
    "COMMAND_BYTES",
    "HELD_BYTES",
    "QUIET_TICKS",
    "UNACKED_FRAMES",
    "BegunTick",
    "CommandPayload",
    "Outbox",
]

COMMAND_BYTES: Final = 320
"""The largest encoded action; the actions that go out with one tick are bounded by it too."""

HELD_BYTES: Final = 256
"""The most bytes that all states held at a time may take, encoded."""

BACKLOG: Final = 64
"""The most actions that a client keeps while no tick begins; beyond it the oldest expire."""

QUIET_TICKS: Final = 128
"""Ticks without a command after which a client stops telling the server of its ticks."""

UNACKED_FRAMES: Final = 512
"""With so many frames unacked a client holds its breath: no new ticks until some are acked."""

_U32: Final = 0xFFFF_FFFF
_FRAME_HEAD: Final = 9  # the most that gap, count and the three array headers take
_BEHIND_BYTES: Final = 3  # the most that it takes to say what was drawn
_SAME_VIEW: Final = 2  # sixteenths of a tick by which ticks of one run may differ in what was drawn


class _Run:
    """Unacked ticks with the same held commands, and the actions of the first of them."""

    __slots__ = ("actions", "behind", "count", "held", "number", "tick")

    def __init__(
        self,
        number: int,
        tick: int,
        count: int,
        held: dict[tuple[int, int], msgspec.Raw],
        actions: list[msgspec.Raw],
        behind: int,
    ) -> None:
        self.number = number
        self.tick = tick  # of a run of no ticks: the tick after the one it belongs to
        self.count = count
        self.held = held
        self.actions = actions
        self.behind = behind  # see `Frame`; each tick of a run is as far from what was drawn

    @property
    def end(self) -> int:
        """Number of the frame after this one."""
        return self.number + (self.count or 1)


class BegunTick:
    """The commands of a tick that has begun.

    Attributes:
        tick: The tick.
        held: The encoded states that are held, by type and target; the same object as long as they
            stay the same.
        actions: The encoded actions.
    """

    __slots__ = ("actions", "held", "tick")

    def __init__(
        self, tick: int, held: dict[tuple[int, int], msgspec.Raw], actions: list[msgspec.Raw]
    ) -> None:
        self.tick = tick
        self.held = held
        self.actions = actions


class CommandPayload:
    """The commands for one packet.

    Attributes:
        number: Number of the first frame, low 32 bits.
        tick: Its first tick, low 32 bits.
        frames: Encodable frames.
        through: Number after the last frame: what to hand to `Outbox.acked`.
    """

    __slots__ = ("frames", "number", "through", "tick")

    def __init__(
        self, number: int, tick: int, frames: Sequence[tuple[object, ...]], through: int
    ) -> None:
        self.number = number
        self.tick = tick
        self.frames = frames
        self.through = through


class Outbox:
    """A client's commands until the server has them.

    Attributes:
        sent: Commands handed over so far; see `ecsnet.commands` for what counts as one.
        expired: Actions that were dropped here while no tick began. They count as sent too.
        drawn: The tick at which others are drawn now, in sixteenths; None where that is not to be
            said. Whoever draws sets it.
        ahead: Whether the client runs ahead with its commands: then actions wait for the next tick,
            as the running one has been through already, and `take_begun` tells of each tick.
    """

    def __init__(self) -> None:
        self.sent = 0
        self.expired = 0
        self.drawn: int | None = None
        self.ahead = False
        self._held: dict[tuple[int, int], msgspec.Raw] = {}
        self._held_bytes = 0
        self._dirty = True  # _held is not what the last run has, or there was none
        # With what was drawn when they were done.
        self._actions: deque[tuple[msgspec.Raw, int | None]] = deque()
        self._acted = 0  # actions since the last tick began
        self._runs: deque[_Run] = deque()
        self._number = 0
        self._news = -1  # the newest frame with more in it than what was held before
        self._tick = 0  # the tick after the last one that was stamped; 0 before the first
        # Ticks that have begun, with what is held and done in each, where somebody runs ahead.
        self._begun: list[BegunTick] = []
        self._quiet = 0  # ticks since there was a command; at first the clock wants its reports

    @property
    def held(self) -> list[tuple[int, int]]:
        """The held commands: index of the type in the schema, and network id of the target."""
        return list(self._held)

    @property
    def pending(self) -> bool:
        """True if any command is not acked yet."""
        return bool(self._runs)

    @property
    def urgent(self) -> bool:
        """True if an action, or a change of what is held, is not acked yet: the server cannot know
        of it, while of a tick without either it knows that what was held before still is.
        """
        return bool(self._runs) and self._news >= self._runs[0].number

    @property
    def waiting(self) -> int:
        """Number of actions that wait for a tick."""
        return len(self._actions)

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
                "happens once; for the state of a key or stick use @net.command(hold=True), and "
                "where they are actions, send the rest in a later frame"
            )
        data = encode((type_id, target, value))
        if len(data) > COMMAND_BYTES:
            raise UsageError(f"a command of {len(data)} bytes encoded: at most {COMMAND_BYTES} fit")
        self._acted += 1
        self._actions.append((msgspec.Raw(data), self.drawn))
        if len(self._actions) > BACKLOG:
            self._actions.popleft()
            self.expire()

    def expire(self) -> None:
        """Count an action that there is no room for."""
        self.sent += 1
        self.expired += 1

    def change_room(self) -> None:
        """Begin anew in another room, whose ticks are other ones.

        What was done in the room before and is not acked is forgotten, and counts no more. What is
        held goes on, and so do the numbers of frames: then a late ack says nothing of what comes.
        """
        self.sent = self.expired = 0
        self.drawn = None
        self._actions.clear()
        self._acted = 0
        self._runs.clear()
        self._begun.clear()
        self._tick = 0
        self._dirty = True

    def stamp(self, ticks: range) -> None:
        """Make frames for the client ticks that begin now, and for actions since the last call.

        Actions go with the first tick of ``ticks``; with no tick beginning, they go with the one
        that is running, unless the client runs ahead.

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
        if not ticks and self._actions and self._tick and not self.ahead:
            actions, drawn = self._take_actions()
            behind = _behind(self._tick - 1, drawn)
            self._append(_Run(self._number, self._tick, 0, self._held, actions, behind))

    def idle(self) -> None:
        """Say that no tick begins for now, so that the player may go on acting.

        To be called at each poll while the clock is paused: what the network does must not make
        `act` raise. Actions wait; beyond `BACKLOG` the oldest expire.
        """
        self._acted = 0

    def take_begun(self) -> list[BegunTick]:
        """Hand out the ticks that have begun since the last call, where the client runs ahead."""
        begun, self._begun = self._begun, []
        return begun

    def crowded(self, limit: int) -> bool:
        """Return whether one more frame might not fit into so many bytes with the unacked ones."""
        frame = _FRAME_HEAD + self._held_bytes
        size = sum(frame + _bytes_of(run) for run in self._runs)
        return size + frame + _BEHIND_BYTES * (self.drawn is not None) + COMMAND_BYTES > limit

    def pack(self, limit: int) -> CommandPayload | None:
        """Return the unacked frames for one packet, oldest first; None when there are none.

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
        return CommandPayload(first.number & _U32, first.tick & _U32, frames, through)

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
        actions, drawn = self._take_actions()
        if self.ahead:
            self._begun.append(BegunTick(tick, self._held, actions))
        behind = _behind(tick, drawn)
        runs = self._runs
        if (
            runs
            and not actions
            and not self._dirty
            and runs[-1].count
            and tick == self._tick
            and runs[-1].count < 0xFFFF
            and _same_view(runs[-1].behind, behind)
        ):
            runs[-1].count += 1
            self._number += 1
            self.sent += len(self._held)
            self._tick = tick + 1
            return
        if actions or self._dirty:
            self._news = self._number
        self._dirty = False
        self._append(_Run(self._number, tick, 1, self._held, actions, behind))
        self.sent += len(self._held)
        self._tick = tick + 1

    def _append(self, run: _Run) -> None:
        self._runs.append(run)
        self._number = run.end
        self.sent += len(run.actions)

    def _take_actions(self) -> tuple[list[msgspec.Raw], int | None]:
        """Take the actions for one tick, and what was drawn at the last of them; where there are
        none, what is drawn now.
        """
        waiting = self._actions
        taken: list[msgspec.Raw] = []
        drawn = self.drawn
        room = COMMAND_BYTES
        while waiting and len(taken) < ACTIONS_A_TICK and len(waiting[0][0]) <= room:
            raw, drawn = waiting.popleft()
            room -= len(raw)
            taken.append(raw)
        return taken, drawn

    def _frames(self, limit: int) -> tuple[list[tuple[object, ...]], int]:
        frames: list[tuple[object, ...]] = []
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
            if run.behind:
                length += _BEHIND_BYTES
            size += length
            if frames and size > limit:
                break
            gap = run.tick - tick if frames else 0
            if run.behind:
                frames.append((gap, run.count, commands, run.behind))
            else:
                frames.append((gap, run.count, commands))
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
                if not one.actions:
                    one.behind = two.behind
                one.count += two.count
                del runs[index + 1]
                return True
        return False


def _behind(tick: int, drawn: int | None) -> int:
    """Return how far before a tick that is which was drawn, as a frame says it."""
    if drawn is None:
        return 0
    return min(max(SIXTEENTHS * tick - drawn, 1), FURTHEST_BEHIND)


def _same_view(one: int, other: int) -> bool:
    """Return whether two ticks may be told of as one run, as far as what was drawn goes."""
    return one == other or (one > 0 and other > 0 and abs(one - other) <= _SAME_VIEW)


def _bytes_of(run: _Run) -> int:
    """Return the bytes of a run's own: of its actions, and of what was drawn."""
    return sum(map(len, run.actions)) + _BEHIND_BYTES * (run.behind > 0)
