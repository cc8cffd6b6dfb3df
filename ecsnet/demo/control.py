"""The messages between the demo's processes: JSON lines over a child's stdin and stdout.

A child that loses its parent finds its stdin closed, which means `Bye`.
"""

from __future__ import annotations

import contextlib
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import TypeAlias

import msgspec

from ecsnet.demo.feel import Frame, Tick
from ecsnet.runtime.interpreter import interpreter
from ecsnet.runtime.modules import import_path

__all__ = [
    "Ask",
    "Bye",
    "Child",
    "Closed",
    "Gone",
    "Inbox",
    "Joined",
    "Order",
    "Picture",
    "Pictured",
    "PlayerFilm",
    "PlayerReport",
    "Ready",
    "Recall",
    "Said",
    "Served",
    "ServerFilm",
    "ServerReport",
    "Settings",
    "Still",
    "Stop",
    "Wrong",
    "claim_pipes",
    "listen",
    "say",
]

# Ctrl-C is for the parent, which ends the others: they are in a group of their own from the start.
_GROUP = None if sys.platform == "win32" else 0
_FLAGS = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)  # Windows has it

_PATIENCE = 5.0  # seconds that a child has to end once its parent is gone


class Settings(msgspec.Struct, frozen=True):
    """The settings with which a child is started."""

    game: str
    """As it was typed."""
    name: str = ""
    """Of the player; empty for the server."""
    port: int = 0
    lag: float = 0.0
    jitter: float = 0.0
    loss: float = 0.0
    number: int = 0
    """Number of the player, from 0."""
    program: bool = False
    """True if the game's own program plays, in its window, rather than a bot alone."""
    analytics: str | None = None
    """Folder of the server's journal."""


# From the parent.


class Stop(msgspec.Struct, tag="stop"):
    """Player: send no more commands."""


class Still(msgspec.Struct, tag="still"):
    """Server: run no more of the game's systems."""


class Ask(msgspec.Struct, tag="ask"):
    """Send a report."""


class Recall(msgspec.Struct, tag="recall"):
    """Send what was filmed."""


class Picture(msgspec.Struct, tag="picture"):
    """Player: save what is to be seen."""

    path: str


class Bye(msgspec.Struct, tag="bye"):
    """End."""


Order: TypeAlias = Stop | Still | Ask | Recall | Picture | Bye


# From the children.


class Ready(msgspec.Struct, tag="ready"):
    """The server can be joined."""

    port: int


class Joined(msgspec.Struct, tag="joined"):
    """The player is in the game."""


class Gone(msgspec.Struct, tag="gone"):
    """The player's connection ended, or never came about."""

    reason: str


class Wrong(msgspec.Struct, tag="wrong"):
    """The game cannot be played like that, and the caller can mend it."""

    text: str


class Closed(msgspec.Struct, tag="closed"):
    """Somebody closed the player's window."""


class Pictured(msgspec.Struct, tag="pictured"):
    """The picture is saved."""

    title: str
    """Of the window."""


class ServerReport(msgspec.Struct, tag="server"):
    """The server's report on itself."""

    ticks: int
    ticks_dropped: int
    late_ms: tuple[float, float, float]
    """Delay of ticks, milliseconds: median, 99th percentile, most."""
    still_at: int
    """The last tick in which the game's systems ran; 0 while they do."""
    entities: int
    applied: int
    expired: int
    superseded: int
    rejected: int
    rewinds: int
    """Number of blocks of `ecsnet.rewind` in which something was rewound."""
    rewinds_limited: int
    """Number of them that looked at another moment than the client said."""
    events_sent: int
    """Events that the game emitted."""
    events_due: dict[str, int]
    """By player: the reliable ones that it is to get."""
    packets_sent: int
    """Datagrams without those of handshakes."""
    bytes_sent: int
    worlds: dict[str, dict[str, str]]
    """By player: what it may see, as digests."""


class ServerFilm(msgspec.Struct, tag="server film"):
    """The server's film."""

    rate: float
    """Ticks a second."""
    ticks: list[Tick]


class Served(msgspec.Struct, tag="served"):
    """The server's last word: nothing of it comes after."""

    ticks: int


