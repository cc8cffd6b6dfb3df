"""The search for a game by its name: a file, a folder, a module, or a sample.

`find_game` only looks for it. What runs the game's code is the rest: `program_of`, `server_of` and
`bot_of`.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import pkgutil
import runpy
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import cast

import ecsnet.samples
from ecsnet.client.world import ClientWorld
from ecsnet.errors import UsageError
from ecsnet.runtime.modules import attribute_of, load
from ecsnet.server.world import ServerWorld
from ecsnet.validation.arguments import check_call
from ecsnet.validation.wording import brief

__all__ = [
    "Bot",
    "Figures",
    "Game",
    "bot_of",
    "figures_of",
    "find_game",
    "no_server",
    "program_of",
    "sample_names",
    "server_of",
    "servers_in",
]

Bot = Callable[[ClientWorld], object]
"""A bot, which plays for a person: called with the client before each `ClientWorld.poll`."""

Figures = Callable[[ClientWorld], Mapping[str, float]]
"""Tells figures of a game's own, at the end of a demo: called with the client, its view current."""


@dataclass(frozen=True, slots=True)
class Game:
    """A game that was found.

    Attributes:
        name: What it is called in messages, as it was typed.
        code: The file, or the name of the module or package.
        folder: What has to be importable for that: absolute.
        attribute: What its server is called, where that was typed.
    """

    name: str
    code: str
    folder: str
    attribute: str | None = None

    @property
    def title(self) -> str:
        """The title of the game's windows."""
        return Path(self.name.rstrip("/\\")).stem.title()


def sample_names() -> list[str]:
    """Return the names of the samples."""
    return sorted(found.name for found in pkgutil.iter_modules(ecsnet.samples.__path__))


def find_game(text: str) -> Game:
    """Find what ``FILE.py``, ``FOLDER``, ``MODULE`` or ``SAMPLE`` names, ``:ATTR`` behind or not.

    A folder is a package that can be run: with a ``__main__.py``. Folders and modules are those of
    the current folder; what it has not may be a sample, or, with ``:ATTR``, an installed module.

    Raises:
        UsageError: There is no such game.
    """
    name, colon, attribute = text.rpartition(":")
    if not colon or text.endswith(".py") or os.path.exists(text):
        name, colon, attribute = text, "", ""
    if not name or (colon and not all(part.isidentifier() for part in attribute.split("."))):
        raise UsageError(f"{text!r} names no game: write FILE.py, or FILE.py:SERVER")
    wanted = attribute or None
    path = Path(name)
    if path.name == "__main__.py" and path.is_file():
        path = path.absolute().parent
    if path.suffix == ".py":
        if not path.is_file():
            raise UsageError(f"there is no file {name}")
        return Game(name, str(path), str(path.absolute().parent), wanted)
    if (path / "__main__.py").is_file():
        whole = path.resolve()
        return Game(name, whole.name, str(whole.parent), wanted)
    if colon or (path.name == name and Path(f"{name}.py").is_file()):
        return Game(name, name, os.getcwd(), wanted)
    if name in sample_names():
        return Game(name, f"ecsnet.samples.{name}", os.getcwd())
    if path.is_dir():
        raise UsageError(
            f"{name} is a folder without a __main__.py: name a file in it, such as"
            f" {path / 'game.py'}"
        )
    samples = ", ".join(sample_names())
    raise UsageError(f"there is no game {name!r}: give a FILE.py or one of {samples}")


def program_of(game: Game) -> Callable[[], object]:
    """Return a function that runs the game as ``python FILE.py`` or ``python -m FOLDER`` does.

    What it raises is the game's.
    """
    _importable(game.folder)
    if game.code.endswith(".py"):
        file = os.path.abspath(game.code)  # games look for their pictures beside __file__
        return lambda: runpy.run_path(file, run_name="__main__")
    module = game.code
    # A package's server may stand in a module of its own, and its program beside that.
    package = module.rpartition(".")[0]
    if package and importlib.util.find_spec(f"{package}.__main__") is not None:
        module = package
    return lambda: runpy.run_module(module, run_name="__main__", alter_sys=True)


