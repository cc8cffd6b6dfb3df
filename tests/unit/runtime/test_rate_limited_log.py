"""Lines that peers cause are so many, and a count for the others."""

from __future__ import annotations

import logging
import re

import pytest

from ecsnet.runtime.rate_limited_log import BURST, LINES_A_SECOND, RationedLog
from ecsnet.session.goodbye import Reason
from tests.unit.server.test_host import HostNetwork

NAME = "ecsnet.test-rationing"


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, NAME)
    return caplog


def test_a_flood_of_one_kind_is_a_burst_and_a_count(lines: pytest.LogCaptureFixture) -> None:
    log = RationedLog(logging.getLogger(NAME))
    for number in range(1000):
        log.info(number / 1000, "visitor %d", number)
    log.warning(1.0, "visitor %d", 7)
    log.info(1.0, "another kind")
    shown = [r.getMessage() for r in lines.records]
    assert shown[:50] == [f"visitor {n}" for n in range(50)]
    assert shown[-2:] == ["visitor 7", "another kind"]
    told = [int(n) for n in re.findall(r"left out (\d+) lines more like: visitor %d", lines.text)]
    visitors = sum(message.startswith("visitor") for message in shown) - 1
    assert BURST <= visitors <= BURST + 1 + LINES_A_SECOND
    log.catch_up(2.0)
    told = [int(n) for n in re.findall(r"left out (\d+) lines more like: visitor %d", lines.text)]
    assert sum(told) + visitors == 1000


def test_what_is_not_shown_is_not_counted(lines: pytest.LogCaptureFixture) -> None:
    lines.set_level(logging.WARNING, NAME)
    log = RationedLog(logging.getLogger(NAME))
    for _ in range(1000):
        log.info(0.0, "visitor")
    log.catch_up(10.0)
    assert not lines.records


@pytest.mark.parametrize(
    ("options", "name", "line"),
    [
        ({}, "Ann", "joined"),
        ({}, "Ann", "is gone: kicked"),
        ({}, " Ann", "is refused for its name"),
        ({"version": 9}, "Ann", "speaks wire version"),
        ({"max_clients": 0}, "Ann", "is not let in: full"),
    ],
)
def test_a_thousand_visits_are_a_few_dozen_lines(
    caplog: pytest.LogCaptureFixture, options: dict[str, int], name: str, line: str
) -> None:
    places = options.pop("max_clients", 64)
    network = HostNetwork(max_clients=places)
    caplog.set_level(logging.INFO, "ecsnet.server")
    came = 0
    for number in range(400):
        address = (f"10.1.{number // 200}.{number % 200}", 4000)
        client = network.client(name, address=address, **options)
        network.run(0.06)
        member = network.host.member(address)
        if member is not None:
            came += 1
            network.host.disconnect(member, Reason.KICKED, network.now)
        client.deaf = True
        del network.links[address]
    network.run(2.0)
    shown = sum(line in r.getMessage() and "left out" not in r.getMessage() for r in caplog.records)
    left_out = sum(
        int(r.args[0])  # type: ignore[index, arg-type]
        for r in caplog.records
        if r.getMessage().startswith("left out") and line.partition(":")[0] in r.getMessage()
    )
    assert 50 <= shown < 250
    assert left_out > 100
    assert 380 <= shown + left_out <= 400


def test_a_handler_that_raises_ends_no_game(capsys: pytest.CaptureFixture[str]) -> None:
    class Broken(logging.Handler):
        raised = 0

        def emit(self, record: logging.LogRecord) -> None:
            self.raised += 1
            raise ConnectionError("no network")

    logger, handler = logging.getLogger("ecsnet.server"), Broken(logging.INFO)
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        network = HostNetwork()
        clients = [network.client(name) for name in ("Ann", "Bob")]
        network.until(lambda: all(client.welcome for client in clients))
        network.host.disconnect(clients[0].member, Reason.KICKED, network.now)
        network.run(1.0)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    assert [seat.name for seat in network.room.seats] == ["Bob"]
    assert handler.raised >= 3
    assert capsys.readouterr().err.count("ConnectionError: no network") == handler.raised
