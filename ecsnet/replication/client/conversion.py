"""Conversion of wire values to components and events; code of the game's types runs in here."""

from __future__ import annotations

import logging
from collections.abc import Callable

from ecsnet.schema import WireType

__all__ = ["Conversion"]

logger = logging.getLogger("ecsnet.client")


class Conversion:
    """The conversion of wire values to components and events of a view.

    Args:
        reference: Returns the entity behind a network id; None when it is not in sight.

    Attributes:
        broken: Values that the code of a type of the game's refused.
    """

    def __init__(self, reference: Callable[[int | None], int | None]) -> None:
        self.broken = 0
        self._reference = reference
        self._told: set[type] = set()  # types of which it was said that code of theirs raised

    def value(self, kind: WireType, wire: object) -> object | None:
        """Convert a wire value to one that shares nothing mutable with it; None when the code of a
        type of the game's refuses it.
        """
        try:
            value = kind.from_wire(wire, self._reference)
            return value if kind.flat else kind.clone(value)
        except Exception as error:
            self.broken += 1
            if kind.cls not in self._told:
                self._told.add(kind.cls)
                logger.warning(
                    "a %s from the server is not shown, because the game's own code raised; said"
                    " once for all of them:",
                    kind.name,
                    exc_info=error,
                )
            return None