def server_of(game: Game) -> tuple[ServerWorld, ModuleType]:
    """Import a game, not as the program, and find its server.

    Returns:
        The server, and the module that has it.

    Raises:
        UsageError: It cannot be imported, has no server, or several and none was named.
    """
    _importable(game.folder)
    seen: list[ModuleType] = []
    for module in _places(game):
        seen.append(module)
        if game.attribute is not None:
            named = attribute_of(module, game.attribute)
            if isinstance(named, ServerWorld):
                return named, module
            continue
        servers = servers_in(module)
        if len(servers) > 1:
            names = ", ".join(servers)
            raise UsageError(
                f"{game.name} has several servers, {names}: name one of them,"
                f" {game.name}:{next(iter(servers))}"
            )
        for server in servers.values():
            return server, module
    if game.attribute is None:
        raise UsageError(
            f"there is no server in {game.name}: give it one at its top level,"
            " server = net.ServerWorld()"
        )
    found = [attribute_of(module, game.attribute) for module in seen]
    raise no_server(
        f"{game.name}:{game.attribute}",
        next((value for value in found if value is not None), None),
        [name for module in seen for name in servers_in(module)],
    )


def _places(game: Game) -> Iterator[ModuleType]:
    """Yield the modules in which a game's server may stand, each imported when it is its turn."""
    module = load(game.code, game.folder)
    if not hasattr(module, "__path__"):
        yield module
        return
    for part in ("game", "", "__main__"):  # the program last: it may need a screen
        name = f"{game.code}.{part}".rstrip(".")
        if importlib.util.find_spec(name) is not None:
            yield load(name, game.folder)


def bot_of(module: ModuleType) -> Bot | None:
    """Return the bot that plays a game without a person; None where the game has none.

    That is ``bot(client)`` in its module, or ``play(client)`` in a module ``bot`` of its package.

    Raises:
        UsageError: It does not take a client.
    """
    bot = getattr(module, "bot", None)
    if not callable(bot):
        beside = _bot_module(module)
        if beside is None:
            return None
        bot = getattr(beside, "play", None)
        if not callable(bot):
            raise UsageError(f"{beside.__name__} has no function play(client): that is who plays")
    check_call("the demo", bot, "bot", "client: net.ClientWorld")
    return cast(Bot, bot)


def figures_of(module: ModuleType) -> Figures | None:
    """Return what tells figures of the game's own; None where it has none.

    That is ``figures(client)`` beside the bot: see `bot_of`.

    Raises:
        UsageError: It does not take a client.
    """
    beside = module if callable(getattr(module, "bot", None)) else _bot_module(module)
    figures = getattr(beside, "figures", None)
    if not callable(figures):
        return None
    check_call("the demo", figures, "figures", "client: net.ClientWorld")
    return cast(Figures, figures)


def _bot_module(module: ModuleType) -> ModuleType | None:
    name = f"{module.__package__}.bot"
    if not module.__package__ or importlib.util.find_spec(name) is None:
        return None
    return importlib.import_module(name)


def _importable(folder: str) -> None:
    if folder not in sys.path[:1]:
        sys.path.insert(0, folder)


def servers_in(module: ModuleType) -> dict[str, ServerWorld]:
    """Return a module's servers by name, each once."""
    named: dict[str, ServerWorld] = {}
    for name, value in vars(module).items():
        if isinstance(value, ServerWorld) and not any(value is one for one in named.values()):
            named[name] = value
    return named


def no_server(text: str, found: object, servers: Sequence[str]) -> UsageError:
    """Make the error for an object that should be a server.

    Args:
        text: What was typed, with ``:ATTR``.
        found: What has that name; None when nothing has.
        servers: Names of the servers that there are instead.
    """
    name, _, attribute = text.rpartition(":")
    hint = "it has none: server = net.ServerWorld()"
    if servers:
        hint = f"it has {name}:{servers[0]}"
    elif callable(found):
        hint = f"it has none; where this makes one, write server = {attribute}()"
    if found is None:
        return UsageError(f"there is no {attribute!r} in {name}; {hint}")
    return UsageError(f"{text} is {brief(found)}, not a ServerWorld; {hint}")
