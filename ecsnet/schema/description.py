"""A frozen view of what crosses the wire, and how it differs from another game's."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import Annotated, TypeVar

import msgspec

from ecsnet.errors import UsageError
from ecsnet.schema.gate import Gate, encode
from ecsnet.schema.wiretype import KINDS, CommandType, ComponentType, EventType, WireType

__all__ = ["DESCRIPTION_LIMIT", "Schema"]

W = TypeVar("W", bound=WireType)

DESCRIPTION_LIMIT = 512 * 1024
"""Bytes of an encoded description: the most that is sent, and that is read of a server's."""

_DIFFERENCE_LIMIT = 400

_Text = Annotated[str, msgspec.Meta(max_length=4096)]


class _Described(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True):
    """One type: its kind, wire name, options and fields, as the other end is told."""

    kind: _Text
    name: _Text
    options: tuple[tuple[_Text, _Text], ...]
    fields: tuple[tuple[_Text, _Text], ...]


class Schema:
    """The types of a game that cross the wire; it never changes.

    Args:
        types: The declared types, of all kinds. Those that do not cross the wire are left out.

    Attributes:
        components: As ``types`` has them; the index is the component's number (cid) on the wire.
        commands: The same for commands.
        events: The same for events.
        cid_of: The number of a component's class.
        command_id_of: The number of a command's class.
        event_id_of: The number of an event's class.
        fingerprint: 16 bytes; the same for games that declare the same, in whatever order.
    """

    __slots__ = (
        "_encoded",
        "_types",
        "cid_of",
        "command_id_of",
        "commands",
        "components",
        "event_id_of",
        "events",
        "fingerprint",
    )

    def __init__(self, types: Iterable[WireType]) -> None:
        self._types: list[WireType] = sorted(
            (t for t in types if t.crosses), key=lambda t: (KINDS.index(type(t)), t.name)
        )
        self.components: tuple[ComponentType, ...] = self.types(ComponentType)
        self.commands: tuple[CommandType, ...] = self.types(CommandType)
        self.events: tuple[EventType, ...] = self.types(EventType)
        self.cid_of: dict[type, int] = self.numbers(ComponentType)
        self.command_id_of: dict[type, int] = self.numbers(CommandType)
        self.event_id_of: dict[type, int] = self.numbers(EventType)
        self._encoded = encode(self.description())
        if len(self._encoded) > DESCRIPTION_LIMIT:
            raise UsageError(
                f"this game's description takes {len(self._encoded)} bytes, and a client reads"
                f" {DESCRIPTION_LIMIT}: declare fewer classes"
            )
        self.fingerprint: bytes = blake2b(self._encoded, digest_size=16).digest()

    def types(self, kind: type[W]) -> tuple[W, ...]:
        """Return the types of a kind by wire name; the index is the type's number on the wire."""
        return tuple(t for t in self._types if isinstance(t, kind))

    def numbers(self, kind: type[WireType]) -> dict[type, int]:
        """Return the number on the wire of each class of a kind."""
        return {t.cls: number for number, t in enumerate(self.types(kind))}

    def description(self) -> list[object]:
        """Return the part of the schema that two ends have to agree on.

        Returns:
            ``(kind, name, ((option, text), ...), ((field, text), ...))`` as a msgpack-able
            array for each type: kind after kind, each by wire name.
        """
        return [msgspec.to_builtins(entry) for entry in self._described()]

    def encode_description(self) -> bytes:
        """Return the description as bytes for the other end, at most ``DESCRIPTION_LIMIT``."""
        return self._encoded

    def first_difference(self, server_description: bytes) -> str:
        """Say where this game and a server's part.

        Args:
            server_description: What the server's ``encode_description`` gave. Not trusted.

        Returns:
            One line of at most 400 printable characters that names the first type, and the
            first field or option of it, that differ; empty when none does.
        """
        gate: Gate[list[_Described]] = Gate(list[_Described], DESCRIPTION_LIMIT)
        server = gate.decode(server_description)
        if server is None:
            return "the server describes its game in a way that this version cannot read"
        found = _first_difference(server, self._described())
        if not found:
            return ""
        line = f"this game differs from the server's: {found}"[:_DIFFERENCE_LIMIT]
        return "".join(character if character.isprintable() else "?" for character in line)

    def _described(self) -> list[_Described]:
        return [
            _Described(
                t.kind,
                t.name,
                t.options(),
                tuple((field.name, field.text) for field in t.fields),
            )
            for t in self._types
        ]


def _first_difference(server: Iterable[_Described], own: Iterable[_Described]) -> str:
    servers = {(entry.kind, entry.name): entry for entry in server}
    mine = {(entry.kind, entry.name): entry for entry in own}
    # Kind after kind: what a component and a command both hold shows in the component first.
    # A server may have kinds that this version does not know.
    ranks = {kind.kind: rank for rank, kind in enumerate(KINDS)}
    for kind, name in sorted(
        servers.keys() | mine.keys(), key=lambda key: (ranks.get(key[0], len(KINDS)), key)
    ):
        theirs, ours = servers.get((kind, name)), mine.get((kind, name))
        if ours is None:
            return f"server has the {kind} {name}, you do not"
        if theirs is None:
            return f"you have the {kind} {name}, the server does not"
        if theirs != ours:
            return _difference(theirs, ours)
    return ""


def _difference(theirs: _Described, ours: _Described) -> str:
    """Describe the difference of two types of one kind and name: a field rather than an option."""
    name = ours.name
    server_fields, own_fields = dict(theirs.fields), dict(ours.fields)
    for field, text in theirs.fields:
        if field not in own_fields:
            return f"server has {name}.{field}: {text}, you have no such field"
        if own_fields[field] != text:
            return f"server has {name}.{field}: {text}, you have {own_fields[field]}"
    for field, text in ours.fields:
        if field not in server_fields:
            return f"you have {name}.{field}: {text}, the server has no such field"
    if theirs.fields != ours.fields:
        order = ", ".join(server_fields)
        return f"server has the fields of {name} in another order: {order}"
    own_options = dict(ours.options)
    for option, text in theirs.options:
        if own_options.get(option) != text:
            return f"server has {name} with {option}={text}, you have {own_options.get(option)}"
    return f"server has {name} with other options"
