"""The demo's parent: starts the processes, lets them play, brings them to rest and compares."""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import math
import os
import queue
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from ecsnet.analytics_options import FOLDER, MONGO_VARIABLE
from ecsnet.cli.games import find_game
from ecsnet.demo.control import (
    Ask,
    Child,
    Closed,
    Gone,
    Inbox,
    Joined,
    Order,
    Picture,
    Pictured,
    PlayerFilm,
    PlayerReport,
    Ready,
    Recall,
    Said,
    Served,
    ServerFilm,
    ServerReport,
    Settings,
    Still,
    Stop,
    Wrong,
)
from ecsnet.demo.feel import Feel, Reel, feel_of, write_films
from ecsnet.demo.report import Outcome, compare, outcome, unequal
from ecsnet.errors import UsageError

__all__ = ["DemoError", "Options", "run"]

NAMES = ("Ann", "Bob", "Cleo", "Dan", "Eve", "Finn", "Gus", "Hal")

START_SECONDS = 30.0
"""The longest time for processes to start, and for players to get into the game."""

DRAIN_SECONDS = 10.0
"""The longest time for the last commands to get through."""

STILL_SECONDS = 5.0
"""The longest time for which the world holds still until it is compared."""

END_SECONDS = 3.0
"""The longest time for a process to end by itself."""

FLUSH_SECONDS = 8.0
"""The longest time for the server to end, which may write to a disk and a database first."""

_ASK_EVERY = 0.1
_SAMPLES = "ecsnet.samples."

T = TypeVar("T", bound=Said)


