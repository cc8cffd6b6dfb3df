"""The samples as the demo needs them: a server, somebody who plays, a window where there is one.

A sample is a package in `ecsnet.samples`. Its module ``game``, or ``__main__`` where it has none,
holds ``server``; ``bot`` holds ``play(client)``, called each frame; ``window`` is a `Window`.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

import ecsnet.samples
from ecsnet.client import ClientWorld
from ecsnet.errors import UsageError
from ecsnet.server import ServerWorld

if TYPE_CHECKING:
    import pygame

__all__ = ["Sample", "Window", "has_window", "load", "load_window", "sample_names"]


class Window(Protocol):
    """What a sample's module ``window`` holds."""

    SIZE: tuple[int, int]
    """Of the picture, in pixels."""

    def draw(self, screen: pygame.Surface, client: ClientWorld) -> None:
        """Draw the world that is current."""

    def steer(self, client: ClientWorld) -> None:
        """Send what the keys say; leaves QUIT in the queue of events."""


class Sample(NamedTuple):
    """A sample that can be shown."""

    server: ServerWorld
    play: Callable[[ClientWorld], None]


def sample_names() -> list[str]:
    """The names of the samples."""
    return sorted(found.name for found in pkgutil.iter_modules(ecsnet.samples.__path__))


def load(name: str) -> Sample:
    """Import a sample's server and its bot.

    Raises:
        UsageError: There is none of that name.
    """
    game = "game" if _has(name, "game") else "__main__"
    server = _import(name, game).server
    assert isinstance(server, ServerWorld)
    return Sample(server, cast("Callable[[ClientWorld], None]", _import(name, "bot").play))


def has_window(name: str) -> bool:
    """Whether a sample can be seen, pygame permitting.

    Raises:
        UsageError: There is no sample of that name.
    """
    if name not in sample_names():
        raise UsageError(f"no sample is called {name!r}: there are {', '.join(sample_names())}")
    return _has(name, "window")


def load_window(name: str) -> Window:
    """Import a sample's window."""
    return cast(Window, _import(name, "window"))


def _has(name: str, module: str) -> bool:
    return importlib.util.find_spec(f"ecsnet.samples.{name}.{module}") is not None


def _import(name: str, module: str) -> ModuleType:
    return importlib.import_module(f"ecsnet.samples.{name}.{module}")
