"""The kinds of fields, as data: to read values where the game's classes are not there."""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = ["PLAIN", "Kind"]


class Kind(msgspec.Struct, array_like=True, frozen=True):
    """The meaning of a value that was encoded as it stands, without its class.

    Attributes:
        form: ``"plain"`` speaks for itself. An ``"enum"`` member is encoded by its value, a
            ``"struct"`` as an array of its fields.
        names: Of an enum's members, or of a struct's fields.
        values: Of an enum's members.
        parts: What is inside: of a struct for each field, of a tuple for each item, one for the
            items of a list, key and value of a dict.
    """

    form: Literal["plain", "enum", "struct", "list", "tuple", "dict"] = "plain"
    names: tuple[str, ...] = ()
    values: tuple[int | str, ...] = ()
    parts: tuple[Kind, ...] = ()


PLAIN = Kind()
