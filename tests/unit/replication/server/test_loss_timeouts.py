"""How long a client that is in sync is believed to have what is on its way."""

from __future__ import annotations

from tests.unit.replication.server.test_replicator import TICK, Field, Tank


def test_it_is_counted_in_ticks_however_seldom_updates_are() -> None:
    field = Field()
    try:
        client = field.join(Tank()).client_state
        ticks = client.loss_timeout_ticks
        assert ticks == 1 + int(client.peer.loss_timeout / TICK)
        for stride in (3, 3, 3):  # ticks from one update to the next
            field.tick += stride - 1
            field.step()
            field.replicator._send(client, client.group, field.now)
            assert client.loss_timeout_ticks == 1 + int(client.peer.loss_timeout / TICK * stride)
    finally:
        field.close()