class DemoError(Exception):
    """A process of the demo ended or did not do as it was told."""


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a demo.

    Attributes:
        sample: The game: a sample's name, or what else `find_game` finds.
        clients: How many players.
        seconds: How long to play; None until somebody closes a window.
        windows: Whether players have windows, in which the game's own program runs.
        lag: Seconds that each datagram takes, in each direction.
        jitter: Seconds by which that varies.
        loss: Share of datagrams that get lost, 0 to 1.
        screenshot: Where to save a picture of all windows, drawn where there are none.
        film: Where to save what each player drew from frame to frame, beside what the server had.
        analytics: Folder of the server's journal; none is written when left out.
        mongo: URI of the database that it is shipped to.
    """

    sample: str = "pong"
    clients: int = 2
    seconds: float | None = 10.0
    windows: bool = False
    lag: float = 0.0
    jitter: float = 0.0
    loss: float = 0.0
    screenshot: Path | None = None
    film: Path | None = None
    analytics: Path | None = None
    mongo: str | None = field(default=None, repr=False)


def run(options: Options, tell: Callable[[str], object] = lambda _: None) -> Outcome:
    """Run a demo from start to end.

    Args:
        options: What to run.
        tell: Called with what is going on, a short line at a time.

    Raises:
        UsageError: There is no such game, or it has nothing to show, or pygame is missing.
        DemoError: A process failed; it said why on stderr.
    """
    _check(options)
    demo = _Demo(options, tell)
    try:
        played = demo.run()
    finally:
        demo.end()
    return replace(played, ticks=demo.ticks_served(played.ticks))


def has_window(sample: str) -> bool:
    """Return whether a game opens windows: one that is no sample is assumed to.

    Raises:
        UsageError: There is no such game.
    """
    game = find_game(sample)
    module = importlib.util.find_spec(game.code) if game.code.startswith(_SAMPLES) else None
    places = module.submodule_search_locations if module is not None else None
    if places is None:
        return True
    files = [file for place in places for file in Path(place).glob("*.py")]
    return any("pygame" in file.read_text(encoding="utf-8") for file in files)


def _check(options: Options) -> None:
    try:
        options.sample.encode()
    except UnicodeEncodeError:
        raise UsageError(
            f"{options.sample!a} is no text here, and cannot be handed to the other processes: set"
            " LC_ALL=C.UTF-8, or rename it"
        ) from None
    for file in (options.screenshot, options.film):
        if file is not None and not file.absolute().parent.is_dir():
            raise UsageError(f"there is no folder for {file}: make it")
    visible = has_window(options.sample)
    if not (options.windows or options.screenshot):
        return
    if not visible:
        raise UsageError(f"{options.sample} has nothing to show: neither windows nor a picture")
    if importlib.util.find_spec("pygame") is None:
        raise UsageError("windows and pictures need pygame-ce: pip install 'ecsnet[pygame]'")


class _Demo:
    def __init__(self, options: Options, tell: Callable[[str], object]) -> None:
        self._options = options
        self._tell = tell
        self._inbox: Inbox = queue.SimpleQueue()
        self._server: Child | None = None
        self._players: list[Child] = []
        self._said: dict[tuple[Child, type], Said] = {}  # not asked for yet
        self._closed = False  # a window

    def run(self) -> Outcome:
        options = self._options
        self._start()
        begun = time.monotonic()
        self._play(begun)
        seconds = time.monotonic() - begun
        feel = self._feel()
        if options.screenshot is not None:
            self._picture(options.screenshot)
        self._tell("waiting for the last commands to get through")
        self._order(self._players, Stop())
        self._drain()
        self._tell("holding still to compare all worlds")
        return self._settle(seconds, feel)

    def end(self) -> None:
        """End all processes, players first."""
        for child in (*self._players, self._server):
            if child is not None:
                child.end(FLUSH_SECONDS if child is self._server else END_SECONDS)

    def ticks_served(self, known: int) -> int:
        """Return the number of ticks that the server ran; ``known`` where it did not say."""
        with contextlib.suppress(queue.Empty):
            while True:
                child, message = self._inbox.get(timeout=END_SECONDS)
                if isinstance(message, Served):
                    return message.ticks
                if child is self._server and message is None:
                    break
        return known

    def _start(self) -> None:
        options = self._options
        self._tell("starting the server")
        keeps = options.analytics or (FOLDER if options.mongo else None)
        folder = None if keeps is None else os.path.abspath(keeps)
        extra = {} if options.mongo is None else {MONGO_VARIABLE: options.mongo}
        settings = Settings(options.sample, analytics=folder)
        self._server = server = Child(settings, self._inbox, extra)
        port = self._expect([server], Ready, START_SECONDS)[server].port
        self._tell(f"the server listens on 127.0.0.1:{port}, starting {options.clients} clients")
        hidden = {} if options.windows else {"SDL_VIDEODRIVER": "dummy", "SDL_AUDIODRIVER": "dummy"}
        for number in range(options.clients):
            settings = Settings(
                options.sample,
                name=NAMES[number] if number < len(NAMES) else f"Player {number + 1}",
                port=port,
                lag=options.lag,
                jitter=options.jitter,
                loss=options.loss,
                number=number,
                program=options.windows or options.screenshot is not None,
            )
            self._players.append(Child(settings, self._inbox, hidden))
        self._expect(self._players, Joined, START_SECONDS)

    def _play(self, begun: float) -> None:
        limit = self._options.seconds
        for second in _seconds(limit):
            if limit is None:
                self._tell("playing until a window is closed")
                due = begun + second + 1
            else:
                self._tell(f"playing, {second} of {limit:g} s")
                due = begun + min(second + 1, limit)
            while not self._closed and (left := due - time.monotonic()) > 0:
                self._hear(left)
            if self._closed:
                return

    def _feel(self) -> Feel:
        """Lay what the players drew beside what the server had."""
        server = self._server
        assert server is not None
        self._order([*self._players, server], Recall())
        filmed = self._expect(self._players, PlayerFilm, START_SECONDS)
        reels = {
            child.name: Reel(film.frames, frozenset(film.own)) for child, film in filmed.items()
        }
        film = self._expect([server], ServerFilm, START_SECONDS)[server]
        path = self._options.film
        if path is not None:
            try:
                write_films(os.fspath(path), film.ticks, film.rate, reels)
            except OSError as error:
                raise DemoError(f"cannot save {path}: {error}") from error
        return feel_of(film.ticks, [*reels.values()], film.rate)

    def _picture(self, path: Path) -> None:
        os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # stdout is for the outcome
        from ecsnet.demo.screen import side_by_side

        with tempfile.TemporaryDirectory() as folder:
            files = [os.path.join(folder, f"{n}.png") for n in range(len(self._players))]
            for child, file in zip(self._players, files, strict=True):
                child.tell(Picture(file))
            said = self._expect(self._players, Pictured, START_SECONDS)
            titles = [said[child].title for child in self._players]
            try:
                side_by_side(list(zip(titles, files, strict=True)), os.fspath(path))
            except Exception as error:  # pygame's are plain RuntimeErrors, OSErrors and its own
                raise DemoError(f"cannot save {path}: {error}") from error

    def _drain(self) -> None:
        """Wait until the server has dealt with all that was sent."""
        give_up = time.monotonic() + DRAIN_SECONDS
        while time.monotonic() < give_up:
            server, players = self._reports()
            sent = sum(player.sent - player.expired for player in players)
            if server.applied + server.expired + server.superseded == sent:
                return
            self._rest(_ASK_EVERY)

    def _settle(self, seconds: float, feel: Feel) -> Outcome:
        """Hold the world still, wait until everybody has everything, and compare.

        What was under way by then may still arrive, and must not undo anything: the last look
        comes after that.
        """
        options = self._options
        assert self._server is not None
        self._server.tell(Still())
        begun = time.monotonic()
        echo = 0.3 + 2 * (options.lag + options.jitter)
        settled: float | None = None
        while True:
            server, players = self._reports()
            now = time.monotonic() - begun
            worlds = {player.name: player.world for player in players}
            seen = {player.name: player.events_seen for player in players}
            confirmed_tick = server.still_at and all(
                each.confirmed_tick >= server.still_at for each in players
            )
            equal = compare(server.worlds, worlds)[1] + unequal(server.events_due, seen) == 0
            if settled is None and confirmed_tick and equal:
                settled = now
            if now >= STILL_SECONDS or (settled is not None and now >= settled + echo):
                taken = now if settled is None else settled
                return outcome(options.sample, seconds, taken, server, players, feel)
            self._rest(_ASK_EVERY)

    def _reports(self) -> tuple[ServerReport, list[PlayerReport]]:
        server = self._server
        assert server is not None
        self._order([*self._players, server], Ask())
        players = self._expect(self._players, PlayerReport, START_SECONDS)
        mine = self._expect([server], ServerReport, START_SECONDS)
        return mine[server], [players[child] for child in self._players]

    # Messages.

    def _order(self, children: Iterable[Child], order: Order) -> None:
        for child in children:
            child.tell(order)

    def _expect(self, children: Iterable[Child], kind: type[T], seconds: float) -> dict[Child, T]:
        """Wait for a message of one kind from each child."""
        give_up = time.monotonic() + seconds
        found: dict[Child, T] = {}
        for child in children:
            while (message := self._said.pop((child, kind), None)) is None:
                left = give_up - time.monotonic()
                if left <= 0:
                    raise DemoError(f"{child} did not answer within {seconds:g} s")
                self._hear(left)
            assert isinstance(message, kind)
            found[child] = message
        return found

    def _rest(self, seconds: float) -> None:
        due = time.monotonic() + seconds
        while (left := due - time.monotonic()) > 0:
            self._hear(left)

    def _hear(self, seconds: float) -> None:
        """Take in one message, if one comes within so many seconds."""
        try:
            child, message = self._inbox.get(timeout=seconds)
        except queue.Empty:
            return
        if isinstance(message, Wrong):
            raise UsageError(message.text)
        if message is None:
            status = child.end(END_SECONDS)
            raise DemoError(f"{child} ended with status {status}")
        if isinstance(message, Gone):
            raise DemoError(f"{child} is out of the game: {message.reason}")
        if isinstance(message, Closed):
            self._closed = True
        self._said[child, type(message)] = message


def _seconds(limit: float | None) -> Iterable[int]:
    return itertools.count() if limit is None else range(math.ceil(limit))
