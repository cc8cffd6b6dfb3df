"""Child processes: started fresh, pinned to a core, spoken to through a pipe."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import resource
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Concatenate, ParamSpec, TypeVar

from perf.report import PerfError

P = ParamSpec("P")
M = TypeVar("M")

CONTEXT = multiprocessing.get_context("spawn")
START_SECONDS = 60.0


@dataclass(frozen=True)
class Ready:
    """The child is set up and may be used."""


@dataclass(frozen=True)
class Begun:
    """A measured stretch has begun."""


@dataclass(frozen=True)
class Measured:
    """What a server process spent on a stretch of ticks.

    Attributes:
        cpu: CPU seconds of the whole process, kernel included.
        wall: Seconds that went by.
        ticks: Ticks that ran.
        missed: Ticks that the wall clock had room for and that did not run.
        longest: The longest gap between two ticks, in seconds.
        displaced: How often another program was given the core in the middle of something.
    """

    cpu: float
    wall: float
    ticks: int
    missed: int
    longest: float
    displaced: int


class Child:
    """A function running in a process of its own, on a core of its own."""

    held = False

    def __init__(
        self,
        target: Callable[Concatenate[Connection, P], None],
        core: int,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> None:
        """Starts ``target(connection, *args, **kwargs)`` on ``core``."""
        self.name = target.__name__
        self.connection, theirs = CONTEXT.Pipe()
        self.process = CONTEXT.Process(
            target=_run, args=(target, core, theirs, args, kwargs, self.held), daemon=True
        )
        self.process.start()
        theirs.close()

    def expect(self, kind: type[M], seconds: float) -> M:
        """Returns the child's next message, which has to be a ``kind``.

        Raises:
            PerfError: The child gave up, died, or said something else or nothing in ``seconds``.
        """
        try:
            if not self.connection.poll(seconds):
                raise PerfError(f"{self.name} sent no {kind.__name__} within {seconds:.0f} s")
            message: object = self.connection.recv()
        except (EOFError, ConnectionError):
            raise PerfError(f"{self.name} died before it sent {kind.__name__}") from None
        if isinstance(message, PerfError):
            raise message
        if not isinstance(message, kind):
            raise PerfError(f"{self.name} sent {message!r}, not a {kind.__name__}")
        return message

    def tell(self, message: object) -> None:
        """Sends ``message`` to the child."""
        with contextlib.suppress(OSError):
            self.connection.send(message)

    def stop(self) -> None:
        """Ends the child and waits for it."""
        self.process.terminate()
        self.process.join(5)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.connection.close()

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


class Held(Child):
    """A child that starts beside another one, and begins when it is told ``Ready``.

    Imports take longest; and a client may not take the port that a server is about to.
    """

    held = True


class Meter:
    """Measures the process it lives in over whole ticks.

    Call ``tick`` at the same place in each of them. It tells the parent ``Begun`` after the
    warm-up and ``Measured`` at the end, then does nothing.
    """

    def __init__(self, connection: Connection, rate: float, warmup: int, ticks: int) -> None:
        """``warmup`` ticks go by, then ``ticks`` of them, at ``rate`` a second, are measured."""
        self.connection = connection
        self.rate = rate
        self.warmup = warmup
        self.ticks = ticks
        self.count = -warmup
        self.longest = 0.0
        self.cpu = self.wall = self.last = 0.0
        self.displaced = 0

    def tick(self) -> None:
        """Counts one tick."""
        now = time.perf_counter()
        if 0 < self.count <= self.ticks:
            self.longest = max(self.longest, now - self.last)
        self.last = now
        if self.count == 0:
            self.wall, self.cpu = now, time.process_time()
            self.displaced = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
            self.connection.send(Begun())
        elif self.count == self.ticks:
            cpu, wall = time.process_time() - self.cpu, now - self.wall
            displaced = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw - self.displaced
            missed = max(0, round(wall * self.rate) - self.ticks)
            self.connection.send(Measured(cpu, wall, self.ticks, missed, self.longest, displaced))
        self.count += 1


def cores() -> tuple[int, int]:
    """Returns the server's core and the load's: the same one where there is only one."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[-1]


def free_port() -> int:
    """Returns a UDP port of the loopback that nobody holds at the moment."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _run(
    target: Callable[..., None],
    core: int,
    connection: Connection,
    args: tuple[object, ...],
    kwargs: dict[str, object],
    held: bool,
) -> None:
    os.sched_setaffinity(0, {core})
    try:
        if held:
            connection.recv()
        target(connection, *args, **kwargs)
    except PerfError as error:
        connection.send(error)
    except (KeyboardInterrupt, BrokenPipeError):
        pass
