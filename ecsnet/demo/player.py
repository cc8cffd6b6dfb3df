"""A player's process in the demo: a client, and a bot or the game's own program."""

from __future__ import annotations

import queue
import sys
import time
from array import array
from collections.abc import Callable
from copy import copy
from types import TracebackType
from typing import cast

from ecsnet.cli.games import Bot, Figures, Game, bot_of, figures_of, program_of, server_of
from ecsnet.client.world import ClientWorld
from ecsnet.demo.control import (
    Ask,
    Bye,
    Closed,
    Gone,
    Joined,
    Order,
    Picture,
    Pictured,
    PlayerFilm,
    PlayerReport,
    Recall,
    Settings,
    Stop,
    Wrong,
    listen,
    say,
)
from ecsnet.demo.digest import shown_to
from ecsnet.demo.feel import FRAME, Film, Frame, places_in
from ecsnet.demo.figures import spread
from ecsnet.errors import UsageError
from ecsnet.notifications import Connected, Disconnected, Refused
from ecsnet.play import join_instead
from ecsnet.schema import command_type
from ecsnet.simulation.spec import Game as Shared
from ecsnet.transport.conditioner import Link

__all__ = ["play"]


def play(settings: Settings, game: Game) -> Callable[[], object]:
    """Make ready to play a game; what is returned plays until it is told to end.

    Raises:
        UsageError: The game cannot be played.
    """
    orders: queue.SimpleQueue[Order] = queue.SimpleQueue()
    make = _program if settings.program else _bot
    program = make(settings, game, orders)
    listen(orders.put)
    return program


def _bot(settings: Settings, game: Game, orders: queue.SimpleQueue[Order]) -> Callable[[], object]:
    """Return a function that plays without the game's own program: its bot, where it has one."""
    server, module = server_of(game)
    bot, figures = bot_of(module), figures_of(module)

    def program() -> None:
        player = Player.connect("127.0.0.1", settings.port, name=settings.name, game=server)
        player.begin(settings, game, orders, bot, figures)
        player.keep_polling()

    return program


def _program(
    settings: Settings, game: Game, orders: queue.SimpleQueue[Order]
) -> Callable[[], object]:
    """Return a function that runs the game's own program, whose `ecsnet.play` joins the demo."""
    from ecsnet.demo.screen import make_room

    made: list[Player] = []

    def connect(host: str, port: int, **options: object) -> Player:
        try:
            main = sys.modules["__main__"]
            bot, figures = bot_of(main), figures_of(main)
        except UsageError as error:
            say(Wrong(str(error)))
            sys.exit(2)
        player = Player.connect(
            host,
            port,
            name=settings.name,
            debug=options["debug"] is True,
            game=cast(Shared, options["game"]),
            smooth=options["smooth"] is True,
        )
        player.begin(settings, game, orders, bot, figures)
        made.append(player)
        return player

    join_instead(f"127.0.0.1:{settings.port}", connect)
    make_room(settings.number)
    run = program_of(game)
    sys.argv = [game.name]

    def program() -> None:
        run()
        if not made:
            say(Wrong(f"{game.name} ended and never called net.play(): nobody plays it"))
            sys.exit(2)
        made[-1].close()  # for a program that leaves that to us

    return program


