"""Spoiling bytes: what the fuzzer sends is made here, from dice and from what honest ends sent."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import msgspec

Tree: TypeAlias = Any  # whatever msgpack can say

# Bytes that mean something to a msgpack decoder: headers that claim lengths, nil, ext, floats.
_TELLING = bytes.fromhex(
    "00 7f 80 8f 90 91 9f a0 bf c0 c1 c2 c3 c4 c5 c6 c7 c9 ca cb cc cf d0 d3 d4 d8 d9 db dc dd de"
    "df e0 ff"
)
_NUMBERS: tuple[Tree, ...] = (
    0,
    1,
    -1,
    127,
    255,
    256,
    65535,
    65536,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**32,
    2**53,
    2**53 + 1,
    2**63 - 1,
    2**64 - 1,
    -(2**31),
    -(2**53) - 1,
    -(2**63),
    0.5,
    -0.0,
    1e308,
    5e-324,
    math.nan,
    math.inf,
    -math.inf,
)


def encode(tree: Tree) -> bytes:
    return msgspec.msgpack.encode(tree)


def decode(data: bytes) -> Tree:
    """Read msgpack without any types; raises on what is none."""
    return msgspec.msgpack.decode(data, strict=False)


def garbage(dice: random.Random) -> bytes:
    """A datagram of noise; often with a first byte or a length that gets further than noise."""
    length = dice.choice((0, 1, 4, 5, 6, 64, 64, dice.randrange(128), dice.randrange(1600)))
    data = dice.randbytes(length)
    if data and dice.random() < 0.6:
        data = bytes((dice.randrange(9),)) + data[1:]
    return data


def truncated(dice: random.Random, data: bytes) -> bytes:
    """A real beginning, or a real end."""
    cut = dice.randrange(len(data))
    return data[:cut] if dice.random() < 0.8 else data[cut + 1 :]


def mutated(dice: random.Random, data: bytes, others: Sequence[bytes] = ()) -> bytes:
    """The bytes with one to four changes; never the same bytes."""
    spoiled = data
    while spoiled == data:
        for _ in range(dice.choice((1, 1, 1, 2, 4))):
            spoiled = _change(dice, spoiled, others)
    return spoiled


def _change(dice: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    what = dice.randrange(8)
    at = dice.randrange(len(data)) if data else 0
    if what <= 1 and data:
        return data[:at] + bytes((data[at] ^ 1 << dice.randrange(8),)) + data[at + 1 :]
    if what == 2 and data:
        return data[:at] + bytes((dice.choice(_TELLING),)) + data[at + 1 :]
    if what == 3:
        return data[:at] + dice.randbytes(dice.randint(1, 8)) + data[at:]
    if what == 4 and data:
        return data[:at] + data[at + dice.randint(1, 8) :]
    if what == 5 and data:
        end = at + dice.randint(1, 32)
        return data[:at] + data[at:end] * dice.randint(2, 4) + data[end:]
    if what == 6 and others:
        other = dice.choice(others)
        return data[:at] + other[dice.randrange(len(other) + 1) :]
    return data + dice.randbytes(dice.randint(1, 4))


def junk(dice: random.Random, depth: int = 0) -> Tree:
    """Something that probably has no business where it is put."""
    makers: tuple[Callable[[], Tree], ...] = (
        lambda: dice.choice(_NUMBERS),
        lambda: dice.choice(_NUMBERS),
        lambda: dice.randrange(-(2**63), 2**64),
        lambda: dice.choice((None, True, False)),
        lambda: dice.choice(("", "x", "ünï\N{SNOWMAN}", "a" * 300, "\0", "\u202e", "\n%s{}")),
        lambda: dice.randbytes(dice.choice((0, 1, 8, 300))),
        lambda: [junk(dice, depth + 1) for _ in range(dice.choice((0, 1, 2, 9)))],
        lambda: {dice.choice((0, "k", "__class__", -1)): junk(dice, depth + 1)},
        lambda: msgspec.Raw(nest(dice)),
        lambda: msgspec.Raw(dice.choice(_BROKEN)),
        lambda: msgspec.msgpack.Ext(dice.randrange(-128, 128), dice.randbytes(3)),
        lambda: [0] * dice.choice((17, 300)),
    )
    return dice.choice(makers[:6] if depth > 2 else makers)()


# Strings that are no UTF-8, containers that claim to be huge, a reserved byte.
_BROKEN = (
    b"\xa2\xff\xfe",
    b"\xd9\x04\xed\xa0\x80\x80",
    b"\xdd\xff\xff\xff\xff",
    b"\xdf\xff\xff\xff\xff",
    b"\xc6\xff\xff\xff\xff",
    b"\xdb\xff\xff\xff\xff",
    b"\xc1",
    b"\xc9\xff\xff\xff\xff\x00",
)


def nest(dice: random.Random) -> bytes:
    """Arrays in arrays, or maps in maps, as deep as a datagram lets them be."""
    depth = dice.choice((3, 40, 400, 1000))
    header = dice.choice((b"\x91", b"\x81\x00", b"\x92\xc0"))
    return header * (depth // len(header)) + b"\xc0"


def respin(dice: random.Random, tree: Tree, changes: int) -> Tree:
    """A tree of arrays with some of its nodes replaced, dropped, doubled or swapped."""
    for _ in range(changes):
        tree = _respun(dice, tree)
    return tree


def _respun(dice: random.Random, node: Tree) -> Tree:
    if not isinstance(node, list) or not node or dice.random() < 0.08:
        if isinstance(node, int) and not isinstance(node, bool) and dice.random() < 0.5:
            return node + dice.choice((-1, 1, 2, -2, 1000, 2**32))
        return junk(dice)
    at = dice.randrange(len(node))
    what = dice.random()
    new = list(node)
    if what < 0.72:
        new[at] = _respun(dice, node[at])
    elif what < 0.78:
        del new[at]
    elif what < 0.84:
        new.insert(at, junk(dice))
    elif what < 0.90:
        new.insert(at, node[at])
    elif what < 0.95:
        other = dice.randrange(len(node))
        new[at], new[other] = new[other], new[at]
    else:
        new = new * dice.choice((2, 20))
    return new


def safely_encoded(tree: Tree) -> bytes:
    """Encoded; what msgpack cannot say (an int beyond 64 bits) becomes nil."""
    try:
        return encode(tree)
    except (OverflowError, msgspec.MsgspecError, RecursionError):
        return b"\xc0"
