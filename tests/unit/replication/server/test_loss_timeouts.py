"""How long a client that is in sync is believed to have what is on its way."""

from __future__ import annotations

from tests.unit.replication.server.test_replicator import TICK, Field, Place, Tank


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


def test_a_loss_is_found_as_soon_as_the_path_allows_by_then() -> None:
    """The path got better since a client had an update made for it alone, of which there may be
    none for hours.
    """
    field = Field()
    try:
        place, tank = Place(), Tank()
        client = field.join(place, tank)
        client.server.session.path.acked(1.0, 1)
        field.replicator._send(client.client_state, client.client_state.group, field.now)  # type: ignore[arg-type]
        assert client.client_state.loss_timeout_ticks > 60

        def play() -> None:
            place.x += 1  # something new in each tick, the same for all
            field.step()

        for _ in range(400):
            play()
        tank.hp = 3
        client.lose = lambda packet: True
        play()
        client.lose = lambda packet: False
        ticks = 0
        while client.of(client.player)[Tank].hp != 3:  # type: ignore[index, attr-defined]
            ticks += 1
            assert ticks <= 10
            play()
        assert client.resyncs == 0
    finally:
        field.close()
