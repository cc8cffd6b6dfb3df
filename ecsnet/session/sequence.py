"""Serial numbers: counters that are plain ints inside and a few bits on the wire."""

from __future__ import annotations

__all__ = ["unwrap"]


def unwrap(low: int, bits: int, near: int) -> int:
    """Return the counter that was cut to its low bits for the wire.

    Packet numbers, ticks and message numbers count up for ever as plain ints; the wire
    carries ``counter & ((1 << bits) - 1)``. The receiver knows roughly where the counter
    stands and gets the whole of it back.

    Args:
        low: The bits that came in, ``0 <= low < 1 << bits``.
        bits: How many they are.
        near: A counter that the true one is less than ``1 << (bits - 1)`` away from.

    Returns:
        The integer congruent to ``low`` that is nearest to ``near`` and not negative. Of
        two equally near ones, the smaller.
    """
    span = 1 << bits
    ahead = (low - near) & (span - 1)
    if ahead >= span >> 1:
        ahead -= span
    wide = near + ahead
    return wide if wide >= 0 else wide + span
