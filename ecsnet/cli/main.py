"""The ``ecsnet`` command: write a game, serve it, join it, see it, or what happened in matches.

What the caller got wrong is one line on stderr and exit status 2.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shlex
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

import ecsnet
from ecsnet.analytics.command import add_parser, folder_of
from ecsnet.analytics_options import MONGO_VARIABLE, keeping
from ecsnet.cli.games import find_game, program_of, sample_names, server_of
from ecsnet.cli.scaffold import new_game
from ecsnet.client.world import _Past
from ecsnet.demo import DemoError, Options, has_window, run
from ecsnet.errors import EcsnetError, UsageError
from ecsnet.play import join_instead
from ecsnet.runtime.console import console_log
from ecsnet.session import session
from ecsnet.transport.address import (
    DEFAULT_PORT,
    Address,
    lan_host,
    parse_address,
    spell_address,
)

__all__ = ["main"]

logger = logging.getLogger("ecsnet.server")

FAILED = 1
"""Exit status when what was started failed."""

WRONG = 2
"""Exit status when the caller got something wrong."""


class _GameError(Exception):
    """The game raised its cause, which is no fault of what was typed, whatever its class."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: What was typed behind ``ecsnet``; of this process when left out.

    Returns:
        The exit status: 0, 1 when what was started failed, 2 when the caller got something wrong.
    """
    parser = _parser()
    given = parser.parse_args(arguments)
    # Only now, so that an option that there is not is named first.
    if given.verb is None:
        parser.error("give a COMMAND: new, serve, join, demo or analytics")
    command: Callable[[argparse.Namespace], int] = given.command
    try:
        return command(given)
    except EcsnetError as error:
        return _wrong(given.verb, str(error))
    except _GameError as failed:
        traceback.print_exception(failed.__cause__)
        return FAILED


# ecsnet serve


def _serve(given: argparse.Namespace) -> int:
    chosen: str | None = given.log_level
    with console_log(None if chosen is None else logging.getLevelNamesMapping()[chosen.upper()]):
        return _serve_logged(given)


def _serve_logged(given: argparse.Namespace) -> int:
    server, _ = server_of(find_game(given.game))
    if given.tick_rate is not None:
        server.tick_rate = given.tick_rate
    server.analytics = keeping(server.analytics, given.analytics, given.mongo)

    def ready(address: Address) -> None:
        own = lan_host(address)
        if own is not None:
            typed = spell_address(own, address[1], DEFAULT_PORT)
            logger.info("others on this network can join at %s (UDP)", typed)

    try:
        server._run(given.host, given.port, ready)
    except Exception as error:
        if not server._opened:  # the address, or where the journal goes
            raise
        raise _GameError from error
    return 0


# ecsnet join


def _join(given: argparse.Namespace) -> int:
    join_instead(given.address)
    game: str = given.game
    made, quits = _Past.made, False
    run_it = program_of(find_game(game))
    sys.argv = [game, *given.rest]
    try:
        run_it()
    except SystemExit as end:
        if end.code:
            raise
        quits = True
    except Exception as error:
        raise _GameError from error
    if _Past.made > made:
        return FAILED if _Past.refused else 0  # its log has said why
    if not quits:  # what quits, such as --help, knows what it does
        raise UsageError(f"{game} ended and never called net.play(): it joined nothing")
    return 0


# ecsnet demo


def _demo(given: argparse.Namespace) -> int:
    headless: bool = given.headless
    progress = _Progress()
    if not headless and not has_window(given.name):
        progress(f"{given.name} shows no windows: playing headless")
        headless = True
    if not headless and not _has_display():
        progress("there is no display: playing headless")
        headless = True
    seconds: float | None = given.seconds
    if seconds is None and headless:
        seconds = 10.0
    options = Options(
        sample=given.name,
        clients=given.clients,
        seconds=seconds,
        windows=not headless,
        lag=given.lag / 1000,
        jitter=given.jitter / 1000,
        loss=given.loss / 100,
        screenshot=given.screenshot,
        film=given.film,
        analytics=given.analytics,
        mongo=given.mongo,
    )
    try:
        outcome = run(options, progress)
    except DemoError as error:
        progress.end()
        _note(f"ecsnet demo: {error}")
        return FAILED
    finally:
        progress.end()
    if given.json:
        print(json.dumps(outcome.as_dict()))
    else:
        print(outcome.summary())
        if given.screenshot is not None:
            print(f"  {'picture':<10} {given.screenshot}")
        if given.film is not None:
            print(f"  {'film':<10} {given.film}")
    return 0 if outcome.good else FAILED


def _has_display() -> bool:
    if not sys.platform.startswith("linux"):
        return True
    names = ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER")
    return any(os.environ.get(name) for name in names)


class _Progress:
    """A progress report on stderr: on one line of a terminal, or now and then."""

    def __init__(self) -> None:
        self._terminal = sys.stderr is not None and sys.stderr.isatty()
        self._width = 0
        self._kind = ""
        self._at = float("-inf")

    def __call__(self, text: str) -> None:
        if self._terminal:
            sys.stderr.write(f"\r{text:<{self._width}}")
            sys.stderr.flush()
            self._width = len(text)
            return
        kind, now = text.partition(",")[0], time.monotonic()
        if kind != self._kind or now >= self._at + 5:
            self._kind, self._at = kind, now
            _note(text)

    def end(self) -> None:
        """Leave the line."""
        if self._width:
            sys.stderr.write(f"\r{'':<{self._width}}\r")
            sys.stderr.flush()
            self._width = 0


# ecsnet new


def _new(given: argparse.Namespace) -> int:
    path: Path = given.path
    new_game(path)
    print(
        f"{path} is a game: collect stars\n"
        f"  cd {shlex.quote(str(path))}\n"
        "  python game.py                      # twice: two play\n"
        "  ecsnet demo game.py --lag 100       # bots, on a bad network\n"
        "  pytest                              # its tests"
    )
    return 0


# What was typed.


class _Parser(argparse.ArgumentParser):
    """One line on stderr for what is wrong, rather than the usage and a line."""

    def error(self, message: str) -> NoReturn:
        self.exit(WRONG, f"{self.prog}: {message}; see {self.prog} --help\n")


def _version() -> str:
    interpreted = session.__file__.endswith(".py")
    return f"ecsnet {ecsnet.__version__}{'' if interpreted else ', compiled'}"


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="ecsnet", description="Real-time multiplayer for esper games.")
    parser.add_argument("--version", action="version", version=_version())
    verbs = parser.add_subparsers(dest="verb", metavar="COMMAND")

    serve = verbs.add_parser(
        "serve", help="run a game's server", description="Run a game's server."
    )
    serve.set_defaults(command=_serve)
    serve.add_argument(
        "game",
        metavar="GAME",
        help="FILE.py, or a folder; GAME:SERVER where it has several servers",
    )
    serve.add_argument("--host", default="0.0.0.0", help="address to listen on (%(default)s: all)")
    serve.add_argument("--port", type=_port, default=DEFAULT_PORT, help="UDP port (%(default)s)")
    serve.add_argument("--tick-rate", type=float, metavar="N", help="ticks a second")
    serve.add_argument(
        "--log-level",
        choices=("debug", "info", "warning", "error"),
        help="what the log says at least: debug follows each client (info)",
    )
    _add_analytics(serve)

    join = verbs.add_parser(
        "join",
        help="play in somebody's game",
        description="Run a game so that net.play() joins a server, whatever it was told.",
    )
    join.set_defaults(command=_join)
    join.add_argument("game", metavar="NAME|FILE.py", help=f"of {', '.join(sample_names())}")
    join.add_argument("address", metavar="HOST:PORT", type=_address, help="where the server is")
    rest = join.add_argument("rest", nargs=argparse.REMAINDER, metavar="...", help="for the game")
    rest.required = False  # else the parser asks for it where a HOST:PORT is missing

    demo = verbs.add_parser(
        "demo",
        help="watch a game: a server and its players, over real UDP",
        description="Run a game's server and players as processes of their own, over real UDP, "
        "and compare all worlds at the end. Its function bot(client), where it has one, plays "
        "until somebody presses a key.",
    )
    demo.set_defaults(command=_demo)
    add = demo.add_argument
    add(
        "name",
        metavar="GAME",
        nargs="?",
        default="pong",
        help=f"FILE.py, a folder, or one of {', '.join(sample_names())} (%(default)s)",
    )
    add("--headless", action="store_true", help="no windows: the bot plays, or nobody")
    add(
        "--seconds",
        type=_positive,
        metavar="S",
        help="how long (headless 10, else until a window is closed)",
    )
    add("--clients", type=_clients, default=2, metavar="N", help="players (%(default)s)")
    add("--json", action="store_true", help="print one JSON object")
    add("--lag", type=_from(0, 5000), default=0.0, metavar="MS", help="each direction's delay")
    add("--jitter", type=_from(0, 5000), default=0.0, metavar="MS", help="by which it varies")
    add("--loss", type=_from(0, 90), default=0.0, metavar="PCT", help="datagrams lost, in percent")
    _add_analytics(demo)
    add("--screenshot", type=Path, metavar="FILE", help="save a picture of all windows")
    add("--film", type=Path, metavar="FILE", help="save what was drawn in each frame, as JSON")

    new = verbs.add_parser(
        "new",
        help="write a game to start from",
        description="Write a game that runs at once and tests itself, into a folder of that name.",
    )
    new.set_defaults(command=_new)
    new.add_argument("path", metavar="NAME", type=Path, help="of the game; a path in front is fine")

    add_parser(verbs)
    return parser


def _add_analytics(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--analytics", type=folder_of, metavar="DIR", help="keep what happens in a journal there"
    )
    parser.add_argument(
        "--mongo",
        metavar="URI",
        help=f"keep it, and ship it to a MongoDB as well ({MONGO_VARIABLE}, where it is kept)",
    )


def _whole(text: str, least: int, most: int) -> int | None:
    """Parse a number of plain digits within these bounds; None for all else."""
    plain = text.isascii() and text.isdigit() and len(text) < 10
    return int(text) if plain and least <= int(text) <= most else None


def _port(text: str) -> int:
    port = _whole(text, 0, 65535)
    if port is None:
        raise argparse.ArgumentTypeError(f"{text!r:.60} is no port: a number to 65535, 0 for any")
    return port


def _address(text: str) -> str:
    try:
        parse_address(text, DEFAULT_PORT)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def _clients(text: str) -> int:
    clients = _whole(text, 1, 64)
    if clients is None:
        raise argparse.ArgumentTypeError(f"{text!r:.60}: from 1 to 64")
    return clients


def _from(least: float, most: float) -> Callable[[str], float]:
    def number(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text!r}: from {least:g} to {most:g}")
        return value

    return number


def _positive(text: str) -> float:
    return _from(0.1, 1e6)(text)


def _note(text: str) -> None:
    if sys.stderr is not None:  # closed: print() would take stdout instead
        print(text, file=sys.stderr)


def _wrong(verb: str, message: str) -> int:
    _note(f"ecsnet {verb}: {' '.join(message.split())}")
    return WRONG
