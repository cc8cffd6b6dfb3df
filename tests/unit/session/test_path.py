from __future__ import annotations

import pytest

from ecsnet.session.path import PathEstimate


def test_before_the_first_sample_it_is_patient() -> None:
    path = PathEstimate(0.05)
    assert not path.measured
    assert (path.rtt, path.jitter) == (0.1, 0.05)
    assert path.loss_timeout == pytest.approx(0.55)
    assert path.loss == 0.0


def test_round_trip_and_jitter_settle_on_the_path() -> None:
    path = PathEstimate(0.02)
    for step in range(200):
        path.ponged(0.2 + (0.02 if step % 2 else -0.02))
    assert path.measured
    assert path.rtt == pytest.approx(0.2, abs=0.01)
    assert path.jitter == pytest.approx(0.02, abs=0.005)
    # Rule: the round trip, four jitters and the peer's ack interval.
    assert path.loss_timeout == pytest.approx(path.rtt + 4 * path.jitter + 0.02)


def test_samples_are_smoothed_as_rfc_6298_says() -> None:
    path = PathEstimate(0.0)
    path.ponged(0.2)
    assert (path.rtt, path.jitter) == (0.2, 0.1)
    path.ponged(0.4)
    assert path.jitter == pytest.approx(0.1 + (0.2 - 0.1) / 4)
    assert path.rtt == pytest.approx(0.2 + 0.2 / 8)
    path.acked(0.2, 1)
    assert (path.ack_lag, path.ack_deviation) == (0.2, 0.1)
    path.acked(0.1, 1)
    assert path.ack_deviation == pytest.approx(0.1 + (0.1 - 0.1) / 4)
    assert path.ack_lag == pytest.approx(0.2 - 0.1 / 8)
    path.acked(0.5875, 1)
    assert path.ack_deviation == pytest.approx(0.1 + (0.4 - 0.1) / 4)
    assert path.loss_timeout == pytest.approx(path.ack_lag + 4 * path.ack_deviation)


def test_until_there_is_a_pong_acks_alone_say_how_long_to_wait() -> None:
    path = PathEstimate(0.02)
    path.acked(0.1, 1)
    assert not path.measured
    assert path.loss_timeout == pytest.approx(0.1 + 4 * 0.05 + 0.02)


def test_a_peer_that_acks_seldom_is_waited_for() -> None:
    path = PathEstimate(0.02)
    for _ in range(50):
        path.ponged(0.01)
        path.acked(0.5, 1)
    assert path.loss_timeout >= 0.5


def test_patience_has_bounds() -> None:
    path = PathEstimate(0.0)
    for _ in range(300):
        path.ponged(0.0001)
    assert path.loss_timeout == 0.05
    for _ in range(300):
        path.ponged(60.0)
        path.acked(60.0, 1)
    assert path.rtt <= 2.0
    assert path.loss_timeout == 2.0


def test_loss_is_the_recent_share_and_a_late_arrival_takes_it_back() -> None:
    path = PathEstimate(0.05)
    path.count(75, 0)
    path.count(0, 25)
    assert path.loss == pytest.approx(0.25)
    path.count(1, -1)
    assert path.loss == pytest.approx(0.24)
    for _ in range(5000):
        path.acked(0.1, 1)
    assert path.loss < 0.001
    path.count(0, -100)
    assert path.loss == 0.0


def test_a_loss_that_goes_on_is_the_same_share_of_however_many_packets() -> None:
    path = PathEstimate(0.05)
    for _ in range(2000):
        path.acked(0.1, 3)
        path.count(0, 1)
        assert path.loss == pytest.approx(0.25, abs=0.01)
    for _ in range(2000):
        path.count(1, 1)
    assert path.loss == pytest.approx(0.5, abs=0.005)


def test_beyond_256_packets_half_of_what_was_counted_is_forgotten() -> None:
    path = PathEstimate(0.05)
    path.count(200, 56)  # 256 are not beyond
    path.count(0, 50)
    assert path.loss == pytest.approx(106 / 306)
    path.count(0, 47)  # to 100 and 53
    assert path.loss == pytest.approx(100 / 200)


def test_what_acks_say_is_forgotten_likewise() -> None:
    path = PathEstimate(0.05)
    path.count(0, 100)
    path.acked(0.1, 157)
    assert path.loss == pytest.approx(100 / 257)
    path.count(0, 50)  # to 78.5 and 50
    assert path.loss == pytest.approx(100 / 178.5)
