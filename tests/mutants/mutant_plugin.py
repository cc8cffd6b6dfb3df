"""What `run.py` adds to the pytest that it starts: which tests run, in which order; and an end.

It is a plugin, named with ``-p``, and told what to do by the environment:

- MUTANTS_LIFELINE: a pipe that closes when the command ends, however it ends; so does this process.
- MUTANTS_MEMORY: bytes of memory that it may have.
- MUTANTS_SELECT: a JSON file with the tests to run, in this order; the others are left out.
- MUTANTS_RECORD: a JSON file to write: which test takes how long and runs which lines.
- MUTANTS_SOURCES: the files whose lines are recorded, as patterns, one a line.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import threading
from collections.abc import Generator
from pathlib import Path

import coverage
import pytest


def _follow(pipe: int) -> None:
    os.read(pipe, 1)
    os.killpg(0, signal.SIGKILL)


def _begin() -> coverage.Coverage | None:
    pipe = int(os.environ["MUTANTS_LIFELINE"])
    os.set_inheritable(pipe, False)
    threading.Thread(target=_follow, args=(pipe,), daemon=True).start()
    memory = int(os.environ["MUTANTS_MEMORY"])
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    if "MUTANTS_RECORD" not in os.environ:
        return None
    # Not pytest's business: the modules must not have been imported before.
    measured = coverage.Coverage(
        data_file=None, config_file=False, include=os.environ["MUTANTS_SOURCES"].splitlines()
    )
    measured.start()
    return measured


_measured = _begin()
_seconds: dict[str, float] = {}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    if _measured is not None:
        _measured.switch_context(item.nodeid)
    tracer = sys.gettrace()
    result = yield
    sys.settrace(tracer)  # a test that traces may have put an end to the measuring
    if _measured is not None:
        _measured.switch_context("")
    return result


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    _seconds[report.nodeid] = _seconds.get(report.nodeid, 0.0) + report.duration


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    chosen = os.environ.get("MUTANTS_SELECT")
    if chosen is not None:
        place = {test: index for index, test in enumerate(json.loads(Path(chosen).read_text()))}
        items[:] = sorted(
            (item for item in items if item.nodeid in place), key=lambda item: place[item.nodeid]
        )


def pytest_sessionfinish() -> None:
    if _measured is None:
        return
    _measured.stop()
    data = _measured.get_data()
    tests = list(_seconds)
    number = {test: index for index, test in enumerate(tests)}
    lines = {
        os.path.realpath(path): {
            line: [number.get(test, -1) for test in contexts]
            for line, contexts in data.contexts_by_lineno(path).items()
        }
        for path in data.measured_files()
    }
    record = {"seconds": [_seconds[test] for test in tests], "tests": tests, "lines": lines}
    Path(os.environ["MUTANTS_RECORD"]).write_text(json.dumps(record))
