"""The log on stderr: nobody waits for whoever reads it."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import select
import subprocess
import sys
import warnings
from collections.abc import Iterator
from typing import TextIO

import pytest

from ecsnet.runtime.console import LINES, ConsoleHandler, console_log, last_resort

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="select on pipes")


@pytest.fixture
def pipe() -> Iterator[tuple[int, TextIO]]:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream:
        yield reading, stream
    os.close(reading)


def read_all(pipe: int, until: str) -> str:
    text = ""
    while until not in text:
        assert select.select([pipe], [], [], 10)[0], text[-200:]
        text += os.read(pipe, 1 << 16).decode()
    return text


def logger_of(handler: logging.Handler) -> logging.Logger:
    logger = logging.Logger("ecsnet.test-console", logging.INFO)  # noqa: LOG001 - for one test
    logger.addHandler(handler)
    return logger


def test_lines_come_out_in_order(pipe: tuple[int, TextIO]) -> None:
    handler = ConsoleHandler(logging.NOTSET, pipe[1])
    logger = logger_of(handler)
    for number in range(100):
        logger.info("line %d", number)
    handler.close()
    assert read_all(pipe[0], "line 99\n").split("\n")[:-1] == [f"line {n}" for n in range(100)]
    assert handler.dropped == 0


def test_who_logs_goes_on_though_nobody_reads_and_drops_are_told(pipe: tuple[int, TextIO]) -> None:
    handler = ConsoleHandler(logging.NOTSET, pipe[1])
    logger = logger_of(handler)
    for number in range(5 * LINES):
        logger.info("%d %s", number, "x" * 100)
    assert handler.dropped > LINES
    text = read_all(pipe[0], "lines of the log dropped")
    logger.info("the end")
    text += read_all(pipe[0], "the end\n")
    shown = re.findall(r"^(\d+) x{100}$", text, re.MULTILINE)
    told = re.findall(r"^(\d+) lines of the log dropped: nobody read them$", text, re.MULTILINE)
    assert len(shown) > LINES
    assert len(shown) + sum(map(int, told)) == 5 * LINES
    assert [int(n) for n in shown] == sorted(int(n) for n in shown)
    handler.close()


def test_the_end_does_not_wait_for_a_reader(pipe: tuple[int, TextIO]) -> None:
    handler = ConsoleHandler(logging.NOTSET, pipe[1])
    logger = logger_of(handler)
    for _ in range(5 * LINES):
        logger.info("x" * 100)
    handler.close()
    handler.close()
    assert handler._thread.is_alive()  # stuck, and a daemon
    assert handler._thread.daemon
    os.set_blocking(pipe[0], False)  # the last line may have been read before the thread ends
    while handler._thread.is_alive():
        with contextlib.suppress(BlockingIOError):
            os.read(pipe[0], 1 << 16)


def test_a_traceback_is_shown_and_a_reader_that_has_gone_is_no_error() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream:
        handler = ConsoleHandler(logging.NOTSET, stream)
        try:
            raise ValueError("of the game's")
        except ValueError:
            logger_of(handler).exception("a system raised")
        text = read_all(reading, "of the game's\n")
        os.close(reading)
        logger_of(handler).info("nobody is there")
        handler.close()
    assert text.startswith("a system raised\nTraceback")


def test_a_stream_that_is_no_file_will_do() -> None:
    stream = io.StringIO()
    handler = ConsoleHandler(logging.NOTSET, stream)
    logger_of(handler).info("hello")
    handler.close()
    assert stream.getvalue() == "hello\n"


def test_a_program_with_handlers_keeps_them(caplog: pytest.LogCaptureFixture) -> None:
    root = logging.getLogger()
    before = list(root.handlers), root.level
    assert before[0]
    with console_log(), caplog.at_level(logging.INFO):
        assert root.handlers == before[0]
        logging.getLogger("ecsnet.server").info("hello")
    assert (root.handlers, root.level) == before
    assert "hello" in caplog.text


def test_the_log_from_info_on_and_warnings_where_there_is_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = logging.getLogger()
    stream = io.StringIO()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr("sys.stderr", stream)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        with console_log():
            logging.getLogger("ecsnet.server").info("hello")
            logging.getLogger("game").debug("not this")
            warnings.warn("look out", stacklevel=1)
        logging.getLogger("ecsnet.server").info("nor this")
    assert stream.getvalue().startswith("hello\n")
    assert "look out" in stream.getvalue()
    assert "this" not in stream.getvalue()
    assert root.handlers == []


def test_the_last_resort_gives_way_to_handlers_that_come_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root, stream, own = logging.getLogger(), io.StringIO(), io.StringIO()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr("sys.stderr", stream)
    before = logging.lastResort
    with last_resort():
        logging.getLogger("ecsnet.server").warning("one")
        logging.getLogger("ecsnet.server").info("not this")
        root.addHandler(logging.StreamHandler(own))
        logging.getLogger("ecsnet.server").warning("two")
    assert logging.lastResort is before
    assert (stream.getvalue(), own.getvalue()) == ("one\n", "two\n")


STUCK = """
import logging, sys
from ecsnet.runtime.console import console_log
with console_log():
    for number in range(5000):
        logging.getLogger("ecsnet.server").info("x" * 100)
print("done", flush=True)
"""


def test_a_process_ends_though_nobody_reads_its_log() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", STUCK], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"done\n"
        assert process.wait(timeout=30) == 0


def test_a_line_that_cannot_be_made_waits_for_nobody(pipe: tuple[int, TextIO]) -> None:
    handler = ConsoleHandler(logging.NOTSET, pipe[1])
    logger = logger_of(handler)
    for _ in range(5 * LINES):
        logger.info("%d", "no number")
    assert handler.dropped > LINES
    text = read_all(pipe[0], "lines of the log dropped")
    assert "test_console.py" in text
    assert "logs what cannot be shown\nTraceback" in text
    assert "TypeError: %d format: a real number is required" in text
    handler.close()


ENDS_AT_ONCE = """
import sys
import ecsnet as net

server = net.ServerWorld()

@server.system
def end(dt):
    server.stop()

server.run("127.0.0.1", 0)
sys.exit(7)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there a shell closes none")
@pytest.mark.parametrize("closed", ["2>&-", "<&- >&- 2>&-", "<&- 2>&-"])
def test_a_server_whose_standard_files_are_closed_ends_as_any(closed: str) -> None:
    command = f'exec "$0" -c "$1" {closed}'
    process = subprocess.run(["sh", "-c", command, sys.executable, ENDS_AT_ONCE], timeout=60)
    assert process.returncode == 7


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
def test_where_nothing_can_be_written_what_writes_nothing_is_no_error() -> None:
    with open("/dev/full", "wb") as full:
        command = [sys.executable, "-m", "ecsnet", "serve", "nothing.py"]
        process = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, timeout=60)
    assert process.returncode == 2
    assert b"nothing.py" in process.stderr
    assert process.stderr.count(b"\n") == 1


def test_the_level_is_that_of_ecsnets_loggers_for_as_long_as_it_lasts() -> None:
    own, other = logging.getLogger("ecsnet.server"), logging.getLogger("somebody.else")
    before = own.getEffectiveLevel(), other.getEffectiveLevel()
    with console_log(logging.DEBUG):
        assert own.isEnabledFor(logging.DEBUG)
        assert not other.isEnabledFor(logging.DEBUG)
    assert (own.getEffectiveLevel(), other.getEffectiveLevel()) == before
    with console_log():
        assert not own.isEnabledFor(logging.DEBUG)
    assert (own.getEffectiveLevel(), other.getEffectiveLevel()) == before
