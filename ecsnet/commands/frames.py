"""The payload of a datagram from a client: the commands of some ticks, as the wire has them.

What they mean is in `ecsnet.commands`.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Protocol, TypeAlias, Union

import msgspec

from ecsnet.limits import MAX_PACKET
from ecsnet.schema import CommandType, Gate, Schema

__all__ = [
    "ACTIONS_A_TICK",
    "FURTHEST_BEHIND",
    "HELD_STATES",
    "SIXTEENTHS",
    "Entry",
    "Frame",
    "Input",
    "frames_gate",
]

ACTIONS_A_TICK: Final = 8
"""More actions than this in one client tick raise at `send`."""

HELD_STATES: Final = 32
"""The most states that a client holds at a time: one per command type and target."""

SIXTEENTHS: Final = 16
"""The parts of a tick in which a client says what it drew."""

FURTHEST_BEHIND: Final = 0xFFFF
"""The most of them that a frame can say."""

_U16 = Annotated[int, msgspec.Meta(ge=0, le=0xFFFF)]
_U32 = Annotated[int, msgspec.Meta(ge=0, le=0xFFFF_FFFF)]

Input: TypeAlias = tuple[_U32, _U32, _U32, msgspec.Raw]
"""The payload of a datagram from a client:

- the epoch of the simulation that it is for, as the welcome named it;
- number of the first frame, low 32 bits;
- first tick of the first frame, low 32 bits; one that has no ticks belongs before it;
- the frames, for the gate that `frames_gate` makes.
"""


class Entry(Protocol):
    """One command as it arrived. Each command type has its own class of entries."""

    kind: ClassVar[CommandType]
    """The command type."""
    hold: ClassVar[bool]
    """True if it is a state rather than an action."""
    target: int
    """Network id of the entity it is for; 0 means the player's own."""
    value: object
    """The command as a wire value; None when a held one was let go."""


class Frame(Protocol):
    """The commands of some ticks; see the top of `ecsnet.commands`."""

    gap: int
    count: int
    commands: tuple[Entry, ...]
    behind: int
    """Sixteenths of a tick from the tick that was drawn when the player acted to the first tick of
    the frame; of a frame of no ticks, to the one before. 0: the client does not say."""


def frames_gate(schema: Schema) -> Gate[list[Frame]]:
    """Return the gate for the frames of an `Input`, made from the commands in a schema."""
    # Made at run time: type checkers know neither the types nor what is set on them.
    target = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
    entries: list[type] = []
    for number, command in enumerate(schema.commands):
        value = command.wire_type | None if command.hold else command.wire_type
        entry = msgspec.defstruct(
            f"Entry{number}",
            [("target", target), ("value", value)],
            array_like=True,
            tag=number,
            forbid_unknown_fields=True,
            gc=False,  # what was decoded refers to nothing but its own parts
        )
        entry.kind = command  # type: ignore[attr-defined]
        entry.hold = command.hold  # type: ignore[attr-defined]
        entries.append(entry)
    listed: object = tuple[None, ...]
    if entries:
        listed = tuple[Union[tuple(entries)], ...]  # type: ignore[misc]  # noqa: UP007
    most = HELD_STATES + ACTIONS_A_TICK if entries else 0
    frame = msgspec.defstruct(
        "Frame",
        [
            ("gap", _U32),
            ("count", _U16),
            ("commands", Annotated[listed, msgspec.Meta(max_length=most)]),
            ("behind", Annotated[int, msgspec.Meta(ge=0, le=FURTHEST_BEHIND)], 0),
        ],
        array_like=True,
        forbid_unknown_fields=True,
        gc=False,
    )
    return Gate(list[frame], MAX_PACKET)  # type: ignore[valid-type]