class Player(ClientWorld):
    """A client that does what the demo's parent says, whoever calls its `poll` once a frame."""

    def begin(
        self,
        settings: Settings,
        game: Game,
        orders: queue.SimpleQueue[Order],
        bot: Bot | None,
        figures: Figures | None,
    ) -> None:
        """Take part in the demo.

        Args:
            settings: Of this process.
            game: The game.
            orders: What the parent says.
            bot: Who plays until somebody presses a key; nobody when None.
            figures: What tells figures of the game's own.
        """
        self._settings = settings
        self._game = game
        self._orders = orders
        self._bot = bot
        self._figures = figures
        self._stopped = False
        self._over = False
        self._in_poll = self._leaves = False
        self._polls = array("d")
        self._film: Film[Frame] = Film()
        self._own: set[int] = set()
        self._held: dict[object, object] = {}  # what the player holds down, by type and entity
        self._held_before = self._held
        self.link = self._network = Link(
            settings.lag, settings.jitter, settings.loss, seed=settings.number
        )

    def keep_polling(self) -> None:
        """Stand in for a game's loop, until the parent says goodbye."""
        due = time.perf_counter()
        while True:
            self.poll()
            due += FRAME
            wait = due - time.perf_counter()
            if wait > 0:
                time.sleep(wait)
            else:
                due -= wait  # a frame that came late is not made up for

    def poll(self) -> list[object]:
        """Do what was ordered, let the bot play, and poll.

        Raises:
            SystemExit: The demo is over.
        """
        while not self._orders.empty():
            self._obey(self._orders.get())
        if self._bot is not None and not self._stopped and not self.closed:
            bot, self._bot = self._bot, None  # one that polls, or closes us, is not called again
            if not _key_is_down():  # else somebody wants to play
                bot(self)
                self._bot = bot
        before, self._in_poll = time.perf_counter(), True
        try:
            events = super().poll()
        finally:
            self._in_poll = False
        self._polls.append(time.perf_counter() - before)
        if self.connected and not self._stopped:
            self._film.add(self._picture(before))
        for event in events:
            if isinstance(event, Connected):
                say(Joined())
            elif isinstance(event, Refused):
                say(Gone(event.message))
            elif isinstance(event, Disconnected):
                say(Gone(event.reason))
        if self._leaves:
            self.close()
        return events

    def send(self, command: object, entity: int | None = None) -> None:
        """Send a command, unless the parent waits for the last ones to get through."""
        if not self._stopped:
            super().send(command, entity)
            if command_type(type(command), "send()").hold:
                self._held[type(command), entity] = copy(command)

    def close(self) -> None:
        """Leave once the worlds were compared, which is when the parent says so.

        Raises:
            SystemExit: The demo is over.
        """
        self._leaves = self._in_poll
        if self._leaves:
            return  # what is attached closes us: when this poll is done
        if not self._over and not self.closed:
            self._over = True
            say(Closed())
            self.keep_polling()
        super().close()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # A game that fails ends at once, and with it the demo.
        self._over = self._over or not (kind is None or issubclass(kind, SystemExit))
        super().__exit__(kind, error, traceback)

    def _obey(self, order: Order) -> None:
        if isinstance(order, Stop):
            self._stopped = True
            self._sender.outbox.release_all()
        elif isinstance(order, Ask):
            say(self._report())
        elif isinstance(order, Recall):
            say(PlayerFilm(sorted(self._own), self._film.cut()))
        elif isinstance(order, Picture):
            say(self._pictured(order.path))
        elif isinstance(order, Bye):
            self._over = True
            self.close()
            raise SystemExit

    def _pictured(self, path: str) -> Pictured | Wrong:
        from ecsnet.demo.screen import save_window

        try:
            caption = save_window(path)
        except UsageError as error:
            return Wrong(f"{self._game.name} {error}")
        name, rest = self._settings.name, caption or f"{self._game.title} · {self.stats}"
        return Pictured(rest if name in rest else f"{name} · {rest}")

    def _picture(self, began: float) -> Frame:
        """Return what is drawn in this frame."""
        pressed = self._held != self._held_before
        self._held_before = self._held.copy()
        net_of = self._view.remote.get
        self._own.update(net for net in map(net_of, self.mine()) if net is not None)
        shown = self.stats.tick if self.shown is None else self.shown
        places = places_in(self.view, self._schema.components, net_of)
        return Frame(began, shown, shown if self.ahead is None else self.ahead, pressed, places)

    def _report(self) -> PlayerReport:
        stats, outbox, store = self.stats, self._sender.outbox, self._protocol.drawn
        with self.view:
            figures = {} if self._figures is None else dict(self._figures(self))
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
            datagrams_dropped=self._network.stats.dropped,
            bytes_sent=stats.bytes_sent,
            confirmed_tick=stats.confirmed_tick,
            events_seen=0 if store is None else store.events.given_reliable,
            figures=figures,
            world=shown_to(self),
        )


def _key_is_down() -> bool:
    """Return whether a key is held down in this process's window."""
    pygame = sys.modules.get("pygame")
    if pygame is None or not hasattr(pygame, "display"):  # or a game that has this name
        return False
    return pygame.display.get_init() and True in pygame.key.get_pressed()