class PlayerReport(msgspec.Struct, tag="player"):
    """A player's report on itself."""

    name: str
    sent: int
    expired: int
    """Of the commands sent, those that expired before they left."""
    polls: int
    poll_ms: tuple[float, float, float]
    """Duration of polls, milliseconds: median, 99th percentile, most."""
    rtt_ms: float
    jitter_ms: float
    loss: float
    datagrams_sent: int
    datagrams_dropped: int
    """By the simulated network, both directions."""
    bytes_sent: int
    confirmed_tick: int
    """The tick up to which it has everything."""
    events_seen: int
    """Reliable events that the game was given."""
    figures: dict[str, float]
    """Of the game's own, as its ``figures(client)`` says."""
    world: dict[str, str]
    """The entities in its view, as digests."""


class PlayerFilm(msgspec.Struct, tag="player film"):
    """A player's film."""

    own: list[int]
    """Network ids of what was the player's own."""
    frames: list[Frame]


Said: TypeAlias = (
    Ready
    | Joined
    | Gone
    | Wrong
    | Closed
    | Pictured
    | ServerReport
    | ServerFilm
    | Served
    | PlayerReport
    | PlayerFilm
)


# A child's end.


def listen(take: Callable[[Order], object]) -> None:
    """Call ``take``, in a thread of its own, with each order that comes; at last with `Bye`."""
    orders = msgspec.json.Decoder[Order](Order)

    def read() -> None:
        rest = b""
        # Not sys.stdin: a thread that waits in there would keep the process from ending.
        with contextlib.suppress(RuntimeError):  # the event loop that takes them is closed
            while data := os.read(_in, 65536):
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    take(orders.decode(line))
            take(Bye())
        time.sleep(_PATIENCE)
        os._exit(1)

    threading.Thread(target=read, name="orders", daemon=True).start()


def claim_pipes() -> None:
    """Keep stdin for `listen` and stdout for `say`, before the game uses them.

    The game reads nothing, and what it prints goes to stderr.
    """
    global _in, _out
    _in, _out = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)


def say(message: Said) -> None:
    """Tell the parent something."""
    data = msgspec.json.encode(message) + b"\n"
    with contextlib.suppress(BrokenPipeError):
        while data:
            data = data[os.write(_out, data) :]


_in, _out = 0, 1


# The parent's end.

Inbox: TypeAlias = "queue.SimpleQueue[tuple[Child, Said | None]]"
"""The messages of children, in order; None once one has ended."""


class Child:
    """A process of the demo's.

    Args:
        settings: What it is to do.
        inbox: Where to put what it says.
        extra: For its environment, where other users of the machine do not see it.
    """

    def __init__(
        self, settings: Settings, inbox: Inbox, extra: Mapping[str, str] | None = None
    ) -> None:
        self.name = settings.name
        environment = {
            **os.environ,
            "PYTHONPATH": import_path(),
            "PYGAME_HIDE_SUPPORT_PROMPT": "1",
            **(extra or {}),
        }
        python = interpreter("each part of a demo", "run it with an installed Python")
        self._process = subprocess.Popen(
            [python, "-P", "-m", "ecsnet.demo", msgspec.json.encode(settings).decode()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            process_group=_GROUP,
            creationflags=_FLAGS,
        )
        self._inbox = inbox
        threading.Thread(target=self._read, daemon=True).start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def __str__(self) -> str:
        return self.name or "the server"

    def tell(self, order: Order) -> None:
        """Give an order; one that has ended hears nothing."""
        stdin = self._process.stdin
        assert stdin is not None
        with contextlib.suppress(OSError, ValueError):
            stdin.write(msgspec.json.encode(order) + b"\n")
            stdin.flush()

    def end(self, seconds: float) -> int:
        """Let it end, within so many seconds or by force.

        Returns:
            Its exit status.
        """
        process = self._process
        self.tell(Bye())
        with contextlib.suppress(OSError):
            assert process.stdin is not None
            process.stdin.close()
        for stop in (process.terminate, process.kill):
            try:
                return process.wait(seconds)
            except subprocess.TimeoutExpired:
                stop()
        return process.wait()

    def _read(self) -> None:
        said = msgspec.json.Decoder[Said](Said)
        stdout = self._process.stdout
        assert stdout is not None
        with stdout:
            for line in stdout:
                self._inbox.put((self, said.decode(line)))
        self._inbox.put((self, None))
