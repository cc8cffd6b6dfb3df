from __future__ import annotations

from itertools import pairwise

from ecsnet.replication.server.network_ids import ENDS, NetworkIds


def drawn(key: bytes, count: int) -> list[int]:
    ids = NetworkIds(key)
    return [ids.draw() for _ in range(count)]


def test_each_block_is_used_up_before_the_next_begins() -> None:
    first, second = ENDS
    ids = drawn(b"key", 3 * second - 1)
    assert sorted(ids) == list(range(1, 3 * second))
    assert set(ids[: first - 1]) == set(range(1, first))
    assert set(ids[: second - 1]) == set(range(1, second))
    assert set(ids[: 2 * second - 1]) == set(range(1, 2 * second))
    assert max(ids[second : second + first]) > 2 * second - first  # as long as the second


def test_only_the_key_tells_the_order() -> None:
    assert drawn(b"key", 100) == drawn(b"key", 100) != drawn(b"other", 100)


def test_what_was_drawn_tells_nothing_of_what_comes() -> None:
    """A draw that were the same each time would go through the block in steps."""
    ids = drawn(b"key", 2000)
    steps = {later - earlier for earlier, later in pairwise(ids)}
    assert len(steps) > 1500
    dice = NetworkIds(b"key")
    assert len({dice._dice() for _ in range(2000)}) == 2000


def test_small_ids_come_first() -> None:
    ids = drawn(b"key", 65_535)
    assert sorted(ids[:4095]) == [*range(1, 4096)]
    assert max(ids[4095:8000]) > 1 << 15
    assert sorted(ids) == [*range(1, 65_536)]
