"""The data that a client sends along when it asks to join: an instance of a command class.

It crosses before anybody is in a game, so it belongs to no tick and to no entity, and references to
entities in it mean nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, TypeAlias

import msgspec

from ecsnet.errors import BadMessageError, UsageError
from ecsnet.schema import CommandType, Gate, Schema, encode

__all__ = ["JOIN_DATA_BYTES", "JoinData", "JoinDataGate", "encode_join_data"]

JOIN_DATA_BYTES: Final = 2048
"""The most bytes that it takes, encoded."""

JoinData: TypeAlias = tuple[Annotated[int, msgspec.Meta(ge=0, le=0xFFFF)], msgspec.Raw]
"""The index of the command type in the schema, and the wire value, for the gate of that type."""


def encode_join_data(schema: Schema, kind: CommandType, value: object) -> JoinData:
    """Return what crosses the wire for an instance of a command class, which has to fit it.

    Raises:
        UsageError: It is too large.
    """
    data = encode(kind.to_wire(value, _nobody))
    if len(data) > JOIN_DATA_BYTES:
        raise UsageError(
            f"data of {len(data)} bytes encoded: at most {JOIN_DATA_BYTES} fit into the request to"
            " join"
        )
    return schema.command_id_of[kind.cls], msgspec.Raw(data)


class JoinDataGate:
    """The decode gates of all command types, for what clients send along when they join. Calls are
    for components of entities, so they are none of these.

    Args:
        commands: The command types, by their index in the schema.
    """

    def __init__(self, commands: Sequence[CommandType]) -> None:
        self._commands = commands
        self._gates: list[Gate[object]] = [
            Gate(kind.wire_type, JOIN_DATA_BYTES) for kind in commands
        ]

    def decode(self, data: JoinData) -> object:
        """Return the instance that a client sent.

        Raises:
            BadMessageError: No honest client sends this.
        """
        number, raw = data
        if number >= len(self._commands) or self._commands[number].call is not None:
            raise BadMessageError(f"there is no command {number}")
        kind = self._commands[number]
        wire = self._gates[number].decode(bytes(raw))
        if wire is None:
            raise BadMessageError(f"that is no {kind.name}")
        try:
            return kind.from_wire(wire, _nobody)
        except Exception as error:  # of the code of a type of the game's
            raise BadMessageError(f"that is no {kind.name}: {error}") from error


def _nobody(_: int | None) -> int | None:
    return None
