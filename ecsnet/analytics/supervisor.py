"""The supervisor of a server's shipper: it starts the process, and another one if that dies.

Nothing here talks to a database or waits for one; a game server's process stays free of drivers.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ecsnet.analytics import backoff
from ecsnet.analytics.ship import URI_VARIABLE, WRONG, ship
from ecsnet.analytics.target import target_name
from ecsnet.analytics_options import MONGO_VARIABLE
from ecsnet.errors import UsageError
from ecsnet.runtime.interpreter import installed_path, interpreter
from ecsnet.validation.wording import file_trouble

if TYPE_CHECKING:
    from ecsnet.analytics.mongo import Driver

__all__ = ["ShipperSupervisor", "ship"]

_log = logging.getLogger("ecsnet.analytics")

_HEALTHY_SECONDS: Final = 60.0  # who lived so long starts again at once

_NEEDS: Final = ("esper", "msgspec", "uvloop", "dnspython", "pymongo", "motor")
"""Packages that a child imports beside ecsnet and what is Python's own."""

_ECSNET: Final = Path(__file__).absolute().parents[1] / "__init__.py"

# What a child runs. It holds the database's password, so nothing of the game's folder may run in
# it: it looks for modules neither there (-I) nor where a site hook adds folders (-S), but only
# where packages are installed, and takes ecsnet from where it is.
_CHILD: Final = """\
import sys
from importlib.util import module_from_spec, spec_from_file_location
file, folder, driver, days, *path = sys.argv[1:]
sys.path += path
spec = spec_from_file_location("ecsnet", file)
package = sys.modules["ecsnet"] = module_from_spec(spec)
spec.loader.exec_module(package)
from ecsnet.analytics.ship import main
main(folder, driver, days)
"""


class ShipperSupervisor:
    """The supervisor of a process that ships a journal: it keeps one running.

    The process reads what has reached the disk, so it may be started before anything is written.

    Args:
        folder: Of the journal.
        uri: Of the database; handed over where no other user sees it.
        driver: What talks to the database.
        expire_days: After how many days the database may delete a document, where it can.

    Raises:
        UsageError: The URI is none, the driver is missing, or there is no Python to start.
    """

    def __init__(
        self,
        folder: Path,
        uri: str,
        *,
        driver: Driver = "motor",
        expire_days: float | None = None,
    ) -> None:
        self._target = target_name(uri)
        if importlib.util.find_spec(driver) is None:
            raise UsageError(
                f"{driver} is missing, so nothing can be shipped to {self._target}: pip install"
                " 'ecsnet[analytics]'"
            )
        python = interpreter(
            f"the shipper to {self._target}",
            f"leave mongo= (and {MONGO_VARIABLE}) out, and run `ecsnet analytics ship"
            f" {folder.absolute()} --mongo URI --follow` beside it, with an installed Python",
        )
        days = "" if expire_days is None else repr(expire_days)
        self._command = [
            *(python, "-I", "-S", "-c", _CHILD, str(_ECSNET)),
            *(str(folder.absolute()), driver, days),
            *installed_path(*_NEEDS),
        ]
        self._environment = {**os.environ, URI_VARIABLE: uri}
        self._ending = threading.Event()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the process; at once, without waiting for it."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._mind, name="ecsnet-minder", daemon=True)
            self._thread.start()

    @property
    def pid(self) -> int | None:
        """The process's id; None while there is none."""
        process = self._process
        return None if process is None or process.poll() is not None else process.pid

    def stop(self, seconds: float = 6.0) -> bool:
        """Let the process ship what is there and end, within so many seconds or by force.

        It blocks; on an event loop, call it in a thread.

        Returns:
            Whether it ended by itself.
        """
        self._ending.set()
        with self._lock:  # from now on none is started
            process = self._process
        ended = True
        if process is not None:
            _hang_up(process)
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                ended = False
                process.kill()
                process.wait()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        return ended

    def _mind(self) -> None:
        attempt = 0
        while True:
            began = time.monotonic()
            status: int | str
            try:
                process = self._start()
            except OSError as error:
                status = file_trouble(error)
            else:
                if process is None:
                    return
                status = process.wait()
                _hang_up(process)
            if self._ending.is_set():
                return
            if status == WRONG:  # it has said why
                _log.error("analytics: nothing is shipped to %s while this runs", self._target)
                return
            if time.monotonic() - began > _HEALTHY_SECONDS:
                attempt = 0
            if not attempt:
                _log.warning(
                    "analytics: the shipper to %s ended (%s) and is started again",
                    self._target,
                    status,
                )
            if self._ending.wait(backoff.pause(attempt)):
                return
            attempt += 1

    def _start(self) -> subprocess.Popen[bytes] | None:
        with self._lock:
            if self._ending.is_set():
                return None
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                env=self._environment,
                start_new_session=True,  # Ctrl-C is for the server, which has last things to say
            )
            return self._process


def _hang_up(process: subprocess.Popen[bytes]) -> None:
    """Close its stdin: the sign to end."""
    with contextlib.suppress(OSError):
        if process.stdin is not None:
            process.stdin.close()
