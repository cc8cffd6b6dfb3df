"""A player's process in the demo: a client, and a bot or somebody at a window."""

from __future__ import annotations

import queue
import time
from array import array

from ecsnet.client import ClientWorld
from ecsnet.demo.control import (
    Ask,
    Bye,
    Closed,
    Gone,
    Joined,
    Order,
    Picture,
    Pictured,
    PlayerReport,
    Settings,
    Stop,
    listen,
    say,
)
from ecsnet.demo.digest import shown_to
from ecsnet.demo.figures import spread
from ecsnet.demo.samples import load
from ecsnet.events import Connected, Disconnected, Refused
from ecsnet.transport.link import Link

__all__ = ["play"]

FRAME = 1 / 60


def play(settings: Settings) -> None:
    """Play a sample until told to end."""
    orders: queue.SimpleQueue[Order] = queue.SimpleQueue()
    player = _Player(settings)
    listen(orders.put)
    due = time.perf_counter()
    while not player.done:
        while not orders.empty():
            player.obey(orders.get())
        player.frame()
        due += FRAME
        wait = due - time.perf_counter()
        if wait > 0:
            time.sleep(wait)
        else:
            due -= wait  # a frame that came late is not made up for


class _Player:
    def __init__(self, settings: Settings) -> None:
        self.done = False
        self._settings = settings
        self._bot = load(settings.sample).play
        self._stopped = False
        self._polls = array("d")
        self._link = Link(settings.lag, settings.jitter, settings.loss, seed=settings.number)
        self._client = ClientWorld.connect(
            "127.0.0.1", settings.port, name=settings.name, link=self._link
        )
        self._screen = None
        if settings.window:
            from ecsnet.demo.screen import Screen

            self._screen = Screen(settings.sample, settings.number)

    @property
    def _title(self) -> str:
        return f"{self._settings.sample.title()} · {self._settings.name} · {self._client.stats}"

    def obey(self, order: Order) -> None:
        if isinstance(order, Stop):
            self._stopped = True
            self._client._outbox.release_all()
        elif isinstance(order, Ask):
            say(self._report())
        elif isinstance(order, Picture):
            from ecsnet.demo.screen import save_picture

            save_picture(self._settings.sample, self._client, order.path)
            say(Pictured(self._title))
        elif isinstance(order, Bye):
            self._client.close()
            self.done = True

    def frame(self) -> None:
        client, screen = self._client, self._screen
        if not self._stopped:
            if screen is not None and screen.touched:
                screen.steer(client)
            else:
                self._bot(client)
        before = time.perf_counter()
        events = client.poll()
        self._polls.append(time.perf_counter() - before)
        for event in events:
            if isinstance(event, Connected):
                say(Joined())
            elif isinstance(event, Refused):
                say(Gone(event.message))
            elif isinstance(event, Disconnected):
                say(Gone(event.reason))
        if screen is not None and not screen.show(client, self._title):
            screen.close()
            self._screen = None
            say(Closed())

    def _report(self) -> PlayerReport:
        stats, outbox = self._client.stats, self._client._outbox
        return PlayerReport(
            name=self._settings.name,
            sent=outbox.sent,
            expired=outbox.expired,
            polls=len(self._polls),
            poll_ms=spread(self._polls),
            rtt_ms=round(stats.rtt * 1000, 2),
            jitter_ms=round(stats.jitter * 1000, 2),
            loss=round(stats.loss, 4),
            datagrams_sent=stats.datagrams_sent,
            datagrams_dropped=self._link.stats.dropped,
            bytes_sent=stats.bytes_sent,
            solid=stats.solid,
            world=shown_to(self._client),
        )
