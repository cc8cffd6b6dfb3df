"""The marks inside ``Annotated[...]``, and the annotation for entity references."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, TypeAlias

from ecsnet.errors import DeclarationError
from ecsnet.validation.arguments import is_number
from ecsnet.validation.wording import brief

__all__ = ["Between", "EntityMark", "EntityRef", "MaxLen", "Quantized", "Suspect", "Turn"]


@dataclass(frozen=True, slots=True)
class Quantized:
    """A float that crosses the wire as a number of steps: ``Annotated[float, Quantized(1/16)]``.

    The other end holds the nearest multiple of ``step``; a change that stays within the same
    step is not sent.

    Args:
        step: The distance between two values, above 0.
    """

    step: float

    def __post_init__(self) -> None:
        if not (_is_number(self.step) and self.step > 0):
            raise DeclarationError(f"Quantized({brief(self.step)}): the step is a number above 0")


@dataclass(frozen=True, slots=True)
class Between:
    """Bounds of an int or a float, both included: ``Annotated[int, Between(-1, 1)]``.

    The decode gate rejects a value outside: a client's message is dropped, and the server does
    not send such a value. Constructors do not check it.

    Args:
        lo: The smallest value.
        hi: The largest value.
    """

    lo: float
    hi: float

    def __post_init__(self) -> None:
        if not (_is_number(self.lo) and _is_number(self.hi) and self.lo <= self.hi):
            raise DeclarationError(
                f"Between({brief(self.lo)}, {brief(self.hi)}): the smaller number first,"
                " then the larger"
            )


@dataclass(frozen=True, slots=True)
class MaxLen:
    """The most that a str, bytes, list, dict or ``tuple[T, ...]`` may hold.

    Args:
        n: Characters of a str, bytes of a bytes, else items; at least 1.
    """

    n: int

    def __post_init__(self) -> None:
        if type(self.n) is not int or self.n < 1:
            raise DeclarationError(f"MaxLen({brief(self.n)}): a whole number of at least 1")


@dataclass(frozen=True, slots=True)
class Turn:
    """A float that comes round again, such as an angle: ``Annotated[float, Turn(360)]``.

    Between two values it is drawn the shorter way round: from 350 to 10 by way of 0, where the
    component is ``interpolate=True``. On the wire it is any float.

    Args:
        period: The length of a full turn, above 0.
    """

    period: float

    def __post_init__(self) -> None:
        if not (_is_number(self.period) and self.period > 0):
            raise DeclarationError(f"Turn({brief(self.period)}): a full turn is a number above 0")


@dataclass(frozen=True, slots=True)
class Suspect:
    """A limit that a value never passes in honest play: ``Annotated[int, Suspect(max_rate=50)]``.

    With analytics on, the server looks at each change in each tick, and a value that goes beyond
    is an event of type ``suspect``. Nothing is refused or corrected. It goes with an int, a float
    and a tuple of them.

    Args:
        max_speed: The furthest that the value moves in a second, however short the move; of a
            tuple, as a point. `ecsnet.teleported` exempts a jump that the game makes.
        max_rate: The most that the value grows within any second; of a tuple, each item of it.
    """

    max_speed: float | None = None
    max_rate: float | None = None

    def __post_init__(self) -> None:
        given = [limit for limit in (self.max_speed, self.max_rate) if limit is not None]
        if not given or not all(_is_number(limit) and limit >= 0 for limit in given):
            raise DeclarationError(
                f"Suspect(max_speed={brief(self.max_speed)}, max_rate={brief(self.max_rate)}):"
                " one of them or both, as numbers from 0, in units a second"
            )


@dataclass(frozen=True, slots=True)
class EntityMark:
    """The mark that tells an ``EntityRef`` from any other ``int | None``."""


EntityRef: TypeAlias = Annotated[int | None, EntityMark()]
"""An esper entity, or None. Each end holds its own esper id; on the wire it is the network id.
On a client an entity that is out of sight reads as None until it comes into sight."""


def _is_number(value: object) -> bool:
    return is_number(value) and math.isfinite(value)
