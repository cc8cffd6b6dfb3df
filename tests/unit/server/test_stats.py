from __future__ import annotations

from collections import Counter
from dataclasses import fields

from ecsnet.server.stats import HostStats, RoomStats


def test_a_host_counts_what_all_its_rooms_did() -> None:
    names = [each.name for each in fields(RoomStats) if each.name != "ignored"]
    stats = HostStats()
    for factor in (1, 100):
        room = RoomStats(**{name: factor * (n + 1) for n, name in enumerate(names)})
        room.ignored = Counter(kick=factor)
        stats.add_room(room)
    assert {name: getattr(stats, name) for name in names} == {
        name: 101 * (n + 1) for n, name in enumerate(names)
    }
    assert stats.ignored == {"kick": 101}
